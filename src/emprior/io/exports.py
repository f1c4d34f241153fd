"""What exporting to a picture does to a micrograph: colours that are grey, labels burnt in."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emprior.errors import EmpriorWarning, ImageError
from emprior.io.signal import Signal


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


def warn_of_labels(signal: Signal) -> None:
    """Warn of 8-bit pixels with a patch of one exact value, as labels and scale bars are."""
    if signal.data.dtype != np.uint8:
        return
    _, first = next(signal.frames())
    area = _flat_patches(first)
    if area:
        assert signal.path is not None
        warnings.warn(
            f"{signal.path.name}: {area} pixels of the 8-bit image stand in patches of one exact "
            "value: a label or scale bar burnt in, or saturation. They are denoised like the "
            "rest, and mislead the noise estimate; crop them, or export the raw data",
            EmpriorWarning,
            stacklevel=3,
        )


def _flat_patches(frame: NDArray[Any]) -> int:
    """Count the pixels about which 3 × 21 pixels have one value.

    Wrong when noise is absent (simulations, filtered images), or so weak that most pixels hold no
    electron: below 0.2 electrons a pixel such patches come by chance.
    """
    from scipy.ndimage import maximum_filter, minimum_filter

    if frame.shape[0] < 3 or frame.shape[1] < 21:
        return 0
    flat = maximum_filter(frame, (3, 21)) == minimum_filter(frame, (3, 21))
    return int(np.count_nonzero(flat[1:-1, 10:-10]))
