"""Which noise is in this frame? Read blind from it.

Every integer camera has a lattice of values, so a lattice alone proves nothing: its spacing is
taken as the gain only where variance and mean agree with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from emprior.measure import BLOCK_PIXELS, Frame, Line, find_comb, find_rounded, measure
from emprior.micrograph import check_image
from emprior.noise import ClippedPoisson, Gaussian, NoiseModel, Poisson, PoissonGaussian

Pixels = NDArray[np.floating]

_SHARED = 1.1  # the variance over that of differences, from which neighbours share noise
NOISE_FREE = 1e-3
"""Noise below this fraction of the image's standard deviation is none."""


@dataclass(frozen=True)
class Identification:
    """The noise of a frame, and how it is known.

    Parameters
    ----------
    noise : NoiseModel
    evidence : tuple of str
        What was found, in plain sentences without a full stop.
    correlated : bool
        Whether neighbouring pixels seem to share noise, where that was looked for.
    """

    noise: NoiseModel
    evidence: tuple[str, ...]
    correlated: bool = False


def identify(image: ArrayLike) -> Identification:
    """Identify the noise of one frame without being told anything about it.

    Parameters
    ----------
    image : (H, W) array_like
        Pixels in any units.

    Returns
    -------
    Identification
        Poisson where the variance is proportional to the mean above an offset; ClippedPoisson
        where counts also pile up at a largest value; PoissonGaussian where a constant variance
        adds; Gaussian otherwise.

    Raises
    ------
    ImageError
        If the array is not one frame of finite real pixels that differ.

    Notes
    -----
    Wrong where structure finer than about 4 pixels passes for noise, and for correlated noise,
    whose variance is scaled up from the power spectrum but whose model stays pixel by pixel.
    Offset and readout noise cannot be told apart in one frame: variance in excess of the Poisson
    line through zero is called readout noise, variance short of it an offset. Many electrons in a
    frame of one brightness look Gaussian, and are scored alike.
    """
    pixels = check_image(image)
    frame = measure(pixels)
    return replace(conclude(frame, pixels), correlated=frame.correlation > _SHARED)


def conclude(frame: Frame, pixels: Pixels) -> Identification:
    """Return what `identify` says of pixels that have been measured."""
    line, least = frame.line, NOISE_FREE * frame.spread
    said = _remarks(frame)
    quiet = np.median(line.variance) < least**2
    # Blocks without any electron do not tell that there is no noise.
    lit = line.mean > frame.levels[0]
    if not quiet or (lit.any() and np.median(line.variance[lit]) >= least**2):
        if math.isfinite(line.slope_error):
            said.append(
                f"the variance changes with the mean with slope {line.slope:.4g} ± "
                f"{line.slope_error:.2g} per unit, about {np.median(line.variance):.4g} at "
                f"{np.median(line.mean):.4g}"
            )
        for step in _steps(frame):
            if (counted := _counted(frame, pixels, step)) is not None:
                return Identification(counted.noise, (*said, step.reason, *counted.evidence))
    if quiet:
        said.append(f"no noise: neighbours differ by less than {least:.3g}")
        return Identification(Gaussian(least), tuple(said))
    continuous = _continuous(line, pixels)
    return Identification(continuous.noise, (*said, *continuous.evidence))


def _remarks(frame: Frame) -> list[str]:
    said = []
    if frame.spacing is not None:
        said.append(
            f"values lie on a lattice of spacing {frame.spacing:.6g} from {frame.levels[0]:.6g}"
        )
    if frame.constant:
        said.append(f"{frame.constant:.1%} of the frame is constant, and was left out")
    if frame.correlation != 1:
        said.append(
            "the power spectrum is not flat at high frequencies, so that noise is correlated "
            "between pixels or structure reaches the finest scale: the variance seen between "
            f"neighbours was multiplied by {frame.correlation:.3g}"
        )
    return said


# ------------------------------------------------------------------------------- single electrons


class _Step(NamedTuple):
    """One electron in units of the data, as the levels suggest it."""

    gain: float
    phase: float  # a level; all others lie whole steps away
    reason: str


def _steps(frame: Frame) -> list[_Step]:
    """Return what one electron may be, the most certain first."""
    line, found = frame.line, []
    if (comb := find_rounded(frame)) is not None:
        reason = f"values stand on every {comb.period:.4g}th, rounded: one step is one electron"
        found.append(_Step(comb.period, comb.phase, reason))
    if frame.spacing is not None:
        reason = "one step of the lattice is one electron"
        found.append(_Step(frame.spacing, float(frame.levels[0]), reason))
    guesses = [(line.slope, max(3 * line.slope_error, 0.1 * line.slope))]
    brightness = float(np.median(line.mean))
    if brightness > 0:
        guess = float(np.median(line.variance)) / brightness
        guesses.append((guess, 0.15 * guess))
    for guess, width in guesses:
        if guess > 0 and width < 0.5 * guess:
            comb = find_comb(frame, guess - width, guess + width)
            if comb is not None and comb.strength > 0.6:
                reason = (
                    f"values cluster at {comb.phase:.4g} and steps of {comb.period:.4g} from it "
                    f"(strength {comb.strength:.2f} of 1): one step is one electron"
                )
                found.append(_Step(comb.period, comb.phase, reason))
    return found


def _counted(frame: Frame, pixels: Pixels, step: _Step) -> Identification | None:
    """Return the Poisson model of this gain where variance and mean agree with it."""
    line, gain = frame.line, step.gain
    sloped = line.slope_error < 0.2 * gain
    # Where the brightness varies, the slope must be near the gain whatever the offset.
    near = abs(line.slope - gain) < max(0.1 * gain, 4 * line.slope_error)
    close = abs(line.slope - gain) < max(0.3 * gain, 5 * line.slope_error)
    candidates = []
    if abs(step.phase - gain * round(step.phase / gain)) < 0.15 * gain:
        candidates.append((0.0, close or not sloped))
    if sloped and near:
        above = float(np.median(line.mean - line.variance / gain))
        candidates.append((step.phase + gain * round((above - step.phase) / gain), True))
    for offset, plausible in candidates:
        if pixels.min() < offset - 0.75 * gain:
            continue
        noise, said = _clip(line, pixels, Poisson(gain, offset))
        ratio, error = _dispersion(line, noise)
        # The slope of clipped counts lies below the gain, so there the dispersion judges alone.
        if abs(ratio - 1) < max(0.1, 4 * error) and (
            plausible or isinstance(noise, ClippedPoisson)
        ):
            where = f" above {offset:.6g}" if offset else ""
            agreement = (
                f"the variance is {ratio:.3f} ± {error:.3f} times that of electrons counted with "
                f"gain {gain:.4g}{where}"
            )
            return Identification(noise, (agreement, *said))
    return None


def _clip(line: Line, pixels: Pixels, noise: Poisson) -> tuple[Poisson, list[str]]:
    """Return the clipped model where counts that should lie beyond the largest value do not."""
    largest = float(pixels.max())
    if largest < noise.offset + noise.gain / 2:
        return noise, []
    clipped = ClippedPoisson(noise.gain, noise.offset, largest)
    c = max(1, math.ceil((largest - noise.offset) / noise.gain - 1e-6))
    rate = np.maximum((line.mean - noise.offset) / noise.gain, 1e-9)
    beyond = special.gammainc(c + 1, rate)  # P(N > c)
    expected = float(beyond.mean()) * pixels.size
    at = int(np.count_nonzero(pixels >= largest - 1e-3 * noise.gain))
    if expected < 5 or at < expected / 2:
        return noise, []
    said = (
        f"{at:,} pixels stand at the largest value {largest:.6g} and none beyond, where a Poisson "
        f"tail would put at least {expected:,.0f}: clipped"
    )
    # E[(N − c)+] = rate·P(N ≥ c) − c·P(N > c) is what clipping takes from the mean.
    lost = rate * special.gammainc(c, rate) - c * beyond
    if np.max(lost / np.sqrt(rate)) < 0.01:
        return noise, [f"{said}, too seldom to matter"]
    return clipped, [said]


def _dispersion(line: Line, noise: Poisson) -> tuple[float, float]:
    """Return the measured variance over that of the model at the same mean, with its error."""
    model = noise.variance(line.mean)
    if isinstance(noise, ClippedPoisson):  # from the mean that is seen to the unclipped one
        clean = noise.offset + (noise.maximum - noise.offset) * np.geomspace(1e-4, 4, 400)
        model = np.interp(line.mean, noise.mean(clean), noise.variance(clean))
    lit = model > 0.02 * model.mean()
    ratio, weight = line.variance[lit] / model[lit], (model[lit] / line.error[lit]) ** 2
    order = np.argsort(ratio)
    share = np.cumsum(weight[order])
    middle = float(ratio[order][np.searchsorted(share, share[-1] / 2)])
    return middle, float(1.25 / np.sqrt(share[-1]))


# ---------------------------------------------------------------------------- many electrons, none


def _continuous(line: Line, pixels: Pixels) -> Identification:
    """Return the model of a frame in which no single electrons are seen."""
    variance, largest = float(np.median(line.variance)), float(pixels.max())
    said = ["no levels whose spacing agrees with the variance, so no single electrons"]
    at = int(np.count_nonzero(pixels == largest))
    if at > max(8, 1e-4 * pixels.size):
        said.append(
            f"{at:,} pixels stand at the largest value {largest:.6g}: saturated, unmodelled"
        )
    change = line.slope * float(np.ptp(np.quantile(line.mean, (0.05, 0.95)))) / variance
    if line.slope > 5 * line.slope_error and change > 0.15:
        return _sloped(line, pixels, said)
    if line.slope < -5 * line.slope_error and change < -0.15:
        said.append("the variance falls with the mean, as in no model here: taken as constant")
    else:
        said.append("the variance is the same at every brightness: Gaussian")
    return Identification(Gaussian(math.sqrt(variance)), tuple(said))


def _sloped(line: Line, pixels: Pixels, said: list[str]) -> Identification:
    """Return the model of a variance that grows with the mean."""
    gain, dark = line.slope, float(line.mean.min())
    through_zero = abs(line.intercept) < max(
        2.5 * line.intercept_error, 0.05 * float(np.median(line.variance))
    )
    if dark > 0 and through_zero:
        gain, offset, rest = float(np.median(line.variance / line.mean)), 0.0, 0.0
        said.append(f"the variance is {gain:.4g} times the mean: Poisson")
    elif (rest := line.intercept + gain * min(0.0, dark)) > 0:
        # The mean may lie below zero only for an offset below it; put that at the darkest group.
        offset = min(0.0, dark)
        for _ in range(3):
            # Readout noise in the blocks' own means flattens the line (errors in variables);
            # counting noise does not, since its skewness ties variance and mean by the same gain.
            diluted = 1 - rest / BLOCK_PIXELS / float(line.mean.var())
            gain = line.slope / max(diluted, 0.5)
            rest = float(np.median(line.variance - gain * (line.mean - offset)))
            rest = max(rest, (gain / 10) ** 2)
        said.append(f"{rest:.4g} of variance is left at {offset:.4g}: Poisson with readout noise")
    else:
        offset, rest = -line.intercept / gain, 0.0
        said.append(f"the variance reaches zero at {offset:.6g}: Poisson above that offset")
    if rest == 0 and pixels.min() >= offset - 0.75 * gain:
        return Identification(Poisson(gain, offset), tuple(said))
    if rest == 0:
        rest = (gain / 4) ** 2  # hardly seen at the variance of a few electrons
        said.append("values lie below the offset: a little readout noise is allowed for")
    return Identification(PoissonGaussian(gain, offset, math.sqrt(rest)), tuple(said))
