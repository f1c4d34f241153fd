"""The generator of columns and optics: laws, derivatives, and planted scenes found again."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scenes import ELEMENTS, NUMBERS, PIXEL_SIZE, column_generator, factors, scene
from scipy.stats import norm
from torch.nn import functional as F

from emprior.generators import ColumnGenerator, Element, Multislice, Scene
from emprior.inversion import (
    Exposure,
    GaussNewton,
    GivenStart,
    Inversion,
    LatentProblem,
    Search,
    Stage,
    View,
    invert,
    laplace,
)
from emprior.noise import Gaussian, NoiseModel, Poisson
from emprior.simulate.imaging import exit_wave, form_image, single_threaded, transmit
from emprior.simulate.recipe import Group
from emprior.specimen import Optics, Structure
from emprior.specimen import View as PlaneView

F64 = torch.float64


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """Range 1, dB."""
    return -10 * math.log10(float(((a - b) ** 2).double().mean()))


@pytest.fixture(scope="module")
def generator() -> ColumnGenerator:
    return column_generator(dtype=F64)


def search(problem: LatentProblem, generator: ColumnGenerator, steps: int = 16) -> Inversion:
    """Search as windows are searched: from the scene under five tilts, keeping the best."""
    tilts = [(0.0, 0.0), (0.035, 0.0), (-0.035, 0.0), (0.0, 0.035), (0.0, -0.035)]
    z = F.pad(generator.tilted(tilts)[:, 0], (0, problem.latent_dim - generator.latent_dim))
    stages = (
        Stage(GaussNewton(iterations=10), 4, keep=2),
        Stage(GaussNewton(iterations=30), 4),
        Stage(GaussNewton(iterations=30), steps),
    )
    start = GivenStart(z.expand(len(problem.noisy), -1, -1))
    return invert(problem, Search(start, stages), np.random.default_rng(0))


# what the latent vector means -------------------------------------------------------------------


def test_shape_scale_and_prior_are_those_of_every_generator(generator, rng):
    z = generator.sample_latent(3, rng)
    M = len(generator.scene.rows)
    assert z.shape == (3, 12 + 3 * M + 3 + 6)  # three layers
    images = generator(z)
    assert images.shape == (3, 1, 40, 48)
    assert images.dtype == F64
    assert 0.3 < float(images.mean()) < 0.5
    corner = images[:, 0, -3:, -3:]  # vacuum
    torch.testing.assert_close(corner, torch.full_like(corner, 0.45), atol=0.02, rtol=0)
    expected = norm.logpdf(z.numpy()).sum(1)
    np.testing.assert_allclose(generator.log_prior(z), expected, rtol=1e-12)


def test_latent_zero_is_the_scene(generator):
    found = generator.at(torch.zeros(2, generator.latent_dim, dtype=F64))
    for name, value in vars(generator.scene).items():
        part = getattr(found, name)
        if name in ("element", "layer", "position_sd"):
            assert part is value
        else:
            torch.testing.assert_close(part, value.expand(2, *value.shape))


def test_each_latent_number_moves_what_it_says(generator):
    M, given = len(generator.scene.rows), generator.scene
    through = generator.through

    def at(index: int) -> Scene:
        z = torch.zeros(1, generator.latent_dim, dtype=F64)
        z[0, index] = 1.0
        return generator.at(z)

    for start, own in ((0, ~through), (6, through)):  # a lattice moves as a whole, alone
        for k, name in enumerate(("rows", "columns")):
            moved = getattr(at(start + k), name)[0] - getattr(given, name)
            assert bool((moved[own] > 0.5).all())
            torch.testing.assert_close(moved[own], moved[own][:1].expand(int(own.sum())))
            assert not moved[~own].any()
    # Stretched by 0.5 % along rows about the middle of the field.
    stretched = at(6 + 2)
    torch.testing.assert_close(
        (stretched.rows[0] - given.rows)[through], 0.005 * (given.rows - 20)[through]
    )
    torch.testing.assert_close(stretched.columns[0], given.columns)
    # One column by itself; along the tilt also as far as its atoms may lie higher than others.
    for place, height_sd in ((2, 1.7), (M - 1, 0.2 if int(given.element[-1]) == 1 else 0.85)):
        moved = [
            torch.stack([at(index).rows - given.rows, at(index).columns - given.columns])[:, 0]
            for index in (12 + place, 12 + M + place)
        ]
        for move in moved:
            assert move.any(0).nonzero().tolist() == [[place]]
        deviation = PIXEL_SIZE * torch.stack([move[:, place] for move in moved], 1)
        expected = 0.08**2 * torch.eye(2) + height_sd**2 * torch.outer(given.tilt, given.tilt)
        torch.testing.assert_close(deviation @ deviation.T, expected.double(), rtol=1e-3, atol=1e-9)
    # All columns of a layer, as far as atoms 1 Å higher are displaced.
    for layer in range(3):
        higher, own = at(12 + 3 * M + layer), given.layer == layer
        for moved, tilt in (
            (higher.rows[0] - given.rows, given.tilt[0]),
            (higher.columns[0] - given.columns, given.tilt[1]),
        ):
            torch.testing.assert_close(moved, own * tilt / PIXEL_SIZE)
    ratio = at(12 + 2 * M + 3).counts[0] / given.counts
    assert float(ratio[3]) == pytest.approx(math.exp(0.35))
    assert float(ratio.sum()) == pytest.approx(M - 1 + math.exp(0.35))
    optics = ("defocus", "tilt", "tilt", "centre", "thickness", "blur")
    for k, name in enumerate(optics):
        changed = {
            field
            for field in ("defocus", "tilt", "centre", "thickness", "blur")
            if not torch.equal(getattr(at(12 + 3 * M + 3 + k), field)[0], getattr(given, field))
        }
        assert changed == {name}


def test_tilted_scenes_are_the_scene_under_another_tilt(generator):
    z = generator.tilted([(0.0, 0.0), (0.03, -0.01)])[:, 0]
    assert z.shape == (2, generator.latent_dim)
    assert not z[0].any()
    found = generator.at(z)
    torch.testing.assert_close(
        found.tilt, generator.scene.tilt + torch.tensor([[0, 0], [0.03, -0.01]], dtype=F64)
    )
    torch.testing.assert_close(found.rows[1], generator.scene.rows)


def test_a_smaller_share_of_filled_sites_weakens_a_column_that_reaches_through(generator):
    # Also at the full column, where a search starts: missing atoms must show in the gradient.
    full = replace(
        generator.scene, counts=torch.where(generator.through, 1.0, generator.scene.counts)
    )
    made = ColumnGenerator(full, generator.elements, generator.multislice)
    column = int(generator.through.nonzero()[0])
    z = torch.zeros(1, made.latent_dim, dtype=F64)
    axis = 12 + 2 * len(full.rows) + column
    r, c = (int(x.round()) for x in (full.rows[column], full.columns[column]))
    values = []
    for t in (-1.0, 0.0, 1.0):
        z[0, axis] = t
        values.append(float(made(z)[0, 0, r, c]))
    assert abs(values[1] - values[0]) > 1e-4
    assert values[2] - values[1] == pytest.approx(values[1] - values[0], rel=0.3)


# derivatives -----------------------------------------------------------------------------------


def test_every_derivative_agrees_with_finite_differences(generator, rng):
    z = generator.sample_latent(1, rng) * 0.3
    weights = torch.from_numpy(rng.standard_normal((1, 1, 40, 48)))
    z.requires_grad_()
    (gradient,) = torch.autograd.grad((generator(z) * weights).sum(), z)
    steps = torch.eye(generator.latent_dim, dtype=F64) * 1e-5
    with torch.no_grad():
        ahead, behind = ((generator(z + s) * weights).sum((1, 2, 3)) for s in (steps, -steps))
    torch.testing.assert_close(gradient[0], (ahead - behind) / 2e-5, rtol=2e-5, atol=2e-5)
    assert bool((gradient.abs() > 1e-4).all())  # nothing in the latent vector is idle


def test_images_of_a_batch_are_drawn_alone(generator, rng):
    z = generator.sample_latent(3, rng)
    torch.testing.assert_close(generator(z)[1:2], generator(z[1:2]), rtol=0, atol=1e-10)


def test_single_precision_is_enough(generator, rng):
    single = column_generator()
    z = generator.sample_latent(2, rng)
    images = single(z.float())
    assert images.dtype == torch.float32
    assert psnr(images, generator(z).float()) > 90


def test_precision_follows_the_example():
    assert column_generator(dtype=F64).example.dtype == F64
    assert column_generator().example.dtype == torch.float32


# physics ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("tilt", [(0.0, 0.0), (0.03, 0.0), (0.0, -0.04)])
def test_a_scene_is_drawn_as_the_simulation_draws_its_atoms(tilt):
    """Whole columns of a known structure: places, depths and tilt mean what they do there."""
    spacing, thickness, depth = 2.5, 30.0, 20.0
    columns = [(4.0, 5.0, 58, None), (9.0, 7.0, 78, 4), (12.0, 4.0, 8, None), (6.5, 8.5, 78, 6)]
    positions, numbers = [], []
    for x, y, number, count in columns:
        n = count or round(thickness / spacing)
        z0 = depth if count else thickness / 2
        positions += [(x, y, z0 + (k - (n - 1) / 2) * spacing) for k in range(n)]
        numbers += [number] * n
    structure = Structure(positions, numbers, [16.0, 12.0, thickness])
    optics, view = Optics(70.0, blur=0.5, tilt=tilt), PlaneView((120, 160), 0.1, (8.0, 6.0))
    group = Group(name="fine", structures=1, grid=256, slice_thickness=1.0)
    with single_threaded():
        thin = transmit(structure, group, optics.energy, optics.absorption)
        expected = form_image(exit_wave(thin, tilt), optics, view)

    # Columns appear, on average, where the atoms at their middle do.
    above = np.array([thickness - (depth if count else thickness / 2) for *_, count in columns])
    xy = np.array([column[:2] for column in columns]) + above[:, None] * np.tan(tilt)
    rows, cols = (torch.from_numpy(p) for p in view.to_pixels(xy).T)
    along_columns, along_rows = np.tan(view.image_tilt(optics))
    elements = tuple(Element(**{**e, "spacing": spacing}) for e in ELEMENTS)
    given = Scene(
        rows=rows,
        columns=cols,
        element=torch.tensor([NUMBERS.index(number) for *_, number, _ in columns]),
        counts=torch.tensor([float(count or 1) for *_, count in columns], dtype=F64),
        layer=torch.full((4,), -1),
        position_sd=torch.full((4,), 0.1, dtype=F64),
        defocus=torch.tensor(70.0, dtype=F64),
        thickness=torch.tensor(thickness, dtype=F64),
        centre=torch.tensor(depth, dtype=F64),
        blur=torch.tensor(0.5, dtype=F64),
        tilt=torch.tensor([along_rows, along_columns], dtype=F64),
    )
    multislice = Multislice(factors(dtype=F64), view.shape, 0.1, slices=12)
    generator = ColumnGenerator(given, elements, multislice)

    def draw(made: ColumnGenerator) -> torch.Tensor:
        return made(torch.zeros(1, made.latent_dim, dtype=F64))[0, 0]

    truth = torch.from_numpy(expected)
    found = psnr(draw(generator), truth)
    assert found > 50
    if any(tilt):  # the other way round is worse: the sign is right
        mirrored = ColumnGenerator(replace(given, tilt=-given.tilt), elements, multislice)
        assert psnr(draw(mirrored), truth) < found - 5


# planted scenes --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small() -> ColumnGenerator:
    """Six columns on 32 × 40 pixels."""
    return column_generator((32, 40), slices=3)


def test_planted_scenes_are_found_from_noise_free_data(small, rng):
    # Full draws from the prior reach it in half of all cases, and 45 to 60 dB in the others.
    truth = small(0.5 * small.sample_latent(6, rng))[:, 0]
    start = small(torch.zeros(1, small.latent_dim))[0, 0]
    assert max(psnr(start, image) for image in truth) < 40
    found = search(LatentProblem(small, Gaussian(3e-3), truth), small)
    reached = [psnr(*pair) for pair in zip(found.image, truth, strict=True)]
    assert sum(value >= 60 for value in reached) >= 5, reached


def test_at_one_electron_a_pixel_the_error_is_what_information_allows(small, rng):
    """The mean error of the best estimate under the prior is tr J (JᵀFJ + I)⁻¹ Jᵀ."""
    noise, z = Poisson(1 / 16), small.sample_latent(8, rng)
    truth = small(z)[:, 0]
    noisy = torch.from_numpy(noise.sample(truth.numpy(), rng))
    found = search(LatentProblem(small, noise, noisy), small, steps=4)
    error = float(((found.image - truth) ** 2).mean())

    double, steps = column_generator((32, 40), F64, slices=3), torch.eye(z.shape[1], dtype=F64)
    bounds = []
    for latent, image in zip(z.double(), truth.double(), strict=True):
        with torch.no_grad():
            ahead, behind = (double(latent + s * steps).flatten(1) for s in (1e-4, -1e-4))
        J = ((ahead - behind) / 2e-4).T
        information = J.T @ (noise.fisher(image).reshape(-1, 1) * J) + steps
        bounds.append(float(torch.trace(torch.linalg.solve(information, J.T @ J))) / image.numel())
    gap = 10 * math.log10(error / np.mean(bounds))
    assert -1.5 < gap < 3, (error, bounds)


@pytest.mark.parametrize("free", [1, 2])
def test_exposure_and_scale_are_found_with_the_scene(small, rng, free):
    view = View.centred((32, 40), (50, 64), 0.5)
    exposure = Exposure(unit=80.0, origin=20.0, free=free, spread=0.05)

    def problem(noise: NoiseModel, noisy: torch.Tensor) -> LatentProblem:
        return LatentProblem(small, noise, noisy, view=view, exposure=exposure)

    blank = problem(Gaussian(1.0), torch.zeros(1, 50, 64))
    latent = 0.5 * blank.sample(1, rng)
    latent[..., -free:] = torch.tensor([1.5, -1.0][:free])
    truth = blank.image(latent)[:, 0]
    planted = problem(Gaussian(0.2), truth)
    found = search(planted, small, 40)
    assert psnr(found.image / 80, truth / 80) > 55
    # Unit, zero, blur and counts trade for each other, so that they are known only so well.
    sd = laplace(planted, found.latent[0]).covariance.diagonal()[-free:].sqrt()
    error = (found.latent[0, -free:] - latent[0, 0, -free:]).abs()
    assert bool((error < 3 * sd).all()), (error, sd)


def test_exactly_it_draws_what_thin_slices_on_a_fine_grid_do(generator, rng):
    z = 0.3 * generator.sample_latent(2, rng)
    exact = generator.exact()
    assert exact.exact() is exact
    assert exact.latent_dim == generator.latent_dim
    limit = ColumnGenerator(
        generator.scene, generator.elements, generator.multislice.regridded(48, 2.4)
    )
    assert psnr(exact(z), limit(z)) > psnr(generator(z), limit(z)) + 8
    assert psnr(exact(z), limit(z)) > 58


def test_sensitivity_ranks_latent_numbers_by_what_they_move(generator):
    told, step = generator.sensitivity(), 1e-3 * torch.eye(generator.latent_dim, dtype=F64)
    moved = ((generator(step) - generator(torch.zeros_like(step[:1]))) / 1e-3).square()
    moved = moved.sum((1, 2, 3))
    assert bool((told > 0).all())
    shown = moved > 1e-8
    logs = torch.stack([told.log(), moved.log()])[:, shown]
    assert float(torch.corrcoef(logs)[0, 1]) > 0.5


# edges -----------------------------------------------------------------------------------------


def empty(dtype: torch.dtype = torch.float32) -> ColumnGenerator:
    given = scene(dtype=dtype)
    none = {
        name: getattr(given, name)[:0]
        for name in ("rows", "columns", "element", "counts", "layer", "position_sd")
    }
    return column_generator(dtype=dtype, **none)


def test_a_scene_without_columns_is_vacuum_and_can_be_searched(rng):
    generator = empty()
    assert generator.latent_dim == 18
    image = generator(generator.sample_latent(2, rng))
    torch.testing.assert_close(image, torch.full((2, 1, 40, 48), 0.45), rtol=1e-5, atol=0)
    noise = Poisson(0.1)
    noisy = torch.from_numpy(noise.sample(np.full((40, 48), 0.5, np.float32), rng))
    exposure = Exposure(free=1)
    problem = LatentProblem(generator, noise, noisy[None], exposure=exposure)
    found = search(problem, generator)
    torch.testing.assert_close(found.image[0].mean(), noisy.mean(), rtol=0.02, atol=0)


def test_extreme_latents_stay_finite(generator):
    for size in (10.0, -10.0, 100.0):
        z = torch.full((1, generator.latent_dim), size, dtype=F64)
        z[:, 12 : 12 + 3 * len(generator.scene.rows)].clamp_(-5, 5)
        assert bool(torch.isfinite(generator(z)).all())
