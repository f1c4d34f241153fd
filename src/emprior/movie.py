r"""Denoise the frames of a movie: neighbours are more counts of an object that hardly changes.

Neighbours are moved to the frame by whole pixels, so that counts stay counts, and averaged: the
mean of n frames has the noise of one with 1/n of its gain. But only where nothing changed
(`emprior.changes`). Elsewhere a shorter run answers: the frames up to this one, those from it on,
or the frame alone, then as it would be answered without its neighbours.
"""

from __future__ import annotations

import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from emprior.api import Denoised, assumed_pixel_size, denoise
from emprior.changes import Aligned, regions
from emprior.denoisers import LEARNED
from emprior.denoisers.depth import DEEPEST, Depth
from emprior.drift import drift
from emprior.errors import EmpriorWarning, ImageError, InputError, OptionError
from emprior.evidence import equally_noisy
from emprior.found import Found, FoundColumns
from emprior.micrograph import Micrograph, as_micrograph, check_pixel_size
from emprior.noise import NoiseModel
from emprior.preparation import prepared
from emprior.randomness import stream
from emprior.references import References

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]

REACH = 3
"""Neighbours on either side of a frame that may be added to it."""

_SEAM = 2.0  # pixels over which runs pass into one another
_NEAR = 0.5  # Å; columns that two runs find nearer to each other are one


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
        One for each frame. The trace says under "movie" which share of the frame is answered from
        which frames and by which method, and the drift.

    Raises
    ------
    InputError
        If a frame or an option has no sensible meaning.

    Warns
    -----
    EmpriorWarning
        As `emprior.denoise` does; of a pixel size that is not known once, found in the first frame.

    Notes
    -----
    With the method "prior" every run of frames has a contest of its own: more counts let the prior
    show that it knows them. Columns are those of the run that answers where they stand, with the
    deviations that so many counts leave; the optics are those of the run that answers for most.

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
    frames = iter(frames)
    first = next(frames, None)
    frames = frames if first is None else chain([first], frames)
    stated = pixel_size
    if stated is not None:
        check_pixel_size(stated)
    elif isinstance(first, Micrograph):
        stated = first.pixel_size
    if method in LEARNED and first is not None and stated is None:
        pixel_size, said = assumed_pixel_size(
            first,
            method=method,
            noise=noise,
            prior=prior,
            depth=depth,
            seed=seed,
            device=device,
        )
        warnings.warn(f"the pixel size is not known: {said}", EmpriorWarning, stacklevel=2)
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
        As `emprior.denoise` does, of the frame itself, and if a neighbour has another shape; other
        neighbours that cannot be used are left out.

    Warns
    -----
    EmpriorWarning
        As `emprior.denoise` does, and where the frame's noise does not let frames be averaged.
    """
    started = time.perf_counter()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", EmpriorWarning)
        own = _read(frames[centre], noise, faults, references, seed)
        model, about_own = own.noise, list(heard)
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
        return alone()
    said: set[str] = set()
    _say(about_own, said)
    images = [one.image for one in others]
    moved = drift(images, here)
    aligned = Aligned.of(images, [one.patches for one in others], here, np.rint(moved).astype(int))
    parts = []
    for run, region in regions(aligned, model):
        box, reach = aligned.box(run), (run.start - here, run.stop - 1 - here)
        ask, about = alone, "of the frame alone: "
        if (count := run.stop - run.start) > 1:
            about = f"of frames {reach[0]:+d} to {reach[1]:+d} together: "
            # In patches stands nothing, and a prior must not look for a lattice there.
            hidden = np.asarray(aligned.blocked[run, *box].any(0))
            mean = aligned.mean(run, box).astype(own.image.dtype)
            frame = Micrograph(mean, own.pixel_size, hidden if hidden.any() else None)
            ask = partial(answer, frame, noise=model.averaged(count), faults=False)
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always", EmpriorWarning)
            done = ask()
        _say(heard, said, about)
        parts.append(_Part(*reach, region, box, done, float(aligned.levels[run].mean())))
    image = _blended([(part, part.done.image - part.level) for part in parts])
    if own.kept is not None:
        image = np.where(np.isnan(own.kept), image, own.kept)
    best = max(parts, key=lambda part: part.share).done
    told = {"runs": [part.to_dict() for part in parts], "drift": moved.round(2).tolist()}
    return Denoised(
        image=image.astype(np.float32),
        method=best.method,
        noise=model,
        evidence=(*own.evidence, _said(parts[0], moved)),
        seconds=time.perf_counter() - started,
        trace={**best.trace, "movie": told},
        find=partial(_found, parts) if any(part.done.find for part in parts) else None,
    )


@dataclass(frozen=True, eq=False)
class _Part:
    """What one run of frames answers.

    Attributes
    ----------
    first, last : int
        Frames of the run, counted from the one that is denoised.
    region : (H, W) bool ndarray
        Where it answers.
    box : (slice, slice)
        Where in the frame its answer lies.
    done : Denoised
        Its answer, in that box.
    level : float
        By how much the run is brighter than the frame.
    """

    first: int
    last: int
    region: Mask
    box: tuple[slice, slice]
    done: Denoised
    level: float

    @property
    def share(self) -> float:
        """Of the frame, where it answers."""
        return float(self.region.mean())

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "first": self.first,
            "last": self.last,
            "share": self.share,
            "method": self.done.method,
        }


def _blended(maps: Sequence[tuple[_Part, Floats]]) -> Floats:
    """Return one map of the frame, (H, W), of those of its parts; NaN where no part is near."""
    total, weights = np.zeros((2, *maps[0][0].region.shape))
    for part, values in maps:
        weight = ndimage.gaussian_filter(part.region.astype(np.float64), _SEAM)[part.box]
        total[part.box] += np.where(weight > 0, weight * values, 0.0)
        weights[part.box] += weight
    return np.divide(total, weights, out=np.full_like(total, np.nan), where=weights > 0)


def _found(parts: Sequence[_Part]) -> Found:
    """Return the columns of each part that it answers for, those on its rim counted once.

    The optics are those of the largest part that tells them.
    """
    telling = sorted(
        (part for part in parts if part.done.find is not None), key=lambda part: -part.share
    )
    each, away = [], []
    for part in telling:
        assert part.done.columns is not None
        columns = part.done.columns.moved(*(side.start or 0 for side in part.box))
        distance = ndimage.distance_transform_edt(~part.region) * columns.pixel_size
        places = np.rint([columns.rows, columns.columns]).astype(int)
        limits = np.array(part.region.shape)[:, None] - 1
        beyond = distance[tuple(np.clip(places, 0, limits))]
        each.append(columns.part(beyond <= _NEAR))
        away.append(beyond[beyond <= _NEAR])
    columns, beyond = FoundColumns.joined(each), np.concatenate(away)
    of = np.repeat(np.arange(len(each)), [len(some) for some in each])
    kept = np.ones(len(columns), bool)
    for pair in cKDTree(np.stack([columns.x, columns.y], 1)).query_pairs(_NEAR):
        if of[pair[0]] != of[pair[1]]:
            kept[max(pair, key=lambda i: (beyond[i], of[i]))] = False
    unknown = np.full(parts[0].region.shape, np.nan)
    deviations = [part.done.deviation for part in parts]
    deviation = _blended(
        [
            (part, unknown[part.box] if its is None else its)
            for part, its in zip(parts, deviations, strict=True)
        ]
    )
    assert telling[0].done.optics is not None
    return Found(columns.part(kept), telling[0].done.optics, deviation)


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
    micrograph = as_micrograph(frame)
    rng = stream(seed)
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
    return equally_noisy(own.noise, own.image, other.image)


def _say(heard: Iterable[warnings.WarningMessage], said: set[str], about: str = "") -> None:
    """Warn of what was heard, once, and say of which answer."""
    for warning in heard:
        if (text := str(warning.message)) not in said:
            said.add(text)
            warnings.warn(f"{about}{text}", warning.category, stacklevel=3)


def _said(longest: _Part, moved: Floats) -> str:
    count = longest.last - longest.first + 1
    return (
        f"{count} frames answer for {longest.share:.0%} of this one, where nothing changed in "
        f"them; drift of up to {np.abs(moved).max():.1f} pixels was followed by whole pixels"
    )
