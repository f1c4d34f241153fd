"""Run experiments in one directory; what is there already is kept."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emprior.comparison import COMPARISON
from emprior.device import choose_device
from emprior.errors import EmpriorError, FileError, OptionError, OutputError, import_extra
from emprior.files import expanded, make_directory, replacing
from emprior.report import experiments as drawn
from emprior.reproduce import (
    adversarial,
    basics,
    denoisers,
    diversity,
    natural,
    optimisers,
    outlook,
    searches,
    supervised,
)
from emprior.reproduce.book import Book
from emprior.reproduce.experiment import Experiment
from emprior.reproduce.paper import compared
from emprior.reproduce.scale import Scale
from emprior.reproduce.workshop import Bar, Workshop

SETTINGS = "reproduction.json"
NAMED = "files.json"
"""The user's own files that records were measured with."""

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        *basics.EXPERIMENTS,
        *adversarial.EXPERIMENTS,
        *diversity.EXPERIMENTS,
        *natural.EXPERIMENTS,
        *optimisers.EXPERIMENTS,
        *searches.EXPERIMENTS,
        *supervised.EXPERIMENTS,
        *denoisers.EXPERIMENTS,
        *outlook.EXPERIMENTS,
    )
}
"""In the order of the paper."""


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Parameters
    ----------
    finished : tuple of str
        Experiments whose records are complete.
    failed : dict
        From the others to why they could not be made.
    """

    finished: tuple[str, ...]
    failed: dict[str, EmpriorError] = field(default_factory=dict)


def choose(names: Sequence[str]) -> list[Experiment]:
    """Return experiments by name, in the order of the paper; "all" for all.

    Raises
    ------
    OptionError
        If there is none of a name; the nearest one is offered.
    """
    for name in names:
        if name != "all" and name not in EXPERIMENTS:
            near = difflib.get_close_matches(name.lower(), EXPERIMENTS, n=1, cutoff=0.4)
            raise OptionError(
                f"an experiment named {name!r}",
                expected=f"all, or some of {', '.join(EXPERIMENTS)}",
                why="each name stands for a part of the paper",
                fix=f"try {near[0]!r}" if near else "choose one of these",
            )
    return [e for name, e in EXPERIMENTS.items() if "all" in names or name in names]


@contextmanager
def _no_bar(task: str):  # type: ignore[no-untyped-def]
    yield lambda share: None


def run(
    names: Sequence[str],
    directory: str | Path,
    scale: Scale,
    *,
    scale_name: str,
    device: str = "auto",
    natural_images: Path | None = None,
    video: Path | None = None,
    say: Callable[[str], object] = lambda line: None,
    bar: Bar = _no_bar,
) -> Outcome:
    """Run experiments.

    Parameters
    ----------
    names : sequence of str
        Of `EXPERIMENTS`, or "all".
    directory : path
        Gets ``datasets/`` and ``networks/``, which experiments share, and a folder of records,
        pictures, figures and a table for each.
    scale : Scale
    scale_name : str
        What records call it.
    device : str
        Of trainings: "auto", "cpu" or "cuda". Searches run on the CPU,
        denoisers of tables on what there is.
    natural_images : path, optional
        Archive, zip or folder of natural images (`emprior.natural`).
    video : path, optional
        Low-dose frames, any file that `emprior.read` reads.
    say : callable
        Takes a line for people after each measurement.
    bar : callable
        Shows progress of long tasks.

    Returns
    -------
    Outcome
        An experiment that lacks its data, whose training fails or whose records are damaged does
        not stop the others.

    Raises
    ------
    FileError
        If a file that is named does not exist.
    MissingExtraError
        If Matplotlib is not installed.
    OptionError
        If a name or the device is not known.
    OutputError
        If the directory was begun with other settings or files, or cannot be written.

    Notes
    -----
    Everything measured is kept as it comes: run again after an interruption, it goes on.
    """
    chosen = choose(names)
    choose_device(device)
    import_extra("matplotlib", "report", "drawing the figures of an experiment")
    directory = make_directory(expanded(directory), "everything measured is kept there")
    _check_settings(directory, scale, scale_name)
    _keep(directory / COMPARISON, compared().to_dict())
    _check_files(directory, {"--images": natural_images, "--video": video})
    shop = Workshop(directory, scale, device=device, natural=natural_images, video=video, bar=bar)
    common = {"scale": scale_name, "seed": scale.seed}
    finished: list[str] = []
    failed: dict[str, EmpriorError] = {}
    for experiment in chosen:
        folder = directory / experiment.name
        order = list(EXPERIMENTS).index(experiment.name)

        def work() -> None:
            experiment.run(shop, Book(folder, experiment, order, common, say))

        # What there is of an experiment that fails is drawn, too.
        errors = [_error_of(work), _error_of(lambda: drawn.render(folder))]
        if error := errors[0] or errors[1]:
            failed[experiment.name] = error
        else:
            finished.append(experiment.name)
    return Outcome(tuple(finished), failed)


def _error_of(work: Callable[[], object]) -> EmpriorError | None:
    """Return what stops this work alone; where nothing can be written, all work ends."""
    try:
        work()
    except OutputError:
        raise
    except EmpriorError as error:
        return error
    return None


def _check_settings(directory: Path, scale: Scale, name: str) -> None:
    path = directory / SETTINGS
    settings = {"scale": name, **scale.to_dict()}
    if path.exists():
        if _kept(path) != settings:
            raise OutputError(
                f"{directory} was begun with other settings",
                expected=f"the scale {name} as this version of emprior has it",
                why="its tables would mix two scales",
                fix="name another directory, or take the scale that its reproduction.json tells",
            )
        return
    _keep(path, settings)


def _check_files(directory: Path, named: dict[str, Path | None]) -> None:
    """Refuse files that do not exist, and others than those that records were measured with."""
    path = directory / NAMED
    known = _kept(path) if path.exists() else {}
    given = {option: file.resolve() for option, file in named.items() if file is not None}
    for option, file in given.items():
        if not file.exists():
            raise FileError(
                f"{option} {file} does not exist",
                expected="an existing file or folder",
                why="it is asked for now rather than after hours of other experiments",
                fix="correct the path, or leave the option out: other experiments do without",
            )
        if known.get(option, file.name) != file.name:
            raise OutputError(
                f"{option} {file.name}, but {directory} was begun with {known[option]}",
                expected=f"{known[option]}, or a directory that no such file was used in",
                why="what is measured is not measured again: the records would be of the old file",
                fix="name another directory",
            )
    if given:
        _keep(path, known | {option: file.name for option, file in given.items()})


def _kept(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError("no object of names and values")
    except (OSError, ValueError) as error:
        raise FileError(
            f"{path}: {error}",
            expected="the file as emprior reproduce wrote it",
            why="it tells with what the records beside it were measured",
            fix="restore the file, or name another directory",
        ) from error
    return values


def _keep(path: Path, values: dict[str, Any]) -> None:
    with replacing(path) as made:
        made.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
