"""Which files are asked for: paths, and lists of paths."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from emprior.errors import FileError


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
            lines = source.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, ValueError) as error:
            raise FileError(
                f"the list {source}: {getattr(error, 'strerror', None) or 'not text in UTF-8'}",
                expected="a text file with one path a line",
                why="an argument that begins with @ names such a list",
                fix="check the path after the @; a file whose own name begins so is ./@name",
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
