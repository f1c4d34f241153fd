"""Generators: each draws clean images from latent vectors. One architecture a file."""

from emprior.generators.base import Generator
from emprior.generators.columns import ColumnGenerator, Element, Scene
from emprior.generators.conditional import ConditionalDCGAN, ConditionalDiscriminator
from emprior.generators.dcgan import DCGAN, Discriminator
from emprior.generators.encoder import ColumnEncoder
from emprior.generators.guess import Look
from emprior.generators.measured import Compressed, Masked, Measured, SideBySide
from emprior.generators.multislice import Multislice
from emprior.stored import ARCHITECTURES

ARCHITECTURES.update(
    {"dcgan": DCGAN, "conditional-dcgan": ConditionalDCGAN, "columns": ColumnEncoder}
)

__all__ = [
    "DCGAN",
    "ColumnEncoder",
    "ColumnGenerator",
    "Compressed",
    "ConditionalDCGAN",
    "ConditionalDiscriminator",
    "Discriminator",
    "Element",
    "Generator",
    "Look",
    "Masked",
    "Measured",
    "Multislice",
    "Scene",
    "SideBySide",
]
