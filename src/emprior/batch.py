"""Denoise files: frame by frame, from what was read to what is written, with its provenance."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from emprior import __version__
from emprior.api import Denoised, check_options, denoise
from emprior.denoisers import LEARNED
from emprior.denoisers.depth import DEEPEST, Depth, reaches
from emprior.errors import EmpriorWarning, FileError, ImageError, InputError, OptionError
from emprior.io import Signal, read, write
from emprior.micrograph import Micrograph, check_pixel_size

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Settings:
    """What `emprior denoise` is asked to do; see `emprior.denoise` for each field.

    Parameters
    ----------
    signal : str, optional
        Which image of a file that holds several; see `emprior.io.read`.
    """

    method: str = "prior"
    noise: str = "auto"
    prior: str = "default"
    pixel_size: float | None = None
    signal: str | None = None
    seed: int = 0
    device: str = "auto"
    force: bool = False
    depth: Depth = DEEPEST

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
        if self.method != "prior" or not reaches(self.depth, "inversion"):
            raise OptionError(
                f"{what} of "
                + (f"the method {self.method!r}" if self.method != "prior" else "a first sight"),
                expected=f"{what} only of {asked}",
                why="they come from the search for the columns that best explain the frame",
                fix=f"leave out the one or the other, or choose {asked}",
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
    progress: Progress = lambda share: None,
) -> list[Denoised]:
    """Denoise every frame of one file into another.

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
    progress : callable, optional
        Called with the share of work done, from 0 to 1.

    Returns
    -------
    list of Denoised
        One for each frame, in order.

    Raises
    ------
    InputError
        If the file or a frame cannot be used; nothing is written then.
    OutputError
        If the result cannot be written.

    Warns
    -----
    EmpriorWarning
        If the file has no pixel size, was denoised before, the prior does not know a frame, or no
        answer has a standard deviation where it is asked for: then none is written.
    """
    signal = read(source, signal=settings.signal)
    if settings.pixel_size is not None:
        signal = _rescaled(signal, settings.pixel_size)
    with _naming(source, ()):
        pixel_size = signal.pixel_size
    if signal.provenance is not None:
        warnings.warn(
            f"{source.name} has been denoised by emprior before: what noise is left is not what a "
            "detector makes, so it will be misjudged; denoise the raw data instead",
            EmpriorWarning,
            stacklevel=2,
        )
    if pixel_size is None:
        pixel_size = _assumed(source, settings)
    with _naming(source, ()):
        result = np.empty(signal.data.shape, np.float32)
    done: list[Denoised] = []
    for index, pixels in signal.frames():
        finished = len(done)

        def advance(share: float, finished: int = finished) -> None:
            progress((finished + share) / signal.frame_count)

        with _naming(source, index):
            denoised = denoise(
                Micrograph(pixels, pixel_size),
                noise=settings.noise,
                method=settings.method,
                prior=settings.prior,
                depth=settings.depth,
                # Each frame has random draws of its own, whatever the others do.
                seed=(settings.seed, *index),
                force=settings.force,
                device=settings.device,
                progress=advance,
            )
        result[index] = denoised.image
        done.append(denoised)
        advance(1.0)
    provenance = _provenance(source, settings, pixel_size, done)
    if deviation is not None:
        if all(frame.deviation is None for frame in done):
            why = untold(frame.method for frame in done)
            warnings.warn(f"{deviation} is not written: {why}", EmpriorWarning, stacklevel=2)
        else:
            deviations = np.full(signal.data.shape, np.nan, np.float32)
            for (index, _), frame in zip(signal.frames(), done, strict=True):
                if frame.deviation is not None:
                    deviations[index] = frame.deviation
            how = {**provenance, "shows": "standard deviation"}
            write(deviation, signal.with_data(deviations), provenance=how, overwrite=overwrite)
    write(target, signal.with_data(result), provenance=provenance, overwrite=overwrite)
    return done


def untold(methods: Iterable[str]) -> str:
    """Say why the answers of some methods tell neither columns nor deviations."""
    names = ", ".join(dict.fromkeys(methods))
    why = "whose weights know no columns" if names == "prior" else "which knows no columns"
    return f"the answer is that of {names}, {why}"


@contextmanager
def _naming(source: Path, index: tuple[int, ...]) -> Iterator[None]:
    """Say in errors and warnings about pixels which file and frame they are of."""
    name = f"{source}, frame {', '.join(map(str, index))}" if index else f"{source}"
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", EmpriorWarning)
            yield
    except InputError as error:
        raise type(error)(
            f"{name}: {error.got}", expected=error.expected, why=error.why, fix=error.fix
        ) from error
    except MemoryError as error:
        raise ImageError(
            f"{name}: not enough memory ({error or 'the system has no more'})",
            expected="frames, and a stack of results, that fit into memory",
            why="a result is written only when it is complete",
            fix="split the stack or crop the image, or use a machine with more memory",
        ) from error
    for warning in caught:
        ours = issubclass(warning.category, EmpriorWarning)
        text = f"{name}: {warning.message}" if ours else warning.message
        warnings.warn_explicit(text, warning.category, warning.filename, warning.lineno)


def _rescaled(signal: Signal, pixel_size: float) -> Signal:
    """Return the signal with its image axes at a pixel size in Å, offsets kept at pixels."""
    axes = list(signal.axes)
    for i in (-2, -1):
        start = axes[i].offset / axes[i].scale if axes[i].scale else 0.0
        axes[i] = replace(
            axes[i], scale=pixel_size, offset=start * pixel_size, units="Å", values=None
        )
    return replace(signal, axes=tuple(axes))


def _assumed(source: Path, settings: Settings) -> float | None:
    """Say what happens without a pixel size; return the one that is assumed, if any."""
    assumed, what = None, "the result has none either"
    if settings.method in LEARNED:
        from emprior.denoisers.networks import NATIVE_PIXEL_SIZE

        assumed = NATIVE_PIXEL_SIZE
        what = (
            f"{assumed} Å, that of the prior's training data, is assumed. If that is wrong the "
            "prior looks for atoms of the wrong size"
        )
    warnings.warn(
        f"{source.name} does not say its pixel size: {what}; give it by --pixel-size",
        EmpriorWarning,
        stacklevel=3,
    )
    return assumed


def _told(frame: Denoised) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if frame.columns is not None:
        told["columns"] = frame.columns.table()
    if frame.optics is not None:
        told["optics"] = frame.optics.to_dict()
    return told


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
                **_told(frame),
            }
            for frame in done
        ],
    }
