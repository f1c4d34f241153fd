"""What every generator is: a map from latent vectors to clean images, with a prior over them."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor, nn


class Generator(nn.Module, ABC):
    """A network that draws clean images, and the prior of its latent vectors.

    Images are on the scale of the simulated ones: vacuum is 0.45, one unit is 1/0.45 of the
    incident intensity. Latent vectors are standard normal unless a subclass says otherwise. Call
    ``eval()`` before inverting a generator: batch normalisation in training mode makes each image
    depend on the others of its batch.

    Attributes
    ----------
    latent_dim : int
        D, the length of a latent vector.
    channels : int
        C, 1 for micrographs.
    image_shape : (H, W)
        Pixels of an image.
    pixel_size : float
        Distance between pixel centres in Å.
    """

    latent_dim: int
    channels: int
    image_shape: tuple[int, int]
    pixel_size: float

    @abstractmethod
    def forward(self, z: Tensor) -> Tensor:
        """Return clean images, (n, C, H, W), of latent vectors, (n, D)."""

    @property
    def example(self) -> Tensor:
        """A tensor of the type and on the device of the weights."""
        tensors = itertools.chain(self.parameters(), self.buffers())
        return next(tensor for tensor in tensors if tensor.is_floating_point())

    def sample_latent(self, n: int, rng: np.random.Generator) -> Tensor:
        """Draw n latent vectors from the prior, (n, D), on the device of the weights."""
        like = self.example
        values = torch.from_numpy(rng.standard_normal((n, self.latent_dim)))
        return values.to(like.device, like.dtype)

    def log_prior(self, z: Tensor) -> Tensor:
        """Return the log-density of latent vectors, (..., D) to (...), every constant kept."""
        return -(z**2).sum(-1) / 2 - self.latent_dim / 2 * math.log(2 * math.pi)

    def exact(self) -> Generator:
        """Return a generator that draws the same as exactly as it can, or this one if it does.

        Some save time in a search; its last steps are for the exact one.
        """
        return self

    def local(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return which latent numbers of one vector, (1, D), change the image in one place only.

        Returns
        -------
        places : (M, 2) Tensor
            Row and column of each place [pixels].
        numbers : (M, K) Tensor of int
            The latent numbers that act there.
        """
        return z.new_zeros(0, 2), torch.zeros(0, 0, dtype=torch.long, device=z.device)

    def sensitivity(self) -> Tensor | None:
        r"""Return roughly :math:`\sum_{\mathrm{pixels}} (\partial x / \partial z_i)^2`, (D,).

        It need not be right, only tell latent numbers that move the whole image from those that
        move a part: searches take steps in proportion. None where all are alike.
        """
        return None
