"""Reading: what real and made files give, what is warned of, and what is refused."""

import contextlib
import gc
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import h5py
import imageio.v3 as iio
import mrcfile
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from emprior.errors import EmpriorWarning, FileError, ImageError, InputError, OptionError
from emprior.io import Axis, Signal, angstroms, read

DATA = os.environ.get("EMPRIOR_TEST_DATA")
real = pytest.mark.skipif(not DATA, reason="EMPRIOR_TEST_DATA names no folder of real files")
REAL = {  # file: shape, type, pixel size in Å as its own software shows it, beam energy in keV
    "formats/16_STOimage.emi": ((1024, 1024), "uint16", 0.100127, None),
    "formats/16_STOimage_1.ser": ((1024, 1024), "uint16", 0.100127, None),
    "formats/Acquisition_18.emd": ((1024, 1024), "uint16", 0.122465, None),
    "formats/BTO_crystal_1.dm4": ((413, 469), "float32", 0.296599, None),
    "formats/example_Au_nanoparticle.emd": ((2048, 2048), "uint16", 0.074984, 300.0),
    "formats/example_Se_implanted_MoS2.dm3": ((1024, 1024), "uint32", 0.126953, 60.0),
    "formats/hrstem_example.ser": ((1024, 1024), "uint16", 0.524072, None),
    "formats/stem_abf_data_imagestack.hspy": ((5, 512, 512), "uint16", 0.0920240, None),
    "hrtem_simulated/PtNp2-S3_5_240slc_1024x1024_6nmDefocus.tif": (
        (876, 927),
        "float32",
        None,
        None,
    ),
}


@contextlib.contextmanager
def leaky_readers():
    """Collect, unheard, the files that RosettaSciIO leaves open when it fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


def real_file(name: str) -> Path:
    path = Path(DATA or ".") / name
    if not path.exists():
        pytest.skip(f"{path} is absent")
    return path


@real
@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("lazy", [False, True])
def test_real_files_are_read_without_a_word(name, lazy):
    shape, dtype, pixel_size, energy = REAL[name]
    signal = read(real_file(name), lazy=lazy)  # warnings are errors here
    assert signal.data.shape == shape
    assert signal.data.dtype == dtype
    assert [axis.navigate for axis in signal.axes] == [True] * (len(shape) - 2) + [False] * 2
    assert signal.pixel_size == (pixel_size and pytest.approx(pixel_size, rel=1e-5))
    instrument = signal.metadata.get("Acquisition_instrument", {}).get("TEM", {})
    assert instrument.get("beam_energy") == energy
    frames = dict(signal.frames())
    assert len(frames) == signal.frame_count
    for index, frame in frames.items():
        np.testing.assert_array_equal(frame, np.asarray(signal.data)[index])


@real
@pytest.mark.parametrize("name", REAL)
def test_truncated_real_files_are_refused(name, tmp_path):
    source = real_file(name)
    content = source.read_bytes()
    for share in (0.0001, 0.01, 0.5, 0.9):
        path = tmp_path / f"{share}{source.suffix}"
        path.write_bytes(content[: int(share * len(content))])
        with leaky_readers(), pytest.raises(InputError):
            list(read(path).frames())


@pytest.mark.parametrize(
    ("units", "size"),
    [
        *[("nm", 10), ("n_m", 10), ("[n_m]", 10), (" NM ", 10), ("nanometers", 10)],
        *[("Å", 1), ("Å", 1), ("A", 1), ("angstrom", 1), ("\\u00C5", 1)],
        *[("µm", 1e4), ("μm", 1e4), ("um", 1e4), ("micron", 1e4), ("\\u00B5m", 1e4)],
        *[("pm", 0.01), ("mm", 1e7), ("cm", 1e8), ("m", 1e10)],
        *[("", None), (None, None), ("px", None), ("1/nm", None), ("nm^-1", None)],
        *[("nm-1", None), ("mrad", None), ("s", None), ("eV", None), ("<undefined>", None)],
    ],
)
def test_lengths_become_angstroms(units, size):
    assert angstroms(0.25, units) == (size and pytest.approx(0.25 * size, rel=1e-12))


def test_axes_that_are_no_length_are_known():
    assert not Axis("kx", 5, units="1/nm").is_real_space
    assert Axis("x", 5, units="<undefined>").is_real_space
    assert Axis("x", 5, units="n_m").is_real_space


@pytest.mark.parametrize(("unit", "factor"), [("nm", 10), ("micron", 1e4), ("\\u00B5m", 1e4)])
def test_fiji_tiffs_keep_their_scale(tmp_path, rng, unit, factor):
    frames = rng.random((3, 20, 30), np.float32)
    tifffile.imwrite(
        tmp_path / "fiji.tif",
        frames,
        imagej=True,
        resolution=(1 / 0.025, 1 / 0.025),
        metadata={"axes": "ZYX", "unit": unit},
    )
    signal = read(tmp_path / "fiji.tif")
    assert signal.pixel_size == pytest.approx(0.025 * factor, rel=1e-6)
    np.testing.assert_array_equal(signal.data, frames)


@pytest.mark.parametrize("size", [None, 0.4])
def test_mrc_scale(tmp_path, rng, size):
    with mrcfile.new(tmp_path / "image.mrc") as mrc:
        mrc.set_data(rng.random((20, 30), np.float32))
        if size:
            mrc.voxel_size = size
    assert read(tmp_path / "image.mrc").pixel_size == (size and pytest.approx(size, rel=1e-6))


def berkeley(path: Path, units: tuple[str, str] = ("[n_m]", "[n_m]"), **images) -> Path:
    """Write a Berkeley EMD by its specification: (x, y) order, one group an image."""
    with h5py.File(path, "w") as file:
        file.attrs["version_major"], file.attrs["version_minor"] = 0, 2
        for title, (image, scales) in images.items():
            group = file.create_group(f"data/{title}")
            group.attrs["emd_group_type"] = 1
            group["data"] = image.T
            for i, (n, name) in enumerate(zip(image.T.shape, "xy", strict=False)):
                dim = group.create_dataset(f"dim{i + 1}", data=np.arange(n) * scales[i])
                dim.attrs["name"], dim.attrs["units"] = name, units[i]
    return path


def test_one_of_several_signals(tmp_path, rng):
    first, second = rng.random((2, 12, 15))
    path = berkeley(tmp_path / "two.emd", BF=(first, (0.01, 0.01)), HAADF=(second, (0.02, 0.02)))
    with pytest.warns(EmpriorWarning, match="0 'BF', 1 'HAADF'.*number 0 is taken"):
        assert read(path).title == "BF"
    for wanted in (1, "1", "HAADF"):
        signal = read(path, signal=wanted)
        assert signal.title == "HAADF"
        assert signal.pixel_size == pytest.approx(0.2)
        np.testing.assert_array_equal(signal.data, second)
    with pytest.raises(OptionError, match="0 'BF', 1 'HAADF'"):
        read(path, signal="DF4")


def test_waves_are_passed_over_for_an_image(tmp_path, rng):
    image = rng.random((12, 15))
    path = berkeley(tmp_path / "w.emd", a=(image + 1j, (1, 1)), b=(image, (0.01, 0.01)))
    assert read(path).title == "b"


def test_a_diffraction_pattern_has_no_pixel_size(tmp_path, rng):
    path = berkeley(tmp_path / "k.emd", ("1/nm", "1/nm"), a=(rng.random((12, 15)), (0.1, 0.1)))
    with pytest.warns(EmpriorWarning, match="no length"):
        assert read(path).pixel_size is None


def test_nearly_square_pixels_are_averaged_aloud(tmp_path, rng):
    path = berkeley(tmp_path / "a.emd", a=(rng.random((12, 15)), (0.0100, 0.01005)))
    with pytest.warns(EmpriorWarning, match="taken as square"):
        signal = read(path)
    assert signal.pixel_size == pytest.approx(0.10025)


def test_oblong_pixels_have_no_one_size(tmp_path, rng):
    signal = read(berkeley(tmp_path / "a.emd", a=(rng.random((12, 15)), (0.010, 0.012))))
    assert signal.pixel_sizes == pytest.approx((0.12, 0.10))
    with pytest.raises(ImageError, match=r"0\.12 Å along y and 0\.1 Å along x"):
        _ = signal.pixel_size


def rgb(rng, dtype=np.uint8):
    grey = rng.integers(0, 200, (16, 24, 1)).astype(dtype)
    return np.repeat(grey, 3, axis=-1)


def save_image(path: Path, image) -> Path:
    writers = {".png": iio.imwrite, ".npy": np.save}
    writers.get(path.suffix, lambda p, a: tifffile.imwrite(p, a, photometric="rgb"))(path, image)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
@pytest.mark.parametrize("alpha", [False, True])
def test_grey_in_rgb_is_one_channel(tmp_path, rng, suffix, alpha):
    image = rgb(rng)
    image[..., 1] += 1  # rounding of an export
    if alpha:
        image = np.concatenate([image, np.full((16, 24, 1), 255, np.uint8)], axis=-1)
    with pytest.warns(EmpriorWarning, match="colours that are grey"):
        signal = read(save_image(tmp_path / f"grey{suffix}", image))
    np.testing.assert_array_equal(signal.data, image[..., 0])
    assert [axis.navigate for axis in signal.axes] == [False, False]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_colours_are_refused(tmp_path, rng, suffix, channel):
    image = rgb(rng)
    image[..., channel] += 50
    with pytest.raises(ImageError, match="red, green and blue differ in 100% of its pixels"):
        read(save_image(tmp_path / f"red{suffix}", image))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((9, 9), complex), "complex128"),
        (np.array([["text"] * 9] * 9), "<U4"),
        (np.ones(9), r"shape \(9,\)"),
        (np.float64(3), r"shape \(\)"),
        (np.ones((0, 9)), "holds no pixel"),
        (np.ones((4, 9, 0)), "holds no pixel"),
    ],
)
def test_arrays_that_are_no_micrographs(tmp_path, array, message):
    np.save(tmp_path / "bad.npy", array)
    with pytest.raises(ImageError, match=message):
        read(tmp_path / "bad.npy")


def test_pickles_are_never_opened(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}] * 9, dtype=object), allow_pickle=True)
    with pytest.raises(FileError, match="allow_pickle"):
        read(tmp_path / "objects.npy")


def test_a_spectrum_is_refused(tmp_path, rng):
    from rsciio.ripple import file_writer

    axes = [
        {"name": name, "size": n, "scale": 1.0, "offset": 0.0, "units": units, "navigate": nav}
        for name, n, units, nav in [
            ("y", 9, "nm", True),
            ("x", 10, "nm", True),
            ("Energy", 11, "eV", False),
        ]
    ]
    entry = {"data": rng.random((9, 10, 11)), "axes": axes, "original_metadata": {}}
    metadata = {"General": {"title": ""}, "Signal": {"signal_type": ""}}
    file_writer(str(tmp_path / "si.rpl"), {**entry, "metadata": metadata})
    with pytest.raises(ImageError, match="1 axis and 2 navigation axes"):
        read(tmp_path / "si.rpl")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.dm4", None, "No such file"),
        ("empty.dm4", b"", "it is empty"),
        ("text.dm4", b"hello " * 99, "cannot be read as .dm4"),
        ("noise.hspy", b"\x89HDF" * 99, "cannot be read as .hspy"),
        ("image.xyz", b"hello", r"no reader knows the suffix '.xyz'"),
        ("image", b"hello", "no reader knows the suffix ''"),
        ("zero\0.tif", None, "null"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with leaky_readers(), pytest.raises(FileError, match=message) as caught:
        read(tmp_path / name)
    assert caught.value.fix


def test_frames_that_a_damaged_header_counts_are_not_waited_for(tmp_path, rng):
    path = tmp_path / "image.mrc"
    with mrcfile.new(path) as mrc:
        mrc.set_data(rng.random((2, 20, 30), np.float32))
    content = bytearray(path.read_bytes())
    content[8:12] = (2**31 - 1).to_bytes(4, "little")  # nz
    path.write_bytes(content)
    with leaky_readers(), pytest.raises(FileError, match="bytes of pixels are counted"):
        read(path, lazy=True)


def test_a_directory_is_no_file(tmp_path):
    with pytest.raises(FileError, match=r"it is a directory[\s\S]*\*\.dm4"):
        read(tmp_path)


def test_a_file_that_fails_later_is_a_file_error(tmp_path):
    import dask.array as da

    def fail(block):
        raise OSError("the share is gone")

    signal = Signal.from_array(da.zeros((2, 9, 9), chunks=(1, 9, 9)).map_blocks(fail, dtype=float))
    with pytest.raises(FileError, match="the share is gone"):
        list(signal.frames())


SUFFIXES = ["dm3", "dm4", "ser", "emi", "emd", "mrc", "tif", "hspy", "npy", "png", "h5", "mib"]


@settings(deadline=None, max_examples=80)
@given(st.sampled_from(SUFFIXES), st.binary(max_size=3000), st.integers(0, 40))
def read_random_bytes(suffix, content, zeros):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"noise.{suffix}"
        path.write_bytes(content + b"\0" * zeros)
        with pytest.raises(InputError):
            list(read(path).frames())


@pytest.mark.filterwarnings("ignore::emprior.errors.EmpriorWarning")
def test_random_bytes_give_input_errors_only():
    with leaky_readers():
        read_random_bytes()


def save_float(path: Path, image) -> Path:
    if path.suffix == ".mrc":
        with mrcfile.new(path) as mrc:
            mrc.set_data(image)
    elif path.suffix == ".png":
        iio.imwrite(path, (image * 255).astype(np.uint8))
    else:
        {".tif": tifffile.imwrite, ".npy": np.save}[path.suffix](path, image)
    return path


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([".tif", ".npy", ".mrc", ".png"]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=5),
    st.floats(0, 1),
)
def read_damaged(suffix, changes, kept):
    image = np.random.default_rng(5).random((9, 11), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = save_float(Path(folder) / f"x{suffix}", image)
        content = bytearray(path.read_bytes())
        for where, change in changes:
            content[int(where * (min(len(content), 1200) - 1))] ^= change
        path.write_bytes(content[: int(kept * len(content))])
        with contextlib.suppress(InputError):  # either outcome is right, no other is
            for _, frame in read(path).frames():
                assert frame.ndim == 2


@pytest.mark.filterwarnings("ignore::emprior.errors.EmpriorWarning")
def test_damaged_files_give_input_errors_or_frames():
    with leaky_readers():
        read_damaged()


def test_frames_are_native_and_in_order(tmp_path, rng):
    frames = rng.random((2, 3, 9, 11)).astype(">f4")
    np.save(tmp_path / "big.npy", frames)
    for lazy in (False, True):
        signal = read(tmp_path / "big.npy", lazy=lazy)
        listed = list(signal.frames())
        assert [index for index, _ in listed] == list(np.ndindex(2, 3))
        assert all(frame.dtype == np.dtype("=f4") for _, frame in listed)
        np.testing.assert_array_equal([frame for _, frame in listed], frames.reshape(6, 9, 11))


def test_loggers_are_left_as_they_were(tmp_path, caplog):
    logger = logging.getLogger("rsciio")
    before = logger.level, list(warnings.filters)
    (tmp_path / "bad.ser").write_bytes(b"x" * 400)
    with pytest.raises(FileError):
        read(tmp_path / "bad.ser")
    assert (logger.level, list(warnings.filters)) == before
    assert not caplog.records


def test_importing_is_light():
    code = "import sys, emprior.io; print([m for m in ('torch', 'rsciio', 'dask', 'h5py', 'PIL') "
    out = subprocess.run(
        [sys.executable, "-c", code + "if m in sys.modules])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.strip() == "[]"
