"""The conditions under which the crops of a training were imaged."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emprior.errors import RecipeError
from emprior.training.adversarial_recipe import Conditioning
from emprior.training.crops import Drawn
from emprior.training.data_recipe import CropData
from emprior.training.trainer import Micrographs

Floats = NDArray[np.floating]


class Conditions:
    """Conditions of images, and of crops of them, mirrored ones included.

    Parameters
    ----------
    recipe : Conditioning
    data : Micrographs
        With a method ``condition(name)``, as `emprior.datasets.Dataset` has.
    crops : CropData
        How crops are mirrored.

    Raises
    ------
    RecipeError
        If the data does not tell conditions.
    """

    def __init__(self, recipe: Conditioning, data: Micrographs, crops: CropData) -> None:
        condition = getattr(data, "condition", None)
        if condition is None:
            raise RecipeError(
                f"conditions {', '.join(recipe.names)} of {crops.path}",
                expected="simulated micrographs, made by `emprior simulate`",
                why="other images come without their optics and structures",
                fix="leave the section conditions out, or train on simulated data",
            )
        self.names = [
            column
            for name in recipe.names
            for column in (("tilt_columns", "tilt_rows") if name == "tilt" else (name,))
        ]
        self.values = np.stack([condition(name) for name in self.names], axis=1)
        turned = ("tilt_columns", "tilt_rows")
        self._turned = turned[: {"none": 0, "horizontal": 1, "both": 2}[crops.flips]]

    def all(self) -> Floats:
        """Return the conditions of all images, mirrored ones included, (M, P)."""
        values = self.values
        for name in self._turned:
            if name in self.names:
                mirrored = values.copy()
                mirrored[:, self.names.index(name)] *= -1
                values = np.concatenate([values, mirrored])
        return values

    def of(self, drawn: Drawn) -> Floats:
        """Return the conditions of drawn crops, (n, P)."""
        values = self.values[drawn.crops.index].copy()
        for axis, name in enumerate(("tilt_rows", "tilt_columns")):
            if name in self.names:  # a mirror turns the tilt around
                values[drawn.mirrored[:, axis], self.names.index(name)] *= -1
        return values
