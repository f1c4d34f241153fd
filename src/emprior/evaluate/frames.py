"""Clean images whose noisy versions are to be denoised: from simulated data sets and from files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emprior.datasets import Dataset
from emprior.errors import FileError, OptionError
from emprior.evaluate.structure import Known
from emprior.files import expanded
from emprior.grid import stretch
from emprior.io import read
from emprior.micrograph import Micrograph


@dataclass(frozen=True, eq=False)
class Frame:
    """A clean image that is not loaded yet.

    Attributes
    ----------
    name : str
        Unique among all frames of an evaluation.
    data : str
        Content hash of where it comes from.
    structure : str
        Frames of one structure are no independent samples.
    pixel_size : float
        [Å], before interpolation.
    load : callable
        Returns it with its pixel size; vacuum 0.45, never clipped.
    known : callable, optional
        Returns the specimen in it, where that is known.
    """

    name: str
    data: str
    structure: str
    pixel_size: float
    load: Callable[[], Micrograph]
    known: Callable[[], Known] | None = None

    @property
    def identity(self) -> tuple[str, str, float]:
        """What tells it from all other frames."""
        return self.name, self.data, self.pixel_size


def open_frames(
    path: str | Path,
    *,
    pixel_size: float | None = None,
    max_images: int | None = None,
    finest: float = 0.0489,
    crop: int | None = None,
) -> list[Frame]:
    """List the clean images of a data set or a file.

    Parameters
    ----------
    path : path
        A directory is a simulated data set, a file is read by `emprior.io`; ``~`` and
        ``$VARIABLES`` are expanded.
    pixel_size : float, optional
        [Å], of a file that does not say it.
    max_images : int, optional
        Take so many, evenly spread.
    finest : float
        Pixel size [Å]. An image on a coarser grid is interpolated to about this by a whole
        factor, which adds nothing to a band-limited image.
    crop : int, optional
        Side of the square cut from the middle, after interpolation.

    Raises
    ------
    FileError
        If there is nothing to read.
    OptionError
        If the pixel size is not known.
    """
    place = expand(path)
    frames = (
        _data_set(place, max_images, finest, crop)
        if place.is_dir()
        else _file(place, pixel_size, max_images)
    )
    return [
        replace(
            frame,
            load=lambda frame=frame: _prepare(frame.load(), finest, crop),  # type: ignore[misc]
        )
        for frame in frames
    ]


def interpolate(image: NDArray[np.floating], factor: int) -> NDArray[np.float32]:
    """Return a band-limited image on a grid finer by a whole factor, from its samples."""
    H, W = image.shape
    return stretch(image, (H * factor, W * factor)).astype(np.float32)


def expand(path: str | Path) -> Path:
    """Return a path with ``~`` and ``$VARIABLES`` replaced by what they stand for.

    Raises
    ------
    FileError
        If a variable is not set.
    """
    told = os.path.expandvars(path)
    if "$" in told:
        raise FileError(
            f"the path {path}",
            expected="variables of the environment that are set",
            why="$NAME stands for what the environment says, and it says nothing",
            fix="set the variable, or write the path out",
        )
    return expanded(told)


def _data_set(place: Path, most: int | None, finest: float, crop: int | None) -> list[Frame]:
    data = Dataset.open(place)

    def known(i: int) -> Known:
        factor, rows, columns = _part(data.shape, data.view(i).pixel_size, finest, crop)
        return Known.of(data, i, factor, (rows.start, columns.start))

    return [
        Frame(
            name=f"{place.name}/{i}",
            data=data.hash,
            structure=f"{place.name}/{data.structure_id(i)}",
            pixel_size=data.view(i).pixel_size,
            load=lambda i=i: Micrograph(data.image(i), data.view(i).pixel_size),  # type: ignore[misc]
            known=lambda i=i: known(i),  # type: ignore[misc]
        )
        for i in _spread(len(data), most)
    ]


def _file(place: Path, pixel_size: float | None, most: int | None) -> list[Frame]:
    signal = read(place)
    size = pixel_size or signal.pixel_size
    if size is None:
        raise OptionError(
            f"{place}, which states no pixel size",
            expected="the distance between its pixels",
            why="columns are matched by distances in Å, and the prior is brought to the scale",
            fix='write {path = "…", pixel_size = 0.0489} in the recipe',
        )
    with place.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    indices = list(np.ndindex(*signal.data.shape[:-2]))
    indices = [indices[i] for i in _spread(len(indices), most)]
    names = ["/".join([place.name, *map(str, index)]) for index in indices]
    return [
        Frame(
            name=name,
            data=content,
            structure=name,
            pixel_size=size,
            load=lambda index=index: Micrograph(np.asarray(signal.data[index]), size),  # type: ignore[misc]
        )
        for name, index in zip(names, indices, strict=True)
    ]


def _spread(count: int, most: int | None) -> list[int]:
    """Return at most so many of `count` indices, evenly spread from the first to the last."""
    if most is None or most >= count:
        return list(range(count))
    return np.linspace(0, count - 1, most).round().astype(int).tolist()


def _prepare(clean: Micrograph, finest: float, crop: int | None) -> Micrograph:
    """Interpolate, then cut the middle out."""
    assert clean.pixel_size is not None
    factor, rows, columns = _part(clean.shape, clean.pixel_size, finest, crop)
    image = interpolate(clean.image, factor) if factor > 1 else clean.image
    return Micrograph(image[rows, columns], clean.pixel_size / factor)


def _part(
    shape: tuple[int, int], pixel_size: float, finest: float, crop: int | None
) -> tuple[int, slice, slice]:
    """Return by what factor to interpolate, and then which rows and columns to keep."""
    factor = max(1, round(pixel_size / finest))
    lengths = [(n * factor, min(crop or n * factor, n * factor)) for n in shape]
    rows, columns = (slice((n - kept) // 2, (n - kept) // 2 + kept) for n, kept in lengths)
    return factor, rows, columns
