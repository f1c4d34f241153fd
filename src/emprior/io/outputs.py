"""Under which name a result is written, checked before any work starts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from emprior.errors import OutputError
from emprior.io.sidecar import sidecar_path

FORMATS = {
    ".hspy": "HyperSpy; keeps everything",
    ".tif": "TIFF for Fiji and DigitalMicrograph",
    ".tiff": "TIFF for Fiji and DigitalMicrograph",
    ".mrc": "MRC2014",
    ".emd": "Berkeley EMD",
    ".npy": "NumPy array, pixels only",
    ".png": "16-bit grey levels, to look at",
}
_MOST_AXES = {".png": 2, ".tif": 3, ".tiff": 3, ".mrc": 3}
_ALTERNATIVES = ".hspy (keeps everything), .tif (Fiji), .mrc, .emd, .npy or .png (to look at)"


def output_path(source: Path, out: Path) -> Path:
    """Return where the result of one input goes.

    Parameters
    ----------
    source : Path
        The input file.
    out : Path
        A file name, whose suffix names the format, or an existing directory: there the result has
        the input's name and format, or becomes ``.hspy`` where the format cannot be written, or
        would lose intensities (``.png``).

    Raises
    ------
    OutputError
        If the suffix names no format that can be written, or the system takes no such name.
    """
    _check_name(out)
    if out.is_dir():
        suffix = source.suffix.lower()
        kept = suffix in FORMATS and suffix != ".png"
        return out / (source.name if kept else source.stem + ".hspy")
    suffix = out.suffix.lower()
    if suffix not in FORMATS:
        raise OutputError(
            f"cannot write {out}: " + (f"the suffix {suffix!r}" if suffix else "no suffix"),
            expected=f"{_ALTERNATIVES}, or an existing directory",
            why="the suffix names the format, and vendors' formats can only be read",
            fix=f"write {out.with_suffix('.hspy').name} instead"
            if out.name
            else "name an output file",
        )
    return out


def check_output(path: Path, sources: Sequence[Path] = (), *, overwrite: bool = False) -> None:
    """Check that a file may be written, without touching anything.

    Raises
    ------
    OutputError
        If the directory is missing or closed, if the file is one of the sources (also through a
        link, or by another case of its letters), or if it exists and ``overwrite`` is not set.
    """
    output_path(path, path)
    beside = () if path.suffix.lower() == ".hspy" else (sidecar_path(path),)
    check_place(path, sources, beside=beside, overwrite=overwrite)


def check_holds(path: Path, shape: Sequence[int]) -> None:
    """Check that the format of a file holds an array of this shape.

    Raises
    ------
    OutputError
        If it holds fewer axes.
    """
    suffix = path.suffix.lower()
    most = _MOST_AXES.get(suffix, len(shape))
    if len(shape) > most:
        raise OutputError(
            f"cannot write an array of shape {tuple(shape)} as {suffix}",
            expected="one image" if most == 2 else "one image or one stack of images",
            why="the format holds no more dimensions",
            fix="write .hspy, which holds any number",
        )


def check_place(
    path: Path,
    sources: Sequence[Path] = (),
    *,
    beside: Sequence[Path] = (),
    taken: Sequence[Path] = (),
    overwrite: bool = False,
) -> None:
    """Check that a file of any kind may be written; `check_output` is for images.

    Parameters
    ----------
    path : Path
    sources : sequence of Path
        Inputs, which are never replaced.
    beside : sequence of Path
        Files that come with it.
    taken : sequence of Path
        Other outputs of the same run.
    overwrite : bool

    Raises
    ------
    OutputError
        As `check_output`; also if it is one of the other outputs.
    """
    _check_name(path)
    parent = path.parent
    if path.is_dir() or not parent.is_dir():
        missing = path if path.is_dir() else parent
        raise OutputError(
            f"cannot write {path}: "
            + ("it is a directory" if path.is_dir() else f"there is no directory {parent}"),
            expected="a file name in an existing directory",
            why="directories are not made, so that a typing error leaves no trace",
            fix=f"run: mkdir -p {missing}" if missing is parent else "choose another name",
        )
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(
            f"cannot write {path}: the directory {parent} is closed to you",
            expected="a directory in which files may be made",
            why="a result appears under its name only when it is complete, by renaming",
            fix="choose another directory, or change its permissions",
        )
    for source in sources:
        if _same(path, source):
            raise OutputError(
                f"cannot write {path}: it is the input {source}",
                expected="another name than the input's",
                why="an input is never overwritten: the raw data cannot be had back",
                fix="choose another name or directory",
            )
    for other in taken:
        if _same(path, other):
            raise OutputError(
                f"cannot write {path}: another result goes there",
                expected="a name of its own for each result",
                why="the second would overwrite the first",
                fix="choose another name or directory",
            )
    for target in (path, *beside):
        if not overwrite and os.path.lexists(target):
            raise OutputError(
                f"cannot write {path}: {target} exists",
                expected="a name that is free",
                why="results are not overwritten unless that is asked for",
                fix="add --overwrite (in Python: overwrite=True), or choose another name",
            )


def plan_outputs(
    sources: Sequence[Path], out: Path, *, taken: Sequence[Path] = (), overwrite: bool = False
) -> list[Path]:
    """Return one checked output for each input.

    Parameters
    ----------
    sources : sequence of Path
    out : Path
        As for `output_path`.
    taken : sequence of Path
        Outputs that are planned already.
    overwrite : bool

    Raises
    ------
    OutputError
        As `output_path` and `check_output` do; also if several inputs would share one output.
    """
    _check_name(out)
    if len(sources) > 1 and not out.is_dir():
        raise OutputError(
            f"{len(sources)} inputs for the one output {out}",
            expected="an existing directory",
            why="each input has a result of its own",
            fix=f"run: mkdir -p {out.with_suffix('')}, and give that",
        )
    planned: dict[str, Path] = {}
    outputs = []
    for source in sources:
        path = output_path(source, out)
        # Names that differ by case alone are one file on Windows, macOS and many shares.
        other = planned.setdefault(str(path).casefold(), source)
        if other is not source:
            raise OutputError(
                f"{other} and {source} would both become {path}",
                expected="inputs of different names",
                why="the second result would overwrite the first",
                fix="denoise them into different directories",
            )
        check_output(path, sources, overwrite=overwrite)
        check_place(path, taken=taken, overwrite=True)
        outputs.append(path)
    return outputs


def _check_name(path: Path) -> None:
    """Check that the system takes a name, and those that are made from it on the way."""
    try:
        path.parent.joinpath(f".{path.name}.unfinished").lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        raise OutputError(
            f"cannot write {path}: {getattr(error, 'strerror', None) or error}",
            expected="a name that the file system takes, with room for a few letters more",
            why="a result is made under a longer name beside its place",
            fix="choose another name or directory",
        ) from error


def _same(path: Path, source: Path) -> bool:
    try:
        if path.exists() and source.exists() and path.samefile(source):
            return True
        return str(path.resolve()).casefold() == str(source.resolve()).casefold()
    except (OSError, ValueError):  # no such source can be; reading says why
        return False
