"""A prior small enough for tests: it has learnt nothing, but what it draws it knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from emprior import weights
from emprior.generators import DCGAN
from emprior.generators.dcgan import initialise

PIXEL_SIZE = 0.2


def toy_generator() -> DCGAN:
    """Return a generator of textures, (64, 64) pixels of 0.2 Å, from 4 numbers."""
    generator = DCGAN(size=64, nz=4, ngf=2, pixel_size=PIXEL_SIZE)
    initialise(generator, np.random.default_rng(0))
    with torch.no_grad():
        for module in generator.modules():
            if isinstance(module, torch.nn.ConvTranspose2d):
                module.weight *= 8
    for seed in range(20):  # settles the running statistics
        generator(generator.sample_latent(64, np.random.default_rng(seed)))
    return generator.eval()


def toy_prior(path: Path) -> Path:
    """Write it as a weight file."""
    card = weights.Card(text="A toy of textures.\nNot for micrographs.", data="toy", images=1)
    weights.save(path, toy_generator(), card)
    return path


@torch.no_grad()
def toy_frame(seed: int = 0) -> np.ndarray:
    """Return a clean image, (64, 64), that the toy can draw."""
    generator = toy_generator()
    return generator(generator.sample_latent(1, np.random.default_rng(seed)))[0, 0].numpy()
