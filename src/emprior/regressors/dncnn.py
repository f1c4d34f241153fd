"""A plain stack of convolutions that predicts the noise."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from emprior.regressors.base import Regressor, block, bounded, convolution


class DnCNN(Regressor):
    r"""Convolution and ReLU, then with batch normalisation, then a convolution: the noise [1]_.

    Without bias it is BF-DnCNN [2]_. For depth D and width W it has
    :math:`9\,(2W + (D-2)\,W^2)` weights, with normalisation :math:`(D-2)\,W` more, with bias
    :math:`(D-1)\,W + 1` more.

    Parameters
    ----------
    depth : int
        Convolutions, 20 in [2]_. Each widens the receptive field by one pixel on every side.
    width : int
        Channels between them, 64 in [1]_ and [2]_.
    bias, norm, pixel_size, levelled
        As for `Regressor`.

    Notes
    -----
    Edges are repeated, where [1]_ pads with zeros.

    References
    ----------
    .. [1] K. Zhang, W. Zuo, Y. Chen, D. Meng, L. Zhang, IEEE Trans. Image Process. 26 (2017) 3142.
    .. [2] S. Mohan, Z. Kadkhodaie, E. P. Simoncelli, C. Fernandez-Granda, ICLR 2020.
    """

    def __init__(
        self,
        *,
        depth: int,
        width: int,
        bias: bool,
        norm: bool,
        pixel_size: float,
        levelled: bool = False,
    ) -> None:
        super().__init__(bias=bias, norm=norm, pixel_size=pixel_size, levelled=levelled)
        self.depth, self.width = bounded("depth", depth, 2, 64), bounded("width", width, 1, 512)
        layers: list[nn.Module] = [convolution(1, width, bias), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            layers += block(width, width, bias, norm)
        self.layers = nn.Sequential(*layers, convolution(width, 1, bias))
        self.reach = depth

    def regress(self, images: Tensor) -> Tensor:
        """Subtract the predicted noise."""
        return images - self.layers(images)

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments that build this architecture."""
        return {
            "depth": self.depth,
            "width": self.width,
            "bias": self.bias,
            "norm": self.norm,
            "pixel_size": self.pixel_size,
            "levelled": self.levelled,
        }
