"""Recipes: the ranges that a simulated data set is drawn from, read from TOML.

A pair of numbers is a range from which every structure or image draws uniformly; equal numbers
fix the value. The defaults span the data set of Mohan et al. (2020), Pt particles on CeO2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from emprior.errors import RecipeError, import_extra
from emprior.recipes import Recipe
from emprior.simulate.cell import BOTTOM, HEIGHT, MARGIN, SURFACE, WIDTH
from emprior.simulate.material import Particle, Slab, Wedge, with_files
from emprior.simulate.ranges import Fraction, Probability, Range, within

Displacement = Annotated[float, Field(ge=0, le=0.3)]


class StructureRanges(Recipe):
    """Pt particles on a CeO2 support; lengths in Å."""

    kind: Literal["pt-on-ceo2"] = "pt-on-ceo2"
    thickness: Annotated[Range, within(15, 100)] = (30.0, 62.0)
    """Of the support along the beam, in whole periods of 3.826 Å."""
    twin: Probability = 0.7
    """How often the particle is stacked the other way round than its support."""
    lattice_pt: Annotated[Range, within(3.7, 4.2)] = (3.92, 4.00)
    gap: Annotated[Range, within(1.5, 4)] = (2.2, 3.1)
    """From the top Ce row to the first Pt row."""
    diameter: Annotated[Range, within(10, 32)] = (14.0, 30.0)
    facets_111: Annotated[Range, within(0.5, 1.5)] = (0.85, 1.1)
    """Distance of each {111} plane from the particle's centre, in units of its radius."""
    facets_100: Annotated[Range, within(0.5, 2)] = (1.03, 1.27)
    height: Annotated[Range, within(-0.8, 0.9)] = (-0.3, 0.5)
    """Of the particle's centre above its first row, in units of its radius."""
    lost: Fraction = (0.0, 0.15)
    """Share of the particle's surface columns that are missing."""
    partial: Fraction = (0.0, 0.5)
    """Share of the particle's surface columns that hold fewer atoms."""
    added: Fraction = (0.0, 0.1)
    """Share of the sites beside the particle that hold a short column."""
    adatoms: Annotated[Range, within(0, 20)] = (0.0, 4.0)
    """Single atoms on the particle's surface."""
    vacancies: Fraction = (0.0, 0.04)
    """Share of all Pt atoms that are missing."""
    step: Probability = 0.3
    """How often the support loses its top layer beside the particle."""
    oxygen_vacancies: Fraction = (0.0, 0.08)


class OpticsRanges(Recipe):
    """What every image draws for itself; lengths in Å, angles in degrees, energy in eV."""

    focal_spread: Annotated[Range, within(0, 200)] = (35.0, 45.0)
    blur: Annotated[Range, within(0.2, 3)] = (0.45, 0.65)
    cs: Annotated[Range, within(-3e7, 3e7)] = (-13e4, -13e4)
    c5: Annotated[Range, within(-1e9, 1e9)] = (5e7, 5e7)
    absorption: Annotated[Range, within(0, 0.3)] = (0.02, 0.02)
    energy: Annotated[float, Field(ge=20e3, le=1.5e6)] = 300e3
    focal_nodes: Annotated[int, Field(ge=1, le=31)] = 5
    """Defoci that the focal average is taken over."""
    astigmatism: Annotated[Range, within(0, 2000)] = (0.0, 0.0)
    """C12, at a random azimuth; so the next two."""
    coma: Annotated[Range, within(0, 1e5)] = (0.0, 0.0)
    """C21."""
    trefoil: Annotated[Range, within(0, 1e5)] = (0.0, 0.0)
    """C23, threefold astigmatism."""
    drift: Annotated[Range, within(0, 5)] = (0.0, 0.0)
    """Of the specimen during the exposure, to any side."""
    convergence: Annotated[float, Field(ge=1, le=60)] | None = None
    """Semi-angle of a probe that is scanned [mrad]; without, the beam is a plane wave."""
    detector: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(le=400)]] | None = None
    """Inner and outer angle of the annular detector of a scanned image [mrad]."""

    @model_validator(mode="after")
    def _scans_with_a_detector(self) -> OpticsRanges:
        if (self.convergence is None) != (self.detector is None):
            raise RecipeError(
                f"[optics] with {'detector' if self.detector else 'convergence'} alone",
                expected="both convergence and detector for a scanned image, else neither",
                why="the one makes the probe, the other sees what became of it",
                fix="add the other, or remove it",
            )
        if self.detector is not None and not self.detector[0] < self.detector[1]:
            low, high = sorted(self.detector)
            raise RecipeError(
                f"[optics] detector = {list(self.detector)}",
                expected="the inner angle before the outer one",
                why="the detector is a ring",
                fix=f"give detector = [{low:g}, {high:g}]",
            )
        return self


class Regime(Recipe):
    """Defocus and tilt ranges of a share of the images."""

    name: Annotated[str, Field(min_length=1)]
    weight: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    defocus: Annotated[Range, within(-5000, 5000)] = (0.0, 200.0)
    """C10 [Å]; positive is overfocus."""
    tilt: Annotated[Range, within(0, 6)] = (0.0, 4.0)
    """Of the beam about x or about y, never both, to either side [degrees]."""


class ViewRanges(Recipe):
    """The pixel grid: its nominal size, and how each image departs from it."""

    shape: tuple[Annotated[int, Field(ge=8, le=8192)], Annotated[int, Field(ge=8, le=8192)]]
    pixel_size: Annotated[float, Field(ge=0.01, le=1.0)]
    """Nominal distance between pixels [Å]."""
    scale: Annotated[Range, within(0.5, 2)] = (0.97, 1.03)
    """Actual over nominal pixel size."""
    rotation: Annotated[Range, within(-180, 180)] = (-3.0, 3.0)
    """[degrees]"""
    offset_x: Annotated[Range, within(-20, 20)] = (-5.0, 5.0)
    """Of the image's middle from the particle's [Å]."""
    offset_y: Annotated[Range, within(-10, 10)] = (-2.0, 4.0)
    """Of the image's middle above the support's top row [Å]."""

    def reach(self) -> tuple[float, float]:
        """Return the width and height that the largest, most turned image takes [Å]."""
        turn = math.radians(max(map(abs, self.rotation)))
        H, W = (n * self.pixel_size * self.scale[1] for n in self.shape)

        def extent(along: float, across: float) -> float:
            steepest = min(turn, math.atan2(across, along))
            return along * math.cos(steepest) + across * math.sin(steepest)

        return extent(W, H), extent(H, W)


class Vibration(Recipe):
    """Root mean square thermal displacement of each element along an axis [Å]."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Displacement] = Field(init=False)

    Pt: Displacement = 0.06
    Ce: Displacement = 0.06
    O: Displacement = 0.08  # noqa: E741 (oxygen)

    @model_validator(mode="after")
    def _elements_exist(self) -> Vibration:
        if self.__pydantic_extra__:
            import_extra("ase", "simulate", "looking up elements")
            from emprior.simulate.crystals import check_element

            for symbol in self.__pydantic_extra__:
                check_element(symbol)
        return self

    def of(self, symbols: Iterable[str]) -> dict[str, float]:
        """Return the displacement of each element, 0.07 Å where the recipe has none."""
        given = self.to_dict()
        return {symbol: float(given.get(symbol, 0.07)) for symbol in symbols}


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


def _kind(structure: Any) -> str | None:
    if isinstance(structure, dict):
        return structure.get("kind", "pt-on-ceo2")
    return getattr(structure, "kind", None)


AnyStructure = Annotated[
    Annotated[StructureRanges, Tag("pt-on-ceo2")]
    | Annotated[Slab, Tag("slab")]
    | Annotated[Wedge, Tag("wedge")]
    | Annotated[Particle, Tag("particle")],
    Discriminator(_kind),
]


class Simulation(Recipe):
    """A data set of simulated micrographs.

    Two recipes of different seeds share no structure; the same recipe gives the same bytes
    whatever the number of workers.
    """

    seed: Annotated[int, Field(ge=0, lt=2**63)]
    dtype: Literal["float16", "float32"] = "float32"
    view: ViewRanges
    structure: AnyStructure = StructureRanges()
    optics: OpticsRanges = OpticsRanges()
    regime: Annotated[tuple[Regime, ...], Field(min_length=1)] = (Regime(name="any"),)
    group: Annotated[tuple[Group, ...], Field(min_length=1)]

    @classmethod
    def from_dict(cls, values: dict[str, Any], source: str = "recipe") -> Self:
        """Make a recipe, with the crystal files that it names read; see `Recipe.from_dict`."""
        return super().from_dict(with_files(values, Path(source).parent), source)

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

    @model_validator(mode="after")
    def _fits_the_cell(self) -> Simulation:
        if not isinstance(self.structure, StructureRanges):
            return self  # whose cell is made for the view
        width, height = self.view.reach()
        below = SURFACE - BOTTOM - MARGIN + self.view.offset_y[0]
        above = HEIGHT - SURFACE - MARGIN - self.view.offset_y[1]
        room = 2 * min(below, above)
        if width > WIDTH - MARGIN or height > room:
            raise RecipeError(
                f"[view] whose images may reach {width:.1f} × {height:.1f} Å",
                expected=f"at most {WIDTH - MARGIN:.1f} × {room:.1f} Å",
                why="beyond, they would show the support's lower end or the next cell",
                fix="take fewer or smaller pixels, or less rotation, scale or offset",
            )
        return self
