"""Drift between the frames of a movie, from the frames themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from emprior.grid import pool

_LARGEST = 1024  # pixels a side that are registered; larger frames are pooled first
_SMOOTHED = 3.0  # pixels; structure is wider, noise is not
_FINE = 10  # parts of a pixel


def drift(frames: Sequence[NDArray[np.floating]], centre: int) -> NDArray[np.float64]:
    """Return how far the object of each frame has moved from where it is in one of them.

    Outwards from that one each frame is registered to the mean of those before it, at their own
    places, so that even few electrons tell.

    Parameters
    ----------
    frames : sequence of (H, W) ndarray
    centre : int
        Which of them the others are compared with.

    Returns
    -------
    (n, 2) ndarray
        Rows and columns, in pixels; zero for the centre. Frame s shows at ``p + found[s]`` what the
        centre shows at p.

    Notes
    -----
    By the maximum of the cross-correlation (`skimage.registration`). A perfect lattice that fills
    the frame looks the same after a period: drift is then found but for whole periods.
    """
    factor = -(-max(frames[centre].shape) // _LARGEST)
    small = [_prepared(frame, factor) for frame in frames]
    found = np.zeros((len(frames), 2))
    for way in (1, -1):
        total, here = small[centre].copy(), np.zeros(2)
        others = range(centre + way, len(frames) if way > 0 else -1, way)
        for s in others:
            moved = _shifted(small[s], -np.rint(here))
            step, _, _ = phase_cross_correlation(
                moved, total, upsample_factor=_FINE * factor, normalization=None
            )
            here = np.rint(here) + step
            found[s] = factor * here
            total += _shifted(small[s], -np.rint(here))
    return found


def _prepared(frame: NDArray[np.floating], factor: int) -> NDArray[np.float32]:
    """Return a small, smooth frame that falls to zero at its edges."""
    small = pool(frame, factor).astype(np.float32)
    small = ndimage.gaussian_filter(small - small.mean(), _SMOOTHED / factor)
    return np.asarray(small * np.outer(*(np.hanning(n + 2)[1:-1] for n in small.shape)))


def _shifted(image: NDArray[np.float32], by: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(np.roll(image, by.astype(int), (0, 1)))
