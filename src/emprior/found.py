"""What a denoiser found of the specimen and the optics, each number with its standard deviation.

The specimen itself, known exactly, is in `emprior.specimen`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

# fmt: off
SYMBOLS = (
    "X", "H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S",
    "Cl", "Ar", "K", "Ca", "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge",
    "As", "Se", "Br", "Kr", "Rb", "Sr", "Y", "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd",
    "In", "Sn", "Sb", "Te", "I", "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd",
    "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W", "Re", "Os", "Ir", "Pt", "Au", "Hg",
    "Tl", "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu", "Am", "Cm",
    "Bk", "Cf", "Es", "Fm", "Md", "No", "Lr",
)
# fmt: on
"""Of the elements, by atomic number."""


class Measured(NamedTuple):
    """A number and its standard deviation."""

    value: float
    sd: float

    def text(self, unit: str, scale: float = 1.0) -> str:
        """Return, for example, ``104 ± 3 Å``; both numbers are multiplied by `scale` first."""
        value, sd = self.value * scale, self.sd * scale
        digits = max(0, -math.floor(math.log10(sd))) if sd > 0 else 3
        return f"{value:.{digits}f} ± {sd:.{digits}f} {unit}"


@dataclass(frozen=True, eq=False)
class FoundColumns:
    """Atomic columns that a denoiser found within a frame.

    Attributes
    ----------
    rows, columns : (M,) ndarray
        Where each one's atoms appear on average [pixels of the frame], centres at integers.
    numbers : (M,) ndarray
        Atomic numbers.
    atoms : (M,) ndarray
        How many atoms each holds.
    probability : (M,) ndarray
        That there is such a column.
    rows_sd, columns_sd : (M,) ndarray
        Standard deviations of the position along rows and columns [Å].
    atoms_sd : (M,) ndarray
        Of the number of atoms.
    pixel_size : float
        Of the frame [Å].
    """

    rows: Floats
    columns: Floats
    numbers: NDArray[np.integer]
    atoms: Floats
    probability: Floats
    rows_sd: Floats
    columns_sd: Floats
    atoms_sd: Floats
    pixel_size: float

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def x(self) -> Floats:
        """Position along +column from the middle of the first pixel [Å], (M,)."""
        return self.columns * self.pixel_size

    @property
    def y(self) -> Floats:
        """Position along +row from the middle of the first pixel [Å], (M,)."""
        return self.rows * self.pixel_size

    @property
    def symbols(self) -> list[str]:
        """Chemical symbol of each."""
        return [SYMBOLS[number] for number in self.numbers]

    def part(self, which: NDArray[Any]) -> FoundColumns:
        """Return some of them: where a mask, (M,), is true, or of given indices."""
        return dataclasses.replace(self, **{n: getattr(self, n)[which] for n in _ARRAYS})

    def moved(self, rows: int, columns: int) -> FoundColumns:
        """Return them in a frame that begins so many pixels before this one."""
        return dataclasses.replace(self, rows=self.rows + rows, columns=self.columns + columns)

    @classmethod
    def joined(cls, parts: Sequence[FoundColumns]) -> FoundColumns:
        """Return the columns of several parts of one frame; one part at least."""
        each = {n: np.concatenate([getattr(one, n) for one in parts]) for n in _ARRAYS}
        return cls(**each, pixel_size=parts[0].pixel_size)

    def table(self) -> dict[str, list[Any]]:
        """Return a list of M values for each heading; headings carry units."""
        return {
            "x [Å]": _rounded(self.x, 4),
            "y [Å]": _rounded(self.y, 4),
            "row [px]": _rounded(self.rows, 4),
            "column [px]": _rounded(self.columns, 4),
            "element": self.symbols,
            "atoms": _rounded(self.atoms, 3),
            "probability": _rounded(self.probability, 3),
            "x sd [Å]": _rounded(self.columns_sd, 4),
            "y sd [Å]": _rounded(self.rows_sd, 4),
            "atoms sd": _rounded(self.atoms_sd, 3),
        }

    @classmethod
    def from_table(cls, table: Mapping[str, Sequence[Any]], pixel_size: float) -> FoundColumns:
        """Make the columns of which `table` was made, to the digits that it keeps."""

        def numbers(heading: str) -> Floats:
            return np.asarray(table[heading], float)

        return cls(
            rows=numbers("row [px]"),
            columns=numbers("column [px]"),
            numbers=np.array([SYMBOLS.index(symbol) for symbol in table["element"]], int),
            atoms=numbers("atoms"),
            probability=numbers("probability"),
            rows_sd=numbers("y sd [Å]"),
            columns_sd=numbers("x sd [Å]"),
            atoms_sd=numbers("atoms sd"),
            pixel_size=pixel_size,
        )


_ARRAYS = [field.name for field in dataclasses.fields(FoundColumns) if field.name != "pixel_size"]


@dataclass(frozen=True)
class FoundOptics:
    """How a denoiser found the frame to have been taken.

    Of a frame that was searched in several windows: the mean over them, with a variance that is
    the mean of theirs and their scatter together, as of a window chosen at random.

    Attributes
    ----------
    defocus : Measured
        [Å], positive is overfocus.
    tilt_rows, tilt_columns : Measured
        Of the beam along +row and +column [rad], as `emprior.specimen.View.image_tilt`.
    thickness : Measured
        [Å]
    """

    defocus: Measured
    tilt_rows: Measured
    tilt_columns: Measured
    thickness: Measured

    def __str__(self) -> str:
        return (
            f"defocus {self.defocus.text('Å')}, thickness {self.thickness.text('Å')}, tilt "
            f"{self.tilt_rows.text('mrad', 1e3)} along rows and "
            f"{self.tilt_columns.text('mrad', 1e3)} along columns"
        )

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Return plain values, ready for JSON."""
        return {
            field.name: getattr(self, field.name)._asdict() for field in dataclasses.fields(self)
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Mapping[str, float]]) -> FoundOptics:
        """Make the optics that `to_dict` described."""
        return cls(**{name: Measured(**measured) for name, measured in values.items()})

    @classmethod
    def mean(cls, windows: Sequence[FoundOptics]) -> FoundOptics:
        """Return the mean over windows, with the deviation of a window chosen at random."""
        means = {}
        for field in dataclasses.fields(cls):
            value, sd = np.array([getattr(optics, field.name) for optics in windows]).T
            means[field.name] = Measured(
                float(value.mean()), float(np.sqrt((sd**2).mean() + value.var()))
            )
        return cls(**means)


class Found(NamedTuple):
    """What a denoiser found in a frame."""

    columns: FoundColumns
    optics: FoundOptics
    deviation: Floats
    """(H, W) standard deviation of the denoised image, in its units."""


def _rounded(values: Floats, digits: int) -> list[float]:
    return np.round(np.asarray(values, float), digits).tolist()
