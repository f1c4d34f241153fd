"""Readout and thermal noise of one strength everywhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emprior.noise.base import Array, NoiseModel, check


@dataclass(frozen=True)
class Gaussian(NoiseModel, kind="gaussian"):
    """Additive white Gaussian noise, ``noisy ~ N(clean, sigma²)``.

    Parameters
    ----------
    sigma : float
        Standard deviation in units of the data, positive.
    """

    sigma: float

    def __post_init__(self) -> None:
        check(sigma=self.sigma)

    def mean(self, clean: Array) -> Array:
        """Return `clean` itself."""
        return clean

    def variance(self, clean: Array) -> Array:
        """Return sigma² everywhere."""
        return clean * 0 + self.sigma**2

    def sample(self, clean: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Draw one noisy image."""
        return (clean + self.sigma * rng.standard_normal(clean.shape)).astype(clean.dtype)

    def log_prob(self, noisy: Array, clean: Array) -> Array:
        """Return the log-density of each pixel."""
        return -(((noisy - clean) / self.sigma) ** 2) / 2 - math.log(
            self.sigma * math.sqrt(2 * math.pi)
        )

    def score(self, noisy: Array, clean: Array) -> Array:
        """Return (noisy − clean) / sigma²."""
        return (noisy - clean) / self.sigma**2

    def fisher(self, clean: Array) -> Array:
        """Return 1 / sigma² everywhere."""
        return clean * 0 + 1 / self.sigma**2

    def cumulants(self, clean: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return zeros."""
        return np.zeros_like(clean), np.zeros_like(clean)

    def averaged(self, count: int) -> Gaussian:
        """Return Gaussian noise of sigma / √count."""
        return Gaussian(self.sigma / count**0.5)
