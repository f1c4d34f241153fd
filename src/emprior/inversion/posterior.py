r"""How sure a search can be of what it found: the posterior about it, as a Gaussian."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from emprior.grid import pool
from emprior.inversion.problem import LatentProblem

_AT_ONCE = 32  # derivatives drawn together


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
    problem.passes += len(z)
    z = z.detach()
    latent = z.clone().requires_grad_()
    with torch.enable_grad():
        image = problem.image(latent[None, None])[0, 0]
        probe = torch.zeros_like(image, requires_grad=True)
        (pulled,) = torch.autograd.grad(image, latent, probe, create_graph=True)

    def pushed(directions: Tensor) -> Tensor:
        """Return derivatives (B, h, w) along (B, D): the derivatives of what is pulled back."""
        (along,) = torch.autograd.grad(
            pulled, probe, directions, retain_graph=True, is_grads_batched=True
        )
        return pool(along, factor)

    basis = torch.eye(len(z)).to(z)
    columns = torch.cat([pushed(some) for some in basis.split(_AT_ONCE)]).double()
    fisher = pool(problem.noise.fisher(image.detach().double()), factor) * factor**2
    jacobian = columns.flatten(1)  # (D, pixels)
    precision = (jacobian * fisher.flatten()) @ jacobian.T
    precision.diagonal().add_(problem.prior_weight)
    root = torch.linalg.cholesky(precision)
    whitened = torch.linalg.solve_triangular(root, jacobian, upper=False)
    deviation = (whitened**2).sum(0).sqrt().reshape(columns.shape[1:])
    return Posterior(z.double(), torch.cholesky_inverse(root), deviation)
