r"""How sure a search can be of what it found: the posterior about it, as a Gaussian."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from emprior.grid import pool
from emprior.inversion.jacobian import jacobian
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
    derivative = jacobian(problem, z)
    image = problem.image(z[None, None])
    fisher = pool(problem.fisher(image.double())[0, 0], factor) * factor**2
    slope = pool(derivative, factor).flatten(1)  # (D, pixels)
    weighted = slope * fisher.flatten().sqrt().to(slope)
    # Of unit length, products are sure to single precision, whatever the derivatives' sizes.
    length = weighted.norm(dim=1, keepdim=True).clamp(min=torch.finfo(slope.dtype).tiny)
    unit, length = weighted / length, length.double()
    precision = (unit @ unit.T).double() * length * length.T
    precision.diagonal().add_(problem.prior_weight)
    root = torch.linalg.cholesky(precision)
    covariance = torch.cholesky_inverse(root)
    variance = ((covariance.to(slope) @ slope) * slope).sum(0).clamp(min=0).double()
    return Posterior(z.double(), covariance, variance.sqrt().reshape(fisher.shape))
