"""One training run in one folder, which survives being killed at any moment.

::

    RUN/recipe.json         every setting, defaults included, and the hash of the data
    RUN/log.jsonl           one line per `output.log` updates
    RUN/checkpoints/        the newest two
    RUN/samples/            data.png (training data) and one picture per `output.samples` updates
    RUN/prior.safetensors   the averaged prior, renewed with each picture; with `stop` the best
    RUN/priors/             the prior of each picture, where `output.keep_priors` says so

Each update draws from its own random stream, derived from the seed and its number, so a resumed
run needs no state of a random generator and repeats an uninterrupted one bit for bit on a CPU
(with the same number of threads). The next batch is drawn while the networks learn from this one.
Several processes can share it, see `emprior.training.parallel`.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from emprior import records, weights
from emprior.files import expanded, make_directory
from emprior.recipes import load
from emprior.stored import Stored
from emprior.training import checkpoint, folder
from emprior.training.adversarial import Adversarial
from emprior.training.columns import Columns
from emprior.training.course import Course
from emprior.training.features import Features
from emprior.training.heldout import PSNR
from emprior.training.interruption import Interruption
from emprior.training.parallel import Team, gathered
from emprior.training.recipe import TrainingRecipe
from emprior.training.regression import Regression
from emprior.training.sources import open_data
from emprior.training.trainer import Figures, Micrographs, Trainer

TRAINERS: dict[str, Any] = {
    "adversarial": Adversarial,
    "columns": Columns,
    "features": Features,
    "regression": Regression,
}

# What a random stream is for; each has one stream per update, so none is ever used twice.
_WEIGHTS, _UPDATE, _SAMPLES, _SETTLE, _DATA, _JUDGE = range(6)


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
        The exported prior.
    """

    status: Literal["finished", "diverged", "interrupted"]
    message: str
    step: int
    images: int
    seconds: float
    prior: Path | None


def train(
    recipe: TrainingRecipe | str | Path,
    run_dir: str | Path,
    *,
    resume: bool = False,
    minutes: float | None = None,
    device: str = "auto",
    progress: Callable[[float], object] | None = None,
    data: Micrographs | None = None,
) -> Outcome:
    """Train a prior.

    Parameters
    ----------
    recipe : TrainingRecipe or path
        The settings, or a TOML file of them; its kind says what is trained.
    run_dir : path
        Folder of this run; created.
    resume : bool
        Continue from the newest checkpoint in it, or begin if there is none yet.
    minutes : float, optional
        Of training in all, also over resumptions; goes before the recipe's ``budget.minutes``.
        Learning rates that fall over a training fall within this time.
    device : str
        ``"cpu"``, ``"cuda"``, or ``"auto"`` for a GPU where there is one. Several processes train
        on the CPU.
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
        the recipe does not fit the data, the prior to start from, or the number of processes.
    FileError, WeightsError
        If the recipe, the data set, the checkpoint or the prior to start from cannot be read.
    OptionError
        If the device is not there, or not for several processes.
    TrainingError
        If another process of this training ended.
    """
    if not isinstance(recipe, TrainingRecipe):
        recipe = load(recipe, TrainingRecipe)
    if minutes is not None:
        values = recipe.to_dict()
        shorter = {**values["budget"], "minutes": minutes}
        recipe = TrainingRecipe.from_dict({**values, "budget": shorter}, "--minutes")
    run = expanded(run_dir)
    with gathered() as team:
        with team.lead_first():
            where = team.device(device)
            if data is None:
                data = open_data(recipe.data)
            trainer = TRAINERS[recipe.kind](recipe, data, where, _stream(recipe, _WEIGHTS, 0))
            team.join(trainer, recipe)
            newest = checkpoint.newest(run / "checkpoints")
            if not newest:
                trainer.begin(recipe.start)
            if team.leads:
                folder.prepare(run, recipe, data.hash, resume)
            if outcome := _finished(run, recipe):
                return outcome
            facts = checkpoint.read(newest, trainer.parts) if newest else {}
        return _Run(recipe, run, trainer, data, facts, team).loop(progress)


def _finished(run: Path, recipe: TrainingRecipe) -> Outcome | None:
    """Return the outcome of a run with nothing left to do, whose prior stays as it is."""
    prior, log = run / "prior.safetensors", run / "log.jsonl"
    if not (prior.exists() and log.exists()):
        return None
    course, lines = Course(recipe), records.read(log)
    for line in lines:
        course.add(line)
    if not lines:  # killed before the first was whole
        return None
    # What is kept is not the last state where the best one is.
    images = lines[-1]["images"] if recipe.stop else weights.read_card(prior).images
    if images < min(recipe.budget.images, course.end or math.inf):
        return None
    last = lines[-1]
    return Outcome("finished", course.ending(images), last["step"], images, last["seconds"], prior)


class _Run:
    """A run in progress, in this process."""

    def __init__(
        self,
        recipe: TrainingRecipe,
        path: Path,
        trainer: Trainer,
        data: Micrographs,
        facts: dict[str, Any],
        team: Team,
    ) -> None:
        self.recipe, self.path, self.trainer, self.data = recipe, path, trainer, data
        self.team = team
        self.step: int = facts.get("step", 0)
        self.seconds: float = facts.get("seconds", 0.0)
        self.course = Course(recipe)  # followed by the lead
        self.end: int | None = None

    @property
    def images(self) -> int:
        return self.step * int(self.recipe.optimisation.batch)

    @property
    def fraction(self) -> float:
        """The part of the budget that is used; done from 1 on."""
        budget = self.recipe.budget
        return max(
            self.images / min(budget.images, self.end or budget.images),
            self.seconds / 60 / budget.minutes if budget.minutes else 0.0,
        )

    def loop(self, progress: Callable[[float], object] | None) -> Outcome:
        started = time.monotonic() - self.seconds
        self.end = self.team.lead(self._begin)
        with ThreadPoolExecutor(1) as ahead, Interruption() as interruption:
            drawn = ahead.submit(self._draw, self.step)
            while self.fraction < 1:
                present, drawn = drawn, ahead.submit(self._draw, self.step + 1)
                figures = self._update(present)
                if not all(math.isfinite(value) for value in figures.values()):
                    return self._diverged()
                self.step += 1
                # One clock for all, or they would not stop together.
                self.seconds, stopped = self.team.lead(
                    lambda: (time.monotonic() - started, interruption.asked)
                )
                whole, self.end = self.team.lead(partial(self._note, figures))
                if not whole:
                    return self._diverged()
                if progress and self.team.leads:
                    progress(min(self.fraction, 1.0))
                if stopped:
                    if self.team.leads:
                        self._checkpoint()
                    return self._outcome(
                        "interrupted", f"Stopped after update {self.step}; resume to continue."
                    )
        if not self.team.lead(self._finish):
            return self._diverged()
        message = self.team.lead(lambda: self.course.ending(self.images))
        return self._outcome("finished", message)

    def _begin(self) -> int | None:
        """Prepare the files; return the images after which to end, if the log tells."""
        log = self.path / "log.jsonl"
        folder.cut_log(log, self.step)
        for line in records.read(log) if log.exists() else []:
            self.course.add(line)
        picture = self.path / "samples" / "data.png"
        if not picture.exists():
            table = self.trainer.data_picture(_stream(self.recipe, _DATA, 0))
            folder.write_table(picture, table, self.data.shown)
        return self.course.end

    def _note(self, figures: Figures) -> tuple[bool, int | None]:
        """Judge and write what is to be after an update.

        Returns
        -------
        bool
            False where the training has diverged.
        int, optional
            Images after which to end.
        """
        output, every = self.recipe.output, self.recipe.validate_every
        best = False
        if every and self.step % every == 0:
            best = self._judge(figures)
            if self.course.collapsed:
                return False, None
        else:
            self._log(figures)
        if self.step % output.samples == 0:
            self._show()
        # What is best is so by a log that ends here: both outlive a kill, or neither.
        due = best or self.step % output.checkpoint == 0
        return not due or self._checkpoint(), self.course.end

    def _finish(self) -> bool:
        """Write the last state; return False where it has diverged."""
        if self.recipe.stop and not self.course.judged(self.images):
            self._judge({})
        if not self._checkpoint():
            return False
        self._show()
        return True

    def _judge(self, figures: Figures) -> bool:
        """Judge the present prior; keep it if it is the best one and that is asked for."""
        prior = self._prior()
        held_out = self.trainer.validate(prior, _stream(self.recipe, _JUDGE, 0))
        best = self.course.add({"images": self.images, **held_out})
        if best:
            self._save(self.path / "prior.safetensors", prior, held_out)
        self._log({**figures, **held_out}, due=bool(held_out))
        return best

    def _log(self, figures: Figures, due: bool = False) -> None:
        if not (due or self.step % self.recipe.output.log == 0):
            return
        line = {"step": self.step, "images": self.images, **figures}
        line["seconds"] = round(self.seconds, 2)
        with (self.path / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")

    def _draw(self, step: int) -> Any:
        return self.trainer.draw(_stream(self.recipe, _UPDATE, step))

    def _update(self, drawn: Future[Any]) -> Figures:
        batch = self.team.share(drawn.result())
        seen = self.images + self.recipe.optimisation.batch
        return self.team.mean(self.trainer.update(batch, seen, self.fraction))

    def _checkpoint(self) -> bool:
        facts = {"seconds": self.seconds}
        where = self.path / "checkpoints"
        return checkpoint.write(where, self.step, self.trainer.parts, facts)

    def _prior(self) -> Stored:
        return self.trainer.export(_stream(self.recipe, _SETTLE, self.step))

    def _show(self) -> None:
        """Write a picture of what the present prior does, and the prior if it is to be kept."""
        prior = self._prior()
        table = self.trainer.picture(prior, _stream(self.recipe, _SAMPLES, 0))
        folder.write_table(self.path / "samples" / f"{self.step:09d}.png", table, self.data.shown)
        if self.recipe.output.keep_priors:
            kept = make_directory(self.path / "priors", "the prior of each picture is kept there")
            self._save(kept / f"{self.step:09d}.safetensors", prior)
        if not self.recipe.stop:  # last, since it says that a run is finished
            self._save(self.path / "prior.safetensors", prior)

    def _save(self, path: Path, prior: Stored, held_out: Figures | None = None) -> None:
        card = weights.Card(
            text=self.recipe.card,
            data=self.data.hash,
            recipe=self.recipe.to_dict(),
            seed=self.recipe.seed,
            images=self.images,
            measured={
                key.replace(PSNR, "held-out PSNR at") + " [dB, range 1]": round(value, 2)
                for key, value in (held_out or {}).items()
                if key.startswith(PSNR) and math.isfinite(value)
            },
        )
        weights.save(path, prior, card)

    def _diverged(self) -> Outcome:
        kept = checkpoint.newest(self.path / "checkpoints")
        collapsed = self.course.collapsed
        return self._outcome(
            "diverged",
            f"The training diverged at update {self.step if collapsed else self.step + 1}: "
            f"{collapsed or 'a loss or weight is NaN or infinite'}. The last good checkpoint is "
            f"{kept.name if kept else 'none'}; begin a new run with lower learning rates.",
        )

    def _outcome(
        self, status: Literal["finished", "diverged", "interrupted"], message: str
    ) -> Outcome:
        prior = self.path / "prior.safetensors"
        found = prior if prior.exists() else None
        return Outcome(status, message, self.step, self.images, self.seconds, found)


def _stream(recipe: TrainingRecipe, purpose: int, number: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(recipe.seed, spawn_key=(purpose, number)))
