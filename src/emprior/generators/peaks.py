"""Columns from density maps: local maxima, and of those too near each other the higher."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def peaks(maps: Tensor, threshold: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Find local maxima, to a fraction of a pixel by a parabola through the logarithm.

    Parameters
    ----------
    maps : (E, H, W) Tensor
    threshold : float

    Returns
    -------
    rows, columns, element, height : (M,) Tensor
    """
    highest = F.max_pool2d(maps[None], 5, 1, 2)[0]
    inside = torch.zeros_like(maps, dtype=torch.bool)
    inside[:, 2:-2, 2:-2] = True
    e, r, c = torch.nonzero((maps == highest) & (maps > threshold) & inside, as_tuple=True)
    log = maps.clamp(min=1e-3).log()

    def offset(before: Tensor, at: Tensor, after: Tensor) -> Tensor:
        bend = (before - 2 * at + after).clamp(max=-1e-6)
        return ((before - after) / (2 * bend)).clamp(-0.6, 0.6)

    rows = r + offset(log[e, r - 1, c], log[e, r, c], log[e, r + 1, c])
    columns = c + offset(log[e, r, c - 1], log[e, r, c], log[e, r, c + 1])
    return rows, columns, e, maps[e, r, c]


def strongest(points: Tensor, element: Tensor, height: Tensor, nearest: Tensor) -> Tensor:
    """Choose peaks of which none has a higher one of its element near it.

    Where a frame leaves two places open for a whole row of columns, the maps show both.

    Parameters
    ----------
    points : (M, 2) Tensor
    element : (M,) Tensor of int
    height : (M,) Tensor
    nearest : (M,) Tensor
        Least distance from others of the element.

    Returns
    -------
    (K,) Tensor of int
    """
    crowded = (torch.cdist(points, points) < nearest) & (element[:, None] == element)
    kept = torch.zeros_like(element, dtype=torch.bool)
    for i in height.argsort(descending=True).tolist():
        kept[i] = not bool((crowded[i] & kept).any())
    return kept.nonzero()[:, 0]
