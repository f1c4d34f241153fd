"""Sections of a report on experiments, from their records and the views described beside them."""

from __future__ import annotations

import json
from pathlib import Path

from emprior.errors import EmpriorError, FileError
from emprior.files import replacing
from emprior.records import RECORDS, read
from emprior.report.grids import Records, grid
from emprior.report.page import Section, markdown
from emprior.report.plots import curves, histogram, pictures
from emprior.views import DESCRIPTION, Cross, Curves, Description, Histogram, Pictures, Table, View


def folders(directory: Path) -> list[Path]:
    """Return the folders of the experiments in a directory, in the order of the paper."""
    found = [path.parent for path in directory.glob(f"*/{DESCRIPTION}")]
    return sorted(found, key=lambda folder: (_described(folder)[0], folder.name))


def render(folder: Path) -> list[Section]:
    """Draw one experiment: ``table.md`` and a PNG for each figure; return its sections.

    Raises
    ------
    FileError
        If its records, description or pictures cannot be read, or records lack what is shown.
    MissingExtraError
        If Matplotlib is not installed.
    """
    _, description = _described(folder)
    records = read(folder / RECORDS) if (folder / RECORDS).exists() else []
    text = f"{description.part}. {description.text}"
    sections = [Section(description.title, f"{text} {_provenance(records)}")]
    for number, view in enumerate(description.views, 1):
        chosen = [record for record in records if record.get("what") == view.what]
        if not chosen:
            continue
        try:
            section = _section(view, chosen, folder)
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, EmpriorError):
                raise
            raise _unreadable(folder, view, error) from error
        sections.append(section)
        if section.figure:
            with replacing(folder / f"figure-{number}.png") as made:
                made.write_bytes(section.figure)
    with replacing(folder / "table.md") as made:
        made.write_text(markdown(sections), encoding="utf-8")
    return sections


def _section(view: View, records: Records, folder: Path) -> Section:
    figure, table = None, None
    match view:
        case Table() | Cross():
            table = grid(records, view)
        case Curves():
            figure = curves(records, view)
        case Histogram():
            figure = histogram(records, view)
        case Pictures():
            figure = pictures(records, view, folder)
    return Section(view.title, view.text, table, figure, level=2)


def _unreadable(folder: Path, view: View, error: Exception) -> FileError:
    return FileError(
        f"{folder / RECORDS}: records of {view.what!r} cannot be shown ({error!r})",
        expected="records as this version of emprior writes them",
        why=f"“{view.title}” shows them",
        fix=f"delete the lines whose what is {view.what!r} and run emprior reproduce again",
    )


def _described(folder: Path) -> tuple[int, Description]:
    """Return an experiment's place in the paper and its description."""
    path = folder / DESCRIPTION
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return values.pop("order"), Description.from_dict(values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileError(
            f"{path}: {error}",
            expected="what emprior reproduce writes beside the records of an experiment",
            why="it says how the records are to be shown",
            fix="run emprior reproduce again for this experiment; it keeps what is measured",
        ) from error


def _provenance(records: Records) -> str:
    if not records:
        return "Nothing has been measured yet."
    seconds = sum(float(record.get("seconds", 0)) for record in records)
    scales, seeds = (
        ", ".join(dict.fromkeys(str(record.get(key, "not told")) for record in records))
        for key in ("scale", "seed")
    )
    return f"{len(records)} records, {seconds:,.0f} s of work, scale {scales}, seed {seeds}."
