"""What the scores of a discriminator cost each of the two networks."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits, relu

AdversarialLoss = Literal["logits", "sigmoid", "least-squares", "hinge"]


def discriminator_loss(
    kind: AdversarialLoss, on_real: Tensor, on_fake: Tensor, real_label: float
) -> Tensor:
    r"""Return the loss of the discriminator.

    ``logits``, ``sigmoid``: the cross-entropy of the paper's equation (3), where scores are
    logits; the second takes it after a Sigmoid, which saturates. ``least-squares``: equation (2)
    of Mao et al. (2017),

    .. math:: \tfrac12 E(D(x) - b)^2 + \tfrac12 E\,D(G(z))^2

    with b the label of real images. ``hinge``: Lim and Ye (2017),

    .. math:: E \max(0, 1 - D(x)) + E \max(0, 1 + D(G(z)))

    Parameters
    ----------
    kind : str
    on_real, on_fake : (n,) Tensor
        Scores D.
    real_label : float
        Of no effect on the hinge.
    """
    if kind == "hinge":
        return relu(1 - on_real).mean() + relu(1 + on_fake).mean()
    return _distance(kind, on_real, real_label) + _distance(kind, on_fake, 0)


def generator_loss(kind: AdversarialLoss, on_fake: Tensor) -> Tensor:
    """Return the loss of the generator: as if its images were real, or −E D(G(z)) for ``hinge``."""
    return -on_fake.mean() if kind == "hinge" else _distance(kind, on_fake, 1)


def belief(kind: AdversarialLoss, scores: Tensor) -> float:
    """Return the mean score, as a probability of being real where scores are logits."""
    return (scores.sigmoid() if kind in ("logits", "sigmoid") else scores).mean().item()


def _distance(kind: AdversarialLoss, scores: Tensor, label: float) -> Tensor:
    """Return how far scores are from a label."""
    target = torch.full_like(scores, label)
    if kind == "least-squares":
        return ((scores - target) ** 2).mean() / 2
    if kind == "sigmoid":
        return binary_cross_entropy(scores.sigmoid(), target)
    return binary_cross_entropy_with_logits(scores, target)
