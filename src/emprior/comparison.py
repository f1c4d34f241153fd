"""Statements of a paper beside our records: which number is which, said once, read by reports."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from emprior.recipes import Recipe

COMPARISON = "comparison.json"
"""Name of the file beside the folders of experiments."""


class Key(Recipe):
    """A number in the records of an experiment.

    Parameters
    ----------
    experiment : str
    what : str
        Kind of record.
    where : dict
        Values that the records have under other names.
    value : str
        Name of the number.
    """

    experiment: str
    what: str
    where: dict[str, str] = Field(default_factory=dict)
    value: str

    def __str__(self) -> str:
        where = "".join(f", {name} “{value}”" for name, value in self.where.items())
        return f"{self.experiment}: {self.what}{where}: {self.value}"


class Statement(Recipe):
    """What a paper shows in a place.

    Parameters
    ----------
    place : str
        A figure or section.
    shows : str
    paper : str
        Its number, with the unit.
    here : Key or str
        Of our number, or of our picture the experiment.
    digits : int
        Decimal places.
    why : str
        Why the two differ, or that they do not, in a sentence.
    """

    place: str
    shows: str
    paper: str
    here: Key | str
    digits: Annotated[int, Field(ge=0)] = 2
    why: str = ""


class Claim(Recipe):
    """That one number is above another, image by image.

    Parameters
    ----------
    place, says : str
        Where the paper says what.
    more, less : Key
    by : str
        Name of what pairs the records.
    ideal : float, optional
        Then it is that the first is nearer to this value.
    why : str
        What the outcome says, in a sentence.
    """

    place: str
    says: str
    more: Key
    less: Key
    by: str = "image"
    ideal: float | None = None
    why: str = ""


class Comparison(Recipe):
    """A paper, statement by statement and claim by claim."""

    statement: tuple[Statement, ...]
    claim: tuple[Claim, ...]
