"""One frame on its way: to a worker, denoised, onto the shelf, and back from it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emprior.api import Denoised, denoise
from emprior.batch.settings import Settings
from emprior.errors import EmpriorWarning, ImageError, InputError
from emprior.found import Found, FoundColumns, FoundOptics
from emprior.micrograph import Micrograph
from emprior.movie import denoise_among
from emprior.noise import NoiseModel
from emprior.references import References
from emprior.shelf import Shelf

Progress = Callable[[float], None]


@dataclass(frozen=True, eq=False)
class Answer:
    """What became of one frame, as it travels from a worker."""

    source: Path
    index: tuple[int, ...]
    image: NDArray[np.float32]
    deviation: NDArray[np.float32] | None
    told: dict[str, Any]
    warnings: list[tuple[str, type[Warning]]]


def answer(
    source: Path,
    index: tuple[int, ...],
    frames: list[NDArray[Any]],
    centre: int,
    pixel_size: float | None,
    settings: Settings,
    references: References | None,
    progress: Progress | None = None,
) -> Answer:
    """Denoise one frame; errors and warnings say which file and frame they are of."""
    name = _name(source, index)
    by = partial(
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
                done = denoise_among(frames, centre, by, seed=(settings.seed, *index), **given)
            else:
                done = by(Micrograph(frames[centre]), progress=progress, **given)
            told: dict[str, Any] = {
                "method": done.method,
                "noise": done.noise.to_dict(),
                "evidence": list(done.evidence),
                "seconds": done.seconds,
                "trace": dict(done.trace),
            }
            told |= structure(done)
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
    return Answer(source, index, done.image, done.deviation, told, said)


def keep(shelf: Shelf, answer: Answer) -> None:
    """Put the answer to one frame on the shelf, and pass on what it warned of."""
    maps = {"image": answer.image, "deviation": answer.deviation}
    if answer.deviation is None:
        maps["deviation"] = np.full(answer.image.shape, np.nan, np.float32)
    shelf.put(answer.index, answer.told, **maps)  # type: ignore[arg-type]
    for text, category in answer.warnings:
        name = _name(answer.source, answer.index)
        ours = issubclass(category, EmpriorWarning)
        warnings.warn(f"{name}: {text}" if ours else text, category, stacklevel=3)


def restored(shelf: Shelf, index: tuple[int, ...], pixel_size: float | None) -> Denoised:
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


def structure(frame: Denoised) -> dict[str, Any]:
    """Return columns and optics of a frame, ready for JSON; nothing where it tells none."""
    if frame.columns is None or frame.optics is None:
        return {}
    return {"columns": frame.columns.table(), "optics": frame.optics.to_dict()}


def _name(source: Path, index: tuple[int, ...]) -> str:
    return f"{source}, frame {', '.join(map(str, index))}" if index else f"{source}"
