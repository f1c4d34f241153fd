"""The commands about priors as files: list, card, export, import, verify, onnx."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from emprior.console import session
from emprior.errors import WeightsError

priors = typer.Typer(rich_markup_mode="markdown")

Prior = Annotated[str, typer.Argument(metavar="NAME|FILE", help="Of a prior.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


@priors.callback(invoke_without_command=True)
def _list(context: typer.Context) -> None:
    """List the priors: what each was trained on, how well it does, what it is not for.

    Alone it lists those that come with emprior and those that were imported.
    """
    if context.invoked_subcommand is not None:
        return
    with session() as console:
        from emprior.weights import describe, names

        for name in names():
            try:
                typer.echo(describe(name))
            except WeightsError as error:  # of one file; the others are still there
                console.complain("warning", str(error))
        if not names():
            console.say("no prior comes with this installation; make one by emprior train")


@priors.command()
def card(
    prior: Prior,
    as_json: Annotated[
        bool, typer.Option("--json", help="All of it, the recipe too, for programs.")
    ] = False,
) -> None:
    """Show the card of one prior."""
    with session():
        from emprior.weights import describe, read_card

        if as_json:
            typer.echo(json.dumps(dataclasses.asdict(read_card(prior)), indent=2))
        else:
            typer.echo(describe(prior))


@priors.command()
def verify(prior: Prior) -> None:
    """Check that a prior is whole, unchanged, and draws what it drew when it was saved."""
    with session():
        from emprior.weights import verify

        for line in verify(prior).lines():
            typer.echo(line)


@priors.command()
def export(
    prior: Prior,
    out: Annotated[Path, typer.Option("--out", "-o", help="A file, FILE.safetensors.")],
    overwrite: Overwrite = False,
) -> None:
    """Write a prior to a file of its own, to pass on."""
    with session() as console:
        from emprior.weights import export

        export(prior, out, overwrite=overwrite)
        console.say(f"{prior} → {out}")


@priors.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Of a prior.")],
    name: Annotated[
        str | None, typer.Option(help="To find it by; default the file's without its suffix.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Keep a verified copy of a prior, to be found by its name from now on."""
    with session() as console:
        from emprior.weights import install, locate

        name = install(file, name, overwrite=overwrite)
        console.say(f"{file} → {locate(name)}; now: emprior denoise … --prior {name}")


@priors.command()
def onnx(
    prior: Prior,
    out: Annotated[Path, typer.Option("--out", "-o", help="A file, FILE.onnx.")],
    overwrite: Overwrite = False,
) -> None:
    """Write a prior's network for other programs, compared with PyTorch by onnxruntime.

    A generator is written whole; of a prior of columns the encoder, without the physics that draws
    what it sees.
    """
    with session() as console:
        from emprior.weights import write_onnx

        difference = write_onnx(prior, out, overwrite=overwrite)
        console.say(
            f"{prior} → {out} (onnxruntime differs from PyTorch by {difference:.0e} of the largest "
            "number)"
        )
