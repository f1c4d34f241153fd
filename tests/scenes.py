"""Small scenes of atomic columns, and an encoder that has learnt nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from abtem.parametrizations import LobatoParametrization

from emprior import weights
from emprior.generators import ColumnEncoder, ColumnGenerator, Element, Multislice, Scene

PIXEL_SIZE = 0.2
ELEMENTS = (
    {"number": 78, "spacing": 2.82, "typical": 6.0, "through": False},
    {"number": 58, "spacing": 3.826, "typical": 12.0, "through": True},
    {"number": 8, "spacing": 3.826, "typical": 12.0, "through": True},
)
NUMBERS = [78, 58, 8]
VIBRATION = {78: 0.06, 58: 0.06, 8: 0.08}  # Å, the simulation's own


def factors(numbers=NUMBERS, dtype=torch.float32) -> torch.Tensor:
    """Return abTEM's projected scattering factors, damped by vibration, (E, 257)."""
    k, table = Multislice.knots(), LobatoParametrization()
    rows = [
        table.projected_scattering_factor(n)(k**2) * np.exp(-2 * (np.pi * VIBRATION[n] * k) ** 2)
        for n in numbers
    ]
    return torch.from_numpy(np.stack(rows)).to(dtype)


def scene(shape=(40, 48), margin=8, dtype=torch.float32, **changes) -> Scene:
    """Return a crystal of two elements that reaches through, and a particle beside it."""
    H, W = shape
    rows, columns, element, counts = [], [], [], []
    for i, r in enumerate(np.arange(margin, H - margin, 9.7)):
        for j, c in enumerate(np.arange(margin, W - margin, 10.9)):
            through = r > 0.55 * H
            rows.append(r + 0.3 * (j % 2))
            columns.append(c + 0.4 * (i % 2))
            element.append((1 if (i + j) % 2 else 2) if through else 0)
            counts.append(0.9 if through else 4 + (i + 2 * j) % 4)

    def tensor(values: object) -> torch.Tensor:
        return torch.tensor(values, dtype=dtype)

    fields = {
        "rows": tensor(rows),
        "columns": tensor(columns),
        "element": torch.tensor(element),
        "counts": tensor(counts),
        "layer": torch.tensor(element),
        "position_sd": tensor([0.08] * len(rows)),
        "defocus": tensor(70.0),
        "thickness": tensor(35.0),
        "centre": tensor(16.0),
        "blur": tensor(0.5),
        "tilt": tensor([0.01, -0.02]),
    }
    return Scene(**{**fields, **changes})


def column_generator(shape=(40, 48), dtype=torch.float32, slices=4, **changes) -> ColumnGenerator:
    """Return the generator of scenes near that one."""
    multislice = Multislice(factors(dtype=dtype), shape, PIXEL_SIZE, slices)
    elements = tuple(Element(**values) for values in ELEMENTS)
    return ColumnGenerator(scene(shape, dtype=dtype, **changes), elements, multislice)


def toy_encoder(seed: int = 0, contrast: float = 1.0) -> ColumnEncoder:
    """Return a small encoder with the weights that training would start from.

    They see columns anywhere, and the more the higher the contrast of their maps; at 0 none.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = ColumnEncoder(
            pixel_size=PIXEL_SIZE, field=32, elements=list(ELEMENTS), widths=[8, 8, 8], slices=2
        )
    encoder.factors.copy_(factors())
    with torch.no_grad():
        encoder.network.head.weight *= contrast
    return encoder.eval().requires_grad_(False)


def toy_columns(path: Path, contrast: float = 1.0) -> Path:
    """Write it as a weight file."""
    weights.save(
        path, toy_encoder(0, contrast), weights.Card(text="Knows no columns yet.", data="toy")
    )
    return path
