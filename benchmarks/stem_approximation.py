"""How near linear STEM comes to abTEM's PRISM multislice with frozen phonons.

    python benchmarks/stem_approximation.py docs/results/stem.json [CASE ...]

Each case is a slab of a crystal with a tenth of its atoms missing, 12 Å wide, of which a quarter is
scanned. Cases that the file holds already are kept. A minute or two each, mostly PRISM's.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import abtem
import numpy as np
from abtem.parametrizations import LobatoParametrization
from ase import Atoms
from ase.data import chemical_symbols
from scipy.ndimage import gaussian_filter

from emprior.simulate.bodies import Room, draw_specimen
from emprior.simulate.imaging import single_threaded
from emprior.simulate.recipe import Simulation
from emprior.simulate.stem import scan
from emprior.specimen import Optics, View

CRYSTALS = {
    "SrTiO3": {"prototype": "perovskite", "elements": ["Sr", "Ti", "O"], "a": 3.905},
    "Au": {"prototype": "fcc", "elements": ["Au"], "a": 4.078},
    "MoS2": {"prototype": "2H-MoS2", "elements": ["Mo", "S"], "a": 3.16},
}
CASES = {
    f"{name} {thickness} Å": (name, axis, thickness)
    for name, axis, depths in (
        ("MoS2", [0, 0, 1], (6,)),
        ("SrTiO3", [0, 0, 1], (8, 20, 40, 80)),
        ("Au", [1, 1, 0], (12, 30)),
    )
    for thickness in depths
}
DETECTORS = {"HAADF": (0.070, 0.105), "ABF": (0.011, 0.022)}
CONVERGENCE, ENERGY, BLUR = 0.022, 300e3, 0.4  # rad, eV, Å
PHONONS, SAMPLES, PIXELS = 3, 192, 24


def compare(name: str, axis: list[int], thickness: float) -> dict[str, float]:
    recipe = Simulation.from_dict(
        {
            "seed": 0,
            "view": {"shape": [64, 64], "pixel_size": 0.25},
            "structure": {
                "kind": "slab",
                "crystal": CRYSTALS[name],
                "zone_axis": axis,
                "thickness": [thickness, thickness],
                "vacancies": [0.1, 0.1],
            },
            "group": [{"name": "all", "structures": 1, "grid": SAMPLES}],
        }
    )
    room = Room(11.0, 11.0, (0.0, 0.0), (0.0, 0.0))
    structure = draw_specimen(recipe.structure, room, np.random.default_rng(1)).structure
    group = recipe.group[0]
    pixel = float(structure.cell[0]) / 2 / PIXELS
    view = View((PIXELS, PIXELS), pixel, (pixel * (PIXELS - 1) / 2,) * 2)
    begun = time.perf_counter()
    theirs = prism(structure, group, pixel)
    found = {"thickness": structure.cell[2], "prism_seconds": time.perf_counter() - begun}
    for kind, angles in DETECTORS.items():
        optics = Optics(
            0.0, cs=0.0, c5=0.0, focal_spread=0.0, blur=BLUR, energy=ENERGY,
            convergence=CONVERGENCE, detector=angles,
        )  # fmt: skip
        begun = time.perf_counter()
        ours = scan(structure, optics, group, view)
        found[f"{kind}_seconds"] = time.perf_counter() - begun
        found[f"{kind}_ncc"] = float(np.corrcoef(ours.ravel(), theirs[kind].ravel())[0, 1])
    return found


def prism(structure, group, pixel: float) -> dict[str, np.ndarray]:
    """Scan from the cell's corner by PRISM, averaged over frozen phonons and blurred."""
    atoms = Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=True)
    symbols = sorted({chemical_symbols[number] for number in structure.numbers})
    W, H = structure.cell[:2]
    with single_threaded():
        potential = abtem.Potential(
            abtem.FrozenPhonons(atoms, PHONONS, group.vibration.of(symbols), seed=1),
            gpts=(SAMPLES, round(SAMPLES * H / W)),
            slice_thickness=1.96,
            parametrization=LobatoParametrization(),
        )
        matrix = abtem.SMatrix(
            potential=potential, energy=ENERGY, semiangle_cutoff=1e3 * CONVERGENCE,
            interpolation=1, downsample=False,
        )  # fmt: skip
        edge = PIXELS * pixel
        grid = abtem.GridScan(start=(0, 0), end=(edge, edge), gpts=PIXELS, endpoint=False)
        detectors = [abtem.AnnularDetector(*(1e3 * a for a in d)) for d in DETECTORS.values()]
        measured = matrix.scan(scan=grid, detectors=detectors)
    images = {}
    for kind, measurement in zip(DETECTORS, measured, strict=True):
        array = np.asarray(measurement.array)
        array = array.mean(0) if array.ndim == 3 else array
        images[kind] = gaussian_filter(array.T[::-1], BLUR / pixel)
    return images


def main() -> None:
    path = Path(sys.argv[1])
    results = json.loads(path.read_text()) if path.exists() else {}
    for case in sys.argv[2:] or CASES:
        if case not in results:
            results[case] = compare(*CASES[case])
            path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        row = results[case]
        print(case, *(f"{kind} {row[f'{kind}_ncc']:.4f}" for kind in DETECTORS))


if __name__ == "__main__":
    main()
