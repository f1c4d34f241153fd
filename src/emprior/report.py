"""Records in, tables and figures out: the only module that draws.

Nothing is measured here. Each `Section` is a heading, a sentence, a table and perhaps a figure;
`render` writes them as one HTML file, and the same numbers as Markdown and CSV.
"""

from __future__ import annotations

import base64
import csv
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emprior.errors import FileError, import_extra
from emprior.files import replacing
from emprior.records import RECORDS, read
from emprior.tables import HEADLINE, METRICS, Records, Table, tabulate


@dataclass(frozen=True)
class Section:
    """A part of the report."""

    title: str
    text: str
    table: Table | None = None
    figure: bytes | None = None
    """A PNG image."""


def render(directory: str | Path) -> Path:
    """Write ``report.html``, ``table.md``, ``table.csv`` and ``figure.png`` beside the records.

    Parameters
    ----------
    directory : path
        As written by `emprior.evaluate.run`.

    Returns
    -------
    Path
        Of the HTML file, which needs no other.

    Raises
    ------
    FileError
        If there are no records.
    MissingExtraError
        If Matplotlib is not installed.
    OutputError
        If a file cannot be written.
    """
    directory = Path(directory)
    records = read(directory / RECORDS)
    if not records:
        raise FileError(
            f"{directory / RECORDS} holds no record",
            expected="at least one line",
            why="tables and figures are made from records",
            fix="run emprior evaluate until it has measured something",
        )
    parts = sections(records)
    figure = next(part.figure for part in parts if part.figure)
    results = {
        "figure.png": figure,
        "table.csv": _csv(parts).encode(),
        "table.md": _markdown(parts).encode(),
        "report.html": _html(parts).encode(),
    }
    for name, content in results.items():
        with replacing(directory / name) as made:
            made.write_bytes(content)
    return directory / "report.html"


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
        Section(HEADLINE.title, note, tables[0], draw(tables[0])),
        *(Section(table.metric.title, note, table) for table in tables[1:]),
        Section("How this was measured", _provenance(records)),
    ]


def draw(table: Table, limits: tuple[float, float] = (15.0, 50.0)) -> bytes:
    """Draw a table as a PNG: a point for each cell, with a whisker from the median to the tail.

    Cells beyond the limits of the axis are triangles at its ends.
    """
    import_extra("matplotlib", "report", "drawing figures")
    from matplotlib.figure import Figure

    # Okabe and Ito's colours, told apart also by the colour-blind; hollow when they run out.
    colours = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.add_subplot(ylim=limits)
    pitch = 0.8 / len(table.rows)
    for rank, row in enumerate(table.rows):
        colour = colours[rank % len(colours)]
        filled = rank // len(colours) % 2 == 0
        style: dict[str, Any] = {
            "color": colour,
            "mfc": colour if filled else "white",
            "ls": "",
            "clip_on": False,
        }
        axes.plot([], [], marker="o", label=row, **style)
        for x, column in enumerate(table.columns):
            cell = table.cells.get((row, column))
            if cell is None or not cell.images:
                continue
            at = x + pitch * (rank - (len(table.rows) - 1) / 2)
            median, tail = np.clip([cell.median, cell.tail], *limits)
            marker = "^" if cell.median > limits[1] else "v" if cell.median < limits[0] else "o"
            axes.vlines(at, min(median, tail), max(median, tail), color=colour, lw=1)
            axes.plot(at, median, marker=marker, markersize=5, **style)
    axes.set_xticks(range(len(table.columns)), table.columns)
    axes.set_xticks(np.arange(len(table.columns) - 1) + 0.5, minor=True)
    axes.tick_params(axis="x", which="both", length=0)
    axes.grid(axis="y", color="0.9")
    axes.grid(axis="x", which="minor", color="0.8")
    axes.set_xlim(-0.5, len(table.columns) - 0.5)
    axes.set_xlabel("noise")
    axes.set_ylabel(table.metric.title)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


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


def _csv(parts: Sequence[Section]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["metric", "denoiser", "noise", "images", "median", "tail"])
    for part in parts:
        if part.table:
            for (row, column), cell in part.table.cells.items():
                key = part.table.metric.key
                writer.writerow([key, row, column, cell.images, cell.median, cell.tail])
    return buffer.getvalue()


def _markdown(parts: Sequence[Section]) -> str:
    lines = []
    for part in parts:
        lines += [f"## {part.title}", "", part.text, ""]
        if table := part.table:
            lines += ["| | " + " | ".join(table.columns) + " |"]
            lines += ["|---" * (len(table.columns) + 1) + "|"]
            for row in table.rows:
                cells = [table.text(row, column) for column in table.columns]
                lines += ["| " + " | ".join([row.replace("|", "\\|"), *cells]) + " |"]
            lines += [""]
    return "\n".join(lines)


_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #ddd }
th:first-child { text-align: left } img { max-width: 100% }
"""


def _html(parts: Sequence[Section]) -> str:
    escape = html.escape
    body = []
    for part in parts:
        body.append(f"<h2>{escape(part.title)}</h2>\n<p>{escape(part.text)}</p>")
        if part.figure:
            data = base64.b64encode(part.figure).decode()
            body.append(f'<img alt="{escape(part.title)}" src="data:image/png;base64,{data}">')
        if table := part.table:
            best = {column: table.best(column) for column in table.columns}
            head = "".join(f"<th>{escape(column)}</th>" for column in table.columns)
            lines = [f"<tr><th></th>{head}</tr>"]
            for row in table.rows:
                cells = [(table.text(row, column), best[column] == row) for column in table.columns]
                texts = (f"<b>{escape(t)}</b>" if bold else escape(t) for t, bold in cells)
                lines.append(
                    f"<tr><th>{escape(row)}</th>"
                    + "".join(f"<td>{t}</td>" for t in texts)
                    + "</tr>"
                )
            body.append("<table>\n" + "\n".join(lines) + "\n</table>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>emprior report</title>'
        f"<style>{_STYLE}</style></head><body>\n<h1>emprior report</h1>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )
