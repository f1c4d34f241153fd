"""Noises by the names that they have in tables: P(25), clipped P(1), G(0.1)."""

from __future__ import annotations

import re

from emprior.errors import OptionError
from emprior.noise import ClippedPoisson, Gaussian, NoiseModel, Poisson

PAPER_NOISES = ("none", "P(25)", "P(10)", "P(1)", "clipped P(1)", "G(0.1)", "G(0.5)", "G(1)")

_NOISE = re.compile(r"(clipped )?([PG])\((\d+(?:\.\d+)?)\)")


def noise_model(label: str) -> NoiseModel | None:
    """Return the noise that a column of the tables stands for; None for ``none``.

    Raises
    ------
    OptionError
        If the label has no meaning.
    """
    if label == "none":
        return None
    found = _NOISE.fullmatch(label)
    value = float(found[3]) if found else 0.0
    if not found or not value or (found[1] and found[2] == "G"):
        raise OptionError(
            f"a noise called {label!r}",
            expected="none, P(s), clipped P(s) or G(sigma), with a positive number",
            why="P(s) are counts of mean s·x divided by s, G(sigma) adds a normal deviate",
            fix="write, for example, P(25), clipped P(1) or G(0.1)",
        )
    if found[2] == "G":
        return Gaussian(value)
    return ClippedPoisson(1 / value, 0.0, 1.0) if found[1] else Poisson(1 / value)
