"""Denoise files: frame by frame, from what was read to what is written, with its provenance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from emprior import __version__
from emprior.api import Denoised, denoise
from emprior.denoisers import make
from emprior.errors import FileError, InputError
from emprior.identify import check_spec
from emprior.io import Signal, read, write
from emprior.micrograph import Micrograph, check_pixel_size

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Settings:
    """What `emprior denoise` is asked to do; see `emprior.denoise` for each field."""

    method: str = "prior"
    noise: str = "auto"
    prior: str = "default"
    pixel_size: float | None = None
    seed: int = 0
    device: str = "auto"
    force: bool = False

    def check(self) -> None:
        """Find nonsense before any work starts.

        Raises
        ------
        InputError
            If a method, noise, prior, device or pixel size cannot be used.
        """
        make(self.method)
        check_spec(self.noise)
        if self.pixel_size is not None:
            check_pixel_size(self.pixel_size)
        if self.method == "prior":
            from emprior.device import choose_device
            from emprior.weights import read_card

            read_card(self.prior)
            choose_device(self.device)


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
            lines = source.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise FileError(
                f"the list {source}: {getattr(error, 'strerror', None) or 'not text in UTF-8'}",
                expected="a text file with one path a line",
                why="an argument that begins with @ names such a list",
                fix="check the path after the @",
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
    source: Path, target: Path, settings: Settings, *, overwrite: bool, progress: Progress
) -> list[Denoised]:
    """Denoise every frame of one file into another.

    Parameters
    ----------
    source, target : Path
        As paired by `emprior.io.plan_outputs`.
    settings : Settings
    overwrite : bool
        Replace an existing target.
    progress : callable
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
    """
    signal = read(source)
    if settings.pixel_size is not None:
        signal = _rescaled(signal, settings.pixel_size)
    pixel_size = signal.pixel_size
    result = np.empty(signal.data.shape, np.float32)
    done: list[Denoised] = []
    # Frames are independent draws: each has a stream of its own, whatever the others do.
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
                seed=settings.seed,
                force=settings.force,
                device=settings.device,
                progress=advance,
            )
        result[index] = denoised.image
        done.append(denoised)
        advance(1.0)
    write(
        target,
        signal.with_data(result),
        provenance=_provenance(source, settings, done),
        overwrite=overwrite,
    )
    return done


@contextmanager
def _naming(source: Path, index: tuple[int, ...]) -> Iterator[None]:
    """Say in an error about pixels which file and frame they are of."""
    try:
        yield
    except InputError as error:
        frame = f", frame {', '.join(map(str, index))}" if index else ""
        raise type(error)(
            f"{source}{frame}: {error.got}",
            expected=error.expected,
            why=error.why,
            fix=error.fix,
        ) from error


def _rescaled(signal: Signal, pixel_size: float) -> Signal:
    """Return the signal with its image axes at a pixel size in Å, offsets kept at pixels."""
    axes = list(signal.axes)
    for i in (-2, -1):
        start = axes[i].offset / axes[i].scale if axes[i].scale else 0.0
        axes[i] = replace(axes[i], scale=pixel_size, offset=start * pixel_size, units="Å")
    return replace(signal, axes=tuple(axes))


def _provenance(source: Path, settings: Settings, done: Sequence[Denoised]) -> dict[str, Any]:
    return {
        "version": __version__,
        "input": source.name,
        "settings": asdict(settings),
        "frames": [
            {
                "method": frame.method,
                "noise": frame.noise.to_dict(),
                "evidence": list(frame.evidence),
                "seconds": round(frame.seconds, 3),
                **frame.trace,
            }
            for frame in done
        ],
    }
