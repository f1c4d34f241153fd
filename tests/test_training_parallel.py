"""A training by two processes is that by one; a process that fails ends the others."""

import json
import multiprocessing
import os
import runpy
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_dataset import write_dataset

from emprior.errors import OptionError, RecipeError
from emprior.training import TrainingRecipe, train
from emprior.training.adversarial import Adversarial
from emprior.training.features import Features
from emprior.training.parallel import Team

pytestmark = pytest.mark.usefixtures("single_thread")

KINDS = {
    "adversarial": """
[generator]
size = 16
nz = 4
ngf = 8
[discriminator]
ndf = 8
[stop]
validate_every = 4
frames = 1
""",
    "regression": """
[network]
type = "dncnn"
depth = 3
width = 8
norm = true
""",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Eight structures of noise, blurred a little."""
    rng = np.random.default_rng(3)
    fine = 0.45 + 0.2 * rng.standard_normal((8, 1, 24, 2, 32, 2))
    images = fine.mean((3, 5)).astype(np.float32)
    return write_dataset(tmp_path_factory.mktemp("noise") / "set", list(images), 0.2)


def _recipe(kind, data, batch=8):
    return f"""
kind = "{kind}"
[data]
path = "{data}"
{"crop = 16" if kind == "regression" else ""}
{KINDS[kind]}
[optimisation]
batch = {batch}
[budget]
images = {8 * batch}
[output]
log = 1
checkpoint = 4
samples = 4
"""


def _process(rank, port, place, arguments):
    """Be one of two processes that torchrun starts."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.chdir(place)
    torch.set_num_threads(1)
    with Path(f"said-{rank}").open("w") as sys.stderr:
        sys.argv[1:] = arguments
        runpy.run_module("emprior", run_name="__main__")


def _two_processes(*arguments, places):
    """Run the command line in two processes; return their exit codes and what they said."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["emprior.cli", "emprior.training", "zarr"])  # takes long
    processes = [
        context.Process(target=_process, args=(rank, port, place, [*map(str, arguments)]))
        for rank, place in enumerate(places)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    said = [(place / f"said-{rank}").read_text() for rank, place in enumerate(places)]
    return [process.exitcode for process in processes], said


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_train_what_one_trains(kind, data, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(_recipe(kind, data))
    codes, said = _two_processes("train", recipe, "-o", tmp_path / "two", places=[tmp_path] * 2)
    assert codes == [0, 0], said
    assert "prior in" in said[0]
    assert said[1] == ""  # one speaks for both
    train(recipe, tmp_path / "one")
    logs = [
        [json.loads(line) for line in (tmp_path / run / "log.jsonl").read_text().splitlines()]
        for run in ("one", "two")
    ]
    assert len(logs[0]) == 8
    for one, two in zip(*logs, strict=True):
        assert one.pop("seconds") != two.pop("seconds")
        assert one == pytest.approx(two, rel=1e-3)
    names = {path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*")}
    assert names == {path.relative_to(tmp_path / "two") for path in (tmp_path / "two").rglob("*")}
    for name in ("prior.safetensors", "checkpoints/000000008.safetensors"):
        one, two = (load_file(tmp_path / run / name) for run in ("one", "two"))
        assert one.keys() == two.keys()
        for key, value in one.items():
            torch.testing.assert_close(two[key], value, rtol=1e-3, atol=1e-5, msg=key)


def test_a_process_that_fails_ends_all_and_says_why(data, tmp_path):
    """The second does not find the data where the first one does."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "set").symlink_to(data)
    (tmp_path / "there").mkdir()
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(_recipe("regression", "set"))
    places = [tmp_path / "here", tmp_path / "there"]
    codes, said = _two_processes("train", recipe, "-o", tmp_path / "run", places=places)
    assert all(codes)
    assert "no data set in set" in said[1]
    assert "another process of this training ended" in said[0]
    assert "--resume" in said[0]


def test_what_all_would_say_is_said_once(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(_recipe("regression", tmp_path / "nowhere"))
    codes, said = _two_processes("train", recipe, "-o", tmp_path / "run", places=[tmp_path] * 2)
    assert all(codes)
    assert "no data set in" in said[0]
    assert said[1] == ""


def test_batches_that_cannot_be_shared_are_refused(data, tmp_path):
    values = {
        "kind": "features",
        "data": {"path": str(data)},
        "network": {"size": 16},
        "budget": {"images": 8},
    }
    recipe = TrainingRecipe.from_dict(values)
    with pytest.raises(RecipeError, match="kind = 'features' for 2 processes"):
        Team(0, 2).join(Features, recipe)
    values |= {"kind": "adversarial", "optimisation": {"batch": 9}, "generator": {"size": 16}}
    del values["network"]
    recipe = TrainingRecipe.from_dict(values)
    with pytest.raises(RecipeError, match="batch = 9 for 2 processes"):
        Team(0, 2).join(Adversarial, recipe)


def test_processes_share_processors_and_not_a_gpu():
    assert Team(1, 2).device("auto").type == "cpu"
    with pytest.raises(OptionError, match="'cuda' for 2 processes"):
        Team(1, 2).device("cuda")
