"""A crystal seen along a zone axis, and the rectangle after which that view repeats."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from emprior.errors import RecipeError
from emprior.simulate.crystals import Crystal

Floats = NDArray[np.float64]
Indices = tuple[int, int, int]

_SHEAR = 0.003
"""Largest departure of the rectangle's angle from 90° that strain makes up for [rad]."""
_SEAM = 0.1
"""Height that a repeat may add [Å]."""
_SEAMLESS = 20.0
"""Longest edge of a rectangle without a seam that is preferred to one with [Å]."""
_LONGEST = 60.0
"""Longest edge of the rectangle that repeats [Å]."""


@dataclass(frozen=True, eq=False)
class Oriented:
    """A crystal whose zone axis is z, in the frame of `emprior.specimen`.

    Parameters
    ----------
    cell : (3, 3) ndarray
        Lattice vectors as rows [Å].
    fractional : (n, 3) ndarray
    numbers : (n,) ndarray
    repeat : (x, y)
        Of the projection [Å]; y is 0 where it was not asked to repeat, towards an edge.
    period : float
        Of the crystal along z [Å].
    """

    cell: Floats
    fractional: Floats
    numbers: NDArray[np.int_]
    repeat: tuple[float, float]
    period: float

    def strained(self, x: float, y: float) -> Oriented:
        """Return the crystal stretched by the fractions x and y along x and y."""
        factors = (1 + x, 1 + y)
        repeat = (self.repeat[0] * factors[0], self.repeat[1] * factors[1])
        return replace(self, cell=self.cell * [*factors, 1], repeat=repeat)

    def normals(self, planes: NDArray[np.int_]) -> Floats:
        """Return the (n, 3) unit normals of planes (h k l)."""
        reciprocal = np.linalg.inv(self.cell)  # columns are a*, b*, c*
        normals = planes @ reciprocal.T
        return normals / np.linalg.norm(normals, axis=1, keepdims=True)

    def fill(self, box: Floats, origin: Floats) -> tuple[Floats, NDArray[np.int_]]:
        """Return the positions (N, 3) and numbers (N,) of the atoms within a box.

        Parameters
        ----------
        box : (3, 2) ndarray
            Lowest (inside) and highest (outside) x, y, z [Å].
        origin : (3,) ndarray
            Where a corner of a unit cell lies [Å].
        """
        corners = np.array(list(product(*box))) - origin
        indices = corners @ np.linalg.inv(self.cell)
        low, high = np.floor(indices.min(0)) - 1, np.ceil(indices.max(0)) + 1
        steps = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), -1)
        lattice = steps.reshape(-1, 3) @ self.cell + origin
        size = np.abs(self.cell).sum(0)
        near = np.all((lattice > box[:, 0] - size) & (lattice < box[:, 1] + size), axis=1)
        positions = (lattice[near][:, None] + self.fractional @ self.cell).reshape(-1, 3)
        positions = np.round(positions, 6)  # so that atoms of one column keep equal x and y
        inside = np.all((positions >= box[:, 0]) & (positions < box[:, 1]), axis=1)
        return positions[inside], np.tile(self.numbers, np.count_nonzero(near))[inside]


def orient(crystal: Crystal, zone_axis: Indices, up: Indices | None = None) -> Oriented:
    """Turn a crystal so that its zone axis lies along z.

    Parameters
    ----------
    crystal : Crystal
    zone_axis : [u v w]
        In units of the lattice vectors.
    up : (h k l), optional
        The plane whose normal becomes y. Otherwise the smallest rectangle that repeats is sought,
        and its shorter edge is x.

    Raises
    ------
    RecipeError
        If there is no such rectangle, or the plane does not contain the zone axis.
    """
    _check_axis(zone_axis)
    if up is not None:
        _check_plane(crystal, zone_axis, up)
    axis = np.array(zone_axis) // math.gcd(*zone_axis)
    cell = crystal.cell @ _turn(crystal, axis, up)
    repeat = _repeat(crystal, cell, axis, up is not None)
    if repeat is None:
        raise _no_cell(crystal, zone_axis)
    lengths = (float(np.linalg.norm(repeat[0])), float(np.linalg.norm(repeat[1])))
    if up is None:
        cell[:, :2] = cell[:, :2] @ np.linalg.inv(repeat) @ np.diag(lengths)
    return Oriented(cell, crystal.fractional, crystal.numbers, lengths, _period(crystal, axis))


def _repeat(
    crystal: Crystal, cell: Floats, axis: NDArray[np.int_], level: bool
) -> tuple[Floats, Floats] | None:
    """Return the edges (2,) of the rectangle after which a turned crystal repeats.

    Short shifts that keep the heights of all atoms go before those that move whole columns along z,
    which leave a seam in a slab, though none in its projection.
    """
    period = _period(crystal, axis)
    points = _combinations(_planar_basis(crystal, cell, axis))
    heights = points[:, 2] - period * np.round(points[:, 2] / period)
    for shifts, longest in (
        (points[np.abs(heights) < _SEAM, :2], _SEAMLESS),
        (points[:, :2], _LONGEST),
    ):
        if not level:
            edges = _rectangle(shifts, longest)
            if edges is not None:
                return edges
        else:
            along = shifts[(np.abs(shifts[:, 1]) < 1e-6) & (shifts[:, 0] > 1e-6)]
            if len(along):
                return along[0], np.zeros(2)
    return None


def _turn(crystal: Crystal, axis: NDArray[np.int_], up: Indices | None) -> Floats:
    """Return the frame's x, y, z as columns (3, 3), of which y is normal to the plane `up`."""
    z = axis @ crystal.cell
    z = z / np.linalg.norm(z)
    if up is None:
        y = np.cross(z, np.eye(3)[np.argmin(np.abs(z))])
    else:
        y = np.linalg.inv(crystal.cell) @ np.array(up)
    y = y / np.linalg.norm(y)
    return np.stack([np.cross(y, z), y, z], axis=1)


def _period(crystal: Crystal, axis: NDArray[np.int_]) -> float:
    """Return the shortest translation along a direction [Å]."""
    translations = crystal.translations()
    for parts in (6, 4, 3, 2):
        apart = translations - axis / parts
        if np.any(np.all(np.abs(apart - np.round(apart)) < 1e-3, axis=1)):
            break
    else:
        parts = 1
    return float(np.linalg.norm(axis @ crystal.cell) / parts)


def _planar_basis(crystal: Crystal, cell: Floats, axis: NDArray[np.int_]) -> Floats:
    """Return two translations (2, 3) of a crystal that span them all, seen along its axis.

    Parameters
    ----------
    crystal : Crystal
    cell : (3, 3) ndarray
        Its cell, turned so that the axis is z.
    axis : (3,) ndarray
    """
    centring = crystal.translations()
    area = abs(np.linalg.det(cell)) / len(centring) / _period(crystal, axis)
    reach = range(-max(3, *np.abs(axis)), max(3, *np.abs(axis)) + 1)
    steps = np.array(list(product(reach, repeat=3)))
    points = (steps[:, None] + centring).reshape(-1, 3) @ cell
    lengths = np.linalg.norm(points[:, :2], axis=1)
    order = np.argsort(lengths, kind="stable")
    points = points[order][lengths[order] > 1e-3]
    first = points[0]
    cross = np.abs(first[0] * points[:, 1] - first[1] * points[:, 0])
    return np.stack([first, points[np.abs(cross - area) < 1e-3 * area][0]])


def _combinations(basis: Floats) -> Floats:
    """Return sums of two translations, (n, 3), nearest in projection first, without the origin."""
    steps = np.array(list(product(range(-40, 41), repeat=2)))
    points = steps @ basis
    order = np.argsort(np.linalg.norm(points[:, :2], axis=1), kind="stable")
    return points[order[1:]]


def _rectangle(points: Floats, longest: float) -> tuple[Floats, Floats] | None:
    """Return the edges (2,) of the smallest rectangle among shifts (n, 2), the shorter first."""
    lengths = np.linalg.norm(points, axis=1)
    points, lengths = points[lengths < longest], lengths[lengths < longest]
    best: tuple[float, Floats, Floats] | None = None
    for v, length in zip(points[:60], lengths[:60], strict=True):
        upright = np.abs(points @ v) < _SHEAR * length * lengths
        if upright.any():
            w = points[np.argmax(upright)]  # the shortest
            w = w if v[0] * w[1] > v[1] * w[0] else -w
            area = length * float(np.linalg.norm(w))
            if best is None or area < best[0] * (1 - 1e-6):
                best = (area, v, w)
    return None if best is None else best[1:]


def _check_axis(zone_axis: Indices) -> None:
    if not any(zone_axis):
        raise RecipeError(
            "the zone axis [0 0 0]",
            expected="three whole numbers, not all zero",
            why="it is the direction that the beam takes through the crystal",
            fix="give zone_axis = [0, 0, 1], say",
        )


def planes_along(zone_axis: Indices) -> list[Indices]:
    """Return planes (h k l) of low indices that contain a zone axis, the lowest first."""
    low = (0, 1, -1, 2, -2, 3, -3)
    planes = [(p, q, r) for p in low for q in low for r in low if math.gcd(p, q, r) == 1]
    planes = [plane for plane in planes if np.dot(plane, zone_axis) == 0]
    # At the least (v, -u, 0), whatever the indices.
    planes.append((zone_axis[1], -zone_axis[0], 0) if any(zone_axis[:2]) else (1, 0, 0))
    return sorted(planes, key=lambda p: sum(map(abs, p)))


def _check_plane(crystal: Crystal, zone_axis: Indices, up: Indices) -> None:
    if any(up) and not np.dot(zone_axis, up):
        return
    planes = planes_along(zone_axis)
    nearest = planes[0]
    if any(up):
        reciprocal = np.linalg.inv(crystal.cell).T
        normals = np.array(planes) @ reciprocal
        cosines = normals @ (np.array(up) @ reciprocal) / np.linalg.norm(normals, axis=1)
        nearest = planes[int(np.argmax(cosines))]
    raise RecipeError(
        f"the plane ({_spaced(up)}) seen along [{_spaced(zone_axis)}]",
        expected="a plane that contains the zone axis: h u + k v + l w = 0",
        why="an edge is seen edge-on",
        fix=f"take ({_spaced(nearest)}), the nearest, or another zone axis",
    )


def _no_cell(crystal: Crystal, zone_axis: Indices) -> RecipeError:
    wanted = np.array(zone_axis) @ crystal.cell
    axes = np.array([a for a in product(range(-3, 4), repeat=3) if any(a) and math.gcd(*a) == 1])
    directions = axes @ crystal.cell
    cosines = directions @ wanted / np.linalg.norm(directions, axis=1)
    hint = ""
    for i in np.argsort(-cosines, kind="stable"):
        turned = crystal.cell @ _turn(crystal, axes[i], None)
        if _repeat(crystal, turned, axes[i], False) is not None:
            hint = f"[{_spaced(axes[i])}], the nearest that has one, or "
            break
    return RecipeError(
        f"the zone axis [{_spaced(zone_axis)}] without a periodic cell",
        expected=f"a view that repeats in a rectangle of edges up to {_LONGEST:g} Å, strained by "
        f"no more than {_SHEAR:.1%}",
        why="the simulation repeats its cell in x and y",
        fix=f"take {hint}a particle, which need not repeat",
    )


def _spaced(indices: Indices | NDArray[np.int_]) -> str:
    return " ".join(str(int(i)) for i in indices)
