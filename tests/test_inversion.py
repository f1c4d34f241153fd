"""Latent search: derivatives against finite differences, planted latents found again."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scenes import column_generator
from scipy.stats import kstest

from emprior.errors import OptionError
from emprior.generators import DCGAN
from emprior.inversion import (
    SEARCHES,
    Exposure,
    FirstOrder,
    GaussNewton,
    GivenStart,
    LatentProblem,
    PriorStart,
    Search,
    Shortlist,
    Stage,
    Status,
    View,
    invert,
    precision,
)
from emprior.inversion.search import algorithm_2
from emprior.inversion.solvers import conjugate_gradients
from emprior.noise import ClippedPoisson, Gaussian, NoiseModel, Poisson, PoissonGaussian

NOISES = [Gaussian(0.3), Poisson(0.1), ClippedPoisson(1.0), PoissonGaussian(0.2, 0.05, 0.1)]


@pytest.fixture(scope="module")
def generator() -> DCGAN:
    """An untrained generator with weights large enough to be strongly curved."""
    torch.manual_seed(0)
    network = DCGAN(size=32, nz=8, ngf=8, pixel_size=0.2)
    for module in network.modules():
        if isinstance(module, torch.nn.ConvTranspose2d):
            torch.nn.init.normal_(module.weight, 0.0, 0.1)
    for _ in range(30):  # settles the running statistics of batch normalisation
        network(torch.randn(64, 8))
    return network.eval().requires_grad_(False)


def planted(generator: DCGAN, count: int, rng: np.random.Generator) -> torch.Tensor:
    return generator(generator.sample_latent(count, rng))[:, 0]


def psnr(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    """Range 1, dB, for each frame."""
    return -10 * np.log10(((a - b) ** 2).mean((-2, -1)).double().numpy())


@pytest.fixture
def problem(generator: DCGAN, rng: np.random.Generator, request: pytest.FixtureRequest):
    """A problem in double precision, with a view on 20 × 14 pixels and a free exposure."""
    noise: NoiseModel = request.param
    double = DCGAN(**generator.arguments()).double()
    double.load_state_dict(generator.state_dict())
    exposure = Exposure(unit=1.3, origin=0.1, free=2)
    noisy = torch.from_numpy(noise.sample(rng.uniform(0.4, 0.9, (2, 20, 14)), rng))
    view = View.centred((32, 32), (20, 14), 1.5)
    return LatentProblem(double, noise, noisy, view=view, exposure=exposure, prior_weight=0.7)


@pytest.mark.parametrize("problem", NOISES, indirect=True)
def test_gradient_agrees_with_finite_differences(problem: LatentProblem, rng) -> None:
    z, v = problem.sample(3, rng), problem.sample(3, rng)
    value, gradient = problem.gradient(z)
    assert value.shape == (2, 3)
    torch.testing.assert_close(value, problem.value(z))
    step = 1e-5
    slope = (problem.value(z + step * v) - problem.value(z - step * v)) / (2 * step)
    torch.testing.assert_close((gradient * v).sum(-1), slope, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("problem", NOISES, indirect=True)
def test_linearisation_agrees_with_an_explicit_jacobian(problem: LatentProblem, rng) -> None:
    z, v = problem.sample(1, rng), problem.sample(1, rng)
    value, gradient, curvature, diagonal = problem.linearise(z)
    assert bool((diagonal > 0).all())
    torch.testing.assert_close(value, problem.value(z))
    torch.testing.assert_close(gradient, problem.gradient(z)[1])
    for t in range(2):
        J = torch.autograd.functional.jacobian(
            lambda u, t=t: problem.image(u.expand(2, 1, -1))[t, 0].reshape(-1), z[t, 0]
        )
        fisher = problem.noise.fisher(problem.image(z)[t, 0]).reshape(-1)
        expected = (J.T @ (fisher * (J @ v[t, 0])) + 0.7 * v[t, 0]) / problem.pixels
        difference = curvature(v)[t, 0] - expected
        # Products with J are differences of images.
        assert difference.norm() < 1e-3 * expected.norm()


def test_objective_is_the_papers_squared_error_under_unit_gaussian_noise(generator, rng) -> None:
    noisy = torch.from_numpy(rng.uniform(0, 1, (1, 32, 32))).float()
    problem = LatentProblem(generator, Gaussian(math.sqrt(0.5)), noisy, prior_weight=0.0)
    z = problem.sample(4, rng)
    images = generator(z[0])[:, 0]
    squared = ((noisy - images) ** 2).mean((-2, -1))
    difference = problem.value(z)[0] - squared
    torch.testing.assert_close(difference, torch.full((4,), math.log(math.pi) / 2))


@pytest.mark.parametrize(
    "search", [SEARCHES["default"], algorithm_2(first=150, second=600)], ids=["default", "paper"]
)
def test_planted_latents_are_found_from_independent_starts(generator, rng, search) -> None:
    truth = planted(generator, 10, rng)
    problem = LatentProblem(generator, Gaussian(0.01), truth, prior_weight=0.0)
    inversion = invert(problem, search, rng.spawn(1)[0])
    found = psnr(inversion.image, truth)
    assert (found >= 60).sum() >= 9, found
    start = psnr(problem.image(problem.sample(1, rng))[:, 0], truth)
    assert start.max() < 40  # the starts are nowhere near


def test_planted_latents_are_found_at_another_scale_and_exposure(generator, rng) -> None:
    view = View.centred((32, 32), (52, 44), 0.5)
    exposure = Exposure(unit=90.0, origin=10.0, free=2)
    clean = LatentProblem(
        generator, Gaussian(1.0), torch.zeros(4, 52, 44), view=view, exposure=exposure
    )
    truth_latent = clean.sample(1, rng)
    truth_latent[..., -2:] = torch.tensor([0.8, -0.6])
    truth = clean.image(truth_latent)[:, 0]
    problem = LatentProblem(
        generator, Gaussian(0.5), truth, view=view, exposure=exposure, prior_weight=0.0
    )
    inversion = invert(problem, SEARCHES["default"], rng)
    assert (psnr(inversion.image / 90, truth / 90) >= 60).sum() >= 3


def test_pooled_view_averages_the_fine_view(generator, rng) -> None:
    image = planted(generator, 1, rng).double()
    fine = View.centred((32, 32), (384, 256), 1 / 16).to(image)
    pooled = View.centred((32, 32), (96, 64), 1 / 4, factor=4).to(image)
    seen = fine.rows @ image @ fine.columns.T
    average = seen.reshape(1, 24, 16, 16, 16).mean((2, 4))
    # Means of point samples against the integral: alike up to the error of the quadrature.
    torch.testing.assert_close(pooled.rows @ image @ pooled.columns.T, average, atol=1e-3, rtol=0)


def test_frames_of_a_batch_do_not_touch_each_other(generator, rng) -> None:
    truth = planted(generator, 3, rng)
    starts = LatentProblem(generator, Gaussian(0.1), truth).sample(2, rng)
    stages = (Stage(FirstOrder(), 5, keep=2), Stage(GaussNewton(), 3))

    def run(frames: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        problem = LatentProblem(generator, Gaussian(0.1), frames)
        return invert(problem, Search(GivenStart(z), stages), rng).latent

    together = run(truth, starts)
    alone = torch.cat([run(truth[i : i + 1], starts[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-3)


def test_survivors_are_the_best_and_never_worsen(generator, rng) -> None:
    problem = LatentProblem(generator, Poisson(0.1), planted(generator, 2, rng))
    search = Search(PriorStart(6), (Stage(FirstOrder(), 10, keep=3), Stage(FirstOrder(), 10)))
    inversion = invert(problem, search, rng, record_every=1)
    first = [entry for entry in inversion.trace if entry["stage"] == 0]
    for before, after in itertools.pairwise(first):
        assert np.all(np.array(after["value"]) <= np.array(before["value"]))
    assert np.all(inversion.value.numpy() <= np.min(first[-1]["value"], axis=1))
    assert inversion.passes == problem.passes == 2 * 2 * (6 * 10 + 3 * 10)


def test_status_says_how_it_ended(generator, rng) -> None:
    truth = planted(generator, 1, rng)
    noise = Gaussian(0.1)
    problem = LatentProblem(generator, noise, torch.from_numpy(noise.sample(truth.numpy(), rng)))
    patient = Search(PriorStart(4), (Stage(FirstOrder(lr=0.1), 20), Stage(GaussNewton(), 60)))
    converged = invert(problem, patient, rng)
    assert converged.status == (Status.CONVERGED,)
    hurried = invert(problem, Search(PriorStart(2), (Stage(FirstOrder(), 2),)), rng)
    assert hurried.status == (Status.RUNNING,)
    broken = LatentProblem(generator, Gaussian(0.01), torch.full((1, 32, 32), torch.nan))
    for solver in (FirstOrder(), GaussNewton()):
        lost = invert(broken, Search(PriorStart(2), (Stage(solver, 2),)), rng)
        assert lost.status == (Status.NON_FINITE,)
    assert all(status.sentence for status in Status)


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "sgd", "asgd"])
def test_every_optimiser_descends_within_its_limit(generator, rng, optimiser) -> None:
    problem = LatentProblem(generator, Gaussian(0.1), planted(generator, 1, rng))
    start = problem.sample(4, rng)
    solver = FirstOrder(optimiser, lr=1e-2, limit=1.0)
    state = solver.init(problem, start.clamp(-1, 1), rng)
    for _ in range(20):
        state = solver.step(problem, state)
    assert bool((state.value < problem.value(start.clamp(-1, 1))).all())
    assert float(state.z.abs().max()) <= 1.0


@pytest.mark.parametrize("clipping", ["clamp", "redraw"])
def test_latents_that_leave_the_bound_are_clamped_or_drawn_anew(generator, rng, clipping) -> None:
    problem = LatentProblem(generator, Gaussian(0.1), planted(generator, 1, rng))
    solver = FirstOrder("adam", lr=9.0, limit=0.5, clipping=clipping)
    start = problem.sample(300, rng).clamp(-0.5, 0.5)
    state = solver.step(problem, solver.init(problem, start, rng))
    moved = state.memory[0].detach()
    # The first step of Adam is the learning rate, up or down: it leads beyond the bound always.
    if clipping == "clamp":
        assert bool((moved.abs() == 0.5).all())
    else:
        assert kstest(moved.flatten().numpy(), "uniform", (-0.5, 1)).pvalue > 1e-3
    assert torch.equal(state.z, start)  # the best point seen is untouched


def test_stochastic_clipping_repeats_and_draws_from_the_search(generator, rng) -> None:
    problem = LatentProblem(generator, Gaussian(0.1), planted(generator, 1, rng))

    def found(seed: int, clipping: str) -> torch.Tensor:
        solver = FirstOrder(lr=0.1, limit=0.5, clipping=clipping)  # type: ignore[arg-type]
        search = Search(PriorStart(3), (Stage(solver, 8, 2), Stage(solver, 8)))
        return invert(problem, search, np.random.default_rng(seed)).latent

    assert torch.equal(found(1, "redraw"), found(1, "redraw"))
    assert not torch.equal(found(1, "redraw"), found(1, "clamp"))


def test_clipping_without_a_bound_is_refused() -> None:
    with pytest.raises(OptionError, match="clipping 'redraw' with the limit None"):
        FirstOrder(limit=None, clipping="redraw")
    with pytest.raises(OptionError, match="clipping 'bounce'"):
        FirstOrder(clipping="bounce")  # type: ignore[arg-type]


def test_colour_is_not_left_out_unnoticed() -> None:
    colour = DCGAN(size=16, nz=3, ngf=2, pixel_size=1.0, channels=3)
    with pytest.raises(OptionError, match="a generator of 3 channels"):
        LatentProblem(colour, Gaussian(0.1), torch.zeros(1, 16, 16))


def test_conjugate_gradients_solve_batched_systems(rng) -> None:
    root = torch.from_numpy(rng.standard_normal((3, 6, 6)))
    matrix = root @ root.mT + torch.eye(6)
    right = torch.from_numpy(rng.standard_normal((3, 6)))
    diagonal = torch.diagonal(matrix, dim1=1, dim2=2)
    x, left = conjugate_gradients(
        lambda v: (matrix @ v[..., None])[..., 0], right, 30, lambda v: v / diagonal
    )
    assert bool((left.abs() < 1e-4).all())
    torch.testing.assert_close((matrix @ x[..., None])[..., 0], right, rtol=1e-4, atol=1e-4)


def test_a_diagonal_of_the_right_scale_spares_iterations(rng) -> None:
    scale = torch.logspace(-3, 3, 60, dtype=torch.float64)
    mixed = torch.from_numpy(0.02 * rng.standard_normal((60, 60)))
    root = torch.eye(60, dtype=torch.float64) + mixed
    matrix = scale[:, None] * (root @ root.mT) * scale
    right = matrix @ torch.from_numpy(rng.standard_normal(60))

    def left_over(diagonal: torch.Tensor) -> float:
        x, left = conjugate_gradients(
            lambda v: (matrix @ v.mT).mT, right[None], 12, lambda v: v / diagonal
        )
        torch.testing.assert_close(left[0], right - matrix @ x[0])
        return float(left.norm() / right.norm())

    assert left_over(scale**2) < 0.1 * left_over(torch.ones_like(scale))


def test_a_search_that_is_told_the_precision_takes_few_steps() -> None:
    scenes = column_generator(shape=(32, 40), dtype=torch.float64)
    blank = LatentProblem(scenes, Gaussian(0.01), torch.zeros(1, 32, 40).double())

    def left(problem: LatentProblem, start: torch.Tensor, known: torch.Tensor | None) -> float:
        solver = GaussNewton(iterations=2, precision=known)
        search = Search(GivenStart(start), (Stage(solver, 2),))
        return float(invert(problem, search, np.random.default_rng(0)).value) * problem.pixels

    shares = []
    for seed in range(5):  # where slices meet derivatives jump, and precisions are of less use
        rng = np.random.default_rng(seed)
        truth = 0.3 * blank.sample(1, rng)
        problem = LatentProblem(scenes, Gaussian(0.01), blank.image(truth)[:, 0])
        start = truth + 0.1 * blank.sample(1, rng)
        told, least = precision(problem, start[:, 0]), float(problem.value(truth)) * problem.pixels
        without = left(problem, start, None)
        shares.append((left(problem, start, told) - least) / (without - least))
        for useless in (-told, torch.full_like(told, torch.nan)):
            assert left(problem, start, useless) == without
    assert np.median(shares) < 0.5


def test_same_generator_state_same_result(generator) -> None:
    noisy = planted(generator, 1, np.random.default_rng(5))
    found = [
        invert(
            LatentProblem(generator, Poisson(0.1), noisy),
            SEARCHES["default"],
            np.random.default_rng(7),
        ).latent
        for _ in range(2)
    ]
    assert torch.equal(*found)


def test_a_shortlist_keeps_the_first_group_and_the_best_of_the_others(generator, rng):
    blank = LatentProblem(generator, Gaussian(0.1), torch.zeros(2, *generator.image_shape))
    truth = blank.sample(1, rng)
    problem = LatentProblem(generator, Gaussian(0.1), blank.image(truth)[:, 0])
    far = 0.3 * torch.randn(2, 4, 3, problem.latent_dim, generator=torch.manual_seed(0))
    groups = truth[:, None] + far
    # They are compared by the middle one of each; where another is better, it goes on.
    groups[0, 2], groups[1, 3, :2] = truth[0, 0] + 0.2 * far[0, 2], truth[1, 0]
    groups[0, 2, 2] = truth[0, 0]
    chosen = Shortlist(groups, keep=2)(problem, rng)
    assert chosen.shape == (2, 2, problem.latent_dim)
    value = problem.value(groups.flatten(1, 2)).unflatten(1, (4, 3))
    first = groups[torch.arange(2), 0, value[:, 0].argmin(1)]
    torch.testing.assert_close(chosen[:, 0], first)
    torch.testing.assert_close(chosen[:, 1], truth[:, 0])
