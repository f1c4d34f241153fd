"""One file: read, denoised frame by frame, and written with its provenance."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emprior import __version__
from emprior.api import Denoised, assumed_pixel_size
from emprior.batch.frame import Progress, answer, keep, restored, structure
from emprior.batch.settings import Settings, untold
from emprior.denoisers import LEARNED
from emprior.errors import EmpriorWarning, InputError, OutputError
from emprior.io import Signal, check_holds, check_movie, read, write
from emprior.movie import REACH
from emprior.references import References, read_references
from emprior.shelf import Shelf
from emprior.weights import locate
from emprior.workers import processes, spread

Job = tuple[
    Path, tuple[int, ...], list[NDArray[Any]], int, float | None, Settings, References | None
]
"""What `answer` takes of one frame."""


def denoise_file(
    source: Path,
    target: Path,
    settings: Settings,
    *,
    deviation: Path | None = None,
    overwrite: bool = False,
    workers: int = 1,
    scheduler: str | None = None,
    progress: Progress = lambda share: None,
    say: Callable[[str], object] = lambda text: None,
) -> list[Denoised]:
    """Denoise every frame of one file into another.

    Frames that are done are kept on the disk beside the target, in a hidden folder, until all are:
    a run that was stopped, by whatever means, goes on there, and memory holds one frame.

    Parameters
    ----------
    source, target : Path
        As paired by `emprior.io.plan_outputs`.
    settings : Settings
    deviation : Path, optional
        Gets the standard deviation of every pixel of the result, planned likewise; not a number in
        frames whose answer has none.
    overwrite : bool
        Replace existing targets.
    workers : int
        Processes among which frames are shared out; 1 for this one alone.
    scheduler : str, optional
        Address of a running dask scheduler whose workers do it instead. The result is the same.
    progress : callable, optional
        Called with the share of work done, from 0 to 1.
    say : callable, optional
        Takes a line for people about frames that were done before.

    Returns
    -------
    list of Denoised
        One for each frame, in order; their maps lie on the disk.

    Raises
    ------
    InputError
        If the file or a frame cannot be used; nothing is written then.
    OutputError
        If the result cannot be written, or no scheduler answers.

    Warns
    -----
    EmpriorWarning
        If the file has no pixel size, was denoised before, the prior does not know a frame, or no
        answer has a standard deviation where it is asked for: then none is written.
    """
    targets = [path for path in (target, deviation) if path is not None]
    signal, pixel_size = _opened(source, settings, targets)
    if pixel_size is None:
        pixel_size = _assumed(source, signal, settings)
    references = read_references(settings.dark, settings.gain)
    maps = ("image", "deviation") if settings.tells else ("image",)
    shelf = Shelf(target, signal.data.shape, _task(source, settings, pixel_size), maps)
    _say_before(source, shelf, signal.frame_count, say)
    left = [index for index in np.ndindex(*signal.data.shape[:-2]) if index not in shelf.told]
    read_in = _with_neighbours if settings.movie else _by_itself
    jobs = (
        (source, index, *frames, pixel_size, settings, references)
        for index, frames in zip(left, read_in(signal, left), strict=True)
    )
    try:
        _work(jobs, len(left), shelf, workers, scheduler, progress)
    except InputError:
        shelf.clear()  # a second run would end the same
        raise
    found = [restored(shelf, index, pixel_size) for index in np.ndindex(*signal.data.shape[:-2])]
    provenance = _provenance(source, settings, pixel_size, found)
    try:
        if deviation is not None:
            _write_deviation(deviation, signal, shelf, found, provenance, overwrite)
        image = signal.with_data(shelf.map("image"))
        write(target, image, provenance=provenance, overwrite=overwrite)
    except OutputError:
        if len(found) == 1:
            shelf.clear()  # nothing that would be missed
        raise
    shelf.clear()
    return found


def _opened(
    source: Path, settings: Settings, targets: Sequence[Path]
) -> tuple[Signal, float | None]:
    """Return what is in a file and its pixel size [Å], if nothing is in the way of answers."""
    signal = read(source, signal=settings.signal)
    for path in targets:
        check_holds(path, signal.data.shape)
    if settings.movie:
        check_movie(signal)
    if settings.pixel_size is not None:
        signal = _rescaled(signal, settings.pixel_size)
    try:
        pixel_size = signal.pixel_size
    except InputError as error:
        raise error.of(str(source)) from error
    if signal.provenance is not None:
        warnings.warn(
            f"{source.name} has been denoised by emprior before: what noise is left is not what a "
            "detector makes, so it will be misjudged; denoise the raw data instead",
            EmpriorWarning,
            stacklevel=3,
        )
    return signal, pixel_size


def _say_before(source: Path, shelf: Shelf, total: int, say: Callable[[str], object]) -> None:
    if shelf.discarded:
        say(f"{source.name}: what was done before had other settings, and is done anew")
    if shelf.told:
        say(f"{source.name}: {len(shelf.told)} of {total} frames were done before")


def _work(
    jobs: Iterable[Job],
    left: int,
    shelf: Shelf,
    workers: int,
    scheduler: str | None,
    progress: Progress,
) -> None:
    """Denoise the frames that are left, and put the answers on the shelf."""
    before = len(shelf.told)
    total = before + left
    if not left:
        progress(1.0)
    elif workers == 1 and scheduler is None:
        for done, job in enumerate(jobs, before):

            def advance(share: float, done: int = done) -> None:
                progress((done + share) / total)

            keep(shelf, answer(*job, advance))
            advance(1.0)
    else:
        with processes(min(workers, left), scheduler) as client:
            for done, one in enumerate(spread(client, answer, jobs), before + 1):
                keep(shelf, one)
                progress(done / total)


def _write_deviation(
    path: Path,
    signal: Signal,
    shelf: Shelf,
    frames: Sequence[Denoised],
    provenance: dict[str, Any],
    overwrite: bool,
) -> None:
    if all(frame.find is None for frame in frames):
        why = untold(frame.method for frame in frames)
        warnings.warn(f"{path} is not written: {why}", EmpriorWarning, stacklevel=3)
        return
    how = {**provenance, "shows": "standard deviation"}
    write(path, signal.with_data(shelf.map("deviation")), provenance=how, overwrite=overwrite)


Frames = tuple[list[NDArray[Any]], int]
"""Frames, and which of them is to be denoised."""


def _by_itself(signal: Signal, left: Sequence[tuple[int, ...]]) -> Iterator[Frames]:
    for index in left:
        yield [signal.frame(index)], 0


def _with_neighbours(signal: Signal, left: Sequence[tuple[int, ...]]) -> Iterator[Frames]:
    """Yield each frame with those about it along the last axis of frames."""
    frame = lru_cache(maxsize=2 * REACH + 1)(signal.frame)
    for *series, at in left:
        near = range(max(0, at - REACH), min(signal.data.shape[-3], at + REACH + 1))
        yield [frame((*series, one)) for one in near], at - near.start


def _task(source: Path, settings: Settings, pixel_size: float | None) -> dict[str, Any]:
    """Return all that the frames' results depend on."""
    files = [source, *settings.reference_files]
    if settings.method == "nearest":
        files.append(Path(settings.prior))
    elif settings.method in LEARNED:
        files.append(locate(settings.prior))
    return {
        "version": __version__,
        "files": [
            [str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns] for file in files
        ],
        "settings": asdict(settings),
        "pixel_size": pixel_size,
    }


def _rescaled(signal: Signal, pixel_size: float) -> Signal:
    """Return the signal with its image axes at a pixel size in Å, offsets kept at pixels."""
    axes = list(signal.axes)
    for i in (-2, -1):
        start = axes[i].offset / axes[i].scale if axes[i].scale else 0.0
        axes[i] = replace(
            axes[i], scale=pixel_size, offset=start * pixel_size, units="Å", values=None
        )
    return replace(signal, axes=tuple(axes))


def _assumed(source: Path, signal: Signal, settings: Settings) -> float | None:
    """Say what happens without a pixel size; return the one that is taken, if any.

    It is the same for all frames, so that the first is asked.
    """
    taken, what = None, "the result has none either; give it"
    if settings.method in LEARNED:
        taken, what = assumed_pixel_size(
            signal.frame((0,) * (signal.data.ndim - 2)),
            method=settings.method,
            noise=settings.noise,
            prior=settings.prior,
            depth=settings.depth,
            seed=settings.seed,
            device=settings.device,
        )
    warnings.warn(
        f"{source.name} does not say its pixel size: {what} by --pixel-size",
        EmpriorWarning,
        stacklevel=3,
    )
    return taken


def _provenance(
    source: Path, settings: Settings, pixel_size: float | None, done: Sequence[Denoised]
) -> dict[str, Any]:
    asked = asdict(settings)
    if settings.method not in LEARNED:  # these had no part in it
        asked = {k: v for k, v in asked.items() if k not in ("prior", "device", "force", "depth")}
    return {
        "version": __version__,
        "input": source.name,
        "settings": asked,
        "pixel_size_in_angstrom": pixel_size,
        "frames": [
            {
                "method": frame.method,
                "noise": frame.noise.to_dict(),
                "evidence": list(frame.evidence),
                **frame.trace,
                **structure(frame),
            }
            for frame in done
        ],
    }
