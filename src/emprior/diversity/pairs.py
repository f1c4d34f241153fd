"""How alike two images of a set are."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from emprior.diversity.neighbours import Spread
from emprior.errors import ImageError, import_extra

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first
_WINDOW = 11


def pair_similarity(
    images: NDArray[np.floating], rng: np.random.Generator, *, pairs: int = 200
) -> Spread:
    """Return the multi-scale structural similarity between random pairs of a set, of range 1.

    Z. Wang et al., Asilomar 2003, eq. (7), as torchmetrics has it, with as many scales as the
    images carry windows of 11 × 11 pixels in it: five from 176 pixels a side, four from 99, three
    from 44, two from 22 and one, plain SSIM, below. Their weights are scaled to sum to 1.

    Parameters
    ----------
    images : (n, C, H, W) ndarray
    rng : numpy.random.Generator
        Chooses the pairs, never an image with itself.
    pairs : int

    Raises
    ------
    ImageError
        If there are fewer than two images or they have fewer than 11 pixels a side.
    MissingExtraError
        If torchmetrics is not installed.

    Notes
    -----
    High for sets of one image, which Odena et al. 2017 used to find collapse; also for flat
    images. Compare with real images of the same size alone.
    """
    import torch

    metrics = import_extra("torchmetrics.functional.image", "train", "comparing pairs of images")
    side = min(images.shape[-2:])
    if len(images) < 2 or side < _WINDOW:
        raise ImageError(
            f"a set of shape {images.shape}",
            expected="two images or more of 11 × 11 pixels or more",
            why="pairs are compared in windows of that size",
            fix="give more or larger images",
        )
    scales = 1 if side < 2 * _WINDOW else min(1 + math.isqrt(side // _WINDOW), len(_WEIGHTS))
    weights = np.array(_WEIGHTS[:scales]) / sum(_WEIGHTS[:scales])
    first = rng.integers(len(images), size=pairs)
    second = (first + rng.integers(1, len(images), size=pairs)) % len(images)
    found = metrics.multiscale_structural_similarity_index_measure(
        *(torch.from_numpy(np.ascontiguousarray(images[i], np.float32)) for i in (first, second)),
        data_range=1.0,
        betas=tuple(float(w) for w in weights),
        kernel_size=_WINDOW,
        reduction="none",
    )
    return Spread.of(found.numpy())
