"""What an evaluation is: data, noises, and the rows of its tables."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from emprior.denoisers import check_name
from emprior.denoisers.depth import DEEPEST, Depth
from emprior.errors import RecipeError
from emprior.noise_names import PAPER_NOISES, noise_model
from emprior.recipes import Recipe

RECIPE = "recipe.json"
"""Beside the records: every setting of the latest run, defaults included."""


class Source(Recipe):
    """Where clean images come from; a text alone is the path."""

    path: str
    """A simulated data set or a file of clean images; ~ and $VARIABLES are expanded."""
    pixel_size: float | None = Field(None, gt=0, lt=1e4)
    """[Å]; for files that do not say it."""
    max_images: int | None = Field(None, ge=1)
    """Take so many, evenly spread over the set."""
    label: str = ""
    """Images of one label are summarised together, those of others in tables of their own."""
    note: str = ""
    """What readers of the tables have to know of them."""
    optional: bool = False
    """Where the file is missing, go on without it and say so."""

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value


class Row(Recipe):
    """One denoiser and its settings; a text alone is the method."""

    method: str
    label: str = ""
    """What tables call it; the method, where empty."""
    prior: str = "default"
    """Weights of the methods that take some; of ``nearest`` the directory of a data set."""
    search: str = "default"
    depth: Depth = DEEPEST
    """How far the method ``prior`` goes."""
    force: bool = False
    """Take the prior's answer even where held-out pixels speak against it."""

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"method": value} if isinstance(value, str) else value

    @field_validator("method")
    @classmethod
    def _known(cls, method: str) -> str:
        check_name(method)
        return method

    @property
    def name(self) -> str:
        """The row's name in records and tables."""
        return self.label or self.method


class Targets(Recipe):
    """What one row is to reach; the report says whether it does.

    "Own parts" are rows with its method and prior at another `Row.depth`, or forced.
    """

    row: str
    """The row's name. All below is of medians over the images of the first source's label."""
    must: dict[str, float] = Field(default_factory=dict)
    """PSNR by noise [dB]; for ``none`` that of its own part of depth "inversion", the range R."""
    goal: dict[str, float] = Field(default_factory=dict)
    tail: float = Field(4.0, gt=0)
    """[dB]; most that the 5 % quantile may lie below the median."""
    columns: tuple[str, ...] = ()
    """Noises under which its F1 of columns is to be above that of every supervised row."""
    gain: tuple[str, ...] = ()
    """Noises under which the inversion is to gain on the encoder's first sight."""
    elsewhere: tuple[str, ...] = ()
    """Noises under which images of other labels may lie below by `distance`, but no more."""
    distance: float = Field(2.0, gt=0)
    """[dB]"""
    seconds: float = Field(2.0, gt=0)
    """For an image."""
    first_sight_seconds: float = Field(0.2, gt=0)
    """For an image, of the encoder's first sight."""


class EvaluationRecipe(Recipe):
    """What `run` does."""

    data: tuple[Source, ...] = Field(min_length=1)
    denoisers: tuple[Row, ...] = Field(min_length=1)
    noises: tuple[str, ...] = Field(PAPER_NOISES, min_length=1)
    """``none``, ``P(s)`` (counts of mean s·x, over s), ``clipped P(s)`` (cut at 1, as the paper
    has it), ``G(σ)``."""
    noise: Literal["auto", "known"] = "auto"
    """What denoisers are told; auto: nothing."""
    seed: int = Field(0, ge=0)
    crop: int | None = Field(512, ge=32)
    """Side of the square cut from the middle of each image, in pixels."""
    pixel_size: float = Field(0.0489, gt=0)
    """[Å]; images on a coarser grid are first interpolated, by a whole factor, to about this."""
    targets: Targets | None = None

    @field_validator("noises")
    @classmethod
    def _parsed(cls, noises: tuple[str, ...]) -> tuple[str, ...]:
        for label in noises:
            noise_model(label)
        return noises

    @model_validator(mode="after")
    def _distinct(self) -> EvaluationRecipe:
        for what, names in (("denoiser", [r.name for r in self.denoisers]), ("noise", self.noises)):
            if repeated := sorted({name for name in names if list(names).count(name) > 1}):
                raise RecipeError(
                    f"more than one {what} called {repeated[0]!r}",
                    expected="names that differ",
                    why="records and tables tell rows and columns apart by name",
                    fix="remove one, or give denoisers a label",
                )
        return self

    @model_validator(mode="after")
    def _aimed(self) -> EvaluationRecipe:
        if self.targets and self.targets.row not in (names := [r.name for r in self.denoisers]):
            raise RecipeError(
                f"targets of the row {self.targets.row!r}",
                expected=f"one of {', '.join(names)}",
                why="they are compared with what that row reaches",
                fix="correct the name in targets, or add the row",
            )
        return self
