r"""Dark and gain references of a detector, and the seam between parts that lack them.

What a pixel records without electrons, d, and what electrons add to it, in proportion to g, turn
into a frame of one scale by :math:`(y - d)\,\bar g / g`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emprior.errors import ImageError, InputError, OptionError
from emprior.files import expanded

Floats = NDArray[np.floating]

_TWICE = 2.0  # times the largest step elsewhere, from which one in the middle is a seam
_AROUND = 2  # columns beside the seam that are left out of the comparison


@dataclass(frozen=True, eq=False)
class References:
    """What a detector records without electrons, and with equally many everywhere.

    Parameters
    ----------
    dark : (H, W) array_like or float
        Recorded without electrons, at the same exposure, in units of the frames.
    gain : (H, W) array_like, optional
        Recorded under even illumination, less its dark reference; only ratios of pixels count.
        Pixels where it is not positive tell nothing.

    Raises
    ------
    ImageError
        If one is no image or number, they are of two shapes, or most of the gain is not positive.

    Notes
    -----
    The mean of a hundred frames or so adds no noise that matters. A gain that stands for electrons
    lost rather than for their signal leaves noise that differs from pixel to pixel by as much.
    """

    dark: ArrayLike = 0.0
    gain: ArrayLike | None = None

    def __post_init__(self) -> None:
        dark = _checked("dark", self.dark)
        object.__setattr__(self, "dark", dark)
        if self.gain is None:
            return
        gain = _checked("gain", self.gain)
        if gain.ndim != 2 or (dark.ndim == 2 and dark.shape != gain.shape):
            raise ImageError(
                f"a gain reference of shape {gain.shape} beside a dark one of {dark.shape}",
                expected="two images (H, W) of one shape, or a number for the dark one",
                why="each pixel of a frame is corrected by its own",
                fix="take both from the same detector, unbinned and uncropped as the frames are",
            )
        if (positive := float(np.mean(gain > 0))) < 0.5:
            raise ImageError(
                f"a gain reference of which {positive:.0%} is positive",
                expected="positive values, but for dead pixels",
                why="frames are divided by it",
                fix="check that it is the gain and not the dark reference, less its own dark",
            )
        object.__setattr__(self, "gain", gain)

    def corrected(self, image: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Return a frame, (H, W), of one scale, and where it tells nothing.

        Raises
        ------
        ImageError
            If the frame has another shape than the references.
        """
        dark, gain = np.asarray(self.dark), None if self.gain is None else np.asarray(self.gain)
        for name, reference in (("dark", dark), ("gain", gain)):
            if reference is not None and reference.ndim and reference.shape != image.shape:
                raise ImageError(
                    f"a frame of shape {image.shape} with a {name} reference of {reference.shape}",
                    expected="one shape",
                    why="each pixel of the frame is corrected by its own",
                    fix="take references of the same detector, binned and cropped as the frame is",
                )
        result = image - dark
        if gain is None:
            return result.astype(image.dtype), np.zeros(image.shape, bool)
        dead = gain <= 0
        result = np.where(
            dead, result.mean(), result * (gain[~dead].mean() / np.where(dead, 1, gain))
        )
        return result.astype(image.dtype), dead

    def said(self) -> str:
        """Say what was done, in a sentence."""
        names = ["dark"] if np.any(self.dark) else []
        names += ["gain"] if self.gain is not None else []
        return f"corrected by the {' and '.join(names) or 'empty'} reference of the detector"


def read_references(dark: str | None, gain: str | None) -> References | None:
    """Read references as they are named on the command line; None where neither is.

    Parameters
    ----------
    dark : str, optional
        A number or a file. The frames of a file with several are averaged.
    gain : str, optional
        A file.

    Raises
    ------
    InputError
        If a file cannot be read, or they are no references.
    """
    if dark is None and gain is None:
        return None
    level: Any = 0.0
    if dark is not None:
        try:
            level = float(dark)
        except ValueError:
            level = _mean_frame(dark)
    return References(level, None if gain is None else _mean_frame(gain))


def _mean_frame(path: str) -> Floats:
    from emprior.io import read

    signal = read(expanded(path))
    total = np.zeros(signal.frame_shape)
    for _, frame in signal.frames():
        total += frame
    return np.asarray(total / signal.frame_count)


def _checked(name: str, values: ArrayLike) -> Floats:
    found = np.asarray(values)
    number = found.dtype.kind in "buif" and found.ndim in (0, 2) and found.size > 0
    if not number or not np.isfinite(found).all():
        kind: type[InputError] = ImageError if found.ndim else OptionError
        raise kind(
            f"a {name} reference of shape {found.shape} and type {found.dtype}"
            + (" with values that are not finite" if number else ""),
            expected="an image (H, W) of finite real numbers"
            + (", or one number" if name == "dark" else ""),
            why="frames are corrected by it, pixel by pixel",
            fix="give the reference as it was recorded; 0 in the gain marks dead pixels",
        )
    return found.astype(np.float64)


def find_seams(image: Floats) -> tuple[str, ...]:
    """Say where the halves of a frame do not fit together, as of a camera read out in parts.

    The step between two columns (rows) that lie side by side, averaged along them, is at the middle
    twice as large as at any other place. Wherever the largest step may be, that is there by chance
    in fewer frames than one in as many as there are columns.

    Notes
    -----
    Steps are taken of third differences, which structure wider than a few pixels hardly has.
    """
    said = []
    for name, pixels in (("left and right", image), ("upper and lower", image.T)):
        steps = np.abs(np.diff(pixels.mean(0, dtype=np.float64), 3)) / 2
        middle = pixels.shape[1] // 2 - 2
        if middle < 8 * _AROUND:
            continue
        others = np.delete(steps, np.s_[middle - _AROUND : middle + _AROUND + 1])
        if steps[middle] > _TWICE * others.max():
            said.append(
                f"the {name} halves do not fit together: at the middle of the frame the level "
                f"steps by {steps[middle]:.3g}, elsewhere by {others.max():.3g} at most"
            )
    return tuple(said)
