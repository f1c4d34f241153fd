"""Generators: each draws clean images from latent vectors. One architecture a file."""

from emprior.generators.base import GENERATORS, Generator
from emprior.generators.dcgan import DCGAN, Discriminator

GENERATORS["dcgan"] = DCGAN

__all__ = ["DCGAN", "GENERATORS", "Discriminator", "Generator"]
