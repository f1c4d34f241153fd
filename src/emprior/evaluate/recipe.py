"""What an evaluation is: data, noises, and the rows of its tables."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from emprior.denoisers import make
from emprior.denoisers.depth import DEEPEST, Depth
from emprior.errors import RecipeError
from emprior.noise_names import PAPER_NOISES, noise_model
from emprior.recipes import Recipe


class Source(Recipe):
    """Where clean images come from; a text alone is the path."""

    path: str
    """A simulated data set or a file of clean images; ~ and $VARIABLES are expanded."""
    pixel_size: float | None = Field(None, gt=0, lt=1e4)
    """[Å]; for files that do not say it."""
    max_images: int | None = Field(None, ge=1)
    """Take so many, evenly spread over the set."""

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
        make(method)
        return method

    @property
    def name(self) -> str:
        """The row's name in records and tables."""
        return self.label or self.method


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
