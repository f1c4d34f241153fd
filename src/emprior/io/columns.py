"""The columns that were found, as comma-separated values."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from emprior.errors import OutputError
from emprior.files import replacing
from emprior.found import FoundColumns
from emprior.io.outputs import check_place


class ColumnsOfFrame(NamedTuple):
    """The columns of one frame, and which it is."""

    file: str
    frame: int
    """Number of the frame in its file, from 0."""
    columns: FoundColumns


def check_columns_output(
    path: Path, sources: Sequence[Path], taken: Sequence[Path], *, overwrite: bool = False
) -> None:
    """Check that columns may be written, without touching anything.

    Parameters
    ----------
    path : Path
    sources, taken : sequence of Path
        Inputs and other outputs.
    overwrite : bool

    Raises
    ------
    OutputError
        If the suffix is not ``.csv``, or as `emprior.io.check_output` does.
    """
    if path.suffix.lower() != ".csv":
        raise OutputError(
            f"cannot write columns to {path}: the suffix {path.suffix!r}",
            expected="a name that ends in .csv",
            why="columns are written as comma-separated values",
            fix=f"write {path.with_suffix('.csv').name or 'columns.csv'} instead",
        )
    check_place(path, sources, taken=taken, overwrite=overwrite)


def write_columns(path: Path, frames: Iterable[ColumnsOfFrame]) -> None:
    """Write one line for each column, under headings with units.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with replacing(path) as made, made.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for number, (name, frame, columns) in enumerate(frames):
            table = columns.table()
            if number == 0:
                writer.writerow(["file", "frame", *table])
            writer.writerows([name, frame, *line] for line in zip(*table.values(), strict=True))
