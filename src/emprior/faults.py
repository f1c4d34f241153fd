"""Pixels that tell nothing of the specimen: hot and dead ones, labels, saturation, padding.

They are found before anything is denoised, and filled with values of pixels about them: valid
under any noise, so that all methods can go on. What judges by likelihood leaves them out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.stats import norm, poisson

from emprior.noise import Hits, NoiseModel, Poisson, PoissonGaussian

Mask = NDArray[np.bool_]

_CHANCE = 1e-3  # that a frame without faults has one pixel taken for a fault
_LONGEST = 21  # pixels along a patch of one value that three rows must share, at least
_GROUNDS, _SCARCE = 8, 0.05  # values of patches, and their share elsewhere, in which letters stand
_RARE = 0.002  # share of the pixels that may be hot or dead
_FULL = 0.5  # share of the rectangle about a patch from which the rest is writing in it
_NEAR = 8  # pixels from which a fault is filled, one of them drawn for each


@dataclass(frozen=True)
class Fault:
    """One connected part of what tells nothing.

    Parameters
    ----------
    kind : str
    rows, columns : (int, int)
        The first and the last that it reaches.
    pixels : int
        How many it holds.
    """

    kind: str
    rows: tuple[int, int]
    columns: tuple[int, int]
    pixels: int

    def __str__(self) -> str:
        if self.pixels == 1:
            return f"{self.kind} at row {self.rows[0]}, column {self.columns[0]}"
        rows, columns = (f"{first} to {last}" for first, last in (self.rows, self.columns))
        return f"{self.kind} of {self.pixels} pixels in rows {rows}, columns {columns}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, eq=False)
class Faults:
    """Where a frame tells nothing.

    Attributes
    ----------
    patches : (H, W) bool ndarray
        Patches of one exact value, with what stands in them: they stay as they are.
    outliers : (H, W) bool ndarray
        Single pixels that neither noise nor structure explains: they are estimated from others.
    """

    patches: Mask
    outliers: Mask

    @property
    def all(self) -> Mask:
        """Both together."""
        return self.patches | self.outliers

    def __iter__(self) -> Iterator[Fault]:
        """Yield each connected part, patches first."""
        for kind, mask in (
            ("patch of one value", self.patches),
            ("hot or dead pixel", self.outliers),
        ):
            parts, _ = ndimage.label(mask, np.ones((3, 3)))
            sizes = np.bincount(parts.ravel())[1:]
            for box, size in zip(ndimage.find_objects(parts), sizes, strict=True):
                rows, columns = ((side.start, side.stop - 1) for side in box)
                yield Fault(kind, rows, columns, int(size))

    def said(self) -> tuple[str, ...]:
        """Say what was found, in sentences."""
        lines = []
        if number := int(self.outliers.sum()):
            lines.append(f"{number} hot or dead pixels are estimated from those about them")
        if number := int(self.patches.sum()):
            lines.append(
                f"{number} pixels in patches of one exact value (labels, saturation, padding) "
                "are left as they are"
            )
        return tuple(lines)


def find_patches(image: NDArray[np.floating]) -> Mask:
    r"""Return the patches of one exact value, (H, W), and what is written into them.

    Three rows of m pixels, :math:`m \ge 21`, that are equal come by chance once in a thousand
    frames where the commonest value has the probability q in some part of the frame, and
    :math:`N q^{3m} = 10^{-3}`.

    Notes
    -----
    What touches a patch and has its value belongs to it, where less than one pixel in twenty has
    that value elsewhere. Thin letters on a noisy ground are not found. In images without noise
    whatever is constant is.
    """
    found = _level(image, _LONGEST)
    if found.any():
        parts = [p for rows in np.array_split(image, 4) for p in np.array_split(rows, 4, axis=1)]
        q = max(_commonest(part) for part in parts)
        rare = np.log(_CHANCE / image.size) / (3 * np.log(q)) if q < 1 else min(image.shape) / 8
        found = _level(image, max(_LONGEST, int(np.ceil(rare))))
        found |= _between_letters(image, found)
    patches, _ = ndimage.label(ndimage.binary_closing(found, iterations=2) | found)
    for number, box in enumerate(ndimage.find_objects(patches), 1):
        if np.mean(patches[box] == number) > _FULL:
            found[box] = True
    return found


def find_outliers(image: NDArray[np.floating], noise: NoiseModel) -> Mask:
    """Return single pixels, (H, W), that neither noise nor structure explains.

    A pixel differs from those about it by more than noise does once in a thousand frames, and
    from its eight neighbours by more than twice what all but a few pixels of the frame do:
    structure is wider than a pixel, or else as sharp in many places.

    Notes
    -----
    Finds nothing where more than one pixel in 500 is a fault, nor what is hidden by the noise.
    """
    pixels = image.astype(np.float64)
    # Faults must not raise the level that they are held against.
    low, high = np.quantile(pixels, [_RARE, 1 - _RARE])
    level = ndimage.uniform_filter(np.clip(pixels, low, high), 7)
    candidates = np.nonzero((pixels < low) | (pixels > high))
    found = np.zeros(image.shape, bool)
    found[candidates] = (
        _surprise(pixels[candidates], level[candidates], noise) < _CHANCE / image.size
    )
    if found.any():
        apart = np.abs(pixels - (9 * ndimage.uniform_filter(pixels, 3) - pixels) / 8)
        found &= apart > 2 * np.quantile(apart, 1 - _RARE)
    return found


def filled(
    image: NDArray[np.floating], faults: Mask, rng: np.random.Generator
) -> NDArray[np.floating]:
    """Return the image with faults replaced by values of pixels near them, drawn at random."""
    if not faults.any() or faults.all():
        return image
    # Beyond the rim of the faults no pixel is the nearest.
    rim = ndimage.binary_dilation(faults, iterations=4) & ~faults
    sources, holes = np.argwhere(rim), np.argwhere(faults)
    near = cKDTree(sources).query(holes, k=min(_NEAR, len(sources)))[1].reshape(len(holes), -1)
    drawn = near[np.arange(len(holes)), rng.integers(near.shape[1], size=len(holes))]
    result = image.copy()
    result[faults] = image[tuple(sources[drawn].T)]
    return result


def _level(image: NDArray[np.floating], length: int) -> Mask:
    """Return where three rows of so many pixels, or three columns, have one value."""
    found = np.zeros(image.shape, bool)
    for pixels, mask in ((image, found), (image.T, found.T)):
        if pixels.shape[0] < 3 or pixels.shape[1] < length:
            continue
        runs = np.cumsum(pixels[:, 1:] == pixels[:, :-1], axis=1, dtype=np.int32)
        runs = np.pad(runs, ((0, 0), (1, 0)))
        flat = runs[:, length - 1 :] - runs[:, : runs.shape[1] - length + 1] == length - 1
        left = pixels[:, : flat.shape[1]]
        flat = flat[:-2] & flat[1:-1] & flat[2:]
        flat &= (left[:-2] == left[1:-1]) & (left[1:-1] == left[2:])
        for row, column in zip(*np.nonzero(flat), strict=True):
            mask[row : row + 3, column : column + length] = True
    return found


def _between_letters(image: NDArray[np.floating], found: Mask) -> Mask:
    """Return what has the value of a patch and touches it, where that value is scarce elsewhere."""
    more = np.zeros_like(found)
    values, counts = np.unique(image[found], return_counts=True)
    for value in values[np.argsort(-counts)[:_GROUNDS]]:
        same = image == value
        if np.mean(same[~found]) < _SCARCE:
            parts, _ = ndimage.label(same, np.ones((3, 3)))
            more |= same & np.isin(parts, parts[found & same])
    return more


def _commonest(part: NDArray[np.floating]) -> float:
    """Return the share of a part's commonest value."""
    if not part.size:
        return 0.0
    return float(np.unique(part, return_counts=True)[1].max() / part.size)


def _surprise(
    pixels: NDArray[np.float64], level: NDArray[np.float64], noise: NoiseModel
) -> NDArray[np.float64]:
    """Return the probability of so extreme a pixel, either way, about a level."""
    if isinstance(noise, Hits):
        return np.ones_like(pixels)
    if isinstance(noise, Poisson):
        rate = np.maximum((level - noise.offset) / noise.gain, 1e-3)
        counts = np.rint((pixels - noise.offset) / noise.gain)
        above, below = poisson.sf(counts - 1, rate), poisson.cdf(counts, rate)
        return np.asarray(2 * np.minimum(above, below))
    deviation = np.sqrt(noise.variance(level))
    if isinstance(noise, PoissonGaussian):  # its tail is longer than a normal one
        deviation = deviation + noise.gain
    return np.asarray(2 * norm.sf(np.abs(pixels - level) / np.maximum(deviation, 1e-300)))
