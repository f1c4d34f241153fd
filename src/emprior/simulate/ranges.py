"""Ranges in recipes: a pair of numbers that values are drawn from uniformly."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

Range = tuple[float, float]


def within(lowest: float, highest: float) -> AfterValidator:
    """Return a validator that lets a range be [low, high] within limits, and names the nearest."""

    def check(pair: Range) -> Range:
        low, high = pair
        if not lowest <= low <= high <= highest:
            nearest = [min(max(value, lowest), highest) for value in sorted(pair)]
            raise ValueError(
                f"a range [low, high] within {lowest:g} to {highest:g}, "
                f"of which [{nearest[0]:g}, {nearest[1]:g}] is nearest"
            )
        return pair

    return AfterValidator(check)


Fraction = Annotated[Range, within(0, 1)]
Probability = Annotated[float, Field(ge=0, le=1)]
