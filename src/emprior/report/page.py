"""Sections as one HTML file that needs no other, and as Markdown."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


class Readable(Protocol):
    """A table whose cells are known as texts."""

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of the lines."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Headings."""

    def text(self, row: str, column: str) -> str:
        """Return a cell."""

    def best(self, column: str) -> str | None:
        """Return the row that stands out in a column, if any does."""


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Parameters
    ----------
    title, text : str
    table : Readable, optional
    figure : bytes, optional
        A PNG image.
    level : int
        1 for a part of the report, 2 for a part of that.
    foot : Readable, optional
        Lines under the table, of the same columns, that are no rows of it: limits and references.
    widget : str
        HTML that is put in as it stands.
    """

    title: str
    text: str = ""
    table: Readable | None = None
    figure: bytes | None = None
    level: int = 1
    foot: Readable | None = None
    widget: str = ""


# Browsers then refuse to load anything from elsewhere, whatever slips into the page.
_ALONE = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">"
)

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #ddd }
th:first-child { text-align: left } img { max-width: 100% }
tfoot { color: #555; border-top: 2px solid #888 } tfoot th { font-weight: normal }
nav { columns: 16rem; margin-bottom: 2rem } nav a { display: block }
"""


def html_page(title: str, sections: Sequence[Section]) -> str:
    """Return one HTML document; pictures are in it, nothing is loaded from elsewhere."""
    escape = html.escape
    heads = [(i, section) for i, section in enumerate(sections) if section.level == 1]
    links = "".join(f'<a href="#part-{i}">{escape(s.title)}</a>' for i, s in heads)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{_ALONE}'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>\n<h1>{escape(title)}</h1>\n"
        f"<nav>{links}</nav>\n"
        + "\n".join(line for i, section in enumerate(sections) for line in _html(i, section))
        + "\n</body></html>\n"
    )


def _html(number: int, section: Section) -> Iterator[str]:
    escape = html.escape
    heading = f"h{section.level + 1}"
    yield f'<{heading} id="part-{number}">{escape(section.title)}</{heading}>'
    if section.text:
        yield f"<p>{escape(section.text)}</p>"
    if section.figure:
        data = base64.b64encode(section.figure).decode()
        yield f'<img alt="{escape(section.title)}" src="data:image/png;base64,{data}">'
    yield section.widget
    if table := section.table:
        best = {column: table.best(column) for column in table.columns}
        head = "".join(f"<th>{escape(column)}</th>" for column in table.columns)
        yield f"<table>\n<tr><th></th>{head}</tr>"
        for row in table.rows:
            cells = [(table.text(row, column), best[column] == row) for column in table.columns]
            yield _row(row, (f"<b>{escape(t)}</b>" if bold else escape(t) for t, bold in cells))
        if foot := section.foot:
            yield "<tfoot>"
            for row in foot.rows:
                yield _row(row, (escape(foot.text(row, column)) for column in table.columns))
            yield "</tfoot>"
        yield "</table>"


def _row(name: str, cells: Iterable[str]) -> str:
    """Return a line of a table from its name, a text, and its cells, which are HTML."""
    texts = "".join(f"<td>{cell}</td>" for cell in cells)
    return f"<tr><th>{html.escape(name)}</th>{texts}</tr>"


def markdown(sections: Sequence[Section]) -> str:
    """Return the texts and tables; figures are left out."""
    lines = []
    for section in sections:
        lines += [f"{'#' * (section.level + 1)} {section.title}", ""]
        lines += [section.text, ""] if section.text else []
        if table := section.table:
            lines += ["| | " + " | ".join(map(_cell, table.columns)) + " |"]
            lines += ["|---" * (len(table.columns) + 1) + "|"]
            for part in filter(None, (table, section.foot)):
                for row in part.rows:
                    cells = [part.text(row, column) for column in table.columns]
                    lines += ["| " + " | ".join(map(_cell, [row, *cells])) + " |"]
            lines += [""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
