"""Running recipes: workers, resumption, progress, and what can be wrong with a recipe."""

import os
import shutil
import signal
import subprocess
import sys
import time

import dask
import numpy as np
import pytest
import zarr
from distributed import LocalCluster

from emprior.datasets import Dataset, shared_structures
from emprior.errors import FileError, OptionError, OutputError, RecipeError
from emprior.recipes import load
from emprior.simulate import Simulation, simulate

TOML = """
seed = {seed}
dtype = "float16"
[view]
shape = [20, 24]
pixel_size = 0.4
[[group]]
name = "lobato"
structures = 2
images = 2
grid = 192
[[group]]
name = "kirkland"
structures = 1
grid = 192
slice_thickness = 1.0
parametrization = "kirkland"
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(TOML.format(seed=7))
    return path


@pytest.fixture(scope="module")
def scheduler():
    """A running scheduler whose worker is a thread: starts in no time."""
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(scope="module")
def finished(recipe, scheduler, tmp_path_factory):
    directory = tmp_path_factory.mktemp("data") / "set"
    seen = []
    simulate(
        recipe,
        directory,
        scheduler=scheduler,
        progress=lambda done, all_: seen.append((done, all_)),
    )
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    return directory


def contents(directory):
    return {
        p.relative_to(directory).as_posix(): p.read_bytes()
        for p in directory.rglob("*")
        if p.is_file()
    }


def test_a_killed_run_resumes_to_the_same_bytes_with_other_workers(recipe, finished, tmp_path):
    directory = tmp_path / "set"
    # One single-threaded worker process, killed without notice once something is committed.
    script = (
        "import sys; from emprior.simulate import simulate\n"
        "if __name__ == '__main__': simulate(sys.argv[1], sys.argv[2], workers=1)"
    )
    program = tmp_path / "program.py"
    program.write_text(script)
    process = subprocess.Popen([sys.executable, program, recipe, directory], start_new_session=True)
    deadline = time.monotonic() + 120
    while not (directory / "000000").is_dir():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (directory / "000002").exists()
    with pytest.raises(FileError, match="unfinished"):
        Dataset.open(directory)
    seen = []
    simulate(recipe, directory, workers=2, progress=lambda done, _: seen.append(done))
    assert seen[0] >= 1
    assert contents(directory) == contents(finished)


def test_what_a_crash_leaves_behind_is_cleared(recipe, finished, scheduler, tmp_path):
    directory = tmp_path / "set"
    shutil.copytree(finished, directory)
    root = (directory / "zarr.json").read_text()
    (directory / "zarr.json").write_text(root.replace('"complete": true', '"complete": false'))
    (directory / ".zarr.0a1b2c3d.json").write_text("half a mani")
    (directory / "000001").rename(directory / "000001.partial-x")
    (directory / "000001.partial-x" / "zarr.json").unlink()
    simulate(recipe, directory, scheduler=scheduler)
    assert contents(directory) == contents(finished)


def test_a_finished_run_is_left_as_it_is(recipe, finished):
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*")}
    data = simulate(recipe, finished)
    assert len(data) == 5
    assert {p: p.stat().st_mtime_ns for p in finished.rglob("*")} == before


def test_the_data_set_is_plain_zarr_with_its_recipe_and_versions(recipe, finished):
    root = zarr.open_group(finished, mode="r", zarr_format=3)
    images = root["000000/images"]
    assert images.shape == (2, 20, 24)
    assert images.dtype == np.float16
    manifest = root.attrs["emprior"]
    assert manifest["recipe"] == load(recipe, Simulation).to_dict()
    assert {"emprior", "abtem", "ase", "numpy"} <= set(manifest["versions"])
    drawn = root["000000"].attrs["drawn"]
    assert {"lattice_pt", "gap", "lost", "radius", "facets"} <= set(drawn)


def test_groups_and_seeds_give_structures_of_their_own(finished, scheduler, tmp_path):
    data = Dataset.open(finished)
    assert [data.group(i) for i in range(5)] == ["lobato"] * 4 + ["kirkland"]
    assert [data.structure_id(i) for i in range(5)] == [0, 0, 1, 1, 2]
    assert len(data.fingerprints()) == 3
    path = tmp_path / "other.toml"
    path.write_text(TOML.format(seed=8))
    other = simulate(path, tmp_path / "other", scheduler=scheduler)
    assert shared_structures(data, other) == set()
    assert other.hash != data.hash
    assert shared_structures(data, data.subset([1])) == data.subset([1]).fingerprints()


def test_another_recipe_or_foreign_files_are_never_overwritten(recipe, finished, tmp_path):
    changed = Simulation.from_dict({**load(recipe, Simulation).to_dict(), "seed": 9})
    before = contents(finished)
    with pytest.raises(OutputError, match=r"another recipe .*seed"):
        simulate(changed, finished)
    assert contents(finished) == before
    (tmp_path / "thesis.tex").write_text("\\begin")
    (tmp_path / "1.partial-draft").mkdir()
    (tmp_path / ".zarr.backup12.json").write_text("mine")
    with pytest.raises(OutputError, match="no data set of emprior"):
        simulate(recipe, tmp_path)
    with pytest.raises(OutputError, match="no data set of emprior"):
        simulate(recipe, tmp_path / "thesis.tex")
    assert {p.name for p in tmp_path.iterdir()} == {
        "thesis.tex",
        "1.partial-draft",
        ".zarr.backup12.json",
    }


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://x"])
def test_a_scheduler_that_does_not_answer_is_said(recipe, address, tmp_path):
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "300ms"}),
        pytest.raises(OutputError, match="no dask scheduler answers"),
    ):
        simulate(recipe, tmp_path / "a", scheduler=address)


def test_no_workers_are_said(recipe, tmp_path):
    with pytest.raises(OptionError, match="0 workers"):
        simulate(recipe, tmp_path / "a", workers=0)


# recipes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"structre": {}}, ["structre", "structure"]),
        ({"optics": {"focal_spred": [1, 2]}}, ["optics.focal_spred", "focal_spread"]),
        ({"structure": {"gap": [2, 9]}}, ["structure.gap", "[2, 4] is nearest"]),
        ({"structure": {"gap": [3, 2]}}, ["structure.gap", "[2, 3] is nearest"]),
        ({"dtype": "int8"}, ["dtype", "'float16' or 'float32'"]),
        ({"seed": -1}, ["seed", "greater than or equal to 0"]),
        ({"group": []}, ["group", "at least 1"]),
        ({"group": [{"name": "a", "structures": 1}] * 2}, ["two parts [[group]] of one name"]),
        ({"view": {"shape": [600, 600], "pixel_size": 0.2}}, ["129.9 × 129.9 Å", "lower end"]),
    ],
)
def test_a_wrong_recipe_says_what_is_wrong_and_what_would_do(recipe, change, parts):
    values = {**load(recipe, Simulation).to_dict(), **change}
    with pytest.raises(RecipeError) as error:
        Simulation.from_dict(values, "my.toml")
    for part in ["my.toml", *parts]:
        assert part in str(error.value)


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_the_shipped_recipes_are_valid(name, request):
    recipe = load(request.config.rootpath / "recipes" / f"{name}.toml", Simulation)
    others = {"train", "validation", "test"} - {name}
    seeds = {
        load(request.config.rootpath / "recipes" / f"{other}.toml", Simulation).seed
        for other in others
    }
    assert recipe.seed not in seeds


def test_the_exam_spans_every_range_and_another_simulation(request):
    exam = load(request.config.rootpath / "recipes" / "test.toml", Simulation)
    train = load(request.config.rootpath / "recipes" / "train.toml", Simulation)
    assert exam.structure == train.structure
    assert exam.optics == train.optics
    assert sum(group.structures for group in exam.group) >= 40
    other = [g for g in exam.group if g.grid >= 768 and g.parametrization == "kirkland"]
    assert sum(group.structures for group in other) >= 10
    assert all(group.slice_thickness != train.group[0].slice_thickness for group in other)
    low, high = zip(*(regime.defocus for regime in exam.regime), strict=True)
    assert (min(low), max(high)) == (0, 200)
