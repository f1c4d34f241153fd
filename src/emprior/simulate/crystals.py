"""Crystals: unit cells from a CIF or from a prototype, checked before anything is built of them."""

from __future__ import annotations

import difflib
import io
import warnings
from dataclasses import dataclass
from itertools import product

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols, covalent_radii
from ase.io import read
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from emprior.errors import RecipeError

Floats = NDArray[np.float64]

_CLOSEST = 0.55
"""Shortest bond, in sums of covalent radii; real ones are 0.8 or more."""

_FCC = ((0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0))
_HEXAGONAL = ((1 / 3, 2 / 3), (2 / 3, 1 / 3))
_IDEAL = (8 / 3) ** 0.5  # c / a of close-packed spheres


def _centred(*places: tuple[float, float, float]) -> list[tuple[float, float, float]]:
    """Return places repeated by the centring of fcc."""
    return [(x + p, y + q, z + r) for x, y, z in places for p, q, r in _FCC]


def _layered(*heights: tuple[int, float]) -> list[tuple[float, float, float]]:
    """Return places on the two threefold axes of a hexagonal cell: (which axis, height)."""
    return [(*_HEXAGONAL[axis], z) for axis, z in heights]


PROTOTYPES: dict[str, tuple[float | None, tuple[list[tuple[float, float, float]], ...]]] = {
    "fcc": (None, (_centred((0, 0, 0)),)),
    "bcc": (None, ([(0, 0, 0), (0.5, 0.5, 0.5)],)),
    "hcp": (_IDEAL, (_layered((0, 0.25), (1, 0.75)),)),
    "diamond": (None, (_centred((0, 0, 0), (0.25, 0.25, 0.25)),)),
    "rocksalt": (None, (_centred((0, 0, 0)), _centred((0.5, 0.5, 0.5)))),
    "cesiumchloride": (None, ([(0, 0, 0)], [(0.5, 0.5, 0.5)])),
    "zincblende": (None, (_centred((0, 0, 0)), _centred((0.25, 0.25, 0.25)))),
    "fluorite": (
        None,
        (_centred((0, 0, 0)), _centred((0.25, 0.25, 0.25), (0.75, 0.75, 0.75))),
    ),
    "perovskite": (
        None,
        ([(0, 0, 0)], [(0.5, 0.5, 0.5)], [(0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]),
    ),
    "wurtzite": (_IDEAL, (_layered((0, 0), (1, 0.5)), _layered((0, 0.375), (1, 0.875)))),
    "2H-MoS2": (
        3.89,
        (
            _layered((0, 0.25), (1, 0.75)),
            _layered((0, 0.621), (1, 0.121), (1, 0.379), (0, 0.879)),
        ),
    ),
}
"""For each prototype c / a where it is hexagonal, and the places that each element takes."""


@dataclass(frozen=True, eq=False)
class Crystal:
    """A unit cell and the atoms in it.

    Parameters
    ----------
    cell : (3, 3) ndarray
        Lattice vectors a, b, c as rows [Å].
    fractional : (n, 3) ndarray
        Positions in units of the lattice vectors.
    numbers : (n,) ndarray
        Atomic numbers.
    """

    cell: Floats
    fractional: Floats
    numbers: NDArray[np.int_]

    def bond(self) -> float:
        """Return the shortest distance between two atoms [Å]."""
        return float(self._nearest()[0].min())

    def translations(self) -> Floats:
        """Return the shifts within the cell that map the crystal onto itself, (m, 3) fractional.

        One, the zero, for a primitive cell; four for a cubic cell of fcc.
        """
        rarest = min(set(self.numbers.tolist()), key=self.numbers.tolist().count)
        places = self.fractional[self.numbers == rarest]
        return np.array([t for t in np.mod(places - places[0], 1) if self._maps(np.eye(3), t)])

    def symmetries(self) -> NDArray[np.int_]:
        """Return the (m, 3, 3) integer matrices that turn the lattice onto itself.

        A plane (h k l), as a row, is equivalent to ``hkl @ matrix``. They are those of the lattice,
        which may be more than those of the atoms in it.
        """
        metric = self.cell @ self.cell.T
        rows = np.array(list(product((-1, 0, 1), repeat=3)))
        lengths = np.einsum("ij,jk,ik->i", rows, metric, rows)
        scale = np.trace(metric) * 1e-4
        candidates = [rows[np.abs(lengths - metric[i, i]) < scale] for i in range(3)]
        found = [
            matrix
            for matrix in (np.array(triple) for triple in product(*candidates))
            if np.abs(matrix @ metric @ matrix.T - metric).max() < scale
        ]
        # Rows are images of lattice vectors, so that they act on planes as they stand.
        return np.array([matrix.T for matrix in found])

    def _maps(self, turn: Floats, shift: Floats) -> bool:
        moved = np.mod(self.fractional @ turn + shift, 1)
        for number in set(self.numbers.tolist()):
            same = self.numbers == number
            tree = cKDTree(np.mod(self.fractional[same], 1), boxsize=1 + 1e-12)
            if tree.query(np.mod(moved[same], 1))[0].max() > 1e-3:
                return False
        return True

    def _nearest(self) -> tuple[Floats, NDArray[np.intp]]:
        """Return the distance of each atom's nearest neighbour [Å], and which atom that is."""
        shifts = np.array(list(product((0, 1, -1), repeat=3)))
        images = (self.fractional + shifts[:, None]).reshape(-1, 3) @ self.cell
        distances, index = cKDTree(images).query(self.fractional @ self.cell, 2)
        return distances[:, 1], index[:, 1] % len(self.numbers)

    def check(self, source: str) -> None:
        """Raise RecipeError where atoms overlap."""
        distances, neighbour = self._nearest()
        radii = covalent_radii[self.numbers]
        ratio = distances / (radii + radii[neighbour])
        worst = int(np.argmin(ratio))
        if ratio[worst] < _CLOSEST:
            one, other = (chemical_symbols[self.numbers[i]] for i in (worst, neighbour[worst]))
            shortest = _CLOSEST * (radii[worst] + radii[neighbour[worst]])
            raise RecipeError(
                f"{source}: {one} and {other} overlap, {distances[worst]:.2f} Å apart",
                expected=f"atoms at least {shortest:.2f} Å apart",
                why="no crystal holds such a pair: a lattice constant is too small, or a site that "
                "is only partly occupied is given by several atoms",
                fix="correct the lattice constant, or keep one atom for each site",
            )


def check_element(symbol: str) -> None:
    """Raise RecipeError where a text is no element's symbol."""
    if symbol in chemical_symbols[1:]:
        return
    near = difflib.get_close_matches(symbol.capitalize(), chemical_symbols[1:], n=1, cutoff=0.4)
    raise RecipeError(
        f"an element {symbol!r}",
        expected="the symbol of an element, such as 'Sr'",
        why="atoms scatter as their element does",
        fix=f"did you mean {near[0]!r}?" if near else "correct it",
    )


def prototype(name: str, elements: tuple[str, ...], a: float, c: float | None) -> Crystal:
    """Build the conventional cell of a prototype.

    Parameters
    ----------
    name : str
        One of `PROTOTYPES`.
    elements : tuple of str
        One for each kind of place, in the order of the prototype's formula (Sr, Ti, O).
    a, c : float
        Lattice constants [Å]; c of hexagonal cells alone, where absent the ideal one.

    Raises
    ------
    RecipeError
        If the number of elements or the lattice constants do not fit the prototype.
    """
    ratio, places = PROTOTYPES[name]
    if len(elements) != len(places):
        raise RecipeError(
            f"{len(elements)} elements of a {name} crystal",
            expected=f"{len(places)}",
            why="each kind of place is taken by one element",
            fix=f"give elements = a list of {len(places)}",
        )
    if ratio is None and c is not None:
        raise RecipeError(
            f"c = {c:g} of a {name} crystal",
            expected="a alone",
            why="its cell is a cube",
            fix="leave c out, or take the crystal from a CIF",
        )
    if ratio is None:
        cell = a * np.eye(3)
    else:
        height = ratio * a if c is None else c
        cell = np.array([[a, 0, 0], [-a / 2, a * 0.75**0.5, 0], [0, 0, height]])
    counts = [len(sites) for sites in places]
    numbers = np.repeat([atomic_numbers[element] for element in elements], counts)
    return Crystal(cell, np.mod(np.concatenate(places), 1), numbers)


def from_cif(text: str, source: str) -> Crystal:
    """Read the first crystal of a CIF.

    Parameters
    ----------
    text : str
        The contents of the file.
    source : str
        Its name, for messages.

    Raises
    ------
    RecipeError
        If it does not parse or holds no periodic crystal.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of settings that the CIF leaves open
            atoms = read(io.StringIO(text), format="cif", index=0)
        assert isinstance(atoms, Atoms)
        cell = np.asarray(atoms.cell, float)
        if len(atoms) == 0 or not abs(np.linalg.det(cell)) > 1:
            raise ValueError("no atoms in a cell")
        if not (np.diag(cell) > 0).all():
            raise ValueError("edges of the cell that are not above zero")
        fractional = atoms.get_scaled_positions()
    except Exception as error:  # ASE raises whatever its parser stumbles over
        said = f" ({error})" if str(error) else ""
        raise RecipeError(
            f"{source} does not parse as a CIF{said}",
            expected="one crystal: cell lengths and angles, a space group or its operations, sites",
            why="structures are built from it",
            fix="open it in a viewer of crystals such as VESTA, and export it anew",
        ) from error
    return Crystal(cell, fractional, atoms.numbers)
