"""The folder of a training run: begun once, resumed only by its own recipe, read by people."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emprior.errors import OutputError, RecipeError
from emprior.files import expanded, make_directory, replacing
from emprior.training.recipe import TrainingRecipe


def run_directory(name: str | Path) -> Path:
    """Return the folder of a run: a path as it is, a bare name among the runs.

    Runs lie in ``$EMPRIOR_RUNS``, or else in ``~/.cache/emprior/runs``; ``./first``, as text, is a
    path.
    """
    path = expanded(name)
    above = os.path.dirname(name)  # noqa: PTH120 (pathlib drops the dot of ./first)
    if above or path.is_absolute() or path.name in ("", ".."):
        return path
    runs = os.environ.get("EMPRIOR_RUNS") or "~/.cache/emprior/runs"
    return expanded(runs) / path


def prepare(run: Path, recipe: TrainingRecipe, data_hash: str, resume: bool) -> None:
    """Create the folder of a run, or check that the one there was begun likewise."""
    record = run / "recipe.json"
    if record.exists():
        if not resume:
            raise OutputError(
                f"{run} already holds a training run",
                expected="a new folder, or a run to resume",
                why="two trainings in one folder would overwrite each other",
                fix="name another folder, or resume this run with --resume",
            )
        before = json.loads(record.read_text(encoding="utf-8"))
        before_hash = before.pop("data_hash", None)
        # Read as a recipe, so that settings which came later have their defaults.
        then = TrainingRecipe.from_dict(before, str(record)).identity()
        changed = [key for key, value in recipe.identity().items() if then.get(key) != value]
        changed += ["data_hash"] * (before_hash != data_hash)
        if changed:
            raise RecipeError(
                f"{run} was begun with other settings under {', '.join(changed)}",
                expected="the same recipe and data, apart from budget, output and card",
                why="what comes out would be the result of neither recipe",
                fix="resume with the recipe in its recipe.json, or begin a new run",
            )
    elif run.exists() and not run.is_dir():
        raise OutputError(
            f"{run} is a file",
            expected="a new or empty folder, or a run to resume",
            why="a training keeps its log, checkpoints and prior in it",
            fix="name another folder",
        )
    elif run.exists() and any(run.iterdir()):
        raise OutputError(
            f"{run} is not empty and holds no training run",
            expected="a new or empty folder, or a run to resume",
            why="its files might be overwritten",
            fix="name another folder",
        )
    for part in (run / "checkpoints", run / "samples"):
        make_directory(part, "checkpoints, the log and the prior are kept there")
    for leftover in run.rglob(".*.????????.*"):  # half-written files of a killed process
        leftover.unlink()
    values = {**recipe.to_dict(), "data_hash": data_hash}
    with replacing(record) as temporary:
        temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def cut_log(path: Path, step: int) -> None:
    """Drop what a killed run logged after its last checkpoint, and a torn last line."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            if json.loads(line)["step"] > step:
                break
        except ValueError:
            break
        kept.append(line + "\n")
    with replacing(path) as temporary:
        temporary.write_text("".join(kept), encoding="utf-8")


def write_table(path: Path, images: NDArray[np.float32], shown: tuple[float, float]) -> None:
    """Write a table of images as one PNG.

    Parameters
    ----------
    path : Path
    images : (R, C, H, W) or (R, C, H, W, 3) ndarray
        Grey, or in colour.
    shown : (low, high)
        Values that become black and white.
    """
    from skimage.io import imsave
    from skimage.util import montage

    low, high = shown
    scaled = np.clip((images - low) / (high - low), 0, 1).reshape(-1, *images.shape[2:])
    colour = {"channel_axis": 3, "fill": (0.0,) * 3} if scaled.ndim == 4 else {"fill": 0.0}
    table = montage(scaled, padding_width=2, grid_shape=images.shape[:2], **colour)
    with replacing(path) as temporary:
        imsave(temporary, (255 * table).round().astype(np.uint8), check_contrast=False)
