r"""Noise models: each both corrupts a clean image and scores a noisy one.

All models act pixel by pixel and in the data's own units: clean and noisy images share one scale,
and the clean image is the mean of the noisy one before clipping. They take NumPy arrays or PyTorch
tensors alike and broadcast as arithmetic does.

Two laws hold for every model and are tested for each, with the expectation over noisy given clean:
:math:`E[\mathrm{score}] = 0` and :math:`\mathrm{Var}[\mathrm{score}] = \mathrm{fisher}` (the
second only where ``exact`` is true).
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from array_api_compat import array_namespace, is_torch_array
from numpy.typing import NDArray

from emprior.errors import OptionError

Array = Any  # a NumPy array or a PyTorch tensor; array_api_compat gives their common functions

_SMALLEST_RATE = 1e-6  # counts per pixel; keeps log and division finite in vacuum and below it


class NoiseModel(ABC):
    """The probability of a noisy image given the clean one.

    Attributes
    ----------
    exact : bool
        Whether `log_prob` is the density that `sample` draws from, rather than an approximation
        with the same mean and variance.
    """

    exact: ClassVar[bool] = True

    @abstractmethod
    def mean(self, clean: Array) -> Array:
        """Return the expected noisy value; differs from `clean` only where values are clipped."""

    @abstractmethod
    def variance(self, clean: Array) -> Array:
        """Return the variance of the noisy value, in squared units of the data."""

    @abstractmethod
    def sample(self, clean: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Draw one noisy image of the shape of `clean`, in its floating point type."""

    @abstractmethod
    def log_prob(self, noisy: Array, clean: Array) -> Array:
        """Return the log-probability of each pixel, every constant kept.

        A probability where the noisy values are discrete, a density per unit of data otherwise.
        Sum over the last two axes for the score of an image.
        """

    @abstractmethod
    def score(self, noisy: Array, clean: Array) -> Array:
        """Return the derivative of `log_prob` by `clean`, pixel by pixel."""

    @abstractmethod
    def fisher(self, clean: Array) -> Array:
        """Return the Fisher information on the clean value that one noisy pixel carries."""

    @abstractmethod
    def cumulants(self, clean: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the third and fourth cumulant of the noisy value, in powers of the data's unit.

        Both are zero for a normal distribution; of independent pixels they add, as means and
        variances do.
        """

    def pooled(self, factor: int) -> NoiseModel | None:
        """Return the model of the mean of ``factor × factor`` pixels of equal clean value.

        None where the family is not closed under averaging, as for most clipped counts.
        """
        return None

    def __str__(self) -> str:
        """Say the model in words, as ``Poisson, gain 21.59, offset 13631``; zeros are left out."""
        values = self.to_dict()
        kind = values.pop("type").title()
        return ", ".join([kind, *(f"{k} {_brief(v)}" for k, v in values.items() if v)])

    def to_dict(self) -> dict[str, Any]:
        """Return the model as plain values, with its kind under ``type``."""
        kind = next(name for name, cls in NOISES.items() if cls is type(self))
        return {"type": kind, **dataclasses.asdict(self)}  # type: ignore[call-overload]

    @staticmethod
    def from_dict(values: dict[str, Any]) -> NoiseModel:
        """Make a model from what `to_dict` returned.

        Raises
        ------
        OptionError
            If the type or a parameter is not known, or a parameter is missing or out of range.
        """
        parameters = dict(values)
        kind = parameters.pop("type", None)
        if kind not in NOISES:
            raise OptionError(
                f"noise of type {kind!r}",
                expected=f"one of {', '.join(NOISES)}",
                why="each type names a probability model",
                fix="correct the type",
            )
        fields = dataclasses.fields(NOISES[kind])  # type: ignore[arg-type]
        allowed = [field.name for field in fields]
        if unknown := set(parameters) - set(allowed):
            raise OptionError(
                f"{kind} noise with {', '.join(sorted(unknown))}",
                expected=f"only {', '.join(allowed)}",
                why="an ignored parameter would give another noise than was asked for",
                fix="remove or rename it",
            )
        needed = {field.name for field in fields if field.default is dataclasses.MISSING}
        if missing := needed - set(parameters):
            raise OptionError(
                f"{kind} noise without {', '.join(sorted(missing))}",
                expected=f"values for {', '.join(sorted(needed))}",
                why="there is no sensible default for them",
                fix="add them in units of the data",
            )
        return NOISES[kind](**parameters)


@dataclass(frozen=True)
class Gaussian(NoiseModel):
    """Additive white Gaussian noise, ``noisy ~ N(clean, sigma²)``.

    Parameters
    ----------
    sigma : float
        Standard deviation in units of the data, positive.
    """

    sigma: float

    def __post_init__(self) -> None:
        _check(sigma=self.sigma)

    def mean(self, clean: Array) -> Array:
        """Return `clean` itself."""
        return clean

    def variance(self, clean: Array) -> Array:
        """Return sigma² everywhere."""
        return clean * 0 + self.sigma**2

    def sample(self, clean: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Draw one noisy image."""
        return (clean + self.sigma * rng.standard_normal(clean.shape)).astype(clean.dtype)

    def log_prob(self, noisy: Array, clean: Array) -> Array:
        """Return the log-density of each pixel."""
        return -(((noisy - clean) / self.sigma) ** 2) / 2 - math.log(
            self.sigma * math.sqrt(2 * math.pi)
        )

    def score(self, noisy: Array, clean: Array) -> Array:
        """Return (noisy − clean) / sigma²."""
        return (noisy - clean) / self.sigma**2

    def fisher(self, clean: Array) -> Array:
        """Return 1 / sigma² everywhere."""
        return clean * 0 + 1 / self.sigma**2

    def cumulants(self, clean: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return zeros."""
        return np.zeros_like(clean), np.zeros_like(clean)

    def pooled(self, factor: int) -> Gaussian:
        """Return Gaussian noise of sigma / factor."""
        return Gaussian(self.sigma / factor)


@dataclass(frozen=True)
class Poisson(NoiseModel):
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
        _check(gain=self.gain)
        _check(positive=False, offset=self.offset)

    def _rate(self, clean: Array) -> Array:
        xp = array_namespace(clean)
        return xp.clip((clean - self.offset) / self.gain, min=_SMALLEST_RATE)

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
        return counts * xp.log(rate) - rate - _special(counts).gammaln(counts + 1)

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

    def pooled(self, factor: int) -> Poisson:
        """Return Poisson noise of gain / factor²: means of counts are scaled counts."""
        return Poisson(self.gain / factor**2, self.offset)


@dataclass(frozen=True)
class ClippedPoisson(Poisson):
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
        _check(positive=False, maximum=self.maximum)
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
        special, order = _special(rate), xp.zeros_like(rate) + c
        last = xp.exp((c - 1) * xp.log(rate) - rate - math.lgamma(c))
        return last, special.gammaincc(order, rate), special.gammainc(order, rate)

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
        special = _special(rates)
        weights = np.exp(counts * np.log(rates) - rates - special.gammaln(counts + 1))
        weights = np.concatenate([weights, special.gammainc(float(self.ceiling), rates)], 1)
        values = np.append(counts, self._level)
        weights /= weights.sum(1, keepdims=True)
        deviations = values - (weights @ values)[:, None]
        second, third, fourth = ((weights * deviations**n).sum(1) for n in (2, 3, 4))
        return (
            self.gain**3 * np.interp(rate, rates[:, 0], third),
            self.gain**4 * np.interp(rate, rates[:, 0], fourth - 3 * second**2),
        )

    def pooled(self, factor: int) -> Hits | None:  # type: ignore[override]
        """Return how many pixels were hit, where that is all they tell; None elsewhere."""
        if self.ceiling > 1:
            return None
        return Hits(self.gain, self.offset, self.maximum, factor**2)


@dataclass(frozen=True)
class Hits(NoiseModel):
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
        if ClippedPoisson(self.gain, self.offset, self.maximum).ceiling > 1:
            raise OptionError(
                f"clipping at {self.maximum:g} with gain {self.gain:g} and offset {self.offset:g}",
                expected="a maximum of at most one electron",
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
        rate = xp.clip((clean - self.offset) / self.gain, min=_SMALLEST_RATE)
        none, q = xp.clip(xp.exp(-rate), min=1e-37), self.efficiency  # no logarithm of zero
        return -q * xp.expm1(-rate), 1 - q + q * none, q * none

    def _hits(self, noisy: Array) -> Array:
        share = (noisy - self.offset) / (self.maximum - self.offset)
        return array_namespace(noisy).round(self.pixels * share)

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
        lgamma = _special(clean).gammaln
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

    def pooled(self, factor: int) -> Hits:
        """Return the hits among so many more pixels."""
        return dataclasses.replace(self, pixels=self.pixels * factor**2)


@dataclass(frozen=True)
class OtherHits(Hits):
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


@dataclass(frozen=True)
class PoissonGaussian(NoiseModel):
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
        _check(gain=self.gain, sigma=self.sigma)
        _check(positive=False, offset=self.offset)

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

    def pooled(self, factor: int) -> PoissonGaussian:
        """Return the model of the mean of ``factor²`` pixels."""
        return PoissonGaussian(self.gain / factor**2, self.offset, self.sigma / factor)


NOISES: dict[str, type[NoiseModel]] = {
    "gaussian": Gaussian,
    "poisson": Poisson,
    "clipped-poisson": ClippedPoisson,
    "hits": Hits,
    "other-hits": OtherHits,
    "poisson-gaussian": PoissonGaussian,
}


def _brief(value: float) -> str:
    """Return four digits, or all of a whole part that people still read at a glance."""
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e7 else f"{value:.4g}"


def _check(positive: bool = True, **values: float) -> None:
    """Check parameters by name: finite numbers, and positive ones where they scale the noise."""
    for name, value in values.items():
        number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not (number and math.isfinite(value) and (value > 0 or not positive)):
            kind = "positive finite" if positive else "finite"
            raise OptionError(
                f"{name} = {value:g}" if number else f"{name} = {value!r}",
                expected=f"a {kind} {name}",
                why="it scales the noise" if positive else "it is a value of the data",
                fix="give it in units of the data, for example 0.1",
            )


def _special(array: Array) -> Any:
    """Return the library of special functions for this kind of array: the names agree."""
    if is_torch_array(array):
        import torch

        return torch.special
    import scipy.special

    return scipy.special
