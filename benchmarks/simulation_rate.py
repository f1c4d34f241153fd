"""How fast `emprior simulate` makes HRTEM, HAADF and ABF images, alone and by 1 and 2 workers.

    python benchmarks/simulation_rate.py docs/results/simulation-rate.json [KIND ...]

The material is SrTiO3 along [001] of 40 to 100 Å, on 128 × 128 pixels of 0.2 Å, three images of a
structure. Rates are those of whole data sets without the start of the workers, as the difference
of two sets; what the machine does besides (its load) slows them. CPU seconds are of one process.
What the file holds already is kept.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from emprior.simulate import Simulation, simulate
from emprior.simulate.micrographs import simulate_structure

KINDS: dict[str, dict[str, Any]] = {
    "HRTEM": {},
    "HAADF": {"convergence": 22.0, "detector": [70.0, 140.0], "cs": [0, 0], "c5": [0, 0]},
    "ABF": {"convergence": 22.0, "detector": [11.0, 22.0], "cs": [0, 0], "c5": [0, 0]},
}
IMAGES, SETS = 3, (2, 6)  # of a structure; structures


def recipe(kind: str, structures: int) -> Simulation:
    return Simulation.from_dict(
        {
            "seed": 1,
            "view": {"shape": [128, 128], "pixel_size": 0.2},
            "structure": {
                "kind": "slab",
                "crystal": {"prototype": "perovskite", "elements": ["Sr", "Ti", "O"], "a": 3.905},
                "zone_axis": [0, 0, 1],
                "thickness": [40, 100],
            },
            "optics": KINDS[kind],
            "regime": [{"name": "any", "defocus": [-50, 50]}],
            "group": [{"name": "all", "structures": structures, "images": IMAGES, "grid": 256}],
        }
    )


def alone(kind: str) -> float:
    """Return the CPU seconds of an image, after a structure that warms up."""
    plan = recipe(kind, 3)
    simulate_structure(plan, 0, 0)
    begun = time.process_time()
    for index in (1, 2):
        simulate_structure(plan, 0, index)
    return (time.process_time() - begun) / (2 * IMAGES)


def together(kind: str, workers: int) -> float:
    """Return the images a second of a number of workers."""
    taken = []
    for structures in SETS:
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            simulate(recipe(kind, structures), Path(folder, "set"), workers=workers)
            taken.append(time.perf_counter() - begun)
    return IMAGES * (SETS[1] - SETS[0]) / (taken[1] - taken[0])


def main() -> None:
    path = Path(sys.argv[1])
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for kind in sys.argv[2:] or KINDS:
        row = found.setdefault(kind, {})
        for key, measure in (
            ("cpu_seconds_per_image", lambda kind=kind: alone(kind)),
            ("images_per_second_1_worker", lambda kind=kind: together(kind, 1)),
            ("images_per_second_2_workers", lambda kind=kind: together(kind, 2)),
        ):
            if key not in row:
                row[key], row[f"{key}_load"] = measure(), os.getloadavg()[0]
                path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
            print(f"{kind:<6} {key}: {row[key]:.2f} (load {row[f'{key}_load']:.1f})", flush=True)


if __name__ == "__main__":
    main()
