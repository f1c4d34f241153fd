r"""Training of a feature network: to tell images and their defects apart, by nobody's labels.

Each image of a batch comes plain and with a defect (blurred, noisy, of another contrast, or its
parts shuffled), and each of these twice, as two windows that differ by a few pixels. The two
windows must have near features, all else in the batch far ones: the loss is the cross-entropy of
finding the partner (van den Oord et al. 2018, eq. (4)) with the logits

.. math:: -|f_i - f_j|^2 / (2 \tau D), \qquad \tau = 0.1,

so that Euclidean distances mean something, as neighbours and kernel densities need. The plain twin
of a defective image is what it is most easily taken for, so that features see sharpness and
texture, which an autoencoder's bottleneck drops, along with what is shown and where. Labels such as
optics would teach as much of micrographs, but natural images have none.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from emprior.datasets import Dataset
from emprior.errors import RecipeError
from emprior.features import FeatureNet
from emprior.stacks import Stack
from emprior.stored import Stored
from emprior.training.checkpoint import Part
from emprior.training.crops import check_crops, draw_crops
from emprior.training.features_recipe import FeaturesRecipe
from emprior.training.trainer import Figures, Micrographs, follow, schedule, start_from

_TEMPERATURE = 0.1
_PARTS = 4  # of a shuffled image, along each side
_SHOWN, _POOL = 8, 128  # crops in a picture, and those that neighbours are sought among


class Features:
    """A feature network, its optimiser, and one update.

    Parameters
    ----------
    recipe : FeaturesRecipe
    data : Micrographs
    device : torch.device
    rng : numpy.random.Generator
        Draws the initial weights, and the images and views that are held out.

    Raises
    ------
    RecipeError
        If the crops do not fit into the images, or none can be held out of the data.
    OptionError
        If there are too few images to hold some out.
    """

    shares = False

    def __init__(
        self,
        recipe: FeaturesRecipe,
        data: Micrographs,
        device: torch.device,
        rng: np.random.Generator,
    ) -> None:
        shape = recipe.network
        check_crops(data, recipe.data, shape.size, "network.size")
        self.recipe, self.settings = recipe, recipe.optimisation
        self.device = device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**63)))
            network = FeatureNet(
                dimension=shape.dimension,
                width=shape.width,
                pixel_size=data.pixel_size * recipe.data.stride,
                channels=data.channels,
            )
        # Twice as fast on CPUs as the default layout.
        self.network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.adam = torch.optim.AdamW(
            self.network.parameters(), self.settings.rate, weight_decay=self.settings.weight_decay
        )
        self.data, held_out = _split(recipe, data, rng)
        self._judged: Tensor | None = None
        if held_out:
            # As many as in a batch: the loss depends on how many the partner is sought among.
            self._judged = views(self._crops(held_out, self.settings.batch, rng), rng)

    @property
    def parts(self) -> dict[str, Part]:
        """Everything that changes in training, for checkpoints."""
        return {"network": self.network, "average": self.average, "adam": self.adam}

    def begin(self, start: str | None) -> None:
        """Continue from a stored feature network if one is given."""
        if start:
            start_from(self.network, start)
            self.average.load_state_dict(self.network.state_dict())

    def draw(self, rng: np.random.Generator) -> Tensor:
        """Return a batch of views, see `views`."""
        return views(self._crops(self.data, self.settings.batch, rng), rng)

    def _crops(self, data: Micrographs, n: int, rng: np.random.Generator) -> Tensor:
        size = self.recipe.network.size
        return torch.from_numpy(draw_crops(data, self.recipe.data, size, n, rng))

    def update(self, batch: Tensor, seen: int, used: float) -> Figures:
        """Update the network, then its average.

        Returns
        -------
        dict
            The loss, the share of views whose nearest neighbour is their partner, and the learning
            rate.
        """
        rate = self.settings.rate * schedule(seen // self.settings.batch, used, self.settings.flat)
        for group in self.adam.param_groups:
            group["lr"] = rate
        loss, found = contrast(self.network(batch.to(self.device)))
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        follow(self.average, self.network, self.settings.batch, seen, self.settings.half_life)
        return {"loss": loss.item(), "partners_found": found.item(), "learning_rate": rate}

    @torch.no_grad()
    def validate(self, prior: Stored, rng: np.random.Generator) -> Figures:
        """Judge views of held-out images: as in `update`."""
        if self._judged is None:
            return {}
        loss, found = contrast(prior(self._judged.to(self.device)))
        return {"held_out_loss": loss.item(), "held_out_partners_found": found.item()}

    def export(self, rng: np.random.Generator) -> FeatureNet:
        """Return the averaged network."""
        return copy.deepcopy(self.average)

    def data_picture(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Return plain windows above their partners, and defective ones above theirs."""
        shown = views(self._crops(self.data, _SHOWN, rng), rng).numpy()
        return _table(shown[[*range(0, len(shown), 2), *range(1, len(shown), 2)]], 4)

    @torch.no_grad()
    def picture(self, prior: Stored, rng: np.random.Generator) -> NDArray[np.float32]:
        """Return crops above their nearest and their farthest of others."""
        assert isinstance(prior, FeatureNet)
        crops = self._crops(self.data, _SHOWN + _POOL, rng)
        features = prior(crops.to(self.device)).cpu()
        distance = torch.cdist(features[:_SHOWN], features[_SHOWN:])
        near, far = distance.argmin(1) + _SHOWN, distance.argmax(1) + _SHOWN
        return _table(torch.cat([crops[:_SHOWN], crops[near], crops[far]]).numpy(), 3)


def _split(
    recipe: FeaturesRecipe, data: Micrographs, rng: np.random.Generator
) -> tuple[Micrographs, Micrographs | None]:
    """Return what to train on, and what judges it."""
    if not recipe.held_out:
        return data, None
    if not isinstance(data, Dataset | Stack):
        raise RecipeError(
            f"held_out = {recipe.held_out:g} for images that cannot be told apart",
            expected="held_out = 0, a simulated data set, or a stack of images",
            why="images that are trained on would flatter the network",
            fix="set held_out = 0, and judge the network on other images",
        )
    return data.split(recipe.held_out, rng)


def _table(images: NDArray[np.float32], rows: int) -> NDArray[np.float32]:
    """Return (n, C, h, w) images as rows of a picture, with the channels of colour last."""
    table = images.reshape(rows, -1, *images.shape[1:])
    return table[:, :, 0] if table.shape[2] == 1 else np.moveaxis(table, 2, -1)


def views(crops: Tensor, rng: np.random.Generator) -> Tensor:
    """Return two windows of each image, and two of it with a defect.

    Parameters
    ----------
    crops : (n, C, H, W) tensor
    rng : numpy.random.Generator

    Returns
    -------
    (4n, C, h, w) tensor
        Seven eighths of the crops' sides. First the plain windows, partners next to each other,
        then the defective ones in the same order.
    """
    H, W = crops.shape[2:]
    play = [side // 8 for side in (H, W)]
    h, w = H - play[0], W - play[1]
    windows = crops.new_empty(2 * len(crops), crops.shape[1], h, w)
    for view, (row, column) in enumerate(
        rng.integers((play[0] + 1, play[1] + 1), size=(len(windows), 2))
    ):
        windows[view] = crops[view // 2, :, row : row + h, column : column + w]
    return torch.cat([windows, defective(windows, rng)])


def defective(windows: Tensor, rng: np.random.Generator) -> Tensor:
    """Return images with one defect each, the same kind and strength for each pair of partners.

    Blur by 0.7 to 2.5 pixels, noise of 0.2 to 1 standard deviation of the batch, contrast of 0.3 to
    0.7 or its inverse, or 4 × 4 parts in another order.
    """
    pairs = len(windows) // 2
    kinds, strengths = rng.integers(4, size=pairs), rng.random(pairs)
    spread, out = float(windows.std()), windows.clone()
    for pair, (kind, strength) in enumerate(zip(kinds, strengths, strict=True)):
        for i in (2 * pair, 2 * pair + 1):
            out[i] = _defect(windows[i], int(kind), float(strength), spread, rng)
    return out


def _defect(
    image: Tensor, kind: int, strength: float, spread: float, rng: np.random.Generator
) -> Tensor:
    """Return one (C, h, w) image with one defect; a strength is within 0 to 1."""
    if kind == 0:
        sigma = 0.7 + 1.8 * strength
        ky, kx = (torch.fft.fftfreq(n) for n in image.shape[1:])
        transfer = torch.exp(-2 * (math.pi * sigma) ** 2 * (ky[:, None] ** 2 + kx**2))
        return torch.fft.ifft2(torch.fft.fft2(image) * transfer).real
    if kind == 1:
        noise = rng.standard_normal(tuple(image.shape)).astype(np.float32)
        return image + (0.2 + 0.8 * strength) * spread * torch.from_numpy(noise)
    if kind == 2:
        weak = 0.3 + 0.8 * (strength % 0.5)
        factor = weak if strength < 0.5 else 1 / weak
        mean = image.mean((1, 2), keepdim=True)
        return mean + factor * (image - mean)
    C, (b, d) = image.shape[0], (n // _PARTS for n in image.shape[1:])
    whole = image[:, : b * _PARTS, : d * _PARTS].reshape(C, _PARTS, b, _PARTS, d)
    parts = whole.permute(1, 3, 0, 2, 4).flatten(0, 1)[rng.permutation(_PARTS**2)]
    shuffled = parts.unflatten(0, (_PARTS, _PARTS)).permute(2, 0, 3, 1, 4)
    out = image.clone()
    out[:, : b * _PARTS, : d * _PARTS] = shuffled.reshape(C, b * _PARTS, d * _PARTS)
    return out


def contrast(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss, and the share of views whose nearest neighbour is their partner.

    Parameters
    ----------
    features : (2m, D) tensor
        Partners next to each other.
    """
    square = (features**2).sum(1)
    distance = square[:, None] + square - 2 * features @ features.T
    logits = -distance / (2 * _TEMPERATURE * features.shape[1])
    logits = logits.masked_fill(
        torch.eye(len(features), dtype=torch.bool, device=logits.device), -1e9
    )
    partner = torch.arange(len(features), device=logits.device) ^ 1
    return cross_entropy(logits, partner), (logits.argmax(1) == partner).float().mean()
