"""What every regressor is: one pass from a noisy image to a clean one."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emprior.errors import OptionError
from emprior.micrograph import check_pixel_size
from emprior.specimen import TYPICAL_DEVIATION, TYPICAL_MEAN, VACUUM
from emprior.stored import Stored, typical

LEVEL = TYPICAL_MEAN, TYPICAL_DEVIATION
"""Mean and standard deviation of levelled images."""


class Regressor(Stored):
    """A convolutional network from noisy to clean images of any size.

    Images are on the scale of the simulated ones, bright fields with a vacuum of 0.45, unless they
    are levelled. Call ``eval()`` before use.

    Parameters
    ----------
    bias : bool
        Whether layers add constants. Without, ``f(a·x) = a·f(x)`` for every a > 0 in eval mode:
        such a network denoises at noise levels that it was not trained at [1]_.
    norm : bool
        Whether channels are normalised over the batch, as in [1]_. In short trainings and small
        batches that hurts, most where noise levels differ within one: the scale of an image then
        depends on its neighbours.
    pixel_size : float
        Distance between pixel centres in Å.
    levelled : bool
        Whether images are on no scale but their own: shifted and stretched to the mean and the
        deviation of `LEVEL`, as for detectors that tell neither their zero nor their unit.

    Attributes
    ----------
    reach : int
        Most pixels, along an axis, from which an output pixel learns anything.
    multiple : int
        An image moved by so many pixels gives the same answer, moved. Sides are padded to it.

    References
    ----------
    .. [1] S. Mohan, Z. Kadkhodaie, E. P. Simoncelli, C. Fernandez-Granda, ICLR 2020.
    """

    returns = ("image",)
    reach: int
    multiple: int = 1

    def __init__(
        self, *, bias: bool, norm: bool, pixel_size: float, levelled: bool = False
    ) -> None:
        super().__init__()
        for name, value in (("bias", bias), ("norm", norm), ("levelled", levelled)):
            if not isinstance(value, bool):
                raise OptionError(
                    f"{name} = {value!r}",
                    expected="true or false",
                    why="there is nothing in between",
                    fix="recipes/unet-blind.toml holds an example",
                )
        self.bias, self.norm, self.pixel_size = bias, norm, check_pixel_size(pixel_size)
        self.levelled = levelled

    def forward(self, images: Tensor) -> Tensor:
        """Return clean images, (n, 1, H, W), of noisy ones of that shape; edges are repeated."""
        if images.ndim != 4 or images.shape[1] != 1 or min(images.shape) < 1:
            raise OptionError(
                f"images of shape {tuple(images.shape)}",
                expected="(n, 1, H, W)",
                why="a regressor takes a batch of images of one channel",
                fix="index with [:, None]",
            )
        H, W = images.shape[-2:]
        padded = F.pad(images, (0, -W % self.multiple, 0, -H % self.multiple), mode="replicate")
        return self.regress(padded)[..., :H, :W]

    def examples(self) -> dict[str, Tensor]:
        """Return two frames of noise about vacuum."""
        return {"images": VACUUM + 0.1 * typical(2, 1, 45, 59)}

    @abstractmethod
    def regress(self, images: Tensor) -> Tensor:
        """Return clean images of noisy ones whose sides are multiples of `multiple`."""


class ScaleNorm(nn.Module):
    r"""Batch normalisation without its additive terms: :math:`y = \gamma x / \sigma`.

    σ is the standard deviation of a channel over the batch; in eval mode it is a running one, and
    the layer is linear [1]_.

    References
    ----------
    .. [1] S. Mohan et al., ICLR 2020, section 3.
    """

    running_var: Tensor

    def __init__(self, channels: int, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.momentum, self.epsilon = momentum, epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Scale the channels of (n, C, H, W)."""
        if self.training:
            variance = self.variance(x)
            with torch.no_grad():
                self.running_var.lerp_(variance, self.momentum)
        else:
            variance = self.running_var
        scale = self.weight * (variance + self.epsilon).rsqrt()
        return x * scale[:, None, None]

    def variance(self, x: Tensor) -> Tensor:
        """Return the variance of each channel over the batch, (C,)."""
        return x.var((0, 2, 3), correction=0)


def convolution(before: int, after: int, bias: bool) -> nn.Conv2d:
    """Return a 3 × 3 convolution that repeats the edges, for which zeros would be a constant.

    Fresh weights keep the size of signals through ReLUs (He et al. 2015), normalised or not.
    """
    layer = nn.Conv2d(before, after, 3, padding=1, bias=bias, padding_mode="replicate")
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer


def block(before: int, after: int, bias: bool, norm: bool) -> list[nn.Module]:
    """Return convolution, perhaps batch normalisation, and ReLU, with or without additive terms."""
    # The shift of a normalisation makes a bias of the convolution before it superfluous.
    layers: list[nn.Module] = [convolution(before, after, bias and not norm)]
    if norm:
        layers.append(nn.BatchNorm2d(after) if bias else ScaleNorm(after))
    return [*layers, nn.ReLU(inplace=True)]


def bounded(name: str, value: int, least: int, most: int) -> int:
    """Return a whole number that sets the size of a network.

    Raises
    ------
    OptionError
        If it is none, or out of bounds.
    """
    if not (type(value) is int and least <= value <= most):
        raise OptionError(
            f"{name} = {value!r}",
            expected=f"a whole number from {least} to {most}",
            why="it sets the size of the network",
            fix="recipes/unet-blind.toml holds an example",
        )
    return value
