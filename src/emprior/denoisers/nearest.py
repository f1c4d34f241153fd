"""The nearest training image with pose: the prior that has learnt by heart.

Every clean image of a data set, at every translation that keeps the frame inside it and with its
horizontal mirror image, is compared with the frame by least squares, exposure fitted. What it
reaches is what memory alone is worth; a frame that it explains without error was trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.signal import correlate

from emprior.denoisers.album import LEVEL, Album, open_album
from emprior.denoisers.base import Denoiser, Estimate
from emprior.denoisers.networks import NATIVE_PIXEL_SIZE
from emprior.denoisers.pose import guess_exposure, on_grid
from emprior.errors import OptionError
from emprior.grid import pool, resample, resampling_matrix
from emprior.inversion import Exposure
from emprior.micrograph import Micrograph
from emprior.noise import NoiseModel

Values = NDArray[Any]
Progress = Callable[[float], None]

_FEWEST = 8  # pixels along an axis of the frame, on the images' grid
_COARSEST = 2.0  # pixels of the images in one of the frame
_SAME_SCALE = 0.005  # pixel sizes that differ less share one sight of the frame in the first pass
_AT_ONCE = 64  # images compared together
_FINALISTS = 32  # images that are compared on their own grid
_STEPS = 2  # of Gauss–Newton, from whole pixels to fractions
_FLATTEST = 1e-3  # deviation of an image below which it has no structure to be scaled


@dataclass(frozen=True)
class Nearest(Denoiser):
    """The clean image of a data set that best explains the frame, moved to where it does.

    Parameters
    ----------
    images : str or path
        The directory of a simulated data set; it is read into memory once a process.
    progress : callable, optional
        Called with the share of work done, from 0 to 1.

    Notes
    -----
    Least squares on the pixels of the images, with clipping undone in the mean and the noise taken
    as equally strong everywhere. Exposure is fitted without a prior: the unit where electrons are
    counted, unit and zero otherwise. Images are neither turned nor scaled. Wrong, and without a
    sign of it, for whatever is not in the data set. Without a pixel size the frame is taken at
    0.0489 Å.
    """

    images: str | Path = "default"
    progress: Progress | None = field(default=None, compare=False, repr=False)

    def __call__(
        self, micrograph: Micrograph, noise: NoiseModel, rng: np.random.Generator
    ) -> Estimate:
        """Estimate; the trace has the number of the ``image``, its pose and its exposure."""
        album = open_album(self.images)
        frame = _Frame(micrograph, noise, guess_exposure(micrograph, noise))
        found = [
            _pose(frame, album, image, flipped)
            for image, flipped in _finalists(frame, album, self.progress)
        ]
        best = max(found, key=lambda pose: pose.explained)
        trace = {"prior": str(self.images), "data": album.hash, **best._asdict()}
        return Estimate(_draw(frame, album, best), trace=trace)


# ---------------------------------------------------------------------------------------- the frame


@dataclass(frozen=True, eq=False)
class _Sight:
    """The frame on the grid of some images.

    Attributes
    ----------
    values : (h, w) ndarray
        In intensities, vacuum about 0.45.
    deviation : float
        Of their noise.
    free : int
        1: the unit is to be fitted, above a known zero. 2: the zero too.
    """

    values: Values
    deviation: float
    free: int

    def flipped(self) -> _Sight:
        """Return its horizontal mirror image."""
        return replace(self, values=self.values[:, ::-1])

    def pooled(self, factor: int) -> _Sight:
        """Return it on a grid coarser by a whole factor."""
        values = pool(self.values, factor).astype(np.float32)
        return replace(self, values=values, deviation=self.deviation / factor)

    def centred(self) -> Values:
        """Return the values less their mean."""
        return self.values - self.values.mean()

    def fit(self, overlaps: Values, first: Values, second: Values) -> _Fit:
        """Fit the exposure of images by least squares.

        Parameters
        ----------
        overlaps : array
            Sums of the centred values times the image.
        first, second : array
            Sums, over the same pixels, of the image less `LEVEL` and of its square.
        """
        n, mean = self.values.size, float(self.values.mean())
        if self.free == 2:
            variation = np.maximum(second - first**2 / n, n * _FLATTEST**2)
            unit = np.maximum(overlaps, 0) / variation
            explained = unit * overlaps
            origin = mean - unit * (first / n + LEVEL)
        else:
            products = overlaps + mean * (first + n * LEVEL)
            unit = np.maximum(products, 0) / (second + 2 * LEVEL * first + n * LEVEL**2)
            explained = unit * products - n * mean**2
            origin = np.zeros_like(unit)
        return _Fit(explained / self.deviation**2, unit, origin)


class _Fit(NamedTuple):
    """Least squares of ``frame ≈ unit·image + origin`` at one or many places."""

    explained: Values
    """Squares about the frame's mean that the fit takes away, in units of the noise variance."""
    unit: Values
    origin: Values


class _Frame(NamedTuple):
    micrograph: Micrograph
    noise: NoiseModel
    exposure: Exposure

    def pitch(self, pixel_size: float) -> float:
        """Return the distance between its pixels in units of an image's."""
        return (self.micrograph.pixel_size or NATIVE_PIXEL_SIZE) / pixel_size

    def shape(self, pixel_size: float) -> tuple[int, int]:
        """Return how many of an image's pixels it covers."""
        h, w = (int(n * self.pitch(pixel_size) + 1e-6) for n in self.micrograph.shape)
        return h, w

    def fits(self, album: Album, pixel_size: float) -> bool:
        """Say whether it lies within an image, and is neither too coarse nor too small."""
        axes = zip(self.shape(pixel_size), album.shape, strict=True)
        return self.pitch(pixel_size) <= _COARSEST and all(_FEWEST <= n <= N for n, N in axes)

    def on(self, pixel_size: float) -> _Sight:
        """Return it on the grid of images."""
        pitch = self.pitch(pixel_size)
        values, deviation = on_grid(self.micrograph.image, self.noise, pitch, self.exposure)
        return _Sight(values.numpy(), deviation, self.exposure.free)


# --------------------------------------------------------------------------------------- first pass


def _finalists(frame: _Frame, album: Album, progress: Progress | None) -> list[tuple[int, bool]]:
    """Return the images, and whether flipped, that explain the frame best on a coarse grid."""
    fitting = np.array([frame.fits(album, size) for size in album.pixel_sizes])
    if not fitting.any():
        raise _unfit(frame.micrograph, album)
    explained, done = np.full((2, len(album)), -np.inf), 0
    scale = np.round(np.log(album.pixel_sizes) / _SAME_SCALE)
    for group in np.unique(scale[fitting]):
        members = np.flatnonzero(fitting & (scale == group))
        # The largest pixels make the smallest sight, which lies within every member.
        sight = frame.on(album.pixel_sizes[members].max()).pooled(album.factor)
        for chosen in np.array_split(members, -(-len(members) // _AT_ONCE)):
            images = album.pooled[chosen]
            sums = [_box_sums(power, sight.values.shape) for power in (images, images**2)]
            for flipped, seen in enumerate((sight, sight.flipped())):
                transform = scipy.fft.rfft2(seen.centred(), album.padded)
                overlaps = scipy.fft.irfft2(album.spectra[chosen] * transform.conj(), album.padded)
                overlaps = overlaps[:, : sums[0].shape[1], : sums[0].shape[2]]
                explained[flipped, chosen] = seen.fit(overlaps, *sums).explained.max((1, 2))
            done += len(chosen)
            if progress:
                progress(done / int(fitting.sum()))
    order = np.argsort(-explained, axis=None, kind="stable")[: min(_FINALISTS, 2 * fitting.sum())]
    flips, numbers = np.unravel_index(order, explained.shape)
    return list(zip(numbers.tolist(), flips.astype(bool).tolist(), strict=True))


def _box_sums(images: Values, shape: tuple[int, ...]) -> Values:
    """Return the sums over all windows of a shape, (..., H − h + 1, W − w + 1)."""
    for axis, n in zip((-2, -1), shape, strict=True):
        total = np.moveaxis(np.cumsum(images, axis), axis, 0)
        images = np.moveaxis(np.concatenate([total[n - 1 : n], total[n:] - total[:-n]]), 0, axis)
    return images


def _unfit(micrograph: Micrograph, album: Album) -> OptionError:
    size, own = micrograph.pixel_size or NATIVE_PIXEL_SIZE, float(np.median(album.pixel_sizes))
    (h, w), (H, W) = micrograph.shape, album.shape
    return OptionError(
        f"a frame of {h} × {w} pixels of {size:.4g} Å, {h * size:.1f} × {w * size:.1f} Å",
        expected=f"one within the images of the data set, {H * own:.1f} × {W * own:.1f} Å, of at "
        f"least {_FEWEST} × {_FEWEST} of their pixels of {own:.4g} Å, its own at most "
        f"{_COARSEST:g} times as large",
        why="it is compared, pixel by pixel, with parts of whole images",
        fix="check the pixel size, crop the frame, or simulate larger images",
    )


# --------------------------------------------------------------------------------------------- pose


class _Pose(NamedTuple):
    """Where and how an image explains the frame.

    The frame's first pixel, on the image's grid, lies at ``row`` and ``column`` of the image
    [pixels of the image]; where ``flipped``, that of the mirrored frame.
    """

    explained: float
    unit: float
    origin: float
    image: int
    flipped: bool
    row: float
    column: float


def _pose(frame: _Frame, album: Album, image: int, flipped: bool) -> _Pose:
    """Find the pose of one image on its own grid, to a fraction of its pixels."""
    pixel_size = float(album.pixel_sizes[image])
    sight = frame.on(pixel_size)
    if flipped:
        sight = sight.flipped()
    seen, centred, shape = sight.values, sight.centred(), sight.values.shape
    whole = album.images[image].astype(np.float64) - LEVEL
    # Where the frame is finer, its pixels were averaged over one of the image's.
    width = 1.0 if frame.pitch(pixel_size) < 1 else 0.0

    def part(start: Values, shape: tuple[int, ...]) -> Values:
        """Return the image's window of a shape that starts there."""
        axes = zip(whole.shape, start, shape, strict=True)
        return resample(
            whole, *(resampling_matrix(N, s + 0.5 + np.arange(n), width) for N, s, n in axes)
        )

    def at(start: Values) -> tuple[Values, _Fit]:
        shown = part(start, shape)
        return shown, sight.fit((centred * shown).sum(), shown.sum(), (shown**2).sum())

    blurred = part(np.zeros(2), whole.shape)
    overlaps = correlate(blurred, centred, mode="valid", method="fft")
    fits = sight.fit(overlaps, _box_sums(blurred, shape), _box_sums(blurred**2, shape))
    start = nearest = np.array(np.unravel_index(np.argmax(fits.explained), overlaps.shape), float)
    for _ in range(_STEPS):
        shown, fit = at(start)
        slopes = [
            fit.unit * (part(start + h, shape) - part(start - h, shape)) / 0.5
            for h in np.diag([0.25, 0.25])
        ]
        terms = [*slopes, shown + LEVEL, np.ones_like(seen)][: 2 + sight.free]
        left = seen - fit.unit * (shown + LEVEL) - fit.origin
        change = np.linalg.lstsq(np.stack([t.ravel() for t in terms], 1), left.ravel())[0]
        start = np.clip(start + change[:2], nearest - 0.7, nearest + 0.7)
    explained, unit, origin = (float(value) for value in at(start)[1])
    return _Pose(explained, unit, origin, image, flipped, *start.tolist())


def _draw(frame: _Frame, album: Album, pose: _Pose) -> NDArray[np.float32]:
    """Return the posed image on the frame's pixels and in its units."""
    pixel_size, exposure = float(album.pixel_sizes[pose.image]), frame.exposure
    pitch = frame.pitch(pixel_size)
    axes = zip(
        album.shape,
        (pose.row, pose.column),
        frame.shape(pixel_size),
        frame.micrograph.shape,
        strict=True,
    )
    matrices = [
        resampling_matrix(N, start + seen / 2 + (np.arange(n) + 0.5 - n / 2) * pitch)
        for N, start, seen, n in axes
    ]
    image = resample(album.images[pose.image].astype(np.float64), *matrices)
    if pose.flipped:
        image = image[:, ::-1]
    values = exposure.origin + exposure.unit * (pose.unit * image + pose.origin)
    return values.astype(np.float32)
