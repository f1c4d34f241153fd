"""The commands for micrographs: denoise, and check what any denoiser has made of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emprior.cli.options import NoiseOption, Overwrite, PixelSize, Quiet, SignalOption
from emprior.console import session
from emprior.errors import EmpriorError

if TYPE_CHECKING:
    from emprior.api import Denoised
    from emprior.report.check import Judged


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
            "weights of a regressor supervised-mixed, supervised, or as in the paper, "
            "supervised-misused, or with a generator's algorithm-2, or with the directory of a "
            "data set nearest.",
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
            except EmpriorError as error:
                if len(sources) == 1:
                    raise
                # One bad file must not cost the others their night of computing.
                console.complain("error", str(error))
                failed += 1
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
    movie: Annotated[
        bool,
        typer.Option(
            "--movie",
            help="The frames are of one movie and were denoised one by one: the next one judges "
            "what was made of each.",
        ),
    ] = False,
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

    Ends with code 0 where nothing contradicts it, with 1 where something does, with 2 on errors.
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
                movie=movie,
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
