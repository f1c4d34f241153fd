r"""
Add a generator
===============

A generator draws clean images from latent vectors, and says how probable each vector is. Whatever
PyTorch can differentiate will do, a network or a formula. This one draws lattice fringes,

.. math:: x(r) = 0.45 + a \cos(2\pi\,k \cdot r + \phi),

from five numbers that are standard normal under the prior. With `emprior.stored.Stored` as a second
base, and an entry in ``emprior/generators/__init__.py``, weight files carry it by name.
"""

import math

import matplotlib.pyplot as plt
import numpy as np
import torch

from emprior.generators import Generator
from emprior.inversion import SEARCHES, LatentProblem, invert, laplace
from emprior.metrics import psnr
from emprior.noise import Poisson


class Fringes(Generator):
    """One set of lattice fringes of about 2 Å.

    Parameters
    ----------
    shape : (H, W)
    pixel_size : float
        [Å]
    """

    latent_dim, channels = 5, 1

    def __init__(self, shape, pixel_size):
        super().__init__()
        self.image_shape, self.pixel_size = shape, pixel_size
        rows, columns = (torch.arange(n) * pixel_size for n in shape)
        self.register_buffer("rows", rows[:, None].float())
        self.register_buffer("columns", columns[None, :].float())

    def forward(self, z):
        """Return images, (n, 1, H, W), of latent vectors, (n, 5)."""
        amplitude, along_rows, along_columns, u, v = z[:, :, None, None].unbind(1)
        k = 0.3 + 0.02 * along_rows, 0.4 + 0.02 * along_columns  # 1/Å
        angle = 2 * math.pi * (k[0] * self.rows + k[1] * self.columns) + torch.atan2(u, v)
        return (0.45 + 0.1 * torch.exp(0.3 * amplitude) * torch.cos(angle))[:, None]


# %%
# Draws from the prior are what the generator believes in. Look at them before anything else.

rng = np.random.default_rng(0)
generator = Fringes((64, 80), pixel_size=0.2)
drawn = generator(generator.sample_latent(3, rng))[:, 0]
figure, axes = plt.subplots(1, 3, figsize=(8, 2.4), layout="constrained")
for axis, image in zip(axes, drawn, strict=True):
    axis.imshow(image, cmap="gray", vmin=0.2, vmax=0.7)
    axis.set_axis_off()

# %%
# Plant a latent vector, drown its image in noise, and search for it.

truth = generator.sample_latent(1, rng)
clean = generator(truth)[0, 0].numpy()
noise = Poisson(gain=0.5)
noisy = noise.sample(clean, rng)
problem = LatentProblem(generator, noise, torch.from_numpy(noisy)[None])
found = invert(problem, SEARCHES["default"], rng)
print(found.status[0].sentence)
print(f"noisy {psnr(noisy, clean, data_range=1.0):.1f} dB")
print(f"found {psnr(found.image[0].numpy(), clean, data_range=1.0):.1f} dB")

# %%
# How sure is it? The curvature about the optimum gives the deviations of the latent numbers. The
# phase is told by two of them, so that only their ratio is certain.

deviation = laplace(problem, found.latent[0]).covariance.diagonal().sqrt()
for name, value, sd, planted in zip(
    ("amplitude", "k along rows", "k along columns"),
    found.latent[0],
    deviation,
    truth[0],
    strict=False,
):
    print(f"{name:<16}{value:+.2f} ± {sd:.2f}, planted {planted:+.2f}")
