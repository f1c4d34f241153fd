"""Drift between the frames of a movie, from the frames themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage
from skimage.registration import phase_cross_correlation

from emprior.grid import pool

_LARGEST = 1024  # pixels a side that are registered; larger frames are pooled first
_SMOOTHED = 3.0  # pixels; structure is wider, noise is not
_FINE = 10  # parts of a pixel
_SURE = 2.0  # standard errors by which a frame fits better elsewhere than the best chance would


def drift(frames: Sequence[NDArray[np.floating]], centre: int) -> NDArray[np.float64]:
    """Return how far the object of each frame has moved from where it is in one of them.

    Outwards from that one each frame is registered to the mean of those before it, at their own
    places, so that even few electrons tell. What fits no better elsewhere than noise might make it
    is taken to stand where the frame before did: an average suffers less from what the data cannot
    tell than from the highest of many random maxima.

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
            if _fits_better(moved, total / abs(s - centre), step, _SMOOTHED / factor):
                here = np.rint(here) + step
            found[s] = factor * here
            total += _shifted(small[s], -np.rint(here))
    return found


def _prepared(frame: NDArray[np.floating], factor: int) -> NDArray[np.float32]:
    """Return a small, smooth frame that falls to zero at its edges."""
    small = pool(frame, factor).astype(np.float32)
    small = ndimage.gaussian_filter(small - small.mean(), _SMOOTHED / factor)
    return np.asarray(small * np.outer(*(np.hanning(n + 2)[1:-1] for n in small.shape)))


def _fits_better(
    frame: NDArray[np.floating],
    template: NDArray[np.floating],
    step: NDArray[np.float64],
    width: float,
) -> bool:
    r"""Tell whether a template fits a frame better where it moves to, and not by chance.

    The gain is the product of the frame with the template's change; what noise makes of that has
    the variance that the residual's power spectrum gives it. The best of n random places gains
    about :math:`\sqrt{2\ln n}` standard errors, and there are the more the further it moves.
    """
    there = _shifted(template, np.rint(step))
    change = fft.rfft2(there - template)
    error = np.linalg.norm(change * np.abs(fft.rfft2(frame - there)))
    places = 1 + float((step**2).sum()) / width**2
    chance = (_SURE + (2 * np.log(places)) ** 0.5) * error * 2**0.5 / frame.size
    return bool((frame * (there - template)).sum() >= chance)


def _shifted(image: NDArray[np.floating], by: NDArray[np.float64]) -> NDArray[np.floating]:
    return np.asarray(np.roll(image, by.astype(int), (0, 1)))
