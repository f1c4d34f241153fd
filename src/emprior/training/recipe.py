"""What the recipes of all trainings share; each kind has a file of its own."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, field_validator

from emprior.errors import RecipeError
from emprior.noise_names import noise_model
from emprior.recipes import Recipe

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


class JudgedOutput(Output):
    """How often to write, in updates; `validate_every` asks the held-out structures."""

    validate_every: int = Field(default=500, ge=1)


class Stop(Recipe):
    """When to stop before the budget is used, see `emprior.training.course`; the best is kept.

    Parameters
    ----------
    gain_db : float
        Gain in held-out PSNR [dB] that is worth going on for.
    patience : float
        Share of the images seen so far in which it must come.
    """

    gain_db: float = Field(default=0.1, gt=0)
    patience: float = Field(default=0.25, gt=0, lt=1)


class InversionStop(Stop):
    """What of held-out frames are inverted to tell; see also `Stop`.

    Parameters
    ----------
    frames : int
    noise : sequence of str
        As evaluations call it; without any, "none", the PSNR is the prior's range R.
    """

    frames: int = Field(default=6, ge=1, le=100)
    noise: tuple[str, ...] = Field(default=("none", "P(10)"), min_length=1)

    @field_validator("noise")
    @classmethod
    def _known(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        for label in labels:
            noise_model(label)
        return labels


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
    stop : Stop, optional
        Left out, the training uses its budget and keeps its last state.
    """

    kind: str
    seed: int = Field(default=0, ge=0)
    card: str = ""
    start: str | None = None
    data: Any
    optimisation: Any
    budget: Budget
    output: Output = Output()
    stop: Stop | None = None

    @property
    def validate_every(self) -> int | None:
        """Updates from one judgement by held-out data to the next; None where there is none."""
        return getattr(self.output, "validate_every", None)

    def to_dict(self) -> dict[str, Any]:
        """Return every setting; a section that is left out, and has no defaults, is no setting."""
        values = super().to_dict()
        if self.stop is None:
            del values["stop"]
        return values

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
        kept = {key: values[key] for key in values if key not in ("budget", "output", "card")}
        return {"stop": None, **kept}


KINDS: dict[str, type[TrainingRecipe]] = {}  # filled by the files of the kinds
