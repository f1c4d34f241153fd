"""Draw structures of one's own material: slabs, wedges, particles, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from emprior.simulate.amorphous import Glass
from emprior.simulate.cell import MARGIN
from emprior.simulate.material import AnyMaterial, Particle, Slab, Support, Wedge
from emprior.simulate.recipe import ViewRanges
from emprior.simulate.zone import Oriented, orient
from emprior.specimen import Structure

Floats = NDArray[np.float64]

_TOUCHING = 1.5
"""Sites this many bonds apart hold each other's adatoms."""
_LARGEST = 1.8
"""Farthest corner of a particle, in distances of its farthest facet: a cube's is √3."""
_FACE = 0.5
"""Vacuum before the first and behind the last atom [Å]."""
_CONTACT = 1.5
"""Between a crystal and the film behind it [Å]."""


class Room(NamedTuple):
    """What the images need of the plane [Å]."""

    width: float
    height: float
    offset_x: tuple[float, float]
    """Of an image's middle from that of the structure."""
    offset_y: tuple[float, float]

    @property
    def below(self) -> float:
        """How far images reach down from the structure's middle."""
        return self.height / 2 - self.offset_y[0] + MARGIN

    @property
    def above(self) -> float:
        """How far images reach up from the structure's middle."""
        return self.height / 2 + self.offset_y[1] + MARGIN

    def across(self, reach: float) -> float:
        """Return the width of a cell that shows only one particle of that half width."""
        aside = self.width / 2 + max(map(abs, self.offset_x))
        return max(aside, reach) + max(aside, reach + MARGIN) + MARGIN


def room(view: ViewRanges) -> Room:
    """Return what a recipe's images need."""
    width, height = view.reach()
    return Room(width, height, view.offset_x, view.offset_y)


class Specimen(NamedTuple):
    """A drawn structure."""

    structure: Structure
    middle: tuple[float, float]
    """Point that images are taken about [Å]."""
    drawn: dict[str, Any]
    """Every parameter that was drawn, by name."""


@dataclass
class _Body:
    """Sites of a crystal and which are occupied, in a cell whose z is not settled yet."""

    sites: Floats
    numbers: NDArray[np.int_]
    occupied: NDArray[np.bool_]
    cell: tuple[float, float]
    middle: tuple[float, float]
    drawn: dict[str, Any] = field(default_factory=dict)


def extent(material: AnyMaterial, room: Room) -> tuple[float, float, float]:
    """Return the edges of the largest cell that may be drawn, in x, y and along the beam [Å]."""
    film = material.film.thickness[1] + _CONTACT if material.film else 0.0
    crystal = material.crystal.build()
    if isinstance(material, Particle):
        reach = _LARGEST * max(facet.distance[1] for facet in material.facets)
        reach *= material.diameter[1] / 2
        support = material.support
        width = room.across(reach) + (_support_crystal(support).repeat[0] if support else 0.0)
        top = 2 * reach + material.gap[1] if support else reach
        height = max(room.below, 0.0 if support else reach) + max(room.above, top + MARGIN)
        depth = max(2 * reach, support.thickness[1] if support else 0.0)
        return width, height, depth + film
    oriented = orient(crystal, material.zone_axis, material.up())
    x, y = (r * (1 + material.strain[1]) for r in oriented.repeat)
    height = room.below + room.above if isinstance(material, Wedge) else room.height + y
    return room.width + x, height, material.thickness[1] + film


def draw_specimen(material: AnyMaterial, room: Room, rng: np.random.Generator) -> Specimen:
    """Draw one structure.

    Parameters
    ----------
    material : Slab, Wedge or Particle
        Ranges.
    room : Room
        What the images need.
    rng : numpy.random.Generator
    """
    crystal = material.crystal.build()
    oriented = orient(crystal, material.zone_axis, material.up())
    strain = (rng.uniform(*material.strain), rng.uniform(*material.strain))
    oriented = oriented.strained(*strain)
    bond = crystal.bond() * (1 + max(map(abs, strain)))
    match material:
        case Slab():
            body = _slab(material, oriented, room, bond, rng)
        case Wedge():
            body = _wedge(material, oriented, room, bond, rng)
        case Particle():
            body = _particle(material, oriented, room, bond, rng)
    wanted = round(rng.uniform(*material.adatoms))
    _add_adatoms(body, wanted, bond, rng)
    share = rng.uniform(*material.vacancies)
    body.occupied &= rng.random(len(body.sites)) >= share
    positions, numbers = body.sites[body.occupied], body.numbers[body.occupied]
    body.drawn |= {"strain": list(strain), "vacancies": share, "adatoms": wanted}
    if isinstance(material, Particle) and material.support:
        below, of_below = _support(material.support, body, positions, rng)
        positions = np.concatenate([positions, below])
        numbers = np.concatenate([numbers, of_below])
    if material.film:
        positions, numbers = _on_film(material.film, body, positions, numbers, rng)
    top = positions[:, 2].min(initial=0.0) - _FACE
    thickness = float(positions[:, 2].max(initial=0.0) + _FACE - top)
    positions = np.round(positions - [0, 0, top], 6)
    structure = Structure(positions, numbers.astype(np.uint8), np.array([*body.cell, thickness]))
    return Specimen(structure, body.middle, body.drawn | {"thickness": thickness})


def _slab(
    material: Slab, oriented: Oriented, room: Room, bond: float, rng: np.random.Generator
) -> _Body:
    thickness = rng.uniform(*material.thickness)
    x, y = oriented.repeat
    W, H = float(np.ceil(room.width / x) * x), float(np.ceil(room.height / y) * y)
    margin = _TOUCHING * bond
    box = np.array([[0, W], [0, H], [-margin, thickness + margin]])
    sites, numbers = oriented.fill(box, rng.uniform(0, 1, 3) * [x, y, oriented.period])
    faces = np.zeros((2, len(sites)))
    steps = []
    for _ in range(round(rng.uniform(*material.steps))):
        angle, face = rng.uniform(0, 2 * np.pi), int(rng.integers(2))
        place = rng.uniform(0, 1, 2) * (W, H)
        beyond = (sites[:, :2] - place) @ [np.cos(angle), np.sin(angle)] > 0
        faces[face, beyond] += oriented.period
        steps.append({"angle": angle, "place": place.tolist(), "face": face})
    z = sites[:, 2]
    occupied = (z >= faces[0]) & (z < thickness - faces[1])
    drawn = {"crystal_thickness": thickness, "steps": steps}
    return _Body(sites, numbers, occupied, (W, H), (W / 2, H / 2), drawn)


def _wedge(
    material: Wedge, oriented: Oriented, room: Room, bond: float, rng: np.random.Generator
) -> _Body:
    thickness = rng.uniform(*material.thickness)
    slope = 2 * np.tan(np.deg2rad(rng.uniform(*material.angle)) / 2)
    x = oriented.repeat[0]
    W, H = float(np.ceil(room.width / x) * x), room.below + room.above
    margin = _TOUCHING * bond
    half = thickness / 2
    box = np.array([[0, W], [0, room.below + margin], [-half - margin, half + margin]])
    origin = rng.uniform(0, 1, 3) * [x, 0, oriented.period] + [0, room.below, 0]
    sites, numbers = oriented.fill(box, origin)
    depth = room.below + 1e-3 - sites[:, 1]
    occupied = (depth > 0) & (np.abs(sites[:, 2]) < np.minimum(slope * depth, thickness) / 2)
    drawn = {"crystal_thickness": thickness, "slope": float(slope)}
    return _Body(sites, numbers, occupied, (W, H), (W / 2, room.below), drawn)


def facet_planes(material: Particle) -> tuple[NDArray[np.int_], NDArray[np.intp]]:
    """Return all planes (n, 3) that a particle's facets stand for, and the facet of each (n,)."""
    symmetries = material.crystal.build().symmetries()
    families = [np.unique(facet.plane @ symmetries, axis=0) for facet in material.facets]
    owner = np.repeat(np.arange(len(families)), [len(family) for family in families])
    return np.concatenate(families), owner


def _particle(
    material: Particle, oriented: Oriented, room: Room, bond: float, rng: np.random.Generator
) -> _Body:
    radius = rng.uniform(*material.diameter) / 2
    planes, owner = facet_planes(material)
    distances = np.array([rng.uniform(*material.facets[i].distance) for i in owner])
    reach = _LARGEST * radius * distances.max() + _TOUCHING * bond
    box = np.array([[-reach, reach]] * 3)
    sites, numbers = oriented.fill(box, rng.uniform(-0.5, 0.5, 3) @ oriented.cell)
    occupied = np.all(sites @ oriented.normals(planes).T < distances * radius, axis=1)
    drawn = {"radius": radius, "facets": distances.tolist()}
    if material.support:
        drawn |= {"height": rng.uniform(*material.height), "gap": rng.uniform(*material.gap)}
        occupied &= sites[:, 1] > -drawn["height"] * radius
        lowest = sites[occupied, 1].min(initial=reach)
        kept = sites[:, 1] >= lowest - 1e-3
        sites, numbers, occupied = sites[kept], numbers[kept], occupied[kept]
        sites[:, 1] += drawn["gap"] - lowest
    W = room.across(float(np.abs(sites[occupied, 0]).max(initial=radius)))
    down = room.below
    if material.support:
        x = _support_crystal(material.support).repeat[0]
        W = float(np.ceil(W / x) * x)
    else:
        down = max(down, -float(sites[occupied, 1].min(initial=-radius)) + MARGIN)
    top = float(sites[occupied, 1].max(initial=radius))
    middle = (W / 2, down)
    H = down + max(room.above, top + MARGIN)
    return _Body(sites + np.array([*middle, 0]), numbers, occupied, (W, H), middle, drawn)


def _support_crystal(support: Support) -> Oriented:
    return orient(support.crystal.build(), support.zone_axis, support.surface)


def _support(
    support: Support, body: _Body, particle: Floats, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.int_]]:
    """Return the crystal below a particle, in the particle's frame: z = 0 is its middle."""
    oriented = _support_crystal(support)
    half = rng.uniform(*support.thickness) / 2
    W, surface = body.cell[0], body.middle[1]
    box = np.array([[0, W], [MARGIN / 4, surface + 1e-3], [-half, half]])
    origin = rng.uniform(0, 1, 3) @ oriented.cell * [1, 0, 1]
    layer = 1 / float(np.linalg.norm(np.linalg.inv(oriented.cell) @ support.surface))
    origin[1] = surface - rng.uniform(0, layer)  # which of its layers ends it
    sites, numbers = oriented.fill(box, origin)
    sites[:, 1] += surface - sites[:, 1].max(initial=0.0)
    kept = rng.random(len(sites)) >= rng.uniform(*support.vacancies)
    if rng.random() < support.step:
        side = 1 if rng.random() < 0.5 else -1
        edge = np.max(side * particle[:, 0], initial=0.0) + rng.uniform(0, 8)
        length = rng.uniform(8, 20)
        beyond = np.mod(side * sites[:, 0] - edge, W) < length
        kept &= ~(beyond & (sites[:, 1] > surface - layer + 1e-3))
        body.drawn["step"] = [float(side * edge), float(side * (edge + length))]
    return sites[kept], numbers[kept]


def _add_adatoms(body: _Body, wanted: int, bond: float, rng: np.random.Generator) -> None:
    """Put single atoms on free sites that touch the crystal, two of its atoms where possible."""
    if not (wanted and body.occupied.any()):
        return
    tree = cKDTree(body.sites[body.occupied])
    touching = tree.query_ball_point(body.sites, _TOUCHING * bond, return_length=True)
    touching[body.occupied] = 0
    free = np.flatnonzero(touching >= max(1, min(2, touching.max(initial=0))))
    body.occupied[rng.permutation(free)[:wanted]] = True


def _on_film(
    film: Any, body: _Body, positions: Floats, numbers: NDArray[np.int_], rng: np.random.Generator
) -> tuple[Floats, NDArray[np.int_]]:
    """Put an amorphous film behind everything."""
    thickness = rng.uniform(*film.thickness)
    glass = Glass.of(film.formula, film.density)
    atoms, kinds = glass.fill((*body.cell, thickness), rng)
    behind = positions[:, 2].max(initial=0.0) + _CONTACT
    body.drawn["film"] = thickness
    atoms[:, 2] += behind
    return np.concatenate([positions, atoms]), np.concatenate([numbers, kinds])
