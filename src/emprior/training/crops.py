"""Random crops of clean images, which most trainings are fed with, and noise for them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emprior.errors import RecipeError
from emprior.grid import pool
from emprior.noise import NoiseModel
from emprior.training.data_recipe import CropData
from emprior.training.trainer import Micrographs


class Drawn(NamedTuple):
    """Crops as they are trained on, and where they come from.

    Attributes
    ----------
    images : (n, C, size, size) ndarray
    mirrored : (n, 2) bool ndarray
        Whether each is turned around along rows and along columns.
    crops : emprior.stacks.Crops
        As the data gave them.
    """

    images: NDArray[np.float32]
    mirrored: NDArray[np.bool_]
    crops: Any


def draw(
    data: Micrographs, settings: CropData, size: int, n: int, rng: np.random.Generator
) -> Drawn:
    """Draw crops, thinned, mirrored and raised to powers at random as `settings` say.

    Parameters
    ----------
    data : Micrographs
    settings : CropData
    size : int
        Pixels along each side, after thinning.
    n : int
    rng : numpy.random.Generator
    """
    stride, extent = settings.stride, size * settings.stride
    crops = data.crops(n, (extent, extent), rng)
    images, mirrored = crops.images[..., ::stride, ::stride], np.zeros((n, 2), bool)
    for axis in {"none": (), "horizontal": (-1,), "both": (-2, -1)}[settings.flips]:
        chosen = mirrored[:, axis] = rng.random(n) < 0.5
        images = np.where(chosen[:, None, None, None], np.flip(images, axis), images)
    if settings.gamma != (1.0, 1.0):
        low, high = np.log(settings.gamma)
        powers = np.exp(rng.uniform(low, high, n))
        images = np.maximum(images, 0) ** powers[:, None, None, None]
    return Drawn(np.ascontiguousarray(images, dtype=np.float32), mirrored, crops)


def draw_crops(
    data: Micrographs, settings: CropData, size: int, n: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the images of `draw` alone, (n, C, size, size)."""
    return draw(data, settings, size, n, rng).images


def sample(
    model: NoiseModel, clean: NDArray[np.float32], pooling: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the means of ``pooling²`` noisy detector pixels for each pixel of a clean image."""
    pooled = model.averaged(pooling**2) if pooling > 1 else model
    if pooled is not None:
        return pooled.sample(clean, rng)
    detector = clean.repeat(pooling, axis=0).repeat(pooling, axis=1)
    return pool(model.sample(detector, rng), pooling)


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
