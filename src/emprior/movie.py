r"""Denoise the frames of a movie: neighbours are more counts of an object that hardly changes.

Neighbours are moved to the frame by whole pixels, so that counts stay counts, and averaged: the
mean of n frames has the noise of one with 1/n of its gain. But only where nothing changed. For a
run of frames and any division of it in two, or into one frame and the rest, the means are compared
through Gaussian windows of several widths,

.. math:: z = \frac{G_\sigma * (\bar y_1 - \bar y_2)}
    {\sqrt{(1/n_1 + 1/n_2)\, (G_\sigma^2 * V)}},

the likelihood ratio of a step against none where counts are many. Where z exceeds its limit at any
width a shorter run answers: the frames up to this one, those from it on, or the frame alone, then
as it would be answered without its neighbours. A change that no division shows is averaged; it is
less than the noise in a single frame's window times the limit and :math:`\sqrt{1/n_1 + 1/n_2}`.
"""

from __future__ import annotations

import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.stats import norm

from emprior.api import Denoised, denoise
from emprior.denoisers.depth import DEEPEST, Depth
from emprior.denoisers.stabilise import unclip
from emprior.drift import drift
from emprior.errors import EmpriorWarning, ImageError, InputError, OptionError
from emprior.micrograph import Micrograph
from emprior.noise import NoiseModel
from emprior.preparation import prepared
from emprior.references import References

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]

REACH = 3
"""Neighbours on either side of a frame that may be added to it."""

_WIDTHS = 2.0, 4.0, 8.0  # pixels, of the windows that look for changes
_LIMIT = 4.0  # standard errors from which it is a change
_CALM = 0.25  # share of the frame that is taken for unchanged, where its noise is read
_AROUND = 2.5  # widths about a change that are taken for changed with it
_SEAM = 2.0  # pixels over which runs pass into one another
_WORTH = 0.01  # share of the frame from which a run is worth an answer of its own
_STEADY = 0.1  # relative change of the noise's variance up to which frames are averaged


def denoise_movie(
    frames: Iterable[ArrayLike | Micrograph],
    *,
    reach: int = REACH,
    pixel_size: float | None = None,
    noise: str | NoiseModel = "auto",
    method: str = "prior",
    prior: str | Path = "default",
    search: str = "default",
    depth: Depth = DEEPEST,
    seed: int = 0,
    force: bool = False,
    faults: bool = True,
    references: References | None = None,
    device: str = "auto",
) -> Iterator[Denoised]:
    """Denoise the frames of a movie one after another, each with the help of its neighbours.

    Parameters
    ----------
    frames : iterable of (H, W) array_like or Micrograph
        In order of time. They are taken as they are needed: memory holds 2·reach + 1.
    reach : int
        Neighbours on either side that may be added to a frame.
    pixel_size, noise, method, prior, search, depth, seed, force, faults, references, device
        As for `emprior.denoise`.

    Yields
    ------
    Denoised
        One for each frame; it tells no columns and no deviations. The trace says under "movie"
        which share of the frame is answered from which frames, and the drift.

    Raises
    ------
    InputError
        If a frame or an option has no sensible meaning.

    Notes
    -----
    Wrong where a change is so weak that no division of a run shows it: it is then averaged over the
    run. Noise that is correlated between pixels makes changes harder to see. Drift of less than a
    pixel stays; where it shows it counts as change.
    """
    if not (isinstance(reach, int) and reach >= 1):
        raise OptionError(
            f"a reach of {reach!r}",
            expected="a whole number of at least 1",
            why="so many neighbours on either side may be added to a frame",
            fix="leave it out, or denoise frame by frame with emprior.denoise",
        )
    answer = partial(
        denoise,
        pixel_size=pixel_size,
        method=method,
        prior=prior,
        search=search,
        depth=depth,
        force=force,
        device=device,
    )
    for number, (window, centre) in enumerate(_windows(frames, reach)):
        yield denoise_among(
            window,
            centre,
            partial(answer, seed=(seed, number)),
            noise=noise,
            faults=faults,
            references=references,
            seed=(seed, number),
        )


def _windows(
    frames: Iterable[ArrayLike | Micrograph], reach: int
) -> Iterator[tuple[list[ArrayLike | Micrograph], int]]:
    """Yield each frame among its neighbours, and its place there."""
    held: deque[ArrayLike | Micrograph | None]
    held = deque(repeat(None, reach), maxlen=2 * reach + 1)
    for frame in chain(frames, repeat(None, reach)):
        held.append(frame)
        if len(held) == held.maxlen and held[reach] is not None:
            window = list(held)
            centre = sum(one is not None for one in window[:reach])
            yield [one for one in window if one is not None], centre


def denoise_among(
    frames: Sequence[ArrayLike | Micrograph],
    centre: int,
    answer: Callable[..., Denoised],
    *,
    noise: str | NoiseModel = "auto",
    faults: bool = True,
    references: References | None = None,
    seed: int | Sequence[int] = 0,
) -> Denoised:
    """Denoise one frame of a movie with the help of others.

    Parameters
    ----------
    frames : sequence of (H, W) array_like or Micrograph
        In order of time; few, as all are held in memory.
    centre : int
        Which of them is denoised.
    answer : callable
        `emprior.denoise` with all options but those below: called with a frame and these, once for
        each run of frames that answers for a part.
    noise, faults, references, seed
        As for `emprior.denoise`.

    Raises
    ------
    InputError
        As `emprior.denoise` does, of the frame itself; neighbours that cannot be used are left out.

    Warns
    -----
    EmpriorWarning
        As `emprior.denoise` does, and where the frame's noise does not let frames be averaged.
    """
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EmpriorWarning)  # said again when the frame is answered
        own = _read(frames[centre], noise, faults, references, seed)
        model = own.noise
        first, others = centre, [own]
        for way in (-1, 1):
            for place in range(centre + way, len(frames) if way > 0 else -1, way):
                try:
                    other = _read(frames[place], model, faults, references, seed)
                except InputError:
                    break
                if not _comparable(own, other):
                    break
                others.insert(0 if way < 0 else len(others), other)
                first = min(first, place)
    alone = partial(answer, frames[centre], noise=noise, faults=faults, references=references)
    here = centre - first
    if model.averaged(2) is None or len(others) == 1:
        if len(others) > 1:
            warnings.warn(
                f"frames of {model} cannot be averaged: each is answered alone",
                EmpriorWarning,
                stacklevel=2,
            )
        return replace(alone(), find=None)
    moved = drift([one.image for one in others], here)
    aligned = _Aligned.of(others, here, np.rint(moved).astype(int))
    runs = _runs(len(others), here)
    regions = _regions(aligned, runs, model)
    total, weights, shares = np.zeros(own.image.shape), np.zeros(own.image.shape), []
    best: Denoised | None = None
    for run, region in zip(runs, regions, strict=True):
        share = float(region.mean())
        if not region.any():
            continue
        box = aligned.box(run)
        if (count := run.stop - run.start) == 1:
            done = alone()
        else:
            mean = Micrograph(aligned.mean(run, box).astype(own.image.dtype), own.pixel_size)
            done = answer(mean, noise=model.averaged(count), faults=False)
        weight = np.zeros_like(weights)
        weight[box] = ndimage.gaussian_filter(region.astype(np.float64), _SEAM)[box]
        total[box] += weight[box] * (done.image - aligned.levels[run].mean())
        weights += weight
        shares.append({"first": run.start - here, "last": run.stop - 1 - here, "share": share})
        if best is None or share > max(one["share"] for one in shares[:-1]):
            best = done
    assert best is not None
    image = (total / weights).astype(np.float32)
    if own.kept is not None:
        image = np.where(np.isnan(own.kept), image, own.kept)
    said = _said(shares, moved)
    return Denoised(
        image=image,
        method=best.method,
        noise=model,
        evidence=(*own.evidence, said),
        seconds=time.perf_counter() - started,
        trace={**best.trace, "movie": {"runs": shares, "drift": moved.round(2).tolist()}},
    )


@dataclass(frozen=True, eq=False)
class _Frame:
    """A frame, its faults filled."""

    image: Floats
    pixel_size: float | None
    kept: Floats | None
    noise: NoiseModel
    evidence: tuple[str, ...]

    @property
    def patches(self) -> Mask:
        """Where there is nothing to see."""
        return np.zeros(self.image.shape, bool) if self.kept is None else ~np.isnan(self.kept)


def _read(
    frame: ArrayLike | Micrograph,
    noise: str | NoiseModel,
    faults: bool,
    references: References | None,
    seed: int | Sequence[int],
) -> _Frame:
    micrograph = frame if isinstance(frame, Micrograph) else Micrograph(np.asarray(frame))
    rng = np.random.default_rng(seed)
    micrograph, kept, found = prepared(micrograph, noise, faults, rng, references)
    return _Frame(micrograph.image, micrograph.pixel_size, kept, found.noise, found.evidence)


def _comparable(own: _Frame, other: _Frame) -> bool:
    """Whether the other has the own one's shape, and as much noise."""
    if own.image.shape != other.image.shape:
        raise ImageError(
            f"frames of shapes {own.image.shape} and {other.image.shape} in one movie",
            expected="frames of one shape",
            why="they are compared pixel by pixel",
            fix="denoise them one by one, or cut them to one shape",
        )
    variances = [
        float(own.noise.variance(np.array([one.image.mean(dtype=np.float64)]))[0])
        for one in (own, other)
    ]
    return abs(variances[1] / variances[0] - 1) < _STEADY


@dataclass(frozen=True, eq=False)
class _Aligned:
    """Frames at the place of one of them.

    Attributes
    ----------
    images : (n, H, W) ndarray
        Where a frame does not reach it has the pixels of that one.
    blocked : (n, H, W) bool ndarray
        Where a frame tells nothing.
    reaches : sequence of (slice, slice)
        Where each frame reaches; nowhere if it has moved by half of its width.
    levels : (n,) ndarray
        By how much each is brighter than that one, on the whole.
    """

    images: Floats
    blocked: Mask
    reaches: Sequence[tuple[slice, slice]]
    levels: Floats

    @classmethod
    def of(cls, frames: Sequence[_Frame], here: int, moved: NDArray[np.int_]) -> _Aligned:
        """Move frames by whole pixels."""
        own = frames[here].image
        images = np.repeat(own[None], len(frames), axis=0)
        blocked = np.ones(images.shape, bool)
        reaches: list[tuple[slice, slice]] = []
        levels = np.zeros(len(frames))
        for s, (frame, by) in enumerate(zip(frames, moved, strict=True)):
            rows, columns = (
                slice(max(0, -d), n - max(0, d)) if 2 * abs(d) < n else slice(0, 0)
                for d, n in zip(by, own.shape, strict=True)
            )
            to = rows, columns
            at = tuple(slice(side.start + d, side.stop + d) for side, d in zip(to, by, strict=True))
            reaches.append(to)
            if 0 in own[to].shape:
                continue
            images[s][to] = frame.image[at]
            blocked[s][to] = frame.patches[at]
            levels[s] = frame.image[at].mean(dtype=np.float64) - own[to].mean(dtype=np.float64)
        return cls(images, blocked, reaches, levels)

    def box(self, run: slice) -> tuple[slice, slice]:
        """Return what all frames of a run reach."""
        rows, columns = (
            slice(max(side.start for side in sides), min(side.stop for side in sides))
            for sides in zip(*self.reaches[run], strict=True)
        )
        return rows, columns

    def mean(self, run: slice, box: tuple[slice, slice]) -> Floats:
        """Return the mean of a run there."""
        return np.asarray(self.images[run, *box].mean(0, dtype=np.float64))


def _runs(count: int, here: int) -> list[slice]:
    """Return all frames, those to the one here, those from it, and it alone; the longest first."""
    ends = {(0, count), (0, here + 1), (here, count), (here, here + 1)}
    return [slice(*end) for end in sorted(ends, key=lambda end: (end[0] - end[1], end))]


def _regions(aligned: _Aligned, runs: Sequence[slice], noise: NoiseModel) -> list[Mask]:
    """Return for each run where it answers: the first one in which nothing changed, anywhere."""
    changed = [aligned.blocked[run].any(0) for run in runs]
    mean = ndimage.gaussian_filter(aligned.images.mean(0, dtype=np.float64), _WIDTHS[0])
    variance = noise.variance(unclip(mean, noise))
    for width in _WIDTHS:
        if 4 * width > min(mean.shape):
            break
        seen = np.stack([ndimage.gaussian_filter(image, width) for image in aligned.images])
        seen -= aligned.levels[:, None, None]
        spread = ndimage.gaussian_filter(variance, width / 2**0.5) / (4 * np.pi * width**2)
        spread *= _excess(seen, aligned.blocked, spread)
        for run, region in zip(runs, changed, strict=True):
            steps = _steps(seen[run]) ** 2 > _LIMIT**2 * spread
            if steps.any():
                region |= ndimage.distance_transform_edt(~steps) <= _AROUND * width
    free, regions = np.ones(mean.shape, bool), []
    for run, region in zip(runs, changed, strict=True):
        mine = free & ~region
        if run.stop - run.start == 1:
            mine = free.copy()  # whatever is left
        elif mine.mean() < _WORTH:
            mine[:] = False
        free &= ~mine
        regions.append(mine)
    return regions


def _excess(seen: Floats, blocked: Mask, spread: Floats) -> float:
    """Return by how much noise exceeds what independent pixels would have, seen through windows.

    Noise that is correlated between pixels does. It is read where frames that follow each other
    differ least, and from the pair that differs least, so that changes have no part in it.
    """
    found = []
    for one, other, hidden in zip(seen, seen[1:], blocked[:-1] | blocked[1:], strict=False):
        z = (np.abs(one - other) / np.sqrt(2 * spread))[~hidden]
        if z.size:
            found.append(float(np.quantile(z, _CALM) / norm.isf((1 - _CALM) / 2)))
    return max(1.0, min(found, default=1.0)) ** 2


def _steps(seen: Floats) -> Floats:
    """Return the largest step in a run, (H, W), in units of one frame's noise."""
    n = len(seen)
    largest = np.zeros(seen.shape[1:])
    total = seen.sum(0, dtype=np.float64)
    part = np.zeros_like(total)
    for s in range(n):
        part += seen[s]
        for some, k in ((part, s + 1), (seen[s], 1)):
            if 0 < k < n:
                step = (some / k - (total - some) / (n - k)) / (1 / k + 1 / (n - k)) ** 0.5
                np.maximum(largest, np.abs(step), out=largest)
    return largest


def _said(shares: Sequence[dict[str, Any]], moved: Floats) -> str:
    longest = shares[0]
    count = longest["last"] - longest["first"] + 1
    return (
        f"{count} frames answer for {longest['share']:.0%} of this one, where nothing changed in "
        f"them; drift of up to {np.abs(moved).max():.1f} pixels was followed by whole pixels"
    )
