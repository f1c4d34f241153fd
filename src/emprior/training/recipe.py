"""The recipe of an adversarial training: every setting of the paper's, and its later remedies."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from emprior.recipes import Recipe

Beta = Annotated[float, Field(ge=0, lt=1)]


class Data(Recipe):
    """What to train on.

    Parameters
    ----------
    path : str
        Folder of a simulated data set; ``~`` is the home folder.
    stride : int
        Keep every n-th pixel along each axis. Exact as long as the coarser grid still carries the
        image: HRTEM images have no power beyond about 1 Å⁻¹, so up to 0.45 Å per pixel.
    flips : {"none", "horizontal", "both"}
        Mirror crops at random. A vertical flip puts vacuum below the particle.
    """

    path: str
    stride: int = Field(default=1, ge=1, le=16)
    flips: Literal["none", "horizontal", "both"] = "none"


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


class Optimisation(Recipe):
    """How the two networks are trained.

    Parameters
    ----------
    batch : int
        Images per update.
    loss : {"logits", "sigmoid"}
        Binary cross-entropy computed from logits, or after a Sigmoid as in the paper's first
        attempt. The same formula, but the second saturates.
    real_label : float
        Target for real images when the discriminator is trained; 0.9 smooths the label.
    generator_rate, discriminator_rate : float
        Learning rates of Adam; different ones are the two time-scale rule (TTUR).
    betas : (float, float)
        Of Adam.
    half_life : int
        In images: the exported generator is the exponential moving average of the weights with
        this half-life (at most a twentieth of the images seen). 0 exports the last weights.
    """

    batch: int = Field(default=36, ge=2, le=4096)
    loss: Literal["logits", "sigmoid"] = "logits"
    real_label: float = Field(default=0.9, gt=0, le=1)
    generator_rate: float = Field(default=1e-4, gt=0, le=1)
    discriminator_rate: float = Field(default=4e-4, gt=0, le=1)
    betas: tuple[Beta, Beta] = (0.5, 0.999)
    half_life: int = Field(default=10_000, ge=0)


class Budget(Recipe):
    """When to stop: at whichever is reached first. Longer budgets may be given on resuming."""

    images: int = Field(ge=1)
    minutes: float | None = Field(default=None, gt=0)


class Output(Recipe):
    """How often to write, in updates."""

    log: int = Field(default=50, ge=1)
    checkpoint: int = Field(default=500, ge=1)
    samples: int = Field(default=2_000, ge=1)


class AdversarialRecipe(Recipe):
    """An adversarial training.

    Parameters
    ----------
    kind : "adversarial"
    seed : int
        Of everything random.
    card : str
        For people: what the prior is for and what it must not be used for. Stored in its file.
    """

    kind: Literal["adversarial"]
    seed: int = Field(default=0, ge=0)
    card: str = ""
    data: Data
    generator: DCGANShape
    discriminator: DiscriminatorShape = DiscriminatorShape()
    optimisation: Optimisation = Optimisation()
    budget: Budget
    output: Output = Output()

    def identity(self) -> dict[str, object]:
        """Return what decides the course of the training: all but budget, output and card."""
        values = self.to_dict()
        return {key: values[key] for key in values if key not in ("budget", "output", "card")}
