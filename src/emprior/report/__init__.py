"""Records in, tables and figures out: the only package that draws.

Nothing is measured here. Each section is a heading, a sentence, and a table or a figure; `render`
writes them as one HTML file that needs no other.
"""

from __future__ import annotations

from pathlib import Path

from emprior.errors import FileError
from emprior.files import replacing
from emprior.records import RECORDS, read
from emprior.report import board, experiments
from emprior.report.page import Section, html_page, markdown
from emprior.report.plots import points as draw

__all__ = ["RECORDS", "Section", "draw", "render"]


def render(directory: str | Path) -> Path:
    """Write ``report.html``, and tables and figures beside their records.

    Parameters
    ----------
    directory : path
        As written by `emprior.evaluate.run` (``table.md``, ``table.csv`` and ``figure.png`` are
        made too) or by `emprior.reproduce.run` (as `experiments.render` says).

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
    if folders := experiments.folders(directory):
        sections = [section for folder in folders for section in experiments.render(folder)]
        title = "Generative adversarial networks for electron microscope image denoising"
    else:
        sections = _board(directory)
        title = "emprior report"
    page = directory / "report.html"
    with replacing(page) as made:
        made.write_text(html_page(title, sections), encoding="utf-8")
    return page


def _board(directory: Path) -> list[Section]:
    records = read(directory / RECORDS)
    if not records:
        raise FileError(
            f"{directory / RECORDS} holds no record",
            expected="at least one line",
            why="tables and figures are made from records",
            fix="run emprior evaluate until it has measured something",
        )
    sections = board.sections(records)
    results = {
        "figure.png": next(section.figure for section in sections if section.figure),
        "table.csv": board.csv_table(sections).encode(),
        "table.md": markdown(sections).encode(),
    }
    for name, content in results.items():
        with replacing(directory / name) as made:
            made.write_bytes(content)
    return sections
