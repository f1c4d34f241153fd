"""Recorded micrographs to train on: the frames of one file, on their own pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from emprior.errors import ImageError, OptionError
from emprior.files import expanded
from emprior.io import read
from emprior.micrograph import check_pixel_size
from emprior.stacks import Stack


def open_recording(
    path: str | Path,
    *,
    pixel_size: float | None = None,
    limits: tuple[float, float] | None = None,
) -> Stack:
    """Read the frames of a micrograph file to train on, on their own pixels.

    Parameters
    ----------
    path : path
        Any file that `emprior.io.read` reads.
    pixel_size : float, optional
        [Å]; by default what the file says.
    limits : (low, high), optional
        Values of the file that become 0 and 1; by default its smallest and largest.

    Raises
    ------
    FileError, ImageError
        If the file cannot be read, is constant, or holds values that are not finite.
    OptionError
        If nobody tells the pixel size, or the limits are not in order.

    Notes
    -----
    Frames keep their noise: a generator trained on them draws noisy images.
    """
    path = expanded(path)
    signal = read(path, lazy=False)
    size = signal.pixel_size if pixel_size is None else pixel_size
    if size is None:
        raise OptionError(
            f"{path}, which does not say its pixel size",
            expected="a pixel size in Å",
            why="a prior draws images on a grid of known scale",
            fix="give pixel_size",
        )
    values = np.asarray(signal.data)
    values = values.reshape(-1, 1, *values.shape[-2:])
    low, high = (float(values.min()), float(values.max())) if limits is None else limits
    if not np.isfinite(values.sum(dtype=float)):
        raise ImageError(
            f"{path}, whose values are not all finite",
            expected="finite numbers",
            why="a training on anything else diverges at once",
            fix="replace such pixels, for example by the median of their neighbours",
        )
    if not low < high:
        kind: type[ImageError | OptionError] = ImageError if limits is None else OptionError
        raise kind(
            f"{path}: values from {low:g} to {high:g} become 0 to 1",
            expected="a lower limit below the upper one",
            why="a constant file shows nothing, and limits out of order turn contrast around",
            fix="check the file, or give limits = (low, high)",
        )
    return Stack(values, (low, high), check_pixel_size(size), path.stem)
