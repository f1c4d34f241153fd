"""Amorphous matter: atoms at random, no two nearer than a bond."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.data import atomic_masses, atomic_numbers, covalent_radii
from ase.formula import Formula
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from emprior.errors import RecipeError

_DENSEST = 0.3
"""Share of the volume within spheres of half the spacing; random addition jams at 0.38."""
_DALTON = 1.66054
"""[g/cm³ Å³]"""


@dataclass(frozen=True)
class Glass:
    """An amorphous substance.

    Parameters
    ----------
    numbers : tuple of int
        Atomic numbers of one formula unit.
    per_volume : float
        Atoms [1/Å³].
    spacing : float
        Between neighbours, at least [Å].
    """

    numbers: tuple[int, ...]
    per_volume: float
    spacing: float

    @classmethod
    def of(cls, formula: str, density: float) -> Glass:
        """Make it from a chemical formula and a density [g/cm³].

        Raises
        ------
        RecipeError
            If the formula is none, or its atoms would not fit at that density.
        """
        try:
            symbols = list(Formula(formula))
            numbers = tuple(atomic_numbers[symbol] for symbol in symbols)
        except (ValueError, KeyError) as error:
            raise RecipeError(
                f"the formula {formula!r}",
                expected="elements and counts, such as 'C' or 'SiO2'",
                why="the film's atoms are drawn from it",
                fix="correct it; symbols begin with a capital letter",
            ) from error
        per_volume = density / _DALTON / float(np.mean(atomic_masses[list(numbers)]))
        spacing = 1.8 * float(np.mean(covalent_radii[list(numbers)]))
        filled = per_volume * np.pi / 6 * spacing**3
        if filled > _DENSEST:
            raise RecipeError(
                f"a density of {density:g} g/cm³ of amorphous {formula}",
                expected=f"at most {density * _DENSEST / filled:.2g} g/cm³",
                why=f"its atoms, {spacing:.2f} Å apart, would not find room",
                fix="take a lower density or another formula",
            )
        return cls(numbers, per_volume, spacing)

    def fill(
        self, edges: tuple[float, float, float], rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.int_]]:
        """Fill a box that repeats in x and y; return positions (N, 3) [Å] and numbers (N,)."""
        box = np.array(edges)
        wanted = round(self.per_volume * float(np.prod(box)))
        placed = np.empty((0, 3))
        # Padded along z, where it does not repeat.
        period = box + np.array([0, 0, 2 * self.spacing])
        while len(placed) < wanted:
            tried = rng.uniform(0, 1, (wanted, 3)) * box
            if len(placed):
                free = cKDTree(placed, boxsize=period).query(tried)[0] >= self.spacing
                tried = tried[free]
            pairs = cKDTree(tried, boxsize=period).query_pairs(self.spacing, output_type="ndarray")
            late = np.unique(pairs[:, 1])  # of two that are too near, the first stays
            placed = np.concatenate([placed, np.delete(tried, late, axis=0)])
        numbers = rng.permutation(np.resize(self.numbers, wanted))
        return placed[:wanted], numbers
