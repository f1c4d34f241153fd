"""The recipes of trainings, one for each kind of prior, and what they share."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from emprior.errors import RecipeError
from emprior.recipes import Recipe
from emprior.training.adversarial_losses import AdversarialLoss

Beta = Annotated[float, Field(ge=0, lt=1)]
Width = Annotated[int, Field(ge=1, le=512)]
Positive = Annotated[float, Field(gt=0)]


class Budget(Recipe):
    """When to stop: at whichever is reached first. Longer budgets may be given on resuming."""

    images: int = Field(ge=1)
    minutes: float | None = Field(default=None, gt=0)


class Output(Recipe):
    """How often to write, in updates."""

    log: int = Field(default=50, ge=1)
    checkpoint: int = Field(default=500, ge=1)
    samples: int = Field(default=2_000, ge=1)
    keep_priors: bool = False
    """Keep the prior of each of the sample pictures too, as ``RUN/priors/STEP.safetensors``."""


class TrainingRecipe(Recipe):
    """What all trainings share.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    seed : int
        Of everything random.
    card : str
        For people: what the prior is for and what it must not be used for. Stored in its file.
    start : str, optional
        A prior of the same architecture to begin from, a name or a file, rather than from random
        weights.
    """

    kind: str
    seed: int = Field(default=0, ge=0)
    card: str = ""
    start: str | None = None
    data: Any
    optimisation: Any
    budget: Budget
    output: Output = Output()

    @classmethod
    def from_dict(cls, values: dict[str, Any], source: str = "recipe") -> Self:
        """Make the recipe of the kind that the values name; see `Recipe.from_dict`."""
        if cls is not TrainingRecipe:
            return super().from_dict(values, source)
        kind = values.get("kind")
        if not isinstance(kind, str) or kind not in KINDS:
            raise RecipeError(
                f"{source}: {'no kind' if kind is None else f'kind = {kind!r}'}",
                expected=f"kind = one of {', '.join(map(repr, KINDS))}",
                why="each kind of prior is trained in its own way, with its own settings",
                fix="add or correct the line kind = …; recipes/ holds one of each",
            )
        return KINDS[kind].from_dict(values, source)  # type: ignore[return-value]

    def identity(self) -> dict[str, object]:
        """Return what decides the course of the training: all but budget, output and card."""
        values = self.to_dict()
        return {key: values[key] for key in values if key not in ("budget", "output", "card")}


class CropData(Recipe):
    """What to train on.

    Parameters
    ----------
    path : str
        Folder of a simulated data set, or what a subclass says; ``~`` is the home folder.
    stride : int
        Keep every n-th pixel along each axis. Exact as long as the coarser grid still carries the
        image: HRTEM images have no power beyond about 1 Å⁻¹, so up to 0.45 Å per pixel.
    flips : {"none", "horizontal", "both"}
        Mirror crops at random. A vertical flip puts vacuum below the particle.
    """

    path: str
    stride: int = Field(default=1, ge=1, le=16)
    flips: Literal["none", "horizontal", "both"] = "none"


class SimulatedData(CropData):
    """A simulated data set, which need not be said."""

    type: Literal["simulated"] = "simulated"


class NaturalData(CropData):
    """Natural images.

    Parameters
    ----------
    path, colour, part
        See `emprior.natural.open_images`.
    """

    type: Literal["natural"]
    colour: bool = True
    part: str = ""


class MovieData(CropData):
    """The frames of a micrograph file.

    Parameters
    ----------
    path, pixel_size, limits
        See `emprior.movies.open_movie`.
    """

    type: Literal["movie"]
    pixel_size: float | None = Field(default=None, gt=0)
    limits: tuple[float, float] | None = None


def _data_type(section: Any) -> Any:
    known = section.get("type", "simulated") if isinstance(section, dict) else section.type
    return known if isinstance(known, str) else ""


AnyCropData = Annotated[
    Annotated[SimulatedData, Tag("simulated")]
    | Annotated[NaturalData, Tag("natural")]
    | Annotated[MovieData, Tag("movie")],
    Discriminator(
        _data_type,
        custom_error_type="data_type",
        custom_error_message="one of the types 'simulated', 'natural', 'movie'",
    ),
]


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


class AdversarialRecipe(TrainingRecipe):
    """An adversarial training: every setting of the paper's, and its later remedies."""

    kind: Literal["adversarial"]
    data: AnyCropData
    generator: DCGANShape
    discriminator: DiscriminatorShape = DiscriminatorShape()
    conditions: Conditioning | None = None
    optimisation: AdversarialOptimisation = AdversarialOptimisation()


class SceneData(Recipe):
    """What to train an encoder on.

    Parameters
    ----------
    path : str
        Folder of a simulated data set; ``~`` is the home folder.
    crop : int
        Pixels along each side of a training image, a multiple of 8.
    held_out : float
        Share of the structures that are never trained on, but judge the training.
    """

    path: str
    crop: int = Field(default=128, ge=64, le=512, multiple_of=8)
    held_out: float = Field(default=0.05, gt=0, lt=1)


class ElementShape(Recipe):
    """One element: see `emprior.generators.columns.Element`.

    Parameters
    ----------
    number : int
    spacing : float
        [Å]
    typical : float
    through : bool
    vibration : float
        Root mean square displacement of its atoms along one axis [Å]; damps its potential.
    """

    number: int = Field(ge=1, le=103)
    spacing: float = Field(gt=0.5, lt=50)
    typical: float = Field(gt=0, lt=1000)
    through: bool
    vibration: float = Field(default=0.06, ge=0, le=1)


class EncoderShape(Recipe):
    """The encoder: see `emprior.generators.ColumnEncoder`. The pixel size follows from the data."""

    field: int = Field(default=144, ge=32, le=1024, multiple_of=8)
    widths: tuple[Width, Width, Width] = (40, 72, 96)
    slices: int = Field(default=6, ge=1, le=64)
    elements: tuple[ElementShape, ...] = Field(min_length=1, max_length=8)


class NoiseRange(Recipe):
    """The noise that training images get, each of them another.

    Parameters
    ----------
    pooling : int
        Detector pixels along each side of one pixel of the data: noise is per detector pixel, and
        the encoder sees the means of ``pooling²``. At least 2, or pixels that are only hit or not
        would not tell their mean.
    dose : (float, float)
        Range of the expected counts for intensity 1.
    sigma : (float, float)
        Range of the standard deviation of Gaussian noise.
    """

    pooling: int = Field(default=4, ge=2, le=16)
    dose: tuple[Positive, Positive] = (0.4, 60.0)
    sigma: tuple[Positive, Positive] = (0.04, 1.4)


class EncoderOptimisation(Recipe):
    """How the encoder is trained.

    Parameters
    ----------
    batch : int
        Images per update.
    rate : float
        Learning rate of AdamW.
    weight_decay : float
        Of AdamW.
    flat : float
        Share of the budget at that rate; then it falls to zero along a half cosine. A budget that
        is lengthened on resuming raises it again.
    half_life : int
        As for `AdversarialOptimisation`.
    """

    batch: int = Field(default=8, ge=1, le=4096)
    rate: float = Field(default=1.5e-3, gt=0, le=1)
    weight_decay: float = Field(default=1e-4, ge=0, le=1)
    flat: float = Field(default=0.6, ge=0, le=1)
    half_life: int = Field(default=2_800, ge=0)


class JudgedOutput(Output):
    """How often to write, in updates; `validate_every` asks the held-out structures."""

    validate_every: int = Field(default=500, ge=1)


class ColumnsRecipe(TrainingRecipe):
    """The training of an encoder of columns and optics."""

    kind: Literal["columns"]
    data: SceneData
    network: EncoderShape
    noise: NoiseRange = NoiseRange()
    optimisation: EncoderOptimisation = EncoderOptimisation()
    output: JudgedOutput = JudgedOutput()


KINDS: dict[str, type[TrainingRecipe]] = {
    "adversarial": AdversarialRecipe,
    "columns": ColumnsRecipe,
}
"""By name; what stands in files of its own is entered there."""
