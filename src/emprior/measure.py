r"""What a single frame shows of its noise: variance against mean, levels, whiteness.

*Variance against mean*: in blocks of 8 × 8 pixels the mixed second difference keeps white noise
and drops what varies smoothly, so that :math:`v = a\,m + b` can be fitted over blocks of like
mean. *Levels*: counted electrons stand on a lattice of values, or near one, whose spacing is the
gain. *Whiteness*: beyond the band limit of the microscope the power spectrum of white noise is
flat.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]

_BLOCK = 8  # pixels; the mean is nearly constant within
_WINDOW = 256  # pixels; a large frame is read through 16 windows of this side
BLOCK_PIXELS = _BLOCK**2
_DIFFERENCES = 17  # independent ones in a block: the 64 masks overlap


@dataclass(frozen=True)
class Line:
    """Variance against mean in groups of blocks of like mean.

    Parameters
    ----------
    mean, variance, error : (n,) ndarray
        Of the pixels of each group; `error` is the standard error of the variance.
    slope, slope_error, intercept, intercept_error : float
        Of the line ``variance = slope·mean + intercept``; infinite errors where one brightness
        only was seen.
    """

    mean: Array
    variance: Array
    error: Array
    slope: float
    slope_error: float
    intercept: float
    intercept_error: float

    def scaled(self, factor: float) -> Line:
        """Return the line of a variance `factor` times as large."""
        names = ("variance", "error", "slope", "slope_error", "intercept", "intercept_error")
        return replace(self, **{name: getattr(self, name) * factor for name in names})


@dataclass(frozen=True)
class Frame:
    """What is measured of one frame.

    Parameters
    ----------
    line : Line
        With the correlation of the noise accounted for.
    levels, counts : (n,) ndarray
        Distinct values of a sample of the pixels, and how often each occurs.
    spacing : float, optional
        Of the lattice that all values stand on.
    correlation : float
        Variance of the noise over that seen between neighbouring pixels; 1 for white noise.
    constant : float
        Fraction of the blocks left out because all their pixels are equal.
    """

    line: Line
    levels: Array
    counts: Array
    spacing: float | None
    correlation: float
    constant: float

    @property
    def spread(self) -> float:
        """Standard deviation of the sampled pixels, without hot and dead ones."""
        mean = np.average(self.levels, weights=self.counts)
        return float(np.average((self.levels - mean) ** 2, weights=self.counts)) ** 0.5


def measure(pixels: NDArray[np.floating]) -> Frame:
    """Measure one frame of at least 8 × 8 finite pixels; large ones through windows."""
    windows = _windows(pixels)
    line, constant = _line(windows)
    levels, counts = _levels(windows)
    correlation = 1.0
    if (total := _coloured_variance(windows)) is not None and line.variance.mean() > 0:
        correlation = total / (1 - min(constant, 0.9)) / float(line.variance.mean())
    return Frame(
        line.scaled(correlation),
        levels,
        counts,
        _spacing(levels, counts),
        correlation,
        constant,
    )


def _windows(pixels: NDArray[np.floating]) -> list[Array]:
    if pixels.size <= 16 * _WINDOW**2:
        return [np.asarray(pixels, np.float64)]
    rows, columns = (
        np.unique(np.linspace(0, max(n - _WINDOW, 0), 4).astype(int)) for n in pixels.shape
    )
    return [
        np.asarray(pixels[r : r + _WINDOW, c : c + _WINDOW], np.float64)
        for r in rows
        for c in columns
    ]


# -------------------------------------------------------------------------- variance against mean


def _line(windows: list[Array]) -> tuple[Line, float]:
    """Return variance against mean, and the fraction of blocks left out as constant.

    The mask is the second difference across times the second difference down: its squared norm is
    36, and it does not see any sum of a function of rows and a function of columns (Immerkær,
    Comput. Vis. Image Underst. 64, 300, 1996).
    """
    blocks, variances = [], []
    for window in windows:
        down = window[:-2] - 2 * window[1:-1] + window[2:]
        mixed = down[:, :-2] - 2 * down[:, 1:-1] + down[:, 2:]
        # The outermost pixels have no difference of their own and borrow their neighbour's.
        variances.append(_blocks(np.pad(mixed**2 / 36, 1, mode="edge")).mean(1))
        blocks.append(_blocks(window))
    values, v = np.concatenate(blocks), np.concatenate(variances)
    constant = _constant(values)
    fraction = float(constant.mean())
    if fraction < 1:
        values, v = values[~constant], v[~constant]

    m = values.mean(1)
    groups = np.array_split(np.argsort(m, kind="stable"), int(np.clip(len(m) // 16, 1, 32)))
    table = np.empty((3, len(groups)))
    for i, group in enumerate(groups):
        middle, upper = np.quantile(v[group], (0.5, 0.84))
        # Edges and labels stand far above the spread that noise alone gives.
        limit = middle + 6 * max(upper - middle, 0.25 * middle)
        kept = group[v[group] <= limit] if middle > 0 else group
        average = v[kept].mean()
        spread = max(v[kept].std(), average * math.sqrt(2 / _DIFFERENCES))
        table[:, i] = m[kept].mean(), average, spread / math.sqrt(len(kept))
    return _fit(*table), fraction


def _blocks(image: Array) -> Array:
    """Return the (n, 64) pixels of the whole blocks of an image."""
    H, W = image.shape[0] // _BLOCK, image.shape[1] // _BLOCK
    cut = image[: H * _BLOCK, : W * _BLOCK].reshape(H, _BLOCK, W, _BLOCK)
    return cut.swapaxes(1, 2).reshape(H * W, BLOCK_PIXELS)


def _constant(blocks: Array) -> NDArray[np.bool_]:
    """Mark blocks of equal pixels: padding or saturation, which hold no noise.

    Where electrons are so few that the smallest value fills most of other blocks too, whole
    blocks of it come by chance and say something about the noise.
    """
    constant = blocks.min(1) == blocks.max(1)
    if constant.any() and not constant.all():
        dark = (blocks == blocks.min()).mean(1)
        if np.quantile(dark[~constant], 0.9) > 0.75:
            constant &= dark < 1
    return constant


def _fit(mean: Array, variance: Array, error: Array) -> Line:
    """Fit a line by least squares, re-weighted so that groups far off it do not count."""
    error = np.maximum(error, 1e-6 * variance.max())
    if len(mean) < 3 or np.ptp(mean) == 0 or not variance.any():
        level = float(variance.mean())
        return Line(mean, variance, error, 0.0, math.inf, level, math.inf)
    centre = float(np.median(mean))
    scale = float(np.ptp(mean))  # keeps the normal equations in proportion in any units
    design = np.stack([(mean - centre) / scale, np.ones_like(mean)], 1)
    trust, excess = np.ones_like(mean), 1.0
    for _ in range(10):
        weight = trust / error**2
        covariance = np.linalg.inv(design.T @ (design * weight[:, None]))
        solution = covariance @ (design.T @ (weight * variance))
        residual = (variance - design @ solution) / error
        excess = max(1.0, 1.4826 * float(np.median(np.abs(residual))))
        trust = np.clip(1 - (residual / (6 * excess)) ** 2, 1e-6, 1) ** 2
    slope, level = float(solution[0]) / scale, float(solution[1])
    slope_error, level_error = excess * np.sqrt(np.diag(covariance)) / (scale, 1)
    return Line(
        mean,
        variance,
        error,
        slope,
        float(slope_error),
        level - slope * centre,
        math.hypot(level_error, slope_error * centre),
    )


# ----------------------------------------------------------------------------------------- levels


def _levels(windows: list[Array]) -> tuple[Array, Array]:
    """Return distinct values of a sample and how often each occurs, hot and dead pixels apart."""
    values = np.concatenate([window.ravel() for window in windows])
    stride = max(1, len(values) // 65_536)
    if stride > 1 and windows[0].shape[1] % stride == 0:
        stride += 1  # so that no column is preferred
    levels, counts = np.unique(values[::stride], return_counts=True)
    share = np.cumsum(counts) / counts.sum()
    low, high = levels[np.searchsorted(share, (0.001, 0.999))]
    if low < high:
        usual = np.abs(levels - (low + high) / 2) <= 1.5 * (high - low)
        levels, counts = levels[usual], counts[usual]
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
    smallest = float(np.median(gaps[gaps < 1.2 * gaps.min()]))
    height = levels - levels[0]
    for divisor in (1, 2, 3, 4, 5):  # a level may be missing between two that occur
        spacing = smallest / divisor
        for _ in range(3):
            index = np.round(height / spacing)
            spacing = float((counts * index) @ height / ((counts * index) @ index))
        off = np.abs(height - index * spacing) > 0.02 * spacing + tolerance
        if counts[off].sum() < 1e-3 * counts.sum():
            return _tidy(spacing)
    return None


def _tidy(value: float) -> float:
    """Return the whole number, or one over a whole number, that is meant."""
    for candidate in (round(value), 1 / max(round(1 / value), 1)):
        if abs(value - candidate) < 1e-5 * value:
            return float(candidate)
    return value


@dataclass(frozen=True)
class Comb:
    """Values cluster at ``phase + n·period``.

    Parameters
    ----------
    period, phase : float
        In units of the data; the phase lies within half a period of zero.
    strength : float
        Modulus of the characteristic function there: 1 on an exact lattice,
        exp(−2π²(sigma/period)²) with readout noise, about 0 without clusters.
    """

    period: float
    phase: float
    strength: float


def find_comb(frame: Frame, low: float, high: float) -> Comb | None:
    """Return the period in [low, high] at which values cluster best, or None without a peak."""
    floor, span = float(frame.levels[0]), float(np.ptp(frame.levels))
    bins, fine = 4096, 8
    index = np.minimum((frame.levels - floor) * (bins / span), bins - 1).astype(int)
    histogram = np.bincount(index, frame.counts, minlength=bins)
    strength = np.abs(np.fft.rfft(histogram, fine * bins)) / frame.counts.sum()
    # Coefficient k belongs to the period fine·span/k.
    first, last = math.ceil(fine * span / high), math.floor(fine * span / low)
    last = min(last, len(strength) - 2)
    if not 2 <= first <= last:
        return None
    k = first + int(np.argmax(strength[first : last + 1]))
    # A broad smooth distribution has no peak, and an overtone has its fundamental below it.
    below = 1.05 * max(strength[round(k / n)] for n in (2, 3, 4, 5))
    if strength[k] < max(below, strength[k - 1], strength[k + 1]):
        return None
    # Few electrons make a broad peak that readout noise shifts; the teeth themselves are sharper.
    period = fine * span / k
    wave = complex(frame.counts @ np.exp(2j * np.pi / period * frame.levels))
    phase = math.atan2(wave.imag, wave.real) * period / (2 * math.pi)
    for _ in range(3):
        tooth = np.round((frame.levels - phase) / period)
        if np.ptp(tooth) == 0:
            return None
        period, phase = (float(c) for c in np.polyfit(tooth, frame.levels, 1, w=frame.counts**0.5))
        if period <= 0:
            return None
    wave = complex(frame.counts @ np.exp(2j * np.pi / period * frame.levels))
    return Comb(period, math.remainder(phase, period), abs(wave) / float(frame.counts.sum()))


def find_rounded(frame: Frame) -> Comb | None:
    """Return the comb whose teeth, rounded to the lattice, are all the levels that occur.

    Counts that were scaled, as for an image of 8 bits, and rounded leave levels out: one in five
    for a gain of 1.25 steps. None where no level is left out, or one by chance.
    """
    if frame.spacing is None:
        return None
    common = np.flatnonzero(frame.counts > 0.05 * frame.counts.max())
    levels = frame.levels[common[0] : common[-1] + 1]
    if len(levels) < 8:
        return None
    tooth = np.arange(len(levels))
    period, phase = (float(c) for c in np.polyfit(tooth, levels, 1))
    off = np.abs(levels - phase - period * tooth).max()
    if period < 1.02 * frame.spacing or off > 0.6 * frame.spacing:
        return None
    strength = abs(np.exp(2j * np.pi / period * levels).mean())
    return Comb(period, math.remainder(phase, period), float(strength))


# -------------------------------------------------------------------------------------- whiteness


def _coloured_variance(windows: list[Array]) -> float | None:
    """Return the variance of noise whose power spectrum is not flat; None where it is.

    Ring by ring the median of the spectrum skips the Bragg spots of a crystal; below 1/8 cycle per
    pixel, where images live, the rings just above stand in.
    """
    H, W = windows[0].shape
    if min(H, W) < 32:
        return None
    taper = np.outer(np.hanning(H + 2)[1:-1], np.hanning(W + 2)[1:-1])
    power = np.zeros((H, W // 2 + 1))
    for window in windows:
        power += np.abs(np.fft.rfft2((window - window.mean()) * taper)) ** 2
    power /= len(windows) * (taper**2).sum()
    radius = np.hypot(np.fft.fftfreq(H)[:, None], np.fft.rfftfreq(W)[None])
    middle = power[(radius > 0.15) & (radius < 0.3)]
    outer = power[(radius > 0.35) & (radius < 0.5)]
    if np.median(outer) <= 0:
        return None
    # The median of n exponentials has a relative error of 1.44/√n, and the taper ties about 2.25
    # of them together.
    error = 1.44 * math.sqrt(2.25 / len(middle) + 2.25 / len(outer))
    if abs(math.log(np.median(middle) / np.median(outer))) < max(0.2, 5 * error):
        return None
    ring = np.minimum(radius * 32, 16).astype(int)
    density = np.array([np.median(power[ring == k]) for k in range(17)])
    density[:4] = np.median(density[4:7])
    # The mean of n exponentials is a gamma variable; from its median to its mean.
    density *= len(windows) / special.gammaincinv(len(windows), 0.5)
    weight = np.full(W // 2 + 1, 2.0)  # most columns of the half spectrum stand for two
    weight[0] = 1
    if W % 2 == 0:
        weight[-1] = 1
    return float((density[ring] * weight).sum() / (H * W))
