"""
Add a denoiser
==============

A denoiser is a frozen dataclass of its settings with one call: a micrograph, the noise model of its
pixels and a random generator give an estimate of the unclipped mean. In the package it lives in
``emprior/denoisers/`` with an entry in `emprior.denoisers.DENOISERS`; then every command and every
table knows its name, and ``tests/laws.py`` asks of it what it asks of all.

This one takes the median of each neighbourhood.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

import emprior
from emprior.demo import example
from emprior.denoisers import DENOISERS, Denoiser, Estimate
from emprior.denoisers.pooled import Pooled
from emprior.metrics import psnr


@dataclass(frozen=True)
class Median(Denoiser):
    """The median of a square about each pixel.

    Parameters
    ----------
    side : int
        Of the square [pixels].

    Notes
    -----
    Wrong for counts at low dose: a median of few electrons is a whole number below their mean.
    """

    side: int = 5

    def __call__(self, micrograph, noise, rng):
        """Return the medians, mirrored at the edges."""
        image = ndimage.median_filter(micrograph.image, self.side, mode="mirror")
        return Estimate(image.astype(np.float32), trace={"side": self.side})


DENOISERS["median"] = Median
DENOISERS["pooled-median"] = lambda: Pooled(Median())

# %%
# From now on it is called as all others are. Pooling is a wrapper of any denoiser.

shown = example()
for method in ("identity", "constant", "median", "pooled-median", "pooled-wavelet"):
    result = emprior.denoise(shown.noisy, method=method)
    print(f"{method:<16}{psnr(result.image, shown.truth, data_range=1.0):6.2f} dB")

# %%
# The laws: the same arguments give the same answer, which scales with the data.

frame = shown.noisy.image[:128, :96]
first = emprior.denoise(frame, method="median", noise="gaussian:0.7").image
again = emprior.denoise(frame, method="median", noise="gaussian:0.7").image
scaled = emprior.denoise(3 * frame + 10, method="median", noise="gaussian:2.1").image
print("the same:", np.array_equal(first, again))
print("scales:", np.allclose(scaled, 3 * first + 10))

# %%
# And is it right? A median of few electrons is not: the residual has a mean.

result = emprior.denoise(shown.noisy, method="median")
for finding in emprior.check(shown.noisy, result.image).findings:
    if finding.p < 0.05:
        print(finding.says)
