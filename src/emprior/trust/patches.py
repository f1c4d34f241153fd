"""Atomic columns cut out of a denoised image: where they are, and what rises above the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from emprior.metrics import columns

Floats = NDArray[np.float64]

_RADIUS = 0.8  # Å, of a column at most; half way to its neighbour where that is nearer
_SMALLEST = 1.2  # pixels; of a smaller column nothing is left to see
_PROMINENT = 0.25  # standard deviations of the image, by which a column stands out at least
_PROMINENCE = 0.03  # the detector's own, of its vacuum level
_GAP = 0.7  # Å from all columns, where one may be missing
_SPREAD = 0.35  # Å, of a column where none is seen to take the shape from


def places(image: Floats, pixel_size: float) -> Floats:
    """Return where an image shows columns, (n, 2) rows and columns [Å].

    The unit of the image is not known, so that columns have to stand out by a quarter of its
    standard deviation, as much as 3 % of the vacuum is in simulated micrographs.
    """
    least = _PROMINENT * float(image.std())
    if not least > 1e-9 * float(np.abs(image).max()):  # a constant
        return np.empty((0, 2))
    return columns(image, pixel_size, vacuum=least / _PROMINENCE)


def vacuum_level(image: Floats, pixel_size: float) -> float:
    """Return the level of the flattest tenth of an image, in windows of 2 Å."""
    size = max(3, round(2 / pixel_size))
    mean = ndimage.uniform_filter(image, size)
    flat = ndimage.uniform_filter((image - image.mean()) ** 2, size) - (mean - image.mean()) ** 2
    return float(np.median(mean[flat <= np.quantile(flat, 0.1)]))


@dataclass(frozen=True, eq=False)
class Patches:
    """Square windows about the columns, on the pooled grid.

    Attributes
    ----------
    centres : (n, 2) ndarray
        Rows and columns [pooled pixels].
    radius : (n,) ndarray
        [pooled pixels]
    at : pair of (n, k, k) int ndarray
        Indices of the pixels.
    inside : (n, k, k) bool ndarray
        Which belong to the column.
    bumps : (n, k, k) ndarray
        The column itself: what rises above a plane through its surroundings.
    """

    centres: Floats
    radius: Floats
    at: tuple[NDArray[np.intp], NDArray[np.intp]]
    inside: NDArray[np.bool_]
    bumps: Floats

    def __len__(self) -> int:
        return len(self.centres)

    @property
    def typical(self) -> Floats | None:
        """The mean column, (k, k); None where there is none."""
        return self.bumps.mean(0) if len(self) else None

    @classmethod
    def of(cls, image: Floats, centres: Floats, pitch: float) -> Patches:
        """Cut the columns out; those cut off by the edge are left out."""
        apart = _nearest(centres)
        radius = np.minimum(_RADIUS / pitch, apart / 2)
        ring = max(1.5, 0.25 / pitch)
        reach = int(np.ceil(_RADIUS / pitch + ring))
        last = np.array(image.shape) - 1
        whole = np.all((centres >= radius[:, None]) & (centres <= last - radius[:, None]), axis=1)
        kept = whole & (radius >= 1.2)
        centres, radius = centres[kept], radius[kept]
        steps = np.arange(-reach, reach + 1)
        middle = np.rint(centres).astype(int)
        rows, columns = np.broadcast_arrays(
            middle[:, 0, None, None] + steps[:, None], middle[:, 1, None, None] + steps
        )
        here = (rows >= 0) & (rows <= last[0]) & (columns >= 0) & (columns <= last[1])
        at = np.clip(rows, 0, last[0]), np.clip(columns, 0, last[1])
        dy, dx = rows - centres[:, 0, None, None], columns - centres[:, 1, None, None]
        distance, edge = np.hypot(dy, dx), radius[:, None, None]
        around = here & (distance > edge) & (distance <= edge + ring)
        terms = np.stack([np.ones_like(dy), dy, dx], -1)
        weighted = terms * around[..., None]
        normal = np.einsum("nabi,nabj->nij", weighted, terms) + 1e-9 * np.eye(3)
        values = np.einsum("nabi,nab->ni", weighted, image[at])
        plane = np.einsum("nabi,ni->nab", terms, np.linalg.solve(normal, values[..., None])[..., 0])
        taper = np.clip((edge - distance) / (0.3 * edge), 0, 1) * here
        return cls(centres, radius, at, taper > 0, (image[at] - plane) * taper)


def _nearest(centres: Floats) -> Floats:
    """Return the distance of each point to its nearest neighbour; infinite for a single one."""
    if len(centres) < 2:
        return np.full(len(centres), np.inf)
    return np.asarray(KDTree(centres).query(centres, k=2)[0][:, 1])


def free(shape: tuple[int, int], patches: Patches, pitch: float) -> NDArray[np.bool_]:
    """Tell where, on the pooled grid, there is room for a column besides those that are drawn."""
    taken = np.ones(shape, bool)
    if not len(patches):
        return taken
    taken[tuple(np.rint(patches.centres).astype(int).T)] = False
    return np.asarray(ndimage.distance_transform_edt(taken) * pitch > _GAP)


def blob(pitch: float) -> Floats:
    """Return a Gaussian of a column's width, (k, k), where no column gives its shape."""
    reach = int(np.ceil(_RADIUS / pitch))
    steps = np.arange(-reach, reach + 1) * pitch
    return np.exp(-(steps[:, None] ** 2 + steps**2) / (2 * _SPREAD**2))
