"""Counted electrons, cut at the largest value that a file or detector can show."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from emprior.errors import OptionError
from emprior.noise.base import Array, check, special
from emprior.noise.counted import Poisson
from emprior.noise.hits import Hits


@dataclass(frozen=True)
class ClippedPoisson(Poisson, kind="clipped-poisson"):
    r"""Counted electrons whose scaled value is cut at a maximum.

    ``noisy = min(gain·N + offset, maximum)``. A pixel at the maximum says only that
    :math:`N \ge c` with :math:`c = \lceil(\mathrm{maximum}-\mathrm{offset})/\mathrm{gain}\rceil`,
    so its likelihood is the tail :math:`P(N \ge c)`, the regularised incomplete gamma function.
    With gain 1 and maximum 1 this is Bernoulli(1 − e^−x), the paper's Poisson(1).

    Parameters
    ----------
    gain, offset : float
        As for `Poisson`.
    maximum : float
        Largest value that the data can take, at least offset + gain / 2.

    Notes
    -----
    Least squares on such data converges to the clipped mean, not to the clean image. The family
    is not closed under averaging; only where one electron is the ceiling are means counts of hits.
    """

    maximum: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check(positive=False, maximum=self.maximum)
        if not self.maximum >= self.offset + self.gain / 2:
            raise OptionError(
                f"clipping at {self.maximum:g} with gain {self.gain:g} and offset {self.offset:g}",
                expected="a maximum of at least offset + gain / 2",
                why="below it no electron could ever be told from none",
                fix="give the largest value that the detector can show",
            )

    @property
    def ceiling(self) -> int:
        """The count c from which on all are shown as the maximum."""
        # The small slack keeps 1 / 0.04 = 25.000000000000004 at 25.
        return max(1, math.ceil((self.maximum - self.offset) / self.gain - 1e-6))

    @property
    def _level(self) -> float:
        # The maximum in counts; below the ceiling where it lies between two counts.
        return (self.maximum - self.offset) / self.gain

    def _tail(self, rate: Array) -> tuple[Array, Array, Array]:
        """Return P(N = c − 1), P(N ≤ c − 1) and P(N ≥ c), in double precision."""
        xp = array_namespace(rate)
        c, rate = float(self.ceiling), xp.astype(rate, xp.float64)
        if c == 1:  # Bernoulli(1 − e^−rate), for which the gamma functions are slow
            none = xp.exp(-rate)
            return none, none, -xp.expm1(-rate)
        functions, order = special(rate), xp.zeros_like(rate) + c
        last = xp.exp((c - 1) * xp.log(rate) - rate - math.lgamma(c))
        return last, functions.gammaincc(order, rate), functions.gammainc(order, rate)

    def _saturated(self, rate: Array) -> tuple[Array, Array]:
        """Return log P(N ≥ c) and its derivative p(c − 1) / P(N ≥ c), in double precision.

        Where the tail underflows it is the first term, p(c), and a geometric series after it.
        """
        xp, c = array_namespace(rate), float(self.ceiling)
        last, _, above = self._tail(rate)
        rate = xp.astype(rate, xp.float64)
        series = 1 / (1 - xp.clip(rate / (c + 1), max=0.9))
        far = c * xp.log(rate) - rate - math.lgamma(c + 1) + xp.log(series)
        seen = above > 1e-280
        above = xp.where(seen, above, xp.ones_like(above))
        return (
            xp.where(seen, xp.log(above), far),
            xp.where(seen, last / above, c / rate / series),
        )

    def mean(self, clean: Array) -> Array:
        """Return the mean of the clipped value, below `clean` where clipping bites."""
        xp, rate = array_namespace(clean), self._rate(clean)
        last, below, above = self._tail(rate)
        counts = rate * (below - last) + self._level * above
        return xp.astype(self.gain * counts + self.offset, clean.dtype)

    def variance(self, clean: Array) -> Array:
        """Return the variance of the clipped value."""
        xp, rate, c = array_namespace(clean), self._rate(clean), float(self.ceiling)
        last, below, above = self._tail(rate)
        mean = rate * (below - last) + self._level * above
        # P(N ≤ c − 3) = P(N ≤ c − 1) − p(c − 1) − p(c − 2), and p(c − 2) = p(c − 1)·(c − 1)/rate.
        square = rate**2 * (below - last) - rate * (c - 1) * last + rate * (below - last)
        square = square + self._level**2 * above
        return xp.astype(self.gain**2 * xp.clip(square - mean**2, min=0.0), clean.dtype)

    def sample(self, clean: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Draw one noisy image, clipped at the maximum."""
        return np.minimum(super().sample(clean, rng), clean.dtype.type(self.maximum))

    def _clipped(self, noisy: Array) -> Array:
        return noisy >= self.maximum - self.gain * 1e-3

    def log_prob(self, noisy: Array, clean: Array) -> Array:
        """Return log P(N) below the maximum and log P(N ≥ c) at it."""
        xp, rate = array_namespace(clean), self._rate(clean)
        tail = xp.astype(self._saturated(rate)[0], clean.dtype)
        return xp.where(self._clipped(noisy), tail, super().log_prob(noisy, clean))

    def score(self, noisy: Array, clean: Array) -> Array:
        """Return the Poisson score below the maximum and p(c − 1) / P(N ≥ c) / gain at it."""
        xp, rate = array_namespace(clean), self._rate(clean)
        tail = xp.astype(self._saturated(rate)[1] / self.gain, clean.dtype)
        return xp.where(self._clipped(noisy), tail, super().score(noisy, clean))

    def fisher(self, clean: Array) -> Array:
        r"""Return the information left after clipping.

        With :math:`\lambda` the rate, :math:`p = P(N = c-1)`, :math:`F = P(N < c)`:
        :math:`(F - p\,(c-\lambda))/\lambda + p^2/(1-F)`, per squared gain; 1/(e^λ − 1) at c = 1.
        """
        xp, rate = array_namespace(clean), self._rate(clean)
        last, below, _ = self._tail(rate)
        information = (below - last * (float(self.ceiling) - rate)) / rate
        information = information + last * self._saturated(rate)[1]
        return xp.astype(information / self.gain**2, clean.dtype)

    def cumulants(self, clean: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return those of the clipped value, summed over the counts that it can show.

        Summed on 256 rates and interpolated between: they change smoothly, and counts may be many.
        """
        rate = self._rate(np.asarray(clean, np.float64))
        low, high = float(rate.min()), float(rate.max())
        rates = np.linspace(low, high, 256)[:, None]
        first = max(0, math.floor(low - 12 * math.sqrt(low) - 12))
        counts = np.arange(min(first, self.ceiling), self.ceiling)
        functions = special(rates)
        weights = np.exp(counts * np.log(rates) - rates - functions.gammaln(counts + 1))
        weights = np.concatenate([weights, functions.gammainc(float(self.ceiling), rates)], 1)
        values = np.append(counts, self._level)
        weights /= weights.sum(1, keepdims=True)
        deviations = values - (weights @ values)[:, None]
        second, third, fourth = ((weights * deviations**n).sum(1) for n in (2, 3, 4))
        return (
            self.gain**3 * np.interp(rate, rates[:, 0], third),
            self.gain**4 * np.interp(rate, rates[:, 0], fourth - 3 * second**2),
        )

    def averaged(self, count: int) -> Hits | None:  # type: ignore[override]
        """Return how many pixels were hit, where that is all they tell; None elsewhere."""
        if self.ceiling > 1:
            return None
        return Hits(self.gain, self.offset, self.maximum, count)
