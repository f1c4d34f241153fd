r"""What was imaged and how: the atoms, the optics, and the pixel grid laid over the exit plane.

One frame holds for all of it: x in the plane, y up towards the vacuum, z along the beam, which
enters at z = 0 and leaves through the exit plane z = T. The cell repeats in x and y.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating]

VACUUM = 0.45
"""Intensity of the empty beam in clean images."""
TYPICAL_MEAN, TYPICAL_DEVIATION = 0.44, 0.05
"""Mean and standard deviation that clean HRTEM images typically have."""


@dataclass(frozen=True, eq=False)
class Columns:
    """Atomic columns: the atoms of one element behind one another along z.

    Attributes
    ----------
    positions : (M, 2) ndarray
        x and y [Å].
    numbers : (M,) ndarray
        Atomic number of each column's element.
    counts : (M,) ndarray
        How many atoms each holds.
    index : (N,) ndarray
        The column of each atom.
    """

    positions: Floats
    numbers: NDArray[np.uint8]
    counts: NDArray[np.intp]
    index: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Structure:
    """Atoms in a cell.

    Parameters
    ----------
    positions : (N, 3) array_like
        x, y, z [Å].
    numbers : (N,) array_like
        Atomic numbers.
    cell : (3,) array_like
        Edges of the orthogonal cell [Å]; the last is the thickness T.
    """

    positions: Floats
    numbers: NDArray[np.uint8]
    cell: Floats

    def __post_init__(self) -> None:
        for name, dtype in (("positions", float), ("numbers", np.uint8), ("cell", float)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype))

    @property
    def thickness(self) -> float:
        """Extent along the beam [Å]."""
        return float(self.cell[2])

    def depths(self) -> Floats:
        """Return how far above the exit plane each atom lies, T − z [Å], as (N,)."""
        return self.thickness - self.positions[:, 2]

    def projected(self, tilt: tuple[float, float]) -> Floats:
        r"""Project the atoms along the tilted beam onto the exit plane.

        .. math:: (x, y) + (T - z) (\tan t_x, \tan t_y)

        Parameters
        ----------
        tilt : (t_x, t_y)
            Beam tilt [rad], as `Optics.tilt`.

        Returns
        -------
        (N, 2) ndarray
            x and y [Å], not wrapped into the cell.
        """
        return self.positions[:, :2] + self.depths()[:, None] * np.tan(tilt)

    def columns(self) -> Columns:
        """Gather the atoms into atomic columns: equal element, equal x and y to 0.01 Å."""
        cells = np.rint(100 * self.positions[:, :2]).astype(np.int64)
        cells -= cells.min(0, initial=0)
        height, width = cells.max(0, initial=0) + 1
        # One number each, which sorts as element, x and y do, and in a tenth of the time.
        keys = (self.numbers * height + cells[:, 0]) * width + cells[:, 1]
        _, first, index, counts = np.unique(
            keys, return_index=True, return_inverse=True, return_counts=True
        )
        return Columns(self.positions[first, :2], self.numbers[first], counts, index)

    def fingerprint(self) -> str:
        """Return a hash of the atoms that does not depend on their order or on a common shift.

        Equal structures have equal fingerprints; positions count to 0.01 Å.
        """
        relative = np.round((self.positions - self.positions.mean(0)) * 100).astype(np.int64)
        rows = np.unique(np.c_[self.numbers.astype(np.int64), relative], axis=0)
        return hashlib.sha256(np.ascontiguousarray(rows, dtype="<i8").tobytes()).hexdigest()


@dataclass(frozen=True)
class Optics:
    r"""How the exit wave becomes an image: lengths in Å, angles in rad, energy in eV.

    Parameters
    ----------
    defocus : float
        C10; positive is overfocus, where atoms are white with negative Cs.
    cs, c5 : float
        Spherical aberration of third and fifth order, C30 and C50.
    focal_spread : float
        1/e half width of the focal distribution, √2 times its standard deviation.
    blur : float
        Standard deviation of the image spread (vibration, convergence, detector) along an axis.
    tilt : (t_x, t_y)
        Of the beam against the cell's z.
    absorption : float
        Ratio a of the absorptive to the elastic potential: each slice transmits
        :math:`\exp((i - a) \sigma V)`.
    energy : float
        Of the beam.
    astigmatism, coma, trefoil : (amplitude, azimuth)
        C12, C21 and C23 [Å], and where their phase shift is largest [rad].
    drift : (length, azimuth)
        Of the specimen while the image is taken.
    convergence : float
        Semi-angle of the probe of a scanned image; 0 is a plane wave.
    detector : (inner, outer)
        Angles of the annular detector of a scanned image.
    """

    defocus: float
    cs: float = -13e4
    c5: float = 5e7
    focal_spread: float = 40.0
    blur: float = 0.54
    tilt: tuple[float, float] = (0.0, 0.0)
    absorption: float = 0.02
    energy: float = 300e3
    astigmatism: tuple[float, float] = (0.0, 0.0)
    coma: tuple[float, float] = (0.0, 0.0)
    trefoil: tuple[float, float] = (0.0, 0.0)
    drift: tuple[float, float] = (0.0, 0.0)
    convergence: float = 0.0
    detector: tuple[float, float] = (0.0, 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; only those from astigmatism on that are not zero."""
        values = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }
        rare = ("astigmatism", "coma", "trefoil", "drift", "convergence", "detector")
        absent = [name for name in rare if not np.any(values[name])]
        return {name: value for name, value in values.items() if name not in absent}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Optics:
        """Make the optics that `to_dict` described."""
        arguments: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        return cls(**arguments)


@dataclass(frozen=True)
class View:
    """The pixel grid of one image on the exit plane.

    Parameters
    ----------
    shape : (H, W)
        Rows and columns of pixels.
    pixel_size : float
        Distance between pixel centres [Å].
    centre : (x, y)
        Point of the exit plane under the middle of the image [Å].
    rotation : float
        Anticlockwise turn of the image's axes against the exit plane's [rad].

    Notes
    -----
    At rotation 0, columns run along +x and rows along −y. Pixel coordinates are (row, column)
    with pixel centres at integers.
    """

    shape: tuple[int, int]
    pixel_size: float
    centre: tuple[float, float]
    rotation: float = 0.0

    def axes(self) -> Floats:
        """Return (2, 2) unit vectors of the exit plane: the directions of +column and of −row."""
        c, s = math.cos(self.rotation), math.sin(self.rotation)
        return np.array([[c, s], [-s, c]])

    def to_pixels(self, xy: ArrayLike) -> Floats:
        """Return (N, 2) row and column of points (N, 2) of the exit plane [Å]."""
        right, up = ((np.asarray(xy, float) - self.centre) @ self.axes().T / self.pixel_size).T
        H, W = self.shape
        return np.stack([(H - 1) / 2 - up, (W - 1) / 2 + right], axis=-1)

    def to_plane(self, pixels: ArrayLike) -> Floats:
        """Return (N, 2) x and y [Å] of pixel coordinates (N, 2)."""
        H, W = self.shape
        row, column = np.asarray(pixels, float).T
        offsets = np.stack([column - (W - 1) / 2, (H - 1) / 2 - row], axis=-1)
        return offsets * self.pixel_size @ self.axes() + self.centre

    def image_tilt(self, optics: Optics) -> tuple[float, float]:
        """Return the beam tilt along +column and along +row [rad].

        An atom at depth d above the exit plane appears ``d · tan(tilt)`` further along each.
        """
        right, up = self.axes() @ np.tan(optics.tilt)
        return math.atan(right), math.atan(-up)

    def visible(
        self, structure: Structure, points: Floats, margin: float = 0.0
    ) -> tuple[Floats, NDArray[np.intp]]:
        """Return which points fall into the image, the cell's repeats included.

        Parameters
        ----------
        structure : Structure
            Whose cell repeats.
        points : (N, 2) ndarray
            On the exit plane [Å].
        margin : float
            Widens the image on every side [pixels].

        Returns
        -------
        pixels : (M, 2) ndarray
            Row and column.
        index : (M,) ndarray
            Which of `points` each is.
        """
        W, H = structure.cell[:2]
        shifts = [(i * W, j * H) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        pixels = self.to_pixels(np.concatenate([points + shift for shift in shifts]))
        inside = np.all(
            (pixels >= -0.5 - margin) & (pixels < np.array(self.shape) - 0.5 + margin), axis=1
        )
        index = np.tile(np.arange(len(points)), len(shifts))
        return pixels[inside], index[inside]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "shape": list(self.shape),
            "pixel_size": self.pixel_size,
            "centre": list(self.centre),
            "rotation": self.rotation,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> View:
        """Make the view that `to_dict` described."""
        H, W = values["shape"]
        x, y = values["centre"]
        return cls((H, W), values["pixel_size"], (x, y), values["rotation"])
