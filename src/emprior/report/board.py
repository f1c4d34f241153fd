"""The board: sections of a report on denoisers × images × noises."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from emprior.report.page import Section
from emprior.report.plots import points
from emprior.tables import HEADLINE, METRICS, Records, Table, tabulate


def sections(records: Records) -> list[Section]:
    """Return all parts of the report, the headline first."""
    images = {record["image"] for record in records}
    structures = {record["structure"] for record in records}
    note = (
        f"Images: {len(images)}, of {len(structures)} structures. Median over images; in brackets "
        "the 5 % quantile at the bad end (of 20 images or fewer: the worst)."
    )
    tables = [tabulate(records, metric) for metric in METRICS]
    return [
        Section(HEADLINE.title, note, tables[0], points(tables[0])),
        *(Section(table.metric.title, note, table) for table in tables[1:]),
        Section("How this was measured", _provenance(records)),
    ]


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


def csv_table(sections: Sequence[Section]) -> str:
    """Return every cell of every table as a line of comma-separated values."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["metric", "denoiser", "noise", "images", "median", "tail"])
    for section in sections:
        if isinstance(table := section.table, Table):
            for (row, column), cell in table.cells.items():
                key = table.metric.key
                writer.writerow([key, row, column, cell.images, cell.median, cell.tail])
    return buffer.getvalue()
