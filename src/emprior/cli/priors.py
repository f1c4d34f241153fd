"""The commands about priors as files: list, card, verify, assess, export, import, onnx."""

from __future__ import annotations

import dataclasses
import json
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from emprior.cli.options import Overwrite, Quiet
from emprior.console import session
from emprior.errors import OptionError, WeightsError

priors = typer.Typer(rich_markup_mode="markdown")

Prior = Annotated[str, typer.Argument(metavar="NAME|FILE", help="Of a prior.")]


@priors.callback(invoke_without_command=True)
def _list(
    context: typer.Context,
    folder: Annotated[
        Path | None, typer.Option("--in", metavar="DIR", help="List the trained ones in a folder.")
    ] = None,
) -> None:
    """List the priors: what each was trained on, how well it does, what it is not for.

    Alone it lists those that come with emprior and those that were imported.
    """
    command = context.invoked_subcommand
    if command is not None and folder is None:
        return
    with session() as console:
        if command is not None:
            raise OptionError(
                f"--in {folder} with the command {command!r}",
                expected="the one or the other",
                why="--in lists the priors of a folder",
                fix=f"leave out {command!r}, or give it the path of a prior",
            )
        from emprior.weights import describe, names, trained

        listed: list[str | Path] = [*names()] if folder is None else [*trained(folder)]
        for name in listed:
            try:
                typer.echo(describe(name))
            except WeightsError as error:  # of one file; the others are still there
                console.complain("warning", str(error))
        if not listed:
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
def assess(
    prior: Prior,
    data: Annotated[
        Path, typer.Option(help="A simulated data set of structures that it was not trained on.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Keep the records in this directory.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="At most so many of them.")] = 16,
    noise: Annotated[
        list[str] | None,
        typer.Option(metavar="P(S)|G(SIGMA)", help="To be tried; may be given several times."),
    ] = None,
    pixel_size: Annotated[
        float | None,
        typer.Option(parser=float, metavar="Å", help="Of noisy pixels; default the data set's."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Say whether a prior is good enough, for which noise, and what to change if not.

    It is compared with the pooled wavelet, which knows nothing of the material.
    """
    with session(quiet) as console, ExitStack() as stack:
        from emprior.fitness import NOISES, assess

        place = out or stack.enter_context(TemporaryDirectory())
        with console.progress("assessing") as progress:
            found = assess(
                prior,
                data,
                place,
                images=images,
                noises=noise or NOISES,
                pixel_size=pixel_size,
                progress=progress,
            )
        for line in found.lines():
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
