"""Put a trained prior into the package, with figures measured by `emprior evaluate` on its card.

    python benchmarks/ship_prior.py PRIOR.safetensors NAME [--records DIR] [--note TEXT]

PRIOR is what a training wrote. NAME is the row's label in the records, and the name that it ships
under. Without records it is put there unmeasured, so that it can be evaluated by its name.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from emprior import records, weights

SHIPPED = Path(__file__).parents[1] / "src" / "emprior" / "data" / "priors"


def measured(directory: Path, label: str) -> dict[str, float]:
    """Return the median PSNR of a row in each noise, and how many images it is over."""
    rows = [r for r in records.read(directory / records.RECORDS) if r["denoiser"] == label]
    if not rows:
        raise SystemExit(f"no row labelled {label!r} in {directory}")
    figures: dict[str, float] = {"validation images": len({r["image"] for r in rows})}
    for noise in dict.fromkeys(r["noise"] for r in rows):
        values = [r["psnr_db"] for r in rows if r["noise"] == noise]
        figures[f"median PSNR at {noise} [dB, range 1]"] = round(float(np.median(values)), 2)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prior", type=Path)
    parser.add_argument("name")
    parser.add_argument("--records", type=Path)
    parser.add_argument("--note", default="", help="added to the text of the card")
    arguments = parser.parse_args()
    network, card = weights.load(arguments.prior)
    figures = measured(arguments.records, arguments.name) if arguments.records else {}
    text = "\n".join(filter(None, [card.text.strip(), arguments.note]))
    card = dataclasses.replace(card, measured=figures, text=text)
    SHIPPED.mkdir(parents=True, exist_ok=True)
    weights.save(SHIPPED / f"{arguments.name}.safetensors", network, card, precision="float16")
    print(weights.describe(arguments.name))


if __name__ == "__main__":
    main()
