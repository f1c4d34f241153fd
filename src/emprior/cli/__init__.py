"""The command line: each command is one call of the package."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from emprior import __version__
from emprior.cli.making import new, simulate, train
from emprior.cli.micrographs import check, denoise
from emprior.cli.priors import priors
from emprior.cli.studies import demo, evaluate, report, reproduce
from emprior.console import Console
from emprior.errors import EmpriorError, OptionError

_UsageError: Any = typer.BadParameter.__bases__[0]  # click's, or typer's own copy of click


class _Commands(TyperGroup):
    """Commands whose errors are all said in four parts, with exit code 2."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> NoReturn:
        """Run one command, and end the process with its exit code."""
        try:
            code = super().main(args, *rest, **{**options, "standalone_mode": False})
        except (EmpriorError, _UsageError) as error:
            ours = error if isinstance(error, EmpriorError) else _in_four_parts(error)
            if ours.got:  # nothing where help was shown for want of a command
                Console().complain("error", str(ours))
            code = 2
        sys.exit(code or 0)


def _in_four_parts(error: Any) -> OptionError:
    command = error.ctx.command_path if error.ctx else "emprior"
    return OptionError(
        error.format_message().replace("Value error, ", "").rstrip("."),
        expected=" ".join(error.ctx.get_usage().split()[1:]) if error.ctx else "a command",
        why="what is not understood is not passed over: the result might not be what is wanted",
        fix=f"run: {command} --help",
    )


app = typer.Typer(
    name="emprior",
    cls=_Commands,
    help="Denoise atomic-resolution electron micrographs with a generative prior.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (denoise, check, demo, simulate, new, train, evaluate, report, reproduce):
    app.command()(_command)
app.add_typer(priors, name="priors")


def main() -> None:
    """Run the command line."""
    # PyTorch's threads spin while they wait for each other: on cores that other work shares, ten
    # times as long as they work. So they soon sleep; GNU's OpenMP reads this as it is loaded.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    app(prog_name="emprior")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"emprior {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    pass
