"""How near the simulation comes to a published image of a known structure.

Run ``python -m emprior.simulate.reference recipes/reference.toml IMAGE``.
"""

from __future__ import annotations

import sys
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from emprior.errors import ImageError
from emprior.io import read
from emprior.recipes import Recipe, load
from emprior.simulate.cell import HEIGHT, PERIOD, SURFACE, WIDTH
from emprior.simulate.imaging import exit_wave, form_image, single_threaded, transmit
from emprior.simulate.recipe import Group
from emprior.simulate.structures import PT, crystal, flat_support
from emprior.specimen import Optics, Structure, View

Floats = NDArray[np.floating]


class Row(Recipe):
    """One row of the particle, seen along the beam."""

    first: float
    """Where about its first column stands, right of the particle's `x` [Å]."""
    counts: Annotated[tuple[int, ...], Field(min_length=1)]
    """Atoms in each of its columns."""


class KnownStructure(Recipe):
    """A particle given column by column on a flat support; lengths in Å."""

    periods: Annotated[int, Field(ge=4, le=26)]
    """Thickness of the support, in periods along the beam."""
    mirrored: bool
    """Stacking of the support."""
    support_x: float
    """Of a column of the support's top Ce row."""
    lattice_pt: Annotated[float, Field(ge=3.7, le=4.2)]
    twin: bool
    """Whether the particle is stacked the other way round than the support."""
    x: float
    """Of a column of the particle's first row."""
    gap: float
    """From the top Ce row to the particle's first row."""
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]
    """From the support up."""


class KnownOptics(Recipe):
    """As `emprior.specimen.Optics`, but the tilt in degrees."""

    defocus: float
    cs: float
    c5: float
    focal_spread: float
    blur: float
    tilt: tuple[float, float]
    absorption: float
    energy: float


class KnownView(Recipe):
    """As `emprior.specimen.View`, unrotated; the middle is given from the top Ce row and x = 0."""

    shape: tuple[int, int]
    pixel_size: float
    middle: tuple[float, float]


class Reference(Recipe):
    """The recipe of one image of a known structure."""

    structure: KnownStructure
    optics: KnownOptics
    view: KnownView
    group: Group


class Agreement(NamedTuple):
    """How near one image comes to another."""

    ncc: float
    """Correlation coefficient."""
    rms: float
    """Root mean square difference, vacuum being 0.45."""
    psnr: float
    """Of that difference over the reference's own range (maximum − minimum) [dB]."""


def build(known: KnownStructure) -> Structure:
    """Build a known structure."""
    thickness = PERIOD * known.periods
    support, numbers = flat_support(known.mirrored, known.support_x, thickness)
    box = np.array([[known.x - 30, known.x + 30], [-1e-3, 40], [-thickness / 2, thickness / 2]])
    mirrored = known.mirrored != known.twin
    sites, _ = crystal("Pt", known.lattice_pt, mirrored, known.x, box)
    sites = sites[np.argsort(np.abs(sites[:, 2] + 1e-3), kind="stable")]  # middle ones first
    particle = []
    for r, row in enumerate(known.rows):
        level = sites[np.abs(sites[:, 1] - r * known.lattice_pt / np.sqrt(3)) < 0.1]
        columns = np.unique(level[:, 0])
        first = int(np.argmin(np.abs(columns - known.x - row.first)))
        for x, count in zip(columns[first:], row.counts, strict=False):
            particle.append(level[level[:, 0] == x][:count])
    atoms = np.concatenate(particle) + np.array([0, SURFACE + known.gap, thickness / 2])
    return Structure(
        np.concatenate([support, atoms]),
        np.concatenate([numbers, np.full(len(atoms), PT)]),
        np.array([WIDTH, HEIGHT, thickness]),
    )


def render(recipe: Reference) -> NDArray[np.float32]:
    """Simulate the image of a recipe, (H, W)."""
    values = recipe.optics.to_dict()
    optics = Optics(**{**values, "tilt": tuple(np.deg2rad(recipe.optics.tilt).tolist())})
    x, y = recipe.view.middle
    view = View(recipe.view.shape, recipe.view.pixel_size, (x, SURFACE + y))
    with single_threaded():
        slices = transmit(build(recipe.structure), recipe.group, optics.energy, optics.absorption)
        return form_image(exit_wave(slices, optics.tilt), optics, view)


def agreement(image: Floats, reference: Floats) -> Agreement:
    """Compare an image with a reference of the same shape, (H, W), both with vacuum 0.45.

    Raises
    ------
    ImageError
        If the shapes differ.
    """
    if image.shape != reference.shape:
        raise ImageError(
            f"a reference of shape {reference.shape}",
            expected=f"the recipe's shape {image.shape}",
            why="the images are compared pixel by pixel",
            fix="correct [view] shape in the recipe, or name the image it describes",
        )
    rms = float(np.sqrt(np.mean((image - reference) ** 2)))
    return Agreement(
        float(np.corrcoef(image.ravel(), reference.ravel())[0, 1]),
        rms,
        float(20 * np.log10(np.ptp(reference) / rms)),
    )


if __name__ == "__main__":
    recipe_path, image_path = sys.argv[1:]
    found = agreement(render(load(recipe_path, Reference)), read(image_path).data.astype(float))
    print(f"ncc {found.ncc:.4f}, rms {found.rms:.4f}, PSNR over its range {found.psnr:.1f} dB")
