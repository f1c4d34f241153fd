"""Options and arguments that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
