"""What is recorded of columns and optics, as tables."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from emprior.report.grids import Grid
from emprior.report.page import Section
from emprior.tables import Records

_ERRORS = {
    "precision": ("precision", 3),
    "recall": ("recall", 3),
    "position_pm": ("position [pm]", 1),
    "atoms": ("atoms", 2),
    "atoms_exact": ("counted exactly", 2),
    "defocus_angstrom": ("defocus [Å]", 1),
    "thickness_angstrom": ("thickness [Å]", 1),
    "tilt_mrad": ("tilt [mrad]", 1),
}
"""Heading and decimal places of each error in a record."""

_COVERED = {
    "positions": ("position",),
    "atoms": ("atoms",),
    "defocus": ("defocus",),
    "thickness": ("thickness",),
    "tilts": ("tilt_rows", "tilt_columns"),
    "pixels": ("image",),
}
"""Kinds of numbers that are counted together, by heading."""

Found = Mapping[str, Any]


def sections(records: Records) -> Iterator[Section]:
    """Yield two tables where columns were found whose truth is known, none elsewhere."""
    groups: dict[str, list[Found]] = {}
    for record in records:
        if found := record.get("found"):
            groups.setdefault(f"{record['denoiser']}, {record['noise']}", []).append(found)
    if not groups:
        return
    text = (
        "Columns that are held to be there with a probability of one half or more, against those "
        "of the simulation: of the same element within 0.5 Å, 1 Å or more from the edge. Positions "
        "and numbers of atoms are root mean squares over an image; median over images."
    )
    cells = {
        (row, heading): _median([found[key] for found in group], digits)
        for row, group in groups.items()
        for key, (heading, digits) in _ERRORS.items()
    }
    headings = tuple(heading for heading, _ in _ERRORS.values())
    yield Section("The structure itself", text, _counted(groups, headings, cells))
    text = (
        "Share of the true numbers that lie within the stated intervals, of all images together; "
        "they are to hold 50 % and 90 %."
    )
    cells = {
        (row, heading): _coverage(group, keys)
        for row, group in groups.items()
        for heading, keys in _COVERED.items()
    }
    yield Section(
        "What the stated errors are worth", text, _counted(groups, tuple(_COVERED), cells)
    )


def _counted(
    groups: Mapping[str, list[Found]],
    headings: tuple[str, ...],
    cells: Mapping[tuple[str, str], str],
) -> Grid:
    images = {(row, "images"): str(len(group)) for row, group in groups.items()}
    return Grid(tuple(groups), ("images", *headings), {**images, **cells})


def _median(values: list[Any], digits: int) -> str:
    known = [value for value in values if not math.isnan(value)]
    return f"{statistics.median(known):.{digits}f}" if known else "–"


def _coverage(group: list[Found], keys: tuple[str, ...]) -> str:
    counts = [found["covered"][key] for found in group for key in keys]
    total = sum(count["numbers"] for count in counts)
    if not total:
        return "–"
    shares = [sum(count[level] for count in counts) / total for level in ("50%", "90%")]
    return " and ".join(f"{share:.0%}".replace("%", " %") for share in shares)
