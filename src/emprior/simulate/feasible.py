"""What a recipe will need, told before any work starts."""

from __future__ import annotations

import math

from abtem.core.energy import energy2wavelength

from emprior.errors import RecipeError
from emprior.simulate.bodies import extent, room
from emprior.simulate.cell import HEIGHT, WIDTH
from emprior.simulate.recipe import Group, Simulation, StructureRanges

_BASE = 0.35e9
"""What a worker holds before it computes anything [bytes]."""


def cell(recipe: Simulation) -> tuple[float, float, float]:
    """Return the edges of the largest cell that a recipe may draw [Å], the last along the beam."""
    if isinstance(recipe.structure, StructureRanges):
        return WIDTH, HEIGHT, recipe.structure.thickness[1]
    return extent(recipe.structure, room(recipe.view))


def coarsest(recipe: Simulation) -> float:
    """Return the largest distance between samples that carries what is computed on them [Å]."""
    if recipe.optics.convergence is None:
        return 0.28  # beyond, abTEM's aperture cuts what the images show
    wavelength = float(energy2wavelength(recipe.optics.energy))
    return wavelength / (4e-3 * recipe.optics.convergence)  # the probe's intensity ends at 2 α / λ


def memory(recipe: Simulation, group: Group) -> float:
    """Return what one worker needs at most for a structure of a group [bytes]."""
    x, y, z = cell(recipe)
    samples = group.grid * math.ceil(group.grid * y / x)
    if recipe.optics.convergence is not None:
        atoms = 0.2 * x * y * z  # matter holds no more
        return _BASE + samples * 100.0 + atoms * 16.0 * (group.grid + samples / group.grid)
    slices = math.ceil(z / group.slice_thickness)
    # The potential (float32), the transmission (complex64), and the waves of all focal nodes.
    return _BASE + samples * (12.0 * slices + 16.0 * (recipe.optics.focal_nodes + 4))


def check_grid(recipe: Simulation) -> None:
    """Raise RecipeError where a grid is too coarse for the cell it covers."""
    x, y, _ = cell(recipe)
    limit = coarsest(recipe)
    for group in recipe.group:
        if x / group.grid > limit:
            good = math.ceil(x / min(0.14, limit))
            raise RecipeError(
                f"a grid of {group.grid} in [[group]] {group.name!r}, {x / group.grid:.2f} Å apart "
                f"in a cell of {x:.1f} × {y:.1f} Å",
                expected=f"at least {math.ceil(x / limit)}; {good} are good",
                why="the cell is as wide as the images and the specimen in them need",
                fix=f"give grid = {good}",
            )


def check_memory(recipe: Simulation, workers: int, available: float) -> None:
    """Raise RecipeError where structures of a recipe do not fit into memory [bytes]."""
    x, y, _ = cell(recipe)
    for group in recipe.group:
        needed = memory(recipe, group)
        if needed * workers > available:
            few = int(available // needed)
            raise RecipeError(
                f"a field larger than memory: {x:.0f} × {y:.0f} Å on a grid of {group.grid} takes "
                f"{needed * workers / 1e9:.1f} GB in {workers} workers",
                expected=f"at most the {available / 1e9:.1f} GB of this machine",
                why="a worker holds all slices of a structure at once",
                fix=f"run with {few} workers" if few else "take a smaller field or a coarser grid",
            )
