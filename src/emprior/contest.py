"""The contest: a prior against an answer that assumes no lattice, judged by data neither has seen.

A prior trained on one material must not draw it on a picture of another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from emprior.denoisers import Denoiser, Estimate, make
from emprior.denoisers.networks import NATIVE_PIXEL_SIZE
from emprior.denoisers.prior import Fit, Prior
from emprior.device import at_once
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
    divisions = folds(trial, noise, rng)
    first = divisions[0]
    of_all, of_part = rng.spawn(2)
    poses = prior.pose(trial, noise, of_all)
    # The first steps of a search do, where they do.
    quick = replace(prior, turn=poses[0].turn, exact=False, progress=None)
    told = replace(prior, progress=lambda share: progress(0.8 * share))

    def answer() -> tuple[Estimate, list[Fit]]:
        return told.fit(trial, noise, of_all, poses=poses)

    def answer_to_part(found: list[Fit] | None = None) -> tuple[Estimate, list[Fit]]:
        return quick.fit(first.seen, first.noise, of_part, found=found)

    if poses[0].start is None:  # without an encoder nothing is chosen that must be chosen anew
        estimate, found = answer()
        guess, fits = answer_to_part(found)
    else:
        (estimate, found), (guess, fits) = at_once(answer, answer_to_part)
    pixel_size = micrograph.pixel_size or NATIVE_PIXEL_SIZE
    missed = missed_waves(trial.image, estimate.image, noise, pixel_size)
    fallback: Denoiser = make(FALLBACK)

    def family(guesses: list[Estimate]) -> Family:
        answers = [
            (one, guess.image, fallback(one.seen, one.noise, rng).image)
            for one, guess in zip(divisions, guesses, strict=False)
        ]
        return Family(Advantage.over(answers), *missed, found[0].pose.doubt)

    refined = replace(quick, exact=prior.exact)
    judged = family([guess])
    if judged.kind == "outside":
        judged = family([refined.fit(first.seen, first.noise, of_part, found=fits)[0]])
    if judged.kind == "outside":
        streams = rng.spawn(len(divisions))
        judged = family(
            at_once(
                *(
                    partial(_refined, refined, one, found, stream)
                    for one, stream in zip(divisions, streams, strict=True)
                )
            )
        )
    progress(1.0)
    return Verdict(judged, first.way, estimate if trial is micrograph else None)


def _refined(prior: Prior, part: HeldOut, found: list[Fit], rng: np.random.Generator) -> Estimate:
    """Answer to a part of the data with the columns that all of them show."""
    return prior.fit(part.seen, part.noise, rng, found=found)[0]


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
