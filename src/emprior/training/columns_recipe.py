"""The recipe of the training of an encoder."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from emprior.recipes import Recipe
from emprior.training.recipe import (
    KINDS,
    InversionStop,
    JudgedOutput,
    Positive,
    TrainingRecipe,
    Width,
)


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
    precision : {"float32", "bfloat16"}
        Of the convolutions; the weights are always of single precision. The latter takes half the
        time where the processor knows it, and several times as long where it does not.
    """

    batch: int = Field(default=8, ge=1, le=4096)
    rate: float = Field(default=1.5e-3, gt=0, le=1)
    weight_decay: float = Field(default=1e-4, ge=0, le=1)
    flat: float = Field(default=0.6, ge=0, le=1)
    half_life: int = Field(default=2_800, ge=0)
    precision: Literal["float32", "bfloat16"] = "float32"


class ColumnsRecipe(TrainingRecipe):
    """The training of an encoder of columns and optics."""

    kind: Literal["columns"]
    data: SceneData
    network: EncoderShape
    noise: NoiseRange = NoiseRange()
    optimisation: EncoderOptimisation = EncoderOptimisation()
    output: JudgedOutput = JudgedOutput()
    stop: InversionStop | None = None


KINDS["columns"] = ColumnsRecipe
