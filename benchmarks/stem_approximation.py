"""How near linear STEM comes to abTEM's PRISM multislice, of one frozen phonon.

    python benchmarks/stem_approximation.py docs/results/stem.json [--write]

Each case is a slab of a crystal, 8 to 10 Å wide, with a tenth of its atoms missing and the others
displaced by their vibration; both programs see the same atoms standing still, so that no noise of
few phonons is between them. Seconds are of the CPU. Cases that the file holds already are kept.
``--write`` puts the table into docs/simulation.md.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import abtem
import numpy as np
from abtem.parametrizations import LobatoParametrization
from ase import Atoms
from marked import rewrite
from rich.progress import track
from scipy.ndimage import gaussian_filter

from emprior.simulate.bodies import Room, draw_specimen
from emprior.simulate.imaging import single_threaded
from emprior.simulate.recipe import Simulation
from emprior.simulate.stem import scan
from emprior.specimen import Optics, Structure, View

CRYSTALS = {
    "SrTiO3": {"prototype": "perovskite", "elements": ["Sr", "Ti", "O"], "a": 3.905},
    "Au": {"prototype": "fcc", "elements": ["Au"], "a": 4.078},
    "MoS2": {"prototype": "2H-MoS2", "elements": ["Mo", "S"], "a": 3.16},
}
CASES = {
    f"{name} {axis} {thickness} Å": (name, axis, thickness)
    for name, axis, depths in (
        ("MoS2", [0, 0, 1], (6, 12, 25)),
        ("SrTiO3", [0, 0, 1], (8, 12, 20, 28, 40, 60, 80)),
        ("SrTiO3", [1, 1, 0], (8, 20, 40)),
        ("Au", [1, 1, 0], (12, 20, 30, 45)),
        ("Au", [1, 0, 0], (12, 20, 30)),
    )
    for thickness in depths
}
ELEMENTS = sorted({symbol for crystal in CRYSTALS.values() for symbol in crystal["elements"]})
VIBRATION = 0.07  # Å
DETECTORS = {"HAADF": (0.060, 0.110), "ABF": (0.011, 0.022)}
CONVERGENCE, ENERGY, BLUR = 0.022, 300e3, 0.4  # rad, eV, Å
SAMPLES, PIXELS = 192, 28
PIXEL = 0.22  # Å: the scanned intensity holds up to 2 α / λ


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
            "group": [
                {
                    "name": "all",
                    "structures": 1,
                    "grid": SAMPLES,
                    "vibration": dict.fromkeys(ELEMENTS, 0.0),
                }
            ],
        }
    )
    room = Room(7.0, 7.0, (0.0, 0.0), (0.0, 0.0))
    rng = np.random.default_rng(1)
    drawn = draw_specimen(recipe.structure, room, rng).structure
    moved = drawn.positions + rng.normal(0, VIBRATION, drawn.positions.shape)
    moved[:, 2] = np.clip(moved[:, 2], 1e-3, drawn.thickness - 1e-3)
    structure = Structure(moved, drawn.numbers, drawn.cell)
    group = recipe.group[0]
    view = View((PIXELS, PIXELS), PIXEL, (PIXEL * (PIXELS - 1) / 2,) * 2)
    begun = time.process_time()
    theirs = prism(structure)
    found = {"thickness": float(structure.cell[2]), "prism_seconds": time.process_time() - begun}
    for kind, angles in DETECTORS.items():
        optics = Optics(
            0.0, cs=0.0, c5=0.0, focal_spread=0.0, blur=BLUR, energy=ENERGY,
            convergence=CONVERGENCE, detector=angles,
        )  # fmt: skip
        begun = time.process_time()
        ours = scan(structure, optics, group, view)
        found[f"{kind}_seconds"] = time.process_time() - begun
        inner = np.s_[6:-6, 6:-6]  # the blur of the scanned image knows nothing beyond it
        pair = ours[inner].ravel(), theirs[kind][inner].ravel()
        found[f"{kind}_ncc"] = float(np.corrcoef(*pair)[0, 1])
    return found


def prism(structure: Structure) -> dict[str, np.ndarray]:
    """Scan from the cell's corner by PRISM, and blur."""
    atoms = Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=True)
    W, H = structure.cell[:2]
    with single_threaded():
        potential = abtem.Potential(
            atoms,
            gpts=(SAMPLES, round(SAMPLES * H / W)),
            slice_thickness=1.96,
            parametrization=LobatoParametrization(),
        )
        matrix = abtem.SMatrix(
            potential=potential, energy=ENERGY, semiangle_cutoff=1e3 * CONVERGENCE,
            interpolation=1, downsample=False,
        )  # fmt: skip
        edge = PIXELS * PIXEL
        grid = abtem.GridScan(start=(0, 0), end=(edge, edge), gpts=PIXELS, endpoint=False)
        detectors = [abtem.AnnularDetector(*(1e3 * a for a in d)) for d in DETECTORS.values()]
        measured = matrix.scan(scan=grid, detectors=detectors)
    images = {}
    for kind, measurement in zip(DETECTORS, measured, strict=True):
        images[kind] = gaussian_filter(np.asarray(measurement.array).T[::-1], BLUR / PIXEL)
    return images


def table(results: dict[str, dict[str, float]]) -> str:
    """Return the correlations as Markdown, thicknesses side by side."""
    lines = ["| slab | thickness [Å] | HAADF | ABF |", "|---|---|---|---|"]
    for name, axis in dict.fromkeys((name, tuple(axis)) for name, axis, _ in CASES.values()):
        some = [case for case, of in CASES.items() if (of[0], tuple(of[1])) == (name, axis)]
        thick = ", ".join(f"{CASES[case][2]}" for case in some)
        cells = (", ".join(f"{results[case][f'{k}_ncc']:.3f}" for case in some) for k in DETECTORS)
        zone = "".join(map(str, axis))
        lines.append(f"| {name} [{zone}] | {thick} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="file of results, made or completed")
    parser.add_argument("--write", action="store_true", help="put the table into docs")
    options = parser.parse_args()
    path = options.results
    results = json.loads(path.read_text()) if path.exists() else {}
    for case in track(CASES):
        if case not in results:
            results[case] = compare(*CASES[case])
            path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    print(table(results))
    for kind in DETECTORS:
        ncc = [results[case][f"{kind}_ncc"] for case in CASES]
        print(
            f"{kind}: {min(ncc):.3f} to {max(ncc):.3f}, {sum(n >= 0.98 for n in ncc)} of 20 ≥ 0.98"
        )
    if options.write:
        rewrite("simulation.md", "stem", table(results))


if __name__ == "__main__":
    main()
