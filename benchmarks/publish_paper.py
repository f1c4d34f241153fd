"""Keep what a run of the paper's experiments has finished, to be published and to go on from.

    python benchmarks/publish_paper.py RUN [--to docs/results/paper]

Copies records, pictures and descriptions, and of each network that is trained to its end the
recipe, the log, and the weights: the last ones and those of its best state; and what is scored of
test images so far. Pictures that are other people's (natural images, frames of the video) stay
behind, their names in ``withheld.txt``. A copy of the folder goes on where the run was. ``make
paper`` draws the page.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from emprior import records
from emprior.comparison import COMPARISON
from emprior.report.plots import WITHHELD
from emprior.views import DESCRIPTION
from emprior.weights import read_card

SHARED = (COMPARISON, "reproduction.json", "files.json")
SCORED = "evaluation"
RESULTS = Path(__file__).parents[1] / "docs" / "results" / "paper"


def borrowed(experiment: str, record: dict[str, Any]) -> bool:
    """Whether a recorded picture shows an image that is other people's."""
    if experiment == "natural":
        return record["row"].endswith((": data", ": target"))
    if experiment == "optimiser-tests":
        unseen = record["row"].startswith("natural") and "never seen" in record["row"]
        return unseen and record["column"] != "found"
    return experiment == "figure-14" and record["row"] == "noisy"


def publish(folder: Path, to: Path) -> None:
    """Copy one experiment."""
    (to / "pictures").mkdir(parents=True, exist_ok=True)
    withheld = []
    for name in (DESCRIPTION, records.RECORDS):
        shutil.copy(folder / name, to / name)
    for record in records.read(folder / records.RECORDS):
        if "black" not in record:  # no picture
            continue
        if borrowed(folder.name, record):
            withheld.append(record["file"])
            (to / record["file"]).unlink(missing_ok=True)
        else:
            shutil.copy(folder / record["file"], to / record["file"])
    if withheld:
        (to / WITHHELD).write_text("\n".join(withheld) + "\n", encoding="utf-8")
    if not any((to / "pictures").iterdir()):
        (to / "pictures").rmdir()


def finished(network: Path) -> bool:
    """Whether a network has seen all that its recipe says."""
    recipe = json.loads((network / "recipe.json").read_text(encoding="utf-8"))
    steps = [int(path.stem) for path in (network / "checkpoints").glob("[0-9]*.safetensors")]
    wanted, batch = recipe["budget"]["images"], recipe["optimisation"]["batch"]
    return (network / "prior.safetensors").exists() and max(steps, default=0) * batch >= wanted


def keep(network: Path, to: Path) -> None:
    """Copy one network; weights that have not changed stay as they are."""
    names = ["recipe.json", "log.jsonl", "prior.safetensors"]
    if (network / "reach.jsonl").exists():
        best = max(records.read(network / "reach.jsonl"), key=lambda line: line["r_db"])
        names += ["reach.jsonl", f"priors/{best['path']}"]
    for name in names:
        if name.endswith(".safetensors") and (to / name).exists():
            one, other = load_file(network / name), load_file(to / name)
            same = one.keys() == other.keys() and all(one[key].equal(other[key]) for key in one)
            if same and read_card(network / name) == read_card(to / name):
                continue
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(network / name, to / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--to", type=Path, default=RESULTS)
    options = parser.parse_args()
    for name in SHARED:
        if (options.run / name).exists():
            shutil.copy(options.run / name, options.to / name)
    for made in sorted(options.run.glob(f"*/{DESCRIPTION}")):
        if not (made.parent / records.RECORDS).exists():  # begun just now
            continue
        publish(made.parent, options.to / made.parent.name)
    if (options.run / SCORED).exists():  # hours of searches that several experiments share
        shutil.copytree(options.run / SCORED, options.to / SCORED, dirs_exist_ok=True)
    for network in sorted((options.run / "networks").iterdir()):
        if finished(network):
            keep(network, options.to / "networks" / network.name)


if __name__ == "__main__":
    main()
