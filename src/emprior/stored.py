"""Networks that a weight file describes and rebuilds."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor, nn

from emprior.errors import OptionError


class Stored(nn.Module, ABC):
    """A network whose architecture is plain values.

    Attributes
    ----------
    pixel_size : float
        Distance between the pixel centres of its images in Å.
    returns : tuple of str
        Names of what `forward` returns.
    """

    pixel_size: float
    returns: ClassVar[tuple[str, ...]]

    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments that build this architecture, as plain values."""

    @abstractmethod
    def examples(self) -> dict[str, Tensor]:
        """Return arguments of `forward` by name, a batch of two on the CPU, always the same."""

    @torch.no_grad()
    def portrait(self) -> dict[str, Tensor]:
        """Return what it makes of its examples, by name: so it is known again."""
        made = self(**self.examples())
        return dict(zip(self.returns, made if isinstance(made, tuple) else (made,), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Return the architecture as plain values, with its kind under ``type``; no weights."""
        kind = next(name for name, cls in ARCHITECTURES.items() if cls is type(self))
        return {"type": kind, **self.arguments()}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Stored:
        """Build the architecture that `to_dict` described, with fresh random weights.

        Raises
        ------
        OptionError
            If the type or an argument is not known, is missing, or is out of bounds.
        """
        arguments = dict(values)
        kind = arguments.pop("type", None)
        if not isinstance(kind, str) or kind not in ARCHITECTURES:
            raise OptionError(
                f"a network of type {kind!r}",
                expected=f"one of {', '.join(ARCHITECTURES)}",
                why="each type names an architecture of this version of emprior",
                fix="correct the type, or update emprior if the file is newer",
            )
        try:
            inspect.signature(ARCHITECTURES[kind]).bind(**arguments)
        except TypeError as error:
            raise OptionError(
                f"a {kind} network described by {', '.join(arguments) or 'nothing'}: {error}",
                expected=f"{', '.join(inspect.signature(ARCHITECTURES[kind]).parameters)}",
                why="the description must rebuild the architecture exactly",
                fix="correct the description, or update emprior if the file is newer",
            ) from None
        return ARCHITECTURES[kind](**arguments)


def typical(*shape: int) -> Tensor:
    """Return numbers spread as standard normal ones are, the same on every machine for ever.

    No generator of random numbers is asked, since their streams may change between versions.
    """
    golden = (math.sqrt(5) - 1) / 2
    even = np.arange(1, math.prod(shape) + 1) * golden % 1
    return torch.from_numpy(ndtri(even)).float().view(shape)


ARCHITECTURES: dict[str, type[Stored]] = {}
"""By name. Each package of networks enters its own; `emprior.weights` imports them all."""
