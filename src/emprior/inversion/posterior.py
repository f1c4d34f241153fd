r"""How sure a search can be of what it found: the posterior about it, as a Gaussian."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from emprior.grid import pool
from emprior.inversion.jacobian import APART, jacobian
from emprior.inversion.problem import LatentProblem


@dataclass(frozen=True, eq=False)
class Posterior:
    """A Gaussian over latent vectors, and what it means for the image.

    Attributes
    ----------
    mean : (D,) Tensor
    covariance : (D, D) Tensor
    deviation : (h, w) Tensor
        Standard deviation of the image on the (pooled) pixels of the data, in their units.
    """

    mean: Tensor
    covariance: Tensor
    deviation: Tensor


@torch.no_grad()
def laplace(problem: LatentProblem, z: Tensor, factor: int = 1) -> Posterior:
    r"""Return Laplace's approximation of the posterior, in double precision.

    .. math:: \Sigma = (J^\top F J + w I)^{-1}, \qquad
        \operatorname{sd}(\mu)^2 = \operatorname{diag}(J \Sigma J^\top)

    with the Jacobian J of the exposed image μ by the latent numbers, the Fisher information F of
    the noise in each pixel, and the prior, which is taken as standard normal, of weight w.

    Parameters
    ----------
    problem : LatentProblem
        Whose noise, view, exposure and prior weight are used; its noisy pixels are not.
    z : (D,) Tensor
        The maximum of the posterior, as found.
    factor : int
        Average derivatives over as many pixels along each axis, and sum their information.

    Notes
    -----
    Wrong where z is no maximum but another valley's floor, where the posterior has several, and
    by the generator's own error, of which it knows nothing. Exact for images linear in z under
    Gaussian noise. Averaging is exact where pixels of a block see the same derivatives, as they
    nearly do when they are finer than the generator's.
    """
    slope = jacobian(problem, z, factor)
    told = _precision(problem, problem.image(z[None, None])[:, 0], slope[None], factor)[0]
    covariance = torch.cholesky_inverse(torch.linalg.cholesky(told))
    flat = slope.flatten(1)  # (D, pixels)
    variance = ((covariance.to(flat) @ flat) * flat).sum(0).clamp(min=0).double()
    return Posterior(z.double(), covariance, variance.sqrt().reshape(slope.shape[1:]))


@torch.no_grad()
def precision(
    problem: LatentProblem, z: Tensor, factor: int = 1, distance: float = APART
) -> Tensor:
    r"""Return :math:`J^\top F J + w I`, (T, D, D), of one latent vector for each frame.

    Parameters
    ----------
    problem : LatentProblem
    z : (T, D) Tensor
    factor : int
        As for `laplace`.
    distance : float
        As for `emprior.inversion.jacobian.jacobian`.
    """
    slopes = torch.stack([jacobian(problem, one, factor, distance) for one in z])
    return _precision(problem, problem.image(z[:, None])[:, 0], slopes, factor)


def _precision(problem: LatentProblem, image: Tensor, slopes: Tensor, factor: int) -> Tensor:
    """Return it in double precision, from images (T, h, w) and derivatives of their averages."""
    fisher = pool(problem.fisher(image[:, None].double())[:, 0], factor) * factor**2
    weighted = (slopes * fisher.sqrt().to(slopes)[:, None]).flatten(2)
    # Of unit length, products are sure to single precision, whatever the derivatives' sizes.
    length = weighted.norm(dim=2, keepdim=True).clamp(min=torch.finfo(slopes.dtype).tiny)
    unit, length = weighted / length, length.double()
    found = (unit @ unit.mT).double() * length * length.mT
    found.diagonal(dim1=1, dim2=2).add_(problem.prior_weight)
    return found
