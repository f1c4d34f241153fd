"""Derivatives by every latent number, from images in which many change together."""

import numpy as np
import torch
from scenes import column_generator

from emprior.grid import pool
from emprior.inversion import Exposure, LatentProblem, View
from emprior.inversion.jacobian import apart, jacobian
from emprior.noise import Gaussian


def _exact(problem, z):
    step = 1e-5 * torch.eye(len(z)).to(z)
    with torch.no_grad():
        up, down = (problem.image((z + sign * step)[None])[0] for sign in (1, -1))
    return (up - down) / 2e-5


def test_groups_hold_all_points_once_and_none_near_another(rng):
    points = rng.uniform(0, 100, (60, 2))
    groups = apart(points, 20.0)
    assert sorted(np.concatenate(groups)) == list(range(60))
    for group in groups:
        gaps = np.linalg.norm(points[group][:, None] - points[group], axis=2)
        assert (gaps + 1e9 * np.eye(len(group)) > 20).all()
    assert len(groups) < 30


def test_derivatives_are_those_of_single_numbers(rng):
    """The sums that curvature is made of agree; single pixels far from a column need not."""
    generator = column_generator(shape=(64, 72), dtype=torch.float64)
    view = View.centred(generator.image_shape, (90, 100), 0.6, 2)
    noisy = torch.zeros(1, 45, 50).double()
    exposure = Exposure(unit=1.3, origin=0.2, free=2)
    problem = LatentProblem(generator, Gaussian(0.1), noisy, view=view, exposure=exposure)
    z = 0.3 * problem.sample(1, rng)[0, 0]
    exact, found = _exact(problem, z).flatten(1), jacobian(problem, z).flatten(1)
    assert found.shape == exact.shape
    size = exact.norm(dim=1)
    seen = size > 0.1 * size.median()
    error = (found - exact).norm(dim=1) / size
    assert float(error[seen].median()) < 0.1
    gram, other = (j @ j.T / size / size[:, None] for j in (exact, found))
    assert float((gram - other)[seen][:, seen].abs().median()) < 0.02


def test_numbers_that_all_change_the_whole_image_are_taken_one_by_one():
    rng = np.random.default_rng(1)  # no column ends where slices meet, where derivatives jump
    generator = column_generator(shape=(32, 40), dtype=torch.float64)
    generator.local = lambda z: (z.new_zeros(0, 2), torch.zeros(0, 0, dtype=torch.long))
    problem = LatentProblem(generator, Gaussian(0.1), torch.zeros(1, 32, 40).double())
    z = 0.3 * problem.sample(1, rng)[0, 0]
    exact, found = _exact(problem, z).flatten(1), jacobian(problem, z).flatten(1)
    assert float(((found - exact).norm(dim=1) / exact.norm(dim=1)).max()) < 0.1
    averaged = jacobian(problem, z, factor=4)
    torch.testing.assert_close(averaged.flatten(1), pool(found.view(-1, 32, 40), 4).flatten(1))
