"""Run a recipe: worker processes, one commit per structure, resumption.

A data set is a directory that is a zarr group. Each structure is one group in it, written under
another name and renamed when complete, so that it is there whole or not at all. The root's
attributes say whether all are there. Structure i of a group draws from its own random stream;
so the bytes depend on the recipe and the versions of the libraries, not on the number of
workers, their order, or how often the run was interrupted.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from emprior.datasets import FORMAT, ROOT, Dataset, structure_name
from emprior.errors import OutputError, RecipeError, import_extra
from emprior.files import expanded, replacing
from emprior.recipes import load
from emprior.simulate.recipe import Simulation
from emprior.workers import check_workers, processes, spread

Progress = Callable[[int, int], None]
"""Called with the number of structures done and the number of all."""


def simulate(
    recipe: Simulation | str | Path,
    directory: str | Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Simulate a data set, or finish one that was interrupted.

    Parameters
    ----------
    recipe : Simulation or path
        What to simulate.
    directory : path
        Where to; made if absent. A run of the same recipe that was stopped there, by whatever
        means, goes on where it stopped and ends in the same bytes.
    workers : int, optional
        Number of single-threaded processes on this machine. Default: one for each CPU.
    scheduler : str, optional
        Address of a running dask scheduler to use instead, for example ``tcp://node1:8786``; its
        workers must see the directory under the same path.
    progress : callable, optional
        ``progress(done, total)``, called at the start and after each structure.

    Returns
    -------
    Dataset
        The finished data set, open for reading.

    Raises
    ------
    RecipeError, FileError
        If the recipe is wrong, names a crystal that is none, or wants more memory than there is.
    OptionError
        If there is less than one worker.
    OutputError
        If the directory holds something else or cannot be written, or no scheduler answers.
    MissingExtraError
        If a package of the extra ``simulate`` is absent.

    Notes
    -----
    Worker processes are spawned: a script that calls this must guard its own start by
    ``if __name__ == "__main__":``.
    """
    for module in ("abtem", "ase", "distributed", "zarr"):
        import_extra(module, "simulate", "simulating micrographs")
    if not isinstance(recipe, Simulation):
        recipe = load(recipe, Simulation)
    count = check(recipe, workers, here=scheduler is None)
    directory = expanded(directory).absolute()
    manifest = _claim(directory, recipe)
    parts = [(g, i) for g, part in enumerate(recipe.group) for i in range(part.structures)]
    jobs = [(structure_name(number), *part) for number, part in enumerate(parts)]
    missing = [job for job in jobs if not (directory / job[0]).is_dir()]
    report = progress or (lambda done, total: None)
    report(len(jobs) - len(missing), len(jobs))
    if missing:
        with processes(min(count, len(missing)), scheduler) as client:
            for done in _compute(client, recipe, missing, directory):
                report(len(jobs) - len(missing) + done, len(jobs))
    if not manifest["complete"]:
        content = _hash(directory, [name for name, _, _ in jobs])
        _write_root(directory, {**manifest, "complete": True, "hash": content})
    return Dataset.open(directory)


def check(recipe: Simulation, workers: int | None, *, here: bool = True) -> int:
    """Return how many processes of this machine will compute a recipe, if it can be computed.

    Parameters
    ----------
    recipe : Simulation
    workers : int or None
        As asked for; None for one a CPU.
    here : bool
        Whether on this machine, whose memory must do.

    Raises
    ------
    OptionError
        If there is less than one worker.
    RecipeError
        If the grid is too coarse or the memory too small.
    """
    from distributed.system import MEMORY_LIMIT

    from emprior.simulate.feasible import check_grid, check_memory

    if workers is not None:
        check_workers(workers)
    structures = sum(part.structures for part in recipe.group)
    count = min(workers or os.cpu_count() or 1, structures)
    check_grid(recipe)
    if here:
        check_memory(recipe, count, MEMORY_LIMIT)
    return count


def _claim(directory: Path, recipe: Simulation) -> dict[str, Any]:
    """Make the directory this recipe's, or find that it is already; return the manifest."""
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "complete": False,
        "recipe": recipe.to_dict(),
        "versions": {
            name: version(name) for name in ("emprior", "abtem", "ase", "numpy", "scipy", "zarr")
        },
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        half_written = set(directory.glob(f".{Path(ROOT).stem}.????????{Path(ROOT).suffix}"))
        if set(directory.iterdir()) == half_written:
            _remove(half_written)
            _write_root(directory, manifest)
            return manifest
        found = dict(json.loads((directory / ROOT).read_text())["attributes"]["emprior"])
        if missing := manifest.keys() - found.keys():
            raise KeyError(*missing)
        # Only in a data set: elsewhere such names would be somebody's.
        _remove([*half_written, *directory.glob("[0-9]*.partial-*")])
    except (
        FileNotFoundError,
        NotADirectoryError,
        FileExistsError,
        ValueError,
        KeyError,
        TypeError,
    ) as error:
        raise OutputError(
            f"{directory} holds something that is no data set of emprior",
            expected="a new or empty directory, or an interrupted run of the same recipe",
            why="nothing is overwritten",
            fix="choose another directory",
        ) from error
    except OSError as error:
        raise OutputError(
            f"cannot write to {directory}: {error.strerror}",
            expected="a directory that can be written",
            why="the data set is stored there",
            fix="choose another directory or correct its permissions",
        ) from error
    # Read anew, so that settings which came later have their defaults.
    with suppress(RecipeError):
        found["recipe"] = Simulation.from_dict(found["recipe"]).to_dict()
    for key, what in (("recipe", "another recipe"), ("versions", "other library versions")):
        finished = key == "versions" and found["complete"]
        if found[key] != manifest[key] and not finished:
            differing = sorted(k for k in manifest[key] if found[key].get(k) != manifest[key][k])
            raise OutputError(
                f"{directory} holds a data set of {what} (they differ in {', '.join(differing)})",
                expected="a new or empty directory, or an interrupted run of the same recipe",
                why="one data set is one recipe, computed in one way",
                fix="choose another directory, or delete this one",
            )
    return dict(found)


def _remove(left_over: Iterable[Path]) -> None:
    for path in left_over:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _write_root(directory: Path, manifest: dict[str, Any]) -> None:
    root = {"zarr_format": 3, "node_type": "group", "attributes": {"emprior": manifest}}
    with replacing(directory / ROOT) as path:
        path.write_text(json.dumps(root, indent=1, sort_keys=True), encoding="utf-8")


def _compute(
    client: Any, recipe: Simulation, jobs: list[tuple[str, int, int]], directory: Path
) -> Iterator[int]:
    """Have the workers compute structures; yield how many are done after each."""
    values = recipe.to_dict()
    tasks = [(values, *job, str(directory)) for job in jobs]
    try:
        for done, _ in enumerate(spread(client, _commit, tasks), 1):
            yield done
    except OSError as error:
        raise OutputError(
            f"a worker cannot write to {directory}: {error.strerror or error}",
            expected="room and permission to write, for every worker",
            why="each structure is stored as soon as it is computed",
            fix="free some space, then run again; what is done is kept",
        ) from error


def _commit(values: dict[str, Any], name: str, group: int, index: int, directory: str) -> None:
    """Compute one structure and put it in its place; runs in a worker."""
    from emprior.simulate.micrographs import simulate_structure

    result = simulate_structure(Simulation.from_dict(values), group, index)
    final = Path(directory, name)
    partial = Path(tempfile.mkdtemp(prefix=f"{name}.partial-", dir=directory))
    partial.chmod(0o755)
    result.write(partial)
    try:
        partial.rename(final)
    except OSError:
        shutil.rmtree(partial)
        if not final.is_dir():
            raise


def _hash(directory: Path, names: list[str]) -> str:
    """Return the SHA-256 of all committed files, their names included."""
    digest = hashlib.sha256()
    for name in names:
        for path in sorted(p for p in (directory / name).rglob("*") if p.is_file()):
            digest.update(path.relative_to(directory).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
