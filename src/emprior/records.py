"""Records: one line of JSON for each thing measured, appended as it comes.

A run that is interrupted leaves whole lines and at most one that is cut short; the latter counts
as not written.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from emprior.errors import FileError, OutputError

RECORDS = "records.jsonl"
"""Name of the file in the directory of an evaluation."""

_SPELT = {str(number): number for number in (math.inf, -math.inf, math.nan)}


def append(path: str | Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """Append one record and return it as `read` does.

    A line cut short by an interruption is replaced.

    Numbers that are not finite are written as texts, ``"inf"`` or ``"nan"``, since JSON has no
    such numbers, and read back as numbers.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    path = Path(path)
    line = json.dumps(_finite(record), ensure_ascii=False, allow_nan=False) + "\n"
    try:
        with path.open("ab+") as file:
            _drop_cut_line(file)
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}",
            expected="a file in an existing folder with room and permission",
            why="each record is kept as soon as it is measured",
            fix="free some space or correct the permission; a second start goes on from here",
        ) from error
    found: dict[str, Any] = _numbers(json.loads(line))
    return found


def read(path: str | Path) -> list[dict[str, Any]]:
    """Return all records of a file, in the order they were written.

    Raises
    ------
    FileError
        If the file cannot be read, or a whole line of it is no record.
    """
    path = Path(path)
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise FileError(
            f"{path}: {error.strerror or error}",
            expected="a file of records, one line of JSON each",
            why="tables and figures are made from them and from nothing else",
            fix="name a folder that `emprior evaluate` has written",
        ) from error
    records = []
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            break
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError("no object of names and values")
        except ValueError as error:
            raise FileError(
                f"{path}, line {number}: {error}",
                expected="one record of JSON on each line",
                why="a table that leaves out what it cannot read would mislead",
                fix="delete that line and evaluate again, which measures only what is missing",
            ) from error
        records.append(_numbers(record))
    return records


def _drop_cut_line(file: BinaryIO) -> None:
    if file.tell() == 0:
        return
    file.seek(-1, os.SEEK_END)
    if file.read() != b"\n":
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value))
    return value


def _numbers(value: Any) -> Any:
    """Return what `_finite` was given."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return _SPELT.get(value, value) if isinstance(value, str) else value
