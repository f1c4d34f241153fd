"""Files in, files out: frames, provenance, lists of files."""

import json
import os
import warnings

import numpy as np
import pytest
from strategies import lattice
from toys import PIXEL_SIZE, toy_frame, toy_prior

import emprior
from emprior import batch
from emprior.batch import Settings, denoise_file, expand
from emprior.errors import EmpriorWarning, FileError, ImageError, OptionError, OutputError
from emprior.io import Axis, Signal, read, write

CLASSICAL = Settings(method="wavelet", noise="gaussian:0.1")


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return toy_prior(tmp_path_factory.mktemp("prior") / "toy.safetensors")


@pytest.fixture
def stack(tmp_path, rng):
    """Three frames with a pixel size and a title."""
    frames = np.stack([lattice((40, 48), 0.1, spacing=s) for s in (2.0, 2.4, 2.8)])
    data = (frames + 0.1 * rng.standard_normal(frames.shape)).astype(np.float32)
    signal = Signal.from_array(data, 0.1)
    path = tmp_path / "stack.hspy"
    write(path, Signal(data, signal.axes, {"General": {"title": "a movie"}}))
    return path


# ------------------------------------------------------------------------------- frames and stacks


def test_each_frame_is_denoised_as_it_would_be_alone(stack, tmp_path):
    shares = []
    done = denoise_file(stack, tmp_path / "out.hspy", CLASSICAL, progress=shares.append)
    before, after = read(stack), read(tmp_path / "out.hspy")
    assert len(done) == 3
    assert after.data.dtype == np.float32
    assert (after.axes, after.title) == (before.axes, "a movie")
    for (index, frame), (_, result), one in zip(before.frames(), after.frames(), done, strict=True):
        alone = emprior.denoise(
            frame, method="wavelet", noise="gaussian:0.1", seed=(0, *index), pixel_size=0.1
        )
        np.testing.assert_array_equal(result, alone.image)
        np.testing.assert_array_equal(result, one.image)
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_frames_have_random_draws_of_their_own(tmp_path, monkeypatch, rng):
    seeds = []

    def spy(micrograph, *, seed, **options):
        seeds.append(seed)
        return emprior.denoise(micrograph, seed=seed, **options)

    monkeypatch.setattr(batch.frame, "denoise", spy)
    write(tmp_path / "in.hspy", Signal.from_array(rng.standard_normal((2, 2, 16, 16)), 0.1))
    settings = Settings(method="blur", noise="gaussian:1", seed=5)
    denoise_file(tmp_path / "in.hspy", tmp_path / "out.hspy", settings)
    assert seeds == [(5, 0, 0), (5, 0, 1), (5, 1, 0), (5, 1, 1)]


def test_one_image_has_the_seed_itself(tmp_path, prior, rng):
    noisy = toy_frame() + 0.1 * rng.standard_normal((64, 64))
    write(tmp_path / "in.hspy", Signal.from_array(noisy.astype(np.float32), PIXEL_SIZE))
    settings = Settings(noise="gaussian:0.1", prior=str(prior), seed=3)
    denoise_file(tmp_path / "in.hspy", tmp_path / "out.hspy", settings)
    alone = emprior.denoise(
        noisy.astype(np.float32), pixel_size=PIXEL_SIZE, noise="gaussian:0.1", prior=prior, seed=3
    )
    np.testing.assert_array_equal(read(tmp_path / "out.hspy").data, alone.image)


def test_a_bad_frame_is_named_and_nothing_is_written(tmp_path, rng):
    data = rng.standard_normal((3, 16, 16)).astype(np.float32)
    data[1, 3, 4] = np.nan
    write(tmp_path / "in.hspy", Signal.from_array(data, 0.1))
    with pytest.raises(ImageError, match=r"in\.hspy, frame 1: 1 of 256 pixels are NaN"):
        denoise_file(tmp_path / "in.hspy", tmp_path / "out.hspy", CLASSICAL)
    assert [path.name for path in tmp_path.iterdir()] == ["in.hspy"]


def test_a_format_that_holds_no_stack_is_refused_before_the_work(stack, tmp_path, monkeypatch):
    monkeypatch.setattr(
        batch.frame, "denoise", lambda *args, **options: pytest.fail("work was begun")
    )
    for target, deviation in (("out.png", None), ("out.hspy", tmp_path / "sd.png")):
        with pytest.raises(OutputError, match="expected: one image"):
            denoise_file(stack, tmp_path / target, CLASSICAL, deviation=deviation)
    assert [path.name for path in tmp_path.iterdir()] == ["stack.hspy"]


def test_a_shortage_of_memory_is_an_error_with_advice(stack, tmp_path, monkeypatch):
    def exhausted(*args, **options):
        raise MemoryError("Unable to allocate 7 TiB")

    monkeypatch.setattr(batch.frame, "denoise", exhausted)
    with pytest.raises(ImageError, match="7 TiB") as caught:
        denoise_file(stack, tmp_path / "out.hspy", CLASSICAL)
    assert "crop the image" in str(caught.value)


# ---------------------------------------------------------------------------- stopping and sharing


def stopped_after(frames, monkeypatch):
    """Have the denoiser stopped, as Ctrl-C does, when it has done some frames."""
    done = []

    def denoise(*args, **options):
        if len(done) == frames:
            raise KeyboardInterrupt
        done.append(options["seed"])
        return emprior.denoise(*args, **options)

    monkeypatch.setattr(batch.frame, "denoise", denoise)
    return done


def test_a_run_that_was_stopped_goes_on_and_ends_in_the_same_bytes(stack, tmp_path, monkeypatch):
    denoise_file(stack, tmp_path / "whole.hspy", CLASSICAL)
    stopped_after(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        denoise_file(stack, tmp_path / "out.hspy", CLASSICAL)
    assert not (tmp_path / "out.hspy").exists()
    left, said = stopped_after(9, monkeypatch), []
    done = denoise_file(stack, tmp_path / "out.hspy", CLASSICAL, say=said.append)
    assert left == [(0, 2)]
    assert said == ["stack.hspy: 2 of 3 frames were done before"]
    assert [one.method for one in done] == ["wavelet"] * 3
    assert (tmp_path / "out.hspy").read_bytes() == (tmp_path / "whole.hspy").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"stack.hspy", "whole.hspy", "out.hspy"}


@pytest.mark.parametrize("change", ["settings", "file"])
def test_what_was_done_otherwise_is_done_anew(stack, tmp_path, monkeypatch, change):
    stopped_after(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        denoise_file(stack, tmp_path / "out.hspy", CLASSICAL)
    settings = CLASSICAL
    if change == "settings":
        settings = Settings(method="wavelet", noise="gaussian:0.2")
    else:
        os.utime(stack, ns=(0, 0))
    left, said = stopped_after(9, monkeypatch), []
    denoise_file(stack, tmp_path / "out.hspy", settings, say=said.append)
    assert len(left) == 3
    assert said == ["stack.hspy: what was done before had other settings, and is done anew"]


def test_workers_find_what_one_process_does(tmp_path, prior, rng):
    clean = np.stack([toy_frame(1), lattice((64, 64), PIXEL_SIZE), toy_frame(2)])
    noisy = (clean + 0.1 * rng.standard_normal(clean.shape)).astype(np.float32)
    write(tmp_path / "in.hspy", Signal.from_array(noisy, PIXEL_SIZE))
    settings = Settings(noise="gaussian:0.1", prior=str(prior))
    with pytest.warns(EmpriorWarning, match="frame 1: the prior does not know") as alone:
        denoise_file(tmp_path / "in.hspy", tmp_path / "alone.hspy", settings)
    shares = []
    with pytest.warns(EmpriorWarning, match="frame 1: the prior does not know") as shared:
        denoise_file(
            tmp_path / "in.hspy",
            tmp_path / "shared.hspy",
            settings,
            workers=2,
            progress=shares.append,
        )
    assert len(alone) == len(shared) == 1
    assert (tmp_path / "alone.hspy").read_bytes() == (tmp_path / "shared.hspy").read_bytes()
    assert shares == pytest.approx([1 / 3, 2 / 3, 1])


def test_errors_of_workers_are_told_as_by_one_process(tmp_path, rng):
    data = rng.standard_normal((3, 16, 16)).astype(np.float32)
    data[1, 3, 4] = np.nan
    write(tmp_path / "in.hspy", Signal.from_array(data, 0.1))
    with pytest.raises(ImageError, match=r"in\.hspy, frame 1: 1 of 256 pixels are NaN"):
        denoise_file(tmp_path / "in.hspy", tmp_path / "out.hspy", CLASSICAL, workers=2)
    assert [path.name for path in tmp_path.iterdir()] == ["in.hspy"]


def test_a_scheduler_that_does_not_answer_is_an_error(stack, tmp_path):
    with pytest.raises(OutputError, match="no dask scheduler answers"):
        denoise_file(stack, tmp_path / "out.hspy", CLASSICAL, scheduler="nonsense")


# -------------------------------------------------------------------------------------- pixel size


def test_a_pixel_size_given_goes_before_that_of_the_file(stack, tmp_path):
    settings = Settings(method="wavelet", noise="gaussian:0.1", pixel_size=0.25)
    denoise_file(stack, tmp_path / "out.hspy", settings)
    assert read(tmp_path / "out.hspy").pixel_size == pytest.approx(0.25)


def test_a_pixel_size_given_settles_pixels_that_are_not_square(tmp_path, rng):
    axes = (Axis("y", 20, scale=1.0, units="nm"), Axis("x", 24, scale=2.0, offset=6.0, units="nm"))
    data = rng.standard_normal((20, 24)).astype(np.float32)
    write(tmp_path / "in.hspy", Signal(data, axes))
    with pytest.raises(ImageError, match=r"in\.hspy: pixels of 10 Å along y and 20 Å along x"):
        denoise_file(tmp_path / "in.hspy", tmp_path / "out.hspy", CLASSICAL)
    settings = Settings(method="wavelet", noise="gaussian:1", pixel_size=0.5)
    denoise_file(tmp_path / "in.hspy", tmp_path / "out.hspy", settings)
    y, x = read(tmp_path / "out.hspy").axes
    assert (y.scale, x.scale, x.units) == (0.5, 0.5, "Å")
    assert x.offset == 1.5  # still three pixels


def test_a_missing_pixel_size_is_said_once_a_file(tmp_path, rng, prior):
    data = toy_frame() + 0.1 * rng.standard_normal((2, 64, 64))
    np.save(tmp_path / "in.npy", data)
    with pytest.warns(EmpriorWarning, match="the result has none either; .* --pixel-size"):
        denoise_file(tmp_path / "in.npy", tmp_path / "out.npy", CLASSICAL)
    settings = Settings(noise="gaussian:0.1", prior=str(prior))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        denoise_file(tmp_path / "in.npy", tmp_path / "out.hspy", settings)
    said = [str(w.message) for w in caught if "does not say" in str(w.message)]
    assert len(said) == 1
    assert said[0].startswith("in.npy does not say its pixel size: 0.0489 Å")
    result = read(tmp_path / "out.hspy")
    assert result.pixel_size is None  # assumed is not known
    assert result.provenance["pixel_size_in_angstrom"] == 0.0489


# -------------------------------------------------------------------------------------- provenance


def test_provenance_tells_all_it_takes_to_repeat(stack, tmp_path):
    settings = Settings(method="pooled-wavelet", seed=4)
    done = denoise_file(stack, tmp_path / "out.tif", settings)
    found = json.loads((tmp_path / "out.tif.json").read_text())["metadata"]["emprior"]
    assert found == json.loads(json.dumps(read(tmp_path / "out.tif").provenance))
    assert found["version"] == emprior.__version__
    assert found["input"] == "stack.hspy"
    assert found["settings"] == {
        "method": "pooled-wavelet",
        "noise": "auto",
        "pixel_size": None,
        "signal": None,
        "seed": 4,
        "faults": True,
        "dark": None,
        "gain": None,
        "movie": False,
    }
    assert found["pixel_size_in_angstrom"] == pytest.approx(0.1)
    for frame, one in zip(found["frames"], done, strict=True):
        assert frame["method"] == "pooled-wavelet"
        assert frame["noise"] == one.noise.to_dict()
        assert frame["evidence"] == list(one.evidence)
        assert frame["factor"] == one.trace["factor"]


def test_a_withheld_prior_is_labelled_and_the_frame_named(tmp_path, prior, rng):
    clean = np.stack([toy_frame(1), lattice((64, 64), PIXEL_SIZE)])
    noisy = (clean + 0.1 * rng.standard_normal(clean.shape)).astype(np.float32)
    write(tmp_path / "in.hspy", Signal.from_array(noisy, PIXEL_SIZE))
    settings = Settings(noise="gaussian:0.1", prior=str(prior))
    with pytest.warns(EmpriorWarning, match=r"in\.hspy, frame 1: the prior does not know") as seen:
        done = denoise_file(tmp_path / "in.hspy", tmp_path / "out.hspy", settings)
    assert len(seen) == 1
    assert [one.method for one in done] == ["prior", "pooled-wavelet"]
    found = read(tmp_path / "out.hspy").provenance
    assert found["settings"]["prior"] == str(prior)
    first, second = found["frames"]
    assert (first["method"], first["prior"], first["data"]) == ("prior", str(prior), "toy")
    assert "doubt" not in first
    assert second["method"] == "pooled-wavelet"
    assert "does not know" in second["doubt"]


def test_a_file_denoised_before_brings_a_warning(stack, tmp_path):
    denoise_file(stack, tmp_path / "once.hspy", CLASSICAL)
    with pytest.warns(EmpriorWarning, match=r"once\.hspy has been denoised by emprior before"):
        denoise_file(tmp_path / "once.hspy", tmp_path / "twice.hspy", CLASSICAL)
    assert read(tmp_path / "twice.hspy").provenance["previous"]["input"] == "stack.hspy"


# -------------------------------------------------------------------------------- settings, lists


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        (Settings(method="magic"), "'magic'"),
        (Settings(method="blur", noise="salt"), "'salt'"),
        (Settings(method="blur", pixel_size=float("inf")), "inf Å"),
        (Settings(method="blur", seed=-2), "-2"),
        (Settings(method="blur", prior="gan"), "'gan'"),
    ],
)
def test_nonsense_is_found_before_any_work(settings, word):
    with pytest.raises(OptionError, match=word):
        settings.check()


def test_lists_hold_paths_relative_to_themselves(tmp_path):
    folder = tmp_path / "lists"
    folder.mkdir()
    text = "# mine\n a b.npy \n\n/abs/c.dm3\n../d.npy\n"
    (folder / "list.txt").write_text(text, encoding="utf-8-sig")
    found = expand(["first.tif", f"@{folder / 'list.txt'}", "last.tif"])
    assert [str(path) for path in found] == [
        "first.tif",
        str(folder / "a b.npy"),
        "/abs/c.dm3",
        str(folder / ".." / "d.npy"),
        "last.tif",
    ]


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"", "names no file"), (b"# only\n\n", "names no file"), (b"\xff\xfe\x00", "not text")],
)
def test_a_list_without_paths_is_an_error(tmp_path, content, word):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(FileError, match=word):
        expand([f"@{tmp_path / 'list.txt'}"])


def test_a_missing_list_is_an_error(tmp_path):
    with pytest.raises(FileError, match=r"no\.txt: No such file"):
        expand([f"@{tmp_path / 'no.txt'}"])
