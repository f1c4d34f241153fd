"""Run experiments in one directory; what is there already is kept."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from emprior.errors import EmpriorError, OptionError, OutputError
from emprior.files import make_directory, replacing
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
from emprior.reproduce.scale import Scale
from emprior.reproduce.workshop import Bar, Workshop

SETTINGS = "reproduction.json"

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
        "auto", "cpu" or "cuda".
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
        An experiment that lacks its data, or whose training fails, does not stop the others.

    Raises
    ------
    OptionError
        If a name is not known.
    OutputError
        If the directory was begun with other settings, or cannot be written.

    Notes
    -----
    Everything measured is kept as it comes: run again after an interruption, it goes on.
    """
    chosen = choose(names)
    directory = make_directory(Path(directory).expanduser(), "everything measured is kept there")
    _check_settings(directory, scale, scale_name)
    shop = Workshop(directory, scale, device=device, natural=natural_images, video=video, bar=bar)
    order = list(EXPERIMENTS)
    common = {"scale": scale_name, "seed": scale.seed}
    finished, failed = [], {}
    for experiment in chosen:
        folder = directory / experiment.name
        book = Book(folder, experiment, order.index(experiment.name), common, say)
        try:
            experiment.run(shop, book)
        except OutputError:
            raise
        except EmpriorError as error:
            failed[experiment.name] = error
        else:
            finished.append(experiment.name)
        drawn.render(folder)
    return Outcome(tuple(finished), failed)


def _check_settings(directory: Path, scale: Scale, name: str) -> None:
    path = directory / SETTINGS
    settings = {"scale": name, **scale.to_dict()}
    if path.exists():
        if json.loads(path.read_text(encoding="utf-8")) != settings:
            raise OutputError(
                f"{directory} was begun with other settings",
                expected=f"the scale {name} as this version of emprior has it",
                why="its tables would mix two scales",
                fix="name another directory, or take the scale that its reproduction.json tells",
            )
        return
    with replacing(path) as made:
        made.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
