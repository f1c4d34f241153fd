"""The feature network: a few numbers that tell what an image shows and how well."""

from __future__ import annotations

import itertools
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from emprior.errors import ImageError, OptionError
from emprior.micrograph import check_pixel_size
from emprior.specimen import VACUUM
from emprior.stored import ARCHITECTURES, Stored, typical

LARGEST_DIMENSION = 64
SMALLEST_IMAGE = 12  # pixels along a side
_LAYOUT = 3  # places along each axis that the features can tell


class FeatureNet(Stored):
    """Three strided convolutions, the means of 3 × 3 parts of their maps, one linear layer.

    Few features, because statistics of sets need many images for each; ours, because those of a
    network that was trained on photographs have not learnt what varies between micrographs.
    `emprior.training.features` says how it is trained.

    Parameters
    ----------
    dimension : int
        D, features of an image, 2 to 64.
    width : int
        Channels of the largest map; twice and four times as many follow.
    pixel_size : float
        Distance between the pixel centres of its images in Å.
    channels : int
        Of its images.

    Attributes
    ----------
    num_features : int
        D, under the name that torchmetrics asks for.
    """

    returns = ("features",)

    def __init__(self, *, dimension: int, width: int, pixel_size: float, channels: int = 1) -> None:
        super().__init__()
        self.num_features = _bounded("dimension", dimension, 2, LARGEST_DIMENSION)
        self.width = _bounded("width", width, 1, 256)
        self.channels = _bounded("channels", channels, 1, 4)
        self.pixel_size = check_pixel_size(pixel_size)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise([channels, width, 2 * width, 4 * width]):
            layers += [
                nn.Conv2d(before, after, 4, 2, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        self.layers = nn.Sequential(*layers)
        self.read = nn.Linear(4 * width * _LAYOUT**2, dimension, bias=False)
        # Without a scale of its own: each feature has variance 1 over what it was trained on.
        self.scale = nn.BatchNorm1d(dimension, affine=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return features, (n, D), of images on the clean scale, (n, C, H, W), 12² or larger.

        Raises
        ------
        ImageError
            If the images are of another shape.
        """
        if images.ndim != 4 or images.shape[1] != self.channels:
            raise ImageError(
                f"images of shape {tuple(images.shape)}",
                expected=f"(n, {self.channels}, H, W)",
                why="the features are those of images of so many channels",
                fix="choose a feature network that was trained on such images",
            )
        if min(images.shape[2:]) < SMALLEST_IMAGE:
            raise ImageError(
                f"images of {images.shape[2]} × {images.shape[3]} pixels",
                expected=f"{SMALLEST_IMAGE} × {SMALLEST_IMAGE} or larger",
                why="the network halves them three times",
                fix="take larger images",
            )
        maps = adaptive_avg_pool2d(self.layers(2 * images - 1), _LAYOUT)
        return self.scale(self.read(maps.flatten(1)))

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments that build this architecture."""
        return {
            "dimension": self.num_features,
            "width": self.width,
            "pixel_size": self.pixel_size,
            "channels": self.channels,
        }

    def examples(self) -> dict[str, Tensor]:
        """Return two images of noise about vacuum."""
        return {"images": VACUUM + 0.1 * typical(2, self.channels, 48, 64)}


def _bounded(name: str, value: int, least: int, most: int) -> int:
    if not (isinstance(value, int) and not isinstance(value, bool) and least <= value <= most):
        raise OptionError(
            f"{name} = {value!r}",
            expected=f"a whole number from {least} to {most}",
            why="it sets the size of the network; statistics of more features want more images "
            "than generators are usually judged by",
            fix="48 features and width 16 suit micrographs",
        )
    return value


ARCHITECTURES["features"] = FeatureNet
