"""By what a prior is known again: a hash of what is stored, and numbers of what it draws.

The hash tells whether a file is the one that was written; the numbers tell whether this version of
emprior, of PyTorch and of the machine still makes the same of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from emprior.stored import Stored

TOLERANCE = 1e-3
"""Of the standard deviation of what is drawn; machines differ by about 1e-6 of it."""

_PLACES = 8


@dataclass(frozen=True)
class Fingerprint:
    """What a prior is known by.

    Parameters
    ----------
    sha256 : str
        Of the card and of all tensors with their names, types and shapes.
    drawn : dict
        For each output of `emprior.stored.Stored.portrait` its mean, its standard deviation, and
        its values at eight places.
    """

    sha256: str
    drawn: dict[str, list[float]]

    @classmethod
    def of(cls, network: Stored, card: str, tensors: Mapping[str, Tensor]) -> Fingerprint:
        """Take the fingerprint of a network with a card, and of the tensors as they are stored."""
        known = hashlib.sha256(card.encode())
        for name, tensor in sorted(tensors.items()):
            known.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            known.update(tensor.contiguous().numpy().tobytes())
        return cls(known.hexdigest(), {k: _numbers(v) for k, v in network.portrait().items()})

    @classmethod
    def from_json(cls, text: str) -> Fingerprint:
        """Read what `to_json` wrote.

        Raises
        ------
        ValueError
            If it is something else.
        """
        values = json.loads(text)
        if not (isinstance(values, dict) and values.keys() == {"sha256", "drawn"}):
            raise ValueError("no fingerprint")
        known = cls(**values)
        if not isinstance(known.drawn, dict) or not all(
            isinstance(numbers, list)
            and len(numbers) > 1
            and all(type(number) is float for number in numbers)
            for numbers in known.drawn.values()
        ):
            raise ValueError("a fingerprint with other things than numbers")
        return known

    def to_json(self) -> str:
        """Return it as one line."""
        return json.dumps(asdict(self))

    def draws_like(self, other: Fingerprint) -> bool:
        """Tell whether what is drawn agrees, within `TOLERANCE`."""
        if self.drawn.keys() != other.drawn.keys():
            return False
        return all(_alike(self.drawn[name], other.drawn[name]) for name in self.drawn)


def _alike(mine: list[float], its: list[float]) -> bool:
    # What hardly varies cannot be told better than single precision does.
    scale = max(its[1], 1e-3 * max(map(abs, its)))
    return len(mine) == len(its) and all(
        abs(a - b) <= TOLERANCE * scale for a, b in zip(mine, its, strict=True)
    )


def _numbers(drawn: Tensor) -> list[float]:
    flat = drawn.detach().double().flatten()
    places = [(2 * i + 1) * len(flat) // (2 * _PLACES) for i in range(_PLACES)]
    numbers = [flat.mean(), flat.std(correction=0), *flat[places]]
    return [float(f"{number.item():.7g}") for number in numbers]
