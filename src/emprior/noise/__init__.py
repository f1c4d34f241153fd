r"""Noise models: each both corrupts a clean image and scores a noisy one.

All models act pixel by pixel and in the data's own units: clean and noisy images share one scale,
and the clean image is the mean of the noisy one before clipping. They take NumPy arrays or PyTorch
tensors alike and broadcast as arithmetic does.

Two laws hold for every model and are tested for each, with the expectation over noisy given clean:
:math:`E[\mathrm{score}] = 0` and :math:`\mathrm{Var}[\mathrm{score}] = \mathrm{fisher}` (the
second only where ``exact`` is true).
"""

from emprior.noise.base import NOISES, Array, NoiseModel
from emprior.noise.clipped import ClippedPoisson
from emprior.noise.counted import Poisson, PoissonGaussian
from emprior.noise.gaussian import Gaussian
from emprior.noise.hits import Hits, OtherHits

__all__ = [
    "NOISES",
    "Array",
    "ClippedPoisson",
    "Gaussian",
    "Hits",
    "NoiseModel",
    "OtherHits",
    "Poisson",
    "PoissonGaussian",
]
