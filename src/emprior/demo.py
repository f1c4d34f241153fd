"""Denoise a bundled micrograph whose truth is known, with every kind of method.

The micrograph is simulated (``recipes/demo.toml``) at one electron per unit of intensity: 0.45
electrons a pixel in vacuum. `bundle` makes its file anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from emprior.api import denoise
from emprior.errors import OutputError
from emprior.evaluate.frames import interpolate
from emprior.files import make_directory, replacing
from emprior.io import Signal, write
from emprior.metrics import psnr
from emprior.micrograph import Micrograph
from emprior.noise import Poisson
from emprior.options import check_options

SIDE = 512  # pixels
FACTOR = 4  # fine pixels along a stored one
SEED = 20_250_604

ROWS: dict[str, dict[str, Any]] = {
    "noisy": {"method": "identity"},
    "constant": {"method": "constant"},
    "blur": {"method": "blur"},
    "Wiener": {"method": "wiener"},
    "wavelet": {"method": "wavelet"},
    "pooled wavelet": {"method": "pooled-wavelet"},
    "pooled NLM": {"method": "pooled-nlm"},
    "prior": {"method": "prior"},
    "prior, forced": {"method": "prior", "force": True},
}
"""Rows of the table, as options of `emprior.denoise`."""
RESULT = "prior"
"""The row that is written and shown: what `emprior denoise` does without options."""


FILES = ("noisy.hspy", "truth.hspy", "denoised.hspy", "picture.png", "table.md")


class Line(NamedTuple):
    """One row of the table."""

    row: str
    method: str
    """What really answered."""
    psnr_db: float
    """Data range 1."""
    seconds: float

    def __str__(self) -> str:
        answered = "" if self.method == ROWS[self.row]["method"] else f"  (answer of {self.method})"
        return f"{self.row:<16}{self.psnr_db:7.2f} dB{self.seconds:8.1f} s{answered}"


@dataclass(frozen=True, eq=False)
class Example:
    """The bundled micrograph and its truth, both (512, 512)."""

    noisy: Micrograph
    truth: NDArray[np.float32]


def example() -> Example:
    """Read the bundled micrograph."""
    with (files("emprior") / "data" / "demo.npz").open("rb") as file:
        stored = np.load(file, allow_pickle=False)
        clean, counts, pixel_size = stored["clean"], stored["counts"], float(stored["pixel_size"])
    noisy = Micrograph(counts.astype(np.float32), pixel_size)
    return Example(noisy, _interpolate(clean))


def run(
    directory: str | Path,
    *,
    overwrite: bool = False,
    seed: int = 0,
    echo: Callable[[str], None] = print,
    progress: Callable[[float], None] | None = None,
) -> list[Line]:
    """Denoise the bundled micrograph with every row; write the result, a picture and a table.

    Parameters
    ----------
    directory : path
        Gets the files named in `FILES`; made where it does not exist.
    overwrite : bool
        Replace what an earlier demo left there.
    seed : int
        Of the denoisers' random draws.
    echo : callable
        Takes each line of the table as soon as it is known.
    progress : callable, optional
        Called with the share of work done, from 0 to 1.

    Returns
    -------
    list of Line

    Raises
    ------
    OutputError
        If the files exist, or cannot be written.
    WeightsError
        If the shipped prior cannot be used.
    """
    for options in ROWS.values():
        check_options(
            method=options["method"], noise="auto", prior="default", seed=seed, device="auto"
        )
    folder = Path(directory)
    _prepare(folder, overwrite)
    shown = example()
    echo("one simulated micrograph, 512 × 512 pixels, 0.45 electrons a pixel; PSNR has range 1")
    lines: list[Line] = []

    def advance(share: float) -> None:
        if progress:
            progress((len(lines) + share) / len(ROWS))

    for row, options in ROWS.items():
        done = denoise(shown.noisy, seed=seed, progress=advance, **options)
        lines.append(
            Line(row, done.method, psnr(done.image, shown.truth, data_range=1.0), done.seconds)
        )
        echo(str(lines[-1]))
        advance(0.0)
        if row == RESULT:
            denoised = done
    how = {"method": denoised.method, "noise": denoised.noise.to_dict(), "seed": seed}
    for name, image, provenance in (
        ("noisy.hspy", shown.noisy.image, None),
        ("truth.hspy", shown.truth, None),
        ("denoised.hspy", denoised.image, how),
    ):
        signal = Signal.from_array(image, shown.noisy.pixel_size)
        write(folder / name, signal, provenance=provenance, overwrite=overwrite)
    with replacing(folder / "picture.png") as made:
        _picture(shown, denoised.image).save(made)
    with replacing(folder / "table.md") as made:
        made.write_text(_table(lines), encoding="utf-8")
    echo(f"see {folder / 'picture.png'}; {folder / 'denoised.hspy'} is the answer of row {RESULT}")
    return lines


def bundle(dataset: str | Path, path: str | Path) -> Path:
    """Write the bundled file from a data set simulated by ``recipes/demo.toml``.

    Parameters
    ----------
    dataset : path
        As written by ``emprior simulate recipes/demo.toml``; its first image is taken.
    path : path
        The file, ``src/emprior/data/demo.npz`` in a checkout.

    Raises
    ------
    FileError
        If there is no such data set.
    OutputError
        If the file cannot be written.
    """
    from emprior.datasets import Dataset

    data = Dataset.open(dataset)
    clean = data.image(0).astype(np.float16)
    noisy = Poisson().sample(_interpolate(clean), np.random.default_rng(SEED))
    with replacing(path) as made:
        np.savez_compressed(
            made,
            clean=clean,
            counts=noisy.astype(np.uint8),
            pixel_size=np.float64(data.view(0).pixel_size / FACTOR),
        )
    return Path(path)


def _interpolate(clean: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the middle of a stored clean image on the fine grid, away from its edges."""
    fine = interpolate(clean, FACTOR)
    top, left = ((n - SIDE) // 2 for n in fine.shape)
    return fine[top : top + SIDE, left : left + SIDE]


def _prepare(folder: Path, overwrite: bool) -> None:
    """Find out before the work whether the results can be written."""
    make_directory(folder, "the results are written there")
    there = [name for name in FILES if (folder / name).exists()]
    if there and not overwrite:
        raise OutputError(
            f"{folder / there[0]} exists",
            expected="a directory without results in it",
            why="results are not overwritten unless that is asked for",
            fix="add --overwrite (in Python: overwrite=True), or name another directory",
        )


def _picture(shown: Example, denoised: NDArray[np.floating]) -> Image.Image:
    """Draw noisy, denoised, truth and error side by side, each with its grey scale named."""
    truth = shown.truth
    low, high = float(truth.min()), float(truth.max())
    panels = {
        "noisy, 0 to 3 electrons": (shown.noisy.image, 0.0, 3.0),
        f"denoised, {low:.2f} to {high:.2f}": (denoised, low, high),
        f"truth, {low:.2f} to {high:.2f}": (truth, low, high),
        "denoised minus truth, -0.1 to 0.1": (denoised - truth, -0.1, 0.1),
    }
    title, gap = 24, 8
    width = len(panels) * (SIDE + gap) - gap
    picture = Image.new("L", (width, SIDE + title), 255)
    pen = ImageDraw.Draw(picture)
    for i, (name, (image, black, white)) in enumerate(panels.items()):
        grey = np.clip((image - black) / (white - black) * 255, 0, 255).astype(np.uint8)
        pen.text((i * (SIDE + gap) + 2, 4), name, fill=0, font_size=14)
        picture.paste(Image.fromarray(grey), (i * (SIDE + gap), title))
    return picture


def _table(lines: list[Line]) -> str:
    rows = [
        f"| {line.row} | {line.method} | {line.psnr_db:.2f} | {line.seconds:.1f} |"
        for line in lines
    ]
    head = ["| row | answered by | PSNR (range 1) [dB] | seconds |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, ""])
