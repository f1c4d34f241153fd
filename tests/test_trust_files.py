"""`emprior check` on files: what it says, writes and refuses."""

import json
import subprocess
import sys

import numpy as np
import pytest
from strategies import lattice
from test_cli import refused, run

from emprior.io import Signal, write

SHAPE = (48, 56)


@pytest.fixture
def files(tmp_path, rng):
    """A noisy TIFF and its truth, 0.1 Å a pixel."""
    truth = lattice(SHAPE, 0.1)
    noisy = rng.poisson(10 * truth).astype(np.float32)
    for name, pixels in (("noisy", noisy), ("truth", np.float32(10 * truth))):
        write(tmp_path / f"{name}.tif", Signal.from_array(pixels, 0.1))
    return tmp_path


def test_the_truth_is_supported_and_a_constant_is_not(files):
    # A rate at which the draws of this test are not among the one in twenty.
    options = ("--false-alarm", 0.001, "--prior", "none")
    said = run("check", files / "noisy.tif", files / "truth.tif", *options)
    assert said.startswith("supported: the data do not contradict truth.tif")
    np.save(files / "flat.npy", np.full(SHAPE, 4.5))
    said = run("check", files / "noisy.tif", files / "flat.npy", *options, code=1)
    assert "not supported: the data contradict flat.npy" in said
    assert "missing column at row" in said


def test_json_has_the_answer_at_its_top(files):
    np.save(files / "flat.npy", np.full(SHAPE, 4.5))
    out = files / "check.json"
    run("check", files / "noisy.tif", files / "flat.npy", "--json", out, code=1)
    told = json.loads(out.read_text())
    assert told["supported"] is False
    assert told["family"] in ("outside", "doubtful")  # which, so small a frame leaves to chance
    assert told["frames"][0]["prior"]["reasons"]
    assert told["regions"]
    for region in told["regions"]:
        assert set(region) == {"frame", "row", "column", "radius", "kind", "p"}
        assert region["frame"] == []
    assert told["pixel_size_in_angstrom"] == pytest.approx(0.1)
    assert told["frames"][0]["noise"]["type"] == "poisson"


def test_stacks_are_checked_frame_by_frame(files, rng):
    truth = 10 * lattice(SHAPE, 0.1)
    np.save(files / "noisy.npy", rng.poisson(truth, (2, *SHAPE)))
    np.save(files / "half.npy", np.stack([truth, np.full(SHAPE, truth.mean())]))
    out = files / "check.json"
    options = ("--noise", "poisson:1", "--false-alarm", 0.001, "--prior", "none", "--json", out)
    said = run("check", files / "noisy.npy", files / "half.npy", *options, code=1)
    assert "frame 1: waves of" in said
    assert "columns were not looked at" in said
    told = json.loads(out.read_text())
    assert [frame["supported"] for frame in told["frames"]] == [True, False]
    assert {tuple(region["frame"]) for region in told["regions"]} <= {(1,)}
    assert told["family"] is None
    assert "no prior was asked" in told["frames"][0]["prior"]["why"]


def test_files_that_do_not_belong_together_are_refused(files):
    noisy = files / "noisy.tif"
    np.save(files / "small.npy", np.zeros((20, 20)))
    np.save(files / "nan.npy", np.full(SHAPE, np.nan))
    (files / "text.tif").write_text("no image")
    write(files / "coarse.tif", Signal.from_array(np.ones(SHAPE, np.float32), 0.3))
    assert "equal shape" in refused(files, "check", noisy, files / "small.npy")
    assert "NaN" in refused(files, "check", noisy, files / "nan.npy")
    assert "cannot be read" in refused(files, "check", noisy, files / "text.tif")
    assert "cannot be read" in refused(files, "check", files / "absent.tif", noisy)
    assert "one scale" in refused(files, "check", noisy, files / "coarse.tif")
    said = refused(files, "check", noisy, noisy, "--json", files / "absent" / "check.json")
    assert "there is no directory" in said


@pytest.mark.parametrize(
    "option",
    [
        ("--noise", "gauss"),
        ("--false-alarm", "2"),
        ("--pixel-size", "-1"),
        ("--noise", "poisson:-1"),
        ("--prior", "no-such"),
    ],
)
def test_options_without_meaning_are_refused(files, option):
    refused(files, "check", files / "noisy.tif", files / "truth.tif", *option)


def test_checking_without_a_prior_loads_no_torch(files):
    arguments = ["check", str(files / "noisy.tif"), str(files / "truth.tif"), "--prior", "none"]
    code = (
        "import sys; from emprior.cli import app\n"
        f"try: app({arguments})\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
