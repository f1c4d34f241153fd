"""What a model leaves unexplained: the part of the residual that cannot be noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pywt
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import chi2

from emprior.grid import pool, unpool
from emprior.noise import NoiseModel

_WAVELET, _LEVELS, _MARGIN = "sym4", 3, 16
_REACH = 16  # wavelengths, about, over which the power of a band is averaged
_STRIP = 256  # rows
_CHANCE = 1e-6  # that noise alone reaches the power from which a band counts

Floats = NDArray[np.floating]


def explain(
    noisy: NDArray[Any], estimate: NDArray[Any], noise: NoiseModel, factor: int
) -> NDArray[np.float64]:
    r"""Add to an estimate what its residual says with certainty.

    .. math:: \hat x + W^{-1}\,\bigl[1 - v/P\bigr]_{P > c v}\,W(y - \hat x)

    with an undecimated wavelet transform W, the variance v that noise has in each band, and the
    mean power P of the band over n independent coefficients nearby: Wiener's gain, where there is
    certainly more than noise, whose P/v exceeds c once in a million (:math:`\chi^2_n / n`).

    Parameters
    ----------
    noisy : (H, W) ndarray
    estimate : (H, W) ndarray
        Of its unclipped mean.
    noise : NoiseModel
    factor : int
        Pixels that are averaged along each axis: finer structure cannot be in the image.

    Returns
    -------
    (H, W) ndarray
        The estimate itself where the residual is but noise.

    Notes
    -----
    Takes noise as independent between pixels. A model's error that is weaker than about a third
    of the noise, in its band, stays.
    """
    residual, deviation = _pooled(noisy, estimate, noise, factor)
    kept = _certain(residual / deviation) * deviation
    return estimate + unpool(kept, factor, estimate.shape)


def _pooled(
    noisy: NDArray[Any], estimate: NDArray[Any], noise: NoiseModel, factor: int
) -> tuple[Floats, Floats]:
    """Return the means of the residual over blocks, and their standard deviation under the noise.

    Strip by strip, since a large frame leaves no memory for a dozen copies of itself.
    """
    step = 1e-3 * float(np.abs(estimate).mean() or 1.0)
    # What `pad_to_multiple` would add.
    rows, columns = (np.pad(np.arange(n), (0, -n % factor), "symmetric") for n in noisy.shape)
    strip = factor * max(1, _STRIP // factor)
    parts = []
    for start in range(0, len(rows), strip):
        here = np.ix_(rows[start : start + strip], columns)
        data, clean = noisy[here].astype(np.float64), estimate[here].astype(np.float64)
        low, high = noise.mean(clean - step), noise.mean(clean + step)
        # Clipped data answer less than they are asked; where they hardly answer, nothing is known.
        slope = np.maximum((high - low) / (2 * step), 0.1)
        residual = (data - noise.mean(clean)) / slope
        variance = np.asarray(noise.variance(clean)) / slope**2
        parts.append([pool(x, factor) for x in (residual, np.broadcast_to(variance, data.shape))])
    residual, variance = (np.concatenate(some) for some in zip(*parts, strict=True))
    return residual, np.sqrt(np.maximum(variance, 1e-30)) / factor


def _certain(image: Floats) -> Floats:
    """Return what an image holds besides white noise of unit deviation."""
    H, W = image.shape
    unit = 2**_LEVELS
    sides = [(_MARGIN, _MARGIN + -(n + 2 * _MARGIN) % unit) for n in (H, W)]
    padded = np.pad(image, sides, mode="symmetric")
    bands = pywt.swt2(padded, _WAVELET, _LEVELS, norm=True, trim_approx=True)
    reach = min(H, W)
    # The first is the smooth rest; then details, the coarsest first.
    kept: list[Any] = [_wiener(bands[0], _LEVELS, reach)]
    for level, details in zip(range(_LEVELS, 0, -1), bands[1:], strict=True):
        kept.append(tuple(_wiener(band, level, reach) for band in details))
    return np.asarray(
        pywt.iswt2(kept, _WAVELET, norm=True)[_MARGIN : _MARGIN + H, _MARGIN : _MARGIN + W]
    )


def _wiener(band: Floats, level: int, reach: int) -> Floats:
    noise = 4.0**-level  # the transform keeps the sum of squares over all bands
    width = min(_REACH * 2**level, reach)
    power = ndimage.uniform_filter(band**2, width, mode="reflect") / noise
    independent = max(1.0, noise * width**2)
    sure = chi2.isf(_CHANCE, independent) / independent
    return np.asarray(band * np.where(power > sure, 1 - 1 / np.maximum(power, 1.0), 0.0))
