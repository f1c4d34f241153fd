"""The Fréchet distance between sets, in our own features and in those of Inception."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emprior.diversity.neighbours import distances, vectors
from emprior.errors import ImageError, import_extra

PER_DIMENSION = 10
"""Images that a set must have for each feature, or its covariance is noise."""

INCEPTION = "EMPRIOR_INCEPTION"
"""The environment variable that names the weights of Inception."""

_LAYERS = (2048, 768, 192, 64)  # features of Inception, deepest first
_BATCH = 64


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
    metric = _metric(_as_given(x.shape[1]))
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


@dataclass(frozen=True)
class Inception:
    """The Fréchet distance in features of Inception.

    Parameters
    ----------
    distance, floor : float or None
        Of the samples and of other real images, each from the real ones; None if not measured.
    dimension : int or None
        Features of the layer that was taken.
    note : str
        How it was measured, or why it was not.
    """

    distance: float | None
    floor: float | None
    dimension: int | None
    note: str


def inception_distance(
    samples: NDArray[np.floating],
    other: NDArray[np.floating],
    real: NDArray[np.floating],
    weights: str | Path | None = None,
) -> Inception:
    """Return the Fréchet distance in Inception's features if its weights are there.

    Nothing is downloaded. Of the layers of 2048, 768, 192 and 64 features the deepest is taken that
    has ten images for each; only 2048 is what others call FID.

    Parameters
    ----------
    samples, other, real : (n, C, H, W) ndarray
        Within 0 to 1, and clipped to it; grey images are given three times.
    weights : path, optional
        The file ``pt_inception-2015-12-05-6726825d.pth``; else what ``EMPRIOR_INCEPTION`` names.
        torch-fidelity opens it, by PyTorch's loader for tensors alone.

    Returns
    -------
    Inception
        Without numbers where there are no weights, no torch-fidelity or too few images.
    """
    path = weights or os.environ.get(INCEPTION)
    number = min(len(samples), len(other), len(real))
    layers = [layer for layer in _LAYERS if number >= PER_DIMENSION * layer]
    if not path:
        return _without(f"no weights of Inception were given ({INCEPTION} names their file)")
    if not Path(path).expanduser().is_file():
        return _without(f"no weights of Inception at {path}")
    if find_spec("torch_fidelity") is None:
        return _without("torch-fidelity, which holds the Inception network, is not installed")
    if not layers:
        return _without(f"{number} images are too few for 64 features, the fewest of Inception")
    metric = _metric(
        layers[0],
        reset_real_features=False,
        normalize=True,
        feature_extractor_weights_path=str(Path(path).expanduser()),
    )
    _show(metric, real, is_real=True)
    found = []
    for images in (samples, other):
        _show(metric, images, is_real=False)
        found.append(float(metric.compute()))
        metric.reset()
    return Inception(found[0], found[1], layers[0], f"{layers[0]} features, {number} images")


def _without(reason: str) -> Inception:
    return Inception(None, None, None, reason)


def _show(metric: Any, images: NDArray[np.floating], *, is_real: bool) -> None:
    import torch

    for start in range(0, len(images), _BATCH):
        batch = np.clip(images[start : start + _BATCH], 0, 1).astype(np.float32)
        coloured = np.repeat(batch, 3, axis=1) if batch.shape[1] == 1 else batch
        metric.update(torch.from_numpy(coloured), real=is_real)


def _metric(feature: Any, **settings: Any) -> Any:
    fid = import_extra("torchmetrics.image.fid", "train", "Fréchet distances")
    return fid.FrechetInceptionDistance(feature, **settings)


def _as_given(dimension: int) -> Any:
    """Return a network for torchmetrics whose images are features already."""
    from torch import nn

    network = nn.Identity()
    network.num_features = dimension  # type: ignore[assignment]
    return network
