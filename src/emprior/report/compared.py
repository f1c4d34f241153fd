"""The paper beside our records, figure by figure, and which of its claims hold."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from emprior.comparison import COMPARISON, Claim, Comparison, Key, Statement
from emprior.errors import FileError
from emprior.files import replacing
from emprior.records import RECORDS, read
from emprior.report.grids import Grid
from emprior.report.page import Section, markdown
from emprior.report.standing import signed
from emprior.tables import median_interval

_NOTHING = "not measured yet"


def render(directory: Path) -> list[Section]:
    """Return the sections, and write ``comparison.md``; none where nothing is to be compared.

    Raises
    ------
    FileError
        If what says what to compare cannot be read.
    """
    path = directory / COMPARISON
    if not path.exists():
        return []
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileError(
            f"{path}: {error}",
            expected="what emprior reproduce writes beside its experiments",
            why="it says which number of the paper is which of ours",
            fix="delete it, or run emprior reproduce again",
        ) from error
    found = list(_sections(Comparison.from_dict(values, str(path)), directory))
    with replacing(directory / "comparison.md") as made:
        made.write_text(markdown(found), encoding="utf-8")
    return found


def _sections(comparison: Comparison, directory: Path) -> Iterator[Section]:
    yield Section(
        "The paper, figure by figure",
        "The paper's number, ours, and why they differ. Numbers are medians over the records that "
        "the last column names: experiment, kind of record, its keys, and the number.",
        _statements(comparison.statement, directory),
    )
    yield Section(
        "Which of its claims hold",
        "Median over images of the one number less the other, or of by how much nearer it is to "
        "the ideal one, with its 95 % interval, exact for any distribution. A claim holds, or "
        "fails, where the interval lies on one side of zero.",
        _claims(comparison.claim, directory),
    )


def _statements(statements: tuple[Statement, ...], directory: Path) -> Grid:
    cells = {}
    for one in statements:
        row = f"{one.place}: {one.shows}"
        cells[row, "paper"] = one.paper
        cells[row, "here"] = _here(one, directory)
        cells[row, "why"] = one.why or "–"
        cells[row, "record"] = str(one.here)
    return Grid(tuple(dict.fromkeys(row for row, _ in cells)), _columns(cells), cells)


def _here(statement: Statement, directory: Path) -> str:
    if isinstance(statement.here, str):
        drawn = (directory / statement.here / RECORDS).exists()
        return "pictures below" if drawn else _NOTHING
    values = list(_values(statement.here, directory).values())
    if not values:
        return _NOTHING
    if any(isinstance(value, str) for value in values):
        return ", ".join(dict.fromkeys(map(str, values)))
    text = f"{np.median(values):,.{statement.digits}f}"
    return text if len(values) == 1 else f"{text} (of {len(values)})"


def _claims(claims: tuple[Claim, ...], directory: Path) -> Grid:
    cells = {}
    for one in claims:
        row = f"{one.place}: {one.says}"
        more, less = (_values(key, directory, one.by) for key in (one.more, one.less))
        differences = [_ahead(more[k], less[k], one.ideal) for k in more if k in less]
        cells[row, "outcome"], cells[row, "measured"] = _outcome(differences)
        cells[row, "why"] = one.why or "–"
        cells[row, "records"] = f"{one.more}, against {one.less}, by {one.by}"
    return Grid(tuple(dict.fromkeys(row for row, _ in cells)), _columns(cells), cells)


def _ahead(more: float, less: float, ideal: float | None) -> float:
    return more - less if ideal is None else abs(less - ideal) - abs(more - ideal)


def _outcome(differences: list[float]) -> tuple[str, str]:
    if not differences:
        return _NOTHING, "–"
    median, low, high = median_interval(differences)
    outcome = "holds" if low > 0 else "fails" if high < 0 else "cannot be told"
    span = f"{signed(low)} to {signed(high)}, " if math.isfinite(low) else ""
    return outcome, f"{signed(median)} ({span}n = {len(differences)})"


def _values(key: Key, directory: Path, by: str | None = None) -> dict[Any, Any]:
    """Return the numbers that a key names, by some name in their records or else in order."""
    path = directory / key.experiment / RECORDS
    chosen = [
        record
        for record in (read(path) if path.exists() else [])
        if record.get("what") == key.what
        and all(str(record.get(name)) == value for name, value in key.where.items())
        and record.get(key.value) is not None
        and record[key.value] == record[key.value]  # a measure may have no value, which is NaN
    ]
    return {record.get(by) if by else n: record[key.value] for n, record in enumerate(chosen)}


def _columns(cells: dict[tuple[str, str], str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(column for _, column in cells))
