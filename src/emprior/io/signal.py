"""A signal: frames of one file, the axes they stand on, and what else the file says."""

from __future__ import annotations

import dataclasses
import math
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emprior.errors import FileError, ImageError, OptionError

_LENGTHS = {
    1e-2: "pm picometer picometre",
    1.0: "å a ang angstrom angstroms ångström ångstrom",
    1e1: "nm nanometer nanometre nanometers nanometres",
    1e4: "μm um micron microns micrometer micrometre micrometers micrometres",
    1e7: "mm",
    1e8: "cm",
    1e10: "m meter metre",
}
_ANGSTROMS = {name: size for size, names in _LENGTHS.items() for name in names.split()}
SQUARE = 0.01  # relative difference of scales up to which pixels count as square
_NO_UNITS = {"", "none", "px", "pixel", "pixels", "undefined", "t.undefined"}


def _plain_unit(units: str | None) -> str:
    # Files in circulation write "n_m" (Berkeley EMD), "\u00B5m" in ASCII (ImageJ), "<undefined>",
    # the Å of Kelvin's sign block, and capitals.
    text = str(units or "").replace("\\u00B5", "µ").replace("\\u00C5", "Å")
    text = unicodedata.normalize("NFKC", text).strip(" []<>").casefold()
    return text.replace("_", "")


def angstroms(length: float, units: str | None) -> float | None:
    """Convert a length to Å; None where the units are missing or no length.

    Reciprocal units (1/nm), angles and pixels give None: such an axis has no pixel size in real
    space.
    """
    size = _ANGSTROMS.get(_plain_unit(units))
    return None if size is None else float(length) * size


@dataclass(frozen=True)
class Axis:
    """One axis of an array: evenly spaced, ``offset + scale * index`` in ``units``.

    Parameters
    ----------
    name : str
    size : int
        Number of samples.
    scale, offset : float
    units : str or None
        As the file writes it; `angstroms` converts.
    navigate : bool
        True for axes that count frames, False for the two axes of an image.
    values : tuple of float, optional
        The positions themselves, where they are not evenly spaced (a focal series, say).
    """

    name: str
    size: int
    scale: float = 1.0
    offset: float = 0.0
    units: str | None = None
    navigate: bool = False
    values: tuple[float, ...] | None = None

    @property
    def is_real_space(self) -> bool:
        """False where units are given that are no length."""
        unit = _plain_unit(self.units)
        return unit in _ANGSTROMS or unit in _NO_UNITS


@dataclass(frozen=True, eq=False)
class Signal:
    """The frames of one file with their axes and metadata.

    Parameters
    ----------
    data : (..., H, W) array
        Real numbers in the file's own units and type: a NumPy array, a memory map or a dask array.
    axes : sequence of Axis
        One for each axis of the data, in order; the last two are the image's.
    metadata, original_metadata : mapping
        HyperSpy's two trees: what is understood in common terms, and what the file says.
    path : Path, optional
        Where it was read from.

    Raises
    ------
    ImageError
        If the data have fewer than two axes, no pixels, or no real numbers.
    """

    data: Any
    axes: tuple[Axis, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    original_metadata: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None

    def __post_init__(self) -> None:
        where = f" in {self.path.name}" if self.path else ""
        if self.data.dtype.kind not in "buif":
            raise ImageError(
                f"pixels of type {self.data.dtype}{where}",
                expected="real numbers: integer, boolean or floating point",
                why="a micrograph is a map of intensities; complex waves, objects and text have "
                "no noise model here",
                fix="save the intensity (abs(wave)**2) or the real part you mean",
            )
        if self.data.ndim < 2:
            raise ImageError(
                f"an array of shape {self.data.shape}{where}",
                expected="an image (H, W) or frames (..., H, W)",
                why="a profile or spectrum is no micrograph",
                fix="check that the right file and data set were given",
            )
        if 0 in self.data.shape:
            raise ImageError(
                f"an array of shape {self.data.shape}{where}, which holds no pixel",
                expected="at least one frame",
                why="there is nothing to denoise",
                fix="check that the recording was saved completely",
            )
        object.__setattr__(self, "axes", tuple(self.axes))
        if tuple(axis.size for axis in self.axes) != tuple(self.data.shape):
            raise ImageError(
                f"axes of {[axis.size for axis in self.axes]} samples for an array of shape "
                f"{list(self.data.shape)}{where}",
                expected="one axis of equal size for each dimension",
                why="frames and scale are taken from the axes",
                fix="check that the file was saved completely",
            )

    @classmethod
    def from_array(
        cls, data: Any, pixel_size: float | None = None, *, path: Path | None = None
    ) -> Signal:
        """Put axes (frame, …, y, x) on a bare array; ``pixel_size`` in Å, None where unknown."""
        n = data.ndim
        names = [f"axis {i}" for i in range(n - 3)] + ["frame", "y", "x"][max(3 - n, 0) :]
        scale, units = (1.0, None) if pixel_size is None else (float(pixel_size), "Å")
        axes = tuple(
            Axis(name, size, navigate=True)
            if i < n - 2
            else Axis(name, size, scale=scale, units=units)
            for i, (name, size) in enumerate(zip(names, data.shape, strict=True))
        )
        return cls(data, axes, path=path)

    def with_data(self, data: Any) -> Signal:
        """Return the same signal, calibration and metadata with other pixels of equal shape."""
        return dataclasses.replace(self, data=data)

    @property
    def title(self) -> str:
        """``metadata.General.title``, or an empty string."""
        return str((self.metadata.get("General") or {}).get("title") or "")

    @property
    def provenance(self) -> Mapping[str, Any] | None:
        """What emprior has noted in a file it wrote (``metadata.emprior``); None otherwise."""
        return self.metadata.get("emprior")

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        H, W = self.data.shape[-2:]
        return int(H), int(W)

    @property
    def frame_count(self) -> int:
        """Number of frames."""
        return math.prod(self.data.shape[:-2])

    @property
    def pixel_size(self) -> float | None:
        """Distance between pixels in Å, or None where the file does not say.

        Scales along y and x that differ by up to 1 % are averaged.

        Raises
        ------
        ImageError
            If they differ by more.
        """
        sizes = self.pixel_sizes
        if sizes is None:
            return None
        y, x = sizes
        if abs(y - x) > SQUARE * max(y, x):
            raise ImageError(
                f"pixels of {y:.4g} Å along y and {x:.4g} Å along x",
                expected="square pixels, to within 1 %",
                why="priors and noise are modelled on a square grid",
                fix="resample one axis; or, if the file is wrong, give the pixel size yourself",
            )
        return (y + x) / 2

    @property
    def pixel_sizes(self) -> tuple[float, float] | None:
        """Distance between pixels along y and x in Å, or None where the file does not say."""
        y, x = (angstroms(abs(axis.scale), axis.units) for axis in self.axes[-2:])
        if y is None or x is None or not (0 < y < math.inf and 0 < x < math.inf):
            return None
        return y, x

    def frame(self, index: tuple[int, ...]) -> NDArray[Any]:
        """Return the pixels (H, W) of one frame, in the machine's byte order.

        Raises
        ------
        FileError
            If the part of the file that holds it cannot be read.
        """
        try:
            frame = np.asarray(self.data[index])
        except Exception as error:
            raise FileError(
                f"frame {list(index)} of {self.path or 'the signal'} cannot be read",
                expected="a complete file",
                why=f"the reader says: {error}",
                fix="copy the file again from its source",
            ) from error
        return frame.astype(frame.dtype.newbyteorder("="), copy=False)

    def frames(self) -> Iterator[tuple[tuple[int, ...], NDArray[Any]]]:
        """Yield the index and the pixels of each frame, loading one at a time; see `frame`."""
        for index in np.ndindex(*self.data.shape[:-2]):
            yield index, self.frame(index)


def check_movie(signal: Signal) -> None:
    """Refuse what is no movie.

    Raises
    ------
    OptionError
        If it has no two frames, one after the other.
    """
    if signal.data.ndim < 3 or signal.data.shape[-3] < 2:
        raise OptionError(
            f"{signal.path} with --movie: an array of shape {tuple(signal.data.shape)}",
            expected="two frames or more, (..., time, H, W)",
            why="neighbouring frames show the same object, with noise of their own",
            fix="leave out --movie, or put the frames into one file in order of time",
        )
