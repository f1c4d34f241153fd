"""Clean crops that a training never sees, and the same with noise: its prior is judged by them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emprior.errors import RecipeError
from emprior.metrics import psnr
from emprior.noise import Gaussian, NoiseModel
from emprior.noise_names import noise_model
from emprior.training.crops import sample
from emprior.training.trainer import Figures

PSNR = "held_out_psnr_db"
"""How the log calls the mean PSNR (range 1) of held-out images, followed by their noise."""

_UNEXPLAINED = 0.01  # error of a good prior's best image; stands for noise where there is none

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class HeldOutCrops:
    """Held-out crops.

    Parameters
    ----------
    clean : (n, H, W) ndarray
    noisy : dict of (n, H, W) ndarray
        By the name of the noise.
    """

    clean: Floats
    noisy: dict[str, Floats]

    @classmethod
    def of(
        cls, clean: Floats, labels: Iterable[str], pooling: int, rng: np.random.Generator
    ) -> HeldOutCrops:
        """Add noises, by their names, to clean crops (n, H, W), as `emprior.training.crops.sample`.

        "none" leaves them as they are.
        """
        noisy = {}
        for label in labels:
            model = noise_model(label)
            drawn = [sample(model, crop, pooling, rng) if model else crop for crop in clean]
            noisy[label] = np.stack(drawn)
        return cls(clean, noisy)

    def psnr(self, denoise: Callable[[Floats, str], Floats]) -> Figures:
        """Return the mean PSNR (range 1) [dB] at each noise.

        Parameters
        ----------
        denoise : callable
            From noisy crops (n, H, W) and the name of their noise to estimates of the clean ones.
        """
        figures = {}
        for label, noisy in self.noisy.items():
            pairs = zip(denoise(noisy, label), self.clean, strict=True)
            scores = [psnr(estimate, truth, data_range=1.0) for estimate, truth in pairs]
            figures[f"{PSNR} {label}"] = float(np.mean(scores))
        return figures


def likelihood(label: str, pooling: int) -> NoiseModel:
    """Return the noise of a mean of ``pooling²`` detector pixels, as an inversion takes it.

    Raises
    ------
    RecipeError
        If such means follow no known distribution.
    """
    model = noise_model(label)
    if model is None:
        return Gaussian(_UNEXPLAINED)
    averaged = model.averaged(pooling**2) if pooling > 1 else model
    if averaged is None:
        raise RecipeError(
            f"stop.noise {label!r} for means of {pooling} × {pooling} pixels",
            expected="P(s) or G(sigma), or single pixels",
            why="means of clipped counts follow no distribution that an inversion could use",
            fix="name another noise",
        )
    return averaged
