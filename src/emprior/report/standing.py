"""How the rows of a board stand: against the working law, and against each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from emprior import law
from emprior.denoisers.depth import reaches
from emprior.evaluate.recipe import Row
from emprior.report.grids import Grid
from emprior.tables import HEADLINE, Difference, Metric, Records, Table, paired_difference, tabulate

NOISE_FREE = "none"
PARAMETERS = Metric("effective_parameters", "Effective parameters p", 0, higher_is_better=False)
RANGE = "R [dB]"
REFERENCE = (50.0, 50.0)
"""R and p of the line that stands under the board: unbiased estimates of so many numbers."""


def own_parts(rows: Sequence[Row], star: str) -> dict[str, str]:
    """Return the names of the rows with a row's method and prior, by their depth."""
    own = next(row for row in rows if row.name == star)
    return {
        row.depth: row.name
        for row in rows
        if (row.method, row.prior) == (own.method, own.prior) and row.name != star
    }


def ranges(rows: Sequence[Row]) -> dict[str, str]:
    """Return for each row the one whose noise-free PSNR is its range R.

    It is the row itself, but where a prior adds what its fit leaves unexplained: without noise
    that is everything, so that the figure is that of the same prior without this addition.
    """
    found = {}
    for row in rows:
        plain = own_parts(rows, row.name).get("inversion")
        mended = row.method == "prior" and reaches(row.depth, "residual")
        found[row.name] = plain if plain and mended else row.name
    return found


# -------------------------------------------------------------------------------------- the law


def parameters(records: Records, ranges: Mapping[str, str]) -> tuple[Grid, Table]:
    """Return R and p of each row under each noise: as a text for readers, and p as a table.

    Parameters
    ----------
    records : sequence of mapping
    ranges : mapping
        From a row to the one whose noise-free PSNR is its R; rows that are not there are their own.
    """
    free = {(r["denoiser"], r["image"]): r for r in records if r["noise"] == NOISE_FREE}
    found, known = [], []
    for record in records:
        source = free.get((ranges.get(name := record["denoiser"], name), record["image"]))
        if source is None or "noise_variance" not in record:
            continue
        if record["noise"] == NOISE_FREE:
            known.append({**record, HEADLINE.key: source[HEADLINE.key]})
            continue
        psnr, limit = (float(r[HEADLINE.key]) for r in (record, source))
        p = law.parameters(psnr, limit, record["noise_variance"], math.prod(record["shape"]))
        found.append({**record, PARAMETERS.key: p})
    table, limits = tabulate(found, PARAMETERS), tabulate(known, HEADLINE)
    cells = {(row, RANGE): limits.text(row, NOISE_FREE) for row in limits.rows}
    cells |= {
        # Below zero the law says nothing: noise, or the search under it, did the row good.
        key: table.text(*key) if cell.median >= 0 else "< 0"
        for key, cell in table.cells.items()
    }
    rows = tuple(row for row in limits.rows if row in table.rows)
    return Grid(rows, (RANGE, *table.columns), cells), table


def reference(records: Records) -> dict[str, float]:
    """Return the median PSNR [dB] that the law gives for `REFERENCE` under each noise."""
    images: dict[str, dict[str, float]] = {}
    for record in records:
        if "noise_variance" in record:
            pixels = math.prod(record["shape"])
            psnr = law.psnr(*REFERENCE, record["noise_variance"], pixels)
            images.setdefault(record["noise"], {})[record["image"]] = psnr
    return {noise: float(np.median(list(values.values()))) for noise, values in images.items()}


# -------------------------------------------------------------------------------- the other rows


def leads(records: Records, star: str, others: Iterable[str]) -> Grid:
    """Return how far one row is ahead of others under each noise, with intervals."""
    noises = [n for n in dict.fromkeys(r["noise"] for r in records) if n != NOISE_FREE]
    cells = {
        (other, noise): f"{signed(found.median)} ({span(found)})"
        for other in others
        for noise in noises
        if (found := lead(records, star, other, noise))
    }
    rows = dict.fromkeys(row for row, _ in cells)
    return Grid(tuple(rows), tuple(noises), cells)


def lead(
    records: Records, first: str, second: str, noise: str, metric: str = HEADLINE.key
) -> Difference | None:
    """Return how far one row is ahead of another, or None where they share no image."""
    seen = [
        {r["image"] for r in records if (r["denoiser"], r["noise"]) == (row, noise)}
        for row in (first, second)
    ]
    if not set.intersection(*seen):
        return None
    return paired_difference(records, first, second, noise, metric=metric)


def span(found: Difference, digits: int = 2) -> str:
    """Return the interval of a difference as text."""
    if not math.isfinite(found.low):
        return f"n={found.structures}"
    return f"{signed(found.low, digits)} to {signed(found.high, digits)}"


def signed(value: float, digits: int = 2) -> str:
    """Return a number with its sign; zero is positive."""
    return f"{round(value, digits) + 0.0:+.{digits}f}"
