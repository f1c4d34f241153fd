"""The posterior about what a search found: against finite differences and where it is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scenes import column_generator
from scipy.stats import norm

from emprior.generators.base import Generator
from emprior.inversion import Exposure, LatentProblem, View, laplace
from emprior.noise import ClippedPoisson, Gaussian, Poisson, PoissonGaussian

NOISES = [Gaussian(0.1), Poisson(0.02), ClippedPoisson(0.1, 0, 0.7), PoissonGaussian(0.1, 0, 0.1)]


class Linear(Generator):
    """Images that are weighted sums of some patterns."""

    channels, pixel_size = 1, 0.2

    def __init__(self, patterns: np.ndarray) -> None:
        super().__init__()
        self.latent_dim, *shape = patterns.shape
        self.image_shape = tuple(shape)
        self.register_buffer("patterns", torch.from_numpy(patterns))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bd,dhw->bhw", z, self.patterns)[:, None]


@pytest.fixture(scope="module")
def patterns() -> np.ndarray:
    return np.random.default_rng(3).normal(0, 0.3, (7, 6, 9))


def test_of_a_linear_image_under_gaussian_noise_it_is_exact(patterns):
    """Truths of the prior lie within the stated intervals as often as stated."""
    sigma, trials = 0.8, 4_000
    problem = LatentProblem(Linear(patterns), Gaussian(sigma), torch.zeros(1, 6, 9).double())
    posterior = laplace(problem, torch.zeros(7).double())
    rng = np.random.default_rng(0)
    design = patterns.reshape(7, -1)
    truth = rng.normal(size=(trials, 7))
    noisy = truth @ design + rng.normal(0, sigma, (trials, 54))
    # The maximum by least squares of data and prior together, which knows nothing of covariances.
    stacked = np.concatenate([design.T / sigma, np.eye(7)])
    right = np.concatenate([noisy / sigma, np.zeros((trials, 7))], axis=1)
    found = np.linalg.lstsq(stacked, right.T, rcond=None)[0].T
    standard = np.linalg.solve(np.linalg.cholesky(posterior.covariance), (found - truth).T)
    np.testing.assert_allclose(np.cov(standard), np.eye(7), atol=0.1)
    error = ((found - truth) @ design).reshape(trials, 6, 9) / posterior.deviation.numpy()
    for share in (0.5, 0.9):
        covered = np.mean(np.abs(error) < norm.isf((1 - share) / 2))
        assert covered == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize(
    "noise",
    [Gaussian(0.1), Poisson(0.02), ClippedPoisson(0.1, 0, 0.7), PoissonGaussian(0.1, 0, 0.1)],
)
def test_precision_and_deviation_agree_with_finite_differences(noise):
    generator = column_generator(dtype=torch.float64)
    view = View.centred(generator.image_shape, (24, 30), 1.1, 2)
    problem = LatentProblem(
        generator,
        noise,
        torch.zeros(1, 12, 15).double(),
        view=view,
        exposure=Exposure(unit=1.2, origin=-0.05, free=2),
        prior_weight=0.6,
    )
    z = problem.sample(1, np.random.default_rng(0))[0, 0] * 0.3
    posterior = laplace(problem, z)
    step = 1e-4
    moves = step * torch.eye(len(z)).double()
    with torch.no_grad():
        images = [problem.image(torch.stack([z + m, z - m])[None])[0] for m in moves]
        fisher = noise.fisher(problem.image(z[None, None])[0, 0]).numpy().ravel()
    jacobian = np.stack([((up - down) / (2 * step)).numpy().ravel() for up, down in images], 1)
    precision = jacobian.T @ (fisher[:, None] * jacobian) + 0.6 * np.eye(len(z))
    covariance = np.linalg.inv(precision)
    scale = np.sqrt(np.diag(covariance))
    found = posterior.covariance.numpy() / scale / scale[:, None]
    # What columns change beyond half their distance to others of their group is left out.
    error = np.abs(found - covariance / scale / scale[:, None])
    assert np.quantile(error, 0.95) < 0.03
    np.testing.assert_allclose(np.diag(found), 1, rtol=0.25)
    variance = np.diag(jacobian @ covariance @ jacobian.T)
    np.testing.assert_allclose(posterior.deviation.numpy().ravel(), variance**0.5, rtol=0.2)


def test_fine_pixels_may_be_averaged():
    """Blocks of pixels finer than the generator's tell what their mean tells."""
    generator = column_generator(dtype=torch.float64)
    view = View.centred(generator.image_shape, (48, 60), 0.25)
    noisy = torch.zeros(1, 48, 60).double()
    problem = LatentProblem(generator, ClippedPoisson(), noisy, view=view)
    z = torch.zeros(problem.latent_dim).double()
    fine, averaged = (laplace(problem, z, factor) for factor in (1, 4))
    assert averaged.deviation.shape == (12, 15)
    scale = fine.covariance.diagonal().sqrt()
    error = (averaged.covariance - fine.covariance) / scale[:, None] / scale
    assert float(error.abs().max()) < 0.1
    blocks = fine.deviation.reshape(12, 4, 15, 4).mean((1, 3))
    torch.testing.assert_close(averaged.deviation, blocks, rtol=0.1, atol=0)


def test_without_data_the_posterior_is_the_prior(patterns):
    problem = LatentProblem(Linear(patterns), Gaussian(1e8), torch.zeros(1, 6, 9).double())
    posterior = laplace(problem, torch.zeros(7).double())
    np.testing.assert_allclose(posterior.covariance, np.eye(7), atol=1e-9)
