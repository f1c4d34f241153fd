"""How far the prior goes: an ordered switch, so that each part's gain can be measured."""

from __future__ import annotations

from typing import Literal, get_args

from emprior.errors import OptionError

Depth = Literal["encoder", "inversion", "residual", "mean"]

DEPTHS: tuple[Depth, ...] = get_args(Depth)
"""Each does what those before it do, and more:

encoder
    The image of what the encoder sees at first sight; no search.
inversion
    The image that best explains the data, found from there.
residual
    What that leaves unexplained and cannot be noise is added (`residual.explain`).
mean
    The mean over images with and without the columns that may not be there (`presence.draws`).
"""

DEEPEST = DEPTHS[-1]


def reaches(depth: str, part: str) -> bool:
    """Return whether a prior of some depth does a part of its work.

    Parameters
    ----------
    depth, part : str
        Of `DEPTHS`.

    Raises
    ------
    OptionError
        If the depth is none of them.
    """
    if depth not in DEPTHS:
        raise OptionError(
            f"a depth of {depth!r}",
            expected=f"one of {', '.join(DEPTHS)}",
            why="each names how far the prior goes, the last one farthest",
            fix="correct the name, or leave it out",
        )
    return DEPTHS.index(depth) >= DEPTHS.index(part)
