r"""What is left of the noisy image, beside what the noise would leave of the truth.

Residuals are Pearson's, :math:`(y - E[y|\hat x]) / \sqrt{\mathrm{Var}[y|\hat x]}`, rather than
randomised quantiles. The latter are exactly normal, but the randomness that makes them so hides a
third of the information at 0.45 electrons a pixel (their correlation with the count is 0.82). What
is not normal in Pearson's is known instead: mean, variance, third and fourth cumulant of each pixel
follow from the noise model, they add up over pixels, and sums over few pixels are brought to a
normal distribution by their skewness.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emprior.noise import NoiseModel

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Residual:
    """The residual and its cumulants if the denoised image were the truth.

    Attributes
    ----------
    expectation : (H, W) ndarray
        Of the noisy image, in units of the data: the denoised one, but where values are clipped.
    deviation : (H, W) ndarray
        Noisy minus its expectation.
    variance, third, fourth : (H, W) ndarray
        Cumulants of the deviation, in powers of that unit.
    slack : float
        Relative standard error of the variance, where it was read from the frame; 0 where known.
    """

    expectation: Floats
    deviation: Floats
    variance: Floats
    third: Floats
    fourth: Floats
    slack: float = 0.0

    @classmethod
    def of(cls, noisy: Floats, denoised: Floats, noise: NoiseModel, slack: float) -> Residual:
        """Subtract the expectation from the noisy image."""
        expectation, variance = noise.mean(denoised), noise.variance(denoised)
        return cls(
            expectation, noisy - expectation, variance, *noise.cumulants(denoised), slack=slack
        )

    @property
    def standardised(self) -> Floats:
        """Pearson residuals, (H, W)."""
        return self.deviation / np.sqrt(self.variance)


def normalise(z: Floats, skewness: Floats) -> Floats:
    r"""Return normal deviates of the same tail probability as standardised sums that are skewed.

    .. math:: \frac{6}{\gamma}\left[\left(1 + \frac{\gamma z}{2}\right)^{1/3} - 1\right]
        + \frac{\gamma}{6}

    E. B. Wilson & M. M. Hilferty, PNAS 17, 684 (1931): the cube root of a gamma variable is nearly
    normal, here one of skewness γ. Sums of counts have lighter tails than that, so that their
    p-values come out a little too large.
    """
    g = np.where(np.abs(skewness) < 1e-6, 1e-6, skewness)
    return 6 / g * (np.cbrt(1 + g * z / 2) - 1) + g / 6
