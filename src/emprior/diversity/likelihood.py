"""How likely real images are under a kernel density of the samples."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from emprior.diversity.neighbours import distances, vectors
from emprior.errors import ImageError


def log_likelihood(samples: ArrayLike, real: ArrayLike, rng: np.random.Generator) -> float:
    r"""Return the average log-likelihood of real vectors under a Gaussian kernel density.

    .. math::
        \log p(x) = \log \frac1M \sum_j \exp\left(-\frac{|x - y_j|^2}{2 h^2}\right)
        - D \log(h \sqrt{2\pi})

    with M samples y as centres. A random third of the real vectors chooses the bandwidth h, the
    others are scored. I. Goodfellow et al., NeurIPS 2014, section 5.

    Parameters
    ----------
    samples : (M, D) array_like
    real : (N, D) array_like
    rng : numpy.random.Generator
        Chooses the third.

    Returns
    -------
    float
        In nats per vector.

    Raises
    ------
    ImageError
        If there are fewer than 3 real vectors, no samples, samples and real vectors of different
        sizes, or real vectors that all equal samples.

    Notes
    -----
    Wrong in absolute terms in more than a few dimensions, where M kernels do not fill the space
    (L. Theis et al., ICLR 2016): compare with held-out real images as centres, equally many.
    Blind to a collapse upon the middle of the data: one kernel may be as wide as all of them.
    """
    y, x = vectors(samples, least=1), vectors(real, least=3)
    square = distances(x, y) ** 2
    order = rng.permutation(len(x))
    chooses, scored = order[: len(x) // 3], order[len(x) // 3 :]
    nearest = math.sqrt(float(square[chooses].min(axis=1).mean()))
    if not nearest > 0:
        raise ImageError(
            "real vectors that all are among the samples",
            expected="samples that are not the real vectors themselves",
            why="the best kernel is then infinitely narrow",
            fix="compare with other real images than those given as samples",
        )

    def loss(log_width: float) -> float:
        return -float(_log_density(square[chooses], x.shape[1], math.exp(log_width)).mean())

    # A kernel much narrower than the nearest distance, or wider than the farthest, is never best.
    dimension = x.shape[1]
    bounds = (
        math.log(nearest / math.sqrt(dimension)) - 3,
        math.log(math.sqrt(float(square.max()))) + 1,
    )
    best = minimize_scalar(loss, bounds=bounds, method="bounded")
    return float(_log_density(square[scored], dimension, math.exp(best.x)).mean())


def _log_density(square: NDArray[np.float64], dimension: int, width: float) -> NDArray[np.float64]:
    """Return log p of each row of squared distances to all centres."""
    kernels = logsumexp(-square / (2 * width**2), axis=1) - math.log(square.shape[1])
    return np.asarray(kernels - dimension * math.log(width * math.sqrt(2 * math.pi)))
