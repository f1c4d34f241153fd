"""Everything that is measured of a set of generated images, beside the same of real ones."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emprior.diversity.birthday import Birthday, birthday
from emprior.diversity.frechet import PER_DIMENSION, check_number, frechet_distance
from emprior.diversity.likelihood import log_likelihood
from emprior.diversity.neighbours import Manifolds, Spread, manifolds, nearest_distance, repeated
from emprior.diversity.pairs import pair_similarity
from emprior.errors import ImageError
from emprior.files import expanded

if TYPE_CHECKING:
    from torch import nn

_BATCH = 128


INCEPTION = "EMPRIOR_INCEPTION"
"""The environment variable that names the weights of Inception."""


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


@dataclass(frozen=True)
class Marks:
    """What is measured of one set against a set of real images.

    Parameters
    ----------
    frechet : float
        See `frechet_distance`.
    manifolds : Manifolds
        Density, coverage, precision, recall.
    to_real, among_themselves : Spread
        Distances of each feature vector to the nearest real one, and to the nearest of its own set.
    repeated : float
        Share of the set; see `repeated`.
    pair_similarity : Spread
        Of random pairs of the set; see `pair_similarity`.
    birthday : Birthday
    log_likelihood : float
        Of the real images with the set as centres [nats per feature vector].
    """

    frechet: float
    manifolds: Manifolds
    to_real: Spread
    among_themselves: Spread
    repeated: float
    pair_similarity: Spread
    birthday: Birthday
    log_likelihood: float


@dataclass(frozen=True)
class Diversity:
    """Marks of generated images, and of other real ones: as good as it gets.

    Parameters
    ----------
    images : int
        In each of the sets that are compared.
    dimension : int
        Features of each.
    samples, held_out : Marks
        Of the generated images, and of other real images, against the same real ones.
    inception : Inception
    """

    images: int
    dimension: int
    samples: Marks
    held_out: Marks
    inception: Inception

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)


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
        See `emprior.diversity.inception`; else what ``EMPRIOR_INCEPTION`` names.

    Returns
    -------
    Inception
        Without numbers where there are no weights, too few images, or neither grey nor colour.

    Raises
    ------
    WeightsError
        If the file holds other weights.
    """
    path = weights or os.environ.get(INCEPTION)
    if not path:
        return _without(f"no weights of Inception were given ({INCEPTION} names their file)")
    path = expanded(path)
    if not path.is_file():
        return _without(f"no weights of Inception at {path}")
    if real.shape[1] not in (1, 3):
        return _without(f"images of {real.shape[1]} channels, where Inception sees colours")
    from emprior.diversity.inception import LAYERS, load_inception

    number = min(len(samples), len(other), len(real))
    layers = [layer for layer in LAYERS if number >= PER_DIMENSION * layer]
    if not layers:
        return _without(f"{number} images are too few for the {LAYERS[-1]} features of a layer")
    network = load_inception(path, layers[0])
    generated, held_out, known = (
        embed(network, np.clip(images, 0, 1).repeat(3 // images.shape[1], axis=1))
        for images in (samples, other, real)
    )
    return Inception(
        frechet_distance(generated, known),
        frechet_distance(held_out, known),
        layers[0],
        f"{layers[0]} features, {number} images",
    )


def _without(reason: str) -> Inception:
    return Inception(None, None, None, reason)


def measure(
    samples: ArrayLike,
    real: ArrayLike,
    features: nn.Module,
    rng: np.random.Generator,
    *,
    held_out: ArrayLike | None = None,
    inception: str | Path | None = None,
) -> Diversity:
    """Measure the quality and diversity of generated images.

    Equally many images of each set are compared, drawn at random, since most marks depend on their
    number.

    Parameters
    ----------
    samples : (n, C, H, W) or (n, H, W) array_like
        Generated images, on the clean scale.
    real : array_like
        Real ones of the same size, best those that the generator was trained on: then distances to
        them tell of copies.
    features : Module
        From (n, C, H, W) to (n, D), with D as ``num_features``, such as
        `emprior.features.FeatureNet`.
    rng : numpy.random.Generator
    held_out : array_like, optional
        Other real images, best of structures that the generator has not seen. None: a random half
        of `real`, the other half of which is then compared with.
    inception : path, optional
        See `inception_distance`.

    Raises
    ------
    ImageError
        If the sets are of different sizes, not finite, or of fewer than ten images for a feature
        (twice that of real ones without held-out ones).
    MissingExtraError
        If torchmetrics is not installed.

    Notes
    -----
    Wrong about what the features do not see. Held-out images that show the same structures as real
    ones at other optics, as halves of one data set may, are nearer to them than new structures.
    """
    generated, known = _images(samples), _images(real)
    if held_out is None:
        order = rng.permutation(len(known))
        other, known = known[order[: len(known) // 2]], known[order[len(known) // 2 :]]
    else:
        other = _images(held_out)
    if len({images.shape[1:] for images in (generated, known, other)}) > 1:
        raise ImageError(
            f"samples of shape {generated.shape[1:]}, real images of {known.shape[1:]}, "
            f"held-out ones of {other.shape[1:]}",
            expected="images of one shape",
            why="the features of an image depend on its size",
            fix="cut and thin the real images as the generator's training did",
        )
    number = min(map(len, (generated, known, other)))
    dimension = int(features.num_features)  # type: ignore[arg-type]
    check_number(number, dimension)
    generated, known, other = (
        images[rng.permutation(len(images))[:number]] for images in (generated, known, other)
    )
    real_features = embed(features, known)
    seed = int(rng.integers(2**63))  # the same for both: chance makes no difference between them
    marks = [
        _marks(images, embed(features, images), real_features, np.random.default_rng(seed))
        for images in (generated, other)
    ]
    return Diversity(
        images=number,
        dimension=dimension,
        samples=marks[0],
        held_out=marks[1],
        inception=inception_distance(generated, other, known, inception),
    )


def _marks(
    images: NDArray[np.float32],
    features: NDArray[np.float64],
    real: NDArray[np.float64],
    rng: np.random.Generator,
) -> Marks:
    pairs, orders, third = rng.spawn(3)
    return Marks(
        frechet=frechet_distance(features, real),
        manifolds=manifolds(features, real),
        to_real=nearest_distance(features, real),
        among_themselves=nearest_distance(features),
        repeated=repeated(features, real),
        pair_similarity=pair_similarity(images, pairs),
        birthday=birthday(features, real, orders),
        log_likelihood=log_likelihood(features, real, third),
    )


def embed(features: nn.Module, images: ArrayLike) -> NDArray[np.float64]:
    """Return the features of images, (n, C, H, W) or (n, H, W) to (n, D), in batches.

    Parameters
    ----------
    features : Module
        It is put into eval mode.
    images : array_like

    Raises
    ------
    ImageError
        If the images are none, not finite, or not for this network.
    """
    import torch

    checked = _images(images)
    place = next(features.parameters(), torch.empty(0)).device
    features.eval()
    with torch.no_grad():
        found = [
            features(torch.from_numpy(checked[i : i + _BATCH]).to(place)).cpu().numpy()
            for i in range(0, len(checked), _BATCH)
        ]
    return np.concatenate(found).astype(np.float64)


def _images(images: ArrayLike) -> NDArray[np.float32]:
    """Return a set of images as finite (n, C, H, W) float32."""
    array = np.ascontiguousarray(images, dtype=np.float32)
    if array.ndim not in (3, 4) or not array.size or not np.isfinite(array).all():
        raise ImageError(
            f"a set of images of shape {array.shape}"
            + ("" if np.isfinite(array).all() else ", some NaN or infinite"),
            expected="finite pixels, (n, C, H, W) or (n, H, W)",
            why="sets of images are compared",
            fix="stack the images along a first axis",
        )
    return array[:, None] if array.ndim == 3 else array
