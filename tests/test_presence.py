"""Whether columns are there: evidence by removal, and the mean over what may be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scenes import column_generator

from emprior.denoisers.presence import draws, presence
from emprior.inversion import LatentProblem
from emprior.noise import Gaussian

FIELD = (40, 48)


@pytest.fixture
def generator():
    return column_generator(FIELD, dtype=torch.float64)


def problem_of(generator, sigma: float) -> LatentProblem:
    frame = np.random.default_rng(0).normal(0.45, sigma, (1, *FIELD))
    return LatentProblem(generator, Gaussian(sigma), torch.from_numpy(frame))


def first(generator, u: float) -> torch.Tensor:
    """Return the latent with the first column's number of atoms at exp(0.35 u) of the guess."""
    z = torch.zeros(1, generator.latent_dim).double()
    return generator.filled(
        z,
        torch.ones(1, len(generator.scene.rows))
        .index_fill(1, torch.tensor([0]), np.exp(0.35 * u))
        .double(),
    )


def test_atoms_are_multiplied_by_their_shares(generator):
    M = len(generator.scene.rows)
    share = torch.linspace(0.1, 1.0, M).double()[None]
    z = torch.randn(1, generator.latent_dim + 2).double()
    free = generator.latent_dim
    before, after = (generator.at(x[:, :free]) for x in (z, generator.filled(z, share)))
    torch.testing.assert_close(after.counts, before.counts * share)
    torch.testing.assert_close(after.rows, before.rows)
    torch.testing.assert_close(after.defocus, before.defocus)
    torch.testing.assert_close(generator.filled(z, share)[:, free:], z[:, free:])


def test_evidence_is_what_removal_costs(generator):
    """Of a sum of squares: half that of what is missing without the column."""
    problem, z = problem_of(generator, 0.3), torch.zeros(1, generator.latent_dim).double()
    M = len(generator.scene.rows)
    without = torch.cat(
        [generator.filled(z, 1 - (1 - 1e-6) * torch.eye(M).double()[m : m + 1]) for m in range(M)]
    )
    missing = problem.image(without[None]) - problem.image(z[None])
    costs = (missing[0] / 0.3).square().sum((1, 2)) / 2
    found = generator.evidence(z, problem.information(z[:, None])[:, 0])[0]
    ratio = found / costs
    assert ratio.min() > 0.4
    assert ratio.max() < 4.0  # the derivatives' sizes are known by rule of thumb


def test_little_noise_makes_sure_what_the_encoder_doubts(generator):
    z, seen = torch.zeros(1, generator.latent_dim).double(), torch.full((1,), 0.5).double()
    seen = seen.expand(len(generator.scene.rows))
    loud, quiet = (presence(problem_of(generator, s), z, seen)[0, 0] for s in (3.0, 0.01))
    assert loud == pytest.approx(0.5, abs=0.05)
    assert quiet > 0.999


def test_a_column_that_lost_its_atoms_is_improbable(generator):
    z, problem = first(generator, -9.0), problem_of(generator, 0.3)
    seen = torch.full((len(generator.scene.rows),), 0.8).double()
    there = presence(problem, z, seen)[0]
    assert there[0] < 0.01
    assert (there[1:] >= 16 / 17 - 1e-6).all()  # of 4 to 1 twice over, as validation shows


def test_columns_are_there_in_their_share_of_the_draws(generator):
    z, problem = torch.zeros(1, generator.latent_dim).double(), problem_of(generator, 3.0)
    seen = torch.linspace(0.01, 1.0, len(generator.scene.rows)).double()
    probability, rng = presence(problem, z, seen)[0], np.random.default_rng(0)
    drawn = torch.cat([draws(problem, z, seen, rng)[0] for _ in range(200)])
    counts = generator.at(drawn).counts
    whole = counts.max(0).values
    assert bool(((counts > 0.999 * whole) | (counts < 0.01 * whole)).all())
    there = (counts > 0.5 * whole).double()
    torch.testing.assert_close(there.mean(0), probability, rtol=0, atol=0.02)
    assert bool((there[:, -1] == 1).all())
    # Of eight draws, no more and no fewer than the probability says, but for rounding.
    of_eight = there.unflatten(0, (200, -1)).sum(1)
    assert bool(((of_eight - 8 * probability).abs() < 1).all())
    # One column's tell nothing of another's.
    doubtful = there[:, (probability > 0.2) & (probability < 0.8)]
    assert torch.corrcoef(doubtful.T).fill_diagonal_(0).abs().max() < 0.12


def test_sure_columns_are_in_all_draws(generator):
    z, problem = torch.randn(1, generator.latent_dim).double(), problem_of(generator, 0.01)
    sure = torch.ones(len(generator.scene.rows)).double()
    drawn = draws(problem, z, sure, np.random.default_rng(0))
    torch.testing.assert_close(drawn, z[:, None].expand_as(drawn))
