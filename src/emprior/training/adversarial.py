"""The paper's adversarial training (Algorithm 1) with its three remedies, each a switch.

The remedies are a discriminator that mirrors the generator, label smoothing with a loss computed
from logits, and different learning rates of the two (TTUR, Heusel et al. 2017). Beyond the paper,
the exported generator is a moving average over the training.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits

from emprior.generators import DCGAN, Discriminator
from emprior.generators.dcgan import initialise
from emprior.stored import Stored
from emprior.training.checkpoint import Part
from emprior.training.crops import check_crops, draw_crops
from emprior.training.recipe import AdversarialRecipe
from emprior.training.trainer import Figures, Micrographs, follow, start_from

_GRID = 6  # samples along each side of a picture


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
        If the crops do not fit into the images.
    """

    def __init__(
        self,
        recipe: AdversarialRecipe,
        data: Micrographs,
        device: torch.device,
        rng: np.random.Generator,
    ) -> None:
        check_crops(data, recipe.data, recipe.generator.size, "generator.size")
        self.recipe, self.data, self.device = recipe, data, device
        self.settings = settings = recipe.optimisation
        shape, pixel_size = recipe.generator, data.pixel_size * recipe.data.stride
        self.generator = DCGAN(
            size=shape.size,
            nz=shape.nz,
            ngf=shape.ngf,
            pixel_size=pixel_size,
            channels=data.channels,
        )
        self.discriminator = Discriminator(
            size=shape.size,
            ndf=recipe.discriminator.ndf,
            channels=data.channels,
            redesigned=recipe.discriminator.redesigned,
        )
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

    def draw(self, rng: np.random.Generator) -> Tensor:
        """Return a batch of clean crops, (n, C, H, W)."""
        return torch.from_numpy(self._crops(self.settings.batch, rng))

    def _crops(self, n: int, rng: np.random.Generator) -> NDArray[np.float32]:
        return draw_crops(self.data, self.recipe.data, self.recipe.generator.size, n, rng)

    def update(self, batch: Tensor, seen: int, used: float, rng: np.random.Generator) -> Figures:
        """Update the discriminator, then the generator, then the average.

        Parameters
        ----------
        batch : (n, C, H, W) tensor
            Clean crops, vacuum 0.45.
        seen : int
            Real images seen, these included.
        used : float
            Of no effect: the learning rates stay as they are.
        rng : numpy.random.Generator
            Draws the latent vectors.

        Returns
        -------
        dict
            Losses, and the mean probability of being real that the discriminator gives to real
            and generated images before its update, and to generated ones after it.
        """
        real = batch.to(self.device)
        fake = self.generator(self.generator.sample_latent(len(real), rng))

        self.discriminator_adam.zero_grad()
        # Two passes, so that batch normalisation never mixes real images with generated ones.
        on_real, on_fake = self.discriminator(real), self.discriminator(fake.detach())
        discriminator_loss = self._loss(on_real, self.settings.real_label) + self._loss(on_fake, 0)
        discriminator_loss.backward()
        self.discriminator_adam.step()

        self.generator_adam.zero_grad()
        on_fake_after = self.discriminator(fake)
        generator_loss = self._loss(on_fake_after, 1)
        generator_loss.backward()
        self.generator_adam.step()

        follow(self.average, self.generator, len(real), seen, self.settings.half_life)
        return {
            "discriminator_loss": discriminator_loss.item(),
            "generator_loss": generator_loss.item(),
            "real": on_real.sigmoid().mean().item(),
            "fake_before": on_fake.sigmoid().mean().item(),
            "fake_after": on_fake_after.sigmoid().mean().item(),
        }

    def _loss(self, logits: Tensor, label: float) -> Tensor:
        """Return the binary cross-entropy, equation (3) of the paper."""
        target = torch.full_like(logits, label)
        if self.settings.loss == "logits":
            return binary_cross_entropy_with_logits(logits, target)
        return binary_cross_entropy(logits.sigmoid(), target)

    def validate(self, step: int) -> Figures:
        """Return nothing: no likelihood is known of held-out images."""
        return {}

    def export(self, rng: np.random.Generator) -> DCGAN:
        """Return the averaged generator, in eval mode, its normalisation statistics settled."""
        generator = copy.deepcopy(self.average)
        settle(generator, rng)
        return generator

    def data_picture(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Return training crops."""
        return _table(self._crops(_GRID**2, rng))

    @torch.no_grad()
    def picture(self, prior: Stored, rng: np.random.Generator) -> NDArray[np.float32]:
        """Return samples of the generator."""
        assert isinstance(prior, DCGAN)
        return _table(prior(prior.sample_latent(_GRID**2, rng)).cpu().numpy())


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
