"""Simulated micrographs on disk: clean images, the structures in them, and how they were taken.

A data set is a directory and a zarr (version 3) group. Each structure is a group in it, named by
its number, that holds ``images`` (K, H, W), ``positions`` (N, 3) and ``numbers`` (N,); its
attributes hold the optics and view of each image and every parameter that was drawn. The root's
attributes hold the manifest: recipe, versions, content hash.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from emprior.errors import FileError, OptionError, import_extra
from emprior.files import expanded
from emprior.specimen import Optics, Structure, View
from emprior.stacks import Crops, windows

FORMAT = 1
ROOT = "zarr.json"

Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class AtomsInImage:
    """Atoms where one image shows them.

    Attributes
    ----------
    rows, columns : (N,) ndarray
        [pixels], pixel centres at integers.
    depth : (N,) ndarray
        Above the exit plane [Å].
    numbers : (N,) ndarray
        Atomic numbers.
    """

    rows: Floats
    columns: Floats
    depth: Floats
    numbers: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ColumnsInImage:
    """Atomic columns where one image shows them: at the mean of their atoms.

    Attributes
    ----------
    rows, columns : (M,) ndarray
        [pixels], pixel centres at integers.
    numbers : (M,) ndarray
        Atomic numbers.
    counts : (M,) ndarray
        Atoms in each.
    """

    rows: Floats
    columns: Floats
    numbers: NDArray[np.uint8]
    counts: NDArray[np.intp]


def structure_name(number: int) -> str:
    """Return the name of a structure's group."""
    return f"{number:06d}"


def write_structure(
    directory: Path,
    images: Floats,
    structure: Structure,
    attributes: dict[str, Any],
    exposures: Sequence[dict[str, Any]],
) -> None:
    """Write one structure's group into an existing empty directory.

    Parameters
    ----------
    directory : Path
    images : (K, H, W) ndarray
        Stored in their own floating point type.
    structure : Structure
    attributes : dict
        Plain values that belong to the structure.
    exposures : sequence of dict
        For each image ``regime``, ``optics`` and ``view`` as plain values.
    """
    zarr = import_extra("zarr", "simulate", "writing data sets")
    group = zarr.open_group(
        store=directory,
        mode="w",
        zarr_format=3,
        attributes={**attributes, "cell": structure.cell.tolist(), "images": list(exposures)},
    )
    for name, array in (
        ("images", images),
        ("positions", structure.positions),
        ("numbers", structure.numbers),
    ):
        group.create_array(name, data=array, chunks=array.shape)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A finished data set, or some structures of one; open it with `Dataset.open`.

    Images are counted through all structures. Clean images have vacuum 0.45 and are never
    clipped.

    Parameters
    ----------
    directory : Path
    manifest : dict
    structures : tuple of int
        Numbers of the structures that belong to it.
    """

    directory: Path
    manifest: dict[str, Any]
    structures: tuple[int, ...]
    _groups: dict[int, Any] = field(default_factory=dict, repr=False)
    _held: dict[int, Structure] = field(default_factory=dict, repr=False)  # the last one read

    channels = 1
    shown = (0.2, 0.7)
    """Values shown as black and white, the same for all simulated images, to compare them."""

    @classmethod
    def open(cls, directory: str | Path) -> Dataset:
        """Open a data set for reading.

        Raises
        ------
        FileError
            If there is none, or it is unfinished.
        MissingExtraError
            If zarr is not installed.
        """
        import_extra("zarr", "train", "reading data sets")
        directory = expanded(directory)
        try:
            root = json.loads((directory / ROOT).read_text(encoding="utf-8"))
            manifest = root["attributes"]["emprior"]
            known = manifest["format"] == FORMAT
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FileError(
                f"no data set in {directory}",
                expected=f"a directory that `emprior simulate` wrote, with a {ROOT}",
                why="images and structures are read from it",
                fix="check the path, or make one: emprior simulate recipes/train.toml -o DIR",
            ) from error
        if not known:
            raise FileError(
                f"a data set of format {manifest['format']!r} in {directory}",
                expected=f"format {FORMAT}",
                why="this version of emprior reads no other",
                fix="simulate it again, or use the version of emprior that wrote it",
            )
        total = sum(group["structures"] for group in manifest["recipe"]["group"])
        if not manifest["complete"]:
            done = sum(
                1 for number in range(total) if (directory / structure_name(number)).is_dir()
            )
            raise FileError(
                f"an unfinished data set in {directory}: {done} of {total} structures",
                expected="a finished one",
                why="what it holds would depend on when its simulation was stopped",
                fix="run `emprior simulate` with the same recipe and directory again; it resumes",
            )
        return cls(directory, manifest, tuple(range(total)))

    @cached_property
    def _index(self) -> list[tuple[int, int]]:
        """Structure and place within it of each image."""
        images = [
            group["images"] for group in self._recipe["group"] for _ in range(group["structures"])
        ]
        return [(number, k) for number in self.structures for k in range(images[number])]

    @property
    def _recipe(self) -> dict[str, Any]:
        return dict(self.manifest["recipe"])

    def __len__(self) -> int:
        return len(self._index)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of every image."""
        H, W = self._recipe["view"]["shape"]
        return H, W

    @property
    def pixel_size(self) -> float:
        """Nominal distance between pixels [Å]; that of one image is in its view."""
        return float(self._recipe["view"]["pixel_size"])

    @property
    def hash(self) -> str:
        """SHA-256 of the whole data set's contents."""
        return str(self.manifest["hash"])

    def _group(self, number: int) -> Any:
        if number not in self._groups:
            import zarr

            try:
                self._groups[number] = zarr.open_group(
                    store=self.directory / structure_name(number), mode="r"
                )
            except FileNotFoundError as error:
                raise FileError(
                    f"structure {number} is missing in {self.directory}",
                    expected="all structures that the manifest counts",
                    why="the data set is damaged",
                    fix="copy it again, or delete it and simulate it again",
                ) from error
        return self._groups[number]

    def _exposure(self, i: int) -> dict[str, Any]:
        number, k = self._index[i]
        return dict(self._group(number).attrs["images"][k])

    def image(self, i: int) -> NDArray[np.float32]:
        """Return a clean image, (H, W)."""
        number, k = self._index[i]
        return np.asarray(self._group(number)["images"][k], np.float32)

    def optics(self, i: int) -> Optics:
        """Return how an image was formed."""
        return Optics.from_dict(self._exposure(i)["optics"])

    def view(self, i: int) -> View:
        """Return the pixel grid of an image."""
        return View.from_dict(self._exposure(i)["view"])

    def regime(self, i: int) -> str:
        """Return which of the recipe's regimes an image was drawn from."""
        return str(self._exposure(i)["regime"])

    def tilt(self, i: int) -> tuple[float, float]:
        """Return the beam tilt along +column and along +row of an image [rad]."""
        return self.view(i).image_tilt(self.optics(i))

    def condition(self, name: str) -> NDArray[np.float64]:
        """Return one condition of all images, (len,).

        Parameters
        ----------
        name : {"defocus", "thickness", "tilt_columns", "tilt_rows"}
            Lengths in Å; the tilt along +column and along +row in rad.
        """
        images = range(len(self))
        match name:
            case "defocus":
                return np.array([self.optics(i).defocus for i in images])
            case "thickness":  # the last edge of the cell, see `Structure`
                return np.array([self.attributes(self.structure_id(i))["cell"][2] for i in images])
            case "tilt_columns" | "tilt_rows":
                return np.array([self.tilt(i)[name == "tilt_rows"] for i in images])
        raise OptionError(
            f"the condition {name!r}",
            expected="one of defocus, thickness, tilt_columns, tilt_rows",
            why="nothing else is known by a name",
            fix="choose from them, or look into `optics` and `attributes`",
        )

    def structure_id(self, i: int) -> int:
        """Return the number of an image's structure."""
        return self._index[i][0]

    def group(self, i: int) -> str:
        """Return which of the recipe's groups an image belongs to."""
        return str(self.attributes(self.structure_id(i))["group"])

    def attributes(self, number: int) -> dict[str, Any]:
        """Return what is stored of a structure besides arrays: drawn parameters, fingerprint."""
        return dict(self._group(number).attrs)

    def structure(self, number: int) -> Structure:
        """Return a structure by its number."""
        held = self._held.get(number)
        if held is None:
            group = self._group(number)
            held = Structure(group["positions"][:], group["numbers"][:], group.attrs["cell"])
            self._held.clear()
            self._held[number] = held
        return held

    def atoms(self, i: int, margin: float = 0.0) -> AtomsInImage:
        """Return the atoms that an image shows, projected along its tilted beam.

        Parameters
        ----------
        i : int
        margin : float
            Widens the image on every side [pixels].
        """
        structure, view = self.structure(self.structure_id(i)), self.view(i)
        points = structure.projected(self.optics(i).tilt)
        pixels, index = view.visible(structure, points, margin)
        depths, numbers = structure.depths()[index], structure.numbers[index]
        return AtomsInImage(pixels[:, 0], pixels[:, 1], depths, numbers)

    def columns(self, i: int, margin: float = 0.0) -> ColumnsInImage:
        """Return the atomic columns that an image shows; arguments as for `atoms`."""
        structure, view = self.structure(self.structure_id(i)), self.view(i)
        columns = structure.columns()
        points = structure.projected(self.optics(i).tilt)
        means = np.stack(
            [np.bincount(columns.index, points[:, axis]) / columns.counts for axis in (0, 1)], -1
        )
        pixels, index = view.visible(structure, means, margin)
        numbers, counts = columns.numbers[index], columns.counts[index]
        return ColumnsInImage(pixels[:, 0], pixels[:, 1], numbers, counts)

    def subset(self, structures: Iterable[int]) -> Dataset:
        """Return the part with these structures, its images counted anew from 0."""
        chosen = tuple(structures)
        if unknown := sorted(set(chosen) - set(self.structures)):
            raise OptionError(
                f"structures {unknown[:3]} of {self.directory}",
                expected="numbers among its `structures`",
                why="it holds no others",
                fix="choose from them",
            )
        return Dataset(self.directory, self.manifest, chosen, self._groups)

    def split(self, fraction: float, rng: np.random.Generator) -> tuple[Dataset, Dataset]:
        """Split at random by structure, so that no structure is in both parts.

        Parameters
        ----------
        fraction : float
            Share of the structures in the second part, within 0 to 1; at least one structure
            comes into each.
        rng : numpy.random.Generator

        Raises
        ------
        OptionError
            If there are fewer than two structures or the fraction is not within 0 to 1.
        """
        total = len(self.structures)
        if not (0 < fraction < 1 and total > 1):
            raise OptionError(
                f"a split of {total} structures at {fraction:g}",
                expected="two structures or more, and a fraction between 0 and 1",
                why="both parts need one",
                fix="simulate more structures or choose another fraction",
            )
        order = rng.permutation(np.array(self.structures))
        held = min(max(round(fraction * total), 1), total - 1)
        first, second = sorted(order[held:].tolist()), sorted(order[:held].tolist())
        return self.subset(first), self.subset(second)

    def load(self, dtype: DTypeLike | None = None) -> Floats:
        """Read all images into memory, (len, H, W), in the stored type unless told otherwise."""
        stack = np.empty((len(self), *self.shape), dtype or self._recipe["dtype"])
        start = 0
        for number in self.structures:
            images = self._group(number)["images"][:]
            stack[start : start + len(images)] = images
            start += len(images)
        return stack

    @cached_property
    def _stack(self) -> Floats:
        return self.load()

    def crops(self, n: int, shape: tuple[int, int], rng: np.random.Generator) -> Crops:
        """Draw random windows, each of a random image; the first call reads all into memory.

        Parameters
        ----------
        n : int
        shape : (h, w)
            At most that of the images.
        rng : numpy.random.Generator

        Returns
        -------
        Crops
            Of one channel.

        Raises
        ------
        OptionError
            If the windows are larger than the images.
        """
        return windows(self._stack[:, None], n, shape, rng)

    def fingerprints(self) -> set[str]:
        """Return the fingerprints of the structures, see `Structure.fingerprint`."""
        return {str(self._group(number).attrs["fingerprint"]) for number in self.structures}


def shared_structures(a: Dataset, b: Dataset) -> set[str]:
    """Return the fingerprints of structures that two data sets have in common.

    A training set must share none with the set that judges it.
    """
    return a.fingerprints() & b.fingerprints()
