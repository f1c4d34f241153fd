"""How records are to be looked at: said beside them, drawn by `emprior.report`.

A view chooses records by their ``what`` and names the keys that it shows. It is plain data, so
that whoever measures can say how to read the measurement without drawing anything.
"""

from __future__ import annotations

import dataclasses
from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class View(ABC):
    """A table or a figure of some records.

    Parameters
    ----------
    what : str
        Records of this kind are shown.
    title : str
    text : str
        What to see in it, in a sentence or two.
    """

    what: str
    title: str
    text: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, the kind of view under ``type``."""
        kind = next(name for name, cls in VIEWS.items() if cls is type(self))
        return {"type": kind, **dataclasses.asdict(self)}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> View:
        """Make the view that `to_dict` described."""
        arguments = dict(values)
        return VIEWS[arguments.pop("type")](**arguments)


@dataclass(frozen=True, kw_only=True)
class Table(View):
    """A line for each value of one key, a column for each number.

    Lines that stand for several records show mean ± standard deviation.

    Parameters
    ----------
    row : str
        Key that names the lines.
    columns : mapping
        From key to heading; texts are shown as they are.
    digits : int
        Decimal places.
    """

    row: str
    columns: Mapping[str, str]
    digits: int = 2


@dataclass(frozen=True, kw_only=True)
class Cross(View):
    """One number against two keys: mean ± standard deviation over the records of each cell.

    Parameters
    ----------
    row, column : str
        Keys.
    value : str
        Key of the number.
    digits : int
        Decimal places.
    """

    row: str
    column: str
    value: str
    digits: int = 2


@dataclass(frozen=True, kw_only=True)
class Curves(View):
    """A curve for each record, whose abscissae and ordinates are lists.

    Parameters
    ----------
    x, y : str
        Keys of the two lists.
    x_label, y_label : str
        With units.
    by : str
        Key that names the curves; curves of one name have one colour.
    panel : str, optional
        Key that shares them out among axes.
    log : bool
        Logarithmic ordinates.
    """

    x: str
    y: str
    x_label: str
    y_label: str
    by: str
    panel: str | None = None
    log: bool = False


@dataclass(frozen=True, kw_only=True)
class Histogram(View):
    """A histogram for each record, of the list under one key.

    Parameters
    ----------
    values : str
        Key of the list.
    label : str
        Of the axis, with its unit.
    by : str
        Key that names the histograms.
    """

    values: str
    label: str
    by: str


@dataclass(frozen=True, kw_only=True)
class Pictures(View):
    """Recorded pictures in rows and columns.

    Parameters
    ----------
    row, column : str
        Keys that place a picture.
    """

    row: str
    column: str


DESCRIPTION = "experiment.json"
"""Name of the file beside the records of an experiment."""

VIEWS: dict[str, type[View]] = {
    "table": Table,
    "cross": Cross,
    "curves": Curves,
    "histogram": Histogram,
    "pictures": Pictures,
}


@dataclass(frozen=True)
class Description:
    """What an experiment is about: stands beside its records.

    Parameters
    ----------
    name : str
    title : str
    part : str
        Of the paper.
    text : str
        What is done, and what the paper says of it.
    views : tuple of View
    """

    name: str
    title: str
    part: str
    text: str
    views: tuple[View, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(Description)}
        return {**values, "views": [view.to_dict() for view in self.views]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Description:
        """Make the description that `to_dict` described."""
        views = tuple(View.from_dict(view) for view in values["views"])
        return cls(**{**values, "views": views})
