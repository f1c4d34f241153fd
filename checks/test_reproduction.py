"""Every experiment of the paper runs, each training helps, and the report needs records alone.

Minutes rather than seconds, so it is no part of `make test`: `make smoke` runs it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from emprior import records
from emprior.report import render
from emprior.reproduce import EXPERIMENTS

DATA = os.environ.get("EMPRIOR_TEST_DATA")
WANTS_FILES = {"natural", "optimiser-tests", "optimisers", "figure-14"}


def _files():
    """Return options that name natural images and low-dose frames, where they are."""
    if not DATA:
        return []
    images = Path(DATA) / "cifar10" / "cifar10-jpeg.zip"
    video = Path(DATA) / "hrtem_movie" / "nanoparticle_5frames_uint8.npy"
    return ["--images", str(images), "--video", str(video)]


def _reproduce(directory):
    command = [sys.executable, "-m", "emprior", "reproduce", "all", "--scale", "smoke"]
    return subprocess.run(
        [*command, "-o", str(directory), *_files()], text=True, capture_output=True, check=False
    )


@pytest.fixture(scope="session")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("reproduction")
    done = _reproduce(directory)
    print(done.stderr)
    assert done.returncode == (0 if DATA else 2), done.stderr
    return directory


def _read(directory, name):
    return records.read(directory / name / records.RECORDS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_shows_all_that_it_announces(directory, name):
    if name in WANTS_FILES and not DATA:
        pytest.skip("EMPRIOR_TEST_DATA is not set to the folder of natural images and frames")
    found = _read(directory, name)
    description = json.loads((directory / name / "experiment.json").read_text())
    assert description["title"] == EXPERIMENTS[name].title
    kinds = {record["what"] for record in found}
    optional = {"counts"}  # the paper's own counts are not tried at this scale
    assert {view["what"] for view in description["views"]} <= kinds | optional
    assert all({"seed", "scale", "seconds", "images_seen"} <= record.keys() for record in found)
    figures = [view for view in description["views"] if view["type"] not in ("table", "cross")]
    assert len(list((directory / name).glob("figure-*.png"))) == len(figures)
    assert (directory / name / "table.md").stat().st_size > 0


def test_every_training_beats_its_untrained_twin(directory):
    compared = [
        (name, record)
        for name in EXPERIMENTS
        if DATA or name not in WANTS_FILES  # those have no records
        for record in _read(directory, name)
        if record["what"] == "trained"
    ]
    gans = {"first-gan", "redesign", "ttur", "retraining", "latent", "outlook"}
    wanted = {*gans, "diversity", "supervised", *(["natural"] if DATA else [])}
    assert {name for name, _ in compared} == wanted
    worse = [
        f"{name}: {record['network']}, {record['measure']} {record['trained']:.3g}, "
        f"untrained {record['untrained']:.3g}"
        for name, record in compared
        if record["better"] != "yes"
    ]
    assert not worse, worse


def test_a_second_run_measures_nothing(directory):
    before = {path: path.read_bytes() for path in directory.rglob("*.jsonl")}
    _reproduce(directory)
    assert {path: path.read_bytes() for path in directory.rglob("*.jsonl")} == before


def test_the_report_is_made_from_records_alone(directory, tmp_path):
    for name in EXPERIMENTS:
        shutil.copytree(directory / name, tmp_path / name)
    page = render(tmp_path).read_text(encoding="utf-8")
    assert all(experiment.title in page for experiment in EXPERIMENTS.values())
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(source.startswith(("data:image/png;base64,", "#part-")) for source in sources)
    assert render(tmp_path).read_text(encoding="utf-8") == page


def test_every_number_beside_the_paper_has_its_record(directory):
    page = render(directory).read_text(encoding="utf-8")
    text = (directory / "comparison.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not re.search(r"nz \d", line)]  # other nz here
    missing = [line for line in lines if "not measured yet" in line]
    assert len(lines) > len(missing) + 20
    if not DATA:
        missing = [line for line in missing if not any(name in line for name in WANTS_FILES)]
    assert not missing, "\n".join(missing)
    assert "The paper, figure by figure" in page
