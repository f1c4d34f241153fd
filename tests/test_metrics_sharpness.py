"""What blur does to Gaussian columns and to waves is known in closed form."""

import math

import numpy as np
import pytest
from scipy import ndimage
from strategies import lattice, lattice_positions

from emprior.errors import ImageError, OptionError
from emprior.metrics import column_sizes, spectrum_ratio, vacuum_contrast

SHAPE = (150, 190)
PIXEL = 0.1
WIDTH = 0.45  # of the columns of `lattice` [Å]


@pytest.fixture
def truth():
    return lattice(SHAPE, PIXEL)


def blurred(image, sigma):
    return ndimage.gaussian_filter(image, sigma / PIXEL, mode="reflect", truncate=8)


def wave(frequency):
    y, x = np.meshgrid(*(PIXEL * np.arange(n) for n in SHAPE), indexing="ij")
    return 0.45 + 0.1 * np.cos(2 * np.pi * frequency * (0.6 * y + 0.8 * x))


@pytest.mark.parametrize("sigma", [0.1, 0.3])
def test_the_spectrum_of_a_blurred_wave_is_its_transfer(sigma):
    expected = math.exp(-2 * (math.pi * 0.5 * sigma) ** 2)
    assert spectrum_ratio(blurred(wave(0.5), sigma), wave(0.5), PIXEL) == pytest.approx(
        expected, rel=0.01
    )


def test_the_spectrum_tells_blur_from_noise_and_not_the_mean(truth, rng):
    noise = 0.1 * rng.standard_normal(SHAPE)
    assert spectrum_ratio(truth + 1, truth, PIXEL) == pytest.approx(1)
    assert spectrum_ratio(0.45 + 0.8 * (truth - 0.45), truth, PIXEL) == pytest.approx(0.8)
    assert spectrum_ratio(blurred(truth, 0.3), truth, PIXEL) < 0.9
    assert spectrum_ratio(truth + noise, truth, PIXEL) > 1.02
    assert spectrum_ratio(np.full(SHAPE, 0.45), truth, PIXEL) == pytest.approx(0, abs=1e-12)


def test_only_the_band_counts():
    beyond = wave(0.5) + wave(1.5)
    assert spectrum_ratio(beyond, wave(0.5), PIXEL) == pytest.approx(1, rel=1e-3)
    assert spectrum_ratio(beyond, wave(0.5), PIXEL, band=(0.3, 2)) == pytest.approx(
        math.sqrt(2), rel=1e-2
    )


def test_contrast_follows_the_scale_of_the_difference_alone(truth):
    for share in (1.0, 0.6, 0.0, -0.5):
        estimate = 0.3 + share * (truth - 0.45)
        assert vacuum_contrast(estimate, truth, PIXEL) == pytest.approx(share, abs=1e-9)
        dark = vacuum_contrast(0.9 - estimate, 0.9 - truth, PIXEL)
        assert dark == pytest.approx(share, abs=1e-9)


def test_contrast_of_a_blurred_column_is_the_analytic_one():
    """The mean of a Gaussian of height h w²/W² over a disc of radius a about its centre."""
    y, x = np.meshgrid(*(PIXEL * (np.arange(n) - n // 2) for n in SHAPE), indexing="ij")
    truth = 0.45 + 0.2 * np.exp(-(x**2 + y**2) / (2 * WIDTH**2))

    def level(width):
        return 1 - math.exp(-(0.4**2) / (2 * width**2))

    found = vacuum_contrast(blurred(truth, 0.5), truth, PIXEL)
    expected = level(math.hypot(WIDTH, 0.5)) / level(WIDTH)
    assert found == pytest.approx(expected, rel=0.02)


def test_contrast_is_not_told_without_columns_or_vacuum(truth):
    flat = np.full(SHAPE, 0.45)
    assert vacuum_contrast(truth, flat, PIXEL) is None
    edge = flat + 0.2 * np.exp(-((PIXEL * np.arange(SHAPE[1])) ** 2) / (2 * WIDTH**2))
    assert vacuum_contrast(edge, edge, PIXEL) is None  # at the edges nothing is counted
    matter = np.full((60, 70), 0.45)
    matter += lattice((150, 190), PIXEL)[-60:, :70] - 0.45  # columns throughout
    assert vacuum_contrast(matter, matter, PIXEL) is None


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("pixel_size", [0.1, 0.2])
def test_the_width_of_gaussian_columns_is_found(sign, pixel_size):
    image = lattice((round(15 / pixel_size), round(19 / pixel_size)), pixel_size, sign=sign)
    sizes = column_sizes(image, image, pixel_size)
    assert sizes.truth_width == pytest.approx(WIDTH, rel=0.03)
    assert sizes.width_ratio == sizes.count_ratio == 1


def test_blur_widens_columns_as_variances_add(truth):
    sizes = column_sizes(blurred(truth, 0.25), truth, PIXEL)
    assert sizes.estimate_width == pytest.approx(math.hypot(WIDTH, 0.25), rel=0.03)
    assert sizes.count_ratio == 1
    slope = 0.002 * np.arange(SHAPE[1])
    sloped = column_sizes(truth + slope, truth, PIXEL)
    assert sloped.width_ratio == pytest.approx(1, rel=0.02)


def test_more_rows_of_smaller_columns_are_told(truth):
    dense = lattice(SHAPE, PIXEL, spacing=2.0)
    sizes = column_sizes(dense, truth, PIXEL)
    assert sizes.count_ratio > 1.2
    extent = (np.array(SHAPE) - 1) * PIXEL
    planted = lattice_positions(SHAPE, PIXEL)
    inside = np.all((planted >= 1) & (planted <= extent - 1), axis=1).sum()
    assert sizes.truth_count == inside
    empty = column_sizes(np.full(SHAPE, 0.45), truth, PIXEL)
    assert empty.estimate_count == 0
    assert empty.estimate_width is empty.width_ratio is None


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: spectrum_ratio(x, x, PIXEL, band=(0.3, 6)), OptionError, "0.3 to 6"),
        (lambda x: spectrum_ratio(x, x, PIXEL, band=(0.9, 0.3)), OptionError, "0.9 to 0.3"),
        (lambda x: spectrum_ratio(x, 0 * x, PIXEL), ImageError, "without amplitude"),
        (lambda x: spectrum_ratio(x, x[1:], PIXEL), ImageError, "(149, 190)"),
        (lambda x: vacuum_contrast(x, x, 0.0), OptionError, "pixel size"),
        (lambda x: column_sizes(x, x * np.nan, PIXEL), ImageError, "NaN"),
    ],
)
def test_bad_input_is_explained(call, error, words, truth):
    with pytest.raises(error) as caught:
        call(truth)
    assert words in str(caught.value)
