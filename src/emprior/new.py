"""Begin with one's own material: a commented recipe for `emprior simulate`.

What a noisy example can tell (pixel size, field, voltage, dose) is read from it; the rest are
ranges to begin with, each with a line that says what it does.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emprior.errors import OptionError, OutputError
from emprior.files import expanded, replacing
from emprior.identify import identify
from emprior.io import read
from emprior.noise import Poisson, PoissonGaussian
from emprior.simulate import Simulation
from emprior.simulate.feasible import cell

_GRID = 0.2
"""Largest distance between pixels that carries what HRTEM shows [Å]."""
_FIELD = 50.0
"""Of the simulated images, at most [Å]: priors draw windows, larger frames are tiled."""
_SPACING = 0.14
"""Between samples of the wave [Å]."""


@dataclass(frozen=True)
class Example:
    """What a noisy micrograph tells about how it was taken.

    Attributes
    ----------
    name : str
        Of the file.
    shape : (H, W)
        Rows and columns.
    pixel_size : float
        [Å]
    energy : float or None
        Of the beam [eV], where the file says.
    noise : str
        In words.
    counts : float or None
        Mean number of electrons in a pixel, where they can be counted.
    """

    name: str
    shape: tuple[int, int]
    pixel_size: float
    energy: float | None
    noise: str
    counts: float | None

    @property
    def dose(self) -> float | None:
        """Electrons per Å², where they can be counted."""
        return None if self.counts is None else self.counts / self.pixel_size**2


def look(path: str | Path, pixel_size: float | None = None) -> Example:
    """Read pixel size, field, voltage and dose from a noisy micrograph, its first frame.

    Parameters
    ----------
    path : path
    pixel_size : float, optional
        [Å], where the file does not say or is wrong.

    Raises
    ------
    FileError, ImageError
        If it cannot be read.
    OptionError
        If the file has no pixel size and none is given.
    """
    signal = read(path)
    size = pixel_size or signal.pixel_size
    if size is None:
        raise OptionError(
            f"no pixel size in {Path(path).name}",
            expected="one in the file, or told",
            why="the images are simulated on a grid like it",
            fix="add --pixel-size Å",
        )
    _, frame = next(signal.frames())
    noise = identify(frame).noise
    counts = None
    if isinstance(noise, Poisson | PoissonGaussian):
        counts = float((np.mean(frame) - noise.offset) / noise.gain)
    return Example(
        Path(path).name, signal.frame_shape, size, _energy(signal.metadata), str(noise), counts
    )


def _energy(metadata: Any) -> float | None:
    """Return the beam energy [eV] that a file tells in keV, as HyperSpy's metadata have it."""
    for part in ("Acquisition_instrument", "TEM", "beam_energy"):
        metadata = metadata.get(part) if hasattr(metadata, "get") else None
    try:
        energy = 1e3 * float(metadata)
    except (TypeError, ValueError):
        return None
    return energy if 20e3 <= energy <= 1.5e6 else None


def parse_axis(text: str) -> tuple[int, int, int]:
    """Read a zone axis: ``001``, ``1-10``, ``"1 -1 0"``, ``1,-1,0`` or ``"[1 -1 0]"``.

    Raises
    ------
    OptionError
        If it is none.
    """
    inner = text.strip().strip("[]").strip()
    separated = re.split(r"[\s,]+", inner)
    parts = separated if len(separated) > 1 else re.findall(r"-?\d", inner)
    good = all(re.fullmatch(r"-?\d+", part) for part in parts)
    if len(parts) == 3 and good and (len(separated) > 1 or "".join(parts) == inner):
        u, v, w = map(int, parts)
        return u, v, w
    raise OptionError(
        f"the zone axis {text!r}",
        expected="three whole numbers, such as 001, 1-10 or '1 -1 0'",
        why="it is the direction [u v w] of the beam in the crystal",
        fix="separate the numbers by spaces or commas, in quotes",
    )


def new(
    name: str,
    cif: str | Path,
    zone_axis: tuple[int, int, int],
    out: str | Path,
    *,
    example: Example | None = None,
    overwrite: bool = False,
) -> Simulation:
    """Write a commented recipe for a material; it is checked before it is written.

    Parameters
    ----------
    name : str
        Of the material: of its group of images, and source of its seed.
    cif : path
        The crystal.
    zone_axis : (u, v, w)
    out : path
        A TOML file.
    example : Example, optional
        A noisy micrograph of it, from `look`.
    overwrite : bool
        Replace what is there.

    Raises
    ------
    OptionError
        If the name is empty or not printable.
    RecipeError, FileError
        If the crystal or the zone axis is none.
    OutputError
        If the recipe is there already or cannot be written.
    """
    if not (name and name.isprintable()):
        raise OptionError(
            f"the name {name!r}",
            expected="letters, on one line",
            why="images are told apart by it",
            fix="choose another",
        )
    out = expanded(out)
    if out.exists() and not overwrite:
        raise OutputError(
            f"{out} exists",
            expected="a new file",
            why="a recipe that was adapted by hand would be lost",
            fix="add --overwrite (in Python: overwrite=True), or choose another name",
        )
    file = os.path.relpath(expanded(cif), out.parent)
    pixel_size, shape = _view(example)
    values = {
        "name": name,
        "cif": Path(file).as_posix(),
        "zone_axis": list(zone_axis),
        "example": _told(example),
        "seed": int(hashlib.sha256(name.encode()).hexdigest()[:8], 16),
        "shape": list(shape),
        "pixel_size": round(pixel_size, 5),
        "energy": (example.energy if example else None) or 300e3,
        "energy_source": "as the file says" if example and example.energy else "yours?",
        "grid": 4096,
        "vibration": "",
    }
    draft = Simulation.from_dict(tomllib.loads(_fill(values)), str(out))
    values["grid"] = max(192, 16 * math.ceil(cell(draft)[0] / _SPACING / 16))
    values["vibration"] = ", ".join(f"{symbol} = 0.07" for symbol in _elements(draft))
    text = _fill(values)
    recipe = Simulation.from_dict(tomllib.loads(text), str(out))
    with replacing(out) as path:
        path.write_text(text, encoding="utf-8")
    return recipe


def _view(example: Example | None) -> tuple[float, tuple[int, int]]:
    """Return pixel size [Å] and shape: whole pixels of the example pooled, its field or less."""
    if example is None:
        return _GRID, (int(_FIELD / _GRID), int(_FIELD / _GRID))
    pooled = _pooled(example)
    size = pooled * example.pixel_size
    H, W = (max(8, min(n // pooled, int(_FIELD / size))) for n in example.shape)
    return size, (H, W)


def _pooled(example: Example) -> int:
    """Return how many of an example's pixels, along each side, make one of the data set's."""
    return max(1, int(_GRID / example.pixel_size + 1e-6))


def _told(example: Example | None) -> str:
    if example is None:
        return "no noisy example was given: pixel size, field and voltage are guesses"
    H, W = example.shape
    said = (
        f"{example.name}: {H} × {W} pixels of {example.pixel_size:.4g} Å, "
        f"{H * example.pixel_size:.0f} × {W * example.pixel_size:.0f} Å; noise: {example.noise}"
    )
    if example.counts is not None and example.dose is not None:
        said += f"; {example.counts:.3g} electrons a pixel, {example.dose:.3g} per Å²"
    if (pooled := _pooled(example)) > 1:
        said += f"; {pooled} × {pooled} of its pixels make one here"
    return said


def _elements(recipe: Simulation) -> list[str]:
    from ase.data import chemical_symbols

    numbers = recipe.structure.crystal.build().numbers  # type: ignore[union-attr]
    return [chemical_symbols[number] for number in sorted(set(numbers.tolist()))]


def _fill(values: dict[str, Any]) -> str:
    """Fill the template; texts of JSON are texts of TOML."""
    texts = {key: json.dumps(values[key], ensure_ascii=False) for key in ("name", "cif")}
    comment = "".join(c if c.isprintable() else "?" for c in values["example"])
    return _TEMPLATE.format(**{**values, **texts, "example": comment, "title": values["name"]})


_TEMPLATE = """\
# {title}: images for a prior of one's own material.
#   emprior simulate THIS --preview    a contact sheet, and the time for the whole set
#   emprior simulate THIS -o DIR       the data set, for `emprior train`
# From {example}
# A pair of numbers is a range that every structure or image draws from. docs/simulation.md lists
# all settings; an unknown one, or one out of range, is an error that names the nearest valid one.
seed = {seed} # two data sets of one seed share their structures: change it for a test set
dtype = "float16"

[view]
shape = {shape} # rows, columns
pixel_size = {pixel_size} # [Å]
rotation = [-180.0, 180.0] # [degrees]; narrower where you know how the crystal lies

[structure]
kind = "slab" # fills the image; "wedge" and "particle" have vacuum beside them
zone_axis = {zone_axis}
thickness = [20.0, 100.0] # [Å], along the beam
strain = [-0.01, 0.01]
vacancies = [0.0, 0.02] # share of all atoms
adatoms = [0.0, 4.0]
steps = [0.0, 2.0] # surface steps

[structure.crystal]
cif = {cif} # relative to this file

# [structure.film] # an amorphous film behind it, as of a carbon grid
# formula = "C"
# thickness = [10.0, 40.0]

[optics]
energy = {energy:.0f} # [eV], {energy_source}
cs = [-13e4, -13e4] # [Å]; a corrected microscope. 1.2 mm are 1.2e7
c5 = [5e7, 5e7] # [Å]
astigmatism = [0.0, 20.0] # [Å]
coma = [0.0, 200.0] # [Å]
focal_spread = [30.0, 50.0] # [Å]
blur = [0.45, 0.65] # [Å], rms: vibration, convergence, detector
drift = [0.0, 0.3] # [Å] during the exposure

[[regime]]
name = "any"
defocus = [-100.0, 200.0] # C10 [Å]; positive is overfocus
tilt = [0.0, 2.0] # [degrees]

[[group]]
name = {name}
structures = 400
images = 3 # of each, with defocus, tilt and view of their own
grid = {grid} # samples across the cell
vibration = {{ {vibration} }} # rms thermal displacement [Å]
"""
