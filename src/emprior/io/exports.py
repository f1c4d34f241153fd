"""What exporting to a picture does to a micrograph: colours that are grey."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from emprior.errors import EmpriorWarning, ImageError


def as_grey(data: Any, path: Path) -> Any:
    """Return RGB(A) pixels whose channels agree as one channel; other data as they are."""
    if data.dtype.names:  # RosettaSciIO holds colours as records
        channels = [np.asarray(data[name]) for name in data.dtype.names if name != "A"]
    elif data.ndim >= 3 and data.shape[-1] in (3, 4):  # no image has three columns
        channels = [np.asarray(data[..., i]) for i in range(3)]
    else:
        return data
    full = np.iinfo(channels[0].dtype).max if channels[0].dtype.kind in "ui" else 1.0
    spread = np.max(channels, axis=0).astype(float) - np.min(channels, axis=0)
    coloured = float(np.mean(spread > 0.008 * full)) if spread.size else 0.0
    if coloured > 0.01:
        raise ImageError(
            f"a coloured image in {path.name}: red, green and blue differ in {coloured:.0%} of "
            "its pixels",
            expected="one intensity for each pixel",
            why="colours are no electron counts; a colour map cannot be undone safely",
            fix="export the raw data, or grey levels, from the microscope's software",
        )
    warnings.warn(
        f"{path.name} holds colours that are grey"
        + (f" in all but {coloured:.2%} of the pixels" if coloured else "")
        + ": the first channel is taken; exported screenshots have lost counts and calibration",
        EmpriorWarning,
        stacklevel=5,
    )
    return channels[0]
