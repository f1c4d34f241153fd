"""Recipes: the ranges that a simulated data set is drawn from, read from TOML.

A pair of numbers is a range from which every structure or image draws uniformly; equal numbers
fix the value. The defaults span the data set of Mohan et al. (2020), Pt particles on CeO2.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from emprior.errors import RecipeError
from emprior.recipes import Recipe
from emprior.simulate.cell import BOTTOM, HEIGHT, MARGIN, SURFACE, WIDTH

Range = tuple[float, float]


def _within(lowest: float, highest: float) -> AfterValidator:
    def check(pair: Range) -> Range:
        low, high = pair
        if not lowest <= low <= high <= highest:
            nearest = [min(max(value, lowest), highest) for value in sorted(pair)]
            raise ValueError(
                f"a range [low, high] within {lowest:g} to {highest:g}, "
                f"of which [{nearest[0]:g}, {nearest[1]:g}] is nearest"
            )
        return pair

    return AfterValidator(check)


Fraction = Annotated[Range, _within(0, 1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Displacement = Annotated[float, Field(ge=0, le=0.3)]


class StructureRanges(Recipe):
    """Pt particles on a CeO2 support; lengths in Å."""

    thickness: Annotated[Range, _within(15, 100)] = (30.0, 62.0)
    """Of the support along the beam, in whole periods of 3.826 Å."""
    twin: Probability = 0.7
    """How often the particle is stacked the other way round than its support."""
    lattice_pt: Annotated[Range, _within(3.7, 4.2)] = (3.92, 4.00)
    gap: Annotated[Range, _within(1.5, 4)] = (2.2, 3.1)
    """From the top Ce row to the first Pt row."""
    diameter: Annotated[Range, _within(10, 32)] = (14.0, 30.0)
    facets_111: Annotated[Range, _within(0.5, 1.5)] = (0.85, 1.1)
    """Distance of each {111} plane from the particle's centre, in units of its radius."""
    facets_100: Annotated[Range, _within(0.5, 2)] = (1.03, 1.27)
    height: Annotated[Range, _within(-0.8, 0.9)] = (-0.3, 0.5)
    """Of the particle's centre above its first row, in units of its radius."""
    lost: Fraction = (0.0, 0.15)
    """Share of the particle's surface columns that are missing."""
    partial: Fraction = (0.0, 0.5)
    """Share of the particle's surface columns that hold fewer atoms."""
    added: Fraction = (0.0, 0.1)
    """Share of the sites beside the particle that hold a short column."""
    adatoms: Annotated[Range, _within(0, 20)] = (0.0, 4.0)
    """Single atoms on the particle's surface."""
    vacancies: Fraction = (0.0, 0.04)
    """Share of all Pt atoms that are missing."""
    step: Probability = 0.3
    """How often the support loses its top layer beside the particle."""
    oxygen_vacancies: Fraction = (0.0, 0.08)


class OpticsRanges(Recipe):
    """What every image draws for itself; lengths in Å, angles in degrees, energy in eV."""

    focal_spread: Annotated[Range, _within(0, 200)] = (35.0, 45.0)
    blur: Annotated[Range, _within(0.2, 3)] = (0.45, 0.65)
    cs: Annotated[Range, _within(-3e7, 3e7)] = (-13e4, -13e4)
    c5: Annotated[Range, _within(-1e9, 1e9)] = (5e7, 5e7)
    absorption: Annotated[Range, _within(0, 0.3)] = (0.02, 0.02)
    energy: Annotated[float, Field(ge=20e3, le=1.5e6)] = 300e3
    focal_nodes: Annotated[int, Field(ge=1, le=31)] = 5
    """Defoci that the focal average is taken over."""


class Regime(Recipe):
    """Defocus and tilt ranges of a share of the images."""

    name: Annotated[str, Field(min_length=1)]
    weight: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    defocus: Annotated[Range, _within(-1000, 1000)] = (0.0, 200.0)
    """C10 [Å]; positive is overfocus."""
    tilt: Annotated[Range, _within(0, 6)] = (0.0, 4.0)
    """Of the beam about x or about y, never both, to either side [degrees]."""


class ViewRanges(Recipe):
    """The pixel grid: its nominal size, and how each image departs from it."""

    shape: tuple[Annotated[int, Field(ge=8, le=8192)], Annotated[int, Field(ge=8, le=8192)]]
    pixel_size: Annotated[float, Field(ge=0.01, le=0.4)]
    """Nominal distance between pixels [Å]."""
    scale: Annotated[Range, _within(0.5, 2)] = (0.97, 1.03)
    """Actual over nominal pixel size."""
    rotation: Annotated[Range, _within(-15, 15)] = (-3.0, 3.0)
    """[degrees]"""
    offset_x: Annotated[Range, _within(-20, 20)] = (-5.0, 5.0)
    """Of the image's middle from the particle's [Å]."""
    offset_y: Annotated[Range, _within(-10, 10)] = (-2.0, 4.0)
    """Of the image's middle above the support's top row [Å]."""

    @model_validator(mode="after")
    def _fits_the_cell(self) -> ViewRanges:
        turn = math.radians(max(map(abs, self.rotation)))
        H, W = (n * self.pixel_size * self.scale[1] for n in self.shape)
        width = W * math.cos(turn) + H * math.sin(turn)
        height = H * math.cos(turn) + W * math.sin(turn)
        below = SURFACE - BOTTOM - MARGIN + self.offset_y[0]
        above = HEIGHT - SURFACE - MARGIN - self.offset_y[1]
        room = 2 * min(below, above)
        if width > WIDTH - MARGIN or height > room:
            raise RecipeError(
                f"[view] whose images may reach {width:.1f} × {height:.1f} Å",
                expected=f"at most {WIDTH - MARGIN:.1f} × {room:.1f} Å",
                why="beyond, they would show the support's lower end or the next cell",
                fix="take fewer or smaller pixels, or less rotation, scale or offset",
            )
        return self


class Vibration(Recipe):
    """Root mean square thermal displacement of each element along an axis [Å]."""

    Pt: Displacement = 0.06
    Ce: Displacement = 0.06
    O: Displacement = 0.08  # noqa: E741 (oxygen)


class Group(Recipe):
    """A part of the data set that is computed in one way."""

    name: Annotated[str, Field(min_length=1)]
    structures: Annotated[int, Field(ge=1, le=1_000_000)]
    images: Annotated[int, Field(ge=1, le=100)] = 1
    """Of every structure, each with its own tilt, optics and view."""
    grid: Annotated[int, Field(ge=192, le=4096)] = 384
    """Samples of the wave along x; as many per Å along y."""
    slice_thickness: Annotated[float, Field(ge=0.3, le=4)] = 1.9132
    """[Å]"""
    parametrization: Literal["lobato", "kirkland"] = "lobato"
    vibration: Vibration = Vibration()


class Simulation(Recipe):
    """A data set of simulated micrographs.

    Two recipes of different seeds share no structure; the same recipe gives the same bytes
    whatever the number of workers.
    """

    seed: Annotated[int, Field(ge=0, lt=2**63)]
    dtype: Literal["float16", "float32"] = "float32"
    view: ViewRanges
    structure: StructureRanges = StructureRanges()
    optics: OpticsRanges = OpticsRanges()
    regime: Annotated[tuple[Regime, ...], Field(min_length=1)] = (Regime(name="any"),)
    group: Annotated[tuple[Group, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Simulation:
        for kind in ("regime", "group"):
            names = [part.name for part in getattr(self, kind)]
            if len(set(names)) < len(names):
                raise RecipeError(
                    f"two parts [[{kind}]] of one name",
                    expected="a name of its own for each",
                    why="images are told apart by it",
                    fix="rename one",
                )
        return self
