"""The paper's adversarial training (Algorithm 1) with its three remedies, each a switch.

The remedies are a discriminator that mirrors the generator, label smoothing with a loss computed
from logits, and different learning rates of the two (TTUR, Heusel et al. 2017). Beyond the paper,
the exported generator is a moving average over the training.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emprior.datasets import Dataset
from emprior.errors import RecipeError
from emprior.generators import (
    DCGAN,
    ConditionalDCGAN,
    ConditionalDiscriminator,
    Discriminator,
)
from emprior.generators.dcgan import initialise
from emprior.inversion import (
    FirstOrder,
    GaussNewton,
    LatentProblem,
    PriorStart,
    Search,
    Stage,
    invert,
)
from emprior.stacks import Stack
from emprior.stored import Stored
from emprior.training.adversarial_losses import belief, discriminator_loss, generator_loss
from emprior.training.adversarial_recipe import AdversarialRecipe, AdversarialStop
from emprior.training.checkpoint import Part
from emprior.training.conditions import Conditions
from emprior.training.crops import Drawn, check_crops, draw, draw_crops
from emprior.training.heldout import HeldOutCrops, likelihood
from emprior.training.trainer import Figures, Micrographs, follow, start_from

_GRID = 6  # samples along each side of a picture
# A third of the default's work: what counts is the difference between one state and the next.
_ADAM = FirstOrder("adam", lr=0.1)
_SEARCH = Search(
    PriorStart(12), (Stage(_ADAM, 12, keep=3), Stage(_ADAM, 30), Stage(GaussNewton(), 4))
)


class Batch(NamedTuple):
    """What the discriminator is shown as real, and what the generator draws from.

    Attributes
    ----------
    images : (n, C, H, W) Tensor
        Clean crops.
    latents : (n, D) Tensor
        With the conditions, if any, that each crop was imaged under.
    """

    images: Tensor
    latents: Tensor


class Adversarial:
    """A generator, its discriminator, their optimisers, and one update of all.

    Parameters
    ----------
    recipe : AdversarialRecipe
    data : Micrographs
    device : torch.device
    rng : numpy.random.Generator
        Draws the initial weights.

    Raises
    ------
    RecipeError
        If the crops do not fit into the images, the data does not tell the conditions, or none
        of it can be held out.
    OptionError
        If a condition does not vary.
    """

    shares = True

    def __init__(
        self,
        recipe: AdversarialRecipe,
        data: Micrographs,
        device: torch.device,
        rng: np.random.Generator,
    ) -> None:
        check_crops(data, recipe.data, recipe.generator.size, "generator.size")
        self._judged: HeldOutCrops | None = None
        if recipe.stop:
            data, self._judged = _hold_out(recipe, recipe.stop, data, rng)
        self.recipe, self.data, self.device = recipe, data, device
        self.settings = settings = recipe.optimisation
        self.conditions = (
            Conditions(recipe.conditions, data, recipe.data) if recipe.conditions else None
        )
        self.generator = _generator(recipe, data, self.conditions)
        self.discriminator = _discriminator(recipe, data, self.conditions)
        for network in (self.generator, self.discriminator):
            initialise(network, rng)
            # Twice as fast on CPUs as the default layout.
            network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.generator_adam = torch.optim.Adam(
            self.generator.parameters(), settings.generator_rate, settings.betas
        )
        self.discriminator_adam = torch.optim.Adam(
            self.discriminator.parameters(), settings.discriminator_rate, settings.betas
        )

    @property
    def parts(self) -> dict[str, Part]:
        """Everything that changes in training, for checkpoints."""
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
            "generator_adam": self.generator_adam,
            "discriminator_adam": self.discriminator_adam,
        }

    def begin(self, start: str | None) -> None:
        """Give the generator the weights of a prior; the discriminator begins anew."""
        if start:
            for generator in (self.generator, self.average):
                start_from(generator, start)

    def draw(self, rng: np.random.Generator) -> Batch:
        """Return a batch."""
        drawn = self._draw(self.settings.batch, rng)
        z = self.generator.sample_latent(self.settings.batch, rng)
        if self.conditions:
            assert isinstance(self.generator, ConditionalDCGAN)
            told = torch.from_numpy(self.conditions.of(drawn))
            z = self.generator.given(z, told.to(self.device))
        return Batch(torch.from_numpy(drawn.images), z)

    def _draw(self, n: int, rng: np.random.Generator) -> Drawn:
        return draw(self.data, self.recipe.data, self.recipe.generator.size, n, rng)

    def update(self, batch: Batch, seen: int, used: float) -> Figures:
        """Update the discriminator, then the generator when it is its turn, then the average.

        Parameters
        ----------
        batch : Batch
        seen : int
            Real images seen, these included.
        used : float
            Of no effect: the learning rates stay as they are.

        Returns
        -------
        dict
            Losses, and what the discriminator believes of real and generated images before its
            update, and of generated ones after it: the mean probability of being real, or the
            mean score where the loss makes no probability of it.
        """
        loss, real, z = self.settings.loss, batch.images.to(self.device), batch.latents
        fake = self.generator(z)

        self.discriminator_adam.zero_grad()
        # Two passes, so that batch normalisation never mixes real images with generated ones.
        on_real, on_fake = self._judge(real, z), self._judge(fake.detach(), z)
        at_discriminator = discriminator_loss(loss, on_real, on_fake, self.settings.real_label)
        at_discriminator.backward()
        self.discriminator_adam.step()

        self.generator_adam.zero_grad()
        on_fake_after = self._judge(fake, z)
        at_generator = generator_loss(loss, on_fake_after)
        if seen // self.settings.batch % self.settings.discriminator_updates == 0:
            at_generator.backward(inputs=list(self.generator.parameters()))
            self.generator_adam.step()

        follow(self.average, self.generator, self.settings.batch, seen, self.settings.half_life)
        return {
            "discriminator_loss": at_discriminator.item(),
            "generator_loss": at_generator.item(),
            "real": belief(loss, on_real),
            "fake_before": belief(loss, on_fake),
            "fake_after": belief(loss, on_fake_after),
        }

    def _judge(self, images: Tensor, z: Tensor) -> Tensor:
        """Return the scores, (n,), of images that share the conditions of latents."""
        if isinstance(self.discriminator, ConditionalDiscriminator):
            return self.discriminator(images, z[:, self.recipe.generator.nz :])
        return self.discriminator(images)

    def validate(self, prior: Stored, rng: np.random.Generator) -> Figures:
        """Invert held-out crops, with noise and without, where they are to stop the training."""
        assert isinstance(prior, DCGAN)
        if not (self._judged and self.recipe.stop):
            return {}
        pooling = self.recipe.stop.pooling

        def invert_all(noisy: NDArray[np.float32], label: str) -> NDArray[np.float32]:
            frames = torch.from_numpy(noisy).to(prior.example)
            problem = LatentProblem(prior, likelihood(label, pooling), frames)
            images: NDArray[np.float32] = invert(problem, _SEARCH, rng).image.cpu().numpy()
            return images

        return self._judged.psnr(invert_all)

    def export(self, rng: np.random.Generator) -> DCGAN:
        """Return the averaged generator, in eval mode, its normalisation statistics settled."""
        generator = copy.deepcopy(self.average)
        settle(generator, rng)
        return generator

    def data_picture(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Return training crops."""
        return _table(self._draw(_GRID**2, rng).images)

    @torch.no_grad()
    def picture(self, prior: Stored, rng: np.random.Generator) -> NDArray[np.float32]:
        """Return samples of the generator; along a row only the first condition differs."""
        assert isinstance(prior, DCGAN)
        z = prior.sample_latent(_GRID**2, rng)
        if isinstance(prior, ConditionalDCGAN):
            z = z[::_GRID].repeat_interleave(_GRID, 0)
            z[:, self.recipe.generator.nz] = torch.linspace(-2, 2, _GRID).repeat(_GRID)
        return _table(prior(z).cpu().numpy())


def _hold_out(
    recipe: AdversarialRecipe, stop: AdversarialStop, data: Micrographs, rng: np.random.Generator
) -> tuple[Micrographs, HeldOutCrops]:
    """Return what to train on, and what judges it."""
    if not isinstance(data, Dataset | Stack) or data.channels != 1:
        raise RecipeError(
            "[stop] for images in colour, or that cannot be told apart",
            expected="a simulated data set, or a stack of grey images",
            why="grey images that are not trained on are inverted to tell when to stop",
            fix="leave the section stop out",
        )
    for label in stop.noise:
        likelihood(label, stop.pooling)
    data, held_out = data.split(stop.held_out, rng)
    crops = draw_crops(held_out, recipe.data, recipe.generator.size, stop.frames, rng)[:, 0]
    return data, HeldOutCrops.of(crops, stop.noise, stop.pooling, rng)


def _generator(
    recipe: AdversarialRecipe, data: Micrographs, conditions: Conditions | None
) -> DCGAN:
    shape = recipe.generator
    arguments: dict[str, Any] = {
        "size": shape.size,
        "nz": shape.nz,
        "ngf": shape.ngf,
        "pixel_size": data.pixel_size * recipe.data.stride,
        "channels": data.channels,
    }
    if conditions is None:
        return DCGAN(**arguments)
    generator = ConditionalDCGAN(**arguments, names=conditions.names)
    generator.tabulate(conditions.all())
    return generator


def _discriminator(
    recipe: AdversarialRecipe, data: Micrographs, conditions: Conditions | None
) -> Discriminator | ConditionalDiscriminator:
    arguments: dict[str, Any] = {
        "size": recipe.generator.size,
        "ndf": recipe.discriminator.ndf,
        "channels": data.channels,
        "redesigned": recipe.discriminator.redesigned,
    }
    if recipe.conditions and recipe.conditions.told and conditions:
        return ConditionalDiscriminator(**arguments, conditions=len(conditions.names))
    return Discriminator(**arguments)


def _table(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lay images (n, C, H, W) out as `folder.write_table` takes them."""
    table = images.reshape(_GRID, _GRID, *images.shape[1:])
    return table[:, :, 0] if table.shape[2] == 1 else np.moveaxis(table, 2, -1)


@torch.no_grad()
def settle(generator: DCGAN, rng: np.random.Generator, batches: int = 32) -> None:
    """Set the statistics of batch normalisation to those of the prior, and leave eval mode on.

    Statistics gathered while training belong to other weights than an average of weights.
    """
    norms = [module for module in generator.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
    generator.train()
    for _ in range(batches):
        generator(generator.sample_latent(64, rng))
    generator.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
