"""Recipes of one's own material: a crystal, how it is cut, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from emprior.errors import FileError, RecipeError, import_extra
from emprior.files import expanded
from emprior.recipes import Recipe
from emprior.simulate.ranges import Fraction, Range, within

if TYPE_CHECKING:
    from emprior.simulate.crystals import Crystal

Indices = tuple[
    Annotated[int, Field(ge=-20, le=20)],
    Annotated[int, Field(ge=-20, le=20)],
    Annotated[int, Field(ge=-20, le=20)],
]


def _known(symbols: tuple[str, ...]) -> tuple[str, ...]:
    import_extra("ase", "simulate", "building crystals")
    from emprior.simulate.crystals import check_element

    for symbol in symbols:
        check_element(symbol)
    return symbols


class CrystalRecipe(Recipe):
    """A crystal: from a CIF, or a prototype with elements and lattice constants in Å."""

    cif: str | None = None
    """A file; relative paths start at the recipe's folder."""
    text: str = ""
    """Contents of that file: read from it, and kept with the data set, which needs it no more."""
    prototype: (
        Literal[
            "fcc", "bcc", "hcp", "diamond", "rocksalt", "cesiumchloride", "zincblende", "fluorite",
            "perovskite", "wurtzite", "2H-MoS2",
        ]
        | None
    ) = None  # fmt: skip
    elements: Annotated[tuple[str, ...], AfterValidator(_known)] = ()
    """One for each kind of place, in the order of the prototype's formula."""
    a: Annotated[float, Field(ge=2, le=30)] | None = None
    c: Annotated[float, Field(ge=2, le=60)] | None = None

    @model_validator(mode="after")
    def _is_a_crystal(self) -> CrystalRecipe:
        of_prototype = (self.prototype, self.a)
        if self.cif is not None:
            foreign = [*of_prototype, self.c, self.elements or None]
            complete = not any(value is not None for value in foreign)
        else:
            complete = None not in of_prototype
        if not complete:
            raise RecipeError(
                f"a crystal of {', '.join(sorted(self.model_fields_set)) or 'nothing'}",
                expected="either cif, or prototype, elements and a (and c)",
                why="it is the one or the other",
                fix="remove or add the others",
            )
        self.build().check(self.cif or f"{self.prototype} of {', '.join(self.elements)}")
        return self

    def build(self) -> Crystal:
        """Build the unit cell; raises RecipeError where it is none."""
        import_extra("ase", "simulate", "building crystals")
        from emprior.simulate.crystals import from_cif, prototype

        if self.cif is not None:
            return from_cif(self.text, self.cif)
        assert self.prototype is not None
        assert self.a is not None
        return prototype(self.prototype, self.elements, self.a, self.c)


class Film(Recipe):
    """An amorphous film behind the crystal, on the side where the beam leaves."""

    formula: Annotated[str, Field(min_length=1)] = "C"
    density: Annotated[float, Field(ge=0.5, le=25)] = 2.0
    """[g/cm³]"""
    thickness: Annotated[Range, within(1, 300)] = (10.0, 30.0)
    """[Å]"""

    @model_validator(mode="after")
    def _has_room_for_its_atoms(self) -> Film:
        import_extra("ase", "simulate", "building amorphous films")
        from emprior.simulate.amorphous import Glass

        Glass.of(self.formula, self.density)
        return self


class Material(Recipe):
    """What every structure of one's own material draws; lengths in Å."""

    crystal: CrystalRecipe
    zone_axis: Indices
    """The direction [u v w] that the beam takes through the crystal."""
    strain: Annotated[Range, within(-0.1, 0.1)] = (0.0, 0.0)
    """Of the lattice along x, and apart from it along y."""
    vacancies: Fraction = (0.0, 0.0)
    """Share of all atoms of the crystal that are missing."""
    adatoms: Annotated[Range, within(0, 1000)] = (0.0, 0.0)
    """Single atoms on sites of the crystal just beyond its surface."""
    film: Film | None = None

    def up(self) -> Indices | None:
        """Return the plane that y is normal to, where the structure has an edge."""
        return None

    @model_validator(mode="after")
    def _can_be_seen_so(self) -> Material:
        import_extra("ase", "simulate", "building crystals")
        from emprior.simulate.zone import orient

        orient(self.crystal.build(), self.zone_axis, self.up())
        return self


class Slab(Material):
    """A crystal that fills the image."""

    kind: Literal["slab"]
    thickness: Annotated[Range, within(2, 1000)]
    steps: Annotated[Range, within(0, 20)] = (0.0, 0.0)
    """Surface steps, each one period high and across the whole cell, on either face."""


class Wedge(Material):
    """A crystal that thins towards an edge at y = 0, above which there is vacuum."""

    kind: Literal["wedge"]
    edge: Indices
    """The plane (h k l) that faces the vacuum; it contains the zone axis."""
    angle: Annotated[Range, within(1, 170)]
    """Between the wedge's faces [degrees]."""
    thickness: Annotated[Range, within(2, 1000)]
    """At most."""

    def up(self) -> Indices:
        """Return the plane of the edge."""
        return self.edge


class Facet(Recipe):
    """A family of planes that bound a particle."""

    plane: Indices
    """(h k l), which stands for all that the lattice's symmetry makes of it."""
    distance: Annotated[Range, within(0.3, 3)] = (0.9, 1.1)
    """Of each from the particle's centre, in units of its radius."""


class Support(Recipe):
    """A crystal below a particle, its surface seen edge-on at y = 0."""

    crystal: CrystalRecipe
    zone_axis: Indices
    surface: Indices
    """The plane (h k l) that carries the particle."""
    thickness: Annotated[Range, within(2, 1000)]
    """Along the beam."""
    step: Annotated[float, Field(ge=0, le=1)] = 0.0
    """How often the surface is one layer lower beside the particle."""
    vacancies: Fraction = (0.0, 0.0)

    @model_validator(mode="after")
    def _can_be_seen_so(self) -> Support:
        import_extra("ase", "simulate", "building crystals")
        from emprior.simulate.zone import orient

        orient(self.crystal.build(), self.zone_axis, self.surface)
        return self


class Particle(Material):
    """A faceted particle: free, on a film, or on a support."""

    kind: Literal["particle"]
    diameter: Annotated[Range, within(4, 500)]
    facets: Annotated[tuple[Facet, ...], Field(min_length=1)]
    base: Indices | None = None
    """The plane (h k l) that y is normal to, on the support if there is one; it contains the zone
    axis."""
    support: Support | None = None
    gap: Annotated[Range, within(1, 6)] = (2.0, 2.6)
    """From the support's topmost atoms to the particle's lowest."""
    height: Annotated[Range, within(-0.9, 1)] = (0.0, 0.6)
    """Of the particle's centre above the support, in units of its radius."""

    def up(self) -> Indices:
        """Return the plane of the base, any that contains the zone axis where none is given."""
        from emprior.simulate.zone import planes_along

        return self.base or planes_along(self.zone_axis)[0]

    @model_validator(mode="after")
    def _is_bounded(self) -> Particle:
        from emprior.simulate.bodies import facet_planes

        planes, _ = facet_planes(self)
        if np.linalg.matrix_rank(planes) < 3:
            raise RecipeError(
                f"facets {', '.join(str(list(facet.plane)) for facet in self.facets)}",
                expected="planes that enclose the particle",
                why="what lattice symmetry makes of these leaves it open to some side",
                fix="add a family of planes",
            )
        return self


def with_files(values: Any, folder: Path) -> Any:
    """Return a recipe's plain values with the contents of each CIF beside its name.

    Raises
    ------
    FileError
        If a file cannot be read.
    """
    if isinstance(values, list):
        return [with_files(value, folder) for value in values]
    if not isinstance(values, dict):
        return values
    values = {key: with_files(value, folder) for key, value in values.items()}
    if isinstance(values.get("cif"), str) and not values.get("text"):
        path = folder / expanded(values["cif"])
        try:
            values["text"] = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise FileError(
                f"{path}: {error.strerror}",
                expected="a crystal, which is a CIF file",
                why="structures are built from it",
                fix="correct crystal.cif; a relative path starts at the recipe's folder",
            ) from error
    return values


AnyMaterial = Slab | Wedge | Particle
