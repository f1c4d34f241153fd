"""The recipe of the training of a feature network."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from emprior.recipes import Recipe
from emprior.training.data_recipe import AnyCropData
from emprior.training.recipe import KINDS, JudgedOutput, TrainingRecipe


class FeatureShape(Recipe):
    """The feature network: see `emprior.features.FeatureNet`.

    Parameters
    ----------
    size : int
        Pixels along each side of the images that it is trained on, after thinning; take that of
        the generators to be judged.
    dimension, width : int
    """

    size: int = Field(ge=16, le=1024)
    dimension: int = Field(default=48, ge=2, le=64)
    width: int = Field(default=16, ge=1, le=256)


class FeatureOptimisation(Recipe):
    """How the feature network is trained; `EncoderOptimisation` explains the names."""

    batch: int = Field(default=48, ge=2, le=4096)
    rate: float = Field(default=2e-3, gt=0, le=1)
    weight_decay: float = Field(default=1e-4, ge=0, le=1)
    flat: float = Field(default=0.6, ge=0, le=1)
    half_life: int = Field(default=5_000, ge=0)


class FeaturesRecipe(TrainingRecipe):
    """The training of a feature network, see `emprior.training.features`.

    Parameters
    ----------
    held_out : float
        Share of the structures, or of the images where no structures are known, that are never
        trained on, but judge the training.
    """

    kind: Literal["features"]
    held_out: float = Field(default=0.05, ge=0, lt=1)
    data: AnyCropData
    network: FeatureShape
    optimisation: FeatureOptimisation = FeatureOptimisation()
    output: JudgedOutput = JudgedOutput()
    stop: None = None  # it denoises nothing, so there is no PSNR to go by


KINDS["features"] = FeaturesRecipe
