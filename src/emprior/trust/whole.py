r"""Tests of the whole residual: its mean, its variance, and whether it is white.

Independent pixels have a flat power spectrum, whatever the variance V of each:
:math:`E|F_k|^2 = \sum V` at every frequency but zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, stats

from emprior.trust.findings import Finding, any_of
from emprior.trust.residual import Residual, normalise

_FITTED = 0.5  # share of the numbers in a band that may be fitted to the noise
_FEWEST = 8  # waves in a band
_LITTLE = 0.01  # share of an image's power from which on an octave carries some of it
_MOST = 0.9  # share that is nearly all


def tests(residual: Residual, pixel_size: float | None) -> Iterator[Finding]:
    """Yield the findings, each p corrected for what is looked at within that test alone."""
    yield _mean(residual)
    yield _variance(residual)
    spectrum = _Spectrum(residual)
    yield _bands(spectrum, pixel_size)
    yield _contrast(spectrum, pixel_size)
    yield _single(spectrum, pixel_size)


def _mean(residual: Residual) -> Finding:
    variance = residual.variance.sum()
    z = residual.deviation.sum() / np.sqrt(variance)
    z = float(normalise(z, residual.third.sum() / variance**1.5))
    p = float(2 * stats.norm.sf(abs(z)))
    return Finding("mean", z, "0 ± 1", p, f"the mean residual is {z:.2f} standard errors from zero")


def _variance(residual: Residual) -> Finding:
    ratio, error, p = dispersion(residual)
    says = f"the residual has {ratio:.4f} ± {error:.4f} times the variance of the noise"
    return Finding("variance", ratio, f"1 ± {error:.4f}", p, says)


def dispersion(residual: Residual, where: Any = np.s_[:]) -> tuple[float, float, float]:
    r"""Return the variance of pixels over that of the noise, its standard error, and both tails' p.

    :math:`\sum d^2 / \sum V` has the variance :math:`\sum (\kappa_4 + 2V^2) / (\sum V)^2`; it is
    taken as a gamma variable. Sums are compared rather than standardised residuals averaged, which
    would let a few pixels without expected electrons outweigh all others.
    """
    V = residual.variance[where]
    ratio = float((residual.deviation[where] ** 2).sum() / V.sum())
    spread = float((residual.fourth[where] + 2 * V**2).sum() / V.sum() ** 2) + residual.slack**2
    shape = 1 / spread
    tails = stats.gamma.sf(ratio * shape, shape), stats.gamma.cdf(ratio * shape, shape)
    return ratio, spread**0.5, float(min(1.0, 2 * min(tails)))


class _Octave(NamedTuple):
    """Some waves of the residual.

    Attributes
    ----------
    low, high : float
        Their frequencies [cycles a pixel].
    where : (H, W // 2 + 1) bool ndarray
        Which waves of the real Fourier transform; one of each pair of opposite ones.
    """

    low: float
    high: float
    where: NDArray[np.bool_]


class _Spectrum:
    r"""The residual in waves.

    Unequal variances correlate neighbouring frequencies, by the variance's own spectrum, and heavy
    tails correlate all alike: the mean power of n waves has the relative variance
    :math:`\overline{V^2} / (\overline V^2 n) + \sum\kappa_4 / (\sum V)^2`.
    """

    def __init__(self, residual: Residual) -> None:
        H, W = residual.deviation.shape
        V = residual.variance
        rows, columns = np.meshgrid(fft.fftfreq(H), fft.rfftfreq(W), indexing="ij")
        self.residual = residual
        self.frequency = np.hypot(rows, columns)
        # Waves that are their own opposite are real numbers, of another distribution.
        inner = (columns > 0) & (columns < 0.5)
        self.whole = inner | (columns == 0) & (rows > 0) & (rows < 0.5)
        self.power = np.abs(fft.rfft2(residual.deviation)) ** 2 / V.sum()
        self._unequal = float((V**2).mean() / V.mean() ** 2)
        self._common = float(residual.fourth.sum() / V.sum() ** 2) + residual.slack**2

    def octaves(self) -> Iterator[_Octave]:
        """Yield octaves of at least eight waves, the shortest waves first."""
        high = 1.0
        while True:
            where = self.whole & (self.frequency <= high) & (self.frequency > high / 2)
            if np.count_nonzero(where) >= _FEWEST:
                yield _Octave(high / 2, high, where)
            elif high < 0.5:
                return
            high /= 2

    def spread(self, count: int) -> float:
        """Return the relative variance of the mean power of so many waves."""
        return self._unequal / count + self._common


def _bands(spectrum: _Spectrum, pixel_size: float | None) -> Finding:
    """Test the power in octaves."""
    worst, said, value, count = 1.0, "no octave of its power spectrum stands out", 1.0, 0
    for octave in spectrum.octaves():
        some = spectrum.power[octave.where]
        shape, ratio = 1 / spectrum.spread(some.size), float(some.mean())
        high = float(stats.gamma.sf(ratio * shape, shape))
        low = float(stats.gamma.cdf(ratio / (1 - _FITTED) * shape, shape))
        count += 2
        if min(high, low) < worst:
            worst, value = min(high, low), ratio
            said = f"{_waves(octave, pixel_size)} have {ratio:.3f} times the power of noise"
            if low < high:
                said += ": the denoised image follows the noise there"
    p = float(any_of(worst, max(1, count)))
    return Finding("spectrum", value, f"{1 - _FITTED:g} to 1", p, said)


def _contrast(spectrum: _Spectrum, pixel_size: float | None) -> Finding:
    r"""Test in the octaves that carry the image whether the residual resembles it.

    With the image's waves X and the residual's D, :math:`\sum \mathrm{Re}\,D X^*` is negative
    where the image has too much contrast, positive where it has too little. But the best
    estimates have a little too little: of the mean of a posterior that follows p numbers of the
    noise it is p times the noise's power, by which the residual's own power falls short. So the two
    are added to find too little contrast, :math:`\sum(\mathrm{Re}\,D X^* + |D|^2 - \sum V)`.
    """
    residual = spectrum.residual
    H, W = residual.deviation.shape
    waves = fft.rfft2(residual.expectation)
    worst, said, value, count = 1.0, "it does not resemble the denoised image", 0.0, 0
    for octave in _carrying(spectrum, np.abs(waves) ** 2):
        part = fft.irfft2(np.where(octave.where, waves, 0), (H, W))
        variance = float((part**2 * residual.variance).sum())
        shared = float((part * residual.deviation).sum())
        third = float((part**3 * residual.third).sum())
        few = int(octave.where.sum())
        noise = 2 / (H * W) * float(residual.variance.sum())  # of one wave
        excess = noise * (float(spectrum.power[octave.where].sum()) - few)
        both = variance + (noise * few) ** 2 * spectrum.spread(few)
        skewness = (third + 2 * few * noise**3) / both**1.5  # powers are exponential
        much = float(stats.norm.cdf(normalise(shared / variance**0.5, third / variance**1.5)))
        little = float(stats.norm.sf(normalise((shared + excess) / both**0.5, skewness)))
        count += 2
        if min(much, little) < worst:
            worst, value = min(much, little), shared / float((part**2).sum())
            wrong = "much" if much < little else "little"
            said = f"the denoised image has too {wrong} contrast in {_waves(octave, pixel_size)}"
    p = float(any_of(worst, max(1, count)))
    if p > 0.05:
        said = "it does not resemble the denoised image"
    return Finding("contrast", value, "0", p, said)


def _carrying(spectrum: _Spectrum, energy: NDArray[np.floating]) -> Iterator[_Octave]:
    """Yield the octaves that carry the image, and those with nearly all of it as one.

    Of each the waves in which the image is no weaker than half the noise: what others add to the
    test is noise alone.
    """
    strong = energy > 0.25 * float(spectrum.residual.variance.sum())
    energy = np.where(strong & spectrum.whole, energy, 0.0)
    total = float(energy.sum())
    if not total > 0:
        return
    shares = [
        (float(energy[one.where].sum()) / total, one._replace(where=one.where & strong))
        for one in spectrum.octaves()
    ]
    strongest = sorted((pair for pair in shares if pair[0] > _LITTLE), key=lambda pair: -pair[0])
    yield from (one for _, one in strongest)
    if not strongest:  # what there is lies in waves too long to make an octave
        return
    joined, carried = strongest[0][1], strongest[0][0]
    for share, one in strongest[1:]:
        if carried > _MOST:
            break
        carried += share
        low, high = min(joined.low, one.low), max(joined.high, one.high)
        joined = _Octave(low, high, joined.where | one.where)
    if joined is not strongest[0][1]:
        yield joined


def _single(spectrum: _Spectrum, pixel_size: float | None) -> Finding:
    """Test the strongest wave, and the strongest nine neighbours, into which crystals spread it."""
    H, W = spectrum.residual.deviation.shape
    count, calm = int(spectrum.whole.sum()), 1 + 2 * spectrum.residual.slack
    most, p, period = 0.0, 1.0, ""
    plane = np.abs(fft.fft2(spectrum.residual.deviation)) ** 2 / spectrum.residual.variance.sum()
    plane[0, 0] = 1.0  # the mean has a test of its own
    together = 9 * ndimage.uniform_filter(plane, 3, mode="wrap")[:, : W // 2 + 1]
    # About the mean a wave and its opposite are neighbours, and so no longer independent.
    clear = spectrum.whole & (spectrum.frequency > 2.5 / min(H, W))
    for power, waves, where in ((spectrum.power, 1, spectrum.whole), (together, 9, clear)):
        power = np.where(where, power, -1.0)
        strongest = np.unravel_index(power.argmax(), power.shape)
        here = float(any_of(stats.gamma.sf(power[strongest] / calm, waves), count))
        if power[strongest] >= 0 and here <= p:  # small frames have none that is clear
            p, most = here, float(power[strongest]) / waves
            period = _length(float(spectrum.frequency[strongest]), pixel_size)
    says = f"the strongest wave in it, of {period}, has {most:.1f} times the power of noise"
    return Finding("single waves", most, f"about {np.log(count):.1f}", float(any_of(p, 2)), says)


def _waves(octave: _Octave, pixel_size: float | None) -> str:
    shortest = _length(octave.high, pixel_size)
    return f"waves of {shortest} to {_length(octave.low, pixel_size)}"


def _length(frequency: float, pixel_size: float | None) -> str:
    length = 1 / frequency
    return f"{length:.3g} pixels" if pixel_size is None else f"{length * pixel_size:.3g} Å"
