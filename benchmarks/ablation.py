"""What each part of the columns prior gains: median PSNR (range 1) with parts switched off.

    python benchmarks/ablation.py VALIDATION [--every 3] [--noises none "P(25)" "P(1)"]

VALIDATION is the data set of recipes/validation.toml. The noise model is given and nothing is
compared with a fallback, so that the figures are the prior's alone; seconds are of one thread.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from emprior.datasets import Dataset
from emprior.denoisers.prior import NATIVE_PIXEL_SIZE, Prior
from emprior.evaluate.recipe import noise_model
from emprior.metrics import psnr
from emprior.micrograph import Micrograph
from emprior.noise import Gaussian

SIDE = 512
ROWS = {
    "encoder only": Prior(depth="encoder"),
    "+ inversion": Prior(depth="inversion", exact=False),
    "+ exact steps": Prior(depth="inversion"),
    "+ residual": Prior(depth="residual"),
    "+ posterior mean": Prior(depth="mean"),
}


def score(estimate: np.ndarray, clean: np.ndarray) -> float:
    return float(psnr(estimate, clean, data_range=1.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("validation", type=Path)
    parser.add_argument("--every", type=int, default=3)
    parser.add_argument("--noises", nargs="+", default=["none", "P(25)", "P(1)"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = Dataset.open(arguments.validation)
    for label in arguments.noises:
        noise = noise_model(label)
        scores: dict[str, list[float]] = {}
        seconds: dict[str, list[float]] = {}
        for i in range(0, len(data), arguments.every):
            image = data.image(i)
            r, c = ((n - SIDE) // 2 for n in image.shape)
            clean, rng = image[r : r + SIDE, c : c + SIDE], np.random.default_rng([i, 27])
            told = noise or Gaussian(1e-5)
            frame = Micrograph(told.sample(clean, rng).astype(np.float32), NATIVE_PIXEL_SIZE)
            for name, prior in ROWS.items():
                started = time.process_time()
                estimate = prior(frame, told, np.random.default_rng(0))
                seconds.setdefault(name, []).append(time.process_time() - started)
                scores.setdefault(name, []).append(score(estimate.image, clean))
        for name, values in scores.items():
            least, median = np.quantile(values, [0.05, 0.5])
            spent = np.median(seconds[name])
            print(f"{label:8} {name:16} median {median:6.2f}  5 % {least:6.2f}  {spent:.1f} s")


if __name__ == "__main__":
    main()
