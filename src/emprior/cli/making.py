"""The commands that make priors: a recipe for a material, its simulation, a training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emprior.cli.options import Overwrite, Quiet, RecipeFile
from emprior.console import session
from emprior.errors import OptionError


def simulate(
    recipe: RecipeFile,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Directory of the data set.")
    ] = None,
    look: Annotated[
        bool,
        typer.Option(
            "--preview",
            help="Only draw a contact sheet, OUT.png or else RECIPE.png, and tell the time that "
            "the whole set will take.",
        ),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; default one a core.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="tcp://…", help="A running Dask scheduler instead.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Simulate a data set of clean micrographs; goes on where it was stopped."""
    with session(quiet) as console:
        from emprior.simulate import preview, simulate

        if look:
            place = recipe if out is None else out
            # A folder may be named "." too.
            sheet = (place if place.name else place.absolute()).with_suffix(".png")
            with console.progress("preview") as progress:
                found = preview(recipe, sheet, workers=workers, progress=progress)
            console.say(str(found))
            return
        if out is None:
            raise OptionError(
                "no directory for the data set",
                expected="--out DIR, or --preview for a look alone",
                why="the images are stored there",
                fix="add -o DIR",
            )
        with console.progress("simulating") as progress:
            simulate(
                recipe,
                out,
                workers=workers,
                scheduler=scheduler,
                progress=lambda done, total: progress(done / total),
            )
        console.say(f"data set in {out}")


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the material.")],
    cif: Annotated[Path, typer.Option(metavar="FILE", help="Its crystal.")],
    zone_axis: Annotated[
        str, typer.Option(metavar="UVW", help="Along the beam: 001, 1-10 or '1 -1 0'.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The recipe, a TOML file.")],
    example: Annotated[
        Path | None,
        typer.Option(metavar="NOISY", help="Tells pixel size, field, voltage and dose."),
    ] = None,
    pixel_size: Annotated[
        float | None,
        typer.Option(parser=float, metavar="Å", help="Where the example does not say."),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write a commented recipe that simulates your own material."""
    with session(quiet) as console:
        from emprior.new import look, parse_axis
        from emprior.new import new as write_recipe

        axis = parse_axis(zone_axis)
        seen = None if example is None else look(example, pixel_size)
        write_recipe(name, cif, axis, out, example=seen, overwrite=overwrite)
        console.say(f"recipe in {out}; now: emprior simulate {out} --preview")


def train(
    recipe: RecipeFile,
    out: Annotated[
        str,  # a path would lose the dot of ./NAME
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help="Run directory; a bare name lies in $EMPRIOR_RUNS or the cache, ./NAME here.",
        ),
    ],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint.")
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option(
            parser=float,
            metavar="N",
            help="Of training in all, resumptions included, instead of the recipe's.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    quiet: Quiet = False,
) -> None:
    """Train a prior, or a supervised network.

    By several processes: `torchrun --nproc-per-node 2 -m emprior train …`
    """
    from emprior.training import leads, run_directory, train

    with session(quiet or not leads()) as console:
        directory = run_directory(out)
        with console.progress("training") as progress:
            outcome = train(
                recipe, directory, resume=resume, minutes=minutes, device=device, progress=progress
            )
        console.say(outcome.message)
        if outcome.prior:
            console.say(f"prior in {outcome.prior}")
        if outcome.status != "finished":
            raise typer.Exit({"diverged": 1, "interrupted": 130}[outcome.status])
