"""Pixels that show at most one electron: whether they were hit."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from emprior.errors import OptionError
from emprior.noise.base import SMALLEST_RATE, Array, NoiseModel, check, special


@dataclass(frozen=True)
class Hits(NoiseModel, kind="hits"):
    r"""Means of pixels that show only whether they were hit: k of n, from `offset` to `maximum`.

    .. math:: k \sim \mathrm{Binomial}(n, q\,(1 - e^{-\lambda})), \qquad
        \lambda = (\mathrm{clean} - \mathrm{offset}) / \mathrm{gain}

    Parameters
    ----------
    gain, offset, maximum : float
        Of the pixels, as for `ClippedPoisson` with a ceiling of one electron.
    pixels : int
        n.
    efficiency : float
        q, the probability that a hit is shown, in (0, 1].
    """

    gain: float
    offset: float
    maximum: float
    pixels: int
    efficiency: float = 1.0

    def __post_init__(self) -> None:
        check(gain=self.gain)
        check(positive=False, offset=self.offset, maximum=self.maximum)
        if not 0.5 <= (self.maximum - self.offset) / self.gain <= 1 + 1e-6:
            raise OptionError(
                f"clipping at {self.maximum:g} with gain {self.gain:g} and offset {self.offset:g}",
                expected="a maximum from half an electron to one",
                why="pixels that tell more counts are more than hit or not",
                fix="score them pixel by pixel, with ClippedPoisson",
            )
        if self.pixels < 1:
            raise OptionError(
                f"means of {self.pixels} pixels",
                expected="one pixel or more",
                why="they are what is averaged",
                fix="give how many there are",
            )
        if not 0 < self.efficiency <= 1:
            raise OptionError(
                f"an efficiency of {self.efficiency:g}",
                expected="a probability above 0",
                why="it is that of a hit to be shown",
                fix="give 1 where all are shown",
            )

    def _chance(self, clean: Array) -> tuple[Array, Array, Array]:
        """Return the probabilities that a pixel shows a hit and that not, and d(former)/dλ."""
        xp = array_namespace(clean)
        rate = xp.clip((clean - self.offset) / self.gain, min=SMALLEST_RATE)
        none, q = xp.clip(xp.exp(-rate), min=1e-37), self.efficiency  # no logarithm of zero
        return -q * xp.expm1(-rate), 1 - q + q * none, q * none

    def _hits(self, noisy: Array) -> Array:
        share = (noisy - self.offset) / (self.maximum - self.offset)
        return self.pixels * share

    def mean(self, clean: Array) -> Array:
        """Return offset + (maximum − offset)·P, P = q·(1 − e^−λ)."""
        return self.offset + (self.maximum - self.offset) * self._chance(clean)[0]

    def variance(self, clean: Array) -> Array:
        """Return (maximum − offset)²·P·(1 − P) / n."""
        shown, hidden, _ = self._chance(clean)
        return (self.maximum - self.offset) ** 2 * shown * hidden / self.pixels

    def sample(self, clean: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Draw one noisy image."""
        shown = self._chance(np.asarray(clean, np.float64))[0]
        hits = np.asarray(rng.binomial(self.pixels, shown)) / self.pixels
        return (self.offset + (self.maximum - self.offset) * hits).astype(clean.dtype)

    def log_prob(self, noisy: Array, clean: Array) -> Array:
        """Return the log-probability of so many hits."""
        xp, hits = array_namespace(clean), self._hits(noisy)
        shown, hidden, _ = self._chance(clean)
        lgamma = special(clean).gammaln
        ways = math.lgamma(self.pixels + 1) - lgamma(hits + 1) - lgamma(self.pixels - hits + 1)
        return ways + hits * xp.log(shown) + (self.pixels - hits) * xp.log(hidden)

    def score(self, noisy: Array, clean: Array) -> Array:
        """Return (k / P − (n − k) / (1 − P))·dP/dλ / gain."""
        hits = self._hits(noisy)
        shown, hidden, slope = self._chance(clean)
        # Each ratio by itself: dP/dλ and 1 − P vanish together where all pixels are hit.
        return (hits * (slope / shown) - (self.pixels - hits) * (slope / hidden)) / self.gain

    def fisher(self, clean: Array) -> Array:
        """Return n·(dP/dλ)² / (P·(1 − P)) / gain²; n / (e^λ − 1) / gain² where q = 1."""
        shown, hidden, slope = self._chance(clean)
        return self.pixels * (slope / shown) * (slope / hidden) / self.gain**2

    def cumulants(self, clean: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return those of a binomial share; with u = p(1 − p), u(1 − 2p)/n² and u(1 − 6u)/n³."""
        hit = self._chance(np.asarray(clean, np.float64))[0]
        unit, shown = hit * (1 - hit), self.maximum - self.offset
        return (
            shown**3 * unit * (1 - 2 * hit) / self.pixels**2,
            shown**4 * unit * (1 - 6 * unit) / self.pixels**3,
        )

    def averaged(self, count: int) -> Hits:
        """Return the hits among so many times more pixels."""
        return dataclasses.replace(self, pixels=self.pixels * count)


@dataclass(frozen=True)
class OtherHits(Hits, kind="other-hits"):
    r"""The hits that `Hits` of the same efficiency has not shown, of pixels where it shows none.

    Where hits are shared out at random, one with probability q into a first frame and else into a
    second, the second is empty where the first is not, and where the first shows none

    .. math:: P = \frac{(1 - q)(1 - e^{-\lambda})}{1 - q\,(1 - e^{-\lambda})}
    """

    def _chance(self, clean: Array) -> tuple[Array, Array, Array]:
        first, other, slope = super()._chance(clean)
        share = 1 / self.efficiency - 1
        hidden = slope / (self.efficiency * other)
        return share * first / other, hidden, share * slope / other**2
