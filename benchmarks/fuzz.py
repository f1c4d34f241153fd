"""Damaged files and odd command lines: all that may come of them is an answer or a plain error.

    python benchmarks/fuzz.py [--cases 12000] [--seed 0] [--write]

Four laws, each tried on cases that Hypothesis draws (`damage`) from small valid files
(`small_files`). Whatever happens, there is no exception but an `InputError` of four parts, no case
takes more than `LIMIT` seconds of the processor or `MEMORY` bytes of addresses, and no file that
was there changes.

files
    A damaged file of any format, under its own or another suffix, is read, or is an InputError.
weights
    A damaged weight file loads, or is a WeightsError.
recipes
    An odd recipe loads, or is an InputError.
commands
    Every command ends with code 0, 1 or 2; a refusal says what, why and what to do, and leaves the
    folder as it was; an answer leaves no temporary file.

``--write`` puts the table into docs/reliability.md. tests/test_fuzz.py tries the same laws on a few
hundred cases.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import itertools
import os
import re
import resource
import shutil
import signal
import stat
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import damage
import numpy as np
import small_files
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from marked import rewrite
from rsciio import IO_PLUGINS
from typer.testing import CliRunner

from emprior import weights
from emprior.cli import app
from emprior.errors import InputError, WeightsError
from emprior.evaluate import EvaluationRecipe
from emprior.io import read
from emprior.recipes import Recipe, load
from emprior.simulate.recipe import Simulation
from emprior.training.recipe import TrainingRecipe

RECIPES = Path(__file__).parents[1] / "recipes"
LIMIT = 20.0
MEMORY = 8 * 2**30
SUFFIXES = sorted(
    {f".{name.lower()}" for plugin in IO_PLUGINS for name in plugin["file_extensions"]}
)

_CIF = """data_cell
_cell_length_a 3.9
_cell_length_b 3.9
_cell_length_c 3.9
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'P 1'
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Sr 0 0 0
Ti 0.5 0.5 0.5
"""
_EVALUATION = """data = [{ path = "p.npy", pixel_size = 0.2 }]
noises = ["P(10)"]
denoisers = ["identity", "blur"]
seed = 1
"""


def _kind(text: str) -> type[Recipe]:
    """Return what a recipe of the project is a recipe of."""
    if "kind =" in text.partition("[")[0]:
        return TrainingRecipe
    return Simulation if "[[group]]" in text else EvaluationRecipe


_RECIPES = [path.read_text(encoding="utf-8") for path in sorted(RECIPES.glob("*.toml"))]


class TooLong(BaseException):
    """A case took more than its time; no reader's ``except Exception`` may swallow it."""


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Bound time and memory; heed no warnings, nor files that failing readers leave open."""

    def stop(*_: object) -> None:
        raise TooLong(f"more than {LIMIT:g} s")

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    old = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, hard))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
            gc.collect(1)  # closes files that failing readers left open
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, old)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def listing(folder: Path) -> dict[str, tuple[int, int] | None]:
    """Return every path below a folder, of files with size and time of the last change."""
    found: dict[str, tuple[int, int] | None] = {}
    for path in folder.rglob("*"):
        state = path.lstat()
        told = None if stat.S_ISDIR(state.st_mode) else (state.st_size, state.st_mtime_ns)
        found[str(path.relative_to(folder))] = told
    return found


def make_files(folder: Path) -> None:
    """Fill a folder with everything that command lines name."""
    small_files.image_files(folder)
    small_files.prior(folder / "toy.safetensors")
    image = small_files.counts().astype(np.float32)
    odd = {
        "flat": np.ones((9, 9)),
        "nan": image * np.nan,
        "tiny": np.ones((2, 3)),
        "wave": image * 1j,
    }
    for name in ("two words", "ünï [x] :smile:", "-dash"):
        odd[name] = image
    for name, array in {**odd, "huge": image * 1e30}.items():
        np.save(folder / f"{name}.npy", array)
    (folder / "empty.tif").write_bytes(b"")
    (folder / "list.txt").write_text("p.npy\n# not this\nh.tif\n", encoding="utf-8")
    (folder / "cell.cif").write_text(_CIF, encoding="ascii")
    (folder / "recipe.toml").write_text(_EVALUATION, encoding="ascii")
    for name in ("folder", "out", "board"):
        (folder / name).mkdir()
    (folder / "board" / "noisy.hspy").write_bytes(b"somebody's")
    (folder / "board" / "records.jsonl").write_text('{"image": "a", "noise": 3}\n', "ascii")


@dataclass
class Laws:
    """The four laws, on files made once.

    Parameters
    ----------
    folder : Path
        An empty one.
    """

    folder: Path
    content: dict[str, bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        make_files(self.folder)
        files = (path for path in self.folder.iterdir() if path.is_file())
        self.content = {path.name: path.read_bytes() for path in files}
        self._box = self.folder.with_name("outer")
        self._whole: dict[str, tuple[int, int] | None] = {}

    def _untouched(self) -> Path:
        """Return a folder of all files, within another so that nothing escapes unseen."""
        if not self._whole or listing(self._box) != self._whole:
            shutil.rmtree(self._box, ignore_errors=True)
            shutil.copytree(self.folder, self._box / "case")
            self._whole = listing(self._box)
        return self._box / "case"

    # -------------------------------------------------------------------------------------- files

    files = st.tuples(
        st.sampled_from(damage.IMAGES),
        damage.edits,
        st.none() | st.none() | st.sampled_from(SUFFIXES),
        st.booleans(),
    )

    def read_file(self, case: tuple[str, list[damage.Edit], str | None, bool]) -> str:
        """Read a damaged file, perhaps under another suffix, with what stands beside it."""
        name, changes, suffix, lazy = case
        with tempfile.TemporaryDirectory(dir=self.folder.parent) as place:
            folder, path = Path(place), Path(place) / name
            for beside in self.folder.glob(f"{path.stem}[._]*"):
                shutil.copy(beside, folder)
            content = damage.damaged(path.read_bytes(), changes)
            if suffix is not None:
                path = path.with_name(f"{path.stem}-{suffix}").with_suffix(suffix)
            path.write_bytes(content)
            before = listing(folder)
            with limited():
                try:
                    for _, frame in read(path, lazy=lazy).frames():
                        assert frame.ndim == 2, "a frame of other than two axes"
                        assert frame.dtype.kind in "buif", "a frame of other than real numbers"
                    outcome = "answered"
                except InputError as error:
                    _four_parts(str(error))
                    outcome = "refused"
            assert listing(folder) == before, "reading changed a file"
        return outcome

    # ------------------------------------------------------------------------------------ weights

    weight_files = damage.edits

    def load_weights(self, changes: list[damage.Edit]) -> str:
        """Load a damaged weight file."""
        with tempfile.TemporaryDirectory(dir=self.folder.parent) as place, limited():
            path = Path(place) / "w.safetensors"
            path.write_bytes(damage.damaged(self.content["toy.safetensors"], changes))
            try:
                weights.describe(path)
                weights.load(path)
            except WeightsError as error:
                _four_parts(str(error))
                return "refused"
        return "answered"

    # ------------------------------------------------------------------------------------ recipes

    recipes = st.sampled_from(_RECIPES).flatmap(
        lambda text: st.tuples(st.just(_kind(text)), damage.odd_toml(text))
    )

    def load_recipe(self, case: tuple[Any, str]) -> str:
        """Load an odd recipe."""
        kind, text = case
        with tempfile.TemporaryDirectory(dir=self.folder.parent) as place, limited():
            path = Path(place) / "r.toml"
            path.write_text(text, encoding="utf-8", errors="replace")
            try:
                load(path, kind)
            except InputError as error:
                _four_parts(str(error))
                return "refused"
        return "answered"

    # ----------------------------------------------------------------------------------- commands

    commands = st.tuples(
        damage.commands,
        st.sampled_from([*damage.IMAGES, "toy.safetensors", "cell.cif", "recipe.toml", "list.txt"]),
        damage.edits,
    )

    def run_command(self, case: tuple[list[str], str, list[damage.Edit]]) -> str:
        """Run a command beside valid files and a damaged one, whose suffix it keeps."""
        arguments, spoilt, changes = case
        suffix = Path(spoilt).suffix
        line = [re.sub("^(@?)damaged$", rf"\1damaged{suffix}", word) for word in arguments]
        folder = self._untouched()
        spoilt_file = folder / f"damaged{suffix}"
        spoilt_file.write_bytes(damage.damaged(self.content[spoilt], changes))
        before = listing(folder.parent)
        with contextlib.chdir(folder), limited():
            os.environ["EMPRIOR_RUNS"] = str(folder / "runs")
            result = CliRunner().invoke(app, line, catch_exceptions=False)
        after = listing(folder.parent)
        spoilt_file.unlink(missing_ok=True)
        allowed = {0, 1, 2} if line[:1] in (["check"], ["train"]) else {0, 2}
        assert result.exit_code in allowed, f"code {result.exit_code}: {result.output}"
        assert "Traceback" not in result.output, result.output
        if line:
            _check_folder(before, after, line, result.exit_code)
        if result.exit_code == 2 and line and "Usage" not in result.output:
            _four_parts(result.output.partition("error: ")[2])
        return "refused" if result.exit_code == 2 else "answered"


def _four_parts(said: str) -> None:
    assert re.search(r"\A.+(\n.*)*\n  expected: .+(\n.*)*\n  why: .+(\n.*)*\n  do: .+", said), said


def _check_folder(
    before: Mapping[str, bytes | None],
    after: Mapping[str, bytes | None],
    line: list[str],
    code: int,
) -> None:
    changed = {name for name, content in before.items() if after.get(name, "gone") != content}
    made = set(after) - set(before)
    assert not changed or "--overwrite" in line, f"changed unasked: {changed}"
    inputs = list(itertools.takewhile(lambda word: not word.startswith("-"), line[1:]))
    assert not changed & {f"case/{name}" for name in inputs}, f"inputs changed: {changed}"
    # One bad file does not cost the others; a data set, training or evaluation goes on later.
    several = len(inputs) > 1 or any(name.startswith("@") for name in inputs)
    if code == 2 and not (several or line[0] in ("evaluate", "simulate", "train")):
        assert not changed | made, f"left behind: {changed | made}"
    hidden = {name for name in made if Path(name).name.startswith(".")}
    assert not hidden - {f"case/{word}" for word in line}, f"temporary files left: {hidden}"


LAWS: dict[str, tuple[Callable[[Laws, Any], str], st.SearchStrategy[Any], float]] = {
    "files": (Laws.read_file, Laws.files, 0.6),
    "weights": (Laws.load_weights, Laws.weight_files, 0.15),
    "recipes": (Laws.load_recipe, Laws.recipes, 0.15),
    "commands": (Laws.run_command, Laws.commands, 0.1),
}
"""What is tried, the cases, and its share of them."""


@dataclass
class Outcome:
    """What came of one law's cases."""

    counts: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    faults: list[str] = field(default_factory=list)


def tried(laws: Laws, name: str, cases: int, number: int) -> Outcome:
    """Try a law on many cases; a case that breaks it is noted, and the next one drawn."""
    law, strategy, _ = LAWS[name]
    outcome = Outcome()

    @seed(number)
    @settings(
        max_examples=cases,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def each(case: Any) -> None:
        faulthandler.dump_traceback_later(6 * LIMIT, exit=True)  # where no signal is heeded
        started = time.process_time()
        try:
            outcome.counts[law(laws, case)] += 1
        except (Exception, TooLong):
            outcome.counts["faults"] += 1
            outcome.faults.append(f"{name}: {case!r}\n{traceback.format_exc(limit=-6)}")
            print(outcome.faults[-1], flush=True)
        outcome.slowest = max(outcome.slowest, time.process_time() - started)

    each()
    faulthandler.cancel_dump_traceback_later()
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=LAWS, help="one law")
    parser.add_argument("--write", action="store_true", help="put it into docs/reliability.md")
    options = parser.parse_args()
    lines = [
        "| cases of | tried | answered | refused in four parts | broke a law | slowest [s] |",
        "|---|---|---|---|---|---|",
    ]
    broken = False
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        laws = Laws(Path(place) / "files")
        for name, (_, _, share) in LAWS.items():
            if options.only not in (None, name):
                continue
            found = tried(laws, name, int(share * options.cases), options.seed)
            counts, broken = found.counts, broken or bool(found.faults)
            lines.append(
                f"| {name} | {counts.total():,} | {counts['answered']:,} | {counts['refused']:,} "
                f"| {counts['faults']} | {found.slowest:.1f} |"
            )
            print(lines[-1], flush=True)
    print("\n".join(lines))
    print(f"{time.monotonic() - started:.0f} s")
    if options.write:
        rewrite("reliability.md", "fuzz", "\n".join(lines))
    raise SystemExit(broken)


if __name__ == "__main__":
    main()
