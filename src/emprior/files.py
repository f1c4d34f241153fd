"""Files that are whole or absent: each is written beside its place and moved there at the end."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emprior.errors import EmpriorError, OutputError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path to write to; move it to `path` on success, remove it on failure.

    The move is atomic, so a reader or a crash at any moment finds the old file or the new one.
    The temporary name keeps the suffix, which many writers look at, and begins with a dot.

    Raises
    ------
    OutputError
        If writing or moving fails.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        try:
            yield temporary
            with temporary.open("rb+") as file:  # on the disk before the name points at it
                os.fsync(file.fileno())
            os.replace(temporary, path)  # noqa: PTH105 (the atomic one by name)
        finally:
            temporary.unlink(missing_ok=True)
    except EmpriorError:
        raise
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}",
            expected="a file in an existing folder with room and permission",
            why="the result is kept there",
            fix="create the folder, free some space, or name another place",
        ) from error


def expanded(path: str | Path) -> Path:
    """Return a path with ``~`` replaced by the home folder; an unknown user's stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (that of pathlib raises a RuntimeError)


def make_directory(path: str | Path, purpose: str) -> Path:
    """Make a directory and those above it, unless it is there.

    Parameters
    ----------
    path : path
    purpose : str
        What for, as a sentence without its full stop, e.g. ``"records are kept in it"``.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be made: {error.strerror or error}",
            expected="a directory, or a place where one can be made",
            why=purpose,
            fix="name another place",
        ) from error
    return path
