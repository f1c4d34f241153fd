"""What every noise model is, and what they share."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from array_api_compat import is_torch_array
from numpy.typing import NDArray

from emprior.errors import OptionError

Array = Any  # a NumPy array or a PyTorch tensor; array_api_compat gives their common functions

SMALLEST_RATE = 1e-6  # counts per pixel; keeps log and division finite in vacuum and below it

NOISES: dict[str, type[NoiseModel]] = {}
"""All models by name."""


class NoiseModel(ABC):
    """The probability of a noisy image given the clean one.

    Attributes
    ----------
    exact : bool
        Whether `log_prob` is the density that `sample` draws from, rather than an approximation
        with the same mean and variance.
    kind : str
        Its name in files, and in `NOISES`.
    """

    exact: ClassVar[bool] = True
    kind: ClassVar[str]

    def __init_subclass__(cls, kind: str) -> None:
        super().__init_subclass__()
        cls.kind = kind
        NOISES[kind] = cls

    @abstractmethod
    def mean(self, clean: Array) -> Array:
        """Return the expected noisy value; differs from `clean` only where values are clipped."""

    @abstractmethod
    def variance(self, clean: Array) -> Array:
        """Return the variance of the noisy value, in squared units of the data."""

    @abstractmethod
    def sample(self, clean: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Draw one noisy image of the shape of `clean`, in its floating point type."""

    @abstractmethod
    def log_prob(self, noisy: Array, clean: Array) -> Array:
        """Return the log-probability of each pixel, every constant kept.

        A probability where the noisy values are discrete, a density per unit of data otherwise.
        Sum over the last two axes for the score of an image.
        """

    @abstractmethod
    def score(self, noisy: Array, clean: Array) -> Array:
        """Return the derivative of `log_prob` by `clean`, pixel by pixel."""

    @abstractmethod
    def fisher(self, clean: Array) -> Array:
        """Return the Fisher information on the clean value that one noisy pixel carries."""

    @abstractmethod
    def cumulants(self, clean: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the third and fourth cumulant of the noisy value, in powers of the data's unit.

        Both are zero for a normal distribution; of independent pixels they add, as means and
        variances do.
        """

    def averaged(self, count: int) -> NoiseModel | None:
        """Return the model of the mean of so many pixels of equal clean value.

        None where the family is not closed under averaging, as for most clipped counts.
        """
        return None

    def __str__(self) -> str:
        """Say the model in words, as ``Poisson, gain 21.59, offset 13631``; zeros are left out."""
        values = self.to_dict()
        kind = values.pop("type").title()
        return ", ".join([kind, *(f"{k} {_brief(v)}" for k, v in values.items() if v)])

    def to_dict(self) -> dict[str, Any]:
        """Return the model as plain values, with its kind under ``type``."""
        return {"type": self.kind, **dataclasses.asdict(self)}  # type: ignore[call-overload]

    @staticmethod
    def from_dict(values: dict[str, Any]) -> NoiseModel:
        """Make a model from what `to_dict` returned.

        Raises
        ------
        OptionError
            If the type or a parameter is not known, or a parameter is missing or out of range.
        """
        parameters = dict(values)
        kind = parameters.pop("type", None)
        if kind not in NOISES:
            raise OptionError(
                f"noise of type {kind!r}",
                expected=f"one of {', '.join(NOISES)}",
                why="each type names a probability model",
                fix="correct the type",
            )
        fields = dataclasses.fields(NOISES[kind])  # type: ignore[arg-type]
        allowed = [field.name for field in fields]
        if unknown := set(parameters) - set(allowed):
            raise OptionError(
                f"{kind} noise with {', '.join(sorted(unknown))}",
                expected=f"only {', '.join(allowed)}",
                why="an ignored parameter would give another noise than was asked for",
                fix="remove or rename it",
            )
        needed = {field.name for field in fields if field.default is dataclasses.MISSING}
        if missing := needed - set(parameters):
            raise OptionError(
                f"{kind} noise without {', '.join(sorted(missing))}",
                expected=f"values for {', '.join(sorted(needed))}",
                why="there is no sensible default for them",
                fix="add them in units of the data",
            )
        return NOISES[kind](**parameters)


def check(positive: bool = True, **values: float) -> None:
    """Check parameters by name: finite numbers, and positive ones where they scale the noise."""
    for name, value in values.items():
        number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not (number and math.isfinite(value) and (value > 0 or not positive)):
            kind = "positive finite" if positive else "finite"
            raise OptionError(
                f"{name} = {value:g}" if number else f"{name} = {value!r}",
                expected=f"a {kind} {name}",
                why="it scales the noise" if positive else "it is a value of the data",
                fix="give it in units of the data, for example 0.1",
            )


def special(array: Array) -> Any:
    """Return the library of special functions for this kind of array: the names agree."""
    if is_torch_array(array):
        import torch

        return torch.special
    import scipy.special

    return scipy.special


def _brief(value: float) -> str:
    """Return four digits, or all of a whole part that people still read at a glance."""
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e7 else f"{value:.4g}"
