r"""Draw random structures: a faceted Pt particle on a CeO2 support, seen along [1-10].

x is [11-2], y is [111] and points from the support into the vacuum, z is the beam. Both crystals
stand on their (111) planes; each may be mirrored in x, which reverses its stacking.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from ase.build import bulk, cut
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from emprior.simulate.cell import A_CEO2, BOTTOM, HEIGHT, PERIOD, ROW, SURFACE, WIDTH
from emprior.simulate.recipe import StructureRanges
from emprior.specimen import Structure

Floats = NDArray[np.float64]

PT, CE, OXYGEN = 78, 58, 8

_AXES = np.array([[1, 1, -2], [1, 1, 1], [1, -1, 0]]) / np.sqrt([[6], [3], [2]])  # x, y, z
_111 = np.array([[i, j, k] for i in (1, -1) for j in (1, -1) for k in (1, -1)]) / np.sqrt(3)
_100 = np.concatenate([np.eye(3), -np.eye(3)])


def draw_structure(
    ranges: StructureRanges, rng: np.random.Generator
) -> tuple[Structure, dict[str, Any]]:
    """Draw one structure.

    Returns
    -------
    structure : Structure
    drawn : dict
        Every drawn parameter by name, with ``particle_x``, the x of the particle's middle [Å].
    """
    thickness = PERIOD * _draw_periods(ranges.thickness, rng)
    mirrored = bool(rng.integers(2))
    drawn: dict[str, Any] = {
        "mirrored": mirrored,
        "twin": bool(rng.random() < ranges.twin),
        "lattice_pt": rng.uniform(*ranges.lattice_pt),
        "gap": rng.uniform(*ranges.gap),
        "particle_x": WIDTH * rng.uniform(0.35, 0.65),
    }
    particle, facets = _draw_particle(ranges, drawn, thickness, rng)
    ceria, numbers, steps = _draw_support(ranges, mirrored, thickness, particle, rng)
    positions = np.concatenate([ceria, particle])
    structure = Structure(
        # Rounded, so that atoms of one column keep exactly equal x and y.
        np.round(positions, 6),
        np.concatenate([numbers, np.full(len(particle), PT)]),
        np.array([WIDTH, HEIGHT, thickness]),
    )
    return structure, {**drawn, **facets, **steps, "thickness": thickness}


def crystal(kind: str, a: float, mirrored: bool, x: float, box: Floats) -> tuple[Floats, Floats]:
    """Fill a box with a crystal in the orientation of this module, a row of cations at y = 0.

    Parameters
    ----------
    kind : "Pt" or "CeO2"
    a : float
        Lattice constant [Å].
    mirrored : bool
        Reverse the stacking.
    x : float
        Where a column of the row at y = 0 stands [Å].
    box : (3, 2) ndarray
        Lowest (inside) and highest (outside) x, y, z [Å].

    Returns
    -------
    positions : (N, 3) ndarray
        [Å]
    numbers : (N,) ndarray
        Atomic numbers.
    """
    cell, edges, numbers = _oriented_cell(kind)
    cell, edges = cell * a, edges * a
    sign = -1 if mirrored else 1
    # The box as the crystal sees it, before it is mirrored and moved.
    own = np.array([sorted(sign * (box[0] - x)), box[1], box[2]])
    low, high = np.floor(own[:, 0] / edges).astype(int), np.ceil(own[:, 1] / edges).astype(int)
    shifts = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), -1).reshape(-1, 3)
    positions = (shifts[:, None] * edges + cell).reshape(-1, 3)
    positions[:, 0] = sign * positions[:, 0] + x
    positions = np.round(positions, 6)
    inside = np.all((positions >= box[:, 0]) & (positions < box[:, 1]), axis=1)
    return positions[inside], np.tile(numbers, len(shifts))[inside]


@cache
def _oriented_cell(kind: str) -> tuple[Floats, Floats, Floats]:
    """Return the atoms, edges and atomic numbers of the orthogonal cell of lattice constant 1."""
    structure = {"Pt": "fcc", "CeO2": "fluorite"}[kind]
    cell = cut(
        bulk(kind, structure, a=1.0, cubic=True), a=(0.5, 0.5, -1), b=(1, 1, 1), c=(0.5, -0.5, 0)
    )
    edges = cell.cell.lengths()
    return cell.get_scaled_positions() * edges, edges, cell.numbers


def _draw_periods(thickness: tuple[float, float], rng: np.random.Generator) -> int:
    low, high = (round(t / PERIOD) for t in thickness)
    return int(rng.integers(low, high + 1))


def _draw_particle(
    ranges: StructureRanges, drawn: dict[str, Any], thickness: float, rng: np.random.Generator
) -> tuple[Floats, dict[str, Any]]:
    """Cut a particle from the crystal and roughen its surface."""
    a, x = drawn["lattice_pt"], drawn["particle_x"]
    mirrored = drawn["mirrored"] != drawn["twin"]
    radius = rng.uniform(*ranges.diameter) / 2
    middle = np.array([x, rng.uniform(*ranges.height) * radius, thickness / 2])
    # Off the middle of the support by as much as keeps the particle inside.
    middle[2] += rng.uniform(-1, 1) * max(0.0, thickness / 2 - radius - 1)
    box = np.array([[x - 24, x + 24], [-1e-3, 40], [1e-3, thickness]])
    sites, _ = crystal("Pt", a, mirrored, x + rng.uniform(0, a), box)
    sites[:, 2] += rng.uniform(0, PERIOD) - PERIOD / 2
    sites = sites[(sites[:, 2] > 0.2) & (sites[:, 2] < thickness - 0.2)]

    axes = _AXES * ([[-1], [1], [1]] if mirrored else 1)
    distances = np.concatenate(
        [rng.uniform(*ranges.facets_111, len(_111)), rng.uniform(*ranges.facets_100, len(_100))]
    )
    normals = np.concatenate([_111, _100]) @ axes.T
    occupied = np.all((sites - middle) @ normals.T < distances * radius, axis=1)

    roughness = {name: rng.uniform(*getattr(ranges, name)) for name in ("lost", "partial", "added")}
    _roughen_columns(sites, occupied, a, roughness, rng)
    adatoms = _add_adatoms(sites, occupied, a, round(rng.uniform(*ranges.adatoms)), rng)
    vacancies = rng.uniform(*ranges.vacancies)
    occupied &= rng.random(len(sites)) >= vacancies

    particle = sites[occupied] + np.array([0, SURFACE + drawn["gap"], 0])
    return particle, {
        "radius": radius,
        "middle": middle.tolist(),
        "facets": distances.tolist(),
        **roughness,
        "adatoms": adatoms,
        "vacancies": vacancies,
    }


def _roughen_columns(
    sites: Floats,
    occupied: NDArray[np.bool_],
    a: float,
    roughness: dict[str, float],
    rng: np.random.Generator,
) -> None:
    """Take away, shorten and add atomic columns at the particle's surface, in place."""
    xy, column = np.unique(sites[:, :2], axis=0, return_inverse=True)
    column = column.ravel()
    counts = np.bincount(column, occupied, minlength=len(xy))
    # A column has six neighbours, at 0.61 a (four) and 0.71 a (two).
    neighbours = cKDTree(xy).query_ball_point(xy, 0.75 * a)
    filled = np.array([np.count_nonzero(counts[n]) for n in neighbours]) - (counts > 0)
    for c in np.flatnonzero((counts > 0) & (filled < 6) | (counts == 0) & (filled >= 2)):
        members = np.flatnonzero(column == c)
        chance, kind = rng.random(2)
        length = rng.random()
        if counts[c] == 0:
            beside = occupied & np.isin(column, neighbours[c])  # the last may be lost by now
            if chance < roughness["added"] and beside.any():
                longest = min(len(members), counts[neighbours[c]].max())
                middle = sites[beside, 2].mean()
                near = np.argsort(np.abs(sites[members, 2] - middle))
                occupied[members[near[: 1 + int(length * longest)]]] = True
        elif chance < roughness["lost"]:
            occupied[members] = False
        elif chance < roughness["lost"] + roughness["partial"]:
            run = members[occupied[members]]
            run = run[np.argsort(sites[run, 2])]
            gone = int(length * len(run))
            occupied[run[:gone] if kind < 0.5 else run[len(run) - gone :]] = False


def _add_adatoms(
    sites: Floats, occupied: NDArray[np.bool_], a: float, count: int, rng: np.random.Generator
) -> int:
    """Put single atoms on free sites with three neighbours or more, in place."""
    if not occupied.any():
        return 0
    tree = cKDTree(sites[occupied])
    touching = tree.query_ball_point(sites, 0.75 * a, return_length=True)
    free = np.flatnonzero(~occupied & (touching >= 3) & (touching <= 5))
    chosen = rng.permutation(free)[:count]
    occupied[chosen] = True
    return len(chosen)


def flat_support(mirrored: bool, x: float, thickness: float) -> tuple[Floats, Floats]:
    """Cut a support with a flat, O-terminated surface.

    Parameters
    ----------
    mirrored : bool
        Its stacking.
    x : float
        Of a column of its top Ce row [Å].
    thickness : float
        Along the beam, whole periods [Å].

    Returns
    -------
    positions : (N, 3) ndarray
        [Å]
    numbers : (N,) ndarray
        Atomic numbers.
    """
    # O layers stand a quarter row above and below each Ce row: half a row up ends with O.
    box = np.array([[0, WIDTH], [BOTTOM - SURFACE, 0.5 * ROW], [0, thickness]])
    # A quarter period off the faces, so that no atom lies on a boundary between slices.
    offset = np.array([[0], [0], [PERIOD / 4]])
    positions, numbers = crystal("CeO2", A_CEO2, mirrored, x, box - offset)
    return positions + np.array([0, SURFACE, PERIOD / 4]), numbers


def _draw_support(
    ranges: StructureRanges,
    mirrored: bool,
    thickness: float,
    particle: Floats,
    rng: np.random.Generator,
) -> tuple[Floats, Floats, dict[str, Any]]:
    """Cut the support, with a step beside the particle and oxygen missing."""
    x = float(rng.uniform(0, WIDTH))
    positions, numbers = flat_support(mirrored, x, thickness)
    step = None
    if rng.random() < ranges.step:
        side = 1 if rng.random() < 0.5 else -1
        base = particle[particle[:, 1] < particle[:, 1].min() + ROW, 0]
        edge = (base.max() if side > 0 else -base.min()) + rng.uniform(0, 8)
        length = rng.uniform(8, 20)
        step = [float(side * edge), float(side * (edge + length))]
        beyond = np.mod(side * positions[:, 0] - edge, WIDTH)
        lowered = (beyond < length) & (positions[:, 1] > SURFACE - 0.5 * ROW)
        positions, numbers = positions[~lowered], numbers[~lowered]
    missing = rng.uniform(*ranges.oxygen_vacancies)
    kept = (numbers != OXYGEN) | (rng.random(len(numbers)) >= missing)
    drawn = {"step": step, "oxygen_vacancies": missing, "support_x": x}
    return positions[kept], numbers[kept], drawn
