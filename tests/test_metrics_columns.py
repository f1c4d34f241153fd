import numpy as np
import pytest
from strategies import lattice, lattice_positions

from emprior.errors import ImageError, OptionError
from emprior.metrics import ColumnScore, column_f1, columns, polarity, psnr

PIXEL = 0.1
SHAPE = (150, 190)
PUBLISHED_PIXEL = 0.0489


@pytest.fixture
def truth():
    return lattice(SHAPE, PIXEL)


def positions():
    """The lattice's columns 1 Å and more from the edges."""
    all_of_them = lattice_positions(SHAPE, PIXEL)
    extent = (np.array(SHAPE) - 1) * PIXEL
    return all_of_them[np.all((all_of_them > 1) & (all_of_them < extent - 1), axis=1)]


def with_column(image, position, height):
    y, x = np.meshgrid(*(PIXEL * np.arange(n) for n in image.shape), indexing="ij")
    r, c = position
    return image + height * np.exp(-((y - r) ** 2 + (x - c) ** 2) / (2 * 0.45**2))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("pixel_size", [0.05, 0.1, 0.3])
def test_columns_are_found_where_they_were_drawn(sign, pixel_size):
    shape = (round(15 / pixel_size), round(19 / pixel_size))
    image = lattice(shape, pixel_size, sign=sign)
    planted = lattice_positions(shape, pixel_size)
    extent = (np.array(shape) - 1) * pixel_size
    planted = planted[np.all((planted > 1) & (planted < extent - 1), axis=1)]
    assert polarity(image, pixel_size) == sign
    found = columns(image, pixel_size)
    distance = np.linalg.norm(planted[:, None] - found[None], axis=-1)
    assert distance.min(axis=1).max() < 0.05
    assert len(set(distance.argmin(axis=1))) == len(planted)
    inside = np.all((found > 1) & (found < extent - 1), axis=1)
    assert inside.sum() == len(planted)  # none in the vacuum


def test_noise_below_the_prominence_is_no_column(truth):
    ripple = 0.006 * np.sin(np.arange(SHAPE[0]) / 3)[:, None] * np.sin(np.arange(SHAPE[1]) / 3)
    assert len(columns(0.45 + ripple, PIXEL)) == 0
    assert len(columns(0.45 + 4 * ripple, PIXEL)) > 10
    assert len(columns(np.full(SHAPE, 0.45), PIXEL)) == 0


def test_a_perfect_estimate_has_every_column(truth):
    score = column_f1(truth, truth, PIXEL)
    assert score == ColumnScore(len(positions()), 0, 0)
    assert score.precision == score.recall == score.f1 == 1


def test_an_added_and_a_removed_column_are_told_apart(truth):
    n = len(positions())
    vacuum = (2.0, 15.0)
    assert column_f1(with_column(truth, vacuum, 0.2), truth, PIXEL) == ColumnScore(n, 1, 0)
    fewer = with_column(truth, positions()[n // 2], -0.2)
    score = column_f1(fewer, truth, PIXEL)
    assert score == ColumnScore(n - 1, 0, 1)
    assert score.recall == pytest.approx((n - 1) / n)
    assert score.precision == 1
    assert score.f1 == pytest.approx(2 * (n - 1) / (2 * n - 1))
    assert psnr(fewer, truth, data_range=1) > 30  # which PSNR hardly sees


def test_a_column_moved_by_more_than_the_reach_is_both(truth):
    n, there = len(positions()), positions()[len(positions()) // 2]
    for shift, expected in ((0.25, ColumnScore(n, 0, 0)), (0.6, ColumnScore(n - 1, 1, 1))):
        moved = with_column(with_column(truth, there, -0.2), there + np.array((0, shift)), 0.2)
        assert column_f1(moved, truth, PIXEL) == expected


def test_matching_is_one_to_one(truth):
    """Two columns of the estimate within reach of one true column count as one and one added."""
    n, there = len(positions()), positions()[len(positions()) // 2]
    y, x = np.meshgrid(*(PIXEL * np.arange(k) for k in SHAPE), indexing="ij")
    split = with_column(truth, there, -0.2)
    for side in (-0.35, 0.35):
        split += 0.2 * np.exp(-((y - there[0]) ** 2 + (x - there[1] - side) ** 2) / (2 * 0.15**2))
    assert column_f1(split, truth, PIXEL) == ColumnScore(n, 1, 0)


def test_the_border_is_dropped(truth):
    n = len(positions())
    assert column_f1(with_column(truth, (0.5, 14.0), 0.2), truth, PIXEL) == ColumnScore(n, 0, 0)


def test_polarity_is_the_truths(truth):
    """An inverted estimate has its bright spots between the columns: none is right."""
    inverted = 0.9 - truth
    assert column_f1(inverted, truth, PIXEL).matched == 0
    assert column_f1(0.9 - truth, 0.9 - truth, PIXEL).f1 == 1


def test_an_estimate_without_columns_scores_zero(truth):
    score = column_f1(np.full(SHAPE, 0.45), truth, PIXEL)
    assert score == ColumnScore(0, 0, len(positions()))
    assert score.precision == score.recall == score.f1 == 0


def test_published_simulation_shows_ceria_columns_at_their_pitch(test_data):
    """67.726 pixels between Ce columns along a row and 63.839 between rows, as Fourier has it."""
    from skimage.io import imread

    (path,) = (test_data / "hrtem_simulated").glob("*.tif")
    image = np.squeeze(imread(path)).astype(float)
    H, W = image.shape
    found = columns(image, PUBLISHED_PIXEL) / PUBLISHED_PIXEL
    edge = 1 / PUBLISHED_PIXEL
    whole = np.all((found > edge) & (found < np.array((H, W)) - 1 - edge), axis=1)
    ceria = found[whole & (found[:, 0] > 0.6 * H)]
    ceria = ceria[np.argsort(ceria[:, 0])]
    rows = np.split(ceria, np.flatnonzero(np.diff(ceria[:, 0]) > 20) + 1)
    # Neighbours alternate by half a pixel either way; an even number of steps averages that out.
    pitches = [(c[12] - c[0]) / 12 for c in (np.sort(row[:, 1]) for row in rows)]
    assert len(pitches) == 6
    np.testing.assert_allclose(pitches, 67.726, atol=0.05)
    heights = [row[:, 0].mean() for row in rows]
    np.testing.assert_allclose(np.polyfit(np.arange(6), heights, 1)[0], 63.839, atol=0.05)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: column_f1(x, x * 0, PIXEL), ImageError, "no atomic column"),
        (lambda x: column_f1(x, x, -1.0), OptionError, "pixel size"),
        (lambda x: column_f1(x, x[:9], 0.1), ImageError, "shape"),
    ],
)
def test_bad_input_is_explained(call, error, words, truth):
    with pytest.raises(error) as caught:
        call(truth)
    assert words in str(caught.value)
