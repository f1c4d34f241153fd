"""The nearest training image: planted frames are found, with their pose, in heavy noise."""

from __future__ import annotations

import laws
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from small_dataset import write_dataset
from strategies import NOISE_CASES, scaled

import emprior
from emprior.datasets import Dataset
from emprior.denoisers import album
from emprior.denoisers.nearest import Nearest
from emprior.errors import EmpriorWarning, FileError, OptionError
from emprior.evaluate import EvaluationRecipe, run
from emprior.evaluate.frames import interpolate
from emprior.metrics import psnr
from emprior.micrograph import Micrograph
from emprior.noise import ClippedPoisson, Gaussian, NoiseModel, Poisson
from emprior.records import read

PIXEL_SIZE = 0.2
SCALES = (1.0, 0.97, 1.02)
FINER = 4  # pixels of a frame along one of an image

noises = pytest.mark.parametrize("noise", NOISE_CASES.values(), ids=NOISE_CASES)


def texture(seed: int, shape: tuple[int, int] = (56, 64)) -> np.ndarray:
    """Return a band-limited image of vacuum 0.45, unlike any other, and unlike its own mirror."""
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 2.0)
    return (0.45 + 0.06 * noise / noise.std()).astype(np.float32)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Three structures of two images each, every structure at a scale of its own."""
    images = [np.stack([texture(2 * n), texture(2 * n + 1)]) for n in range(len(SCALES))]
    return write_dataset(tmp_path_factory.mktemp("data") / "set", images, PIXEL_SIZE, SCALES)


def planted(number: int, row: int, column: int, shape=(128, 144)) -> Micrograph:
    """Return a part of an image on a finer grid; row and column are in pixels of the frame."""
    fine = interpolate(texture(number).astype(np.float16), FINER)
    frame = fine[row : row + shape[0], column : column + shape[1]]
    return Micrograph(frame, PIXEL_SIZE * SCALES[number // 2] / FINER)


def corrupted(clean: Micrograph, noise: NoiseModel, seed: int = 7) -> Micrograph:
    image = noise.sample(clean.image.astype(np.float64), np.random.default_rng(seed))
    return Micrograph(image, clean.pixel_size)


def found(place, frame: Micrograph, noise: NoiseModel):
    return Nearest(place)(frame, noise, np.random.default_rng(0))


# --- planted frames ------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [Gaussian(1e-4), Gaussian(0.5), Poisson(1.0), ClippedPoisson()])
@pytest.mark.parametrize("number", range(6))
def test_a_frame_cut_from_an_image_is_found_with_its_pose(place, number, noise):
    row, column = 14 + 9 * number, 61 - 7 * number
    clean = planted(number, row, column)
    estimate = found(place, corrupted(clean, noise), noise)
    trace, quiet = estimate.trace, noise == Gaussian(1e-4)
    assert (trace["image"], trace["flipped"]) == (number, False)
    assert trace["row"] == pytest.approx(row / FINER, abs=0.01 if quiet else 0.7)
    assert trace["column"] == pytest.approx(column / FINER, abs=0.01 if quiet else 0.7)
    assert trace["data"] == Dataset.open(place).hash
    assert psnr(estimate.image, clean.image, data_range=1) > (60 if quiet else 28)


@pytest.mark.parametrize(("noise", "least"), [(Gaussian(1e-4), 60), (Poisson(1.0), 28)])
def test_a_mirrored_frame_is_found(place, noise, least):
    clean = planted(3, 30, 20)
    mirrored = Micrograph(clean.image[:, ::-1], clean.pixel_size)
    estimate = found(place, corrupted(mirrored, noise), noise)
    assert (estimate.trace["image"], estimate.trace["flipped"]) == (3, True)
    assert psnr(estimate.image, mirrored.image, data_range=1) > least


@pytest.mark.parametrize("noise", [Gaussian(1e-4), Poisson(1 / 64)])
def test_a_frame_on_the_images_own_grid_is_found(place, noise):
    image = texture(1)[7:41, 11:59]
    estimate = found(place, corrupted(Micrograph(image, PIXEL_SIZE), noise), noise)
    assert estimate.trace["image"] == 1
    assert (estimate.trace["row"], estimate.trace["column"]) == pytest.approx((7, 11), abs=0.4)


def test_the_whole_image_fits(place):
    estimate = found(place, Micrograph(texture(0), PIXEL_SIZE), Gaussian(1e-4))
    assert (estimate.trace["image"], estimate.trace["flipped"]) == (0, False)
    np.testing.assert_allclose(estimate.image, texture(0), atol=2e-3)


def test_no_image_at_any_whole_pixel_explains_more(tmp_path, rng):
    """Against every image, mirrored or not, everywhere, by plain least squares."""
    images = np.stack([texture(n, (22, 27)) for n in range(4)])
    frame = Micrograph(0.45 + 0.1 * rng.standard_normal((16, 18)), PIXEL_SIZE)
    estimate = found(write_dataset(tmp_path / "set", [images], PIXEL_SIZE), frame, Gaussian(0.1))
    left = []
    for image in images:
        for seen in (frame.image, frame.image[:, ::-1]):
            for window in np.lib.stride_tricks.sliding_window_view(image, seen.shape).reshape(
                -1, seen.size
            ):
                slope, level = np.polyfit(window, seen.ravel(), 1)
                if slope < 0:
                    slope, level = 0.0, seen.mean()
                left.append(np.sum((seen.ravel() - slope * window - level) ** 2))
    assert np.sum((frame.image - estimate.image) ** 2) <= min(left) * (1 + 1e-4)


# --- laws ----------------------------------------------------------------------------------------


@noises
def test_estimate_is_a_finite_image_of_the_same_shape(place, noise):
    frame = corrupted(planted(2, 11, 8, (71, 90)), noise)
    laws.estimate_is_a_finite_float32_image(Nearest(place), frame, noise)


def test_deterministic(place):
    frame = corrupted(planted(4, 3, 5), Poisson(0.1))
    laws.deterministic(Nearest(place), frame, Poisson(0.1))


@pytest.mark.parametrize(
    ("noise", "a", "b"),
    [
        (Gaussian(0.2), 200.0, -31.0),
        (Poisson(0.1), 0.02, 5.0),
        (ClippedPoisson(), 200.0, -31.0),
        (NOISE_CASES["counts and readout"], 3.0, 0.0),
    ],
    ids=str,
)
def test_blind_to_exposure(place, noise, a, b):
    frame = corrupted(planted(5, 17, 40), noise)
    laws.scales_with_the_data(Nearest(place), frame, noise, scaled(noise, a, b), a, b)


def test_a_frame_of_vacuum_is_flat(tmp_path, rng):
    """An image of vacuum holds no structure that could be blown up to fit the noise."""
    images = (0.45 + 1e-5 * rng.standard_normal((2, 40, 40))).astype(np.float32)
    place = write_dataset(tmp_path / "set", [images], PIXEL_SIZE)
    frame = Micrograph(0.45 + 0.2 * rng.standard_normal((100, 120)), PIXEL_SIZE / 4)
    assert np.ptp(found(place, frame, Gaussian(0.2)).image) < 0.01


def test_progress_rises_to_one(place):
    shares: list[float] = []
    frame = planted(0, 0, 0)
    Nearest(place, progress=shares.append)(frame, Gaussian(0.1), np.random.default_rng(0))
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_images_are_read_once(place):
    assert album.open_album(place) is album.open_album(str(place))


# --- what cannot be brought together -------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "pixel_size"),
    [((130, 300), 0.05), ((60, 40), 0.2), ((40, 40), 0.41), ((31, 60), 0.05), ((20, 20), 5.0)],
)
def test_a_frame_that_no_image_can_hold_is_refused(place, shape, pixel_size, rng):
    frame = Micrograph(rng.normal(0.45, 0.1, shape), pixel_size)
    said = rf"{shape[0]} × {shape[1]}[^$]*11\.\d × 12\.\d Å"
    with pytest.raises(OptionError, match=said) as caught:
        found(place, frame, Gaussian(0.1))
    assert all((caught.value.expected, caught.value.why, caught.value.fix))


def test_a_data_set_has_to_be_named(rng, tmp_path):
    frame = rng.normal(0.45, 0.1, (40, 50))
    options = {"method": "nearest", "pixel_size": 0.2, "noise": "gaussian:0.1"}
    with pytest.raises(OptionError, match=r"without a data set[^$]*emprior simulate"):
        emprior.denoise(frame, **options)
    with pytest.raises(FileError, match="no data set"):
        emprior.denoise(frame, prior=tmp_path, **options)


def test_a_data_set_larger_than_memory_is_refused(place, monkeypatch):
    monkeypatch.setattr(album, "_MOST_BYTES", 1e4)
    with pytest.raises(OptionError, match=r"6 images[^$]*smaller data set"):
        Nearest(place)(planted(0, 0, 0), Gaussian(0.1), np.random.default_rng(0))


# --- through the interfaces ----------------------------------------------------------------------


def test_without_a_pixel_size_the_published_one_is_assumed(place):
    clean = planted(0, 12, 24)
    with pytest.warns(EmpriorWarning, match=r"0\.0489 Å"):
        done = emprior.denoise(clean.image, method="nearest", prior=place, noise="gaussian:0.01")
    assert done.method == "nearest"
    assert done.trace["image"] == 0


def test_a_row_of_an_evaluation(place, tmp_path):
    recipe = EvaluationRecipe.from_dict(
        {
            "data": [{"path": str(place), "max_images": 2}],
            "denoisers": ["constant", {"method": "nearest", "prior": str(place)}],
            "noises": ["none", "P(1)"],
            "crop": 128,
            "pixel_size": 0.05,
        }
    )
    rows = [r for r in read(run(recipe, tmp_path / "out")) if r["denoiser"] == "nearest"]
    assert {r["prior"] for r in rows} == {Dataset.open(place).hash}
    assert all(f"set/{r['trace']['image']}" == r["image"] for r in rows)
