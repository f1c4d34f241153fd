r"""Generators of measurements: what is seen of another generator's images, not the images.

.. math:: y(z) = A\,G(z)

with A linear, as Bora et al. (2017) invert generators from few measurements. A generator behind a
measurement is a generator, whose image is the measurement laid out in one channel; a search needs
nothing else. `Measured.measure` makes the data from images of the truth likewise.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from emprior.errors import OptionError
from emprior.generators.base import Generator


class Measured(Generator):
    """A generator seen through a linear measurement.

    Parameters
    ----------
    generator : Generator
        Its latent vectors and their prior are kept.
    shape : (h, w)
        Of a measurement.
    """

    channels = 1

    def __init__(self, generator: Generator, shape: tuple[int, int]) -> None:
        super().__init__()
        self.generator = generator
        self.latent_dim, self.pixel_size = generator.latent_dim, generator.pixel_size
        self.image_shape = shape
        self.train(generator.training)

    @abstractmethod
    def measure(self, images: Tensor) -> Tensor:
        """Return the measurements, (n, 1, h, w), of images, (n, C, H, W)."""

    def forward(self, z: Tensor) -> Tensor:
        """Return the measurements, (n, 1, h, w), of latent vectors, (n, D)."""
        return self.measure(self.generator(z))

    def sample_latent(self, n: int, rng: np.random.Generator) -> Tensor:
        """Draw n latent vectors from the generator's prior, (n, D)."""
        return self.generator.sample_latent(n, rng)

    def log_prior(self, z: Tensor) -> Tensor:
        """Return the generator's log-density of latent vectors, (..., D) to (...)."""
        return self.generator.log_prior(z)


class SideBySide(Measured):
    """All of the image, its channels side by side: how a search sees images in colour."""

    def __init__(self, generator: Generator) -> None:
        H, W = generator.image_shape
        super().__init__(generator, (H, generator.channels * W))

    def measure(self, images: Tensor) -> Tensor:
        """Lay channels out, (n, C, H, W) to (n, 1, H, C·W)."""
        return images.transpose(1, 2).flatten(2)[:, None]

    def images(self, measured: Tensor) -> Tensor:
        """Undo `measure`: (..., H, C·W) to (..., C, H, W)."""
        return measured.unflatten(-1, (self.generator.channels, -1)).transpose(-3, -2)


class Masked(Measured):
    """The pixels that a mask keeps, in all channels.

    Parameters
    ----------
    generator : Generator
    keep : (H, W) array_like of bool
        At least one; a measurement has the shape (1, C × their number).
    """

    keep: Tensor

    def __init__(self, generator: Generator, keep: ArrayLike) -> None:
        mask = np.asarray(keep)
        if mask.dtype != bool or mask.shape != tuple(generator.image_shape) or not mask.any():
            raise OptionError(
                f"a mask of {mask.dtype}, shape {mask.shape}, that keeps {int(np.sum(mask != 0))}",
                expected=f"booleans of shape {tuple(generator.image_shape)}, at least one true",
                why="each pixel of the generator's image is either seen or not",
                fix="draw, for example, rng.random(generator.image_shape) < 0.5",
            )
        super().__init__(generator, (1, generator.channels * int(mask.sum())))
        self.register_buffer("keep", torch.from_numpy(mask).to(generator.example.device))

    def measure(self, images: Tensor) -> Tensor:
        """Return the kept pixels, (n, 1, 1, m), of images (n, C, H, W)."""
        return images[..., self.keep].flatten(1)[:, None, None]


class Compressed(Measured):
    r"""Fewer numbers than pixels, each a weighted sum of all of them.

    Parameters
    ----------
    generator : Generator
    matrix : (m, C·H·W) array_like
        A, over the image flattened channel by channel, row by row. Bora et al. draw it from
        N(0, 1/m), which keeps lengths on average.
    """

    matrix: Tensor

    def __init__(self, generator: Generator, matrix: ArrayLike) -> None:
        A = np.asarray(matrix)
        pixels = generator.channels * int(np.prod(generator.image_shape))
        if A.ndim != 2 or A.shape[1] != pixels or not len(A) or not np.isfinite(A).all():
            raise OptionError(
                f"a matrix of shape {A.shape}"
                + (", not all finite" if A.dtype.kind in "fc" and not np.isfinite(A).all() else ""),
                expected=f"finite numbers of shape (m, {pixels})",
                why="each row weights every pixel of the generator's image",
                fix=f"draw, for example, rng.normal(0, m**-0.5, (m, {pixels}))",
            )
        super().__init__(generator, (1, len(A)))
        self.register_buffer("matrix", torch.from_numpy(A).to(generator.example))

    def measure(self, images: Tensor) -> Tensor:
        """Return A x, (n, 1, 1, m), of images x (n, C, H, W)."""
        return (images.flatten(1) @ self.matrix.T)[:, None, None]
