"""All images of a simulated data set in memory, ready to be compared with a frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from emprior.datasets import Dataset
from emprior.errors import OptionError
from emprior.grid import pool

LEVEL = 0.44  # taken off the images, so that products of small numbers are summed
_COARSE = 0.4  # Å; the pixels of the first pass
_FEWEST = 8  # pixels along an axis that pooling leaves
_MOST_BYTES = 2e9


@dataclass(frozen=True, eq=False)
class Album:
    """All images of a data set.

    Attributes
    ----------
    images : (n, H, W) float16 ndarray
        Clean, vacuum 0.45.
    pixel_sizes : (n,) ndarray
        [Å]
    factor : int
        Pixels pooled along each axis in `pooled`.
    pooled : (n, H // factor, W // factor) float32 ndarray
        The images less `LEVEL`.
    spectra : (n, h, w) complex64 ndarray
        Fourier transforms of these, over `padded` pixels.
    hash : str
        Of the data set.
    """

    images: NDArray[np.float16]
    pixel_sizes: NDArray[np.float64]
    factor: int
    pooled: NDArray[np.float32]
    spectra: NDArray[np.complex64]
    hash: str

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of every image."""
        H, W = self.images.shape[1:]
        return H, W

    @property
    def padded(self) -> tuple[int, int]:
        """Rows and columns that the pooled images are filled up to, for the transform."""
        return _padded(self.pooled.shape[1:])


def check_images(path: str | Path) -> Dataset:
    """Open the data set that a user names.

    Raises
    ------
    OptionError
        If none is named, or it is too large to be held in memory.
    FileError
        If there is none.
    MissingExtraError
        If zarr is not installed.
    """
    if str(path) == "default":
        raise OptionError(
            "the method 'nearest' without a data set",
            expected="the directory of a simulated data set as the prior",
            why="it returns the image of that set which is nearest to the frame; none is shipped",
            fix="make one by `emprior simulate recipes/train.toml -o DIR`, and name DIR",
        )
    data = Dataset.open(path)
    size = len(data) * data.shape[0] * data.shape[1] * (2 + 8 / _factor(data) ** 2)
    if size > _MOST_BYTES:
        raise OptionError(
            f"the data set {path}: {len(data):,} images that take {size / 1e9:.1f} GB of memory",
            expected=f"at most {_MOST_BYTES / 1e9:.0f} GB",
            why="every image is compared with every frame, which is done in memory",
            fix="name a smaller data set, or one on a coarser grid (0.2 Å holds whole images)",
        )
    return data


def open_album(path: str | Path) -> Album:
    """Read a data set, once a process; errors as for `check_images`."""
    data = check_images(path)
    return _read(data.directory, data.hash)


@lru_cache(maxsize=1)
def _read(directory: Path, content: str) -> Album:
    data = Dataset.open(directory)
    factor, images = _factor(data), data.load(np.float16)
    pooled = np.stack([pool(image.astype(np.float32) - LEVEL, factor) for image in images])
    padded = _padded(pooled.shape[1:])
    spectra = np.stack([scipy.fft.rfft2(image, padded) for image in pooled])
    pixel_sizes = np.array([data.view(i).pixel_size for i in range(len(data))])
    return Album(images, pixel_sizes, factor, pooled, spectra, content)


def _factor(data: Dataset) -> int:
    return max(1, min(int(_COARSE / data.pixel_size), min(data.shape) // _FEWEST))


def _padded(shape: tuple[int, ...]) -> tuple[int, int]:
    h, w = (scipy.fft.next_fast_len(n, real=True) for n in shape)
    return h, w
