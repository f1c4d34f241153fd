r"""Which noise is in this frame? Read blind, from the frame alone.

Three things are measured. *Variance against mean*: in blocks of 8 × 8 pixels the mixed second
difference keeps white noise and drops what varies smoothly, so that :math:`v = a\,m + b` can be
fitted over blocks of equal mean. *Levels*: counted electrons stand on a lattice of values, or near
one, whose spacing is the gain. *Whiteness*: beyond the band limit of the microscope the power
spectrum of white noise is flat.

A lattice alone proves nothing, since every integer camera has one: its spacing is taken as the
gain only where variance and mean agree with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from emprior.errors import ImageError, OptionError
from emprior.micrograph import check_image
from emprior.noise import ClippedPoisson, Gaussian, NoiseModel, Poisson, PoissonGaussian

Array = NDArray[np.float64]

_BLOCK = 8  # pixels; the mean is nearly constant within
_WINDOW = 256  # pixels; a large frame is read through 16 windows of this side
_NOISE_FREE = 1e-3  # noise below this fraction of the image's standard deviation is none


@dataclass(frozen=True)
class Identification:
    """The noise of a frame, and how it is known.

    Parameters
    ----------
    noise : NoiseModel
    evidence : tuple of str
        What was found, in plain sentences without a full stop.
    """

    noise: NoiseModel
    evidence: tuple[str, ...]


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
    return _conclude(_measure(pixels), pixels)


# ---------------------------------------------------------------------------------- measurements


@dataclass(frozen=True)
class _Line:
    """Mean, variance and its standard error in groups of blocks of like mean; v = slope·m + b."""

    mean: Array
    variance: Array
    error: Array
    slope: float
    slope_error: float
    intercept: float
    intercept_error: float
    padding: float  # fraction of blocks left out as constant

    @property
    def centre(self) -> tuple[float, float]:
        """Median of the groups' means, and the variance there."""
        middle = float(np.median(self.mean))
        return middle, float(np.median(self.variance))


@dataclass(frozen=True)
class _Frame:
    """What is measured of a frame."""

    line: _Line
    levels: Array  # distinct values of a sample of pixels
    counts: Array  # how often each occurs
    spacing: float | None  # of the lattice that all values stand on
    correlation: float  # variance of the noise over that seen by neighbouring pixels; 1 if white
    pixels: int


def _measure(pixels: NDArray[np.floating]) -> _Frame:
    windows = _windows(pixels)
    levels, counts = _levels(windows)
    correlation = _correlation(windows)
    return _Frame(
        line=_line(windows, correlation),
        levels=levels,
        counts=counts,
        spacing=_spacing(levels, counts),
        correlation=correlation,
        pixels=pixels.size,
    )


def _windows(pixels: NDArray[np.floating]) -> list[Array]:
    """Return the whole of a small frame, evenly spaced windows of a large one."""
    if pixels.size <= 16 * _WINDOW**2:
        return [np.asarray(pixels, np.float64)]
    starts = [np.linspace(0, max(n - _WINDOW, 0), 4).astype(int) for n in pixels.shape]
    return [
        np.asarray(pixels[r : r + _WINDOW, c : c + _WINDOW], np.float64)
        for r in starts[0]
        for c in starts[1]
    ]


def _blocks(image: Array) -> Array:
    """Return the (n, 64) pixels of the whole blocks of an image."""
    H, W = image.shape[0] // _BLOCK, image.shape[1] // _BLOCK
    cut = image[: H * _BLOCK, : W * _BLOCK].reshape(H, _BLOCK, W, _BLOCK)
    return cut.swapaxes(1, 2).reshape(H * W, _BLOCK**2)


def _line(windows: list[Array], correlation: float) -> _Line:
    """Fit variance against mean.

    Immerkær's mask, the second difference across times the second difference down, has squared
    norm 36 and no response to any sum of a function of rows and one of columns
    (Comput. Vis. Image Underst. 64, 300, 1996).
    """
    means, variances, lows, highs, darkest = [], [], [], [], []
    floor = min(float(window.min()) for window in windows)
    for window in windows:
        down = window[:-2] - 2 * window[1:-1] + window[2:]
        mixed = down[:, :-2] - 2 * down[:, 1:-1] + down[:, 2:]
        # The outermost pixels have no difference of their own and borrow their neighbour's.
        square = np.pad(mixed**2 * (correlation / 36), 1, mode="edge")
        blocks = _blocks(window)
        means.append(blocks.mean(1))
        variances.append(_blocks(square).mean(1))
        lows.append(blocks.min(1))
        highs.append(blocks.max(1))
        darkest.append((blocks == floor).mean(1))
    m, v, dark = (np.concatenate(parts) for parts in (means, variances, darkest))
    low, high = np.concatenate(lows), np.concatenate(highs)

    # Constant blocks are padding or saturation, unless the smallest value is so common elsewhere
    # (few electrons) that whole blocks of it come by chance.
    constant = low == high
    if np.quantile(dark[~constant], 0.9, method="higher") > 0.75 if not constant.all() else False:
        constant &= low > floor
    padding = float(constant.mean())
    if not constant.all():
        m, v = m[~constant], v[~constant]

    order = np.argsort(m, kind="stable")
    groups = np.array_split(order, int(np.clip(len(order) // 16, 1, 32)))
    mean, variance, error = (np.empty(len(groups)) for _ in range(3))
    for i, group in enumerate(groups):
        middle, upper = np.quantile(v[group], (0.5, 0.84))
        # Edges and labels stand far above the spread that noise alone gives.
        kept = group[v[group] <= middle + 6 * max(upper - middle, 0.25 * middle)]
        if not middle:
            kept = group
        mean[i], variance[i] = m[kept].mean(), v[kept].mean()
        # Overlapping masks leave a block about 17 independent differences.
        spread = max(v[kept].std(), variance[i] * math.sqrt(2 / 17))
        error[i] = spread / math.sqrt(len(kept)) + 1e-12 * abs(variance[i]) + 1e-300
    return _fit(mean, variance, error, padding)


def _fit(mean: Array, variance: Array, error: Array, padding: float) -> _Line:
    """Fit a line by least squares, re-weighted so that groups far off it do not count."""
    centre = float(np.median(mean))
    if len(mean) < 3 or np.ptp(mean) == 0:
        at = float(np.average(variance, weights=1 / error**2))
        return _Line(mean, variance, error, 0.0, math.inf, at, math.inf, padding)
    design = np.stack([mean - centre, np.ones_like(mean)], 1)
    trust, scale = np.ones_like(mean), 1.0
    for _ in range(10):
        weight = trust / error**2
        normal = np.linalg.inv(design.T @ (design * weight[:, None]))
        slope, level = normal @ (design.T @ (weight * variance))
        residual = (variance - design @ (slope, level)) / error
        scale = max(1.0, 1.4826 * float(np.median(np.abs(residual))))
        trust = np.clip(1 - (residual / (6 * scale)) ** 2, 1e-6, 1) ** 2
    slope_error, level_error = scale * np.sqrt(np.diag(normal))
    return _Line(
        mean,
        variance,
        error,
        float(slope),
        float(slope_error),
        float(level - slope * centre),
        float(math.hypot(level_error, slope_error * centre)),
        padding,
    )


def _levels(windows: list[Array]) -> tuple[Array, Array]:
    """Return distinct values of at most about 65,000 pixels, and how often each occurs."""
    values = np.concatenate([window.ravel() for window in windows])
    # A stride without common factor with the width, so that no column is preferred.
    stride = max(1, len(values) // 65_536)
    if stride > 1 and windows[0].shape[1] % stride == 0:
        stride += 1
    levels, counts = np.unique(values[::stride], return_counts=True)
    return levels, counts.astype(float)


def _spacing(levels: Array, counts: Array) -> float | None:
    """Return the spacing of the lattice that the values stand on, or None."""
    if len(levels) < 2 or len(levels) > 0.5 * counts.sum():
        return None
    tolerance = 4e-6 * np.abs(levels).max()  # some tens of roundings in single precision
    gaps = np.diff(levels)
    gaps = gaps[gaps > tolerance]
    if not len(gaps):
        return None
    smallest = gaps.min()
    smallest = float(np.median(gaps[gaps < 1.2 * smallest]))
    weight = counts / counts.sum()
    for divisor in (1, 2, 3, 4, 5):
        q = smallest / divisor
        for _ in range(3):
            index = np.round((levels - levels[0]) / q)
            q = float((counts * index) @ (levels - levels[0]) / ((counts * index) @ index))
        off = np.abs(levels - levels[0] - index * q) > 0.02 * q + tolerance
        if weight[off].sum() < 1e-3:
            return _tidy(q)
    return None


def _tidy(value: float) -> float:
    """Return the whole number, or one over a whole number, that is meant."""
    for candidate in (round(value), 1 / max(round(1 / value), 1)):
        if abs(value - candidate) < 1e-5 * abs(value):
            return float(candidate)
    return value


def _comb(frame: _Frame, low: float, high: float) -> tuple[float, float]:
    """Return the period in [low, high] at which values cluster best, and how well.

    The strength is the modulus of the characteristic function at that period: 1 on an exact
    lattice, exp(−2π²(sigma/period)²) with readout noise, near 0 without clusters.
    """
    floor, span = frame.levels[0], np.ptp(frame.levels)
    n = 4096
    index = np.minimum((frame.levels - floor) * (n / span), n - 1).astype(int)
    histogram = np.bincount(index, frame.counts, minlength=n)
    strength = np.abs(np.fft.rfft(histogram, 8 * n)) / frame.counts.sum()
    first, last = (math.ceil(8 * span / high), math.floor(8 * span / low))
    last = min(last, len(strength) - 1)
    if not 0 < first <= last:
        return math.nan, 0.0
    best = first + int(np.argmax(strength[first : last + 1]))
    # A broad distribution has a falling characteristic function and no peak.
    if strength[best] < 2 * strength[best // 2]:
        return math.nan, 0.0
    return 8 * span / best, float(strength[best])


def _correlation(windows: list[Array]) -> float:
    """Return the variance of the noise over what the mixed second difference makes of it.

    Ring by ring the median of the power spectrum skips the Bragg spots of a crystal; below 1/8
    cycle per pixel, where images live, the rings just above stand in.
    """
    power = 0.0
    shape = min(window.shape for window in windows)
    for window in windows:
        cut = window[: shape[0], : shape[1]]
        taper = np.outer(*(np.hanning(n + 2)[1:-1] for n in cut.shape))
        power = power + np.abs(np.fft.rfft2((cut - cut.mean()) * taper)) ** 2
    fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
    radius = np.hypot(fy, fx)
    inner, outer = (
        np.asarray(power)[(radius > a) & (radius < b)] for a, b in ((0.15, 0.3), (0.35, 0.5))
    )
    if min(len(inner), len(outer)) < 16 or np.median(outer) <= 0:
        return 1.0
    ratio = float(np.median(inner) / np.median(outer))
    # Hann windows tie about 2.25 coefficients together; an exponential's median has error 1.44/√n.
    error = 1.44 * math.sqrt(2.25 / len(inner) + 2.25 / len(outer)) / math.sqrt(len(windows))
    if abs(math.log(ratio)) < max(0.2, 5 * error):
        return 1.0
    ring = np.minimum(radius * 32, 16).astype(int)
    density = np.array([np.median(np.asarray(power)[ring == k]) for k in range(17)])
    density[:4] = np.median(density[4:7])
    response = (2 * np.cos(2 * np.pi * fy) - 2) ** 2 * (2 * np.cos(2 * np.pi * fx) - 2) ** 2 / 36
    full = np.broadcast_to(np.where((fx == 0) | (fx == 0.5), 1, 2), radius.shape)
    noise = density[ring] * full
    return float(noise.sum() / (noise * response).sum())


# ------------------------------------------------------------------------------------ conclusions


def _conclude(frame: _Frame, pixels: NDArray[np.floating]) -> Identification:
    line = frame.line
    brightness, variance = line.centre
    spread = float(pixels.std())
    said = _remarks(frame)
    if variance < (_NOISE_FREE * spread) ** 2:
        return Identification(
            Gaussian(_NOISE_FREE * spread),
            (
                *said,
                f"no noise: neighbouring pixels differ by less than {_NOISE_FREE * spread:.3g}",
            ),
        )
    said.append(
        f"variance {variance:.4g} at the median brightness {brightness:.4g}; it changes with the "
        f"mean with slope {line.slope:.4g} ± {line.slope_error:.2g} per unit"
    )
    for gain, reason in _gains(frame):
        if (counted := _counted(frame, pixels, gain)) is not None:
            return Identification(counted.noise, (*said, reason, *counted.evidence))
    said.append("values on no lattice whose spacing agrees with the variance: no single electrons")
    continuous = _continuous(frame, pixels)
    return Identification(continuous.noise, (*said, *continuous.evidence))


def _remarks(frame: _Frame) -> list[str]:
    said = []
    if frame.spacing is not None:
        said.append(f"values lie on a lattice of spacing {frame.spacing:.6g}")
    if frame.line.padding:
        said.append(f"{frame.line.padding:.1%} of the frame is constant, and was left out")
    if frame.correlation != 1:
        said.append(
            "noise of neighbouring pixels is correlated, or structure reaches the finest scale "
            "(the power spectrum is not flat at high frequencies): the variance between "
            f"neighbours was multiplied by {frame.correlation:.3g}"
        )
    return said


def _gains(frame: _Frame) -> list[tuple[float, str]]:
    """Return gains that the levels suggest, the most certain first, each with its reason."""
    line, found = frame.line, []
    if frame.spacing is not None:
        found.append((frame.spacing, "one step of the lattice is one electron"))
    brightness, variance = line.centre
    guesses = [(line.slope, max(3 * line.slope_error, 0.1 * line.slope))]
    if brightness > 0:
        guesses.append((variance / brightness, 0.15 * variance / brightness))
    for guess, width in guesses:
        if guess > 0 and width < 0.5 * guess:
            gain, strength = _comb(frame, guess - width, guess + width)
            if strength > 0.5:
                reason = f"values cluster at multiples of {gain:.4g} (strength {strength:.2f} of 1)"
                found.append((gain, reason))
    return found


def _counted(frame: _Frame, pixels: NDArray[np.floating], gain: float) -> Identification | None:
    """Return the Poisson model of this gain where variance and mean agree with it."""
    line, said = frame.line, []
    noise: Poisson = Poisson(gain)
    if pixels.min() > -0.5 * gain:
        noise, said = _clip(frame, pixels, noise)
    else:
        noise = Poisson(gain, gain * round(float(pixels.min()) / gain))
    ratio, error = _dispersion(line, noise)
    steep = line.slope_error < 0.2 * gain and not isinstance(noise, ClippedPoisson)
    if abs(ratio - 1) > max(0.1, 4 * error) or (
        steep and abs(line.slope - gain) > max(0.3 * gain, 5 * line.slope_error)
    ):
        if not (steep and abs(line.slope - gain) < max(0.1 * gain, 4 * line.slope_error)):
            return None
        offset = float(np.median(line.mean - line.variance / gain))
        if frame.spacing is not None:
            offset = frame.levels[0] + frame.spacing * round(
                (offset - frame.levels[0]) / frame.spacing
            )
        if not offset - 0.75 * gain < pixels.min():
            return None
        noise, said = _clip(frame, pixels, Poisson(gain, offset))
        ratio, error = _dispersion(line, noise)
    where = f" above an offset of {noise.offset:.4g}" if noise.offset else ""
    return Identification(
        noise,
        (
            f"the variance is {ratio:.3f} ± {error:.3f} times that of counted electrons of gain "
            f"{gain:.4g}{where}",
            *said,
        ),
    )


def _clip(frame: _Frame, pixels: NDArray[np.floating], noise: Poisson) -> tuple[Poisson, list[str]]:
    """Return the clipped model where counts that should lie beyond the largest value do not."""
    largest = float(pixels.max())
    if largest < noise.offset + noise.gain / 2:
        return noise, []
    clipped = ClippedPoisson(noise.gain, noise.offset, largest)
    c = math.ceil((largest - noise.offset) / noise.gain - 1e-6)
    rate = np.maximum((frame.line.mean - noise.offset) / noise.gain, 1e-9)
    beyond = special.gammainc(c + 1, rate)  # P(N > c)
    expected = float(beyond.mean()) * pixels.size
    # E[(N − c)+] = rate·P(N ≥ c) − c·P(N > c): what clipping takes from the mean.
    lost = rate * special.gammainc(c, rate) - c * beyond
    if expected < 8:
        return noise, []
    at = int(np.count_nonzero(pixels >= largest - 1e-3 * noise.gain))
    said = (
        f"{at:,} pixels stand at the largest value {largest:.6g} and none beyond, where a Poisson "
        f"tail would put {expected:,.0f}: clipped"
    )
    if np.max(lost / np.sqrt(rate)) < 0.01:
        return noise, [said + ", too seldom to matter"]
    return clipped, [said]


def _dispersion(line: _Line, noise: Poisson) -> tuple[float, float]:
    """Return the measured variance over that of the model at the same mean, with its error."""
    model = noise.variance(line.mean)
    if isinstance(noise, ClippedPoisson):
        clean = noise.offset + (noise.maximum - noise.offset) * np.geomspace(1e-4, 4, 400)
        model = np.interp(line.mean, noise.mean(clean), noise.variance(clean))
    used = model > 0.02 * np.median(model)
    ratio, error = line.variance[used] / model[used], line.error[used] / model[used]
    order = np.argsort(ratio)
    share = np.cumsum(1 / error[order] ** 2)
    middle = float(ratio[order][np.searchsorted(share, share[-1] / 2)])
    return middle, float(1.25 / np.sqrt(share[-1]))


def _continuous(frame: _Frame, pixels: NDArray[np.floating]) -> Identification:
    """Return the model of a frame in which no single electrons are seen."""
    line = frame.line
    variance = line.centre[1]
    change = line.slope * float(np.ptp(np.quantile(line.mean, (0.05, 0.95)))) / variance
    largest = float(pixels.max())
    said = []
    if (at := int(np.count_nonzero(pixels == largest))) > max(8, 1e-4 * pixels.size):
        said.append(
            f"{at:,} pixels stand at the largest value {largest:.6g}: saturated, which the model "
            "leaves out"
        )
    if line.slope > 5 * line.slope_error and change > 0.15:
        # Readout noise is what is left at zero electrons, or at the darkest where that is below.
        offset = min(0.0, float(line.mean.min()))
        rest = line.intercept + line.slope * offset
        if line.mean.min() > 0 and abs(line.intercept) < max(
            4 * line.intercept_error, 0.05 * variance
        ):
            gain = float(np.median(line.variance / line.mean))
            if pixels.min() > -0.75 * gain:
                said.append("the variance is proportional to the mean: Poisson")
                return Identification(Poisson(gain), tuple(said))
            rest = max(rest, (gain / 4) ** 2)
        if rest > 0:
            sigma = math.sqrt(rest)
            said.append(
                f"a constant variance of sigma {sigma:.4g} adds: Poisson with readout noise"
            )
            return Identification(PoissonGaussian(line.slope, offset, sigma), tuple(said))
        offset = -line.intercept / line.slope
        if pixels.min() > offset - 0.75 * line.slope:
            said.append(f"the variance reaches zero at {offset:.4g}: Poisson above that offset")
            return Identification(Poisson(line.slope, offset), tuple(said))
        sigma = line.slope / 4
        said.append(f"the variance reaches zero at {offset:.4g}, but values lie below it")
        return Identification(PoissonGaussian(line.slope, offset, sigma), tuple(said))
    if line.slope < -5 * line.slope_error and change < -0.15:
        said.append("the variance falls with the mean, as no model here does: taken as constant")
    else:
        said.append("the variance is the same at every brightness: Gaussian")
    return Identification(Gaussian(math.sqrt(variance)), tuple(said))


# -------------------------------------------------------------------------------- stated by a user

_SYNTAX = "auto, none, poisson[:gain][,offset=O][,clip=MAX] or gaussian:SIGMA"


def resolve(spec: str, image: ArrayLike) -> Identification:
    """Return the noise that a user names, with what is left unnamed read from the frame.

    Parameters
    ----------
    spec : str
        ``auto``; ``none`` (taken as Gaussian of 1/1000 of the image's standard deviation);
        ``gaussian:SIGMA``; ``poisson``, with ``:gain`` in units of the data per electron,
        ``,offset=O`` the value of no electrons, ``,clip=MAX`` the largest value possible.
    image : (H, W) array_like

    Raises
    ------
    OptionError
        If the specification has no meaning.
    ImageError
        If the image cannot hold that noise: values below the offset or above the maximum.
    """
    pixels = check_image(image)
    kind, _, rest = spec.strip().partition(":")
    head, *options = rest.split(",") if rest else [""]
    if "," in kind:
        kind, *options = kind.split(",")
    given = f"given: {spec.strip()}"
    if kind in ("auto", "none") and (rest or options):
        raise _misspelt(spec, f"{kind} takes no parameters")
    if kind == "auto":
        return identify(pixels)
    if kind == "none":
        return Identification(Gaussian(_NOISE_FREE * float(pixels.std())), (given,))
    if kind == "gaussian":
        if options or not head:
            raise _misspelt(spec, "gaussian takes one standard deviation")
        return Identification(Gaussian(_number(spec, head)), (given,))
    if kind != "poisson":
        raise _misspelt(spec, f"no noise is called {kind!r}")
    named: dict[str, float] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if name.strip() not in ("offset", "clip") or not equals or name.strip() in named:
            raise _misspelt(spec, f"{option!r} is neither offset=O nor clip=MAX, once each")
        named[name.strip()] = _number(spec, value)
    return _stated_poisson(pixels, given, _number(spec, head) if head else None, **named)


def _stated_poisson(
    pixels: NDArray[np.floating],
    said: str,
    gain: float | None,
    offset: float | None = None,
    clip: float | None = None,
) -> Identification:
    evidence: tuple[str, ...] = (said,)
    if gain is None:
        frame = _measure(pixels)
        found = _conclude(frame, pixels)
        if offset is None and clip is None and isinstance(found.noise, Poisson):
            return Identification(found.noise, (said, *found.evidence))
        gain, how = _gain_above(frame, offset or 0.0)
        evidence += (how,)
    noise = Poisson(gain, offset or 0.0)
    if clip is not None:
        noise = ClippedPoisson(gain, noise.offset, clip)
    below = int(np.count_nonzero(pixels < noise.offset - gain / 2))
    if below:
        raise ImageError(
            f"{below:,} of {pixels.size:,} pixels below {noise.offset:g}, down to "
            f"{pixels.min():g}, under Poisson noise",
            expected=f"values of at least the offset, {noise.offset:g}",
            why="a pixel cannot count fewer than zero electrons",
            fix="give the value of zero electrons (poisson,offset=O), or gaussian:SIGMA or auto",
        )
    if clip is not None and pixels.max() > clip + 1e-3 * gain:
        raise ImageError(
            f"pixels up to {pixels.max():g} under noise clipped at {clip:g}",
            expected=f"values of at most {clip:g}",
            why="clipped data hold nothing above the maximum",
            fix=f"give clip={pixels.max():g}, or leave clip out",
        )
    return Identification(noise, evidence)


def _gain_above(frame: _Frame, offset: float) -> tuple[float, str]:
    """Return the gain that the variance above a known offset gives."""
    above = frame.line.mean > offset
    if not above.any():
        raise OptionError(
            f"an offset of {offset:g}",
            expected=f"a value below the brightness of the image, about {frame.line.centre[0]:.4g}",
            why="the gain is read from the variance above the offset",
            fix="give the value of a pixel without electrons, or the gain (poisson:GAIN,offset=O)",
        )
    gain = float(np.median(frame.line.variance[above] / (frame.line.mean[above] - offset)))
    how = f"the variance above {offset:g} gives gain {gain:.4g}"
    for level in (frame.spacing, _comb(frame, 0.85 * gain, 1.15 * gain)[0]):
        if level is not None and abs(level - gain) < 0.15 * gain:
            return level, f"{how}, and values cluster at multiples of {level:.4g}"
    return gain, how


def _number(spec: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise _misspelt(spec, f"{text!r} is not a number") from None
    if not math.isfinite(value):
        raise _misspelt(spec, f"{text!r} is not finite")
    return value


def _misspelt(spec: str, why: str) -> OptionError:
    return OptionError(
        f"noise {spec!r}",
        expected=_SYNTAX,
        why=why,
        fix="for example auto, poisson:0.04,clip=1 or gaussian:0.1; numbers in units of the data",
    )
