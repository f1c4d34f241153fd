"""What every generator is: a map from latent vectors to clean images, with a prior over them."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from emprior.errors import OptionError


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

    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments that build this architecture, as plain values."""

    def sample_latent(self, n: int, rng: np.random.Generator) -> Tensor:
        """Draw n latent vectors from the prior, (n, D), on the device of the weights."""
        like = next(self.parameters())
        values = torch.from_numpy(rng.standard_normal((n, self.latent_dim)))
        return values.to(like.device, like.dtype)

    def log_prior(self, z: Tensor) -> Tensor:
        """Return the log-density of latent vectors, (..., D) to (...), every constant kept."""
        return -(z**2).sum(-1) / 2 - self.latent_dim / 2 * math.log(2 * math.pi)

    def to_dict(self) -> dict[str, Any]:
        """Return the architecture as plain values, with its kind under ``type``; no weights."""
        kind = next(name for name, cls in GENERATORS.items() if cls is type(self))
        return {"type": kind, **self.arguments()}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Generator:
        """Build the architecture that `to_dict` described, with fresh random weights.

        Raises
        ------
        OptionError
            If the type or an argument is not known, is missing, or is out of bounds.
        """
        arguments = dict(values)
        kind = arguments.pop("type", None)
        if not isinstance(kind, str) or kind not in GENERATORS:
            raise OptionError(
                f"a generator of type {kind!r}",
                expected=f"one of {', '.join(GENERATORS)}",
                why="each type names an architecture of this version of emprior",
                fix="correct the type, or update emprior if the file is newer",
            )
        try:
            inspect.signature(GENERATORS[kind]).bind(**arguments)
        except TypeError as error:
            raise OptionError(
                f"a {kind} generator described by {', '.join(arguments) or 'nothing'}: {error}",
                expected=f"{', '.join(inspect.signature(GENERATORS[kind]).parameters)}",
                why="the description must rebuild the architecture exactly",
                fix="correct the description, or update emprior if the file is newer",
            ) from None
        return GENERATORS[kind](**arguments)


GENERATORS: dict[str, type[Generator]] = {}  # filled by emprior.generators
