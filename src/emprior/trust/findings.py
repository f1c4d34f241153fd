"""What tests find: one number of the whole image, or a place in it, each with its probability."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Region:
    """A place where the data contradict the denoised image.

    Parameters
    ----------
    row, column : float
        Its middle [pixels], pixel centres at integers.
    radius : float
        [pixels]
    kind : str
        What is wrong there with the denoised image.
    p : float
        Probability that a true image shows anything so improbable, anywhere and in any test.
    """

    row: float
    column: float
    radius: float
    kind: str
    p: float

    def __str__(self) -> str:
        return f"{self.kind} at row {self.row:.0f}, column {self.column:.0f} (p {self.p:.1g})"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Finding:
    """One test of the whole image.

    Parameters
    ----------
    name : str
    value : float or None
        What was measured; None where it could not be.
    expected : str
        What the true image would give.
    p : float
        Probability of a value so far off, in this or any other test, if the denoised image were
        the truth.
    says : str
        The outcome as a sentence without its full stop.
    regions : tuple of Region
        Where, if the test looks at places; those that may be improbable enough to be marked.
    """

    name: str
    value: float | None
    expected: str
    p: float
    says: str
    regions: tuple[Region, ...] = ()

    def among(self, count: int) -> Finding:
        """Return the same with its probabilities corrected for so many tests."""
        regions = tuple(
            dataclasses.replace(one, p=float(any_of(one.p, count))) for one in self.regions
        )
        return dataclasses.replace(self, p=float(any_of(self.p, count)), regions=regions)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; the regions are left to whoever joins them."""
        values = dataclasses.asdict(self)
        del values["regions"]
        return values


def any_of(p: Any, count: int) -> Any:
    """Return the probability that the smallest of `count` independent p-values is as small as p.

    .. math:: 1 - (1 - p)^{count}

    Z. Šidák, J. Am. Stat. Assoc. 62, 626 (1967); too large, never too small, where tests are
    positively dependent.
    """
    return -np.expm1(count * np.log1p(-np.clip(p, 0.0, 1 - 1e-16)))


def apart(*groups: Iterable[Region]) -> tuple[Region, ...]:
    """Return regions, the most improbable first, without those whose middle lies in a kept one.

    Of two regions at one place that of the earlier group is kept, within a group the less probable.
    """
    kept: list[Region] = []
    for group in groups:
        for one in sorted(group, key=lambda region: region.p):
            if all(np.hypot(one.row - k.row, one.column - k.column) > k.radius for k in kept):
                kept.append(one)
    return tuple(sorted(kept, key=lambda region: region.p))


def peaks(significance: NDArray[np.floating], least: float) -> list[tuple[int, int]]:
    """Return the highest pixel of each connected part of a map above a level, as (row, column)."""
    from scipy import ndimage

    parts, count = ndimage.label(significance > least, np.ones((3, 3)))
    if not count:
        return []
    places = ndimage.maximum_position(significance, parts, np.arange(1, count + 1))
    return [(int(row), int(column)) for row, column in places]
