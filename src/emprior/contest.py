"""The contest: a prior against an answer that assumes no lattice, judged by data neither has seen.

A prior trained on one material must not draw it on a picture of another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from emprior.denoisers import Denoiser, make
from emprior.denoisers.networks import NATIVE_PIXEL_SIZE
from emprior.denoisers.prior import Fit, Prior
from emprior.evidence import Advantage, folds
from emprior.family import Family, missed_waves
from emprior.micrograph import Micrograph
from emprior.noise import NoiseModel

FALLBACK = "pooled-wavelet"
"""What answers where the prior does not know the frame: it assumes no lattice and no material."""
COARSEST = 0.7
"""Pixel size [Å] beyond which there is no contest: two pixels for the 1.4 Å between the closest
columns that priors know."""

_FIELD = 28.0  # Å, about one field of the priors


@dataclass(frozen=True, eq=False)
class Verdict:
    """What came of a contest.

    Attributes
    ----------
    family : Family
    way : str
        How the data were divided.
    found : list of Fit or None
        What the prior has found in the frame, nearly right for all of its data; None where only
        the middle of the frame was looked at.
    """

    family: Family
    way: str
    found: list[Fit] | None


def contest(
    prior: Prior,
    micrograph: Micrograph,
    noise: NoiseModel,
    rng: np.random.Generator,
    *,
    hurry: bool = True,
    progress: Callable[[float], None] = lambda share: None,
) -> Verdict:
    """Let a prior and the pooled wavelet answer to a part of the data, and judge them by the rest.

    Parameters
    ----------
    prior : Prior
    micrograph : Micrograph
        Of frames larger than 28 Å the middle 28 Å are looked at.
    noise : NoiseModel
    rng : numpy.random.Generator
    hurry : bool
        Be content with what the first steps of a search on three quarters of the data find, unless
        the prior would lose by it. Else, and then, four quarters judge in turn, each of a search
        that all data have chosen the optimum for: the choice gives hardly anything away, and the
        numbers there are those that the seen part tells.
    progress : callable
        Called with the share of work done, from 0 to 1.
    """

    def part(start: float, stop: float) -> Prior:
        """Return the prior, reporting its progress as a part of the whole."""
        return replace(prior, progress=lambda share: progress(start + (stop - start) * share))

    trial = middle(micrograph)
    pixel_size = micrograph.pixel_size or NATIVE_PIXEL_SIZE
    fallback: Denoiser = make(FALLBACK)
    divisions = folds(trial, noise, rng)
    first = divisions[0]
    found, family = None, None
    if hurry:
        hurried = replace(part(0, 0.5), corrections=0)
        estimate, found = hurried.fit(first.seen, first.noise, rng)
        free = fallback(first.seen, first.noise, rng)
        family = Family(
            Advantage.between(first, estimate.image, free.image),
            *missed_waves(first.seen.image, estimate.image, first.noise, pixel_size),
        )
    if family is None or family.kind == "outside":
        estimate, found = part(0.5 if hurry else 0, 0.7).fit(trial, noise, rng)
        answers = []
        for number, fold in enumerate(divisions):
            step = 0.3 / len(divisions)
            # Refined once: a second time takes as long and changes the verdict by nothing.
            own = replace(part(0.7 + number * step, 0.7 + (number + 1) * step), corrections=1)
            seen, _ = own.fit(fold.seen, fold.noise, rng, found)
            answers.append((fold, seen.image, fallback(fold.seen, fold.noise, rng).image))
        family = Family(
            Advantage.over(answers), *missed_waves(trial.image, estimate.image, noise, pixel_size)
        )
    progress(1.0)
    return Verdict(family, first.way, found if trial is micrograph else None)


def middle(micrograph: Micrograph) -> Micrograph:
    """Return the middle of a large frame: enough to tell whether the prior knows the picture."""
    most = max(32, round(_FIELD / (micrograph.pixel_size or NATIVE_PIXEL_SIZE)))
    if max(micrograph.shape) <= most:
        return micrograph
    middle = tuple(
        slice(max(0, n - most) // 2, max(0, n - most) // 2 + most) for n in micrograph.shape
    )
    ignored = None if micrograph.ignored is None else micrograph.ignored[middle]
    if ignored is not None and ignored.mean() > 0.5:
        return micrograph
    return replace(micrograph, image=micrograph.image[middle], ignored=ignored)
