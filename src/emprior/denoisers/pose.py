"""From a micrograph and a stored network to latent problems: windows, exposure, starts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from emprior.denoisers.classical import Constant
from emprior.generators import ColumnEncoder, Generator, Look
from emprior.grid import Tile, pool, resample, resampling_matrix, tiles
from emprior.inversion import (
    Exposure,
    LatentProblem,
    Shortlist,
    View,
)
from emprior.micrograph import Micrograph
from emprior.noise import ClippedPoisson, Gaussian, Hits, NoiseModel
from emprior.specimen import TYPICAL_DEVIATION, TYPICAL_MEAN
from emprior.stored import Stored

FACE_VALUE = (0.3, 0.6)  # means of data that are taken to have their vacuum at 0.45
_TILTS = (-0.05, -0.025, 0.025, 0.05)  # tangents, along rows or along columns
_DEFOCI = (-30.0, 0.0, 30.0)  # Å, about the guess
_ALIKE = 0.01  # tangent; tilts nearer to each other lead to the same end
_TAKEN_UP = 3  # tilts, no tilt among them
_SEEN = 5  # tilts compared at first sight: none, and what is told under each sign
_MODEL_ERROR = 4e-3  # typical error of the best image in a generator's range
_AT_ONCE = 8  # windows of one generator searched together; bounds memory on large images


@dataclass(frozen=True, eq=False)
class Pose:
    """Windows of a micrograph and the generator whose images are to explain them.

    Attributes
    ----------
    windows : list of Tile
        Of one size.
    generator : Generator
    exposure : Exposure
    start : Shortlist or None
        Latent vectors to search from, where the network tells some.
    probability : (M,) Tensor or None
        That each column of the generator's is there, where the network tells it.
    doubt : float or None
        What the network leaves open in the middle of the frame, in nats a column, where it tells
        it.
    turn : float
        By which it turned the frame to look at it, clockwise [degrees].
    """

    windows: list[Tile]
    generator: Generator
    exposure: Exposure
    start: Shortlist | None = None
    probability: Tensor | None = None
    doubt: float | None = None
    turn: float = 0.0

    def problem(
        self, micrograph: Micrograph, noise: NoiseModel, pitch: float
    ) -> tuple[LatentProblem, View]:
        """Return the inversion of the windows, and the view on all their pixels.

        Parameters
        ----------
        micrograph : Micrograph
        noise : NoiseModel
        pitch : float
            Distance between its pixels in units of the generator's.
        """
        like = self.generator.example
        noisy = np.stack([micrograph.image[window] for window in self.windows])
        h, w = noisy.shape[-2:]
        # Averages of counts are counts again: fewer numbers, the same likelihood.
        factor = pooling((h, w), pitch)
        pooled = noise.averaged(factor**2) if factor > 1 else noise
        if pooled is None:
            factor, pooled = 1, noise
        pooled = self._likelihood(pooled)
        used = None
        if micrograph.ignored is not None:  # a mean is used if all that it is of are
            some = np.stack([micrograph.ignored[window] for window in self.windows])
            used = torch.from_numpy(pool(some.astype(np.float32), factor) == 0)
        field = self.generator.image_shape
        problem = LatentProblem(
            self.generator,
            pooled,
            torch.from_numpy(np.ascontiguousarray(pool(noisy, factor))).to(like),
            view=View.centred(field, (h, w), pitch, factor),
            exposure=self.exposure,
            used=used,
        )
        return problem, View.centred(field, (h, w), pitch).to(like)

    def _likelihood(self, noise: NoiseModel) -> NoiseModel:
        """Return a noise model that does not ask for more than the generator can give.

        Where noise is weaker than the error of its best image, that error counts as noise too:
        otherwise latent numbers would be bent to explain it.
        """
        if isinstance(noise, (ClippedPoisson, Hits)):
            return noise
        flat = np.asarray(self.exposure.origin + TYPICAL_MEAN * self.exposure.unit)
        deviation, error = float(noise.variance(flat)) ** 0.5, _MODEL_ERROR * self.exposure.unit
        return Gaussian(float(np.hypot(deviation, error))) if deviation < error else noise

    def first_sight(self, problem: LatentProblem) -> Tensor:
        """Return the latent vectors (T, D) of what an encoder saw.

        No search, but the signs of the tilt, which it does not tell, are those that explain the
        data best, and small tilts are none where that does.
        """
        assert self.start is not None
        z = self.start.z.to(problem.noisy)
        z = z[:, :_SEEN, z.shape[2] // 2]  # at the defocus that was told
        best = problem.value(z).argmin(dim=1)
        return z[torch.arange(len(z)), best]

    def exact(self) -> Pose:
        """Return the pose with the exact form of its generator, or this one if it has that."""
        exact = self.generator.exact()
        return self if exact is self.generator else replace(self, generator=exact)


def pooling(shape: tuple[int, int], pitch: float) -> int:
    """Return how many pixels are averaged along each axis, up to those of the network's."""
    return max(1, min(int(1 / pitch + 1e-6), shape[0] // 8, shape[1] // 8))


def pose(
    network: Stored,
    micrograph: Micrograph,
    noise: NoiseModel,
    pitch: float,
    thorough: bool = True,
    turn: float | None = None,
) -> list[Pose]:
    """Cover a micrograph with windows of at most the network's field, and pose each.

    Parameters
    ----------
    network : Stored
        A generator, or an encoder that makes a generator for each window.
    micrograph : Micrograph
    noise : NoiseModel
    pitch : float
        Distance between its pixels in units of the network's.
    thorough : bool
        Whether an encoder may look at the middle window at any turn, where it is in doubt; it
        looks at all windows at the turn that suits that one.
    turn : float, optional
        At which an encoder is to look instead, clockwise [degrees].
    """
    exposure = guess_exposure(micrograph, noise)
    if isinstance(network, ColumnEncoder):
        windows = _windows(micrograph.shape, (network.field, network.field), pitch)
        frames = [on_grid(micrograph.image[window], noise, pitch, exposure) for window in windows]
        middle = len(windows) // 2
        if turn is None:
            seen, doubt = network.clearest(*frames[middle], thorough)
        else:
            seen = network.look(*frames[middle], turn)
            doubt = network.doubt(seen)
        looks = (
            seen if number == middle else network.look(*frame, seen.turn)
            for number, frame in enumerate(frames)
        )
        return [
            _guessed(network, look, window, exposure, doubt)
            for look, window in zip(looks, windows, strict=True)
        ]
    assert isinstance(network, Generator)
    windows = _windows(micrograph.shape, network.image_shape, pitch)
    chunks = (windows[i : i + _AT_ONCE] for i in range(0, len(windows), _AT_ONCE))
    return [Pose(chunk, network, exposure) for chunk in chunks]


def guess_exposure(micrograph: Micrograph, noise: NoiseModel) -> Exposure:
    """Return the exposure that gives the data a typical mean and contrast.

    Counted electrons have a known zero, so only their unit is free. Gaussian noise tells nothing
    of the zero, so both are; data with a mean from 0.3 to 0.6 are first taken at face value.
    """
    mean = float(Constant()(micrograph, noise, np.random.default_rng(0)).image.mean())
    if not isinstance(noise, Gaussian):
        origin = float(getattr(noise, "offset", 0.0))
        return Exposure(max(mean - origin, 1e-12) / TYPICAL_MEAN, origin, free=1)
    if FACE_VALUE[0] < mean < FACE_VALUE[1]:
        return Exposure(free=2)
    factor = max(1, min(8, min(micrograph.shape) // 8))
    spread = float(pool(micrograph.image, factor).var()) - noise.sigma**2 / factor**2
    floor = (noise.sigma / factor / 10) ** 2
    unit = max(spread, floor) ** 0.5 / TYPICAL_DEVIATION
    return Exposure(unit, mean - TYPICAL_MEAN * unit, free=2)


def _windows(shape: tuple[int, int], field: tuple[int, int], pitch: float) -> list[Tile]:
    h, w = (min(n, max(1, int(f / pitch + 1e-6))) for n, f in zip(shape, field, strict=True))
    return tiles(shape, (h, w), overlap=min(h, w) // 4)


def _guessed(
    encoder: ColumnEncoder, look: Look, window: Tile, exposure: Exposure, doubt: float
) -> Pose:
    """Let the encoder guess what one window shows, and start the search there."""
    guess = encoder.guess(look)
    generator = encoder.generator(guess.scene, *look.frame)
    known_zero = exposure.free == 1
    guessed = Exposure(
        unit=exposure.unit * guess.unit,
        origin=exposure.origin + (0.0 if known_zero else exposure.unit * guess.origin),
        free=exposure.free,
        spread=0.05,
    )
    z = generator.tilted(_tilts(guess.tilts.tolist()), _DEFOCI)
    start = Shortlist(F.pad(z, (0, exposure.free))[None], _TAKEN_UP)
    return Pose([window], generator, guessed, start, guess.probability, doubt, look.turn)


def _tilts(told: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the tilts to start from, less the first that is told.

    The encoder tells tilts without their sign, and small ones badly; the likelihood finds it. No
    tilt at all comes first: that start looks bad as long as thickness and defocus are as told,
    and where it is right all others end in wrong optima.
    """
    alone = [(t, 0.0) for t in _TILTS] + [(0.0, t) for t in _TILTS]
    chosen = [(0.0, 0.0)]
    for tilt in [*told, *alone]:
        if min(math.dist(tilt, other) for other in chosen) > _ALIKE:
            chosen.append((tilt[0], tilt[1]))
    return [(r - told[0][0], c - told[0][1]) for r, c in chosen]


def on_grid(
    image: np.ndarray, noise: NoiseModel, pitch: float, exposure: Exposure
) -> tuple[Tensor, float]:
    """Return unbiased intensities at the pixels of the network, and their noise deviation.

    Clipped values are undone to first order about a typical image, since a mean of unclipped
    values would be biased where few are averaged. Data coarser than the network's is interpolated.
    """
    flat = np.asarray(exposure.origin + TYPICAL_MEAN * exposure.unit)
    deviation = float(noise.variance(flat)) ** 0.5
    low, high = (np.asarray(flat + sign * 1e-3 * exposure.unit) for sign in (-1, 1))
    slope = float((noise.mean(high) - noise.mean(low)) / (high - low)) if high > low else 1.0
    slope = max(slope, 1e-6)  # all is clipped, or far below one electron: nothing can be undone
    matrices = [_onto(n, pitch) for n in image.shape]
    for matrix in matrices:  # what averaging, or interpolating, leaves of white noise
        deviation *= float((matrix**2).sum(1).mean()) ** 0.5
    clean = flat + (resample(image.astype(np.float64), *matrices) - noise.mean(flat)) / slope
    frame = torch.from_numpy((clean - exposure.origin) / exposure.unit)
    return frame, deviation / slope / exposure.unit


@lru_cache(maxsize=8)
def _onto(n: int, pitch: float) -> NDArray[np.float64]:
    """Return the matrix from n pixels to those of the network, which have the same middle."""
    samples = max(1, int(n * pitch + 1e-6))
    centres = n / 2 + (np.arange(samples) - (samples - 1) / 2) / pitch
    return resampling_matrix(n, centres, 1 / pitch if pitch < 1 else 0.0)
