"""One training run in one folder, which survives being killed at any moment.

::

    RUN/recipe.json         every setting, defaults included, and the hash of the data
    RUN/log.jsonl           one line per `output.log` updates
    RUN/checkpoints/        the newest two
    RUN/samples/            crops.png (training data) and one grid per `output.samples` updates
    RUN/prior.safetensors   the averaged generator, renewed with each grid

Each update draws from its own random stream, derived from the seed and its number, so a resumed
run needs no state of a random generator and repeats an uninterrupted one bit for bit on a CPU
(with the same number of threads).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from emprior import weights
from emprior.device import choose_device
from emprior.errors import RecipeError
from emprior.recipes import load
from emprior.training import checkpoint, folder
from emprior.training.adversarial import Adversarial
from emprior.training.recipe import AdversarialRecipe

# What a random stream is for; each has one stream per update, so none is ever used twice.
_WEIGHTS, _UPDATE, _SAMPLES, _SETTLE, _CROPS = range(5)
_GRID = 6  # samples along each side of a grid


class Micrographs(Protocol):
    """What a training needs of a data set; `emprior.datasets.Dataset` is one."""

    @property
    def pixel_size(self) -> float:
        """Nominal distance between pixel centres in Å."""

    @property
    def hash(self) -> str:
        """Of the content, for the card of the prior."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of every image."""

    def crops(self, n: int, shape: tuple[int, int], rng: np.random.Generator) -> Any:
        """Draw n crops; the result's ``images`` is (n, h, w) float32."""


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Parameters
    ----------
    status : {"finished", "diverged", "interrupted"}
    message : str
        What happened and what to do, in a sentence.
    step, images : int
        Updates done and images seen.
    seconds : float
        Time in training, over all resumptions.
    prior : path, optional
        The exported generator.
    """

    status: Literal["finished", "diverged", "interrupted"]
    message: str
    step: int
    images: int
    seconds: float
    prior: Path | None


def train(
    recipe: AdversarialRecipe | str | Path,
    run_dir: str | Path,
    *,
    resume: bool = False,
    device: str = "auto",
    progress: Callable[[float], object] | None = None,
    data: Micrographs | None = None,
) -> Outcome:
    """Train a generator.

    Parameters
    ----------
    recipe : AdversarialRecipe or path
        The settings, or a TOML file of them.
    run_dir : path
        Folder of this run; created.
    resume : bool
        Continue from the newest checkpoint in it, or begin if there is none yet.
    device : str
        ``"cpu"``, ``"cuda"``, or ``"auto"`` for a GPU where there is one.
    progress : callable, optional
        Called after each update with the part of the budget that is used, from 0 to 1.
    data : Micrographs, optional
        Train on this rather than opening ``recipe.data.path``.

    Returns
    -------
    Outcome
        A training that diverged or was interrupted by Ctrl-C says so in its status.

    Raises
    ------
    OutputError
        If the folder holds a run and `resume` is false, or cannot be written.
    RecipeError
        If a setting is wrong, the run to be resumed was begun with other settings or data, or
        the crops do not fit into the images.
    FileError
        If the recipe, the data set or the checkpoint cannot be read.
    OptionError
        If the device is not there.
    """
    if not isinstance(recipe, AdversarialRecipe):
        recipe = load(recipe, AdversarialRecipe)
    where = choose_device(device)
    if data is None:
        from emprior.datasets import Dataset

        data = Dataset.open(Path(recipe.data.path).expanduser())
    _check_crops(recipe, data)
    run = Path(run_dir).expanduser()
    folder.prepare(run, recipe, data.hash, resume)
    trainer = Adversarial(
        recipe, data.pixel_size * recipe.data.stride, where, _stream(recipe, _WEIGHTS, 0)
    )
    newest = checkpoint.newest(run / "checkpoints")
    facts = checkpoint.read(newest, trainer.parts) if newest else {}
    return _Run(recipe, run, trainer, data, where, facts).loop(progress)


class _Run:
    """A run in progress."""

    def __init__(
        self,
        recipe: AdversarialRecipe,
        path: Path,
        trainer: Adversarial,
        data: Micrographs,
        device: torch.device,
        facts: dict[str, Any],
    ) -> None:
        self.recipe, self.path, self.trainer = recipe, path, trainer
        self.data, self.device = data, device
        self.step: int = facts.get("step", 0)
        self.seconds: float = facts.get("seconds", 0.0)
        folder.cut_log(path / "log.jsonl", self.step)

    @property
    def images(self) -> int:
        return self.step * self.recipe.optimisation.batch

    @property
    def fraction(self) -> float:
        """The part of the budget that is used; done from 1 on."""
        budget = self.recipe.budget
        return max(
            self.images / budget.images,
            self.seconds / 60 / budget.minutes if budget.minutes else 0.0,
        )

    def loop(self, progress: Callable[[float], object] | None) -> Outcome:
        output = self.recipe.output
        if not (self.path / "samples" / "crops.png").exists():
            crops = draw_crops(self.data, self.recipe, _GRID**2, _stream(self.recipe, _CROPS, 0))
            folder.write_grid(self.path / "samples" / "crops.png", crops)
        started = time.monotonic() - self.seconds
        with (self.path / "log.jsonl").open("a", encoding="utf-8", buffering=1) as log:
            try:
                while self.fraction < 1:
                    figures = self._update()
                    if not all(math.isfinite(value) for value in figures.values()):
                        return self._diverged()
                    self.step += 1
                    self.seconds = time.monotonic() - started
                    line = {"step": self.step, "images": self.images, **figures}
                    line["seconds"] = round(self.seconds, 2)
                    if self.step % output.log == 0:
                        log.write(json.dumps(line) + "\n")
                    if self.step % output.samples == 0:
                        self._export()
                    if self.step % output.checkpoint == 0 and not self._checkpoint():
                        return self._diverged()
                    if progress:
                        progress(min(self.fraction, 1.0))
            except KeyboardInterrupt:
                self._checkpoint()
                return self._outcome(
                    "interrupted", f"Stopped after update {self.step}; resume to continue."
                )
        if not self._checkpoint():
            return self._diverged()
        self._export()
        return self._outcome("finished", f"The budget is used: {self.images} images seen.")

    def _update(self) -> dict[str, float]:
        rng = _stream(self.recipe, _UPDATE, self.step)
        batch = self.recipe.optimisation.batch
        crops = torch.from_numpy(draw_crops(self.data, self.recipe, batch, rng))
        return self.trainer.update(crops[:, None].to(self.device), self.images + batch, rng)

    def _checkpoint(self) -> bool:
        facts = {"seconds": self.seconds}
        where = self.path / "checkpoints"
        return checkpoint.write(where, self.step, self.trainer.parts, facts)

    def _export(self) -> None:
        """Write the averaged generator and a grid of its samples."""
        generator = self.trainer.export(_stream(self.recipe, _SETTLE, self.step))
        with torch.no_grad():
            latent = generator.sample_latent(_GRID**2, _stream(self.recipe, _SAMPLES, 0))
            images = generator(latent)[:, 0].cpu().numpy()
        folder.write_grid(self.path / "samples" / f"{self.step:09d}.png", images)
        card = weights.Card(
            text=self.recipe.card,
            data=self.data.hash,
            recipe=self.recipe.to_dict(),
            seed=self.recipe.seed,
            images=self.images,
        )
        weights.save(self.path / "prior.safetensors", generator, card)

    def _diverged(self) -> Outcome:
        kept = checkpoint.newest(self.path / "checkpoints")
        return self._outcome(
            "diverged",
            f"The training diverged at update {self.step + 1}: a loss or weight is NaN or "
            f"infinite. The last good checkpoint is {kept.name if kept else 'none'}; begin a new "
            "run with lower learning rates or smoother labels.",
        )

    def _outcome(
        self, status: Literal["finished", "diverged", "interrupted"], message: str
    ) -> Outcome:
        prior = self.path / "prior.safetensors"
        found = prior if prior.exists() else None
        return Outcome(status, message, self.step, self.images, self.seconds, found)


def draw_crops(
    data: Micrographs, recipe: AdversarialRecipe, n: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw crops at the sampling of the generator, mirrored at random, (n, H, W)."""
    stride, extent = recipe.data.stride, recipe.generator.size * recipe.data.stride
    images = data.crops(n, (extent, extent), rng).images[:, ::stride, ::stride]
    for axis in {"none": (), "horizontal": (2,), "both": (1, 2)}[recipe.data.flips]:
        chosen = rng.random(n) < 0.5
        images = np.where(chosen[:, None, None], np.flip(images, axis), images)
    return np.ascontiguousarray(images, dtype=np.float32)


def _stream(recipe: AdversarialRecipe, purpose: int, number: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(recipe.seed, spawn_key=(purpose, number)))


def _check_crops(recipe: AdversarialRecipe, data: Micrographs) -> None:
    extent = recipe.generator.size * recipe.data.stride
    if extent > min(data.shape):
        raise RecipeError(
            f"crops of {extent} × {extent} pixels (size {recipe.generator.size}, stride "
            f"{recipe.data.stride}) from images of {data.shape[0]} × {data.shape[1]}",
            expected="crops that fit into the images",
            why="each training image is cut from one simulated image",
            fix="lower generator.size or data.stride, or simulate larger images",
        )
