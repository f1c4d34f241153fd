"""The recipe of a supervised training."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from emprior.errors import RecipeError
from emprior.noise_names import PAPER_NOISES, noise_model
from emprior.recipes import Recipe
from emprior.training.data_recipe import CropData
from emprior.training.recipe import (
    KINDS,
    JudgedOutput,
    Positive,
    TrainingRecipe,
    Width,
)


class RegressionData(CropData):
    """What to train a regressor on; see also `CropData`.

    Parameters
    ----------
    crop : int
        Pixels along each side of a training image, after thinning.
    held_out : float
        Share of the structures that are never trained on, but judge the training. Images that
        are no simulated data set know no structures, and allow 0 only.
    """

    crop: int = Field(default=128, ge=8, le=1024)
    held_out: float = Field(default=0.05, ge=0, lt=1)


class UNetShape(Recipe):
    """See `emprior.regressors.UNet`. The pixel size follows from the data."""

    type: Literal["unet"]
    scales: int = Field(default=6, ge=1, le=8)
    width: int = Field(default=16, ge=1, le=256)
    bias: bool = False
    norm: bool = False
    levelled: bool = False


class DnCNNShape(Recipe):
    """See `emprior.regressors.DnCNN`. The pixel size follows from the data."""

    type: Literal["dncnn"]
    depth: int = Field(default=20, ge=2, le=64)
    width: Width = 64
    bias: bool = False
    norm: bool = False
    levelled: bool = False


class RegressionNoise(Recipe):
    """The noise that training images get.

    Parameters
    ----------
    label : str, optional
        The same for all, as evaluations call it: ``P(1)``, ``clipped P(1)``, ``G(0.1)``. Left
        out, each image gets another: 45 % counts, 15 % (`clipped`) counts cut at 1 (half of them
        P(1), the paper's), the rest Gaussian. The network is told nothing of it.
    pooling : int
        Detector pixels along each side of one pixel of the data: noise is per detector pixel, and
        the network sees the means of ``pooling²``.
    dose : (float, float)
        Range of the expected counts for intensity 1; unused with a label.
    sigma : (float, float)
        Range of the standard deviation of Gaussian noise; unused with a label.
    clipped : float
        Share of images whose counts are cut at 1; unused with a label.
    judged : tuple of str
        Noises at which held-out images judge the training; with a label, that one.
    """

    label: str | None = None
    pooling: int = Field(default=4, ge=1, le=16)
    dose: tuple[Positive, Positive] = (0.4, 60.0)
    sigma: tuple[Positive, Positive] = (0.04, 1.4)
    clipped: float = Field(default=0.15, ge=0, le=0.5)
    judged: tuple[str, ...] = Field(
        default=tuple(label for label in PAPER_NOISES if label != "none"), min_length=1
    )

    @field_validator("label", "judged")
    @classmethod
    def _known(cls, labels: Any, info: ValidationInfo) -> Any:
        for label in (labels,) if isinstance(labels, str) else labels or ():
            if noise_model(label) is None:
                raise RecipeError(
                    f"noise.{info.field_name} = {label!r}",
                    expected="a noise such as P(1), clipped P(1) or G(0.1)",
                    why="without noise a network would learn to do nothing",
                    fix="name a noise, or leave it out for all of them",
                )
        return labels


class RegressionOptimisation(Recipe):
    """How a regressor is trained.

    Parameters
    ----------
    batch : int
        Images per update.
    rate : float
        Learning rate of Adam.
    flat, half_life, precision
        As for `EncoderOptimisation`.
    """

    batch: int = Field(default=8, ge=1, le=4096)
    rate: float = Field(default=1e-3, gt=0, le=1)
    flat: float = Field(default=0.6, ge=0, le=1)
    half_life: int = Field(default=2_800, ge=0)
    precision: Literal["float32", "bfloat16"] = "float32"


class RegressionRecipe(TrainingRecipe):
    """The supervised training of a network that denoises by itself."""

    kind: Literal["regression"]
    data: RegressionData
    network: Annotated[UNetShape | DnCNNShape, Field(discriminator="type")]
    noise: RegressionNoise = RegressionNoise()
    optimisation: RegressionOptimisation = RegressionOptimisation()
    output: JudgedOutput = JudgedOutput()


KINDS["regression"] = RegressionRecipe
