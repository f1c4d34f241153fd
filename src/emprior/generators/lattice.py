"""Columns on a lattice: guessed positions averaged over a whole crystal.

Single columns are seen to a tenth of an ångström or two; a lattice through a hundred of them is
known ten times better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Floats = NDArray[np.floating]

_TOLERANCE = 0.25  # of the shorter basis vector: how far a step may miss a lattice vector
_FEWEST = 6  # columns that make a lattice


@dataclass(frozen=True, eq=False)
class Lattice:
    """Two basis vectors and the columns that follow them.

    Attributes
    ----------
    basis : (2, 2) ndarray
        Rows are the vectors, in the unit of the points.
    sites : (M, 2) ndarray
        Fitted position of each point; its own where it is on no lattice.
    member : (M,) int ndarray
        Which connected part each point belongs to; −1 for none.
    cells : (M, 2) int ndarray
        Basis vectors from some point of its part to each point.
    """

    basis: Floats
    sites: Floats
    member: NDArray[np.intp]
    cells: NDArray[np.intp]

    def layers(self) -> NDArray[np.intp]:
        """Gather the points of each part that stand an even number of basis vectors apart.

        In many crystals, such as fcc along [110], each step along a shortest vector leads to
        columns that begin half the distance of their atoms higher, or lower.

        Returns
        -------
        (M,) int ndarray
            From 0; −1 for points of no part.
        """
        on, layers = self.member >= 0, np.full(len(self.member), -1)
        keys = np.c_[self.member, self.cells.sum(1) % 2][on]
        layers[on] = np.unique(keys, axis=0, return_inverse=True)[1].ravel()
        return layers


def basis_of(points: Floats) -> Floats | None:
    """Find two shortest independent vectors that many pairs of points differ by.

    Parameters
    ----------
    points : (M, 2) ndarray

    Returns
    -------
    (2, 2) ndarray or None
        None where there are too few points.
    """
    if len(points) < _FEWEST:
        return None
    tree = cKDTree(points)
    nearest = float(np.median(tree.query(points, k=2)[0][:, 1]))
    pairs = tree.query_pairs(2.2 * nearest, output_type="ndarray")
    steps = points[pairs[:, 1]] - points[pairs[:, 0]]
    steps = steps[np.linalg.norm(steps, axis=1) > 0.6 * nearest]
    if len(steps) < _FEWEST:
        return None
    steps = np.concatenate([steps, -steps])
    # The mode of the steps within a quarter of a spacing, by mean shift from the densest.
    crowd = cKDTree(steps)
    votes = np.array([len(near) for near in crowd.query_ball_point(steps, _TOLERANCE * nearest)])
    found: list[Floats] = []
    for i in np.argsort(-votes / np.linalg.norm(steps, axis=1), kind="stable"):
        centre = steps[i]
        # A step along the first vector leads back to it.
        if found and _sine(found[0], centre) < _TOLERANCE / 2:
            continue
        for _ in range(5):
            near = crowd.query_ball_point(centre, _TOLERANCE * nearest)
            centre = steps[near].mean(0)
        if not found:
            found.append(centre)
        elif _sine(found[0], centre) > 0.4:
            return np.stack([*found, centre])
    return None


def _sine(one: Floats, other: Floats) -> float:
    """Return the sine of the angle between two vectors, without its sign."""
    area = abs(one[0] * other[1] - one[1] * other[0])
    return float(area / (np.linalg.norm(one) * np.linalg.norm(other)))


def fit(points: Floats, basis: Floats, kinds: NDArray[np.intp]) -> Lattice:
    """Fit one basis, and one origin for each connected part, to points.

    Parameters
    ----------
    points : (M, 2) ndarray
    basis : (2, 2) ndarray
        First guess.
    kinds : (M,) int ndarray
        Points of different kinds are never of one part.
    """
    member, cells = _connect(points, basis, kinds)
    sites = points.copy()
    for _ in range(3):
        on = member >= 0
        parts, part = np.unique(member[on], return_inverse=True)
        if not on.any():
            break
        design = np.c_[cells[on], np.eye(len(parts))[part]]
        solution, *_ = np.linalg.lstsq(design, points[on], rcond=None)
        basis, fitted = solution[:2], design @ solution
        sites[on] = fitted
        far = np.linalg.norm(fitted - points[on], axis=1)
        stray = np.flatnonzero(on)[far > 2 * _TOLERANCE * np.linalg.norm(basis, axis=1).min()]
        if not len(stray):
            break
        member[stray] = -1
        sites[stray] = points[stray]
    return Lattice(basis, sites, member, cells)


def _connect(
    points: Floats, basis: Floats, kinds: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Walk from point to point by lattice vectors; return part and cell of each."""
    moves = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)])
    reach = _TOLERANCE * np.linalg.norm(basis, axis=1).min()
    distance, near = cKDTree(points).query(points[:, None] + moves @ basis)  # (M, 8)
    steps = [
        list(zip(row[close].tolist(), moves[close], strict=True))
        for row, close in zip(near, distance < reach, strict=True)
    ]
    member, cells = np.full(len(points), -1), np.zeros((len(points), 2), np.intp)
    part = 0
    for start in range(len(points)):
        if member[start] >= 0:
            continue
        member[start], queue, size = part, [start], 0
        while queue:
            here = queue.pop()
            size += 1
            for there, move in steps[here]:
                if member[there] < 0 and kinds[there] == kinds[start]:
                    member[there] = part
                    cells[there] = cells[here] + move
                    queue.append(there)
        if size < _FEWEST:
            member[member == part] = -2
        else:
            part += 1
    member[member == -2] = -1
    return member, cells
