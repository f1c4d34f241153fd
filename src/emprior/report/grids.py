"""Records of an experiment as tables of texts."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emprior.views import Cross, Table

Records = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Grid:
    """A table of texts."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Mapping[tuple[str, str], str]

    def text(self, row: str, column: str) -> str:
        """Return a cell; a dash where nothing is known."""
        return self.cells.get((row, column), "–")

    def best(self, column: str) -> None:
        """Return None: what is good here is for the reader to say."""
        return


def grid(records: Records, view: Table | Cross) -> Grid:
    """Return the table that a view asks for."""
    if isinstance(view, Table):
        cells = [
            (str(record[view.row]), heading, record[key])
            for record in records
            for key, heading in view.columns.items()
            if record.get(key) is not None
        ]
        columns = tuple(view.columns.values())
    else:
        cells = [
            (str(record[view.row]), str(record[view.column]), record[view.value])
            for record in records
            if record.get(view.value) is not None
        ]
        columns = tuple(dict.fromkeys(column for _, column, _ in cells))
    found: dict[tuple[str, str], list[Any]] = {}
    for row, column, value in cells:
        found.setdefault((row, column), []).append(value)
    rows = tuple(dict.fromkeys(str(record[view.row]) for record in records))
    texts = {key: _text(values, view.digits) for key, values in found.items()}
    return Grid(rows, columns, texts)


def _text(values: list[Any], digits: int) -> str:
    """Return one value as it is, several as mean ± standard deviation."""
    texts = [value for value in values if isinstance(value, bool | str)]
    if texts:
        return ", ".join(dict.fromkeys(map(str, texts)))
    numbers = [value for value in values if not math.isnan(value)]
    if not numbers:
        return "–"
    if all(isinstance(value, int) for value in values) and len(set(values)) == 1:
        return f"{values[0]:,}"
    if math.inf in numbers:
        return "∞"
    mean = statistics.fmean(numbers)
    if len(numbers) == 1:
        return _decimal(mean, digits)
    return f"{_decimal(mean, digits)} ± {statistics.stdev(numbers):.{digits}f}"


def _decimal(value: float, digits: int) -> str:
    small = value and abs(value) < 0.5 * 10**-digits
    return f"{value:.1e}" if small else f"{value:,.{digits}f}"
