"""How a frame is turned: encoders see frames as they were trained on, up to a few degrees.

They were trained on either way up, so half a turn is none.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

_STEP, _FINE = 15.0, 5.0  # degrees


def clearest_turn(unclear: Callable[[float], float]) -> float:
    """Find the turn of a frame at which what an encoder sees is clearest.

    Parameters
    ----------
    unclear : callable
        Of the turn, clockwise [degrees]; infinite where nothing is seen.

    Returns
    -------
    float
        From 0 to 180; of equals the first, so that nothing is turned without a reason.

    Notes
    -----
    Wrong where a crystal looks alike at two turns and nothing else is seen of the specimen.
    """
    seen = {turn: unclear(turn) for turn in np.arange(0, 180, _STEP).tolist()}
    best = min(seen, key=lambda turn: seen[turn])
    least = seen[best]
    if best == 0 or math.isinf(least):
        return best
    below, above = unclear(best - _FINE), unclear(best + _FINE)
    bend = below - 2 * least + above
    if not (math.isfinite(bend) and bend > 0):
        return best
    return best + _FINE * float(np.clip(0.5 * (below - above) / bend, -1.0, 1.0))


def turning(angle: float) -> Tensor:
    """Return the matrix that takes steps (rows, columns) in a turned frame to steps in the frame.

    Parameters
    ----------
    angle : float
        Of the turn, clockwise [degrees].
    """
    turns = angle / 90
    if turns == round(turns):  # without rounding errors
        cosine, sine = [(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)][round(turns) % 4]
    else:
        cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return torch.tensor([[cosine, -sine], [sine, cosine]], dtype=torch.float64)


def turned(
    frame: Tensor, angle: float, shape: tuple[int, int] | None = None
) -> tuple[Tensor, Tensor]:
    """Turn a frame about its middle.

    Parameters
    ----------
    frame : (h, w) Tensor
    angle : float
        Clockwise [degrees].
    shape : tuple of int, optional
        Of the turned frame; all of the frame is in it where none is given.

    Returns
    -------
    frame, seen : (H, W) Tensor
        By cubic splines, and 1 where there is a frame, 0 elsewhere.
    """
    if angle == 0 and shape is None:
        return frame, torch.ones_like(frame)
    matrix = turning(angle).numpy()
    size = np.array(frame.shape)
    if shape is None:
        height, width = np.ceil(np.abs(matrix) @ size - 1e-6).astype(int).tolist()
        shape = height, width
    offset = (size - 1) / 2 - matrix @ ((np.array(shape) - 1) / 2)
    values = ndimage.affine_transform(
        frame.double().cpu().numpy(), matrix, offset, shape, order=3, mode="nearest"
    )
    where = np.einsum("ij,jhw->ihw", matrix, np.indices(shape)) + offset[:, None, None]
    seen = ((where > -0.51) & (where < size[:, None, None] - 0.49)).all(0)
    return torch.from_numpy(values * seen).to(frame), torch.from_numpy(seen).to(frame)
