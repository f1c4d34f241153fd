"""Draw how an image is taken: regime, optics and view."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from emprior.simulate.ranges import Range
from emprior.simulate.recipe import OpticsRanges, Regime, Simulation
from emprior.specimen import Optics, View


class Exposure(NamedTuple):
    """How one image is taken."""

    regime: str
    optics: Optics
    view: View

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "regime": self.regime,
            "optics": self.optics.to_dict(),
            "view": self.view.to_dict(),
        }


def draw_absorption(ranges: OpticsRanges, rng: np.random.Generator) -> float:
    """Draw what all images of a structure share, since it belongs to the specimen."""
    return rng.uniform(*ranges.absorption)


def draw_exposure(
    recipe: Simulation,
    middle: tuple[float, float],
    thickness: float,
    absorption: float,
    rng: np.random.Generator,
) -> Exposure:
    """Draw the regime, optics and view of one image.

    Parameters
    ----------
    recipe : Simulation
    middle : (x, y)
        Point of the cell that images are taken about [Å].
    thickness : float
        Of the structure [Å].
    absorption : float
        From `draw_absorption`.
    rng : numpy.random.Generator
    """
    weights = np.array([regime.weight for regime in recipe.regime])
    regime: Regime = recipe.regime[rng.choice(len(weights), p=weights / weights.sum())]
    angle = np.deg2rad(rng.uniform(*regime.tilt)) * rng.choice((-1, 1))
    tilt = (float(angle), 0.0) if rng.integers(2) else (0.0, float(angle))
    ranges = recipe.optics
    optics = Optics(
        defocus=rng.uniform(*regime.defocus),
        cs=rng.uniform(*ranges.cs),
        c5=rng.uniform(*ranges.c5),
        focal_spread=rng.uniform(*ranges.focal_spread),
        blur=rng.uniform(*ranges.blur),
        tilt=tilt,
        absorption=absorption,
        energy=ranges.energy,
        astigmatism=_aside(ranges.astigmatism, rng),
        coma=_aside(ranges.coma, rng),
        trefoil=_aside(ranges.trefoil, rng),
        drift=_aside(ranges.drift, rng),
        convergence=1e-3 * (ranges.convergence or 0.0),
        detector=_radians(ranges.detector or (0.0, 0.0)),
    )
    # Tilted, the middle of the specimen appears where its beam meets the exit plane.
    shift = thickness / 2 * np.tan(tilt)
    view = View(
        shape=recipe.view.shape,
        pixel_size=recipe.view.pixel_size * rng.uniform(*recipe.view.scale),
        centre=(
            float(middle[0] + shift[0] + rng.uniform(*recipe.view.offset_x)),
            float(middle[1] + shift[1] + rng.uniform(*recipe.view.offset_y)),
        ),
        rotation=float(np.deg2rad(rng.uniform(*recipe.view.rotation))),
    )
    return Exposure(regime.name, optics, view)


def _aside(amplitude: Range, rng: np.random.Generator) -> tuple[float, float]:
    """Draw an amplitude and any azimuth, or nothing: recipes without draw what they always drew."""
    if not any(amplitude):
        return 0.0, 0.0
    return rng.uniform(*amplitude), rng.uniform(-np.pi, np.pi)


def _radians(detector: tuple[float, float]) -> tuple[float, float]:
    return 1e-3 * detector[0], 1e-3 * detector[1]
