"""The board: sections of a report on denoisers × images × noises."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from emprior.evaluate.recipe import EvaluationRecipe
from emprior.report import standing, structure, targets
from emprior.report.grids import Grid
from emprior.report.page import Section
from emprior.report.plots import points
from emprior.tables import HEADLINE, METRICS, Records, Table, tabulate

_APART = ("psnr_db", "column_f1", "column_precision", "column_recall", "seconds")
"""What is shown of images that stand apart."""


@dataclass(frozen=True)
class Board:
    """Records, in the order of their recipe where it is known.

    Parameters
    ----------
    records : sequence of mapping
    recipe : EvaluationRecipe, optional
    """

    records: Records
    recipe: EvaluationRecipe | None = None

    @cached_property
    def by_source(self) -> dict[str, Records]:
        """Records by the label of their source, those that targets are about first."""
        rows = [row.name for row in self.recipe.denoisers] if self.recipe else []
        rank = {name: number for number, name in enumerate(rows)}
        ordered = sorted(self.records, key=lambda r: rank.get(r["denoiser"], len(rank)))
        labels = dict.fromkeys(source.label for source in self.recipe.data) if self.recipe else {}
        found: dict[str, Records] = {
            label: [r for r in ordered if r.get("source", "") == label]
            for label in dict.fromkeys([*labels, *(r.get("source", "") for r in self.records)])
        }
        return {label: records for label, records in found.items() if records}

    @property
    def main(self) -> Records:
        """Records that targets are about."""
        return next(iter(self.by_source.values()))

    @cached_property
    def tables(self) -> list[Table]:
        """Every metric of the main records."""
        return [tabulate(self.main, metric) for metric in METRICS]

    @cached_property
    def law(self) -> tuple[Grid, Table]:
        """R and p of each row, as texts and as a table."""
        return standing.parameters(
            self.main, standing.ranges(self.recipe.denoisers) if self.recipe else {}
        )

    def sections(self) -> list[Section]:
        """Return all parts of the report, the headline first."""
        note = _note(self.main)
        headline = self.tables[0]
        return [
            Section(HEADLINE.title, note, headline, points(headline), foot=self._foot()),
            *self._standing(),
            *structure.sections(self.main),
            *(Section(table.metric.title, note, table) for table in self.tables[1:]),
            *self._elsewhere(),
            Section("How this was measured", _provenance(self.records)),
        ]

    def _foot(self) -> Grid | None:
        """Return what is wanted, and what the law gives, under each noise."""
        lines: dict[str, dict[str, float]] = {}
        if self.recipe and (aim := self.recipe.targets):
            # Without noise the targets are for R, which is no row of this table.
            for name, wanted in (("must", aim.must), ("goal", aim.goal)):
                lines[f"{name} ≥"] = {n: x for n, x in wanted.items() if n != standing.NOISE_FREE}
        R, p = standing.REFERENCE
        lines[f"the law at R = {R:g}, p = {p:g}"] = standing.reference(self.main)
        cells = {(line, n): f"{x:.2f}" for line, values in lines.items() for n, x in values.items()}
        return Grid(tuple(lines), self.tables[0].columns, cells) if cells else None

    def _standing(self) -> Iterator[Section]:
        """Compare the rows with the law and, where one has targets, it with them and the others."""
        if self.recipe and (aim := self.recipe.targets):
            rest = dict(list(self.by_source.items())[1:])
            found = targets.verdicts(self.main, rest, self.recipe)
            met = sum(verdict.met for verdict in found)
            text = (
                f"Of {len(found)} targets {met} are met (✓). They are for the row {aim.row!r}; "
                "without noise, for the same prior without what its fit leaves unexplained. Rows "
                "that are this prior with fewer parts are not among those that it is compared with."
            )
            for noise in aim.columns:
                text = f"{text} {targets.rivals(self.main, self.recipe, noise)}".rstrip()
            yield Section(f"What {aim.row!r} is to reach", text, targets.grid(found))
            others = [row.name for row in self.recipe.denoisers if row.name != aim.row]
            text = (
                "Median over structures of the difference in PSNR on the same frames [dB], and its "
                "95 % interval, exact for any distribution; n= instead where structures are too "
                "few for one."
            )
            yield Section(
                f"How far {aim.row!r} is ahead", text, standing.leads(self.main, aim.row, others)
            )
        grid, table = self.law
        if grid.rows:
            text = (
                "By MSE = 10^(−R/10) + p·v/N, image by image, with R the row's PSNR without noise; "
                "of a prior that adds what its fit leaves unexplained, R is that of the fit. v is "
                "the noise variance of a pixel, where clipped the inverse Fisher information; "
                "median over images (in brackets the 5 % quantile at the bad end)."
            )
            yield Section(table.metric.title, text, grid)

    def _elsewhere(self) -> Iterator[Section]:
        """Show the images of other sources, in tables of their own."""
        notes = {source.label: source.note for source in self.recipe.data} if self.recipe else {}
        for label, records in list(self.by_source.items())[1:]:
            text = " ".join(filter(None, (notes.get(label), _note(records))))
            yield Section(f"Images apart: {label}", text)
            for metric in METRICS:
                if metric.key in _APART:
                    yield Section(metric.title, table=tabulate(records, metric), level=2)


def _note(records: Records) -> str:
    images = {record["image"] for record in records}
    structures = {record["structure"] for record in records}
    return (
        f"Images: {len(images)}, of {len(structures)} structures. Median over images; in brackets "
        "the 5 % quantile at the bad end (of 20 images or fewer: the worst)."
    )


def _provenance(records: Records) -> str:
    def distinct(key: str) -> str:
        found = dict.fromkeys(str(record[key]) for record in records)
        return ", ".join(found)

    versions = dict.fromkeys(
        f"{name} {number}" for record in records for name, number in record["versions"].items()
    )
    replaced = [r for r in records if r["method"] != r.get("asked", r["method"])]
    by_row: dict[str, int] = {}
    for record in replaced:
        by_row[record["denoiser"]] = by_row.get(record["denoiser"], 0) + 1
    withheld = "; ".join(f"{row}: {count}" for row, count in by_row.items()) or "none"
    return (
        f"{len(records)} records; data {distinct('data')}; seed {distinct('seed')}; "
        f"shapes {distinct('shape')}; answers given by another method than asked for: {withheld}; "
        f"{', '.join(versions)}."
    )


def csv_table(tables: Iterable[Table]) -> str:
    """Return every cell of every table as a line of comma-separated values."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["metric", "denoiser", "noise", "images", "median", "tail"])
    for table in tables:
        for (row, column), cell in table.cells.items():
            writer.writerow([table.metric.key, row, column, cell.images, cell.median, cell.tail])
    return buffer.getvalue()
