"""The recipe of an adversarial training."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from emprior.errors import RecipeError
from emprior.recipes import Recipe
from emprior.training.adversarial_losses import AdversarialLoss
from emprior.training.data_recipe import AnyCropData
from emprior.training.recipe import KINDS, InversionStop, TrainingRecipe

Beta = Annotated[float, Field(ge=0, lt=1)]


class DCGANShape(Recipe):
    """The generator: see `emprior.generators.DCGAN`. The pixel size follows from the data."""

    type: Literal["dcgan"] = "dcgan"
    size: Literal[16, 32, 64, 128, 256, 512, 1024]
    nz: int = Field(default=100, ge=1, le=4096)
    ngf: int = Field(default=64, ge=1, le=256)


class DiscriminatorShape(Recipe):
    """The discriminator: see `emprior.generators.Discriminator`."""

    ndf: int = Field(default=64, ge=1, le=256)
    redesigned: bool = True


class AdversarialOptimisation(Recipe):
    """How the two networks are trained.

    Parameters
    ----------
    batch : int
        Images per update.
    loss : {"logits", "sigmoid", "least-squares", "hinge"}
        Binary cross-entropy computed from logits, or after a Sigmoid as in the paper's first
        attempt: the same formula, but the second saturates. For the others see
        `emprior.training.adversarial_losses`.
    real_label : float
        Target for real images when the discriminator is trained; 0.9 smooths the label. The hinge
        knows none, so it must be 1 there.
    discriminator_updates : int
        The generator is updated with every so many updates of the discriminator. Each of these
        sees a batch of real images, and counts as one update of the run.
    generator_rate, discriminator_rate : float
        Learning rates of Adam; different ones are the two time-scale rule (TTUR).
    betas : (float, float)
        Of Adam.
    half_life : int
        In images: the exported generator is the exponential moving average of the weights with
        this half-life (at most a twentieth of the images seen). 0 exports the last weights.
    """

    batch: int = Field(default=36, ge=2, le=4096)
    loss: AdversarialLoss = "logits"
    real_label: float = Field(default=0.9, gt=0, le=1)
    discriminator_updates: int = Field(default=1, ge=1, le=100)
    generator_rate: float = Field(default=1e-4, gt=0, le=1)
    discriminator_rate: float = Field(default=4e-4, gt=0, le=1)
    betas: tuple[Beta, Beta] = (0.5, 0.999)
    half_life: int = Field(default=10_000, ge=0)

    @model_validator(mode="after")
    def _label_has_an_effect(self) -> Self:
        if self.loss == "hinge" and self.real_label != 1:
            raise RecipeError(
                f"optimisation.real_label = {self.real_label:g} with loss = 'hinge'",
                expected="real_label = 1.0",
                why="the hinge has no labels to smooth, so it would be ignored",
                fix="set real_label = 1.0, or choose another loss",
            )
        return self


class Conditioning(Recipe):
    """The conditions that the generator is given: see `emprior.generators.ConditionalDCGAN`.

    Parameters
    ----------
    names : sequence of {"defocus", "thickness", "tilt"}
        Each is one latent number, besides the `nz` others; the tilt is two.
    told : bool
        Whether the discriminator is told them too, so that images must have them. Otherwise they
        are merely embedded in the latent vector, drawn as in the data, and nothing makes the
        generator heed them.
    """

    names: tuple[Literal["defocus", "thickness", "tilt"], ...] = Field(min_length=1)
    told: bool = True

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.names)) < len(self.names):
            raise RecipeError(
                f"conditions.names = {list(self.names)}",
                expected="each name once",
                why="two latent numbers for one condition would contradict each other",
                fix="remove the repeated name",
            )
        return self


class AdversarialStop(InversionStop):
    """What of the data is held out, and how often asked; see also `InversionStop`.

    Parameters
    ----------
    held_out : float
        Share of the structures, or of the images of a stack, that are never trained on.
    pooling : int
        Detector pixels along each side of one pixel of the generator; noise is per detector pixel.
    validate_every : int
        Updates from one judgement to the next.
    """

    held_out: float = Field(default=0.05, gt=0, lt=1)
    pooling: int = Field(default=1, ge=1, le=16)
    validate_every: int = Field(default=500, ge=1)


class AdversarialRecipe(TrainingRecipe):
    """An adversarial training: every setting of the paper's, and its later remedies."""

    kind: Literal["adversarial"]
    data: AnyCropData
    generator: DCGANShape
    discriminator: DiscriminatorShape = DiscriminatorShape()
    conditions: Conditioning | None = None
    optimisation: AdversarialOptimisation = AdversarialOptimisation()
    stop: AdversarialStop | None = None

    @property
    def validate_every(self) -> int | None:
        """Updates from one judgement to the next; without the section `stop` there is none."""
        return self.stop.validate_every if self.stop else None


KINDS["adversarial"] = AdversarialRecipe
