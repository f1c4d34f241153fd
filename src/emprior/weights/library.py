"""Where priors are found by name: those that come with emprior, and those that were imported."""

from __future__ import annotations

import difflib
import os
import re
import shutil
from contextlib import suppress
from importlib.resources import as_file, files
from pathlib import Path

from emprior.errors import OptionError, WeightsError
from emprior.files import expanded, make_directory, replacing

DEFAULT = "pt-ceria"
SUFFIX = ".safetensors"


def shipped() -> list[str]:
    """Return the names of the priors that come with emprior."""
    return _in(Path(str(files("emprior") / "data" / "priors")))


def imported_folder() -> Path:
    """Return the folder of imported priors, in ``$XDG_DATA_HOME`` or else ``~/.local/share``."""
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return expanded(data) / "emprior" / "priors"


def names() -> list[str]:
    """Return the names of all priors: shipped ones, then imported ones."""
    return [*shipped(), *_in(imported_folder())]


def trained(folder: str | Path) -> list[Path]:
    """Return the priors of the training runs in a folder, at any depth.

    Raises
    ------
    WeightsError
        If there is none, or no such folder.
    """
    if not expanded(folder).is_dir():
        raise WeightsError(
            f"no folder {folder}",
            expected="a folder with training runs",
            why="their priors are looked for in it",
            fix="check the path; one prior is shown by `emprior priors card FILE`",
        )
    found = sorted(expanded(folder).rglob(f"prior{SUFFIX}"))
    if not found:
        raise WeightsError(
            f"no prior in {folder}",
            expected=f"a folder with training runs, each of which keeps a prior{SUFFIX}",
            why="there is nothing to list",
            fix="check the path, or let the training write its first prior",
        )
    return found


def locate(name_or_path: str | Path = "default") -> Path:
    """Return the file of a prior.

    Raises
    ------
    WeightsError
        If there is none.
    """
    name = DEFAULT if name_or_path == "default" else str(name_or_path)
    if name in shipped():
        with as_file(files("emprior") / "data" / "priors" / f"{name}{SUFFIX}") as path:
            return path
    known = names()
    if name in known:
        return imported_folder() / f"{name}{SUFFIX}"
    path = expanded(name_or_path)
    with suppress(OSError):  # a name too long for a file
        if path.is_file():
            return path
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise WeightsError(
        f"no prior {str(name_or_path)!r}",
        expected=f"a file, or one of {', '.join(['default', *known]) if known else '(none)'}",
        why="a prior is found by its name among those installed, else as a path",
        fix=f"{hint}run `emprior priors` to list them, or check the path",
    )


def install(path: str | Path, name: str | None = None, *, overwrite: bool = False) -> str:
    """Verify a file and copy it among the imported priors; return its name.

    Parameters
    ----------
    path : path
        Of a prior.
    name : str, optional
        By which it is to be found; the file's own without its suffix where none is given.
    overwrite : bool
        Replace an imported prior of that name.

    Raises
    ------
    OptionError
        If the name is no plain word, or is that of a shipped prior.
    WeightsError
        As `verify`.
    OutputError
        If there is an imported prior of that name, or it cannot be written.
    """
    from emprior.io import check_place
    from emprior.weights.verify import verify

    path = expanded(path)
    name = path.name.removesuffix(SUFFIX) if name is None else name
    taken = ["default", *shipped()]
    if name in taken or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise OptionError(
            f"{name!r} as the name of an imported prior",
            expected="up to 64 letters, digits, dots, dashes and underscores, and no name that "
            f"emprior uses itself ({', '.join(taken)})",
            why="the same name must always mean the same prior",
            fix="choose another with --name",
        )
    source = verify(path).path
    folder = make_directory(imported_folder(), "imported priors are kept in it")
    target = folder / f"{name}{SUFFIX}"
    check_place(target, [source], overwrite=overwrite)
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
    return name


def export(name_or_path: str | Path, out: str | Path, *, overwrite: bool = False) -> None:
    """Verify a prior and write it to a file of its own, with its fingerprint.

    Raises
    ------
    WeightsError
        As `verify`.
    OutputError
        If the file exists, or cannot be written.
    """
    from emprior.io import check_place
    from emprior.weights.verify import verify

    source, out = locate(name_or_path), expanded(out)
    check_place(out, [source], overwrite=overwrite)
    content = verify(name_or_path).content()
    with replacing(out) as temporary:
        temporary.write_bytes(content)


def _in(folder: Path) -> list[str]:
    """Return the names of the priors in a folder, which need not exist."""
    return sorted(path.name.removesuffix(SUFFIX) for path in folder.glob(f"[!.]*{SUFFIX}"))
