r"""The working law of a prior: what range and free numbers make of noise.

.. math:: \mathrm{MSE} \approx 10^{-R/10} + p\,v/N

R is the PSNR (range 1) without noise, that is, how far the best image of the prior is from the
truth; p the number of free numbers that the noise moves; v the variance of the noise in a pixel,
or where it is clipped the inverse Fisher information; N the number of pixels. For an unbiased
estimate of p numbers the second term is the Cramér–Rao bound.
"""

from __future__ import annotations

import math


def psnr(range_db: float, parameters: float, variance: float, pixels: int) -> float:
    """Return the PSNR (range 1) that the law gives [dB]; infinite without any error."""
    error = 10 ** (-range_db / 10) + parameters * variance / pixels
    return -10 * math.log10(error) if error else math.inf


def parameters(psnr_db: float, range_db: float, variance: float, pixels: int) -> float:
    """Return the effective free numbers p by which a PSNR lies below the range, both in dB.

    Negative where noise made the image better than it is without.
    """
    return (10 ** (-psnr_db / 10) - 10 ** (-range_db / 10)) * pixels / variance


def own_share(range_db: float, psnr_db: float) -> float:
    """Return the share of an error that is the prior's own, from its range and its PSNR [dB].

    The rest is what noise does to the free numbers. At most 1: noise may do a search good.
    """
    return min(10 ** ((psnr_db - range_db) / 10), 1.0)
