"""The command line: each command is one call of the package."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from emprior import __version__
from emprior.cli_priors import priors
from emprior.console import Console, session
from emprior.errors import EmpriorError, OptionError

if TYPE_CHECKING:
    from emprior.api import Denoised
    from emprior.report.check import Judged

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

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="Settings, a TOML file.")]
NoiseOption = Annotated[
    str,
    typer.Option(
        metavar="NOISE",
        help="auto (found in each frame), none, poisson, poisson:GAIN, poisson:GAIN,clip=MAX "
        "or gaussian:SIGMA; in units of the data, GAIN for one electron.",
    ),
]
PixelSize = Annotated[
    float | None,
    typer.Option(parser=float, metavar="Å", help="Where the file does not say, or is wrong."),
]
SignalOption = Annotated[
    str | None,
    typer.Option(metavar="N|TITLE", help="Which image of a file that holds several."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only warnings and errors.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing results.")]


def main() -> None:
    """Run the command line."""
    app(prog_name="emprior")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"emprior {__version__}")
        raise typer.Exit


def _list_experiments(wanted: bool) -> None:
    if wanted:
        from emprior.reproduce import EXPERIMENTS

        for name, experiment in EXPERIMENTS.items():
            typer.echo(f"{name:<16} {experiment.title} ({experiment.part})")
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
        str,
        typer.Option(
            metavar="NAME",
            help="prior, pooled-wavelet, pooled-wiener, pooled-nlm, pooled-tv, pooled-blur, "
            "pooled-bm3d, wavelet, nlm, tv, bm3d, wiener, blur, constant or identity, or with the "
            "weights of a regressor supervised, or as in the paper, supervised-misused, or with a "
            "generator's algorithm-2, or with the directory of a data set nearest.",
        ),
    ] = "prior",
    noise: NoiseOption = "auto",
    prior: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="Weights: a shipped prior (emprior priors) or a file; or a data set.",
        ),
    ] = "default",
    pixel_size: PixelSize = None,
    signal: SignalOption = None,
    seed: Annotated[
        int, typer.Option(parser=int, metavar="N", help="Same seed and file, same result.")
    ] = 0,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="For weights: auto, cpu or cuda.")
    ] = "auto",
    force: Annotated[
        bool,
        typer.Option("--force", help="Take the prior's answer even if the data speaks against it."),
    ] = False,
    fast: Annotated[
        bool,
        typer.Option(
            "--fast",
            help="The prior's first sight alone, without a search. Nothing is compared with the "
            "data: on a picture that the prior does not know it is made up.",
        ),
    ] = False,
    faults: Annotated[
        bool,
        typer.Option(
            "--faults/--no-faults",
            help="Look for hot and dead pixels, which are estimated from others, for labels, "
            "saturation and padding, which are left as they are, and for row noise of scans, "
            "which is taken off.",
        ),
    ] = True,
    movie: Annotated[
        bool,
        typer.Option(
            "--movie",
            help="The frames follow each other in time: where nothing changed, neighbours are "
            "added as more counts.",
        ),
    ] = False,
    dark: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|VALUE",
            help="What the detector records without electrons: taken off every frame first.",
        ),
    ] = None,
    gain: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="What it records under even illumination, less its dark: every frame is divided "
            "by it over its mean; pixels where it is not positive are estimated from others.",
        ),
    ] = None,
    columns: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="Write the atomic columns that the prior found in all frames, with their errors.",
        ),
    ] = None,
    deviation: Annotated[
        Path | None,
        typer.Option(help="Write the standard deviation of each pixel; named as --out is."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            help="Check the answers against the data, as emprior check does; write a page of it.",
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(parser=int, metavar="N", help="Processes that share the frames of a stack."),
    ] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="tcp://…", help="A running Dask scheduler that does it instead."),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Denoise micrographs.

    Reads dm3, dm4, ser, emi, emd, mrc, tif, hspy, npy, png and what else RosettaSciIO reads;
    writes hspy, tif, mrc, emd, npy or png with axes, units and provenance. Stacks go frame by
    frame, and go on where they were stopped. Where the prior does not know the picture, the pooled
    wavelet answers, with a warning.
    """
    with session(quiet) as console:
        from emprior.batch import Settings, denoise_file, expand, untold
        from emprior.denoisers.depth import DEEPEST
        from emprior.io import (
            ColumnsOfFrame,
            check_columns_output,
            check_place,
            plan_outputs,
            write_columns,
        )
        from emprior.workers import check_workers

        if report is not None:
            from emprior.report.check import Judged, write_check
            from emprior.trust import DRAWN, check_files

        settings = Settings(
            method,
            noise,
            prior,
            pixel_size,
            signal,
            seed,
            device,
            force,
            faults,
            depth="encoder" if fast else DEEPEST,
            dark=dark,
            gain=gain,
            movie=movie,
        )
        settings.check()
        check_workers(workers)
        sources = expand(inputs)
        targets = plan_outputs(sources, out, overwrite=overwrite)
        maps: list[Path] = []
        if deviation is not None:
            settings.check_tells("deviations")
            maps = plan_outputs(sources, deviation, taken=targets, overwrite=overwrite)
        if columns is not None:
            settings.check_tells("columns")
            check_columns_output(columns, sources, [*targets, *maps], overwrite=overwrite)
        if report is not None:
            settings.check_reports()
            taken = [*targets, *maps, *([columns] if columns is not None else [])]
            check_place(report, sources, taken=taken, overwrite=overwrite)
        failed, found, answered = 0, [], []
        judged: list[Judged] = []
        for number, (source, target) in enumerate(zip(sources, targets, strict=True), 1):
            task = source.name + (f" ({number} of {len(sources)})" if len(sources) > 1 else "")
            try:
                with console.progress(task) as progress:
                    frames = denoise_file(
                        source,
                        target,
                        settings,
                        deviation=maps[number - 1] if maps else None,
                        overwrite=overwrite,
                        workers=workers,
                        scheduler=scheduler,
                        progress=progress,
                        say=console.say,
                    )
            except EmpriorError as error:
                if len(sources) == 1:
                    raise
                # One bad file must not cost the others their night of computing.
                console.complain("error", str(error))
                failed += 1
            else:
                console.say(f"{source.name} → {target} ({_summary(frames)})")
                answered += [frame.method for frame in frames]
                found += [
                    ColumnsOfFrame(source.name, index, frame.columns)
                    for index, frame in enumerate(frames)
                    if frame.columns is not None
                ]
                if report is not None:
                    left = DRAWN - sum(len(one.answers) for one in judged)
                    checked = check_files(
                        source,
                        target,
                        answers=[frame.image for frame in frames],
                        signal=signal,
                        noise=noise,
                        pixel_size=pixel_size,
                        faults=faults,
                        drawn=left,
                    )
                    judged.append(Judged(checked, frames[:left]))
        if report is not None and judged:
            write_check(judged, report)
            console.say(f"report → {report}")
        if columns is not None and found:
            write_columns(columns, found)
            console.say(f"{sum(len(frame.columns) for frame in found)} columns → {columns}")
        elif columns is not None and answered:
            console.complain("warning", f"{columns} is not written: {untold(answered)}")
        if failed:
            console.complain("error", f"{failed} of {len(sources)} files were not denoised")
            raise typer.Exit(2)


def _summary(frames: Sequence[Denoised]) -> str:
    methods = Counter(frame.method for frame in frames)
    used = ", ".join(f"{m} in {n} frames" if len(methods) > 1 else m for m, n in methods.items())
    noise, same = str(frames[0].noise), len({str(frame.noise) for frame in frames}) == 1
    count = f"{len(frames)} frames; " if len(frames) > 1 else ""
    seconds = sum(frame.seconds for frame in frames)
    return f"{count}{used}; {noise}{'' if same else ' in the first'}; {seconds:.1f} s"


@app.command()
def check(
    noisy: Annotated[Path, typer.Argument(metavar="NOISY", help="The micrograph as recorded.")],
    denoised: Annotated[
        Path, typer.Argument(metavar="DENOISED", help="What any denoiser made of it.")
    ],
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all that was found, for programs.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write a page to look at.")
    ] = None,
    noise: NoiseOption = "auto",
    pixel_size: PixelSize = None,
    faults: Annotated[
        bool,
        typer.Option(
            "--faults/--no-faults",
            help="Leave out what denoise finds in NOISY: hot and dead pixels, labels, saturation "
            "and padding.",
        ),
    ] = True,
    false_alarm: Annotated[
        float,
        typer.Option(
            parser=float,
            metavar="RATE",
            help="How often, at most, the true image may be called unsupported.",
        ),
    ] = 0.05,
    command: Annotated[
        str | None,
        typer.Option(
            metavar="'TOOL {in} {out}'",
            help="The denoiser as a program: run once on a part of the data, judged by the rest.",
        ),
    ] = None,
    prior: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE|none",
            help="A prior to be asked whether it knows images of this kind.",
        ),
    ] = "default",
    signal: SignalOption = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Check a denoised micrograph, of any denoiser, against the noisy one.

    Ends with code 0 where nothing does, with 1 where something does, with 2 on errors.
    """
    with session(quiet) as console:
        from emprior.io import check_place
        from emprior.trust import DRAWN, check_files

        for place, other in ((json, report), (report, json)):
            if place is not None:
                taken = [other] if other is not None else []
                check_place(place, [noisy, denoised], taken=taken, overwrite=overwrite)
        with console.progress(denoised.name) as progress:
            found = check_files(
                noisy,
                denoised,
                noise=noise,
                pixel_size=pixel_size,
                faults=faults,
                false_alarm=false_alarm,
                command=command,
                prior=None if prior == "none" else prior,
                signal=signal,
                drawn=0 if report is None else DRAWN,
                progress=progress,
            )
        for line in found.lines():
            console.say(line)
        if json is not None:
            found.write_json(json)
            console.say(f"details → {json}")
        if report is not None:
            from emprior.report.check import Judged, write_check

            write_check([Judged(found)], report)
            console.say(f"report → {report}")
        if not found.supported:
            raise typer.Exit(1)


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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


app.add_typer(priors, name="priors")


if __name__ == "__main__":
    main()
