"""Images in memory, all of one shape, and random windows of them: what trainings draw from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emprior.errors import OptionError


@dataclass(frozen=True, eq=False)
class Crops:
    """Random windows of images.

    Attributes
    ----------
    images : (n, C, h, w) ndarray
    index : (n,) ndarray
        The image that each was cut from.
    corner : (n, 2) ndarray
        Row and column in that image of each window's first pixel.
    """

    images: NDArray[np.float32]
    index: NDArray[np.intp]
    corner: NDArray[np.intp]


def windows(stack: NDArray[Any], n: int, shape: tuple[int, int], rng: np.random.Generator) -> Crops:
    """Cut random windows, each from a random image.

    Parameters
    ----------
    stack : (N, C, H, W) ndarray
    n : int
    shape : (h, w)
        At most that of the images.
    rng : numpy.random.Generator

    Raises
    ------
    OptionError
        If the windows are larger than the images.
    """
    N, C, H, W = stack.shape
    h, w = shape
    if not (0 < h <= H and 0 < w <= W):
        raise OptionError(
            f"crops of {h} × {w} pixels from images of {H} × {W}",
            expected="crops no larger than the images",
            why="nothing is known beyond their edges",
            fix="choose smaller crops or larger images",
        )
    index = rng.integers(N, size=n)
    corner = rng.integers((H - h + 1, W - w + 1), size=(n, 2))
    images = np.empty((n, C, h, w), np.float32)
    for image, i, (row, column) in zip(images, index, corner, strict=True):
        image[:] = stack[i, :, row : row + h, column : column + w]
    return Crops(images, index, corner)


@dataclass(frozen=True, eq=False)
class Stack:
    """Images that a training draws from.

    Parameters
    ----------
    values : (N, C, H, W) ndarray
        In their stored type, however small.
    limits : (low, high)
        Stored values that become 0 and 1.
    pixel_size : float
        Distance between pixel centres [Å]; 1 without a meaning where the images are no
        micrographs.
    name : str
        Of what it shows.
    """

    values: NDArray[Any]
    limits: tuple[float, float]
    pixel_size: float
    name: str

    shown = (0.0, 1.0)
    """Values shown as black and white."""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def title(self) -> str:
        """What it shows, and how many."""
        return f"{self.name}, {len(self):,} image{'s' * (len(self) != 1)}"

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colour."""
        return int(self.values.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of every image."""
        H, W = self.values.shape[2:]
        return H, W

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the images as they are drawn from."""
        digest = hashlib.sha256(repr((self.values.shape, self.values.dtype, self.limits)).encode())
        for image in self.values:
            digest.update(np.ascontiguousarray(image).data)
        return digest.hexdigest()

    def subset(self, index: ArrayLike) -> Stack:
        """Return the part with these images, in this order."""
        return replace(self, values=self.values[np.asarray(index)])

    def split(self, fraction: float, rng: np.random.Generator) -> tuple[Stack, Stack]:
        """Split at random by image.

        Parameters
        ----------
        fraction : float
            Share of the images in the second part, within 0 to 1; at least one comes into each.
        rng : numpy.random.Generator

        Raises
        ------
        OptionError
            If there are fewer than two images or the fraction is not within 0 to 1.

        Notes
        -----
        Wrong where images show the same, as the frames of a movie may: then the second part is
        known from the first.
        """
        total = len(self)
        if not (0 < fraction < 1 and total > 1):
            raise OptionError(
                f"a split of {total} image{'s' * (total != 1)} at {fraction:g}",
                expected="two images or more, and a fraction between 0 and 1",
                why="both parts need one",
                fix="give more images, choose another fraction, or hold none out",
            )
        order, held = rng.permutation(total), min(max(round(fraction * total), 1), total - 1)
        return self.subset(np.sort(order[held:])), self.subset(np.sort(order[:held]))

    def _scaled(self, values: NDArray[Any]) -> NDArray[np.float32]:
        low, high = self.limits
        return ((values.astype(np.float32) - low) / (high - low)).astype(np.float32)

    def image(self, i: int) -> NDArray[np.float32]:
        """Return an image, (C, H, W)."""
        return self._scaled(self.values[i])

    def crops(self, n: int, shape: tuple[int, int], rng: np.random.Generator) -> Crops:
        """Draw random windows; see `windows`."""
        crops = windows(self.values, n, shape, rng)
        return Crops(self._scaled(crops.images), crops.index, crops.corner)
