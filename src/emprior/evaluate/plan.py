"""What an evaluation has to measure: frames × noises × rows, checked before any work is done."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from typing import Any, NamedTuple

from emprior.datasets import Dataset
from emprior.denoisers import LEARNED
from emprior.errors import EmpriorWarning, MissingExtraError, OptionError
from emprior.evaluate.frames import Frame, expand, open_frames
from emprior.evaluate.recipe import EvaluationRecipe, Row, Source
from emprior.options import check_options


class Task(NamedTuple):
    """One record to be made."""

    frame: Frame
    source: str
    """Label of where the frame comes from."""
    noise: str
    row: Row
    prior: str | None
    """Hash of what its prior says of itself."""
    setting: str
    """Hash of everything that the record depends on."""


def plan(recipe: EvaluationRecipe) -> list[Task]:
    """List everything that an evaluation has to measure, image by image, noise by noise.

    Raises
    ------
    InputError
        If the data or an option of a row cannot be used.

    Warns
    -----
    EmpriorWarning
        If an optional source, or a row whose package is not installed, is left out.
    """
    frames = [
        (frame, source.label)
        for source in recipe.data
        if _is_there(source)
        for frame in open_frames(
            source.path,
            pixel_size=source.pixel_size,
            max_images=source.max_images,
            finest=recipe.pixel_size,
            crop=recipe.crop,
        )
    ]
    _check_names([frame for frame, _ in frames])
    rows = [(row, _prior_hash(row)) for row in recipe.denoisers if _can_run(row)]
    common = {key: getattr(recipe, key) for key in ("seed", "crop", "pixel_size", "noise")}
    return [
        Task(
            frame,
            source,
            noise,
            row,
            prior,
            digest([common, frame.identity, noise, {**row.to_dict(), "prior": prior}]),
        )
        for frame, source in frames
        for noise in recipe.noises
        for row, prior in rows
    ]


def _is_there(source: Source) -> bool:
    """Return whether to use a source; one that is not optional is, and is then missed aloud."""
    there = not source.optional or expand(source.path).exists()
    if not there:
        warnings.warn(
            f"{source.path} is not there: {source.label or 'its images'} left out, as the recipe "
            "allows",
            EmpriorWarning,
            stacklevel=4,
        )
    return there


def _can_run(row: Row) -> bool:
    """Check a row before any work is done; return False where its package is not installed."""
    try:
        check_options(
            method=row.method,
            noise="auto",
            prior=row.prior,
            search=row.search,
            force=row.force,
            depth=row.depth,
            seed=0,
            device="auto",
        )
    except MissingExtraError as error:
        warnings.warn(
            f"the row {row.name!r} is left out: {error.got}; {error.fix}",
            EmpriorWarning,
            stacklevel=4,
        )
        return False
    return True


def _check_names(frames: list[Frame]) -> None:
    names = [frame.name for frame in frames]
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise OptionError(
            f"two images called {repeated!r}",
            expected="data sets and files whose last parts of the path differ",
            why="records tell images apart by it",
            fix="rename one of them, or evaluate them in two directories",
        )


def _prior_hash(row: Row) -> str | None:
    """Return what changes when another prior, or data set, is given the same name."""
    if row.method not in LEARNED:
        return None
    if row.method == "nearest":
        return Dataset.open(row.prior).hash
    from emprior.weights import read_card

    return digest(dataclasses.asdict(read_card(row.prior)))


def digest(value: Any) -> str:
    """Return a short hash of plain values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
