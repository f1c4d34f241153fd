"""The course of a training: the held-out PSNR of its log, which state is best, when it may end.

A training has reached its plateau where the best PSNR of the last quarter of the images seen (or
another share, `Stop.patience`) is less than 0.1 dB (`Stop.gain_db`) above the best before. Where
the learning rate is to fall, it falls then, for as long a share of the training as the recipe
says; where it is constant, the training ends. All of this follows from the log alone, so that a
resumed training ends where an uninterrupted one would have.

A training has collapsed where a loss of held-out data is twice the least so far: at too high a
rate a network may fall into giving the same answer to everything, and does not come back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from emprior import law
from emprior.training.heldout import PSNR
from emprior.training.recipe import TrainingRecipe

_LEAST = 3  # judgements in the last share, or a plateau could be chance
_COLLAPSED = 2.0  # times the least loss
_NEVER_NEGATIVE = ("held_out_maps_loss", "held_out_loss")  # of others twice means nothing


class Course:
    """What a log tells so far.

    Parameters
    ----------
    recipe : TrainingRecipe
    """

    def __init__(self, recipe: TrainingRecipe) -> None:
        self.rule = recipe.stop
        self._flat = float(getattr(recipe.optimisation, "flat", 1.0))
        self._judged: list[tuple[int, float]] = []
        self._best: dict[str, float] = {}  # PSNR by noise
        self.end: int | None = None
        """Images after which to end, once the plateau is reached."""
        self.collapsed: str | None = None
        """What says that the training has collapsed, in words."""
        self._least: dict[str, float] = {}  # loss by name

    def add(self, line: Mapping[str, Any]) -> bool:
        """Read the next line of the log; return whether it is of the best state so far."""
        for key in _NEVER_NEGATIVE:
            if key in line:
                self._follow(key, line[key])
        scores = {key[len(PSNR) + 1 :]: line[key] for key in line if key.startswith(PSNR)}
        if self.rule is None or not scores:
            return False
        images, score = int(line["images"]), sum(scores.values()) / len(scores)
        best = score > self.best[1]
        if best:
            self._best = scores
        self._judged.append((images, score))
        if self.end is None and self._flat and self._on_plateau(images):
            self.end = math.ceil(images / self._flat)
        return best

    @property
    def best(self) -> tuple[int, float]:
        """Images seen by the best state, and its held-out PSNR [dB], the mean over noises."""
        return max(self._judged, key=lambda judged: judged[1], default=(0, -math.inf))

    def ending(self, images: int) -> str:
        """Say why a training ends after so many images, and what is kept of it."""
        rises_no_more = self.end is not None and images >= self.end
        why = "The held-out PSNR rises no more" if rises_no_more else "The budget is used"
        said = f"{why}: {images} images seen."
        if not self._judged:
            return said
        seen, score = self.best
        said += f" The best prior is kept: {score:.2f} dB after {seen} images."
        if (limit := self._best.get("none")) is None:
            return said
        said += f" Without noise it reaches R = {limit:.1f} dB."
        for label, reached in self._best.items():
            if label != "none":
                own = law.own_share(limit, reached)
                said += f" At {label}, {reached:.1f} dB: {own:.0%} of its error is its own"
                said += (
                    ", so a longer training, a larger network or more structures would help."
                    if own > 0.5
                    else ", so it is good enough there."
                )
        return said

    def judged(self, images: int) -> bool:
        """Return whether the state after so many images was judged."""
        return bool(self._judged) and self._judged[-1][0] == images

    def _follow(self, name: str, loss: float) -> None:
        least = self._least[name] = min(loss, self._least.get(name, loss))
        if loss > _COLLAPSED * least:
            self.collapsed = f"{name} is {loss:.3g}, and was {least:.3g}"

    def _on_plateau(self, images: int) -> bool:
        assert self.rule is not None
        start = (1 - self.rule.patience) * images
        before = [score for seen, score in self._judged if seen <= start]
        last = [score for seen, score in self._judged if seen > start]
        if len(last) < _LEAST or not before:
            return False
        return max(last) - max(before) < self.rule.gain_db
