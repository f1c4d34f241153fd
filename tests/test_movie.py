"""Movies: neighbours are more counts where nothing changed, and they blur no change."""

import warnings
from functools import partial

import numpy as np
import pytest
from strategies import lattice
from typer.testing import CliRunner

import emprior
from emprior import batch, denoise, denoise_movie
from emprior.batch import Settings, denoise_file
from emprior.cli import app
from emprior.drift import drift
from emprior.errors import EmpriorWarning, ImageError, OptionError
from emprior.io import Signal, read, write
from emprior.movie import denoise_among
from emprior.noise import ClippedPoisson, Gaussian, Poisson

CLEAN = lattice((96, 112), 0.1)
ANSWER = partial(denoise, method="pooled-wavelet", pixel_size=0.1)
as_movie = partial(denoise_movie, method="pooled-wavelet", pixel_size=0.1)


def column(row, col):
    """Return one column more, as high as those of the lattice."""
    y, x = np.indices(CLEAN.shape)
    return 0.4 * np.exp(-((y - row) ** 2 + (x - col) ** 2) / (2 * 4.5**2))


def psnr(image, clean):
    return -10 * np.log10(np.mean((image - clean) ** 2))


def error(image, clean, row, col):
    """Return the root mean square error about a place."""
    return np.sqrt(np.mean((image - clean)[row - 7 : row + 8, col - 7 : col + 8] ** 2))


# ------------------------------------------------------------------------------------------ drift


def test_drift_is_found(rng):
    big = lattice((160, 170), 0.1)
    path = np.array([(0, 0), (1, -2), (3, -3), (4, -6), (4, -7)])
    frames = [big[20 - r : 116 - r, 30 - c : 142 - c] for r, c in path]
    noisy = [Poisson(0.02).sample(frame, rng) for frame in frames]
    np.testing.assert_allclose(drift(noisy, 2), path - path[2], atol=0.6)
    assert not drift(noisy, 2)[2].any()


def test_what_the_data_do_not_tell_is_no_drift(rng):
    """The highest of many random maxima of the correlation would be anywhere."""
    frames = [Poisson(8.0).sample(CLEAN, rng) for _ in range(7)]
    assert np.abs(drift(frames, 3)).max() <= 1
    jump = [Poisson(0.05).sample(frame, rng) for frame in (CLEAN, np.roll(CLEAN, (9, -6), (0, 1)))]
    np.testing.assert_allclose(drift(jump, 0)[1], (9, -6), atol=1)


# ----------------------------------------------------------------------------- what is left alone


def test_a_frame_by_itself_is_denoised_as_ever(rng):
    noisy = Poisson(0.1).sample(CLEAN, rng)
    (done,) = as_movie([noisy])
    np.testing.assert_array_equal(done.image, ANSWER(noisy, seed=(0, 0)).image)


def test_frames_that_differ_everywhere_are_answered_alone(rng):
    scenes = [CLEAN, CLEAN[::-1], CLEAN[:, ::-1]]
    noisy = [Gaussian(0.03).sample(scene, rng) for scene in scenes]
    for number, done in enumerate(as_movie(noisy, noise=Gaussian(0.03))):
        alone = ANSWER(noisy[number], noise=Gaussian(0.03), seed=(0, number)).image
        changed = np.abs(scenes[number] - scenes[(number + 1) % 3]) > 0.1
        np.testing.assert_allclose(done.image[changed], alone[changed], atol=0.02)


def test_clipped_counts_are_said_not_to_add(rng):
    noise = ClippedPoisson(0.1, 0.0, 1.0)
    noisy = [noise.sample(CLEAN, rng) for _ in range(2)]
    with pytest.warns(EmpriorWarning, match="cannot be averaged"):
        done = next(as_movie(noisy, noise=noise))
    np.testing.assert_array_equal(done.image, ANSWER(noisy[0], noise=noise, seed=(0, 0)).image)


def test_neighbours_that_cannot_be_used_are_left_out(rng):
    noisy = [Poisson(0.1).sample(CLEAN, rng) for _ in range(3)]
    noisy[2][5, 5] = np.nan
    done = denoise_among(noisy, 0, ANSWER)
    assert max(run["last"] for run in done.trace["movie"]["runs"]) == 1
    noisy[2] = Poisson(0.1).sample(3 * CLEAN, rng)  # of other noise
    done = denoise_among(noisy, 0, ANSWER)
    assert max(run["last"] for run in done.trace["movie"]["runs"]) == 1


# -------------------------------------------------------------------------------- what is added up


@pytest.mark.parametrize("noise", [Poisson(0.1), Gaussian(0.3), ClippedPoisson(1.0, 0.0, 1.0)])
def test_what_is_denoised_has_the_noise_that_is_said(noise, rng):
    """Of the means that reach the denoiser, standardised residuals have mean 0 and variance 1."""
    big = lattice((120, 136), 0.1)
    path = [(0, 0), (1, 1), (2, 1), (1, 3), (0, 2)]
    noisy = [noise.sample(big[8 - r : 104 - r, 8 - c : 120 - c], rng) for r, c in path]
    clean, seen = big[8 - 2 : 104 - 2, 8 - 1 : 120 - 1], []

    def spy(image, *, noise, **options):
        if isinstance(image, emprior.Micrograph):
            seen.append((image.image, noise))
        return ANSWER(image, noise=noise, **options)

    done = denoise_among(noisy, 2, spy, noise=noise)
    runs = [run for run in done.trace["movie"]["runs"] if run["first"] != run["last"]]
    assert len(seen) == len(runs) >= 1
    image, model = seen[0]
    assert runs[0]["share"] > 0.3
    moved = np.rint(done.trace["movie"]["drift"]).astype(int)
    top, left = np.maximum(0, -moved.min(0))
    truth = clean[top:, left:][: image.shape[0], : image.shape[1]]
    z = (image - model.mean(truth)) / np.sqrt(model.variance(truth))
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert z.var() == pytest.approx(1, abs=0.06)


def test_a_still_object_gains_what_its_counts_are_worth(rng):
    noisy = [Poisson(0.1).sample(CLEAN, rng) for _ in range(7)]
    done = list(as_movie(noisy))
    alone = [ANSWER(frame).image for frame in noisy]
    gains = [
        psnr(one.image, CLEAN) - psnr(other, CLEAN) for one, other in zip(done, alone, strict=True)
    ]
    assert np.mean(gains) > 2.5
    assert all(one.trace["movie"]["runs"][0]["share"] > 0.7 for one in done)
    assert "7 frames answer for" in done[3].evidence[-1]


@pytest.mark.parametrize("dose", [4, 20])
def test_a_column_that_vanishes_is_not_blurred(dose, rng):
    row, col = 60, 40
    clean = [CLEAN + column(row, col) * (t < 4) for t in range(8)]
    worse = []
    for _ in range(3):
        noisy = [Poisson(1 / dose).sample(frame, rng) for frame in clean]
        done = list(as_movie(noisy))
        for t in (3, 4):
            alone = ANSWER(noisy[t]).image
            before, after = (error(image, clean[t], row, col) for image in (alone, done[t].image))
            worse.append(after - before)
    assert np.mean(worse) < 2 * np.std(worse) / len(worse) ** 0.5


def test_a_flash_in_one_frame_stays_in_it(rng):
    clean = [CLEAN + column(60, 40) * (t == 3) for t in range(7)]
    noisy = [Poisson(0.02).sample(frame, rng) for frame in clean]
    for t, done in enumerate(as_movie(noisy)):
        place = np.s_[57:64, 37:44]
        alone = ANSWER(noisy[t], seed=(0, t)).image
        level, expected = ((image - CLEAN)[place].mean() for image in (done.image, alone))
        assert level == pytest.approx(expected if t == 3 else 0.0, abs=0.05)


def test_brightness_may_waver(rng):
    levels = 1 + 0.02 * np.array([0, 1, -1, 0.5, -0.5])
    noisy = [Poisson(0.02).sample(CLEAN * level, rng) for level in levels]
    for level, done in zip(levels, as_movie(noisy), strict=True):
        assert done.trace["movie"]["runs"][0]["share"] > 0.6
        assert done.image.mean() == pytest.approx(level * CLEAN.mean(), rel=0.004)


def test_labels_stay_and_hot_pixels_go(rng):
    noisy = [Gaussian(0.1).sample(CLEAN, rng).astype(np.float32) for _ in range(3)]
    for frame in noisy:
        frame[:10, :50] = 3.0
        frame[70, 70] = 30.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EmpriorWarning)
        done = list(as_movie(noisy))
    for one in done:
        np.testing.assert_array_equal(one.image[:10, :50], 3.0)
        assert abs(one.image - CLEAN)[20:].max() < 0.3


# ------------------------------------------------------------------------------- frames one by one


def test_frames_are_taken_as_they_are_needed(rng):
    taken = []

    def source():
        for t in range(9):
            taken.append(t)
            yield Poisson(0.1).sample(CLEAN, rng)

    movie = as_movie(source(), reach=2)
    next(movie)
    assert taken == [0, 1, 2]
    next(movie)
    assert taken == [0, 1, 2, 3]
    assert len(list(movie)) == 7


def test_what_is_no_movie_is_refused(rng):
    noisy = [Poisson(0.1).sample(CLEAN, rng), Poisson(0.1).sample(CLEAN[:80], rng)]
    with pytest.raises(ImageError, match="frames of shapes"):
        list(as_movie(noisy))
    with pytest.raises(OptionError, match="a reach of 0"):
        list(as_movie(noisy, reach=0))
    with pytest.raises(OptionError, match="a pixel size of 0"):
        list(as_movie(noisy, pixel_size=0))


# ------------------------------------------------------------------------------------------ files

SETTINGS = Settings(method="pooled-wavelet", movie=True)


@pytest.fixture
def film(tmp_path, rng):
    frames = np.stack([Poisson(0.1).sample(CLEAN[:64, :72], rng) for _ in range(5)])
    write(tmp_path / "film.hspy", Signal.from_array(frames.astype(np.float32), 0.1))
    return tmp_path / "film.hspy"


def test_a_file_is_denoised_as_its_frames_are_also_after_a_stop(film, tmp_path, monkeypatch):
    expected = [one.image for one in as_movie(read(film).data)]
    whole = batch.frame.denoise_among
    done = []

    def stopped(*args, **options):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(whole(*args, **options))
        return done[-1]

    monkeypatch.setattr(batch.frame, "denoise_among", stopped)
    with pytest.raises(KeyboardInterrupt):
        denoise_file(film, tmp_path / "out.hspy", SETTINGS)
    monkeypatch.setattr(batch.frame, "denoise_among", whole)
    said = []
    denoise_file(film, tmp_path / "out.hspy", SETTINGS, say=said.append)
    assert said == ["film.hspy: 2 of 5 frames were done before"]
    np.testing.assert_array_equal(read(tmp_path / "out.hspy").data, expected)
    provenance = read(tmp_path / "out.hspy").provenance
    assert provenance["settings"]["movie"] is True
    assert len(provenance["frames"][2]["movie"]["drift"]) == 5


def test_workers_find_the_same(film, tmp_path):
    denoise_file(film, tmp_path / "one.hspy", SETTINGS)
    denoise_file(film, tmp_path / "two.hspy", SETTINGS, workers=2)
    assert (tmp_path / "one.hspy").read_bytes() == (tmp_path / "two.hspy").read_bytes()


def test_series_of_movies_are_not_mixed(tmp_path, rng):
    frames = np.stack([Poisson(0.1).sample(CLEAN[:64, :72], rng) for _ in range(4)])
    write(tmp_path / "in.hspy", Signal.from_array(frames.reshape(2, 2, 64, 72), 0.1))
    done = denoise_file(tmp_path / "in.hspy", tmp_path / "out.hspy", SETTINGS)
    assert all(len(one.trace["movie"]["drift"]) == 2 for one in done)


@pytest.mark.parametrize(
    ("shape", "options", "word"),
    [
        ((64, 72), [], "with --movie: an array of shape"),
        ((1, 64, 72), [], "with --movie: an array of shape"),
    ],
)
def test_what_does_not_go_with_movies_is_said(shape, options, word, tmp_path, rng):
    np.save(tmp_path / "in.npy", rng.poisson(9.0, shape))
    named = [str(tmp_path / one) if "." in one else one for one in options]
    method = [] if "--method" in options else ["--method", "blur"]
    args = ["denoise", str(tmp_path / "in.npy"), "-o", str(tmp_path / "o.npy"), "--movie"]
    result = CliRunner().invoke(app, [*args, *method, *named])
    assert result.exit_code == 2
    assert word in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["in.npy"]
