"""One structure and its images: everything between a seed and what is stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emprior.datasets import write_structure
from emprior.simulate.bodies import Specimen, draw_specimen, room
from emprior.simulate.cell import SURFACE
from emprior.simulate.imaging import exit_wave, form_image, single_threaded, transmit
from emprior.simulate.optics import Exposure, draw_absorption, draw_exposure
from emprior.simulate.recipe import Group, Simulation, StructureRanges
from emprior.simulate.stem import scan
from emprior.simulate.structures import draw_structure
from emprior.specimen import Structure


@dataclass(frozen=True, eq=False)
class Micrographs:
    """The images of one structure.

    Attributes
    ----------
    images : (K, H, W) ndarray
        Clean; vacuum 0.45.
    structure : Structure
    exposures : tuple of Exposure
        How each image was taken.
    group : str
        The recipe's group.
    drawn : dict
        Every parameter of the structure that was drawn.
    """

    images: NDArray[np.floating]
    structure: Structure
    exposures: tuple[Exposure, ...]
    group: str
    drawn: dict[str, Any]

    def write(self, directory: Path) -> None:
        """Write everything into an existing empty directory, see `emprior.datasets`."""
        attributes = {
            "group": self.group,
            "drawn": self.drawn,
            "fingerprint": self.structure.fingerprint(),
        }
        exposures = [exposure.to_dict() for exposure in self.exposures]
        write_structure(directory, self.images, self.structure, attributes, exposures)


def simulate_structure(recipe: Simulation, group: int, index: int) -> Micrographs:
    """Simulate all images of one structure of a recipe.

    Parameters
    ----------
    recipe : Simulation
    group : int
        Which of the recipe's groups.
    index : int
        Which of the group's structures; each has a random stream of its own.
    """
    # What SeedSequence(seed).spawn() would give, without spawning those before it.
    seeds = np.random.SeedSequence(recipe.seed, spawn_key=(group, index))
    rng = np.random.default_rng(seeds)
    part = recipe.group[group]
    structure, middle, drawn = _draw(recipe, rng)
    absorption = draw_absorption(recipe.optics, rng)
    exposures = tuple(
        draw_exposure(recipe, middle, structure.thickness, absorption, rng)
        for _ in range(part.images)
    )
    images = _images(recipe, part, structure, absorption, exposures)
    drawn["absorption"] = absorption
    return Micrographs(
        np.stack(images).astype(recipe.dtype), structure, exposures, part.name, drawn
    )


def _draw(recipe: Simulation, rng: np.random.Generator) -> Specimen:
    if isinstance(recipe.structure, StructureRanges):
        structure, drawn = draw_structure(recipe.structure, rng)
        return Specimen(structure, (drawn["particle_x"], SURFACE), drawn)
    return draw_specimen(recipe.structure, room(recipe.view), rng)


def _images(
    recipe: Simulation,
    part: Group,
    structure: Structure,
    absorption: float,
    exposures: tuple[Exposure, ...],
) -> list[NDArray[np.float32]]:
    """Form the images of a structure: of a plane wave, or of a probe that is scanned."""
    if recipe.optics.convergence is not None:
        return [scan(structure, shot.optics, part, shot.view) for shot in exposures]
    with single_threaded():
        slices = transmit(structure, part, recipe.optics.energy, absorption)
        return [
            form_image(
                exit_wave(slices, shot.optics.tilt),
                shot.optics,
                shot.view,
                recipe.optics.focal_nodes,
            )
            for shot in exposures
        ]
