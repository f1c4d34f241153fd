"""The UNet of the supervised baseline."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

from emprior.regressors.base import Regressor, block, bounded


def plan(scales: int, width: int) -> list[int]:
    """Return the channels at each resolution, from the finest to the coarsest.

    They double at each halving from the third on, but not at the last.
    """
    multiples = [2 ** max(0, i - 2) for i in range(scales)]
    return [width * multiple for multiple in [*multiples, multiples[-1]]]


class UNet(Regressor):
    r"""The network of Mohan et al. [1]_ for electron micrographs.

    Two convolutions with batch normalisation and ReLU at each resolution, on the way down and on
    the way up; maxima of 2 × 2 pixels between them down, bilinear interpolation up. On the way up
    the first of the two keeps the channels w of its resolution and the second leaves those of the
    next finer one. It has

    .. math:: 9\Big(w_0 + w_0^2 + \sum_{i=1}^{S} (w_{i-1} w_i + w_i^2)
        + \sum_{i=0}^{S-1} (2 w_i^2 + w_i w_{\max(i-1, 0)})\Big) + w_0

    weights; normalisation and bias have one more each for each channel of all convolutions but
    the last, and the last a bias. The published 6 scales of width 128 make 70.5 million.

    Parameters
    ----------
    scales : int
        S, how often the resolution is halved.
    width : int
        Channels at full resolution, see `plan`.
    bias, norm, pixel_size, levelled
        As for `Regressor`.

    Notes
    -----
    Interpolation takes pixels as areas, whereas the published network aligns the corners of the
    maps, which makes its answer depend on the size of the image. The paper gives scales, width
    and the number of parameters; the channels in between are those of its authors' programs.

    References
    ----------
    .. [1] S. Mohan et al., Deep denoising for scientific discovery: a case study in electron
       microscopy, 2020; IEEE Trans. Comput. Imaging 8 (2022) 585.
    """

    def __init__(
        self,
        *,
        scales: int,
        width: int,
        bias: bool,
        norm: bool,
        pixel_size: float,
        levelled: bool = False,
    ) -> None:
        super().__init__(bias=bias, norm=norm, pixel_size=pixel_size, levelled=levelled)
        self.scales, self.width = bounded("scales", scales, 1, 8), bounded("width", width, 1, 256)
        widths = plan(scales, width)
        self.multiple = 2**scales
        # In pixels of 2^i: two convolutions at the coarsest, four and an interpolation at others.
        self.reach = 2 * 2**scales + 4 * (2**scales - 1) + 2 * (2**scales - 1)
        self.down = nn.ModuleList(
            nn.Sequential(*block(before, after, bias, norm), *block(after, after, bias, norm))
            for before, after in pairwise([1, *widths])
        )
        self.up = nn.ModuleList(
            nn.Sequential(*block(2 * here, here, bias, norm), *block(here, finer, bias, norm))
            for finer, here in pairwise([width, *widths[:-1]])
        )
        self.last = nn.Conv2d(width, 1, 1, bias=bias)

    def regress(self, images: Tensor) -> Tensor:
        """Go down through the resolutions and up again."""
        x, seen = self.down[0](images), []
        for stage in self.down[1:]:
            seen.append(x)
            x = stage(max_pool2d(x, 2))
        for stage in reversed(self.up):
            x = interpolate(x, scale_factor=2, mode="bilinear")
            x = stage(torch.cat([seen.pop(), x], dim=1))
        return self.last(x)

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments that build this architecture."""
        return {
            "scales": self.scales,
            "width": self.width,
            "bias": self.bias,
            "norm": self.norm,
            "pixel_size": self.pixel_size,
            "levelled": self.levelled,
        }
