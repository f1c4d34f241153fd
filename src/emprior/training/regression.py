"""Supervised training of a regressor: noisy crops in, clean crops out, least squares."""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import mse_loss

from emprior.datasets import Dataset
from emprior.errors import RecipeError
from emprior.noise import ClippedPoisson, Gaussian, NoiseModel, Poisson
from emprior.noise_names import noise_model
from emprior.regressors import LEVEL, Regressor
from emprior.stored import Stored
from emprior.training.checkpoint import Part
from emprior.training.crops import check_crops, draw_crops, sample
from emprior.training.heldout import HeldOutCrops
from emprior.training.regression_recipe import RegressionNoise, RegressionRecipe
from emprior.training.trainer import Figures, Micrographs, convolving, follow, schedule, start_from

_POISSON = 0.45  # share of counted noise; what is neither counted nor clipped is Gaussian
_FLAT = 1e-3  # deviation below which a crop shows nothing that is worth to be stretched
_JUDGED, _SHOWN = 24, 6  # held-out crops

Floats = NDArray[np.float32]


class Pairs(NamedTuple):
    """Noisy and clean crops, each (n, 1, H, W)."""

    noisy: Tensor
    clean: Tensor


class Regression:
    """A regressor, its optimiser, and one update.

    Parameters
    ----------
    recipe : RegressionRecipe
    data : Micrographs
    device : torch.device
    rng : numpy.random.Generator
        Draws the initial weights and the held-out structures and crops.

    Raises
    ------
    RecipeError
        If the crops do not fit into the images, these are in colour, or structures are to be
        held out of data that knows none.
    OptionError
        If there are fewer than two structures.
    """

    shares = True

    def __init__(
        self,
        recipe: RegressionRecipe,
        data: Micrographs,
        device: torch.device,
        rng: np.random.Generator,
    ) -> None:
        self.recipe, self.settings, self.device = recipe, recipe.optimisation, device
        check_crops(data, recipe.data, recipe.data.crop, "data.crop")
        if data.channels != 1:
            raise RecipeError(
                f"images of {data.channels} channels",
                expected="grey images",
                why="regressors are for micrographs",
                fix="train on another data set",
            )
        pixel_size = data.pixel_size * recipe.data.stride
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**63)))
            network = Stored.from_dict({**recipe.network.to_dict(), "pixel_size": pixel_size})
        assert isinstance(network, Regressor)
        # Nearly twice as fast on CPUs as the default layout.
        self.network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.adam = torch.optim.Adam(self.network.parameters(), self.settings.rate)
        self.data, held_out = _split(recipe, data, rng)
        self._judged: HeldOutCrops | None = None
        if held_out:
            crops = self._crops(held_out, _JUDGED, rng)
            self._judged = HeldOutCrops.of(crops, _labels(recipe.noise), recipe.noise.pooling, rng)

    @property
    def parts(self) -> dict[str, Part]:
        """Everything that changes in training, for checkpoints."""
        return {"network": self.network, "average": self.average, "adam": self.adam}

    def begin(self, start: str | None) -> None:
        """Give the network the weights of a stored one."""
        if start:
            start_from(self.network, start)
            start_from(self.average, start)

    def draw(self, rng: np.random.Generator) -> Pairs:
        """Return a batch."""
        clean = self._crops(self.data, self.settings.batch, rng)
        return _pairs(np.stack([corrupt(crop, self.recipe.noise, rng) for crop in clean]), clean)

    def update(self, batch: Pairs, seen: int, used: float) -> Figures:
        """Update the network, then its average.

        Returns
        -------
        dict
            The mean squared error and the learning rate.
        """
        rate = self.settings.rate * schedule(seen // self.settings.batch, used, self.settings.flat)
        for group in self.adam.param_groups:
            group["lr"] = rate
        noisy, clean = (part.to(self.device) for part in batch)
        with convolving(self.settings.precision, self.device):
            denoised = self.network(noisy)
        loss = mse_loss(denoised.float(), clean)
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        follow(self.average, self.network, self.settings.batch, seen, self.settings.half_life)
        return {"loss": loss.item(), "learning_rate": rate}

    def validate(self, prior: Stored, rng: np.random.Generator) -> Figures:
        """Denoise held-out crops of each noise that is trained for."""
        assert isinstance(prior, Regressor)
        if self._judged is None:
            return {}
        return self._judged.psnr(
            lambda noisy, label: self._denoised(prior, torch.from_numpy(noisy)[:, None])
        )

    def export(self, rng: np.random.Generator) -> Regressor:
        """Return the averaged network."""
        return copy.deepcopy(self.average)

    def data_picture(self, rng: np.random.Generator) -> Floats:
        """Return noisy training crops above the clean ones."""
        clean = self._crops(self.data, _SHOWN, rng)
        noisy = [corrupt(crop, self.recipe.noise, rng) for crop in clean]
        return np.stack([np.stack(noisy), clean])

    def picture(self, prior: Stored, rng: np.random.Generator) -> Floats:
        """Return noisy, denoised and clean crops; held-out ones, of a different noise each."""
        assert isinstance(prior, Regressor)
        if self._judged:
            chosen = list(self._judged.noisy.values())
            noisy = np.stack([chosen[k % len(chosen)][k] for k in range(_SHOWN)])
            clean = self._judged.clean[:_SHOWN]
        else:
            noisy, clean = self.data_picture(rng)
        denoised = self._denoised(prior, torch.from_numpy(noisy)[:, None])
        return np.stack([noisy, denoised, clean])

    def _crops(self, data: Micrographs, n: int, rng: np.random.Generator) -> Floats:
        crops = draw_crops(data, self.recipe.data, self.recipe.data.crop, n, rng)[:, 0]
        return levelled(crops) if self.network.levelled else crops

    @torch.no_grad()
    def _denoised(self, network: Regressor, noisy: Tensor) -> Floats:
        batches = noisy.to(self.device).split(self.settings.batch)
        return torch.cat([network(batch) for batch in batches])[:, 0].cpu().numpy()


def levelled(crops: Floats) -> Floats:
    """Shift and stretch crops (n, H, W), each by itself, to the mean and deviation of `LEVEL`."""
    mean, deviation = LEVEL
    spread = crops.std((1, 2), keepdims=True).clip(min=_FLAT)
    return mean + deviation * (crops - crops.mean((1, 2), keepdims=True)) / spread


def corrupt(clean: Floats, noise: RegressionNoise, rng: np.random.Generator) -> Floats:
    """Return a crop as the network sees it, (H, W), its noise drawn as the recipe says."""
    return sample(draw_noise(noise, rng), clean, noise.pooling, rng)


def draw_noise(noise: RegressionNoise, rng: np.random.Generator) -> NoiseModel:
    """Return the noise of detector pixels for one image."""
    if noise.label is not None:
        model = noise_model(noise.label)
        assert model is not None
        return model
    family = rng.random()
    if family < _POISSON:
        return Poisson(1 / _log_uniform(noise.dose, rng))
    if family < _POISSON + noise.clipped:
        highest = max(1.0, noise.dose[1])
        counts = int(_log_uniform((1.0, highest + 1), rng)) if rng.random() < 0.5 else 1
        return ClippedPoisson(1 / counts, 0.0, 1.0)
    return Gaussian(_log_uniform(noise.sigma, rng))


def _log_uniform(bounds: tuple[float, float], rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(*np.log(bounds))))


def _labels(noise: RegressionNoise) -> tuple[str, ...]:
    """Return the noises that a training is judged at."""
    return (noise.label,) if noise.label else noise.judged


def _pairs(noisy: Floats, clean: Floats) -> Pairs:
    return Pairs(*(torch.from_numpy(part)[:, None] for part in (noisy, clean)))


def _split(
    recipe: RegressionRecipe, data: Micrographs, rng: np.random.Generator
) -> tuple[Micrographs, Micrographs | None]:
    """Return what to train on, and what judges it."""
    if not recipe.data.held_out:
        return data, None
    if not isinstance(data, Dataset):
        raise RecipeError(
            f"data.held_out = {recipe.data.held_out:g} for images that know no structures",
            expected="data.held_out = 0, or a simulated data set",
            why="crops of one structure in both parts would flatter the network",
            fix="set data.held_out = 0, and judge the network on other images",
        )
    return data.split(recipe.data.held_out, rng)
