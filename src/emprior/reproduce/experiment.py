"""What every experiment is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from emprior.reproduce.book import Book
from emprior.reproduce.workshop import Workshop
from emprior.views import Description


@dataclass(frozen=True)
class Experiment(Description):
    """A description, and the work.

    Parameters
    ----------
    run : callable
        Measures with what the workshop has, into the book. Called again after an interruption:
        what the book holds is not measured twice.
    """

    run: Callable[[Workshop, Book], None] = lambda shop, book: None
