"""What a prior of columns says of the specimen: places, numbers, errors, windows joined."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
import torch
from scenes import ELEMENTS, PIXEL_SIZE, column_generator, factors, scene
from scipy import ndimage

from emprior.denoisers.pose import Pose
from emprior.denoisers.prior import Fit
from emprior.denoisers.structure import structure
from emprior.found import SYMBOLS, FoundColumns, FoundOptics, Measured
from emprior.generators import ColumnGenerator, Element, Multislice
from emprior.grid import Tile
from emprior.inversion import Exposure, GaussNewton, GivenStart, Search, Stage, invert, laplace
from emprior.micrograph import Micrograph
from emprior.noise import ClippedPoisson, Gaussian, Poisson

FIELD, FRAME = (40, 48), (29, 35)


def generator_of(field=FIELD, **changes) -> ColumnGenerator:
    return column_generator(field, dtype=torch.float64, **changes)


def fit_of(generator, tile, z=None, probability=None, free=0) -> Fit:
    M = len(generator.scene.rows)
    pose = Pose(
        [tile],
        generator,
        Exposure(free=free),
        probability=torch.ones(M) if probability is None else probability,
    )
    latent = torch.zeros(generator.latent_dim + free).double() if z is None else z
    return Fit(pose, latent[None])


def whole(shape) -> Tile:
    return Tile(slice(0, shape[0]), slice(0, shape[1]))


# ----------------------------------------------------------------------------- places and numbers


@pytest.mark.parametrize("fine", [1, 4])
@pytest.mark.parametrize("shape", [(29, 35), (30, 33), (24, 24)])
def test_a_column_is_told_where_the_image_shows_it(shape, fine):
    """In pixels of the frame, wherever the generator's grid begins."""
    one = {
        "rows": torch.tensor([21.3]).double(),
        "columns": torch.tensor([26.8]).double(),
        "element": torch.tensor([0]),
        "counts": torch.tensor([6.0]).double(),
        "layer": torch.tensor([-1]),
        "position_sd": torch.tensor([0.08]).double(),
        "tilt": torch.zeros(2).double(),
    }
    generator = generator_of(**one)
    pixels, size = tuple(n * fine for n in shape), PIXEL_SIZE / fine
    frame = Micrograph(np.random.default_rng(0).random(pixels), size)
    fit = fit_of(generator, whole(pixels))
    problem, view = fit.pose.problem(frame, Gaussian(0.1), size / PIXEL_SIZE)
    image = problem.image(fit.latent[:, None], view)[0, 0].numpy()
    rings = np.abs(image - 0.45) > 0.3 * np.abs(image - 0.45).max()
    seen = ndimage.center_of_mass(rings)
    columns = structure([fit], frame, Gaussian(0.1), size).columns
    found = np.array([columns.rows[0], columns.columns[0]])
    np.testing.assert_allclose(found, seen, atol=0.3 * fine)
    np.testing.assert_allclose([columns.y[0], columns.x[0]], found * size)
    assert columns.symbols == ["Pt"]
    assert columns.atoms[0] == pytest.approx(6.0)


def test_columns_that_reach_through_hold_what_fits_into_the_thickness():
    generator = generator_of()
    frame = Micrograph(np.random.default_rng(0).random(FRAME), PIXEL_SIZE)
    found = structure([fit_of(generator, whole(FRAME))], frame, Gaussian(0.1), PIXEL_SIZE)
    slab = found.columns.numbers != 78
    np.testing.assert_allclose(found.columns.atoms[slab], 0.9 * 35.0 / 3.826)
    particle = found.columns.atoms[~slab]
    assert set(particle) <= {4.0, 5.0, 6.0, 7.0}
    optics = found.optics
    assert optics.defocus.value == pytest.approx(70.0)
    assert optics.thickness.value == pytest.approx(35.0)
    assert optics.tilt_rows.value == pytest.approx(np.arctan(0.01))
    assert optics.tilt_columns.value == pytest.approx(np.arctan(-0.02))


def test_only_columns_within_the_frame_are_told():
    generator = generator_of()
    small = (20, 24)
    frame = Micrograph(np.random.default_rng(0).random(small), PIXEL_SIZE)
    columns = structure([fit_of(generator, whole(small))], frame, Gaussian(0.1), 0.2).columns
    where = np.stack([columns.rows, columns.columns], 1)
    assert 0 < len(columns) < len(generator.scene.rows)
    assert (where >= -0.5).all()
    assert (where < np.array(small) - 0.5).all()


# -------------------------------------------------------------------------------------- deviations


def test_planted_specimens_are_found_within_their_stated_errors():
    """Of the generator's own images the optics, too, which are held to be less certain."""
    generator, noise = generator_of(), Poisson(0.01)
    errors, image_errors = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        truth = generator.sample_latent(1, rng)[0].double()
        truth = torch.cat([0.5 * truth, 0.5 * torch.from_numpy(rng.standard_normal(1))])
        fit = fit_of(generator, whole(FIELD), truth, free=1)
        blank = Micrograph(np.zeros(FIELD) + np.eye(*FIELD), PIXEL_SIZE)
        clean = fit.pose.problem(blank, noise, 1.0)[0].image(fit.latent[:, None])[0, 0].numpy()
        frame = Micrograph(noise.sample(clean, rng), PIXEL_SIZE)
        problem, view = fit.pose.problem(frame, noise, 1.0)
        search = Search(GivenStart(fit.latent[:, None]), (Stage(GaussNewton(12), 5),))
        found = Fit(fit.pose, invert(problem, search, rng).latent)
        planted, told = (structure([f], frame, noise, PIXEL_SIZE) for f in (fit, found))
        a, b = planted.columns, told.columns
        if len(a) != len(b):  # one has gone over the edge
            continue
        image = problem.image(found.latent[:, None], view)[0, 0].numpy()
        image_errors.append((image - clean) / told.deviation)
        errors.append(
            [
                np.mean(((a.rows - b.rows) * PIXEL_SIZE / b.rows_sd) ** 2),
                np.mean(((a.columns - b.columns) * PIXEL_SIZE / b.columns_sd) ** 2),
                np.mean(((a.atoms - b.atoms) / b.atoms_sd) ** 2),
                *(
                    ((getattr(planted.optics, k).value - v.value) / v.sd) ** 2
                    for k, v in vars(told.optics).items()
                ),
            ]
        )
    assert len(errors) > 3
    rms = np.sqrt(np.mean(errors, 0))
    assert np.all((rms[:2] > 0.5) & (rms[:2] < 1.3)), rms
    # Atoms of columns that reach through depend on the thickness.
    assert 1 / 6 < rms[2] < 1.0, rms
    assert np.all(rms[3:] < 0.7), rms
    assert 0.6 < np.sqrt(np.mean(np.square(image_errors))) < 1.3


def test_optics_are_held_to_be_less_certain_than_noise_alone_makes_them():
    """Thrice, as validation shows, and what depends on them follows; the rest stays."""
    generator = generator_of()
    frame = Micrograph(np.random.default_rng(0).random(FRAME), PIXEL_SIZE)
    fit = fit_of(generator, whole(FRAME))
    told = structure([fit], frame, Gaussian(0.1), PIXEL_SIZE)
    alone = laplace(fit.pose.problem(frame, Gaussian(0.1), 1.0)[0], fit.latent[0], 2)
    sd = alone.covariance.diagonal().sqrt().numpy()
    assert told.optics.defocus.sd == pytest.approx(3 * 40.0 * sd[-6])
    assert told.optics.thickness.sd == pytest.approx(3 * 6.0 * sd[-2])
    # Atoms of a column that reaches through are in proportion to the thickness.
    slab = told.columns.numbers != 78
    relative = told.columns.atoms_sd[slab] / told.columns.atoms[slab]
    assert (relative < 3 * (6.0 / 35.0 * sd[-2] + 0.06)).all()
    assert (relative > 6.0 / 35.0 * sd[-2]).all()
    # A latent number of a column of the particle makes that of its atoms.
    M = len(generator.scene.rows)
    own = 0.35 * sd[12 + 2 * M : 12 + 3 * M][~slab] * told.columns.atoms[~slab]
    assert (told.columns.atoms_sd[~slab] >= own * (1 - 1e-6)).all()
    assert (told.columns.atoms_sd[~slab] < 3 * own).all()


def test_less_noise_means_smaller_deviations():
    frame = Micrograph(np.random.default_rng(0).random(FRAME), PIXEL_SIZE)
    fit = fit_of(generator_of(), whole(FRAME))
    loud, quiet, quietest = (
        structure([fit], frame, Gaussian(s), PIXEL_SIZE) for s in (0.2, 0.05, 0.02)
    )
    for name in ("rows_sd", "columns_sd"):
        assert (getattr(quiet.columns, name) < getattr(loud.columns, name)).all()
    # Atoms trade with the optics, whose deviations are widened: they gain later.
    assert (quietest.columns.atoms_sd < loud.columns.atoms_sd).all()
    assert (quiet.deviation < loud.deviation).all()


def test_clipped_counts_are_not_pooled_but_their_map_is_on_all_pixels():
    shape = (60, 68)
    frame = Micrograph(ClippedPoisson().sample(np.full(shape, 0.45), np.random.default_rng(0)))
    told = structure([fit_of(generator_of(), whole(shape))], frame, ClippedPoisson(), 0.1)
    assert told.deviation.shape == shape
    assert (told.deviation > 0).all()


# ------------------------------------------------------------------------------------------ windows


def crystal(rng) -> np.ndarray:
    """Columns (M, 2) [pixels] over a frame and beyond."""
    grid = np.stack(np.meshgrid(np.arange(-4, 60, 9.0), np.arange(-4, 84, 9.0), indexing="ij"), -1)
    return grid.reshape(-1, 2) + rng.uniform(-1, 1, (grid.size // 2, 2))


@pytest.mark.parametrize("disagreement", [0.0, 0.3])
def test_overlapping_windows_count_each_column_once(rng, disagreement):
    """Also where they place it differently, on either side of the line between them [pixels]."""
    shape, size, columns = (52, 76), (32, 40), crystal(rng)
    tiles = [
        Tile(slice(r, r + size[0]), slice(c, c + size[1])) for r in (0, 20) for c in (0, 18, 36)
    ]
    multislice = Multislice(factors(dtype=torch.float64), FIELD_OF_WINDOW, PIXEL_SIZE, 2)
    elements = tuple(Element(**values) for values in ELEMENTS)
    fits = []
    for tile in tiles:
        corner = np.array([tile.rows.start, tile.columns.start])
        margin = (np.array(FIELD_OF_WINDOW) - size) / 2
        on_grid = columns - corner + margin + rng.uniform(-1, 1, columns.shape) * disagreement
        near = np.all((on_grid > 1) & (on_grid < np.array(FIELD_OF_WINDOW) - 2), axis=1)
        M = int(near.sum())
        given = scene(
            FIELD_OF_WINDOW,
            dtype=torch.float64,
            rows=torch.from_numpy(on_grid[near, 0]),
            columns=torch.from_numpy(on_grid[near, 1]),
            element=torch.zeros(M, dtype=torch.long),
            counts=torch.full((M,), 5.0).double(),
            layer=torch.full((M,), -1),
            position_sd=torch.full((M,), 0.08).double(),
            defocus=torch.tensor(70.0 + tile.rows.start).double(),
        )
        fits.append(fit_of(ColumnGenerator(given, elements, multislice), tile))
    frame = Micrograph(rng.random(shape), PIXEL_SIZE)
    told = structure(fits, frame, Gaussian(0.1), PIXEL_SIZE)
    edge = 0.5 - disagreement
    inside = np.all((columns >= -edge) & (columns <= np.array(shape) - 1 + edge), axis=1)
    found = np.stack([told.columns.rows, told.columns.columns], 1)
    gaps = np.linalg.norm(found[:, None] - columns[inside], axis=-1)
    assert (gaps.min(0) <= 2**0.5 * disagreement + 1e-9).all()
    assert len(np.unique(np.linalg.norm(found[:, None] - columns, axis=-1).argmin(1))) == len(found)
    # Three windows say 70 Å, three 90 Å: their mean, and at least their scatter.
    assert told.optics.defocus.value == pytest.approx(80.0)
    assert told.optics.defocus.sd > 10.0
    assert told.deviation.shape == shape
    assert (told.deviation > 0).all()


FIELD_OF_WINDOW = (48, 56)


# ------------------------------------------------------------------------------------------- values


def columns_by_hand() -> FoundColumns:
    return FoundColumns(
        rows=np.array([1.5, 20.25]),
        columns=np.array([3.0, 7.125]),
        numbers=np.array([78, 8]),
        atoms=np.array([5.6, 12.0]),
        probability=np.array([0.95, 0.4]),
        rows_sd=np.array([0.05, 0.1]),
        columns_sd=np.array([0.04, 0.2]),
        atoms_sd=np.array([0.3, 2.0]),
        pixel_size=0.2,
    )


def test_columns_come_back_from_their_table():
    columns = columns_by_hand()
    table = columns.table()
    assert table["x [Å]"] == [0.6, 1.425]
    assert table["element"] == ["Pt", "O"]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    text.seek(0)
    heads, *lines = csv.reader(text)
    again = FoundColumns.from_table(dict(zip(heads, zip(*lines, strict=True), strict=True)), 0.2)
    for name, value in vars(columns).items():
        np.testing.assert_array_equal(getattr(again, name), value)


def test_optics_come_back_from_plain_values_and_are_said_in_words():
    optics = FoundOptics(
        Measured(104.2, 3.4), Measured(-0.0012, 0.0009), Measured(0.0351, 0.0121), Measured(45, 12)
    )
    assert FoundOptics.from_dict(optics.to_dict()) == optics
    assert str(optics) == (
        "defocus 104 ± 3 Å, thickness 45 ± 12 Å, tilt -1.2 ± 0.9 mrad along rows and "
        "35 ± 12 mrad along columns"
    )


def test_the_mean_over_windows_has_their_scatter():
    steady, other = (FoundOptics(*[Measured(v, 3.0)] * 4) for v in (10.0, 18.0))
    mean = FoundOptics.mean([steady, other])
    assert mean.defocus == (14.0, 5.0)  # √(3² + 4²)
    assert FoundOptics.mean([steady]) == steady


@pytest.mark.parametrize(("number", "symbol"), [(1, "H"), (8, "O"), (58, "Ce"), (78, "Pt")])
def test_elements_have_their_symbols(number, symbol):
    assert SYMBOLS[number] == symbol
    assert len(set(SYMBOLS)) == 104
