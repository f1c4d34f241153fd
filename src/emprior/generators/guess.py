"""A first guess of columns and optics, from what an encoder tells of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from emprior.generators import lattice
from emprior.generators.columns import Element, Scene
from emprior.generators.peaks import peaks, strongest
from emprior.generators.turning import turning

RING = 16
"""Pixels around the frame for which columns are guessed too, since they show inside it."""

ON_LATTICE, OFF_LATTICE = 0.015, 0.15
"""Prior standard deviation of a column's position about its lattice, or about its guess [Å].

Besides what heights do in a tilted beam.
"""

_LEAST = 0.35  # density at which a column is taken up
_NEAREST = 0.42  # of their spacing along the beam: columns of one element stand no nearer

OPTICS = {
    "defocus": (100.0, 60.0),  # Å
    "tilt_columns": (0.0, 0.035),  # tangent
    "tilt_rows": (0.0, 0.035),
    "thickness": (45.0, 11.0),  # Å
    "blur": (0.55, 0.06),  # Å
    "centre": (0.5, 0.1),  # share of the thickness
    "unit": (1.0, 0.1),  # of intensity
    "origin": (0.0, 1 / 30),
}
"""Middle and scale of the global numbers that the network tells, in their order.

Tilts are told without their sign. A column tilted either way has nearly the same projection, so a
mean over both signs would always be zero, whatever the frame shows.
"""


class Guess(NamedTuple):
    """What a frame shows at first sight."""

    scene: Scene
    probability: Tensor
    """(M,) that there is such a column."""
    unit: float
    origin: float
    """The frame is ``unit · image + origin``."""
    tilts: Tensor
    """(4, 2) which are all alike to the encoder, the scene's first."""


class Look(NamedTuple):
    """What the network tells of one frame, which it saw turned."""

    maps: Tensor
    """(2E, H, W), as `ColumnEncoder.forward` returns them."""
    optics: Tensor
    """(2, 8)"""
    seen: Tensor
    """(H, W), 1 where there was a frame."""
    view: tuple[int, int]
    """Shape of the turned frame, in the middle of the maps."""
    frame: tuple[int, int]
    """Shape of the frame."""
    turn: float
    """Clockwise [degrees]."""


def canvas(h: int, w: int, ring: int = RING) -> tuple[int, int]:
    """Return the sides of the generator's grid about h × w pixels: even margins, by 8."""
    H, W = (-(-(n + 2 * ring) // 8) * 8 for n in (h, w))
    return H, W


@torch.no_grad()
def guess(look: Look, elements: Sequence[Element], pixel_size: float) -> Guess:
    """Guess the scene of one frame, as the frame stands.

    Parameters
    ----------
    look : Look
    elements : sequence of Element
        In the order of the maps.
    pixel_size : float
        Of the maps [Å].
    """
    maps = look.maps
    centre, scale = torch.tensor(list(OPTICS.values())).to(maps).T
    optics = dict(zip(OPTICS, centre + scale * look.optics[0], strict=True))
    E = len(elements)
    rows, columns, element, density = peaks(maps[:E], _LEAST)
    spacing = torch.tensor([e.spacing for e in elements]).to(maps)
    nearest = _NEAREST / pixel_size * spacing[element]
    kept = strongest(torch.stack([rows, columns], 1), element, density, nearest)
    rows, columns, element, density = (x[kept] for x in (rows, columns, element, density))
    atoms = maps[E:][element, rows.round().long(), columns.round().long()]
    # Back to the frame as it is, whose middle is that of the canvas: odd margins cannot be
    # halved, so that in the network's the frame may be half a pixel off.
    first = [(N - n) // 2 for N, n in zip(maps.shape[1:], look.view, strict=True)]
    middle = torch.tensor([f + (n - 1) / 2 for f, n in zip(first, look.view, strict=True)])
    sides = torch.tensor(canvas(*look.frame)).to(maps)
    matrix = turning(look.turn).to(maps)
    points = (torch.stack([rows, columns], 1) - middle.to(maps)) @ matrix.T + (sides - 1) / 2
    inside = ((points > 1.5) & (points < sides - 2.5)).all(1) | (look.turn == 0)
    points, element, density, atoms = (x[inside] for x in (points, element, density, atoms))
    probability = density.clamp(0, 1)
    # A column that may not be there stands for its mean number of atoms.
    share = (1.1 * probability).clamp(max=1.0)
    typical = torch.tensor([e.typical for e in elements]).to(maps)[element]
    through = torch.tensor([e.through for e in elements]).to(maps.device)[element]
    counts = torch.where(through, 1.0, typical * (atoms / density).clamp(0.1, 2.0)) * share
    sites, layer = _snap(points, element, elements)
    thickness = optics["thickness"].clamp(min=15.0)
    signs = maps.new_tensor([(1, 1), (1, -1), (-1, 1), (-1, -1)])
    tilts = signs * torch.stack([optics["tilt_rows"], optics["tilt_columns"]]) @ matrix.T
    scene = Scene(
        rows=sites[:, 0],
        columns=sites[:, 1],
        element=element,
        counts=counts,
        layer=layer,
        position_sd=torch.where(layer < 0, OFF_LATTICE, ON_LATTICE).to(maps),
        defocus=optics["defocus"],
        thickness=thickness,
        centre=optics["centre"].clamp(0.1, 0.9) * thickness,
        blur=optics["blur"].clamp(min=0.3),
        tilt=tilts[0],
    )
    # A frame of something else may be told any unit; intensities stay positive.
    unit = float(optics["unit"].clamp(0.5, 2.0))
    return Guess(scene, probability, unit, float(optics["origin"]), tilts)


def _snap(points: Tensor, element: Tensor, elements: Sequence[Element]) -> tuple[Tensor, Tensor]:
    """Move columns onto their crystal's lattice; return positions, and layers as a scene has them.

    Columns that reach through are one crystal, the others another; the first element of
    each shows the lattice best.
    """
    sites, layer = points.clone(), torch.full_like(element, -1)
    for through in (True, False):
        kinds = [i for i, e in enumerate(elements) if e.through == through]
        chosen = torch.isin(element, torch.tensor(kinds).to(element)) if kinds else None
        if chosen is None or not bool(chosen.any()):
            continue
        some, of = points[chosen].double().cpu().numpy(), element[chosen].cpu().numpy()
        basis = lattice.basis_of(some[of == kinds[0]])
        if basis is None:
            continue
        fitted = lattice.fit(some, basis, of)
        sites[chosen] = torch.from_numpy(fitted.sites).to(points)
        layers = torch.from_numpy(fitted.layers()).to(layer)
        layer[chosen] = torch.where(layers < 0, -1, layers + layer.max() + 1)
    return sites, layer


def log_deviation(optics: Tensor) -> Tensor:
    """Return the bounded logarithm of the deviations among the told optics, (B, 8)."""
    return optics[:, 1].clamp(-4.0, 3.0)
