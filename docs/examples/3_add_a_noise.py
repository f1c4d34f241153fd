r"""
Add a noise model
=================

A noise model both corrupts a clean image and scores a noisy one; everything else (searches,
stabilisation, checks) follows from it. This one is the speckle of coherent detection, a gamma
distribution of L looks:

.. math:: y = x\,g, \qquad g \sim \Gamma(L, 1/L)

with mean x and variance x²/L. In the package such a class lives in a file of ``emprior/noise/``,
and joins `emprior.noise.NOISES` by the name that it gives as its ``kind``.
"""

import math
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from array_api_compat import array_namespace

import emprior
from emprior.demo import example
from emprior.metrics import psnr
from emprior.noise import NOISES, NoiseModel


@dataclass(frozen=True)
class Speckle(NoiseModel, kind="speckle"):
    """Multiplicative gamma noise of mean one.

    Parameters
    ----------
    looks : float
        L; the relative deviation is 1/√L.
    """

    looks: float

    def mean(self, clean):
        """Return `clean` itself."""
        return clean

    def variance(self, clean):
        """Return x²/L."""
        return clean**2 / self.looks

    def sample(self, clean, rng):
        """Draw one noisy image."""
        return (clean * rng.gamma(self.looks, 1 / self.looks, clean.shape)).astype(clean.dtype)

    def log_prob(self, noisy, clean):
        """Return the log-density of each pixel, every constant kept."""
        log, L = array_namespace(noisy).log, self.looks
        constant = L * math.log(L) - math.lgamma(L)
        return constant + (L - 1) * log(noisy) - L * log(clean) - L * noisy / clean

    def score(self, noisy, clean):
        """Return L (y − x) / x²."""
        return self.looks * (noisy - clean) / clean**2

    def fisher(self, clean):
        """Return L / x²."""
        return self.looks / clean**2

    def cumulants(self, clean):
        """Return 2x³/L² and 6x⁴/L³."""
        return 2 * clean**3 / self.looks**2, 6 * clean**4 / self.looks**3


# %%
# Two laws hold for every model: the score's mean is zero, and its variance is the Fisher
# information. A wrong power of a gain, or a constant that is no constant, breaks one of them.
# ``tests/test_noise.py`` asks them of everything in `emprior.noise.NOISES`.

print("known by name:", ", ".join(NOISES))
noise, rng = Speckle(4.0), np.random.default_rng(0)
for level in (0.2, 0.45, 1.0):
    clean = np.full(200_000, level)
    score = noise.score(noise.sample(clean, rng), clean)
    print(
        f"x = {level}: E[score] = {score.mean():+.3f} ± {score.std() / len(score) ** 0.5:.3f}, "
        f"Var[score] / Fisher = {score.var() / noise.fisher(level):.3f}"
    )

# %%
# The density must be the one that is drawn from.

values = np.linspace(0.01, 1.5, 200)
figure, axis = plt.subplots(figsize=(5, 3), layout="constrained")
axis.hist(noise.sample(np.full(50_000, 0.45), rng), bins=100, density=True, color="0.8")
axis.plot(values, np.exp(noise.log_prob(values, np.full_like(values, 0.45))), color="black")
axis.set(xlabel="noisy value where the clean one is 0.45", ylabel="density")

# %%
# Every denoiser takes it.

truth = example().truth
noisy = noise.sample(truth, rng)
for method in ("identity", "blur", "wiener"):
    estimate = emprior.denoise(noisy, noise=noise, method=method, faults=False)
    print(f"{method:<10}{psnr(estimate.image, truth, data_range=1.0):6.2f} dB")
