"""Columns, optics and deviations in files: CSV, metadata, maps."""

from __future__ import annotations

import base64
import csv
import io
import re

import numpy as np
import pytest
from PIL import Image
from scenes import PIXEL_SIZE, toy_columns
from strategies import lattice
from test_cli import refused, run
from toys import toy_prior

from emprior.found import FoundColumns, FoundOptics
from emprior.io import Signal, read, write
from emprior.report.plots import columns_on


@pytest.fixture(scope="module")
def seer(tmp_path_factory):
    return toy_columns(tmp_path_factory.mktemp("prior") / "seer.safetensors", contrast=3.0)


@pytest.fixture
def stack(tmp_path, rng):
    """Two frames, in which the toy prior sees columns where it wants."""
    frames = np.stack([lattice((32, 30), PIXEL_SIZE, s) for s in (2.0, 2.4)])
    noisy = (frames + 0.1 * rng.standard_normal(frames.shape)).astype(np.float32)
    write(tmp_path / "in.hspy", Signal.from_array(noisy, PIXEL_SIZE))
    return tmp_path / "in.hspy"


def options(seer):
    return ("--prior", seer, "--noise", "gaussian:0.1", "--force")


def test_columns_are_listed_by_file_and_frame_and_are_in_the_metadata(stack, seer, tmp_path):
    out, listed, maps = tmp_path / "out.hspy", tmp_path / "found.csv", tmp_path / "sd.npy"
    said = run(
        "denoise", stack, "-o", out, *options(seer), "--columns", listed, "--deviation", maps
    )
    with listed.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert f"{len(lines)} columns → {listed}" in said
    assert {line["file"] for line in lines} == {"in.hspy"}
    assert {line["frame"] for line in lines} == {"0", "1"}
    frames = read(out).provenance["frames"]
    for number, frame in enumerate(frames):
        mine = [line for line in lines if line["frame"] == str(number)]
        columns = FoundColumns.from_table(frame["columns"], PIXEL_SIZE)
        assert len(columns) == len(mine) > 0
        for heading, values in columns.table().items():
            assert [line[heading] for line in mine] == list(map(str, values))
        assert FoundOptics.from_dict(frame["optics"]).thickness.value > 0
    deviation = read(maps)
    assert deviation.data.shape == (2, 32, 30)
    assert (deviation.data > 0).all()
    assert deviation.pixel_size == pytest.approx(PIXEL_SIZE)
    assert deviation.provenance["shows"] == "standard deviation"


def test_a_method_that_never_tells_columns_is_refused(stack, seer, tmp_path):
    for what in (("--columns", tmp_path / "c.csv"), ("--deviation", tmp_path / "d.npy")):
        args = ("denoise", stack, "-o", tmp_path / "o.hspy")
        assert "the method 'blur'" in refused(tmp_path, *args, "--method", "blur", *what)
        assert "first sight" in refused(tmp_path, *args, *options(seer), "--fast", *what)


def test_an_answer_without_columns_leaves_no_file_but_says_so(stack, tmp_path):
    gan = toy_prior(tmp_path / "toy.safetensors")
    listed, maps = tmp_path / "c.csv", tmp_path / "d.hspy"
    args = ("denoise", stack, "-o", tmp_path / "o.hspy", *options(gan))
    said = run(*args, "--columns", listed, "--deviation", maps)
    for path in (listed, maps):
        assert f"warning: {path} is not written: the answer is that of prior, whose" in said
        assert not path.exists()
    said = run(*args[:-1], "--overwrite", "--columns", listed)  # not forced
    assert "the answer is that of pooled-wavelet, which knows no columns" in said
    assert "columns" not in read(tmp_path / "o.hspy").provenance["frames"][0]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("c.txt", ["'.txt'", "c.csv"]),
        ("no/c.csv", ["no directory", "mkdir -p"]),
        ("there.csv", ["there.csv exists", "--overwrite"]),
    ],
)
def test_columns_are_not_written_anywhere(stack, seer, tmp_path, name, words):
    (tmp_path / "there.csv").write_text("mine")
    args = ("denoise", stack, "-o", tmp_path / "o.hspy", *options(seer))
    said = refused(tmp_path, *args, "--columns", tmp_path / name)
    for word in words:
        assert word in said


def test_a_map_does_not_take_the_place_of_the_result(stack, seer, tmp_path):
    args = ("denoise", stack, "-o", tmp_path / "o.hspy", *options(seer), "--overwrite")
    assert "another result" in refused(tmp_path, *args, "--deviation", tmp_path / "O.hspy")
    assert "is the input" in refused(tmp_path, *args, "--deviation", stack)


# ------------------------------------------------------------------------------------------ reports


def pixels_of(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), float)


def test_a_denoised_file_is_reported_with_its_columns_drawn(stack, seer, tmp_path):
    out = tmp_path / "out.npy"
    run("denoise", stack, "-o", out, *options(seer))
    said = run("report", out)
    assert f"report in {out}.html" in said
    text = (tmp_path / "out.npy.html").read_text(encoding="utf-8")
    pictures = [pixels_of(base64.b64decode(data)) for data in re.findall(r'base64,([^"]+)', text)]
    assert len(pictures) == 2
    for picture in pictures:  # grey frames, coloured circles
        assert np.ptp(picture, axis=-1).max() > 50
    for frame in read(out).provenance["frames"]:
        assert str(FoundOptics.from_dict(frame["optics"])) in text
        assert f"{len(frame['columns']['element'])} columns" in text


def test_a_circle_stands_at_each_column_faint_where_it_is_improbable():
    image = np.full((40, 60), 0.45) + 1e-3 * np.eye(40, 60)
    rest = {name: np.ones(2) for name in ("atoms", "rows_sd", "columns_sd", "atoms_sd")}
    found = FoundColumns(
        rows=np.array([10.0, 30.0]),
        columns=np.array([15.0, 45.0]),
        numbers=np.array([78, 78]),
        probability=np.array([1.0, 0.2]),
        pixel_size=0.1,
        **rest,
    )
    picture = pixels_of(columns_on(image, found))
    colour = np.ptp(picture, axis=-1)[:, : int(0.85 * picture.shape[1])]  # without the legend
    H = len(colour)
    strong, faint = colour[: H // 2], colour[H // 2 :]
    assert strong.max() > 2 * faint.max() > 0
    (r1, c1), (r2, c2) = (np.argwhere(part > 0.5 * part.max()).mean(0) for part in (strong, faint))
    # Their distance is that of the columns, in one scale along both axes.
    assert (r2 + H // 2 - r1) / (c2 - c1) == pytest.approx(20 / 30, rel=0.03)


def test_a_file_without_columns_has_no_report(stack, tmp_path):
    run("denoise", stack, "-o", tmp_path / "o.hspy", "--method", "blur")
    assert "says of no atomic columns" in refused(tmp_path, "report", tmp_path / "o.hspy")
