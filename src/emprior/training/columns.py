"""Training of an encoder: supervised by the columns and optics of a simulation."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emprior.datasets import Dataset
from emprior.denoisers.pose import pose
from emprior.denoisers.steps import first
from emprior.errors import RecipeError
from emprior.generators import ColumnEncoder, Multislice
from emprior.generators.guess import OPTICS, RING, log_deviation
from emprior.inversion import invert
from emprior.micrograph import Micrograph
from emprior.noise import NoiseModel, Poisson
from emprior.stored import Stored
from emprior.training.checkpoint import Part
from emprior.training.columns_recipe import ColumnsRecipe
from emprior.training.examples import Examples, ExampleSource
from emprior.training.heldout import HeldOutCrops, likelihood
from emprior.training.scattering import scattering_factors
from emprior.training.trainer import Figures, convolving, follow, schedule, start_from

_MAPS, _OPTICS = 20.0, 0.1  # weights of the losses, which makes their gradients alike
_LARGEST = 1.0  # norm of the gradient
_JUDGED, _SHOWN = 24, 6  # held-out frames


class Columns:
    """An encoder, its optimiser, and one update.

    Parameters
    ----------
    recipe : ColumnsRecipe
    data : Dataset
    device : torch.device
    rng : numpy.random.Generator
        Draws the initial weights and the held-out structures and frames.

    Raises
    ------
    RecipeError
        If the crops do not fit into the images or into the network's field.
    OptionError
        If there are fewer than two structures.
    """

    shares = True

    def __init__(
        self,
        recipe: ColumnsRecipe,
        data: Dataset,
        device: torch.device,
        rng: np.random.Generator,
    ) -> None:
        _check_crop(recipe, data)
        self.recipe, self.settings, self.device = recipe, recipe.optimisation, device
        shape = recipe.network
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**63)))
            network = ColumnEncoder(
                pixel_size=data.pixel_size,
                field=shape.field,
                elements=[e.model_dump(exclude={"vibration"}) for e in shape.elements],
                widths=list(shape.widths),
                slices=shape.slices,
            )
        # Twice as fast on CPUs as the default layout.
        self.network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.adam = torch.optim.AdamW(
            self.network.parameters(), self.settings.rate, weight_decay=self.settings.weight_decay
        )
        train, held_out = data.split(recipe.data.held_out, rng)
        self.source, self.held_out = (
            ExampleSource(part, network.elements, recipe.data.crop, recipe.noise, device)
            for part in (train, held_out)
        )
        self._judged = self.held_out.draw(_JUDGED, rng, Poisson().averaged(recipe.noise.pooling**2))

        self._inverted: HeldOutCrops | None = None
        if stop := recipe.stop:
            for label in stop.noise:
                likelihood(label, recipe.noise.pooling)
            crops = held_out.crops(stop.frames, (recipe.data.crop,) * 2, rng).images[:, 0]
            self._inverted = HeldOutCrops.of(crops, stop.noise, recipe.noise.pooling, rng)

    @property
    def parts(self) -> dict[str, Part]:
        """Everything that changes in training, for checkpoints."""
        return {"network": self.network, "average": self.average, "adam": self.adam}

    def begin(self, start: str | None) -> None:
        """Continue from a prior, or give a new one its scattering factors."""
        if start:
            start_from(self.network, start)
        else:
            elements = self.recipe.network.elements
            factors = scattering_factors(
                [element.number for element in elements],
                [element.vibration for element in elements],
                Multislice.knots(),
            )
            self.network.factors.copy_(torch.from_numpy(factors))
        self.average.load_state_dict(self.network.state_dict())

    def draw(self, rng: np.random.Generator) -> Examples:
        """Return a batch."""
        return self.source.draw(self.settings.batch, rng)

    def update(self, batch: Examples, seen: int, used: float) -> Figures:
        """Update the encoder, then its average.

        Returns
        -------
        dict
            Losses, see `losses`, and the learning rate.
        """
        rate = self.settings.rate * schedule(seen // self.settings.batch, used, self.settings.flat)
        for group in self.adam.param_groups:
            group["lr"] = rate
        maps_loss, optics_loss = losses(*self._told(batch), batch)
        self.adam.zero_grad()
        (_MAPS * maps_loss + _OPTICS * optics_loss).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST)
        self.adam.step()
        follow(self.average, self.network, self.settings.batch, seen, self.settings.half_life)
        return {
            "maps_loss": maps_loss.item(),
            "optics_loss": optics_loss.item(),
            "learning_rate": rate,
        }

    def _told(self, batch: Examples) -> tuple[Tensor, Tensor]:
        with convolving(self.settings.precision, self.device):
            maps, optics = self.network(batch.frame, batch.seen, batch.deviation)
        return maps.float(), optics.float()

    def validate(self, prior: Stored, rng: np.random.Generator) -> Figures:
        """Judge it on held-out frames at 1 electron a detector pixel.

        Where this is to stop the training, others are inverted too.
        """
        assert isinstance(prior, ColumnEncoder)
        figures = judge(prior, self._judged)
        if self._inverted is None:
            return figures
        pooling = self.recipe.noise.pooling

        def invert_all(noisy: NDArray[np.float32], label: str) -> NDArray[np.float32]:
            noise = likelihood(label, pooling)
            return np.stack([_inverted(prior, frame, noise, rng) for frame in noisy])

        return {**figures, **self._inverted.psnr(invert_all)}

    def export(self, rng: np.random.Generator) -> ColumnEncoder:
        """Return the averaged encoder."""
        return copy.deepcopy(self.average)

    def data_picture(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Return training frames, black where hidden, above the columns of each element."""
        examples = self.source.draw(_SHOWN, rng)
        densities = examples.maps[:, : len(self.source.elements)]
        shown = [examples.frame * examples.seen, *densities.unbind(1)]
        return np.stack([images.cpu().numpy() for images in shown])

    @torch.no_grad()
    def picture(self, prior: Stored, rng: np.random.Generator) -> NDArray[np.float32]:
        """Return held-out frames, above what the encoder guesses from them, drawn again."""
        assert isinstance(prior, ColumnEncoder)
        frames = self._judged.frame[:_SHOWN, RING:-RING, RING:-RING]
        drawn = []
        for frame, deviation in zip(frames, self._judged.deviation, strict=False):
            guess = prior.guess(prior.look(frame, float(deviation)))
            generator = prior.generator(guess.scene, *frame.shape)
            image = generator(frame.new_zeros(1, generator.latent_dim))[0, 0]
            drawn.append(image[RING:-RING, RING:-RING])
        return np.stack([images.cpu().numpy() for images in (frames, torch.stack(drawn))])


def _inverted(
    encoder: ColumnEncoder, frame: NDArray[np.float32], noise: NoiseModel, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the image that a search from the encoder's guess finds, (H, W)."""
    micrograph = Micrograph(frame, encoder.pixel_size)
    (posed,) = pose(encoder, micrograph, noise, 1.0)
    assert posed.start is not None
    found = invert(posed.problem(micrograph, noise, 1.0)[0], first(posed.start), rng)
    image: NDArray[np.float32] = found.image[0].cpu().numpy()
    return image


def losses(maps: Tensor, optics: Tensor, truth: Examples) -> tuple[Tensor, Tensor]:
    """Return the squared error of the maps, and the negative log-likelihood of the optics.

    Pixels on columns weigh up to four times as much as those between; constants are left out of
    the normal likelihood, whose deviations are told by the encoder.
    """
    columns = truth.maps[:, : truth.maps.shape[1] // 2].clamp(0, 1)
    weight = 1 + 3 * torch.cat([columns, columns], dim=1)
    log_sd = log_deviation(optics)
    deviation = (truth.optics - optics[:, 0]) / log_sd.exp()
    return (weight * (maps - truth.maps) ** 2).mean(), (deviation**2 / 2 + log_sd).mean()


@torch.no_grad()
def judge(network: ColumnEncoder, truth: Examples) -> Figures:
    """Return losses, and root mean square errors of defocus [Å], tilt [rad], thickness [Å]."""
    maps, optics = network(truth.frame, truth.seen, truth.deviation)
    maps_loss, optics_loss = losses(maps, optics, truth)
    scale = torch.tensor([scale for _, scale in OPTICS.values()]).to(optics)
    error = ((optics[:, 0] - truth.optics) * scale).square().mean(0)
    at = {name: k for k, name in enumerate(OPTICS)}
    tilt = (error[at["tilt_columns"]] + error[at["tilt_rows"]]) / 2
    return {
        "held_out_maps_loss": maps_loss.item(),
        "held_out_optics_loss": optics_loss.item(),
        "held_out_defocus_rmse": error[at["defocus"]].sqrt().item(),
        "held_out_tilt_rmse": tilt.sqrt().item(),
        "held_out_thickness_rmse": error[at["thickness"]].sqrt().item(),
    }


def _check_crop(recipe: ColumnsRecipe, data: Dataset) -> None:
    crop = recipe.data.crop
    if crop > min(data.shape):
        raise RecipeError(
            f"crops of {crop} × {crop} pixels from images of {data.shape[0]} × {data.shape[1]}",
            expected="crops that fit into the images",
            why="each training image is cut from one simulated image",
            fix="lower data.crop, or simulate larger images",
        )
