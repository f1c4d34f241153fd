"""The command line as users meet it: what it does, says, refuses, and leaves behind."""

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scenes import toy_columns
from strategies import lattice
from toys import PIXEL_SIZE, toy_frame, toy_prior
from typer.testing import CliRunner

import emprior
from emprior import batch
from emprior.cli import app
from emprior.denoisers import DENOISERS
from emprior.io import Signal, read, write
from emprior.noise import Poisson

BLUR = ("--method", "blur")  # the fastest


def run(*args, code=0):
    """Run a command in this process; return what it said on standard error and output."""
    result = CliRunner().invoke(app, [str(arg) for arg in args], catch_exceptions=False)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.output


def listing(folder):
    """Return every file below a folder with its bytes."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(folder, *args):
    """Run a command that must end in one error of four parts and leave the folder as it was."""
    before, places = listing(folder), sorted(folder.rglob("*"))
    said = run(*args, code=2)
    assert listing(folder) == before
    assert sorted(folder.rglob("*")) == places
    assert re.search(r"^error: .+\n(.*\n)*?  expected: .+\n  why: .+\n  do: .+$", said, re.M), said
    return said


@pytest.fixture
def image(tmp_path, rng):
    """A TIFF of counts with a pixel size of 0.1 Å."""
    counts = rng.poisson(20 * lattice((48, 40), 0.1)).astype(np.float32)
    path = tmp_path / "in.tif"
    write(path, Signal.from_array(counts, 0.1))
    (tmp_path / "in.tif.json").unlink()  # as a microscope leaves it
    return path


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return toy_prior(tmp_path_factory.mktemp("prior") / "toy.safetensors")


# ------------------------------------------------------------------------------------ the main job


def test_a_micrograph_becomes_a_denoised_one(image, tmp_path):
    said = run("denoise", image, "-o", tmp_path / "out.hspy", "--method", "wavelet")
    line = rf"in\.tif → {tmp_path}/out\.hspy \(wavelet; Poisson, gain 1; \d+\.\d s\)\n"
    assert re.fullmatch(line, said)
    before, after = read(image), read(tmp_path / "out.hspy")
    expected = emprior.denoise(before.data, method="wavelet")
    np.testing.assert_array_equal(after.data, expected.image)
    assert after.pixel_size == pytest.approx(0.1)
    assert after.provenance["frames"][0]["noise"] == Poisson(1.0).to_dict()


def test_the_prior_is_the_default_method(tmp_path, prior, rng):
    noisy = toy_frame() + 0.1 * rng.standard_normal((64, 64))
    np.save(tmp_path / "in.npy", noisy)
    options = ("--prior", prior, "--pixel-size", PIXEL_SIZE, "--noise", "gaussian:0.1")
    said = run("denoise", tmp_path / "in.npy", "-o", tmp_path / "out.hspy", *options)
    assert "(prior; Gaussian, sigma 0.1; " in said
    frame = read(tmp_path / "out.hspy").provenance["frames"][0]
    assert (frame["method"], frame["prior"]) == ("prior", str(prior))


def test_what_the_prior_does_not_know_the_wavelet_answers_unless_forced(tmp_path, prior, rng):
    noisy = lattice((64, 64), PIXEL_SIZE) + 0.1 * rng.standard_normal((64, 64))
    np.save(tmp_path / "in.npy", noisy)
    options = ("--prior", prior, "--pixel-size", PIXEL_SIZE, "--noise", "gaussian:0.1")
    said = run("denoise", tmp_path / "in.npy", "-o", tmp_path / "out.npy", *options)
    assert f"warning: {tmp_path / 'in.npy'}: the prior does not know this frame" in said
    assert "(pooled-wavelet; " in said
    found = json.loads((tmp_path / "out.npy.json").read_text())["metadata"]["emprior"]
    assert found["frames"][0]["method"] == "pooled-wavelet"
    assert "does not know" in found["frames"][0]["doubt"]
    forced = run("denoise", tmp_path / "in.npy", "-o", tmp_path / "2.npy", *options, "--force")
    assert "may be made up" in forced
    assert "(prior; " in forced
    assert (np.load(tmp_path / "2.npy") != np.load(tmp_path / "out.npy")).any()


def test_fast_is_the_first_sight_and_says_that_nothing_was_checked(tmp_path, rng):
    seer = toy_columns(tmp_path / "seer.safetensors", contrast=3.0)
    np.save(
        tmp_path / "in.npy", lattice((32, 30), PIXEL_SIZE) + 0.1 * rng.standard_normal((32, 30))
    )
    options = ("--prior", seer, "--pixel-size", PIXEL_SIZE, "--noise", "gaussian:0.1", "--fast")
    said = run("denoise", tmp_path / "in.npy", "-o", tmp_path / "out.hspy", *options)
    assert "(prior; " in said
    provenance = read(tmp_path / "out.hspy").provenance
    assert provenance["settings"]["depth"] == "encoder"
    assert "not compared with the data" in provenance["frames"][0]["unchecked"]
    assert provenance["frames"][0]["passes"] == 0


def test_fast_needs_a_prior_that_sees(image, tmp_path, prior):
    args = ("denoise", image, "-o", tmp_path / "o.hspy", "--prior", prior, "--fast")
    assert "sees nothing" in refused(tmp_path, *args)


@pytest.mark.parametrize("network", ["generator", "encoder"])
def test_same_seed_and_file_same_bytes_in_another_process(tmp_path, prior, network, rng):
    np.save(tmp_path / "in.npy", toy_frame()[:40, :36] + 0.1 * rng.standard_normal((40, 36)))
    if network == "encoder":
        prior = toy_columns(tmp_path / "encoder.safetensors", contrast=3.0)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        command = ["denoise", "in.npy", "-o", f"{name}/out.hspy", "--prior", prior, "--force"]
        options = ["--pixel-size", PIXEL_SIZE, "--noise", "gaussian:0.1", "--seed", 5]
        subprocess.run(
            [sys.executable, "-m", "emprior", *map(str, command + options)],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
    first, second = (listing(tmp_path / name).values() for name in ("first", "second"))
    assert list(first) == list(second)
    assert read(tmp_path / "first" / "out.hspy").provenance["frames"][0]["method"] == "prior"


@pytest.mark.parametrize("suffix", ["hspy", "tif", "mrc", "emd", "npy", "png"])
def test_no_format_holds_the_time(image, tmp_path, suffix):
    """Results that agree are files that agree: bytes of the date or the clock would differ."""
    run("denoise", image, "-o", tmp_path / f"out.{suffix}", *BLUR)
    written = b"".join(path.read_bytes() for path in tmp_path.glob("out.*"))
    today = time.localtime()
    for date in ("%Y-%m-%d", "%Y:%m:%d", "%Y%m%d"):
        assert time.strftime(date, today).encode() not in written
    assert b"seconds" not in written


def test_grey_values_that_are_32_times_the_count_are_understood(tmp_path, rng):
    counts = rng.poisson(1.6, (128, 160)).clip(max=7)
    np.save(tmp_path / "in.npy", (32 * counts).astype(np.uint8))
    run("denoise", tmp_path / "in.npy", "-o", tmp_path / "out.hspy", "--method", "blur")
    noise = read(tmp_path / "out.hspy").provenance["frames"][0]["noise"]
    assert (noise["type"], noise["gain"]) == ("poisson", 32)


def test_several_inputs_and_lists_go_into_a_directory(image, tmp_path, rng):
    folder = tmp_path / "out"
    folder.mkdir()
    write(tmp_path / "b.mrc", Signal.from_array(rng.poisson(9.0, (2, 24, 20)), 0.1))
    write(tmp_path / "c.png", Signal.from_array(rng.standard_normal((24, 20)), 0.1))
    (tmp_path / "list.txt").write_text("b.mrc\nc.png\n")
    said = run("denoise", image, f"@{tmp_path / 'list.txt'}", "-o", folder, "--method", "blur")
    assert {path.name for path in folder.iterdir()} == {
        *("in.tif", "in.tif.json", "b.mrc", "b.mrc.json", "c.hspy")
    }
    assert "b.mrc (2 of 3): 50%" in said
    assert "(2 frames; blur; Poisson, gain 1; " in said


@pytest.mark.parametrize(
    ("wanted", "title"), [("1", "second"), ("second", "second"), (None, "first")]
)
def test_a_signal_is_chosen_by_number_or_title(tmp_path, monkeypatch, rng, wanted, title):
    from emprior.io import reading

    def two(path, lazy):
        axes = [
            {"name": n, "size": 16, "scale": 0.1, "units": "Å", "navigate": False} for n in "yx"
        ]
        return [
            {
                "data": rng.standard_normal((16, 16)),
                "axes": axes,
                "metadata": {"General": {"title": name}},
            }
            for name in ("first", "second")
        ]

    monkeypatch.setattr(reading, "_load", two)
    (tmp_path / "in.dm4").write_bytes(b"something")
    args = ("denoise", tmp_path / "in.dm4", "-o", tmp_path / "o.hspy", "--method", "blur")
    said = run(*args, *(("--signal", wanted) if wanted else ()))
    assert ("holds 2 images" in said) == (wanted is None)
    monkeypatch.undo()
    assert read(tmp_path / "o.hspy").title == title


def test_quiet_says_nothing_but_warnings(image, tmp_path):
    args = ("denoise", image, "-o", tmp_path / "out.npy", "--method", "blur", "--quiet")
    assert run(*args) == ""
    np.save(tmp_path / "bare.npy", np.load(tmp_path / "out.npy"))
    said = run("denoise", tmp_path / "bare.npy", "-o", tmp_path / "o.npy", *args[4:])
    assert said.startswith("warning: bare.npy does not say its pixel size")
    assert said.count("\n") == 1


def test_existing_results_are_replaced_only_if_asked(image, tmp_path):
    args = ("denoise", image, "-o", tmp_path / "out.npy", "--method")
    run(*args, "blur")
    before = (tmp_path / "out.npy").read_bytes()
    assert "--overwrite" in refused(tmp_path, *args, "identity")
    run(*args, "identity", "--overwrite")
    assert (tmp_path / "out.npy").read_bytes() != before


def leaves(tree):
    return sum(leaves(value) if hasattr(value, "values") else 1 for value in tree.values())


@pytest.mark.filterwarnings("ignore::emprior.errors.EmpriorWarning")
def test_real_files_keep_what_they_say(test_data, tmp_path):
    """The table of real files in docs/files.md."""
    inputs = [*sorted((test_data / "formats").iterdir()), *(test_data / "hrtem_movie").iterdir()]
    assert len(inputs) == 10
    said = run("denoise", *inputs, "-o", tmp_path, "--method", "identity", "--no-faults")
    assert "error" not in said
    for source in inputs:
        before = read(source)
        same = tmp_path / source.name
        path = same if same.exists() else same.with_suffix(".hspy")
        after = read(path)
        assert path.suffix in (source.suffix, ".hspy")
        np.testing.assert_array_equal(after.data, np.asarray(before.data).astype(np.float32))
        assert after.axes[-2:] == before.axes[-2:]
        assert after.pixel_size == before.pixel_size
        assert (f"warning: {source.name} does not say its pixel" in said) == (
            before.pixel_size is None
        )
        assert after.title == before.title
        assert leaves(after.metadata) > leaves(before.metadata)
        assert leaves(after.original_metadata) == leaves(before.original_metadata)
        assert after.provenance["settings"]["method"] == "identity"


# ---------------------------------------------------------------------------------------- warnings


def grey_rgb(rng):
    return np.repeat(rng.poisson(90.0, (32, 40, 1)).astype(np.uint8), 3, axis=2)


def burnt_in(rng):
    counts = rng.poisson(90.0, (64, 80)).astype(np.uint8)
    counts[40:50, 10:60] = 255
    return counts


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda rng: rng.poisson(9.0, (24, 32)), ["does not say its pixel size", "--pixel-size"]),
        (grey_rgb, ["colours that are grey", "the first channel is taken"]),
        (burnt_in, ["500 pixels in patches of one exact value", "crop"]),
    ],
)
def test_warnings_say_what_is_assumed(tmp_path, rng, make, words):
    np.save(tmp_path / "in.npy", make(rng))
    said = run("denoise", tmp_path / "in.npy", "-o", tmp_path / "o.npy", "--method", "blur")
    for word in ("warning: in.npy", *words):
        assert word in said
    assert (tmp_path / "o.npy").exists()


# --------------------------------------------------------------------------------------- bad input


def counts(rng=None):
    return np.random.default_rng(1).poisson(9.0, (24, 32)).astype(np.float32)


def with_value(value):
    data = counts()
    data[3, 4] = value
    return data


BAD_ARRAYS = {
    "one axis": (np.ones(40), ["(40,)", "(H, W)"]),
    "no axis": (np.float32(3.0), ["shape ()", "(H, W)"]),
    "no rows": (np.ones((0, 40)), ["(0, 40)", "no pixel"]),
    "no frames": (np.ones((0, 16, 16)), ["(0, 16, 16)", "no pixel"]),
    "few pixels": (np.eye(4), ["4 × 4", "8 × 8"]),
    "complex": (counts() * 1j, ["complex64", "abs(wave)**2"]),
    "text": (np.array([["a", "b"]]), ["<U1", "real numbers"]),
    "records": (np.zeros((16, 16), [("x", "f4"), ("y", "f4")]), ["in.npy"]),
    "NaN": (with_value(np.nan), ["1 of 768 pixels are NaN", "neighbours"]),
    "infinite": (with_value(np.inf), ["1 of 768 pixels are NaN or infinite"]),
    "huge": (with_value(1e38), ["1e+38", "fill values"]),
    "constant": (np.full((16, 16), 7.0), ["constant", "every pixel is 7"]),
    "coloured": (
        np.random.default_rng(2).integers(0, 255, (32, 32, 3), np.uint8),
        ["coloured", "grey levels"],
    ),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_pixels_that_cannot_be_denoised(tmp_path, case):
    array, words = BAD_ARRAYS[case]
    np.save(tmp_path / "in.npy", array)
    said = refused(tmp_path, "denoise", tmp_path / "in.npy", "-o", tmp_path / "o.hspy", *BLUR)
    for word in ("in.npy", *words):
        assert word in said


def test_negative_values_are_no_counts(tmp_path):
    np.save(tmp_path / "in.npy", with_value(-5))
    args = ("denoise", tmp_path / "in.npy", "-o", tmp_path / "o.hspy", *BLUR, "--noise")
    said = refused(tmp_path, *args, "poisson:1")
    assert "1 of 768 pixels below 0, down to -5" in said


def pickled(path):
    np.save(path, np.array([[{}, None]], object), allow_pickle=True)


BAD_FILES = {
    "missing": ("no.dm3", lambda path: None, ["no.dm3", "No such file"]),
    "missing list": ("@no.txt", lambda path: None, ["no.txt", "No such file"]),
    "directory": ("folder", Path.mkdir, ["folder", "it is a directory", "*.dm4"]),
    "empty": ("in.dm3", Path.touch, ["in.dm3", "it is empty"]),
    "no suffix": ("in", lambda path: path.write_text("x"), ["suffix ''"]),
    "unknown format": ("in.xyz", lambda path: path.write_text("x"), ["'.xyz'", ".dm3, .dm4"]),
    "not what it says": ("in.dm4", lambda path: path.write_text("hello"), ["in.dm4", "reader"]),
    "objects": ("in.npy", pickled, ["in.npy", "reader says"]),
    "truncated": (
        "in.mrc",
        lambda path: path.write_bytes(b"\0" * 300),
        ["in.mrc", "complete file"],
    ),
    "no text": ("@list.bin", lambda path: None, ["list.bin"]),
    "no name for a system": ("null\0.npy", lambda path: None, ["null"]),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_files_that_cannot_be_read(tmp_path, case):
    name, make, words = BAD_FILES[case]
    bare = name.removeprefix("@")
    make(tmp_path / bare)
    given = f"@{tmp_path / bare}" if name.startswith("@") else tmp_path / name
    said = refused(tmp_path, "denoise", given, "-o", tmp_path / "o.hspy", *BLUR)
    for word in words:
        assert word in said


BAD_OUTPUTS = {
    "read-only format": (["in.tif"], "o.dm3", ["'.dm3'", "o.hspy"]),
    "unknown format": (["in.tif"], "o.jpeg", ["'.jpeg'"]),
    "no suffix": (["in.tif"], "o", ["no suffix", "o.hspy"]),
    "no directory": (["in.tif"], "no/o.hspy", ["no directory", "mkdir -p"]),
    "a file as directory": (["in.tif"], "other.npy/o.hspy", ["other.npy"]),
    "the input": (["in.tif"], "in.tif", ["is the input", "never overwritten"]),
    "the input in a roundabout way": (["in.tif"], "folder/../in.tif", ["is the input"]),
    "the input's own directory": (["in.tif"], ".", ["is the input"]),
    "a link to the input": (["in.tif"], "link.tif", ["is the input"]),
    "exists": (["in.tif"], "other.npy", ["other.npy exists", "--overwrite"]),
    "its sidecar exists": (["in.tif"], "lone.npy", ["lone.npy.json exists"]),
    "two into a file": (["in.tif", "other.npy"], "o.hspy", ["2 inputs", "mkdir -p"]),
    "two of one name": (["in.tif", "folder/in.tif"], "out", ["would both become"]),
    "the same twice": (["in.tif", "in.tif"], "out", ["would both become"]),
    "too long a name": (["in.tif"], "x" * 250 + ".npy", ["name too long"]),
    "two into too long a name": (["in.tif", "other.npy"], "x" * 300, ["name too long"]),
    "no name for a system": (["in.tif"], "null\0.npy", ["null"]),
}


@pytest.mark.parametrize("case", BAD_OUTPUTS)
def test_outputs_that_cannot_be_written(image, tmp_path, case):
    sources, target, words = BAD_OUTPUTS[case]
    np.save(tmp_path / "other.npy", counts())
    (tmp_path / "lone.npy.json").write_text("{}")
    (tmp_path / "link.tif").symlink_to(image)
    for name in ("folder", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "folder" / "in.tif").write_bytes(image.read_bytes())
    inputs = [tmp_path / source for source in sources]
    overwrite = ["--overwrite"] if "input" in case else []
    said = refused(tmp_path, "denoise", *inputs, "-o", tmp_path / target, *BLUR, *overwrite)
    for word in words:
        assert word in said


def test_a_closed_directory_is_found_before_the_work(image, tmp_path, monkeypatch):
    # By a stand-in, because nothing is closed to root, who runs many a test.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path / "closed")
    monkeypatch.setattr(batch.file, "read", lambda *args, **options: pytest.fail("work was begun"))
    (tmp_path / "closed").mkdir()
    said = refused(tmp_path, "denoise", image, "-o", tmp_path / "closed" / "o.npy", *BLUR)
    assert "closed to you" in said


def test_a_full_disk_leaves_nothing_behind(image, tmp_path, monkeypatch):
    def full(path, *what):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(emprior.io.writing._WRITERS, ".npy", full)
    said = refused(tmp_path, "denoise", image, "-o", tmp_path / "o.npy", *BLUR)
    assert "No space left on device" in said


BAD_OPTIONS = {
    "unknown method": (["--method", "wavlet"], ["'wavlet'", "try 'wavelet'"]),
    "empty method": (["--method", ""], ["''"]),
    "unknown noise": (["--noise", "poison"], ["'poison'", "gaussian:SIGMA"]),
    "no sigma": (["--noise", "gaussian"], ["'gaussian'", "one standard deviation"]),
    "negative sigma": (["--noise", "gaussian:-1"], ["sigma = -1"]),
    "sigma is no number": (["--noise", "gaussian:a"], ["'a' is not a number"]),
    "gain of zero": (["--noise", "poisson:0"], ["gain = 0"]),
    "gain of NaN": (["--noise", "poisson:nan"], ["'nan' is not finite"]),
    "clipped at nothing": (["--noise", "poisson:1,clip=0"], ["clipping at 0"]),
    "unknown part": (["--noise", "poisson:1,crop=2"], ["'crop=2'"]),
    "pixel size is no number": (["--pixel-size", "small"], ["'small'", "--pixel-size"]),
    "pixel size of zero": (["--pixel-size", "0"], ["0 Å", "positive"]),
    "negative pixel size": (["--pixel-size", "-0.1"], ["-0.1 Å"]),
    "pixel size of NaN": (["--pixel-size", "nan"], ["nan Å"]),
    "tiny pixel size": (["--pixel-size", "1e-300"], ["1e-300 Å", "0.0001"]),
    "huge pixel size": (["--pixel-size", "1e9"], ["1e+09 Å", "1 nm is 10 Å"]),
    "negative seed": (["--seed", "-1"], ["seed of -1", "at least 0"]),
    "broken seed": (["--seed", "1.5"], ["'1.5'", "--seed"]),
    "unknown signal": (["--signal", "7"], ["'7'", "0 'untitled'"]),
    "unused prior": (["--prior", "gan"], ["'gan'", "'blur'"]),
    "nothing to be fast at": (["--fast"], ["'encoder'", "'blur'"]),
    "unknown option": (["--forse"], ["--forse", "--force"]),
    "value missing": (["--seed"], ["--seed"]),
    "unknown prior": (["--method", "prior", "--prior", "no.safetensors"], ["'no.safetensors'"]),
    "prior of too long a name": (["--method", "prior", "--prior", "x" * 300], ["no prior 'xxx"]),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_options_without_a_meaning(image, tmp_path, case):
    options, words = BAD_OPTIONS[case]
    said = refused(tmp_path, "denoise", image, "-o", tmp_path / "o.hspy", *BLUR, *options)
    for word in words:
        assert word in said


def test_options_are_checked_before_files_are_read(tmp_path):
    args = ("denoise", tmp_path / "no.dm3", "-o", tmp_path / "o.hspy", "--method", "magic")
    assert "'magic'" in refused(tmp_path, *args)


def test_an_unknown_device_is_refused(image, tmp_path, prior):
    args = ("denoise", image, "-o", tmp_path / "o.hspy", "--prior", prior, "--device", "warp")
    assert "'warp'" in refused(tmp_path, *args)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["denois"], ["'denois'", "denoise"]),
        (["denoise"], ["INPUT…", "emprior denoise --help"]),
        (["denoise", "in.tif"], ["--out"]),
        (["--forse"], ["--forse", "emprior --help"]),
        (["train", "no.toml", "-o", "run"], ["no.toml", "No such file"]),
        (["train", "~nobody/no.toml", "-o", "~nobody/run"], ["~nobody/no.toml", "No such file"]),
        (["simulate", "no.toml", "--preview", "-o", "."], ["no.toml", "No such file"]),
    ],
)
def test_commands_without_a_meaning(tmp_path, monkeypatch, args, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMPRIOR_RUNS", str(tmp_path / "runs"))
    said = refused(tmp_path, *args)
    for word in words:
        assert word in said


# ------------------------------------------------------------------------------------ weight files


class _Code:
    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


def truncated(path, whole):
    path.write_bytes(whole.read_bytes()[:-100])


def cut_in_the_header(path, whole):
    path.write_bytes(whole.read_bytes()[:40])


def foreign(path, whole):
    save_file({"weight": torch.zeros(3)}, path)


def pickled_weights(path, whole):
    path.write_bytes(pickle.dumps(_Code()))


def torch_weights(path, whole):
    torch.save({"weight": torch.zeros(3)}, path)


def zipped(path, whole):
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(whole, "prior.safetensors")


def empty(path, whole):
    path.touch()


def picture(path, whole):
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (truncated, "truncated"),
        (cut_in_the_header, "truncated"),
        (foreign, "another program"),
        (pickled_weights, "can carry code"),
        (torch_weights, "can carry code"),
        (zipped, "can carry code"),
        (empty, "not a safetensors file"),
        (picture, "not a safetensors file"),
    ],
)
def test_weight_files_that_are_no_priors(image, tmp_path, prior, monkeypatch, make, word):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pt"
    make(path, prior)
    said = refused(tmp_path, "denoise", image, "-o", tmp_path / "o.hspy", "--prior", path)
    assert "weights.pt" in said
    assert word in said
    assert not (tmp_path / "executed").exists()


# --------------------------------------------------------------------------------- many, and Ctrl-C


def test_one_bad_file_does_not_cost_the_others(image, tmp_path):
    (tmp_path / "bad.dm3").write_bytes(b"nonsense")
    np.save(tmp_path / "nan.npy", with_value(np.nan))
    (tmp_path / "out").mkdir()
    inputs = [tmp_path / name for name in ("bad.dm3", "no.ser", "in.tif", "nan.npy")]
    said = run("denoise", *inputs, "-o", tmp_path / "out", *BLUR, code=2)
    for word in ("bad.dm3 cannot be read", "no.ser cannot be read", "nan.npy: 1 of 768 pixels"):
        assert word in said
    assert said.endswith("error: 3 of 4 files were not denoised\n")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"in.tif", "in.tif.json"}


def test_an_interruption_keeps_what_is_finished_and_nothing_else(image, tmp_path, monkeypatch):
    frames = []

    def interrupted(*args, **options):
        frames.append(args)
        if len(frames) == 3:
            raise KeyboardInterrupt
        return emprior.denoise(*args, **options)

    monkeypatch.setattr(batch.frame, "denoise", interrupted)
    np.save(tmp_path / "stack.npy", np.stack([counts()] * 3))
    (tmp_path / "out").mkdir()
    args = ("denoise", image, tmp_path / "stack.npy", image, "-o", tmp_path / "out")
    said = run(*args[:3], *args[4:], *BLUR, code=130)
    assert said.endswith("error: interrupted; what was finished before is kept\n")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"in.tif", "in.tif.json", ".stack.npy.unfinished"}
    monkeypatch.undo()
    said = run("denoise", tmp_path / "stack.npy", "-o", tmp_path / "out", *BLUR)
    assert "stack.npy: 1 of 3 frames were done before" in said
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"in.tif", "in.tif.json", "stack.npy", "stack.npy.json"}


def test_ctrl_c_ends_the_process_with_130(tmp_path):
    np.save(tmp_path / "in.npy", np.random.default_rng(0).standard_normal((1000, 48, 48)))
    command = ["emprior", "denoise", "in.npy", "-o", "o.npy", *BLUR, "--noise", "gaussian:1"]
    code = (
        "import signal, sys\nfrom emprior.cli import main\n"
        # A job in the background inherits a closed ear for Ctrl-C.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"sys.argv = {command!r}\nmain()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as process:
        said = ""
        while "10%" not in said and process.poll() is None:
            said += process.stderr.readline()
        process.send_signal(signal.SIGINT)
        said += process.stderr.read()
    assert process.returncode == 130
    assert "interrupted" in said
    assert "Traceback" not in said
    assert {path.name for path in tmp_path.iterdir()} == {"in.npy", ".o.npy.unfinished"}


def test_a_mistake_of_ours_is_not_dressed_up(image, tmp_path, monkeypatch):
    def broken(*args, **options):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(batch.frame, "denoise", broken)
    with pytest.raises(ZeroDivisionError):
        run("denoise", image, "-o", tmp_path / "o.npy", *BLUR)


# -------------------------------------------------------------------------------- the rest of it


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["--version"],
        ["priors"],
        *([name, "--help"] for name in ("denoise", "demo", "simulate", "train", "evaluate")),
    ],
    ids=" ".join,
)
def test_help_loads_no_torch(args):
    code = (
        "import sys\nfrom emprior.cli import main\n"
        f"sys.argv = ['emprior', *{args!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "assert not {'torch', 'rsciio', 'skimage', 'abtem'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True)


def test_classical_methods_load_no_torch_in_the_command(image, tmp_path):
    code = (
        "import sys\nfrom emprior.cli import main\n"
        f"sys.argv = ['emprior', 'denoise', {str(image)!r}, '-o', {str(tmp_path / 'o.hspy')!r},"
        " '--method', 'wavelet']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert (tmp_path / "o.hspy").exists()


def test_help_names_every_method():
    said = " ".join(run("denoise", "--help").replace("│", " ").split())
    for name in DENOISERS:
        assert re.search(rf"[ (]{name}[,. ]", said), name


def test_alone_it_shows_its_commands():
    said = run(code=2)
    assert "denoise" in said
    assert "error:" not in said


def test_version():
    assert run("--version") == f"emprior {emprior.__version__}\n"


def test_priors_are_listed(monkeypatch):
    from emprior import weights

    monkeypatch.setattr(weights, "names", list)
    assert "no prior comes with this installation" in run("priors")
    monkeypatch.setattr(weights, "names", lambda: ["one", "two"])
    monkeypatch.setattr(weights, "describe", lambda name: f"the card of {name}")
    assert run("priors") == "the card of one\nthe card of two\n"


@pytest.mark.parametrize(
    ("told", "count"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_threads_soon_sleep_while_they_wait_unless_told_otherwise(told, count):
    code = (
        "import os, sys; sys.argv = ['emprior', '--version']\n"
        "from emprior.cli import main\n"
        "assert 'torch' not in sys.modules\n"
        "try: main()\n"
        "except SystemExit: print(os.environ.get('GOMP_SPINCOUNT'))"
    )
    unsaid = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    env = {key: value for key, value in os.environ.items() if key not in unsaid} | told
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env
    )
    assert done.stdout.splitlines()[-1] == count
