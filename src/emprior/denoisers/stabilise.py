r"""Variance stabilisation: any noise made Gaussian of unit deviation, and the exact way back.

From the mean :math:`m(x)` and variance :math:`v(x)` that a noise model states,

.. math:: f(y) = \int^y \frac{dm}{\sqrt{v + \tfrac38\,(dv/dm)^2}}

has nearly unit variance wherever counts exceed about one. For Poisson counts it is Anscombe's
:math:`2\sqrt{y/g + 3/8}`, with readout noise the generalised Anscombe transform, for the mean of
clipped single counts Anscombe's arcsine [1]_. Denoising estimates :math:`E[f(y)\,|\,x]`, not
:math:`f(x)`; the inverse is of the former, hence unbiased [2]_ and, where values are clipped, it
answers the unclipped mean.

References
----------
.. [1] F. J. Anscombe, Biometrika 35 (1948) 246, eqs. (1.3), (2.2) and (3.5).
.. [2] M. Mäkitalo and A. Foi, IEEE Trans. Image Process. 20 (2011) 99, eq. (6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import NDArray
from scipy import ndimage, special
from scipy.interpolate import PchipInterpolator
from scipy.stats import binom

from emprior.noise import ClippedPoisson, Gaussian, Hits, NoiseModel, Poisson, PoissonGaussian

Values = NDArray[np.floating]

_KNOTS = 1024
_MANY = 50.0  # mean counts beyond which a normal density stands in for the Poisson law
_LONGEST = 4096  # outcomes of a clipped sum beyond which it does likewise
_DARKEST = 1e-3  # variance of f at which a frame counts as empty; keeps its scale finite
_NODES, _WEIGHTS = (a for a in hermegauss(16))
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


@dataclass(frozen=True, eq=False)
class Stabiliser:
    """A pair of monotone curves between the data and values of unit Gaussian noise.

    Parameters
    ----------
    value, stable : (T,) ndarray
        Knots of ``stable = f(value)``; beyond them it continues straight.
    expected, clean : (T,) ndarray
        Knots of the inverse, from the expectation of `stable` to the unclipped clean value.

    Notes
    -----
    Expectations are exact sums over counts up to 50 of them a pixel (clipped counts: up to a
    ceiling of 4096), and 16-point Gauss–Hermite quadrature beyond, which is within 10⁻³ of the
    unit deviation. Below one count a pixel the noise is unit only near the frame's mean.
    """

    value: Values
    stable: Values
    expected: Values
    clean: Values

    def forward(self, image: NDArray[Any]) -> Values:
        """Return the image with unit Gaussian noise."""
        return _straight_beyond(image, self.value, self.stable)

    def inverse(self, stable: NDArray[Any]) -> Values:
        """Return the clean image whose stabilised noisy image has this expectation."""
        return _straight_beyond(stable, self.expected, self.clean)


def stabiliser(noise: NoiseModel, image: NDArray[Any], count: int = 1) -> Stabiliser:
    """Return the stabiliser for one frame.

    Parameters
    ----------
    noise : NoiseModel
        Of single pixels.
    image : (H, W) ndarray
        The frame, or its pooled pixels.
    count : int
        How many pixels each value of `image` is the mean of.
    """
    if isinstance(noise, Gaussian):
        ends = np.array([image.min(), image.max()], np.float64)
        unit = ends * np.sqrt(count) / noise.sigma
        return Stabiliser(ends, unit, unit, ends)
    clean = _clean_values(noise, image, count)
    mean, variance = noise.mean(clean), noise.variance(clean) / count
    # Below zero counts the variance is constant: the curve starts where it begins to grow. Where
    # all is clipped the mean no longer does: there it ends.
    rising = np.diff(mean) > 1e-9 * np.ptp(mean)
    start = int(np.argmax(rising & (np.diff(variance) != 0)))
    stop = start + int(np.argmin(np.append(rising[start:], False)))
    clean, mean, variance = (knots[start : stop + 1] for knots in (clean, mean, variance))
    slope = np.gradient(variance, mean)
    rise = 1 / np.sqrt(variance + 3 / 8 * slope**2)
    stable = np.append(0, np.cumsum(np.diff(mean) * (rise[1:] + rise[:-1]) / 2))

    def f(values: Values) -> Values:
        return _straight_beyond(values, mean, stable)

    expected, spread = _expectation(f, noise, clean, count)
    typical = _inverse_mean(noise, np.asarray(image.mean(dtype=np.float64)), clean)
    unit = max(float(np.interp(typical, clean, spread)), _DARKEST) ** 0.5
    apart = np.append(True, np.diff(np.maximum.accumulate(expected)) > 0)
    return Stabiliser(mean, stable / unit, expected[apart] / unit, clean[apart])


def unclip(image: NDArray[Any], noise: NoiseModel) -> NDArray[Any]:
    """Return the clean values that have these mean values: what a linear filter must end with.

    The image itself for all noises but clipped ones.
    """
    if np.array_equal(noise.mean(image), image):
        return image
    return _inverse_mean(noise, image, _clean_values(noise, image, 1)).astype(image.dtype)


def mean_variance(noise: NoiseModel, image: NDArray[Any]) -> float:
    """Return the noise variance of a frame, averaged over its pixels.

    Evaluated at means of 9 × 9 pixels, which matters only where it is not linear in them.
    """
    local = ndimage.uniform_filter(image.astype(np.float64), 9)
    return float(np.mean(noise.variance(unclip(local, noise))))


def _clean_values(noise: NoiseModel, image: NDArray[Any], count: int) -> Values:
    """Return clean values whose means span the frame, densest at the low end."""
    low, high = np.float64(image.min()), np.float64(image.max())
    below, above = (10 * np.sqrt(noise.variance(end) / count) for end in (low, high))
    bottom, top = low - below, high + above
    for _ in range(20):  # a clipped mean approaches its maximum exponentially
        if noise.mean(top) >= high - 1e-3 * (high - low):
            break
        top = bottom + 1.5 * (top - bottom)
    return bottom + (top - bottom) * np.linspace(0, 1, _KNOTS) ** 2


def _inverse_mean(noise: NoiseModel, mean: NDArray[Any], clean: Values) -> Values:
    values = np.maximum.accumulate(noise.mean(clean))
    rising = np.append(np.diff(values) > 0, True)
    curve = PchipInterpolator(values[rising], clean[rising])
    return curve(np.clip(mean, values[rising][0], values[rising][-1]))


def _expectation(f: Any, noise: NoiseModel, clean: Values, count: int) -> tuple[Values, Values]:
    """Return mean and variance of f(mean of `count` noisy pixels) at each clean value."""
    spread = np.sqrt(noise.variance(clean) / count)[:, None]
    moments = _moments(f, noise.mean(clean)[:, None] + spread * _NODES, _WEIGHTS)
    if isinstance(noise, Hits) and noise.pixels * count <= _LONGEST:
        moments = _moments(f, *_hits(noise, clean, count))
    if isinstance(noise, (Poisson, PoissonGaussian)):
        rate = (clean - noise.offset) / noise.gain
        few = (rate >= 0) & (rate * count <= _MANY)
        if isinstance(noise, ClippedPoisson):
            few = few | (min(noise.ceiling, _most(rate.max())) * count <= _LONGEST)
        if few.any():
            moments[:, few] = _moments(f, *_outcomes(noise, rate[few], count))
    first, second = moments
    return first, second - first**2


def _moments(f: Any, values: Values, weights: Values) -> Values:
    stable = f(values)
    return np.stack([(stable**power * weights).sum(-1) for power in (1, 2)])


def _outcomes(noise: Poisson | PoissonGaussian, rate: Values, count: int) -> tuple[Values, Values]:
    """Return the values that a mean of `count` pixels can take, and each one's probability."""
    if isinstance(noise, ClippedPoisson):
        probability = _clipped_sum(noise, rate, count)
        counts = np.arange(probability.shape[-1])
    else:
        counts = np.arange(_most(rate.max(initial=0) * count))
        probability = _poisson(counts, rate * count)
    values = noise.gain / count * counts + noise.offset
    if isinstance(noise, ClippedPoisson) and count == 1:
        values = np.minimum(values, noise.maximum)
    if isinstance(noise, PoissonGaussian):
        values = np.add.outer(values, noise.sigma / np.sqrt(count) * _NODES).ravel()
        probability = (probability[..., None] * _WEIGHTS).reshape(len(rate), -1)
    return values, probability


def _hits(noise: Hits, clean: Values, count: int) -> tuple[Values, Values]:
    pixels = noise.pixels * count
    hits = np.arange(pixels + 1)
    values = noise.offset + (noise.maximum - noise.offset) / pixels * hits
    chance = (noise.mean(clean) - noise.offset) / (noise.maximum - noise.offset)
    return values, binom.pmf(hits, pixels, chance[:, None])


def _clipped_sum(noise: ClippedPoisson, rate: Values, count: int) -> Values:
    """Return the distribution of the sum of `count` clipped counts, (T, ceiling·count + 1).

    In a sum, a maximum between two counts is shared between them so that its mean stays.
    """
    ceiling = min(noise.ceiling, _most(rate.max()))
    one = _poisson(np.arange(ceiling + 1), rate)
    one[:, ceiling] = 1 - one[:, :ceiling].sum(-1)
    if ceiling == noise.ceiling and count > 1:
        short = ceiling - (noise.maximum - noise.offset) / noise.gain
        one[:, ceiling - 1] += short * one[:, ceiling]
        one[:, ceiling] *= 1 - short
    length = ceiling * count + 1
    return scipy.fft.irfft(scipy.fft.rfft(one, length) ** count, length)


def _poisson(counts: NDArray[Any], rate: Values) -> Values:
    rate = np.maximum(rate, 1e-300)[:, None]
    return np.exp(counts * np.log(rate) - rate - special.gammaln(counts + 1.0))


def _most(rate: float) -> int:
    """Return a count that a Poisson law of this rate does not exceed, to double precision."""
    return int(rate + 10 * np.sqrt(rate) + 20)


def _straight_beyond(at: NDArray[Any], knots: Values, values: Values) -> Values:
    """Interpolate between knots and continue the first and last segments beyond them."""
    inside = np.interp(at, knots, values)
    first = (values[1] - values[0]) / (knots[1] - knots[0])
    last = (values[-1] - values[-2]) / (knots[-1] - knots[-2])
    low, high = np.minimum(at - knots[0], 0), np.maximum(at - knots[-1], 0)
    return inside + first * low + last * high
