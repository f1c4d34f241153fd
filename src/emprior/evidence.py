"""Held-out evidence: how well an estimate predicts pixels that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emprior.micrograph import Micrograph
from emprior.noise import NoiseModel


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A frame with some pixels hidden.

    Attributes
    ----------
    seen : Micrograph
        The frame for the denoiser, of the same shape.
    rows, columns : (B,) int ndarray
        Where pixels are hidden.
    truth : (B,) ndarray
        Their values.
    """

    seen: Micrograph
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    truth: NDArray[np.floating]

    def log_prob(self, estimate: NDArray[np.floating], noise: NoiseModel) -> NDArray[np.floating]:
        """Return the log-probability in nats, (B,), of each hidden pixel given an estimate."""
        guess = estimate[self.rows, self.columns].astype(np.float64)
        return np.asarray(noise.log_prob(self.truth.astype(np.float64), guess))


def hold_out(micrograph: Micrograph, rng: np.random.Generator) -> HeldOut:
    """Hide one pixel of every 2 × 2 block.

    In its place stands a copy of another pixel of its block, which is a valid value under any
    noise (an average would not be).

    Notes
    -----
    The noise must be independent between pixels, or the copy tells of the pixel it replaces.
    """
    H, W = (n // 2 for n in micrograph.shape)
    held = rng.integers(4, size=(H, W))
    donor = (held + rng.integers(1, 4, size=(H, W))) % 4
    rows, columns = np.indices((H, W)) * 2
    hidden = rows + held // 2, columns + held % 2
    seen = micrograph.image.copy()
    seen[hidden] = micrograph.image[rows + donor // 2, columns + donor % 2]
    return HeldOut(
        seen=replace(micrograph, image=seen),
        rows=hidden[0].ravel(),
        columns=hidden[1].ravel(),
        truth=micrograph.image[hidden].ravel(),
    )
