"""The command line: each command is one call of the package."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from emprior import __version__
from emprior.console import Console
from emprior.errors import EmpriorError

app = typer.Typer(
    name="emprior",
    help="Denoise atomic-resolution electron micrographs with a generative prior.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="Settings, a TOML file.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only warnings and errors.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing results.")]


def main() -> None:
    """Run the command line; errors of this package end with exit code 2 and nothing written."""
    try:
        app()
    except EmpriorError as error:
        Console().complain("error", str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        Console().complain("error", "interrupted; what was finished before is kept")
        sys.exit(130)


@contextmanager
def _console(quiet: bool) -> Iterator[Console]:
    console = Console(quiet)
    with console.warnings():
        yield console


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


@app.command()
def denoise(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT…", help="Micrographs, or @list.txt of paths.")
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="A file, whose suffix names its format, or a directory."),
    ],
    method: Annotated[
        str, typer.Option(help="prior, pooled-wavelet, wavelet, nlm, tv, wiener, blur, …")
    ] = "prior",
    noise: Annotated[
        str,
        typer.Option(
            metavar="auto|none|poisson[:GAIN][,clip=MAX]|gaussian:SIGMA",
            help="auto identifies it from each frame. GAIN: data units an electron.",
        ),
    ] = "auto",
    prior: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="A shipped prior (emprior priors) or a file.")
    ] = "default",
    pixel_size: Annotated[
        float | None, typer.Option(metavar="Å", help="Where the file does not say, or is wrong.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed and file, same result.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    force: Annotated[
        bool,
        typer.Option("--force", help="Take the prior's answer whatever the data says."),
    ] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Denoise micrographs.

    Reads dm3, dm4, ser, emi, emd, mrc, tif, hspy, npy, png and what else RosettaSciIO reads;
    writes hspy, tif, mrc, emd, npy or png with axes, units and provenance. Stacks go frame by
    frame. Where the prior does not know the picture, the pooled wavelet answers, with a warning.
    """
    with _console(quiet) as console:
        from emprior.batch import Settings, denoise_file, expand
        from emprior.io import plan_outputs

        settings = Settings(method, noise, prior, pixel_size, seed, device, force)
        settings.check()
        sources = expand(inputs)
        targets = plan_outputs(sources, out, overwrite=overwrite)
        failed = 0
        for source, target in zip(sources, targets, strict=True):
            try:
                with console.progress(source.name) as progress:
                    frames = denoise_file(
                        source, target, settings, overwrite=overwrite, progress=progress
                    )
            except EmpriorError as error:
                if len(sources) == 1:
                    raise
                # One bad file must not cost the others their night of computing.
                console.complain("error", f"{source}: {error}")
                failed += 1
                continue
            seconds = sum(frame.seconds for frame in frames)
            methods = ", ".join(sorted({frame.method for frame in frames}))
            noises = ", ".join(sorted({str(frame.noise) for frame in frames})[:3])
            console.say(f"{source.name} → {target} ({methods}; {noises}; {seconds:.1f} s)")
        if failed:
            console.complain("error", f"{failed} of {len(sources)} files were not denoised")
            raise typer.Exit(2)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="A directory.")] = Path("emprior-demo"),
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Denoise a bundled micrograph whose truth is known; write picture and table."""
    with _console(quiet):
        from emprior.demo import run

        run(out, overwrite=overwrite, echo=(lambda text: None) if quiet else typer.echo)


@app.command()
def simulate(
    recipe: RecipeFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory of the data set.")],
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; default one a core.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="tcp://…", help="A running Dask scheduler instead.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Simulate a data set of clean micrographs; goes on where it was stopped."""
    with _console(quiet) as console:
        from emprior.simulate import run

        with console.progress("simulating") as progress:
            run(recipe, out, workers=workers, scheduler=scheduler, progress=progress)
        console.say(f"data set in {out}")


@app.command()
def train(
    recipe: RecipeFile,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Run directory; a bare name lies in $EMPRIOR_RUNS or the cache."
        ),
    ],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    quiet: Quiet = False,
) -> None:
    """Train a prior on a simulated data set."""
    with _console(quiet) as console:
        from emprior.training import run_directory, train

        directory = run_directory(out)
        with console.progress("training") as progress:
            outcome = train(recipe, directory, resume=resume, device=device, progress=progress)
        console.say(outcome.message)
        if outcome.prior:
            console.say(f"prior in {outcome.prior}")
        if outcome.status != "finished":
            raise typer.Exit({"diverged": 1, "interrupted": 130}[outcome.status])


@app.command()
def evaluate(
    recipe: RecipeFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory of the records.")],
    quiet: Quiet = False,
) -> None:
    """Score denoisers on images and noises; goes on where it was stopped."""
    with _console(quiet) as console:
        from emprior.evaluate import run

        with console.progress("evaluating") as progress:
            run(recipe, out, progress=progress)
        console.say(f"records in {out}; now: emprior report {out}")


@app.command()
def report(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Records of emprior evaluate.")],
    quiet: Quiet = False,
) -> None:
    """Draw tables and figures from records, into one HTML file beside them."""
    with _console(quiet) as console:
        from emprior.report import render

        console.say(f"report in {render(directory)}")


@app.command()
def priors() -> None:
    """List the shipped priors: what each was trained on, how well it does, what it is not for."""
    with _console(False):
        from emprior.weights import describe, names

        for name in names():
            typer.echo(describe(name))


if __name__ == "__main__":
    main()
