"""Counted electrons, without and with readout noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from emprior.noise.base import SMALLEST_RATE, Array, NoiseModel, check, special


@dataclass(frozen=True)
class Poisson(NoiseModel, kind="poisson"):
    """Counted electrons, ``noisy = gain·N + offset``, ``N ~ Poisson((clean − offset) / gain)``.

    Parameters
    ----------
    gain : float
        Data units per electron, positive. The noise P(s) of the literature, which divides counts
        of mean s·x by s, has gain 1/s.
    offset : float
        Data value of zero electrons.
    """

    gain: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        check(gain=self.gain)
        check(positive=False, offset=self.offset)

    def _rate(self, clean: Array) -> Array:
        xp = array_namespace(clean)
        return xp.clip((clean - self.offset) / self.gain, min=SMALLEST_RATE)

    def mean(self, clean: Array) -> Array:
        """Return `clean` itself."""
        return clean

    def variance(self, clean: Array) -> Array:
        """Return gain·(clean − offset)."""
        return self.gain**2 * self._rate(clean)

    def sample(self, clean: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Draw one noisy image; clean values below the offset count as zero electrons."""
        rate = np.maximum((np.asarray(clean, np.float64) - self.offset) / self.gain, 0)
        return (self.gain * rng.poisson(rate) + self.offset).astype(clean.dtype)

    def log_prob(self, noisy: Array, clean: Array) -> Array:
        """Return the log-probability of each pixel's count (the gamma function interpolates)."""
        rate = self._rate(clean)
        counts = (noisy - self.offset) / self.gain
        xp = array_namespace(rate)
        return counts * xp.log(rate) - rate - special(counts).gammaln(counts + 1)

    def score(self, noisy: Array, clean: Array) -> Array:
        """Return (counts / rate − 1) / gain."""
        return ((noisy - self.offset) / self.gain / self._rate(clean) - 1) / self.gain

    def fisher(self, clean: Array) -> Array:
        """Return 1 / variance."""
        return 1 / (self.gain**2 * self._rate(clean))

    def cumulants(self, clean: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return gain³ and gain⁴ times the rate: every cumulant of counts is their mean."""
        rate = self._rate(clean)
        return self.gain**3 * rate, self.gain**4 * rate

    def averaged(self, count: int) -> Poisson:
        """Return Poisson noise of gain / count: means of counts are scaled counts."""
        return Poisson(self.gain / count, self.offset)


@dataclass(frozen=True)
class PoissonGaussian(NoiseModel, kind="poisson-gaussian"):
    """Counted electrons with readout noise, ``gain·N + offset + N(0, sigma²)``.

    Scored as a normal density of the right mean and variance,
    ``v = gain·(clean − offset) + sigma²``.

    Parameters
    ----------
    gain, offset : float
        As for `Poisson`.
    sigma : float
        Standard deviation of the readout noise in data units, positive.

    Notes
    -----
    Wrong when counts are few (below about 3 a pixel) and sigma is below half the gain: the true
    density is then a comb that the normal density smooths over.
    """

    gain: float
    offset: float
    sigma: float
    exact: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check(gain=self.gain, sigma=self.sigma)
        check(positive=False, offset=self.offset)

    @property
    def _counts(self) -> Poisson:
        return Poisson(self.gain, self.offset)

    def mean(self, clean: Array) -> Array:
        """Return `clean` itself."""
        return clean

    def variance(self, clean: Array) -> Array:
        """Return gain·(clean − offset) + sigma²."""
        return self._counts.variance(clean) + self.sigma**2

    def sample(self, clean: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Draw one noisy image."""
        counted = self._counts.sample(clean, rng)
        return (counted + self.sigma * rng.standard_normal(clean.shape)).astype(clean.dtype)

    def log_prob(self, noisy: Array, clean: Array) -> Array:
        """Return the log-density of the normal approximation."""
        xp, v = array_namespace(clean), self.variance(clean)
        return -((noisy - clean) ** 2) / (2 * v) - xp.log(2 * math.pi * v) / 2

    def score(self, noisy: Array, clean: Array) -> Array:
        """Return r/v + gain/2·(r²/v² − 1/v) with r = noisy − clean."""
        v, r = self.variance(clean), noisy - clean
        return r / v + self.gain / 2 * (r**2 / v**2 - 1 / v)

    def fisher(self, clean: Array) -> Array:
        """Return 1/v + gain²/(2v²), that of the normal approximation."""
        v = self.variance(clean)
        return 1 / v + self.gain**2 / (2 * v**2)

    def cumulants(self, clean: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return those of the counts: normal readout noise adds none."""
        return self._counts.cumulants(clean)

    def averaged(self, count: int) -> PoissonGaussian:
        """Return the model of the mean of so many pixels."""
        return PoissonGaussian(self.gain / count, self.offset, self.sigma / count**0.5)
