"""What the loop of a run needs of a kind of training, and what all kinds share."""

from __future__ import annotations

import itertools
import math
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from emprior import weights
from emprior.errors import RecipeError
from emprior.stored import Stored
from emprior.training.checkpoint import Part

Figures = dict[str, float]
"""Numbers of the log by name."""

_RAMP = 100  # updates until the full learning rate


class Micrographs(Protocol):
    """What every training needs of a data set; `emprior.datasets.Dataset` is one."""

    @property
    def pixel_size(self) -> float:
        """Nominal distance between pixel centres in Å."""

    @property
    def hash(self) -> str:
        """Of the content, for the card of the prior."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of every image."""

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colour."""

    @property
    def shown(self) -> tuple[float, float]:
        """Values shown as black and white in pictures."""

    def crops(self, n: int, shape: tuple[int, int], rng: np.random.Generator) -> Any:
        """Draw n crops: their ``images``, (n, C, h, w) float32, and the ``index`` of each."""


class Trainer(Protocol):
    """Networks and optimisers in training.

    Attributes
    ----------
    shares : bool
        Whether the loss of a batch is a mean over its images, so that processes can share it.
    """

    shares: ClassVar[bool]

    @property
    def parts(self) -> dict[str, Part]:
        """Everything that changes in training, for checkpoints."""

    def begin(self, start: str | None) -> None:
        """Prepare the weights of a training without checkpoints, from a prior if one is given."""

    def draw(self, rng: np.random.Generator) -> Any:
        """Return one batch, and all else that is random in its update.

        Called ahead of the update, in another thread.
        """

    def update(self, batch: Any, seen: int, used: float) -> Figures:
        """Update all networks once.

        Parameters
        ----------
        batch
            As drawn, or this process's share of it.
        seen : int
            Images seen, those of all the batch included.
        used : float
            Share of the budget before this update.
        """

    def validate(self, prior: Stored, rng: np.random.Generator) -> Figures:
        """Return what held-out data say of an exported prior, if there are any.

        Where that is the PSNR of images, it is named as in `emprior.training.heldout`.
        """

    def export(self, rng: np.random.Generator) -> Stored:
        """Return the prior, in eval mode."""

    def data_picture(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Return what is trained on as a table of images, (R, C, H, W) or (R, C, H, W, 3)."""

    def picture(self, prior: Stored, rng: np.random.Generator) -> NDArray[np.float32]:
        """Return what an exported prior does, as such a table."""


def start_from(network: Stored, name: str) -> None:
    """Give a network the weights of a stored prior.

    Raises
    ------
    WeightsError
        If there is no such prior.
    RecipeError
        If it is of another architecture.
    """
    stored, _ = weights.load(name)
    found, wanted = stored.to_dict(), network.to_dict()
    if found != wanted:
        differing = [key for key in wanted | found if wanted.get(key) != found.get(key)]
        key = differing[0]
        raise RecipeError(
            f"start = {name!r}, a prior of {key} {found.get(key)!r}",
            expected=f"{key} {wanted.get(key)!r}, as the recipe and the data say",
            why="weights fit only into the architecture that they were trained in",
            fix="choose a prior of the same architecture, or copy its settings into the recipe",
        )
    network.load_state_dict(stored.state_dict())


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, batch: int, seen: int, half_life: int) -> None:
    """Move an average of weights, and of normalisation statistics, towards the present ones.

    Parameters
    ----------
    average, network : Module
        Of one architecture.
    batch, seen : int
        Images in this update, and in all with it.
    half_life : int
        In images; at most a twentieth of those seen counts, so that the random start is forgotten
        early.
    """
    bounded = min(half_life, seen / 20)
    weight = 1 - 0.5 ** (batch / bounded) if bounded else 1.0
    means, values = (itertools.chain(n.parameters(), n.buffers()) for n in (average, network))
    for mean, value in zip(means, values, strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, weight)


def convolving(precision: str, device: torch.device) -> torch.autocast:
    """Return the context in which a network's convolutions have a precision of a recipe."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def schedule(step: int, used: float, flat: float) -> float:
    """Return the share of the learning rate: a ramp, a plateau, half a cosine down to nothing."""
    fall = min(max(used - flat, 0) / (1 - flat), 1.0) if flat < 1 else 0.0
    return min(1.0, step / _RAMP) * (1 + math.cos(math.pi * fall)) / 2
