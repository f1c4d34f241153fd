"""The commands for studies: demo, evaluate, reproduce the paper, and report any of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emprior.cli.options import Overwrite, Quiet, RecipeFile
from emprior.console import session


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="A directory.")] = Path("emprior-demo"),
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Denoise a bundled micrograph whose truth is known; write picture and table."""
    with session(quiet) as console:
        from emprior.demo import run

        with console.progress("demo") as progress:
            run(out, overwrite=overwrite, echo=console.say, progress=progress)


def _list_experiments(wanted: bool) -> None:
    if wanted:
        from emprior.reproduce import EXPERIMENTS

        for name, experiment in EXPERIMENTS.items():
            typer.echo(f"{name:<16} {experiment.title} ({experiment.part})")
        raise typer.Exit


def evaluate(
    recipe: RecipeFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory of the records.")],
    quiet: Quiet = False,
) -> None:
    """Score denoisers on images and noises; goes on where it was stopped."""
    with session(quiet) as console:
        from emprior.evaluate import run

        with console.progress("evaluating") as progress:
            run(recipe, out, progress=progress)
        console.say(f"records in {out}; now: emprior report {out}")


def report(
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|FILE", help="Of emprior evaluate, reproduce, or denoise (with columns)."
        ),
    ],
    quiet: Quiet = False,
) -> None:
    """Draw tables and figures from records, into one HTML file beside them."""
    with session(quiet) as console:
        from emprior.report import render

        console.say(f"report in {render(directory)}")


def reproduce(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME…|all", help="Experiments; --list names them.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory of data and records.")],
    scale: Annotated[
        str,
        typer.Option(
            metavar="paper|cpu|smoke",
            help="The paper's size (wants a GPU), twelve hours of two cores, or minutes.",
        ),
    ] = "cpu",
    images: Annotated[
        Path | None,
        typer.Option(help="Natural images: a CIFAR binary archive, a zip or a folder."),
    ] = None,
    video: Annotated[
        Path | None, typer.Option(help="Low-dose frames for figure 14, any micrograph file.")
    ] = None,
    device: Annotated[str, typer.Option(help="Of trainings: auto, cpu or cuda.")] = "auto",
    listed: Annotated[
        bool, typer.Option("--list", callback=_list_experiments, is_eager=True, help="Name them.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Run the experiments of Chen & Stanley; goes on where it was stopped.

    Each writes records, figures and a table into a folder of its name; `emprior report DIR` makes
    one page of them all.
    """
    with session(quiet) as console:
        from emprior.reproduce import choose, load_scale, run

        choose(names)
        outcome = run(
            names,
            out,
            load_scale(scale),
            scale_name=scale,
            device=device,
            natural_images=images,
            video=video,
            say=console.say,
            bar=console.progress,
        )
        for name, error in outcome.failed.items():
            console.complain("error", f"{name}: {error}")
        done = f"{len(outcome.finished)} of {len(outcome.finished) + len(outcome.failed)}"
        console.say(f"{done} experiments in {out}; now: emprior report {out}")
        if outcome.failed:
            raise typer.Exit(2)
