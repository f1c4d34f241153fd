"""The birthday test: how many different images a generator can make."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from emprior.diversity.neighbours import distances, nearest_others, vectors

_QUANTILE = 0.05
_ORDERS = 200


@dataclass(frozen=True)
class Birthday:
    """When duplicates turn up.

    Parameters
    ----------
    threshold : float
        Distance below which two vectors are duplicates.
    pairs : int
        Duplicates among all the samples.
    batch : int or None
        Smallest s such that s random samples hold duplicates with probability 1/2 or more; None
        where all the samples hold none.
    support : float or None
        s², about how many different images there are; None is more than the square of the samples.
    """

    threshold: float
    pairs: int
    batch: int | None
    support: float | None


def birthday(samples: ArrayLike, real: ArrayLike, rng: np.random.Generator) -> Birthday:
    """Test how large a batch holds near-duplicates.

    S. Arora, Y. Zhang, arXiv:1706.08224 (2017), section 2: where a batch of s holds duplicates with
    probability 1/2, the support of the distribution has about s² members. They judged duplicates by
    eye; here they are pairs nearer to each other than all but 5 % of real vectors are to their
    nearest neighbours.

    Parameters
    ----------
    samples, real : (n, D) array_like
        Feature vectors (or images). `real` calibrates.
    rng : numpy.random.Generator
        Draws 200 orders, in each of which the first duplicate is sought.

    Raises
    ------
    ImageError
        If a set has fewer than two members or they are of different sizes.

    Notes
    -----
    Wrong in absolute terms: it counts what the features tell apart, and held-out real images have
    duplicates too by this definition. Compare with their support. With few pairs it is uncertain by
    a factor of a few; above the square of the samples it says nothing. A few outliers in `real` do
    not matter, but twins in it (the same image twice) bring the threshold to zero.
    """
    y, x = vectors(samples, least=2), vectors(real, least=2)
    distances(y[:1], x[:1])  # of one kind
    threshold = float(np.quantile(nearest_others(x), _QUANTILE))
    first, second = np.nonzero(np.triu(distances(y, y) < threshold, k=1))
    if not len(first):
        return Birthday(threshold, 0, None, None)
    found = []
    for _ in range(_ORDERS):
        place = rng.permutation(len(y))
        found.append(1 + np.maximum(place[first], place[second]).min())
    batch = int(np.quantile(found, 0.5, method="inverted_cdf"))
    return Birthday(threshold, len(first), batch, float(batch**2))
