"""Writing: what survives a round trip, which names are taken, and that nothing is half written."""

import contextlib
import dataclasses
import json
import os
import signal as signals
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import emprior.io.writing
from emprior.errors import EmpriorWarning, OutputError
from emprior.io import (
    FORMATS,
    Axis,
    Signal,
    check_output,
    output_path,
    plan_outputs,
    read,
    sidecar_path,
    write,
)

DOCS = Path(__file__).parents[1] / "docs" / "files.md"
PROVENANCE = {
    "version": "0.1.0",
    "prior": "nanoparticles",
    "noise": {"type": "Poisson", "gain": 31.96, "offset": 0.0},
    "seed": 7,
    "settings": {"steps": [20, 1500], "device": None, "force": False},
    "frames": [{"status": "converged", "index": 0}, {"status": "stalled", "index": 1}],
}


@pytest.fixture
def movie(rng) -> Signal:
    axes = (
        Axis("time", 3, scale=0.25, offset=2.0, units="s", navigate=True),
        Axis("y", 12, scale=0.0489, offset=-1.5, units="Å"),
        Axis("x", 17, scale=0.0489, offset=4.25, units="Å"),
    )
    metadata = {
        "General": {"title": "edge/2", "date": "2025-03-01"},
        "Acquisition_instrument": {"TEM": {"beam_energy": 300.0}},
        "Signal": {"quantity": "Counts"},
    }
    original = {
        "Camera": {"Name": "K3", "dark": np.arange(5), "serial": b"\x00\xff", "void": None},
        "ímage/list": [{"scale": np.float32(0.5)}, (1, 2.0)],
        "xml": "<tag/>" * 20_000,
        "nan": float("nan"),
        "huge": 2**80,
        "": {"odd": object, "text": "C string\0", "surrogate": "\ud800"},
    }
    return Signal(rng.normal(1, 0.2, (3, 12, 17)).astype(np.float32), axes, metadata, original)


def first_frame(signal: Signal) -> Signal:
    return dataclasses.replace(signal, data=signal.data[0], axes=signal.axes[1:])


def survivors(before: Signal, after: Signal) -> dict[str, bool]:
    """Tell what of a signal is found again in another."""

    def close(got, expected):
        return got is not None and bool(np.isclose(got, expected, rtol=1e-5))

    def frame_axis(signal):
        axis = signal.axes[0]
        return axis.navigate, axis.scale, axis.offset, axis.units

    instrument = after.metadata.get("Acquisition_instrument", {}).get("TEM", {})
    length = {"nm": 10, "Å": 1}.get(after.axes[-1].units or "", np.nan)
    return {
        "intensities": np.array_equal(after.data, before.data),
        "pixel size": close(after.pixel_size, before.pixel_size),
        "offset": close(after.axes[-2].offset * length, -1.5)
        and close(after.axes[-1].offset * length, 4.25),
        "frame axis": after.data.ndim == 3 and frame_axis(after) == frame_axis(before),
        "title": after.title.replace("-", "/") == before.title,
        "beam energy": instrument.get("beam_energy") == 300.0,
        "provenance": after.provenance is not None,
    }


def documented() -> dict[str, dict[str, str]]:
    """Return the table of docs/files.md: format -> column -> entry."""
    text = DOCS.read_text(encoding="utf-8").split("checked against the writers")[1]
    lines = text.split("\n\n")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    return {row[0].strip("`"): dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[2:]}


def test_the_table_names_every_format():
    assert set(documented()) == set(FORMATS) - {".tiff"}


@pytest.mark.parametrize("suffix", FORMATS)
def test_formats_keep_what_the_table_says(tmp_path, movie, suffix):
    source = first_frame(movie) if suffix == ".png" else movie
    path = write(tmp_path / f"result{suffix}", source, provenance=PROVENANCE)
    sidecar_path(path).unlink(missing_ok=True)
    table = documented()[suffix.replace("tiff", "tif")]
    assert survivors(source, read(path)) == {name: cell == "yes" for name, cell in table.items()}


@pytest.mark.parametrize("suffix", FORMATS)
def test_with_its_sidecar_every_format_keeps_all(tmp_path, movie, suffix):
    source = first_frame(movie) if suffix == ".png" else movie
    path = write(tmp_path / f"result{suffix}", source, provenance=PROVENANCE)
    assert sidecar_path(path).exists() == (suffix != ".hspy")
    back = read(path)
    assert back.axes == source.axes
    assert back.title == "edge/2"
    assert back.metadata["Signal"]["quantity"] == "Counts"
    assert plain(back.provenance) == PROVENANCE
    camera = back.original_metadata["Camera"]
    assert camera["Name"] == "K3"
    assert list(camera["dark"]) == [0, 1, 2, 3, 4]
    assert "<tag/>" * 20_000 in back.original_metadata["xml"]
    if suffix == ".png":
        grey = json.loads(sidecar_path(path).read_text("utf-8"))["grey_levels"]
        values = grey["value_of_0"] + grey["value_of_a_step"] * back.data
        np.testing.assert_allclose(values, source.data, atol=0.51 * grey["value_of_a_step"])
    else:
        assert back.data.dtype == np.float32
        np.testing.assert_array_equal(back.data, source.data)


def plain(value):
    """Undo NumPy types, which HDF5 gives back."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def test_uneven_axes_survive_in_hspy(tmp_path, rng):
    focus = Axis("defocus", 3, units="nm", navigate=True, values=(-30.0, -4.0, 55.0))
    axes = (focus, Axis("y", 9, units="nm"), Axis("x", 10, units="nm"))
    path = write(tmp_path / "series.hspy", Signal(rng.random((3, 9, 10)), axes))
    assert read(path).axes == axes


@pytest.mark.parametrize("units", ["m", "µm", "pm"])
@pytest.mark.parametrize("suffix", [".tif", ".mrc", ".emd"])
def test_small_numbers_in_large_units_are_not_rounded_away(tmp_path, rng, units, suffix):
    scale = {"m": 4.89e-12, "µm": 4.89e-6, "pm": 4.89}[units]
    axes = (Axis("y", 9, scale, 0.0, units), Axis("x", 10, scale, 0.0, units))
    path = write(tmp_path / f"a{suffix}", Signal(rng.random((9, 10)), axes))
    sidecar_path(path).unlink()
    assert read(path).pixel_size == pytest.approx(0.0489, rel=1e-5)


@pytest.mark.parametrize("suffix", [s for s in FORMATS if s != ".png"])
def test_an_unknown_pixel_size_stays_unknown(tmp_path, rng, suffix):
    path = write(tmp_path / f"a{suffix}", Signal.from_array(rng.random((9, 10))))
    sidecar_path(path).unlink(missing_ok=True)
    assert read(path).pixel_size is None


def test_dask_arrays_are_written_in_pieces(tmp_path, movie):
    import dask.array as da

    lazy = movie.with_data(da.from_array(movie.data, chunks=(1, 12, 17)))
    np.testing.assert_array_equal(read(write(tmp_path / "a.hspy", lazy)).data, movie.data)


def test_a_second_denoising_keeps_the_first_one_on_record(tmp_path, movie):
    once = read(write(tmp_path / "once.hspy", movie, provenance={"seed": 1}))
    twice = read(write(tmp_path / "twice.hspy", once, provenance={"seed": 2}))
    assert twice.provenance == {"seed": 2, "previous": {"seed": 1}}


def test_a_sidecar_of_another_image_is_not_believed(tmp_path, movie):
    path = write(tmp_path / "a.npy", movie)
    np.save(path, movie.data * 2)
    with pytest.warns(EmpriorWarning, match="has been changed since"):
        assert read(path).pixel_size is None
    sidecar_path(path).write_text("{broken")
    with pytest.warns(EmpriorWarning, match="ignored"):
        assert read(path).pixel_size is None
    sidecar_path(path).write_text('{"mine": 1}')  # another program's: no business of ours
    assert read(path).pixel_size is None


def test_stacks_need_a_format_that_holds_them(tmp_path, rng, movie):
    with pytest.raises(OutputError, match="one image"):
        write(tmp_path / "a.png", movie)
    for suffix in (".tif", ".mrc"):
        with pytest.raises(OutputError, match="one stack"):
            write(tmp_path / f"a{suffix}", Signal.from_array(rng.random((2, 3, 9, 10))))
    assert not list(tmp_path.iterdir())


# names


@pytest.mark.parametrize(
    ("source", "out", "expected"),
    [
        ("in/a.dm4", "results", "results/a.hspy"),
        ("in/a.emi", "results", "results/a.hspy"),
        ("in/a.b.SER", "results", "results/a.b.hspy"),
        ("in/a.png", "results", "results/a.hspy"),
        ("in/a.TIF", "results", "results/a.TIF"),
        ("in/a.mrc", "results", "results/a.mrc"),
        ("in/a.dm4", "results/b.tif", "results/b.tif"),
    ],
)
def test_outputs_are_named(tmp_path, source, out, expected):
    (tmp_path / "results").mkdir()
    assert output_path(tmp_path / source, tmp_path / out) == tmp_path / expected


@pytest.mark.parametrize("out", ["out.dm4", "out.ser", "out.jpg", "out"])
def test_other_suffixes_are_refused_with_alternatives(tmp_path, out):
    with pytest.raises(OutputError, match=r"\.hspy.*\.tif[\s\S]*out\.hspy"):
        output_path(tmp_path / "in.dm4", tmp_path / out)


@pytest.mark.parametrize("link", ["same", "symlink", "hardlink", "case", "dots"])
def test_an_input_is_never_overwritten(tmp_path, movie, link):
    source = write(tmp_path / "Input.tif", movie)
    content = source.read_bytes()
    other = tmp_path / {"same": "Input.tif", "case": "iNPUT.tif"}.get(link, "other.tif")
    if link == "symlink":
        other.symlink_to(source)
    elif link == "hardlink":
        other.hardlink_to(source)
    elif link == "dots":
        (tmp_path / "sub").mkdir()
        other = tmp_path / "sub" / ".." / "Input.tif"
    with pytest.raises(OutputError, match="it is the input"):
        check_output(other, [source], overwrite=True)
    with pytest.raises(OutputError, match="it is the input"):
        write(other, read(source), overwrite=True)
    assert source.read_bytes() == content


def test_existing_files_are_replaced_on_request_only(tmp_path, movie):
    for name in ("a.tif", "b.tif.json"):
        (tmp_path / name).write_text("mine")
    for name in ("a.tif", "b.tif"):
        with pytest.raises(OutputError, match="exists"):
            write(tmp_path / name, movie)
    assert (tmp_path / "a.tif").read_text() == "mine"
    write(tmp_path / "a.tif", movie, overwrite=True)
    np.testing.assert_array_equal(read(tmp_path / "a.tif").data, movie.data)


def test_a_link_to_an_old_result_is_written_through(tmp_path, movie):
    (tmp_path / "disk").mkdir()
    (tmp_path / "a.npy").symlink_to(tmp_path / "disk" / "b.npy")
    with pytest.raises(OutputError, match="exists"):
        write(tmp_path / "a.npy", movie)
    assert write(tmp_path / "a.npy", movie, overwrite=True) == tmp_path / "disk" / "b.npy"
    assert (tmp_path / "a.npy").is_symlink()


def test_directories_must_be_there_and_open(tmp_path, movie):
    with pytest.raises(OutputError, match="mkdir -p"):
        write(tmp_path / "absent" / "a.tif", movie)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="no directory"):
        write(tmp_path / "file" / "a.tif", movie)
    (tmp_path / "a.tif").mkdir()
    with pytest.raises(OutputError, match="it is a directory"):
        write(tmp_path / "a.tif", movie)


def test_closed_directories_are_refused(tmp_path, movie, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(OutputError, match="closed to you"):
        write(tmp_path / "a.tif", movie)


def test_plans(tmp_path):
    sources = [tmp_path / "a" / "x.dm4", tmp_path / "b" / "y.tif"]
    with pytest.raises(OutputError, match=r"2 inputs for the one output[\s\S]*mkdir"):
        plan_outputs(sources, tmp_path / "out.tif")
    expected = [tmp_path / "x.hspy", tmp_path / "y.tif"]
    assert plan_outputs(sources, tmp_path) == expected
    assert plan_outputs(sources[:1], tmp_path / "out.tif") == [tmp_path / "out.tif"]
    (tmp_path / "y.tif").write_text("old")
    with pytest.raises(OutputError, match=r"y\.tif exists"):
        plan_outputs(sources, tmp_path)
    assert plan_outputs(sources, tmp_path, overwrite=True) == expected


@pytest.mark.parametrize("other", ["x.ser", "X.dm4"])
def test_two_inputs_never_share_an_output(tmp_path, other):
    with pytest.raises(OutputError, match="would both become"):
        plan_outputs([tmp_path / "a" / "x.dm4", tmp_path / "b" / other], tmp_path)


def test_no_output_is_another_input(tmp_path, movie):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "x.hspy", movie)
    sources = [tmp_path / "a" / "x.hspy", tmp_path / "b" / "y.dm4"]
    with pytest.raises(OutputError, match="it is the input"):
        plan_outputs(sources, tmp_path / "a", overwrite=True)


# all or nothing


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("old", [False, True])
def test_a_failing_writer_leaves_nothing(tmp_path, movie, monkeypatch, suffix, old):
    def fail(path, *_):
        path.write_bytes(b"half")
        raise RuntimeError("no space left")

    path = tmp_path / f"a{suffix}"
    source = first_frame(movie)
    if old:
        write(path, source)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    monkeypatch.setattr(emprior.io.writing, "_write_hspy", fail)
    monkeypatch.setitem(emprior.io.writing._WRITERS, suffix, fail)
    with pytest.raises(OutputError, match="no space left"):
        write(path, source, overwrite=True)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


@contextlib.contextmanager
def room_for(size: int):
    """Let no file of this process become larger, as a full disk does; the error is the system's."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# Where the disk is full, mrcfile and h5py do not close their files.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("size", [0, 700])
def test_a_disk_that_is_full_leaves_nothing(tmp_path, movie, suffix, size):
    image = movie.data[0, :1] + np.random.default_rng(0).random((40, 17))
    source = Signal.from_array(image, 0.1)
    write(tmp_path / f"old{suffix}", source)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    for path in (tmp_path / f"new{suffix}", tmp_path / f"old{suffix}"):
        with room_for(size), pytest.raises(OutputError, match=path.name):
            write(path, source, overwrite=True)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.skipif(not hasattr(signals, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("moment", ["_write_npy", "write_sidecar"])
def test_a_kill_leaves_no_half_file(tmp_path, movie, moment):
    path = write(tmp_path / "a.npy", movie)
    before = path.read_bytes()
    code = f"""
import os, signal, numpy as np
import emprior.io.writing as writing
from emprior.io import Signal

def die(path, *_):
    path.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)

writing.{moment} = die
if {moment!r} in ("_write_npy",):
    writing._WRITERS[".npy"] = die
writing.write({str(path)!r}, Signal.from_array(np.ones((9, 9))), overwrite=True)
"""
    result = subprocess.run([sys.executable, "-c", code], check=False)
    assert result.returncode == -signals.SIGKILL
    assert path.read_bytes() == before
    np.testing.assert_array_equal(read(path).data, movie.data)  # and its sidecar still fits
    left = {file.name for file in tmp_path.iterdir()} - {"a.npy", "a.npy.json"}
    assert left
    assert all(name.startswith(".") for name in left)
