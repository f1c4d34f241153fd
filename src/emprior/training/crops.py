"""Random crops of clean images, which most trainings are fed with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emprior.errors import RecipeError
from emprior.training.recipe import CropData
from emprior.training.trainer import Micrographs


def draw_crops(
    data: Micrographs, settings: CropData, size: int, n: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw crops, thinned and mirrored at random as `settings` say.

    Parameters
    ----------
    data : Micrographs
    settings : CropData
    size : int
        Pixels along each side, after thinning.
    n : int
    rng : numpy.random.Generator

    Returns
    -------
    (n, C, size, size) ndarray
    """
    stride, extent = settings.stride, size * settings.stride
    images = data.crops(n, (extent, extent), rng).images[..., ::stride, ::stride]
    for axis in {"none": (), "horizontal": (-1,), "both": (-2, -1)}[settings.flips]:
        chosen = (rng.random(n) < 0.5).reshape(n, 1, 1, 1)
        images = np.where(chosen, np.flip(images, axis), images)
    return np.ascontiguousarray(images, dtype=np.float32)


def check_crops(data: Micrographs, settings: CropData, size: int, setting: str) -> None:
    """Refuse crops that do not fit into the images.

    Parameters
    ----------
    data : Micrographs
    settings : CropData
    size : int
        As for `draw_crops`.
    setting : str
        What the recipe calls the size.

    Raises
    ------
    RecipeError
    """
    extent = size * settings.stride
    if extent > min(data.shape):
        raise RecipeError(
            f"crops of {extent} × {extent} pixels ({setting} {size}, stride {settings.stride}) "
            f"from images of {data.shape[0]} × {data.shape[1]}",
            expected="crops that fit into the images",
            why="each training image is cut from one image of the data",
            fix=f"lower {setting} or data.stride, or take larger images",
        )
