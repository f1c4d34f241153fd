"""How near the columns and optics that were found are to those of the simulation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from emprior.api import Denoised
from emprior.datasets import Dataset
from emprior.metrics import inside, match
from emprior.micrograph import Micrograph

LEVELS = (0.5, 0.9)
"""Of the intervals whose coverage is counted."""

_REACH = 0.5  # Å
_LIKELY = 0.5  # probability from which a column counts as found

Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Known:
    """The specimen in a frame.

    Attributes
    ----------
    points : (M, 2) ndarray
        Row and column of each atomic column, at the mean of its atoms [pixels of the frame].
    numbers, atoms : (M,) ndarray
        Its element and how many atoms it holds.
    optics : dict
        Defocus and thickness [Å], and tilts [rad], by the names in `emprior.found.FoundOptics`.
    """

    points: Floats
    numbers: NDArray[np.integer]
    atoms: NDArray[np.integer]
    optics: dict[str, float]

    @classmethod
    def of(cls, data: Dataset, i: int, factor: int, corner: tuple[int, int]) -> Known:
        """Look up what an image of a data set shows, in pixels of a part of it.

        Parameters
        ----------
        data : Dataset
        i : int
        factor : int
            The image was interpolated to so many pixels for each of its own along either axis.
        corner : (row, column)
            First pixel of the part, of the interpolated image.
        """
        columns = data.columns(i)
        along_columns, along_rows = data.tilt(i)
        # The first of the fine pixels begins where the first of the stored ones does.
        points = (np.stack([columns.rows, columns.columns], 1) + 0.5) * factor - 0.5 - corner
        return cls(
            points=points,
            numbers=columns.numbers,
            atoms=columns.counts,
            optics={
                "defocus": data.optics(i).defocus,
                "tilt_rows": along_rows,
                "tilt_columns": along_columns,
                "thickness": data.structure(data.structure_id(i)).thickness,
            },
        )


def scores(done: Denoised, clean: Micrograph, known: Known) -> dict[str, Any] | None:
    """Return how near an answer is to the specimen; None where it tells none.

    Columns count as found from a probability of one half. They are paired with true ones of their
    element within 0.5 Å, one to one; a border of 1 Å is left out, as in `metrics.column_f1`.

    Parameters
    ----------
    done : Denoised
    clean : Micrograph
    known : Known

    Returns
    -------
    dict or None
        Plain numbers: errors in the units that their names end in, and under ``covered`` how many
        of how many numbers the stated intervals of 50 % and 90 % hold.
    """
    found, optics, deviation = done.columns, done.optics, done.deviation
    if found is None or optics is None or deviation is None:
        return None
    pixel_size = found.pixel_size
    likely = found.probability >= _LIKELY
    true, places = known.points * pixel_size, np.stack([found.y, found.x], 1)
    counted = inside(true, clean.shape, pixel_size)
    pairs = _pairs(known.numbers, true, found.numbers, places, likely)
    i, j = np.array([(i, j) for i, j in pairs if counted[i]], int).reshape(-1, 2).T
    # A partner of a true column in the border is no false one.
    alone = np.setdiff1d(np.flatnonzero(likely), [j for _, j in pairs])
    added = alone[inside(places[alone], clean.shape, pixel_size)]
    shift, atoms = places[j] - true[i], found.atoms[j] - known.atoms[i]
    errors = {name: getattr(optics, name).value - value for name, value in known.optics.items()}
    covered = {
        "position": _covered(shift, np.stack([found.rows_sd, found.columns_sd], 1)[j]),
        "atoms": _covered(atoms, found.atoms_sd[j]),
        **{name: _covered(error, getattr(optics, name).sd) for name, error in errors.items()},
        "image": _covered(done.image.astype(np.float64) - clean.image, deviation),
    }
    claimed = np.concatenate([j, added])
    return {
        "columns": int(counted.sum()),
        "matched": len(i),
        "added": len(added),
        "precision": len(i) / max(len(claimed), 1),
        "precision_expected": float(found.probability[claimed].mean()) if len(claimed) else 0.0,
        "recall": len(i) / max(int(counted.sum()), 1),
        "position_pm": 100 * _rms(np.linalg.norm(shift, axis=1)),
        "atoms": _rms(atoms),
        "atoms_exact": float(np.mean(np.rint(atoms) == 0)) if len(atoms) else math.nan,
        "defocus_angstrom": abs(errors["defocus"]),
        "thickness_angstrom": abs(errors["thickness"]),
        "tilt_mrad": 1e3 * float(np.hypot(errors["tilt_rows"], errors["tilt_columns"])),
        "covered": covered,
    }


def _pairs(
    numbers: NDArray[np.integer],
    true: Floats,
    found_numbers: NDArray[np.integer],
    places: Floats,
    likely: NDArray[np.bool_],
) -> list[tuple[int, int]]:
    """Pair true columns with likely ones of their own element."""
    pairs = []
    for number in np.intersect1d(numbers, found_numbers):
        first = np.flatnonzero(numbers == number)
        second = np.flatnonzero((found_numbers == number) & likely)
        pairs += [(first[a], second[b]) for a, b in match(true[first], places[second], _REACH)]
    return pairs


def _covered(error: ArrayLike, sd: ArrayLike) -> dict[str, int]:
    """Count the errors, and those within the interval of each level."""
    size = np.abs(np.atleast_1d(error))
    counts = {
        f"{level:.0%}": int((size <= norm.isf((1 - level) / 2) * np.asarray(sd)).sum())
        for level in LEVELS
    }
    return {"numbers": size.size, **counts}


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if len(values) else math.nan
