"""Columns in checked images: invented, lost, displaced and faint ones are found where they are."""

import numpy as np
import pytest
from scipy import stats
from strategies import lattice, lattice_positions

import emprior
from emprior.noise import ClippedPoisson, Gaussian, Poisson

SHAPE, PIXEL = (90, 120), 0.1
GAIN = 1 / 60  # enough electrons that each column is plain
SPREAD = 4.5  # pixels, as `lattice` draws columns


@pytest.fixture
def truth():
    return lattice(SHAPE, PIXEL)


def column(row, col, height=0.2):
    y, x = np.indices(SHAPE)
    return height * np.exp(-((y - row) ** 2 + (x - col) ** 2) / (2 * SPREAD**2))


def inner():
    """Return a column of the lattice well inside the frame, [pixels]."""
    places = lattice_positions(SHAPE, PIXEL) / PIXEL
    return places[np.argmin(np.hypot(*(places - (60, 45)).T))]


def checked(rng, truth, denoised):
    noisy = Poisson(GAIN).sample(truth, rng)
    return emprior.check(noisy, denoised, noise=Poisson(GAIN), pixel_size=PIXEL)


def only(found, kind):
    """Return the one region of a kind; none must be much more improbable."""
    assert not found.supported
    (region,) = (region for region in found.regions if region.kind == kind)
    assert region.p < 2 * min(other.p for other in found.regions), list(map(str, found.regions))
    return region


@pytest.mark.parametrize(
    "noise", [Gaussian(0.3), Poisson(0.2), ClippedPoisson(1.0, 0.0, 1.0)], ids=str
)
def test_columns_of_the_true_image_are_marked_no_more_often_than_stated(noise, truth, rng):
    draws, rate = 60, 0.2
    alarms = 0
    for _ in range(draws):
        found = emprior.check(
            noise.sample(truth, rng), truth, noise=noise, pixel_size=PIXEL, false_alarm=rate
        )
        # Of eleven tests three are about columns.
        alarms += any(one.p < rate for one in found.findings[:3])
    assert alarms <= stats.binom.isf(1e-3, draws, 1 - (1 - rate) ** (3 / 11))


def test_an_invented_column_is_unsupported(truth, rng):
    region = only(checked(rng, truth, truth + column(20, 108)), "unsupported column")
    assert np.hypot(region.row - 20, region.column - 108) < 3


def test_a_lost_column_is_missing(truth, rng):
    row, col = inner()
    region = only(checked(rng, truth, truth - column(row, col)), "missing column")
    assert np.hypot(region.row - row, region.column - col) < 3


def test_a_displaced_column_is_shifted_by_as_much_as_it_is(truth, rng):
    row, col = inner()
    found = checked(rng, truth, truth - column(row, col) + column(row, col + 2))
    region = only(found, "shifted column")
    assert np.hypot(region.row - row, region.column - col - 2) < 3
    nearest = np.argmin(np.hypot(found.columns.rows - row, found.columns.columns - col - 2))
    np.testing.assert_allclose(found.columns.shifts[nearest], (0, -2), atol=0.6)


def test_a_faint_column_is_too_weak(truth, rng):
    row, col = inner()
    found = checked(rng, truth, truth - column(row, col, 0.1))
    only(found, "column too weak")
    nearest = np.argmin(np.hypot(found.columns.rows - row, found.columns.columns - col))
    # Twice the height over a ground that its own flanks raise.
    assert 1.5 < found.columns.occupancy[nearest] < 3.5


def test_how_discernible_a_column_is_follows_from_its_shape(rng):
    # Of a lone column on a flat ground: d'² = Σ b² / σ² = π (height · spread / σ)². A part of it,
    # a quarter here, lies beyond the radius at which columns are cut out.
    clean = 0.5 + column(45, 60)
    sigma = 0.5
    noisy = clean + sigma * rng.standard_normal(SHAPE)
    found = emprior.check(noisy, clean, noise=Gaussian(sigma), pixel_size=PIXEL).columns
    assert len(found) == 1
    expected = np.pi**0.5 * 0.2 * SPREAD / sigma
    assert 0.65 * expected < found.discernible[0] < 1.1 * expected
    assert found.occupancy_error[0] == pytest.approx(1 / found.discernible[0], rel=0.25)


def test_columns_stand_out_from_vacuum_where_they_are(truth, rng):
    found = checked(rng, truth, truth).columns
    assert np.all(found.against_vacuum > 0)
    assert found.vacuum_map.shape == tuple(n // found.factor for n in SHAPE)
    rows, cols = (np.int_(axis // found.factor) for axis in (found.rows, found.columns))
    there = found.vacuum_map[rows, cols]
    assert there.mean() > 5 * np.abs(found.vacuum_map[:10, -10:]).mean()


def test_without_a_fine_pixel_size_columns_are_not_looked_at(truth, rng):
    noisy = Poisson(GAIN).sample(truth, rng)
    for size in (None, 2.0):
        found = emprior.check(noisy, truth, noise=Poisson(GAIN), pixel_size=size)
        assert found.columns is None
        assert found.to_dict()["columns"] is None


def test_the_table_holds_a_line_for_each_column(truth, rng):
    found = checked(rng, truth, truth)
    table = found.to_dict()["columns"]
    assert {len(values) for values in table.values()} == {len(found.columns)}
    assert all(isinstance(value, float) for values in table.values() for value in values)


def test_images_without_columns_can_be_checked(truth, rng):
    found = checked(rng, truth, np.full(SHAPE, truth.mean()))
    assert not found.supported
    assert len(found.columns) == 0
