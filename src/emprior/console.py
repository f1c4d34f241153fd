"""What a person sees while work goes on: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console as RichConsole
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from emprior.errors import EmpriorWarning


class Console:
    """Says things on standard error, so that standard output stays free for results.

    Parameters
    ----------
    quiet : bool
        Say only errors and warnings.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        # File names are said as they are: no colours, [markup] or :emoji: found in them.
        self._rich = RichConsole(stderr=True, highlight=False, markup=False, emoji=False)

    def say(self, text: str) -> None:
        """Say one line, unless quiet."""
        if not self.quiet:
            self._rich.print(text, soft_wrap=True)

    def complain(self, kind: str, text: str) -> None:
        """Say an error or a warning, also when quiet."""
        colour = "red" if kind == "error" else "yellow"
        self._rich.print(f"{kind}: ", style=f"bold {colour}", end="")
        self._rich.print(text, soft_wrap=True)

    @contextmanager
    def progress(self, task: str) -> Iterator[Callable[[float], None]]:
        """Give a function that takes the share of a task done, from 0 to 1.

        The bar goes when the task ends; the caller says what came of it.
        """
        if self.quiet:
            yield lambda share: None
        elif self._rich.is_terminal:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
            )
            with Progress(
                *columns,
                console=self._rich,
                transient=True,
                redirect_stdout=sys.stdout.isatty(),  # else results would miss their file
            ) as bars:
                bar = bars.add_task(task, total=1.0)
                yield lambda share: bars.update(bar, completed=share)
        else:
            yield _Lines(self, task)

    @contextmanager
    def warnings(self) -> Iterator[None]:
        """Say this package's warnings as lines, each text once; leave others as they are."""
        said: set[str] = set()

        def show(message: Warning | str, category: type[Warning], *where: object) -> None:
            if not issubclass(category, EmpriorWarning):
                plain(message, category, *where)  # type: ignore[arg-type]
            elif str(message) not in said:
                said.add(str(message))
                self.complain("warning", str(message))

        with warnings.catch_warnings():
            plain = warnings.showwarning
            warnings.simplefilter("always", EmpriorWarning)
            warnings.showwarning = show  # type: ignore[assignment]
            yield


@contextmanager
def session(quiet: bool = False) -> Iterator[Console]:
    """Give a command its console; end with code 130 where it is interrupted."""
    console = Console(quiet)
    with console.warnings():
        try:
            yield console
        except KeyboardInterrupt:
            console.complain("error", "interrupted; what was finished before is kept")
            raise typer.Exit(130) from None


class _Lines:
    """Progress where there is no terminal: a line at every tenth before the end."""

    def __init__(self, console: Console, task: str) -> None:
        self._console, self._task, self._next = console, task, 0.1

    def __call__(self, share: float) -> None:
        if self._next <= share < 1:
            self._console.say(f"{self._task}: {share:.0%}")
            self._next = (int(share * 10 + 1e-9) + 1) / 10
