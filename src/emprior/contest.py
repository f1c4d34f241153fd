"""The contest: a prior against an answer that assumes no lattice, judged by data neither has seen.

A prior trained on one material must not draw it on a picture of another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emprior.denoisers import Denoiser, Estimate, make
from emprior.denoisers.networks import NATIVE_PIXEL_SIZE
from emprior.denoisers.prior import Prior
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

    Three quarters are answered to and the fourth judges; where that leaves it open, each fourth in
    turn. All data choose which columns there are, and between optima. That gives hardly anything
    away: all numbers are then those that the part tells.

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
    estimate, found = replace(prior, progress=part(0.0, 0.7)).fit(trial, noise, rng)
    pixel_size = micrograph.pixel_size or NATIVE_PIXEL_SIZE
    missed = missed_waves(trial.image, estimate.image, noise, pixel_size)
    answers: list[tuple[HeldOut, NDArray[np.floating], NDArray[np.floating]]] = []

    def judged(some: list[HeldOut], start: float) -> Family:
        step = (1.0 - start) / len(some)
        for number, one in enumerate(some):
            # Refined once: a second time takes as long and changes the verdict by nothing.
            within = part(start + number * step, start + (number + 1) * step)
            own = replace(prior, corrections=1, progress=within)
            refined, _ = own.fit(one.seen, one.noise, rng, found)
            answers.append((one, refined.image, fallback(one.seen, one.noise, rng).image))
        return Family(Advantage.over(answers), *missed, found[0].pose.doubt)

    family = judged(divisions[:1], 0.7)
    if family.kind == "outside" and family.advantage.share > 0.5:
        family = judged(divisions[1:], 0.8)
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
