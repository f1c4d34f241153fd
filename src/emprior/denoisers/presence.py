r"""Whether columns are there, and the mean image over that.

A search for the most probable image keeps every column that the encoder proposed: a logarithm of
a number of atoms has no mass at zero. The mean squared error wants the mean over what may be, in
which a doubtful column is faint.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from emprior.generators import ColumnGenerator
from emprior.inversion import LatentProblem

_BOLDER = 2.0  # power of the odds that the encoder gives a column, measured on validation
_DRAWS = 8
_GONE = 1e-3  # of its atoms


@torch.no_grad()
def presence(problem: LatentProblem, latent: Tensor, seen: Tensor) -> Tensor:
    r"""Return the probability that each column is there, (T, M).

    .. math:: \operatorname{logit} p = 2 \operatorname{logit} s + n^2 / 2\sigma_n^2 - u^2 / 2

    with what the encoder says of it, s, whose odds are too modest, and by how much its n atoms
    raise the posterior: the likelihood less what such a number, u, costs under the prior.

    Parameters
    ----------
    problem : LatentProblem
        By a generator of columns.
    latent : (T, D) Tensor
        As found.
    seen : (M,) Tensor
        The encoder's probabilities.

    Notes
    -----
    The encoder has seen the same data, so they count twice where both speak; and as for all
    evidence of a maximum, it is that of a column at the best place: a little too much.
    """
    generator = problem.generator
    assert isinstance(generator, ColumnGenerator)
    evidence = generator.evidence(latent, problem.information(latent[:, None])[:, 0])
    return torch.sigmoid(_BOLDER * torch.logit(seen, eps=1e-6) + evidence)


@torch.no_grad()
def draws(problem: LatentProblem, latent: Tensor, seen: Tensor, rng: np.random.Generator) -> Tensor:
    """Return latents (T, K, D) with and without doubtful columns, all equally probable.

    Each column is there in its share of them, independently of the others. All other arguments
    are those of `presence`.
    """
    generator = problem.generator
    assert isinstance(generator, ColumnGenerator)
    there = presence(problem, latent, seen)
    # As many as the probability says, and one more in its share of the cases.
    ranks = rng.permuted(np.tile(np.arange(_DRAWS), (*there.shape, 1)), axis=-1)
    level = torch.from_numpy((ranks + rng.random((*there.shape, 1))) / _DRAWS).to(there)
    filled = torch.where(level < there[..., None], 1.0, _GONE)  # (T, M, K)
    return torch.stack([generator.filled(latent, share) for share in filled.unbind(-1)], dim=1)
