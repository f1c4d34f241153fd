"""One training by several processes, each of which computes a share of every batch.

::

    torchrun --nproc-per-node 2 -m emprior train RECIPE -o RUN

All processes hold the same weights and draw the same batches, from the same random streams. They
differ in the images that they compute on alone, and agree on whatever is a mean over a batch: the
gradient of every parameter, as soon as it is known; the statistics of batch normalisation, forth
and back; the figures of the log. So the weights that result are those of one process, but for the
order of sums. The first process, the lead, also judges, writes and speaks; what it finds, the
others are told.

Messages go through gloo, between processors of one machine or of several that see the same files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from emprior.device import choose_device
from emprior.errors import OptionError, RecipeError, TrainingError
from emprior.regressors.base import ScaleNorm
from emprior.training.recipe import TrainingRecipe
from emprior.training.trainer import Figures, Trainer

Anything = TypeVar("Anything")


def leads() -> bool:
    """Return whether this process is the one that speaks, before any others are met."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def gathered() -> Iterator[Team]:
    """Meet the other processes that torchrun started, if there are any."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team()
        return
    with _together():
        distributed.init_process_group("gloo")
    try:
        yield Team(distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()


@dataclass(frozen=True)
class Team:
    """The processes of one training, as one of them sees them; by default it is alone.

    Parameters
    ----------
    rank : int
        Its number; that of the lead is 0.
    size : int
        How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that judges, writes and speaks."""
        return self.rank == 0

    def lead(self, work: Callable[[], Anything]) -> Anything:
        """Let the lead alone do some work, and return in all processes what it returned there."""
        found = [work() if self.leads else None]
        if self.size > 1:
            with _together():
                distributed.broadcast_object_list(found)
        return found[0]  # type: ignore[return-value]

    @contextmanager
    def lead_first(self) -> Iterator[None]:
        """Do what all must do, the lead before the others: if it fails, one message says so."""
        if not self.leads:
            self.lead(lambda: None)
        yield
        if self.leads:
            self.lead(lambda: None)

    def device(self, name: str) -> torch.device:
        """Return the device of a process; see `emprior.device.choose_device`."""
        if self.size > 1 and name not in ("auto", "cpu"):
            raise OptionError(
                f"device {name!r} for {self.size} processes",
                expected="auto or cpu",
                why="processes share a training between processors; one of them fills a GPU",
                fix="leave the device out, or train on it with one process, without torchrun",
            )
        return choose_device("cpu" if self.size > 1 else name)

    def join(self, trainer: Trainer, recipe: TrainingRecipe) -> None:
        """Let a trainer's networks learn from all shares of a batch.

        Raises
        ------
        RecipeError
            If its batches cannot be shared, or not equally.
        """
        if self.size == 1:
            return
        if not trainer.shares:
            raise RecipeError(
                f"kind = {recipe.kind!r} for {self.size} processes",
                expected="one process",
                why="its loss compares all images of a batch with each other",
                fix="start it without torchrun",
            )
        if recipe.optimisation.batch % self.size:
            raise RecipeError(
                f"optimisation.batch = {recipe.optimisation.batch} for {self.size} processes",
                expected="a multiple of their number",
                why="each computes an equal share of every batch",
                fix="change the batch, or --nproc-per-node",
            )
        for part in trainer.parts.values():
            if not isinstance(part, nn.Module):
                continue
            for parameter in part.parameters():
                if parameter.requires_grad:
                    parameter.register_post_accumulate_grad_hook(_average_gradient)
                    # So averages of weights, which only the lead uses, stay as they are.
            if any(parameter.requires_grad for parameter in part.parameters()):
                for module in part.modules():
                    # The same layer, with the same weights, that asks the others too.
                    module.__class__ = _SHARED.get(type(module), type(module))

    def share(self, batch: Anything) -> Anything:
        """Return this process's part of a batch, a named tuple of tensors (n, …)."""
        if self.size == 1:
            return batch
        assert isinstance(batch, tuple)
        return type(batch)(*(tensor.chunk(self.size)[self.rank] for tensor in batch))

    def mean(self, figures: Figures) -> Figures:
        """Return the mean of each figure over the shares."""
        if self.size == 1:
            return figures
        return dict(zip(figures, _mean(torch.tensor([*figures.values()])).tolist(), strict=True))


def _average_gradient(parameter: Tensor) -> None:
    assert parameter.grad is not None
    parameter.grad.copy_(_mean(parameter.grad))


def _mean(tensor: Tensor) -> Tensor:
    """Return the mean over the processes."""
    total = tensor.clone(memory_format=torch.contiguous_format)
    with _together():
        distributed.all_reduce(total)
    return total / distributed.get_world_size()


@contextmanager
def _together() -> Iterator[None]:
    """Say what it means that others do not answer."""
    try:
        yield
    except RuntimeError as error:
        if not leads():  # of which one message is enough
            raise SystemExit(1) from error
        raise TrainingError(
            "another process of this training ended, or cannot be reached",
            expected="all processes that torchrun started",
            why="each computes a share of every batch, so none can go on alone",
            fix="look for the message of that process; then go on from the last checkpoint with "
            "--resume",
        ) from error


# ---------------------------------------------------------------------------- batch normalisation


class _Mean(torch.autograd.Function):
    """The mean over the processes; its derivative is the mean of theirs."""

    @staticmethod
    def forward(context: Any, tensor: Tensor) -> Tensor:
        return _mean(tensor)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        return _mean(gradients[0])


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each channel, (C,), of all shares (n, C, H, W)."""
    mean = _Mean.apply(x.mean((0, 2, 3)))
    square = (x - mean[:, None, None]).square().mean((0, 2, 3))
    return mean, _Mean.apply(square)


class _BatchNorm(nn.BatchNorm2d):
    """Batch normalisation by the statistics of all shares; PyTorch's own is for GPUs only."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the base's name)
        if not self.training:
            return super().forward(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        x = input.float()
        mean, variance = _moments(x)
        pixels = x.numel() // x.shape[1] * distributed.get_world_size()
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * pixels / (pixels - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        shift = self.bias - mean * scale
        return (x * scale[:, None, None] + shift[:, None, None]).to(input.dtype)


class _ScaleNorm(ScaleNorm):
    """`ScaleNorm` by the variance of all shares."""

    def variance(self, x: Tensor) -> Tensor:
        return _moments(x)[1]


_SHARED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm2d: _BatchNorm,
    ScaleNorm: _ScaleNorm,
}
