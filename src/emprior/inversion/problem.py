"""What is sought: the latent vectors whose image explains the noisy pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from emprior.errors import OptionError
from emprior.generators.base import Generator
from emprior.grid import resample, resampling_matrix
from emprior.noise import NoiseModel
from emprior.specimen import TYPICAL_MEAN


class View(NamedTuple):
    """How the generator's physical grid is seen on the pixels of the data.

    Attributes
    ----------
    rows : (h, H) Tensor
    columns : (w, W) Tensor
        One resampling matrix for each axis (`emprior.grid.resampling_matrix`).
    """

    rows: Tensor
    columns: Tensor

    @classmethod
    @lru_cache(maxsize=8)  # a search, and the next frame, see the same again
    def centred(
        cls, field: tuple[int, int], shape: tuple[int, int], pitch: float, factor: int = 1
    ) -> View:
        """See the middle of the field on a finer or coarser grid.

        Parameters
        ----------
        field : (H, W)
            Samples of the generator's image.
        shape : (m, n)
            Pixels of the data, before pooling.
        pitch : float
            Distance between those pixels in units of the generator's.
        factor : int
            Data pixels are pooled by it along each axis, and the view averages likewise.
        """
        matrices = []
        for samples, pixels in zip(field, shape, strict=True):
            block = (np.arange(pixels // factor) + 0.5) * factor - pixels / 2
            width = pitch * factor if factor > 1 else 0.0
            matrices.append(resampling_matrix(samples, samples / 2 + block * pitch, width))
        return cls(*(torch.from_numpy(matrix) for matrix in matrices))

    def to(self, like: Tensor) -> View:
        """Return the view in the type and on the device of another tensor."""
        return View(self.rows.to(like), self.columns.to(like))


@dataclass(frozen=True)
class Exposure:
    """From the generator's intensities (vacuum 0.45) to units of the data.

    ``data = origin + unit·(image·exp(spread·t₀) + spread·t₁)``, where t₀ and t₁ have a standard
    normal prior and are found with the latent vector.

    Parameters
    ----------
    unit, origin : float
        First guess of the data value of intensity one, less that of intensity zero, and of the
        latter.
    free : int
        0: the exposure is known. 1: the unit is not. 2: neither unit nor origin is.
    spread : float
        Prior standard deviation of the logarithm of the unit.
    """

    unit: float = 1.0
    origin: float = 0.0
    free: int = 0
    spread: float = 0.3

    def __call__(self, image: Tensor, t: Tensor) -> Tensor:
        """Expose images (..., h, w) with t of shape (..., free)."""
        if self.free > 0:
            image = image * torch.exp(self.spread * t[..., 0, None, None])
        if self.free > 1:
            image = image + self.spread * t[..., 1, None, None]
        return self.origin + self.unit * image


class Linearisation(NamedTuple):
    """The objective about one point: value (T, K), gradient (T, K, D), Gauss–Newton curvature.

    The diagonal, (T, K, D), is a rough one of the curvature, to precondition with.
    """

    value: Tensor
    gradient: Tensor
    curvature: Callable[[Tensor], Tensor]
    diagonal: Tensor


class LatentProblem:
    r"""Negative log-posterior per pixel of latent vectors, for a batch of frames.

    .. math:: f(z) = \frac1N\Bigl[-\sum_i \log p\bigl(y_i \mid \mu_i(z)\bigr)
        - w \log p(z)\Bigr], \qquad \mu = \mathrm{exposure}(A\,G(z)\,B^\top)

    With Gaussian noise of σ² = 1/2, w = 0 and no free exposure this is Eq. (2) of Chen & Stanley,
    the squared error over the number of pixels, up to a constant.

    Parameters
    ----------
    generator : Generator
        In evaluation mode and frozen; it is put there. Of one channel.
    noise : NoiseModel
    noisy : (T, h, w) Tensor
        Frames (or tiles) of one size, independent of each other.
    view : View, optional
        None: the generator's grid is that of the data.
    exposure : Exposure
    prior_weight : float
        w; 0 leaves the prior to the choice of starts, as the paper does.
    used : (T, h, w) Tensor, optional
        1 for pixels that count, 0 for those that tell nothing.

    Raises
    ------
    OptionError
        If the generator has several channels.

    Notes
    -----
    A latent vector here is the generator's followed by ``exposure.free`` numbers. Candidates are
    a batch axis: ``z`` has shape (T, K, D), all K for frame t explain frame t, and every value is
    per candidate. ``passes`` counts evaluations of the generator's image or of one product with
    its Jacobian, summed over candidates, so that searches compare at equal cost.
    """

    def __init__(
        self,
        generator: Generator,
        noise: NoiseModel,
        noisy: Tensor,
        *,
        view: View | None = None,
        exposure: Exposure = Exposure(),
        prior_weight: float = 1.0,
        used: Tensor | None = None,
    ) -> None:
        if generator.channels != 1:
            raise OptionError(
                f"a generator of {generator.channels} channels",
                expected="one channel, as frames have",
                why="the others would be left out of the search",
                fix="search SideBySide(generator), and lay the channels of the frames out by its "
                "measure",
            )
        self.generator = generator.eval().requires_grad_(False)
        self.noise, self.noisy, self.exposure = noise, noisy, exposure
        self.view = None if view is None else view.to(noisy)
        self.prior_weight = prior_weight
        self.used = torch.ones((), dtype=noisy.dtype) if used is None else used[:, None]
        self.used = self.used.to(noisy)
        self.latent_dim = generator.latent_dim + exposure.free
        self.pixels = noisy.shape[-2] * noisy.shape[-1]
        self.passes = 0

    def sample(self, count: int, rng: np.random.Generator) -> Tensor:
        """Draw `count` latent vectors for each frame from the prior: (T, count, D)."""
        frames = len(self.noisy)
        z = self.generator.sample_latent(frames * count, rng)
        t = torch.zeros(frames * count, self.exposure.free)
        return torch.cat([z, t], 1).to(self.noisy).reshape(frames, count, self.latent_dim)

    def image(self, z: Tensor, view: View | None = None) -> Tensor:
        """Return the exposed images of latent vectors, (T, K, h, w), on the data's pixels.

        With `view`, on the pixels of that view instead.
        """
        view = view or self.view
        free = self.generator.latent_dim
        clean = self.generator(z[..., :free].reshape(-1, free))[:, 0]
        clean = clean.reshape(*z.shape[:-1], *clean.shape[-2:])
        if view is not None:
            clean = resample(clean, *view)
        return self.exposure(clean, z[..., free:])

    def fisher(self, image: Tensor) -> Tensor:
        """Return what each pixel tells of images (T, K, h, w) of it."""
        return self.used * self.noise.fisher(image)

    def coordinates(self) -> tuple[Tensor, Tensor]:
        """Return where the data's rows (h,) and columns (w,) lie on the generator's grid."""
        H, W = (torch.arange(n).to(self.noisy) for n in self.generator.image_shape)
        return (H, W) if self.view is None else (self.view.rows @ H, self.view.columns @ W)

    def _log_prior(self, z: Tensor) -> Tensor:
        free = self.generator.latent_dim
        latent = z[..., :free]
        log_prior = self.generator.log_prior(latent.reshape(-1, free)).reshape(z.shape[:-1])
        return log_prior - (z[..., free:] ** 2).sum(-1) / 2

    def _value(self, z: Tensor, image: Tensor) -> Tensor:
        each = self.used * self.noise.log_prob(self.noisy[:, None], image)
        log_likelihood = each.sum((-2, -1))
        return -(log_likelihood + self.prior_weight * self._log_prior(z)) / self.pixels

    @torch.no_grad()
    def value(self, z: Tensor) -> Tensor:
        """Return the objective of each candidate, (T, K), in nats per pixel."""
        self.passes += z.shape[0] * z.shape[1]
        return self._value(z, self.image(z))

    def gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the objective (T, K) and its gradient (T, K, D)."""
        _, _, value, gradient = self._differentiated(z)
        return value, gradient

    def _differentiated(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return z and its images, which carry a graph, and the objective with its gradient."""
        self.passes += 2 * z.shape[0] * z.shape[1]
        z = z.detach().requires_grad_()
        with torch.enable_grad():
            image = self.image(z)
            log_prior = self._log_prior(z)
        with torch.no_grad():
            value = self._value(z, image)
            score = self.used * self.noise.score(self.noisy[:, None], image)
        weight = torch.full_like(value, -self.prior_weight / self.pixels)
        (gradient,) = torch.autograd.grad(
            (image, log_prior), z, (-score / self.pixels, weight), retain_graph=True
        )
        return z, image, value, gradient

    def linearise(self, z: Tensor) -> Linearisation:
        r"""Return value, gradient and the product :math:`v \mapsto (J^\top F J + w I)v/N`.

        F is the Fisher information of each pixel; J is never formed. Products with it are
        differences of images, right to about half a percent and a fifth cheaper than exact ones,
        whose graph must be differentiated twice; products with its transpose are reverse-mode
        derivatives. The prior is taken as standard normal in the curvature.
        """
        z, image, value, gradient = self._differentiated(z)
        here = image.detach()
        fisher = self.fisher(here)

        def curvature(v: Tensor) -> Tensor:
            self.passes += 2 * z.shape[0] * z.shape[1]
            # Latent numbers are of order one: neither rounding nor bending weighs much.
            length = torch.linalg.vector_norm(v, dim=-1, keepdim=True).clamp(min=1e-30)
            step = torch.finfo(v.dtype).eps ** 0.25 / length
            with torch.no_grad():
                pushed = (self.image(z + step * v) - here) / step[..., None]
            (product,) = torch.autograd.grad(image, z, fisher * pushed, retain_graph=True)
            return (product + self.prior_weight * v) / self.pixels

        diagonal = self._information(fisher) + self.prior_weight
        return Linearisation(value, gradient, curvature, diagonal / self.pixels)

    @torch.no_grad()
    def information(self, z: Tensor) -> Tensor:
        """Return roughly what the data tell of each latent number by itself, (T, K, D)."""
        return self._information(self.fisher(self.image(z)))

    def _information(self, fisher: Tensor) -> Tensor:
        return fisher.mean((-2, -1))[..., None] * self._sensitivity

    @cached_property
    def _sensitivity(self) -> Tensor:
        """Return a rough squared norm of the data's derivative by each latent number, (D,)."""
        known = self.generator.sensitivity()
        if known is None:
            return torch.zeros(self.latent_dim).to(self.noisy)
        scale = self.pixels / math.prod(self.generator.image_shape)
        # Exposure moves every pixel by about its intensity.
        exposed = (TYPICAL_MEAN * self.exposure.spread) ** 2 * math.prod(self.generator.image_shape)
        exposure = known.new_full((self.exposure.free,), exposed)
        return torch.cat([known, exposure]).to(self.noisy) * scale * self.exposure.unit**2
