"""Distances to the nearest: within a set, and between sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from emprior.errors import ImageError

_K = 5  # neighbours that make a ball, as Naeem et al. chose
_RARE = 0.01  # of real vectors have a neighbour as near as a repeated sample has


@dataclass(frozen=True)
class Spread:
    """A distribution in three numbers.

    Parameters
    ----------
    low, median, high : float
        Quantiles 0.05, 0.5 and 0.95.
    """

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: ArrayLike) -> Spread:
        """Summarise values."""
        return cls(*(float(q) for q in np.quantile(np.asarray(values), (0.05, 0.5, 0.95))))


@dataclass(frozen=True)
class Manifolds:
    """How two sets lie in each other's neighbourhoods.

    Parameters
    ----------
    density : float
        In how many balls of real vectors a sample lies, over k; 1 for a perfect generator, more
        where samples crowd at real ones.
    coverage : float
        Share of the real vectors whose ball holds a sample; 1 − 2⁻ᵏ = 0.969 for a perfect
        generator and many images.
    precision : float
        Share of the samples within the ball of any real vector.
    recall : float
        Share of the real vectors within the ball of any sample.
    """

    density: float
    coverage: float
    precision: float
    recall: float


def manifolds(samples: ArrayLike, real: ArrayLike) -> Manifolds:
    r"""Return density, coverage, precision and recall of samples.

    With :math:`B(x)` the ball about x that reaches to its k-th nearest neighbour of the same set,
    k = 5, N real vectors x and M samples y:

    .. math::
        \mathrm{density} = \frac{1}{kM} \sum_j \sum_i 1[y_j \in B(x_i)], \qquad
        \mathrm{coverage} = \frac1N \sum_i 1[\exists j: y_j \in B(x_i)].

    M. F. Naeem et al., ICML 2020, section 3; precision and recall after T. Kynkäänniemi et al.,
    NeurIPS 2019, section 2.

    Parameters
    ----------
    samples : (M, ...) array_like
        Feature vectors or images, of which all values are taken alike.
    real : (N, ...) array_like

    Raises
    ------
    ImageError
        If a set has 5 members or fewer, or they are of different sizes.

    Notes
    -----
    Wrong where the sets are of different sizes by much: coverage grows with M. An outlier among
    the real vectors has a large ball, which raises precision; among samples, recall.
    """
    y, x = vectors(samples, least=_K + 1), vectors(real, least=_K + 1)
    between = distances(x, y)
    real_radius, sample_radius = (np.sort(distances(s, s), axis=1)[:, _K] for s in (x, y))
    in_real, in_sample = between < real_radius[:, None], between < sample_radius
    return Manifolds(
        density=float(in_real.sum() / (_K * len(y))),
        coverage=float(in_real.any(axis=1).mean()),
        precision=float(in_real.any(axis=0).mean()),
        recall=float(in_sample.any(axis=1).mean()),
    )


def nearest_distance(samples: ArrayLike, real: ArrayLike | None = None) -> Spread:
    """Return how far samples are from the nearest of a set, in Euclidean distance.

    Images are vectors too; then it is the distance of pixels. To be read beside the same of
    held-out real images: samples that are much nearer are copies, those that are farther are not
    of the data.

    Parameters
    ----------
    samples : (M, ...) array_like
        Feature vectors or images.
    real : (N, ...) array_like, optional
        The set; None is the samples themselves, each without itself.

    Raises
    ------
    ImageError
        If a set is empty or they are of different sizes.
    """
    y = vectors(samples, least=1 if real is not None else 2)
    if real is not None:
        return Spread.of(distances(y, vectors(real, least=1)).min(axis=1))
    return Spread.of(nearest_others(y))


def repeated(samples: ArrayLike, real: ArrayLike) -> float:
    """Return the share of samples that repeat another one.

    A sample is repeated if its nearest neighbour among the samples is nearer than all but 1 % of
    real vectors are to theirs.

    Parameters
    ----------
    samples, real : (n, D) array_like
        Feature vectors (or images), equally many.

    Returns
    -------
    float
        1 for a collapsed generator. For a perfect one of 1,000 images 0.012 on average, more of
        fewer (0.019 of 200), since the 1 % quantile of few is uncertain.

    Raises
    ------
    ImageError
        If a set has fewer than two members or they are of different sizes.

    Notes
    -----
    Wrong for sets of different numbers: neighbours are nearer in larger sets. Wrong, too, where
    more than 1 % of the real vectors are twins of others, which leaves nothing nearer: 0 then.
    """
    y, x = vectors(samples, least=2), vectors(real, least=2)
    distances(y[:1], x[:1])  # of one kind
    return float((nearest_others(y) < np.quantile(nearest_others(x), _RARE)).mean())


def nearest_others(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of each vector to its nearest neighbour in the same set, (n, D) to (n,).

    A twin is at distance zero.
    """
    within = distances(x, x)
    np.fill_diagonal(within, np.inf)
    return np.asarray(within.min(axis=1))


def distances(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Euclidean distances, (N, D) and (M, D) to (N, M)."""
    if x.shape[1] != y.shape[1]:
        raise ImageError(
            f"vectors of {x.shape[1]} and of {y.shape[1]} numbers",
            expected="both sets of one kind",
            why="distances between them are taken",
            fix="crop or thin the images alike, or use one feature network for both",
        )
    return np.asarray(cdist(x, y))


def vectors(values: ArrayLike, *, least: int) -> NDArray[np.float64]:
    """Return a set as (n, D) float64, once it is finite and has `least` members.

    Raises
    ------
    ImageError
    """
    array = np.asarray(values, np.float64)
    if array.ndim < 2 or len(array) < least or not np.isfinite(array).all():
        finite = array.size == 0 or np.isfinite(array).all()
        raise ImageError(
            f"a set of shape {array.shape}{'' if finite else ' with NaN or infinite values'}",
            expected=f"{least} or more finite vectors or images",
            why="each is compared with the others",
            fix="give more images, and find out which step made values that are not finite",
        )
    return array.reshape(len(array), -1)
