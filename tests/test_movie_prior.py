"""Movies with the prior: what it is given, and the columns that several answers tell together."""

import csv
import warnings
from functools import partial

import numpy as np
import pytest
from scipy.spatial import cKDTree
from strategies import lattice, lattice_positions
from toys import toy_prior
from typer.testing import CliRunner

import emprior
from emprior import Denoised, demo, denoise_movie, movie
from emprior.cli import app
from emprior.errors import EmpriorWarning
from emprior.found import Found, FoundColumns, FoundOptics, Measured
from emprior.io import Signal, read, write
from emprior.metrics import columns as find_columns
from emprior.micrograph import Micrograph
from emprior.movie import denoise_among
from emprior.noise import Gaussian, Poisson

PITCH = 0.1
BIG = lattice((120, 136), PITCH)
PLACES = lattice_positions(BIG.shape, PITCH) / PITCH
PATH = np.array([(0, 0), (1, 1), (3, 1), (1, 4), (0, 2)])


def scene(t, image=BIG):
    """Return 96 × 112 pixels of an image as they are at a time."""
    r, c = PATH[t]
    return image[8 - r : 104 - r, 8 - c : 120 - c]


def seer(image, *, noise, **options):
    """Answer with the data themselves, and with the columns that stand out in them."""
    pixels = image.image if isinstance(image, Micrograph) else image
    rows, cols = find_columns(pixels.astype(float), PITCH).T / PITCH
    some = np.ones(len(rows))
    columns = FoundColumns(rows, cols, np.full(len(rows), 78), some, some, some, some, some, PITCH)
    optics = FoundOptics(*[Measured(float(pixels.size), 1.0)] * 4)
    deviation = np.full(pixels.shape, float(noise.variance(np.array([0.45]))[0] ** 0.5))
    return Denoised(
        image=pixels.astype(np.float32),
        method="prior",
        noise=noise,
        evidence=(),
        seconds=0.0,
        find=lambda: Found(columns, optics, deviation),
    )


@pytest.fixture
def still(rng):
    return [Gaussian(0.01).sample(scene(t), rng) for t in range(5)]


def test_columns_of_several_answers_are_those_of_the_frame_each_once(still):
    done = denoise_among(still, 2, seer, noise=Gaussian(0.01))
    assert len(done.trace["movie"]["runs"]) > 1  # drift leaves rims for shorter runs
    true = PLACES - 8 + PATH[2]
    found = np.stack([done.columns.rows, done.columns.columns], 1)
    inner = ((true > 3) & (true < np.array([92, 108]))).all(1)
    nearest = cKDTree(found).query_ball_point(true[inner], 2.0)
    assert [len(near) for near in nearest] == [1] * inner.sum()
    assert cKDTree(true).query(found)[0].max() < 2


def test_deviations_are_those_of_as_many_frames_as_answer(still):
    done = denoise_among(still, 2, seer, noise=Gaussian(0.01))
    assert done.deviation.shape == still[2].shape
    assert done.deviation[40:60, 40:60] == pytest.approx(0.01 / 5**0.5, rel=1e-3)
    assert 0.01 / 5**0.5 < done.deviation[0, 0] <= 0.01 * 1.001
    assert done.optics.defocus.value == (96 - 3) * (112 - 4)  # pixels that all frames reach


def test_a_column_is_told_in_those_frames_in_which_it_is(rng):
    y, x = np.indices(BIG.shape)
    more = 0.4 * np.exp(-((y - 20) ** 2 + (x - 100) ** 2) / (2 * 4.5**2))
    clean = [scene(t, BIG + more * (t < 3)) for t in range(5)]
    noisy = [Gaussian(0.01).sample(frame, rng) for frame in clean]
    for t in range(5):
        columns = denoise_among(noisy, t, seer, noise=Gaussian(0.01)).columns
        at = np.array([20, 100]) - 8 + PATH[t]
        near = np.hypot(columns.rows - at[0], columns.columns - at[1]) < 3
        assert near.sum() == (t < 3)


def test_a_method_that_tells_no_columns_tells_none_of_movies(still):
    blur = partial(emprior.denoise, method="blur")
    assert denoise_among(still, 2, blur, noise=Gaussian(0.01)).columns is None


def test_labels_are_ignored_by_those_who_answer_for_several_frames(rng):
    seen = []

    def spy(image, **options):
        if isinstance(image, Micrograph):
            seen.append(image)
        return seer(image, **options)

    noisy = [Gaussian(0.02).sample(scene(0), rng) for _ in range(3)]
    for frame in noisy:
        frame[:10, :50] = 3.0
    with pytest.warns(EmpriorWarning, match="500 pixels in patches") as said:
        done = denoise_among(noisy, 1, spy, noise=Gaussian(0.02))
    assert len(said) == 1
    shares = [run["share"] for run in done.trace["movie"]["runs"]]
    assert shares[0] > 0.85  # a label is no change
    assert sum(shares) == pytest.approx(1 - 500 / noisy[1].size)  # nobody is asked about it
    assert seen[0].ignored[:10, :50].all()
    assert seen[0].ignored.sum() == 500
    np.testing.assert_array_equal(done.image[:10, :50], 3.0)
    assert np.isnan(done.deviation[0, 0])


def test_a_pixel_size_is_looked_for_once(still, tmp_path, monkeypatch):
    asked = []

    def spy(image, *, pixel_size, **options):
        asked.append(pixel_size)
        return seer(image, **options)

    monkeypatch.setattr(movie, "denoise", spy)
    prior = toy_prior(tmp_path / "toy.safetensors")  # which sees no lattice anywhere
    with pytest.warns(EmpriorWarning, match=r"0\.0489 Å.* is assumed") as heard:
        list(denoise_movie(still, prior=prior, noise=Gaussian(0.01)))
    assert len(heard) == 1
    assert set(asked) == {0.0489}
    asked.clear()
    stated = [Micrograph(frame, PITCH) for frame in still]
    list(denoise_movie(stated, prior=prior, noise=Gaussian(0.01)))
    assert set(asked) == {None}
    assert list(denoise_movie([], prior=prior)) == []


def test_warnings_say_of_which_frames_they_are(still):
    def doubting(image, **options):
        how = "several" if isinstance(image, Micrograph) else "one"
        warnings.warn(f"nobody knows {how}", EmpriorWarning, stacklevel=2)
        return seer(image, **options)

    with pytest.warns(EmpriorWarning) as heard:
        denoise_among(still, 1, doubting, noise=Gaussian(0.01))
    said = [str(one.message) for one in heard]
    assert said[0] == "of frames -1 to +3 together: nobody knows several"
    assert len(said) == len(set(said))
    assert all(line == "of the frame alone: nobody knows one" for line in said[1:])


# ---------------------------------------------------------------------------- with real weights


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Two frames of 10 electrons a pixel of what the default prior knows."""
    shown, rng = demo.example(), np.random.default_rng(5)
    clean = shown.truth[-128:, :144].astype(np.float64)
    frames = np.stack([Poisson(0.1).sample(clean, rng) for _ in range(2)])
    path = tmp_path_factory.mktemp("film") / "film.hspy"
    write(path, Signal.from_array(frames.astype(np.float32), shown.noisy.pixel_size))
    return path


def test_the_columns_of_a_movie_are_written_by_frame(film, tmp_path):
    names = ("out.hspy", "columns.csv", "sd.hspy")
    out, table, sd = (tmp_path / name for name in names)
    options = ["--out", out, "--columns", table, "--deviation", sd]
    result = CliRunner().invoke(app, ["denoise", str(film), "--movie", *map(str, options)])
    assert result.exit_code == 0, result.output
    lines = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert {line["frame"] for line in lines} == {"0", "1"}
    counts = [sum(line["frame"] == frame for line in lines) for frame in "01"]
    assert min(counts) > 5
    provenance = read(out).provenance
    for frame in provenance["frames"]:
        assert frame["movie"]["runs"][0]["method"] == "prior"
        assert frame["movie"]["runs"][0]["last"] - frame["movie"]["runs"][0]["first"] == 1
    assert np.isfinite(read(sd).data).mean() > 0.5  # where the prior answered
