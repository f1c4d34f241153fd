"""The contest: a prior against an answer that assumes no lattice, judged by data neither has seen.

A prior trained on one material must not draw it on a picture of another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np

from emprior.denoisers import Denoiser, Estimate, make
from emprior.denoisers.networks import NATIVE_PIXEL_SIZE
from emprior.denoisers.prior import Fit, Prior
from emprior.device import at_once
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

    The prior answers to all data. At the same time it answers to three quarters of them, looking
    and searching anew, and the fourth judges. Before a frame is called outside, it is asked once
    more, by each fourth in turn, with the columns that all data show: numbers alone are then found
    anew. (What is foreign gains a little by that: of what sets the prior's answer to foreign
    lattices apart, 0.08 more seems confirmed, of its own kind 0.04.)

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
    trial = middle(micrograph)
    parts = folds(trial, noise, rng)
    of_all, *of_parts = rng.spawn(1 + len(parts))
    poses = prior.pose(trial, noise, of_all)
    told = replace(prior, progress=lambda share: progress(0.8 * share))
    # Where the first steps of a search will do, no more are taken.
    quick = replace(prior, turn=poses[0].turn, exact=False, progress=None)
    refined = replace(quick, exact=prior.exact)
    fallback: Denoiser = make(FALLBACK)

    def answer() -> tuple[Estimate, list[Fit]]:
        return told.fit(trial, noise, of_all, poses=poses)

    @cache
    def rival(number: int) -> Estimate:
        return fallback(parts[number].seen, parts[number].noise, of_parts[number])

    def answer_to(
        number: int, asked: Prior, found: list[Fit] | None = None
    ) -> tuple[Estimate, list[Fit]]:
        rival(number)  # at the same time
        part = parts[number]
        return asked.fit(part.seen, part.noise, of_parts[number], found=found)

    if poses[0].start is None:  # without an encoder nothing is chosen that must be chosen anew
        estimate, found = answer()
        guess, fits = answer_to(0, quick, found)
    else:
        (estimate, found), (guess, fits) = at_once(answer, partial(answer_to, 0, quick))
    pixel_size = micrograph.pixel_size or NATIVE_PIXEL_SIZE
    missed = missed_waves(trial.image, estimate.image, noise, pixel_size)

    def family(*guesses: Estimate) -> Family:
        each = enumerate(guesses)
        answers = [(parts[number], guess.image, rival(number).image) for number, guess in each]
        return Family(Advantage.over(answers), *missed, found[0].pose.doubt)

    judged = family(guess)
    if judged.kind == "outside":
        judged = family(answer_to(0, refined, fits)[0])
    if judged.kind == "outside":
        all_parts = (partial(answer_to, number, refined, found) for number in range(len(parts)))
        judged = family(*(guess for guess, _ in at_once(*all_parts)))
    progress(1.0)
    return Verdict(judged, parts[0].way, estimate if trial is micrograph else None)


def middle(micrograph: Micrograph) -> Micrograph:
    """Return the middle of a large frame: enough to tell whether the prior knows the picture."""
    most = max(32, round(_FIELD / (micrograph.pixel_size or NATIVE_PIXEL_SIZE)))
    return micrograph.middle(most)
