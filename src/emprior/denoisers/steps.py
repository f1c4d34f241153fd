"""The steps of a search from what an encoder saw: the first ones, and those that refine."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from emprior.inversion import (
    GaussNewton,
    GivenStart,
    LatentProblem,
    Search,
    Shortlist,
    Stage,
    precision,
)

_AVERAGED = 2.0
"""Pixels of a generator; to precondition a search, derivatives need not be finer."""


def first(problem: LatentProblem, start: Shortlist, rng: np.random.Generator) -> Search:
    """Return two steps from what is shortlisted, preconditioned for the best of it."""
    rough = problem.rough()
    z = start(rough, rng)
    best = z[torch.arange(len(z)), rough.value(z).argmin(1)]
    problem.passes += rough.passes
    solver = GaussNewton(iterations=3, precision=roughly(problem, best))
    return Search(GivenStart(z), (Stage(solver, 2),))


def refinement(latent: Tensor, precise: Tensor) -> Search:
    """Return up to three steps from latent vectors (T, D), with roughly their precision."""
    solver = GaussNewton(iterations=2, tolerance=3.0, precision=precise)
    return Search(GivenStart(latent[:, None]), (Stage(solver, 3),))


def roughly(problem: LatentProblem, latent: Tensor) -> Tensor:
    """Return the precision of latent vectors (T, D), from rough images averaged over pixels."""
    rows, rough = problem.coordinates()[0], problem.rough()
    factor = max(1, int(_AVERAGED / float(rows[1] - rows[0]) + 1e-3))
    precise = precision(rough, latent, factor)
    problem.passes += rough.passes
    return precise
