"""The derivative of an image by every latent number, from few images.

Numbers of columns that stand far apart change different parts of the image, so that one image
with all of them changed shows the derivatives by each (Curtis, Powell and Reid, IMA J. Appl.
Math. 13, 117 (1974)).
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emprior.device import at_once
from emprior.grid import pool
from emprior.inversion.problem import LatentProblem

_STEP = 0.05  # of latent numbers, whose prior deviation is 1
APART = 5.0
"""Å; columns change the image within half of it."""

_TOGETHER = 16  # images


@torch.no_grad()
def jacobian(problem: LatentProblem, z: Tensor, factor: int = 1, distance: float = APART) -> Tensor:
    r"""Return :math:`\partial\mu_i / \partial z_d`, (D, h, w), on the pixels of the data.

    Parameters
    ----------
    problem : LatentProblem
        Of any frames: the noisy pixels are not looked at.
    z : (D,) Tensor
    factor : int
        Pixels of the data to average along each axis.
    distance : float
        By which columns that are changed together stand apart [Å].

    Notes
    -----
    A local number (`Generator.local`) is given the change of those pixels that are nearer to its
    place than to all others that are changed with it. What it changes farther away is left out.
    """
    places, numbers = problem.generator.local(z[None, : problem.generator.latent_dim])
    groups = apart(places.cpu().numpy(), distance / problem.generator.pixel_size)
    alone = np.setdiff1d(np.arange(len(z)), numbers.cpu().numpy())
    kinds = range(numbers.shape[1])
    together = [numbers[group, k] for group in groups for k in kinds]
    moves = torch.zeros(len(alone) + len(together), len(z)).to(z)
    moves[np.arange(len(alone)), alone] = _STEP
    for move, changed in zip(moves[len(alone) :], together, strict=True):
        move[changed] = _STEP
    here = pool(problem.image(z[None, None])[0, 0], factor)

    def moved(some: Tensor) -> Tensor:
        with torch.no_grad():  # other threads do not inherit it
            return pool(problem.image((z + some)[None])[0], factor)

    changes = torch.cat(at_once(*(partial(moved, some) for some in moves.split(_TOGETHER))))
    changes = ((changes - here) / _STEP).flatten(1)
    problem.passes += len(moves) + 1
    derivative = changes.new_zeros(len(z), changes.shape[1])
    derivative[alone] = changes[: len(alone)]
    rows, columns = (
        axis[: len(axis) // factor * factor].unflatten(0, (-1, factor)).mean(1)
        for axis in problem.coordinates()
    )
    pixel = torch.arange(changes.shape[1], device=z.device)
    local = iter(changes[len(alone) :])
    for group in groups:
        where = places[group]
        square = (rows[:, None] - where[:, 0])[:, None] ** 2 + (columns[:, None] - where[:, 1]) ** 2
        nearest = square.argmin(-1).flatten()
        for k in kinds:
            derivative[numbers[group, k][nearest], pixel] = next(local)
    return derivative.unflatten(1, here.shape)


def apart(points: NDArray[np.floating], distance: float) -> list[NDArray[np.intp]]:
    """Divide points (M, 2) into few groups whose members are all farther apart than a distance."""
    left, groups = np.arange(len(points)), []
    while len(left):
        chosen: list[int] = []
        for i in left:
            gaps = points[chosen] - points[i]
            if not len(chosen) or (gaps**2).sum(1).min() > distance**2:
                chosen.append(int(i))
        groups.append(np.array(chosen))
        left = np.setdiff1d(left, chosen)
    return groups
