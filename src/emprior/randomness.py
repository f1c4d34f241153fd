"""Random draws that nobody else makes from the same seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_OWN = int.from_bytes(b"emprior", "big")


def stream(seed: int | Sequence[int]) -> np.random.Generator:
    """Return a generator of random numbers, other than ``default_rng(seed)``.

    Whoever makes a noisy frame by ``default_rng(0)`` and has it denoised with the seed 0 must not
    have it divided by the noise that is in it: parts that seem independent would not be.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_OWN,)))
