"""What the tests are run on: lattices, one or more noises of each kind, how noise scales."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import strategies as st

from emprior.noise import (
    ClippedPoisson,
    Gaussian,
    Hits,
    NoiseModel,
    OtherHits,
    Poisson,
    PoissonGaussian,
)

NOISE_CASES: dict[str, NoiseModel] = {
    "G(0.1)": Gaussian(0.1),
    "G(1)": Gaussian(1.0),
    "P(1)": Poisson(1.0),
    "P(10)": Poisson(0.1),
    "P(4) + offset": Poisson(0.25, offset=-0.3),
    "P(1) clipped": ClippedPoisson(1.0, 0.0, 1.0),
    "P(10) clipped": ClippedPoisson(0.1, 0.0, 1.0),
    "hits of 16 pixels": Hits(1.0, 0.0, 1.0, 16),
    "hits of 4 pixels, some shown": Hits(1.0, 0.0, 1.0, 4, efficiency=0.7),
    "clipped between counts": ClippedPoisson(0.4, 0.1, 1.15),
    "counts and readout": PoissonGaussian(0.1, offset=0.05, sigma=0.1),
}
JUDGES: dict[str, NoiseModel] = {"other hits": OtherHits(0.9, 0.1, 0.9, 1, efficiency=0.7)}
"""Noises of what judges, which nobody denoises."""


def scaled(noise: NoiseModel, a: float, b: float) -> NoiseModel:
    """Return the noise of a·data + b."""
    values = dataclasses.asdict(noise)  # type: ignore[call-overload]
    for name in set(values) - {"pixels", "efficiency"}:
        values[name] = a * values[name] + (b if name in ("offset", "maximum") else 0)
    return type(noise)(**values)


def lattice(
    shape: tuple[int, int], pixel_size: float, spacing: float = 2.4, sign: int = 1
) -> np.ndarray:
    """Return a hexagonal lattice of Gaussian columns in the lower left, vacuum 0.45 elsewhere."""
    y, x = np.meshgrid(*(pixel_size * np.arange(n) for n in shape), indexing="ij")
    image = np.full(shape, 0.45)
    for r, c in lattice_positions(shape, pixel_size, spacing):
        image += sign * 0.2 * np.exp(-((y - r) ** 2 + (x - c) ** 2) / (2 * 0.45**2))
    return image


def lattice_positions(
    shape: tuple[int, int], pixel_size: float, spacing: float = 2.4
) -> np.ndarray:
    """Return the (n, 2) positions in Å that `lattice` draws."""
    H, W = (n * pixel_size for n in shape)
    row = spacing * np.sqrt(3) / 2
    return np.array(
        [
            (0.3 * H + i * row, 0.7 + (j + i % 2 / 2) * spacing)
            for i in range(-1, int(H / row) + 1)
            for j in range(-1, int(0.75 * W / spacing) + 1)
            if i >= 0
        ]
    )


def shapes(smallest: int = 8, largest: int = 40) -> st.SearchStrategy[tuple[int, int]]:
    side = st.integers(smallest, largest)
    return st.tuples(side, side)
