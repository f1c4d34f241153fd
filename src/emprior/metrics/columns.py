"""The atomic columns that an image shows, and how many of them an estimate has right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from emprior.errors import ImageError
from emprior.metrics.pixels import check_pair
from emprior.micrograph import check_pixel_size
from emprior.specimen import VACUUM

_PROMINENCE = 0.03  # of the vacuum level
_WIDEST = 2.0  # Å
_MATCH = 0.4  # Å
_BORDER = 1.0  # Å


@dataclass(frozen=True)
class ColumnScore:
    """How many atomic columns an estimate has right.

    Parameters
    ----------
    matched, added, removed : int
        Columns in both, in the estimate only, and in the truth only.
    """

    matched: int
    added: int
    removed: int

    @property
    def precision(self) -> float:
        """Share of the estimate's columns that exist; 0 if it has none."""
        return self.matched / max(self.matched + self.added, 1)

    @property
    def recall(self) -> float:
        """Share of the true columns that were found."""
        return self.matched / max(self.matched + self.removed, 1)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.matched / max(2 * self.matched + self.added + self.removed, 1)


def column_f1(
    estimate: ArrayLike, truth: ArrayLike, pixel_size: float, *, vacuum: float = VACUUM
) -> ColumnScore:
    """Score the atomic columns of an estimate against those visible in the clean image.

    One detector (`columns`) reads both, with the polarity of the truth. Columns are paired one to
    one, as many as possible within 0.4 Å and then at the least total distance. A border of 1 Å is
    dropped: by the true position for true and matched columns, by its own for an added one.

    Parameters
    ----------
    estimate, truth : (H, W) array_like
    pixel_size : float
        In Å.
    vacuum : float
        Level of the vacuum, which scales the least prominence.

    Raises
    ------
    ImageError
        If the shapes differ, a pixel is not finite, or the truth shows no column.
    OptionError
        If the pixel size is not a positive number.

    Notes
    -----
    The truth is what can be seen in the clean image, not the atoms of the model: at a defocus
    where columns vanish or split, neither is an atom.
    """
    x_hat, x = check_pair(estimate, truth)
    sign = polarity(x, pixel_size)
    found = columns(x_hat, pixel_size, vacuum=vacuum, sign=sign)
    true = columns(x, pixel_size, vacuum=vacuum, sign=sign)
    counted = inside(true, x.shape, pixel_size)
    if not counted.any():
        raise ImageError(
            "a clean image in which no atomic column is seen",
            expected=f"local extrema {_PROMINENCE:.0%} of the vacuum level above or below their "
            "surroundings, 1 Å or more from the edge",
            why="there is nothing to score columns against",
            fix="check the pixel size (in Å) and the vacuum level, or use psnr alone",
        )
    pairs = match(true, found, _MATCH)
    partners = {j for _, j in pairs}
    matched = sum(bool(counted[i]) for i, _ in pairs)
    added = sum(
        bool(here) for j, here in enumerate(inside(found, x.shape, pixel_size)) if j not in partners
    )
    return ColumnScore(matched, added, int(counted.sum()) - matched)


def match(true: NDArray[Any], found: NDArray[Any], reach: float) -> list[tuple[int, int]]:
    """Pair points one to one: as many as possible within reach, then at the least total distance.

    Parameters
    ----------
    true, found : (M, 2) and (N, 2) ndarray
    reach : float
        In their unit.

    Returns
    -------
    list of (int, int)
        Indices of partners.
    """
    distance = cdist(true, found)
    near = distance <= reach
    # Beyond reach every pair costs the same, more than all pairs within reach together.
    cost = np.where(near, distance, 1 + reach * min(distance.shape))
    return [(i, j) for i, j in zip(*linear_sum_assignment(cost), strict=True) if near[i, j]]


def columns(
    image: ArrayLike, pixel_size: float, *, vacuum: float = VACUUM, sign: int | None = None
) -> NDArray[np.float64]:
    r"""Return the positions of the atomic columns that can be seen.

    A column is a local extremum, after a Gaussian band limit of 0.15 Å, whose topographic
    prominence (the least drop on any path to a higher one) is at least 3 % of the vacuum level
    and that stands out as much from an opening by 2 Å × 2 Å, which tells it from the vacuum, a
    wide plateau. Its position is refined by the parabola through its neighbours.

    Parameters
    ----------
    image : (H, W) array_like
        Clean or denoised.
    pixel_size : float
        In Å.
    vacuum : float
        Level of the vacuum.
    sign : {1, -1}, optional
        1 for bright columns, -1 for dark ones. None: found by `polarity`.

    Returns
    -------
    (n, 2) ndarray
        Row and column position in Å from the centre of the first pixel.
    """
    from skimage.morphology import h_maxima

    smooth = _band_limited(image, pixel_size)
    smooth = smooth * (polarity(smooth, pixel_size) if sign is None else sign)
    least = _PROMINENCE * vacuum
    peaks, count = ndimage.label(h_maxima(smooth, least), np.ones((3, 3)))
    if not count:
        return np.empty((0, 2))
    positions = np.array(ndimage.maximum_position(smooth, peaks, np.arange(1, count + 1)))
    narrow = ndimage.white_tophat(smooth, size=1 + 2 * round(_WIDEST / 2 / pixel_size)) >= least
    positions = positions[narrow[tuple(positions.T)]]
    return (positions + _vertex(smooth, positions)) * pixel_size


def inside(positions: NDArray[Any], shape: tuple[int, ...], pixel_size: float) -> NDArray[np.bool_]:
    """Tell which positions, (n, 2) in Å, are 1 Å or more from the edges of an image."""
    extent = (np.array(shape) - 1) * pixel_size
    return np.all((positions >= _BORDER) & (positions <= extent - _BORDER), axis=-1)


def polarity(image: ArrayLike, pixel_size: float) -> int:
    """Return 1 if the atomic columns are bright, -1 if they are dark.

    Columns are small and the space between them is not, so that the longer tail of the pixel
    values points to the columns: the sign of the skewness of the band-limited image.

    Notes
    -----
    Undecided at a defocus of vanishing or reversing contrast, where columns and the gaps between
    them are equally sharp, and on images of noise.
    """
    smooth = _band_limited(image, pixel_size)
    return 1 if np.mean((smooth - smooth.mean()) ** 3) >= 0 else -1


def _band_limited(image: ArrayLike, pixel_size: float) -> NDArray[np.float64]:
    width = 0.15 / check_pixel_size(pixel_size)
    return ndimage.gaussian_filter(np.asarray(image, np.float64), width, mode="reflect")


def _vertex(image: NDArray[np.float64], positions: NDArray[Any]) -> NDArray[np.float64]:
    """Return each maximum's offset from its pixel, in pixels, from a parabola along each axis."""
    padded = np.pad(image, 1, mode="reflect")
    r, c = positions.T + 1
    here = padded[r, c]
    offsets = []
    for before, after in (
        (padded[r - 1, c], padded[r + 1, c]),
        (padded[r, c - 1], padded[r, c + 1]),
    ):
        bend = 2 * here - before - after
        offset = np.divide(after - before, 2 * bend, out=np.zeros(len(here)), where=bend > 0)
        offsets.append(np.clip(offset, -0.5, 0.5))
    return np.stack(offsets, axis=-1)
