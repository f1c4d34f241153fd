r"""The deep convolutional generator and discriminator of the paper, for any power of two.

The generator starts from a 4 × 4 map and doubles it up to the image; the discriminator is its
mirror. The number of channels at a map doubles from the largest map downwards and is capped at 16
times the base width:

===== ===========================================================================
image channels of the maps 4², 8², 16², …, (image / 2)², in units of ``ngf``
===== ===========================================================================
64²   8, 4, 2, 1 (the DCGAN of Radford et al. 2016)
128²  16, 8, 4, 2, 1
512²  16, 8, 4, 2, 1, 1, 1 (the paper's, 12.1 million parameters at ngf 64, nz 50)
===== ===========================================================================
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from emprior.errors import OptionError
from emprior.generators.base import Generator
from emprior.micrograph import check_pixel_size
from emprior.stored import Stored, typical


def channel_plan(size: int) -> tuple[int, ...]:
    """Return the channels of the maps from 4 × 4 to size/2 × size/2, in units of the base width.

    Raises
    ------
    OptionError
        If the size is not a power of two from 16 to 1024.
    """
    if not isinstance(size, int) or size not in (16, 32, 64, 128, 256, 512, 1024):
        raise OptionError(
            f"images of {size!r} pixels a side",
            expected="a power of two from 16 to 1024",
            why="each layer doubles the 4 × 4 map that the network starts from",
            fix="take 64 or 128 for a first model, 512 for the paper's",
        )
    maps = size.bit_length() - 3  # 4, 8, …, size / 2
    widest = min(16, 2 ** (maps - 1))
    return tuple(max(1, widest >> i) for i in range(maps))


class DCGAN(Generator, Stored):
    """The paper's generator: transposed convolutions of kernel 4, BatchNorm, ReLU, Tanh.

    Parameters
    ----------
    size : int
        Pixels a side, a power of two from 16 to 1024.
    nz : int
        Length of the latent vector.
    ngf : int
        Base width: channels of the largest map.
    pixel_size : float
        Distance between pixel centres in Å.
    channels : int
        Channels of the image: 1, or 3 for colour.

    Notes
    -----
    Wrong above 1: an image is (t + 1)/2 of the Tanh output t, so it lies between 0 and 1, whereas
    a clean image may exceed 1, at strong bright contrast.

    A fresh network holds whatever weights PyTorch gives; `initialise` gives the paper's.
    """

    returns = ("image",)

    def __init__(
        self, *, size: int, nz: int, ngf: int, pixel_size: float, channels: int = 1
    ) -> None:
        super().__init__()
        plan = channel_plan(size)
        self.latent_dim = _bounded("nz", nz, 4096)
        self.channels = _bounded("channels", channels, 4)
        self.image_shape = (size, size)
        self.pixel_size = check_pixel_size(pixel_size)
        self.ngf = _bounded("ngf", ngf, 256)
        widths = [ngf * multiple for multiple in plan]
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(itertools.pairwise([nz, *widths])):
            stride, padding = (2, 1) if i else (1, 0)
            layers += [
                nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
        layers += [nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1, bias=False), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """Return clean images, (n, C, H, W), of latent vectors, (n, D)."""
        if z.ndim != 2 or z.shape[1] != self.latent_dim:
            raise OptionError(
                f"latent vectors of shape {tuple(z.shape)}",
                expected=f"(n, {self.latent_dim})",
                why="the first layer of this generator takes vectors of that length",
                fix="draw them by sample_latent",
            )
        return (self.layers(z[:, :, None, None]) + 1) / 2

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments that build this architecture."""
        return {
            "size": self.image_shape[0],
            "nz": self.latent_dim,
            "ngf": self.ngf,
            "pixel_size": self.pixel_size,
            "channels": self.channels,
        }

    def examples(self) -> dict[str, Tensor]:
        """Return two latent vectors."""
        return {"z": typical(2, self.latent_dim)}


class Discriminator(nn.Module):
    """The paper's discriminator: strided convolutions of kernel 4, BatchNorm, LeakyReLU(0.2).

    It returns logits. Where the paper ends in a Sigmoid, apply it in the loss.

    Parameters
    ----------
    size : int
        Pixels a side, as of the generator.
    ndf : int
        Base width: channels of the largest map.
    channels : int
        Channels of the image.
    redesigned : bool
        True: the mirror of the generator. False: the paper's first one, which is only described
        as strided and smaller than the generator; here every map has `ndf` channels.
    """

    def __init__(self, *, size: int, ndf: int, channels: int = 1, redesigned: bool = True) -> None:
        super().__init__()
        multiples = reversed(channel_plan(size))
        widths = [ndf * (multiple if redesigned else 1) for multiple in multiples]
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(itertools.pairwise([channels, *widths])):
            layers.append(nn.Conv2d(before, after, 4, 2, 1, bias=False))
            if i:  # the input layer has no BatchNorm
                layers.append(nn.BatchNorm2d(after))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        layers.append(nn.Conv2d(widths[-1], 1, 4, 1, 0, bias=False))
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logit that each image is real, (n, C, H, W) to (n,).

        Images come on the clean scale, vacuum 0.45; the network sees 2x − 1.
        """
        return self.layers(2 * images - 1).flatten()


@torch.no_grad()
def initialise(network: nn.Module, rng: np.random.Generator) -> None:
    """Draw the paper's initial weights in place.

    Convolutions from N(0, 0.02), BatchNorm weights from N(1, 0.02), biases zero. Fully connected
    layers, which the paper has none of, keep the variance of their input.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.Linear)):
            mean, deviation = (1.0 if isinstance(module, nn.BatchNorm2d) else 0.0), 0.02
            if isinstance(module, nn.Linear):
                deviation = module.in_features**-0.5
            values = rng.normal(mean, deviation, tuple(module.weight.shape))
            module.weight.copy_(torch.from_numpy(values))
            if module.bias is not None:
                module.bias.zero_()


def _bounded(name: str, value: int, most: int) -> int:
    if not (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most):
        raise OptionError(
            f"{name} = {value!r}",
            expected=f"a whole number from 1 to {most}",
            why="it sets the size of the network",
            fix="the paper takes nz 50 to 150, ngf 64 and one channel",
        )
    return value
