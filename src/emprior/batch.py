"""Denoise files: frame by frame, from what was read to what is written, with its provenance."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emprior import __version__
from emprior.api import Denoised, assumed_pixel_size, check_options, denoise
from emprior.denoisers import LEARNED
from emprior.denoisers.depth import DEEPEST, Depth, reaches
from emprior.errors import (
    EmpriorWarning,
    FileError,
    ImageError,
    InputError,
    OptionError,
    OutputError,
)
from emprior.files import expanded
from emprior.found import Found, FoundColumns, FoundOptics
from emprior.io import Signal, check_holds, read, write
from emprior.micrograph import Micrograph, check_pixel_size
from emprior.movie import REACH, denoise_among
from emprior.noise import NoiseModel
from emprior.references import References, read_references
from emprior.shelf import Shelf
from emprior.weights import locate
from emprior.workers import processes, spread

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Settings:
    """What `emprior denoise` is asked to do; see `emprior.denoise` for each field.

    Parameters
    ----------
    signal : str, optional
        Which image of a file that holds several; see `emprior.io.read`.
    dark, gain : str, optional
        References of the detector; see `emprior.references.read_references`.
    movie : bool
        Whether neighbouring frames help; see `emprior.denoise_movie`.
    """

    method: str = "prior"
    noise: str = "auto"
    prior: str = "default"
    pixel_size: float | None = None
    signal: str | None = None
    seed: int = 0
    device: str = "auto"
    force: bool = False
    faults: bool = True
    depth: Depth = DEEPEST
    dark: str | None = None
    gain: str | None = None
    movie: bool = False

    def check(self) -> None:
        """Find nonsense before any work starts.

        Raises
        ------
        InputError
            If a method, noise, prior, depth, pixel size, seed or device cannot be used.
        """
        check_options(
            method=self.method,
            noise=self.noise,
            prior=self.prior,
            depth=self.depth,
            seed=self.seed,
            device=self.device,
        )
        if self.pixel_size is not None:
            check_pixel_size(self.pixel_size)

    @property
    def reference_files(self) -> list[Path]:
        """Files among the references: what is no number."""
        named = [expanded(name) for name in (self.dark, self.gain) if name is not None]
        return [path for path in named if path.exists()]

    @property
    def tells(self) -> bool:
        """Whether the method can tell columns and deviations."""
        return self.method == "prior" and reaches(self.depth, "inversion")

    def check_tells(self, what: str) -> None:
        """Find out before any work whether the method can tell columns or deviations.

        Parameters
        ----------
        what : str
            What is asked for, as in ``"columns"``.

        Raises
        ------
        OptionError
            If it never tells them.
        """
        asked = "the method 'prior' as it is without --fast"
        if not self.tells:
            raise OptionError(
                f"{what} of "
                + ("a first sight" if self.method == "prior" else f"the method {self.method!r}"),
                expected=f"{what} only of {asked}",
                why="they come from one search for the columns that best explain one frame",
                fix=f"leave out the one or the other, or choose {asked}",
            )

    def check_reports(self) -> None:
        """Find out before any work whether the answers can be compared with the files.

        Raises
        ------
        OptionError
            If references change what is denoised.
        """
        if self.dark is not None or self.gain is not None:
            raise OptionError(
                "a report with dark or gain references",
                expected="the one or the other",
                why="it compares answers with the frames of the file, which are not corrected",
                fix="write corrected frames first (emprior.References), and denoise those",
            )


def expand(inputs: Sequence[str]) -> list[Path]:
    """Replace every ``@list.txt`` by the paths in that file, one a line.

    Relative paths are relative to the list; empty lines and lines that begin with # are skipped.

    Raises
    ------
    FileError
        If a list cannot be read or names nothing.
    """
    paths: list[Path] = []
    for item in inputs:
        if not item.startswith("@"):
            paths.append(Path(item))
            continue
        source = Path(item[1:])
        try:
            lines = source.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, ValueError) as error:
            raise FileError(
                f"the list {source}: {getattr(error, 'strerror', None) or 'not text in UTF-8'}",
                expected="a text file with one path a line",
                why="an argument that begins with @ names such a list",
                fix="check the path after the @; a file whose own name begins so is ./@name",
            ) from error
        named = [line.strip() for line in lines]
        named = [line for line in named if line and not line.startswith("#")]
        if not named:
            raise FileError(
                f"the list {source} names no file",
                expected="one path a line",
                why="there would be nothing to denoise",
                fix="put the paths of the input files into it",
            )
        paths += [source.parent / line for line in named]
    return paths


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
    signal = read(source, signal=settings.signal)
    for path in (target, *([deviation] if deviation is not None else [])):
        check_holds(path, signal.data.shape)  # before the work, not after
    if settings.movie:
        _check_movie(source, signal)
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
            stacklevel=2,
        )
    if pixel_size is None:
        pixel_size = _assumed(source, signal, settings)
    references = read_references(settings.dark, settings.gain)
    maps = ("image", "deviation") if settings.tells else ("image",)
    shelf = Shelf(target, signal.data.shape, _task(source, settings, pixel_size), maps)
    total, before = signal.frame_count, len(shelf.told)
    if shelf.discarded:
        say(f"{source.name}: what was done before had other settings, and is done anew")
    if before:
        say(f"{source.name}: {before} of {total} frames were done before")
    left = [index for index in np.ndindex(*signal.data.shape[:-2]) if index not in shelf.told]
    read_in = _with_neighbours if settings.movie else _by_itself
    jobs = (
        (source, index, *frames, pixel_size, settings, references)
        for index, frames in zip(left, read_in(signal, left), strict=True)
    )
    try:
        if workers == 1 and scheduler is None:
            for done, job in enumerate(jobs, before):

                def advance(share: float, done: int = done) -> None:
                    progress((done + share) / total)

                _keep(shelf, _answer(*job, advance))
                advance(1.0)
        elif left:
            with processes(min(workers, len(left)), scheduler) as client:
                for done, answer in enumerate(spread(client, _answer, jobs), before + 1):
                    _keep(shelf, answer)
                    progress(done / total)
    except InputError:
        shelf.clear()  # a second run would end the same
        raise
    if before == total:
        progress(1.0)
    frames = [_restored(shelf, index, pixel_size) for index in np.ndindex(*signal.data.shape[:-2])]
    try:
        provenance = _provenance(source, settings, pixel_size, frames)
        if deviation is not None:
            if all(frame.find is None for frame in frames):
                why = untold(frame.method for frame in frames)
                warnings.warn(f"{deviation} is not written: {why}", EmpriorWarning, stacklevel=2)
            else:
                how = {**provenance, "shows": "standard deviation"}
                spread_map = signal.with_data(shelf.map("deviation"))
                write(deviation, spread_map, provenance=how, overwrite=overwrite)
        write(
            target, signal.with_data(shelf.map("image")), provenance=provenance, overwrite=overwrite
        )
    except OutputError:
        if total == 1:
            shelf.clear()  # nothing that would be missed
        raise
    shelf.clear()
    return frames


def _check_movie(source: Path, signal: Signal) -> None:
    if signal.data.ndim < 3 or signal.data.shape[-3] < 2:
        raise OptionError(
            f"{source} with --movie: an array of shape {tuple(signal.data.shape)}",
            expected="two frames or more, (..., time, H, W)",
            why="neighbouring frames are more counts of the same object",
            fix="leave out --movie, or put the frames into one file in order of time",
        )


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


@dataclass(frozen=True, eq=False)
class _Answer:
    """What became of one frame, as it travels from a worker."""

    source: Path
    index: tuple[int, ...]
    image: NDArray[np.float32]
    deviation: NDArray[np.float32] | None
    told: dict[str, Any]
    warnings: list[tuple[str, type[Warning]]]


def _answer(
    source: Path,
    index: tuple[int, ...],
    frames: list[NDArray[Any]],
    centre: int,
    pixel_size: float | None,
    settings: Settings,
    references: References | None,
    progress: Progress | None = None,
) -> _Answer:
    """Denoise one frame; errors and warnings say which file and frame they are of."""
    name = _name(source, index)
    answer = partial(
        denoise,
        pixel_size=pixel_size,
        method=settings.method,
        prior=settings.prior,
        depth=settings.depth,
        # Each frame has random draws of its own, whatever the others do.
        seed=(settings.seed, *index),
        force=settings.force,
        device=settings.device,
    )
    given: dict[str, Any] = {
        "noise": settings.noise,
        "faults": settings.faults,
        "references": references,
    }
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", EmpriorWarning)
            if settings.movie:
                done = denoise_among(frames, centre, answer, seed=(settings.seed, *index), **given)
            else:
                done = answer(Micrograph(frames[centre]), progress=progress, **given)
            told: dict[str, Any] = {
                "method": done.method,
                "noise": done.noise.to_dict(),
                "evidence": list(done.evidence),
                "seconds": done.seconds,
                "trace": dict(done.trace),
            }
            told |= _structure(done)
    except InputError as error:
        raise error.of(name) from error
    except MemoryError as error:
        raise ImageError(
            f"{name}: not enough memory ({error or 'the system has no more'})",
            expected="frames that fit into memory, several times over",
            why="each is denoised as a whole",
            fix="crop the image, or use a machine with more memory",
        ) from error
    said = [(str(warning.message), warning.category) for warning in caught]
    return _Answer(source, index, done.image, done.deviation, told, said)


def _keep(shelf: Shelf, answer: _Answer) -> None:
    maps = {"image": answer.image, "deviation": answer.deviation}
    if answer.deviation is None:
        maps["deviation"] = np.full(answer.image.shape, np.nan, np.float32)
    shelf.put(answer.index, answer.told, **maps)  # type: ignore[arg-type]
    for text, category in answer.warnings:
        name = _name(answer.source, answer.index)
        ours = issubclass(category, EmpriorWarning)
        warnings.warn(f"{name}: {text}" if ours else text, category, stacklevel=3)


def _restored(shelf: Shelf, index: tuple[int, ...], pixel_size: float | None) -> Denoised:
    """Return what is kept of a frame."""
    told = shelf.told[index]

    def find() -> Found:
        assert pixel_size is not None  # without, none is told
        columns = FoundColumns.from_table(told["columns"], pixel_size)
        optics = FoundOptics.from_dict(told["optics"])
        return Found(columns, optics, shelf.map("deviation")[index])

    return Denoised(
        image=shelf.map("image")[index],
        method=told["method"],
        noise=NoiseModel.from_dict(told["noise"]),
        evidence=tuple(told["evidence"]),
        seconds=told["seconds"],
        trace=told["trace"],
        find=find if "columns" in told else None,
    )


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


def untold(methods: Iterable[str]) -> str:
    """Say why the answers of some methods tell neither columns nor deviations."""
    names = ", ".join(dict.fromkeys(methods))
    why = "whose weights know no columns" if names == "prior" else "which knows no columns"
    return f"the answer is that of {names}, {why}"


def _name(source: Path, index: tuple[int, ...]) -> str:
    return f"{source}, frame {', '.join(map(str, index))}" if index else f"{source}"


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
                **_structure(frame),
            }
            for frame in done
        ],
    }


def _structure(frame: Denoised) -> dict[str, Any]:
    if frame.columns is None or frame.optics is None:
        return {}
    return {"columns": frame.columns.table(), "optics": frame.optics.to_dict()}
