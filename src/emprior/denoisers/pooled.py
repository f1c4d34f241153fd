r"""Denoise on a coarser grid: what an oversampled micrograph needs first.

Micrographs are taken with pixels several times finer than their resolution. The mean of k × k
pixels then loses no structure and has 1/k of the noise; the band-limited image of which they are
the means brings the estimate back to the fine grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.fft
from scipy.stats import chi2

from emprior.denoisers.base import Denoiser, Estimate
from emprior.denoisers.stabilise import mean_variance, stabiliser
from emprior.errors import OptionError
from emprior.grid import pad_to_multiple, pool, unpool
from emprior.micrograph import Micrograph
from emprior.noise import Gaussian, NoiseModel

_FACTORS = (8, 4, 2)
_COARSEST = 0.4  # Å; samples the information limit of the best microscopes, 0.8 Å
_FEWEST = 16  # pixels along an axis of the pooled frame


@dataclass(frozen=True)
class Pooled(Denoiser):
    """Pool the pixels, stabilise, denoise and restore their means, return to the fine grid.

    Parameters
    ----------
    inner : Denoiser
        Sees the pooled micrograph with Gaussian noise of unit deviation.
    factor : int, optional
        Pixels pooled along each axis. None: chosen from each frame by `pooling_factor`.

    Notes
    -----
    Wrong when a given factor aliases: with pixels of 0.3 Å, say, structure at 1 Å does not
    survive pooling by 4. The chosen factor is in the trace.
    """

    inner: Denoiser
    factor: int | None = None

    def __post_init__(self) -> None:
        given, whole = self.factor, isinstance(self.factor, int) and self.factor is not True
        if given is not None and not (whole and given >= 1):
            raise OptionError(
                f"a pooling factor of {self.factor!r}",
                expected="a whole number of at least 1, or None",
                why="whole pixels are averaged",
                fix="leave it out to have it chosen from the frame",
            )

    def __call__(
        self, micrograph: Micrograph, noise: NoiseModel, rng: np.random.Generator
    ) -> Estimate:
        """Estimate the unclipped mean; the inner method's trace is joined to ``factor``."""
        factor = pooling_factor(micrograph, noise) if self.factor is None else self.factor
        if factor == 1:
            estimate = self.inner(micrograph, noise, rng)
            return replace(estimate, trace={"factor": 1, **estimate.trace})
        H, W = micrograph.shape
        if min(H, W) < 8 * factor:
            raise OptionError(
                f"pooling by {factor} for a frame of {H} × {W} pixels",
                expected=f"a factor of at most {max(1, min(H, W) // 8)}",
                why="fewer than 8 pixels would be left along an axis",
                fix="leave the factor out to have it chosen from the frame",
            )
        coarse = pool(pad_to_multiple(micrograph.image, factor), factor)
        curve = stabiliser(noise, coarse, count=factor**2)
        pixel_size = None if micrograph.pixel_size is None else micrograph.pixel_size * factor
        estimate = self.inner(Micrograph(curve.forward(coarse), pixel_size), Gaussian(1.0), rng)
        fine = unpool(curve.inverse(estimate.image), factor, micrograph.shape)
        return Estimate(fine.astype(np.float32), trace={"factor": factor, **estimate.trace})


def pooling_factor(micrograph: Micrograph, noise: NoiseModel) -> int:
    r"""Return how many pixels may be pooled along each axis without losing structure.

    The largest of 8, 4, 2 and 1 for which the cosine spectrum beyond the pooled grid's band holds
    no more power than the noise does. The spectrum is read in tiles of 8 × 8 coefficients, so that
    a few lattice reflections are seen among many empty frequencies: the power of a tile of white
    noise is :math:`\chi^2_{64}`, and the highest of all has to stay below its 10⁻³ quantile
    (corrected for their number).

    Parameters
    ----------
    micrograph : Micrograph
        Where its pixel size is known, the pooled one is kept at or below 0.4 Å.
    noise : NoiseModel

    Notes
    -----
    Takes the noise as independent between pixels. Correlated noise (a detector's point spread)
    concentrates in the low band and lets more be pooled; an assumed noise weaker than the true
    one makes the answer 1.
    """
    spectrum = scipy.fft.dctn(micrograph.image.astype(np.float64), norm="ortho") ** 2
    level = mean_variance(noise, micrograph.image)
    tile = 8
    H, W = micrograph.shape
    power = pool(spectrum, tile) / level  # last, partial tiles are left out
    limit = chi2.ppf(1 - 1e-3 / power.size, tile**2) / tile**2
    row, column = (tile * np.arange(n) for n in power.shape)
    for factor in _FACTORS:
        pixel_size = micrograph.pixel_size
        coarse = pixel_size is not None and pixel_size * factor > _COARSEST * (1 + 1e-6)
        if coarse or min(H, W) // factor < _FEWEST:
            continue
        outside = (row[:, None] >= H / factor) | (column[None, :] >= W / factor)
        means = pool(pad_to_multiple(micrograph.image, factor), factor)
        if power[outside].max(initial=0) <= limit and means.min() < means.max():
            return factor
    return 1
