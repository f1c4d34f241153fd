"""Records in, tables and figures out: the only package that draws.

Nothing is measured here. Each section is a heading, a sentence, and a table or a figure; `render`
writes them as one HTML file that needs no other.
"""

from __future__ import annotations

import json
from pathlib import Path

from emprior.errors import EmpriorError, FileError
from emprior.evaluate.recipe import RECIPE, EvaluationRecipe
from emprior.files import replacing
from emprior.records import RECORDS, read
from emprior.report import compared, experiments, result
from emprior.report.board import Board, csv_table
from emprior.report.page import Section, html_page, markdown
from emprior.report.plots import points as draw

__all__ = ["RECORDS", "Section", "draw", "render"]


def render(directory: str | Path) -> Path:
    """Write ``report.html``, and tables and figures beside their records.

    Parameters
    ----------
    directory : path
        As written by `emprior.evaluate.run` (``table.md``, ``table.csv`` and ``figure.png`` are
        made too) or by `emprior.reproduce.run` (as `experiments.render` and `compared.render` say).
        Or a denoised file whose metadata tell columns: ``NAME.html`` is made beside it.

    Returns
    -------
    Path
        Of the HTML file, which needs no other.

    Raises
    ------
    FileError
        If there are no records, or no columns in the metadata of the file.
    MissingExtraError
        If Matplotlib is not installed.
    OutputError
        If a file cannot be written.
    """
    directory = Path(directory)
    page = directory / "report.html"
    if directory.is_file():
        sections, title = result.sections(directory), directory.name
        page = directory.with_name(directory.name + ".html")
    elif folders := experiments.folders(directory):
        sections = compared.render(directory)
        sections += [section for folder in folders for section in experiments.render(folder)]
        title = "Generative adversarial networks for electron microscope image denoising"
    else:
        sections = _board(directory)
        title = "emprior report"
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
    try:
        board = Board(records, _recipe(directory / RECIPE))
        sections = board.sections()
        results = {
            "figure.png": next(section.figure for section in sections if section.figure),
            "table.csv": csv_table([*board.tables, board.law[1]]).encode(),
            "table.md": markdown(sections).encode(),
        }
    except (KeyError, TypeError, ValueError, StopIteration) as error:
        if isinstance(error, EmpriorError):
            raise
        raise FileError(
            f"{directory / RECORDS}: a record that lacks or misstates {error}",
            expected="records that emprior evaluate wrote",
            why="tables and figures are made from what each of them says",
            fix="name the folder of an evaluation, or evaluate again into a new one",
        ) from error
    for name, content in results.items():
        with replacing(directory / name) as made:
            made.write_bytes(content)
    return sections


def _recipe(path: Path) -> EvaluationRecipe | None:
    """Return the recipe beside the records; None where there is none."""
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileError(
            f"{path}: {error}",
            expected="the recipe that emprior evaluate wrote there",
            why="it says in which order rows stand, and what they are to reach",
            fix="evaluate again with the same recipe: nothing recorded is measured twice",
        ) from error
    return EvaluationRecipe.from_dict(values, str(path))
