"""Look before you wait: a contact sheet of a recipe's first structures, and what the set will take.

The sheet shows images of the very structures that the data set begins with.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from emprior.errors import OutputError, import_extra
from emprior.files import expanded, replacing
from emprior.recipes import load
from emprior.simulate.recipe import Simulation
from emprior.simulate.run import check

_MARK = "Software", "emprior simulate --preview"
_TILES = 12
_ACROSS = 4
_WIDEST = 320  # of a tile [pixels]
_CAPTION = 28  # [pixels]
_PATIENCE = 90.0
"""After which no further structure is begun [s]."""
_START = 6.0
"""Of worker processes, each with its libraries to load [s]."""


@dataclass(frozen=True)
class Preview:
    """What a recipe gives and takes.

    Attributes
    ----------
    sheet : Path
        The picture.
    shown, images : int
        Number of images on it, and in the whole set.
    seconds : float
        That the whole set will take.
    workers : int
        Processes that this holds for.
    size : float
        Of the images on disk, before compression [bytes].
    """

    sheet: Path
    shown: int
    images: int
    seconds: float
    workers: int
    size: float

    def __str__(self) -> str:
        return (
            f"{self.shown} of {self.images} images in {self.sheet}; all take about "
            f"{_duration(self.seconds)} with {self.workers} "
            f"worker{'s' if self.workers > 1 else ''}, and {self.size / 1e6:.0f} MB"
        )


@dataclass(frozen=True, eq=False)
class _Tile:
    image: NDArray[np.floating]
    caption: str


def preview(
    recipe: Simulation | str | Path,
    sheet: str | Path,
    *,
    workers: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Preview:
    """Draw a contact sheet of a recipe and estimate the time of the whole set.

    Parameters
    ----------
    recipe : Simulation or path
    sheet : path
        A PNG file; replaced where it is such a sheet.
    workers : int, optional
        Processes that the set is to be computed by. Default: one for each CPU.
    progress : callable, optional
        Told the share of the preview that is done.

    Returns
    -------
    Preview

    Raises
    ------
    RecipeError, FileError
        If the recipe is wrong.
    OptionError
        If there is less than one worker.
    OutputError
        If the sheet cannot be written, or another picture has its name.
    MissingExtraError
        If a package of the extra ``simulate`` is absent.

    Notes
    -----
    The time is that of the first structures of each group, computed one after another on this
    machine as it is busy now.
    """
    import_extra("abtem", "simulate", "simulating micrographs")
    if not isinstance(recipe, Simulation):
        recipe = load(recipe, Simulation)
    count = check(recipe, workers)
    sheet = expanded(sheet)
    if sheet.exists() and not _is_sheet(sheet):
        raise OutputError(
            f"{sheet} exists, and is no contact sheet",
            expected="a free name, or that of an earlier sheet",
            why="a preview replaces what is there",
            fix="choose another place by --out",
        )
    tiles, seconds = _first(recipe, progress or (lambda share: None))
    try:
        with replacing(sheet) as path:
            mark = PngInfo()
            mark.add_text(*_MARK)
            _draw(tiles).save(path, format="PNG", pnginfo=mark)
    except OSError as error:
        raise OutputError(
            f"cannot write {sheet}: {error.strerror or error}",
            expected="a file that can be written",
            why="the contact sheet is stored there",
            fix="choose another place by --out",
        ) from error
    images = sum(group.structures * group.images for group in recipe.group)
    total = sum(s * group.structures for s, group in zip(seconds, recipe.group, strict=True))
    size = images * np.prod(recipe.view.shape) * np.dtype(recipe.dtype).itemsize
    return Preview(sheet, len(tiles), images, _START + total / count, count, float(size))


def _is_sheet(path: Path) -> bool:
    """Return whether a file is a contact sheet of another preview."""
    try:
        with Image.open(path) as image:
            return image.info.get(_MARK[0]) == _MARK[1]
    except OSError:
        return False


def _first(
    recipe: Simulation, progress: Callable[[float], None]
) -> tuple[list[_Tile], list[float]]:
    """Simulate the first structures of each group; return tiles, and the seconds of a structure."""
    from emprior.simulate.micrographs import simulate_structure

    each = [range(min(group.structures, _TILES)) for group in recipe.group]
    jobs = [
        (group, index)
        for row in zip_longest(*each)
        for group, index in enumerate(row)
        if index is not None
    ]
    tiles: list[_Tile] = []
    taken: list[list[float]] = [[] for _ in recipe.group]
    begun = time.monotonic()
    simulate_structure(recipe, *jobs[0])  # the first call compiles and plans
    for group, index in jobs:
        start = time.monotonic()
        late = start - begun > _PATIENCE or len(tiles) >= _TILES
        if late and taken[group]:
            continue
        made = simulate_structure(recipe, group, index)
        taken[group].append(time.monotonic() - start)
        for image, exposure in zip(made.images, made.exposures, strict=True):
            optics = exposure.optics
            caption = (
                f"{made.group}, {exposure.regime}\n"
                f"{made.structure.thickness / 10:.1f} nm, C10 {optics.defocus / 10:.1f} nm"
            )
            tiles.append(_Tile(image, caption))
        progress(min(1.0, len(tiles) / _TILES))
    return tiles[:_TILES], [float(np.mean(seconds)) for seconds in taken]


def _draw(tiles: list[_Tile]) -> Image.Image:
    """Lay tiles out on one sheet, in one scale of grey."""
    low, high = np.percentile(np.stack([tile.image for tile in tiles]), (0.1, 99.9))
    H, W = tiles[0].image.shape
    scale = min(1.0, _WIDEST / W)
    width, height = max(1, round(W * scale)), max(1, round(H * scale))
    down = -(-len(tiles) // _ACROSS)
    cell = (max(width, 160) + 8, height + _CAPTION + 8)
    sheet = Image.new("L", (_ACROSS * cell[0], down * cell[1]), 255)
    pen = ImageDraw.Draw(sheet)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, _ACROSS)
        grey = np.clip((tile.image.astype(float) - low) / max(high - low, 1e-6), 0, 1)
        picture = Image.fromarray(np.round(255 * grey).astype(np.uint8))
        place = (column * cell[0] + 4, row * cell[1] + 4)
        sheet.paste(picture.resize((width, height), Image.Resampling.BOX), place)
        pen.text((place[0], place[1] + height + 2), tile.caption, fill=0, font_size=10)
    return sheet


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
