"""The Fréchet distance between two sets of features."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from emprior.diversity.neighbours import distances, vectors
from emprior.errors import ImageError, import_extra

PER_DIMENSION = 10
"""Images that a set must have for each feature, or its covariance is noise."""


def frechet_distance(samples: ArrayLike, real: ArrayLike) -> float:
    r"""Return the Fréchet distance between Gaussians fitted to two sets of features.

    .. math:: |m_1 - m_2|^2 + \mathrm{tr}\,(C_1 + C_2 - 2 (C_1 C_2)^{1/2})

    M. Heusel et al., NeurIPS 2017, eq. (6), as torchmetrics has it; a squared distance.

    Parameters
    ----------
    samples, real : (n, D) array_like
        Feature vectors, ten or more for each of the D features.

    Raises
    ------
    ImageError
        If a set is too small or they are of different sizes.
    MissingExtraError
        If torchmetrics is not installed.

    Notes
    -----
    Wrong between sets of different numbers: it is biased upwards, by about D²/n for like sets.
    Compare only distances of equally many images in the same features. Blind to all but means and
    covariances.
    """
    import torch

    y, x = vectors(samples, least=2), vectors(real, least=2)
    distances(y[:1], x[:1])  # of one kind
    check_number(min(len(y), len(x)), x.shape[1])
    fid = import_extra("torchmetrics.image.fid", "train", "Fréchet distances")
    metric = fid.FrechetInceptionDistance(_as_given(x.shape[1]))
    for features, is_real in ((x, True), (y, False)):
        metric.update(torch.from_numpy(features), real=is_real)
    return float(metric.compute())


def check_number(images: int, dimension: int) -> None:
    """Refuse sets too small for a covariance of their features.

    Raises
    ------
    ImageError
    """
    if images < PER_DIMENSION * dimension:
        raise ImageError(
            f"sets of {images} images for {dimension} features",
            expected=f"{PER_DIMENSION * dimension} or more in each, {PER_DIMENSION} for a feature",
            why="a covariance of fewer is noise, and the Fréchet distance would measure that",
            fix="give more images, or train a feature network of a smaller dimension",
        )


def _as_given(dimension: int) -> Any:
    """Return a network for torchmetrics whose images are features already."""
    from torch import nn

    network = nn.Identity()
    network.num_features = dimension  # type: ignore[assignment]
    return network
