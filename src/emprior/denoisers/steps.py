"""The steps of a search from what an encoder saw: the first ones, and those that refine."""

from __future__ import annotations

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

_AVERAGED, _APART = 2.0, 3.2
"""Pixels of a generator, and Å; to precondition a search, derivatives need not be finer, nor free
of those by the next column but one."""
_ITERATIONS, _LITTLE = 3, 10.0
"""Of conjugate gradients in a step; nats over a window, after which another step gains little."""


def first(start: Shortlist) -> Search:
    """Return two steps from what is shortlisted, the second for the best two alone.

    They go by the diagonal of the curvature alone: that of one start misleads the others, and no
    tilt, which must not be lost, is seldom the best of them.
    """
    solver = GaussNewton(iterations=5)
    return Search(start, (Stage(solver, 1, keep=2), Stage(solver, 1)))


def refinement(latent: Tensor, precise: Tensor) -> Search:
    """Return up to three steps from latent vectors (T, D), with roughly their precision."""
    solver = GaussNewton(iterations=_ITERATIONS, tolerance=_LITTLE, precision=precise)
    return Search(GivenStart(latent[:, None]), (Stage(solver, 3),))


def roughly(problem: LatentProblem, latent: Tensor) -> Tensor:
    """Return the precision of latent vectors (T, D), from images averaged over pixels."""
    rows = problem.coordinates()[0]
    factor = max(1, int(_AVERAGED / float(rows[1] - rows[0]) + 1e-3))
    return precision(problem, latent, factor, _APART)
