"""The contest: a prior against an answer that assumes no lattice, judged by data neither has seen.

A prior trained on one material must not draw it on a picture of another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from emprior.denoisers import Denoiser, Estimate, make
from emprior.denoisers.networks import NATIVE_PIXEL_SIZE
from emprior.denoisers.prior import Fit, Prior
from emprior.evidence import Advantage, HeldOut, folds
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
    estimate : Estimate or None
        The prior's answer to all of the frame; None where only its middle was looked at.
    """

    family: Family
    way: str
    estimate: Estimate | None


def contest(
    prior: Prior,
    micrograph: Micrograph,
    noise: NoiseModel,
    rng: np.random.Generator,
    *,
    progress: Callable[[float], None] = lambda share: None,
) -> Verdict:
    """Let a prior and the pooled wavelet answer to a part of the data, and judge them by the rest.

    The prior answers to all data first. Then it answers to three quarters of them, looking and
    searching anew, and the fourth judges. Before a frame is called outside, it is asked once more,
    by each fourth in turn, with the columns that all data show: numbers alone are then found anew.
    (What is foreign gains a little by that: of what sets the prior's answer to foreign lattices
    apart, 0.08 more seems confirmed, of its own kind 0.04.)

    Parameters
    ----------
    prior : Prior
    micrograph : Micrograph
        Of frames larger than 28 Å the middle 28 Å are looked at.
    noise : NoiseModel
    rng : numpy.random.Generator
    progress : callable
        Called with the share of work done, from 0 to 1.
    """

    def part(start: float, stop: float) -> Callable[[float], None]:
        return lambda share: progress(start + (stop - start) * share)

    trial = middle(micrograph)
    fallback: Denoiser = make(FALLBACK)
    divisions = folds(trial, noise, rng)
    estimate, found = replace(prior, progress=part(0.0, 0.6)).fit(trial, noise, rng)
    pixel_size = micrograph.pixel_size or NATIVE_PIXEL_SIZE
    missed = missed_waves(trial.image, estimate.image, noise, pixel_size)
    anew = replace(prior, turn=found[0].pose.turn)
    # A generator without an encoder chooses nothing that must be chosen anew.
    told = found[0].pose.start is not None
    fits: list[list[Fit] | None] = [None if told else found] * len(divisions)

    def judged(some: list[HeldOut], corrections: int, start: float, stop: float) -> Family:
        answers, step = [], (stop - start) / len(some)
        for number, one in enumerate(some):
            within = part(start + number * step, start + (number + 1) * step)
            own = replace(anew, corrections=corrections, progress=within)
            answer, fits[number] = own.fit(one.seen, one.noise, rng, fits[number])
            answers.append((one, answer.image, fallback(one.seen, one.noise, rng).image))
        return Family(Advantage.over(answers), *missed, found[0].pose.doubt)

    # The first steps of a search, then, where they do not do, more of it.
    family = judged(divisions[:1], 0, 0.6, 0.75)
    if family.kind == "outside":
        family = judged(divisions[:1], 1, 0.75, 0.8)
    if family.kind == "outside":
        fits[:] = [found] * len(divisions)
        family = judged(divisions, 1, 0.8, 1.0)
    progress(1.0)
    return Verdict(family, divisions[0].way, estimate if trial is micrograph else None)


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
