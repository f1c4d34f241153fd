"""The contest: a prior against an answer that assumes no lattice, judged by data neither has seen.

A prior trained on one material must not draw it on a picture of another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emprior.denoisers import Denoiser, make
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
        Be content with what the first steps of a search on three quarters of the data find, or all
        of them where those do not do, judged by the fourth or, where that leaves it open, by all
        four in turn; unless the prior would lose by it. Else, and then, all data choose the
        optimum for the four: the choice gives hardly anything away, and the numbers there are
        those that the seen part tells.
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

    def judged(
        some: list[HeldOut], found: list[Fit], start: float, stop: float
    ) -> list[tuple[HeldOut, NDArray[np.floating], NDArray[np.floating]]]:
        """Return divisions with both answers, the prior's refined from what is found."""
        answers = []
        for number, one in enumerate(some):
            step = (stop - start) / len(some)
            # Refined once: a second time takes as long and changes the verdict by nothing.
            own = replace(part(start + number * step, start + (number + 1) * step), corrections=1)
            estimate, refined = own.fit(one.seen, one.noise, rng, found)
            # What the first tells of the curvature serves the others.
            found = [
                replace(fit, precision=other.precision)
                for fit, other in zip(found, refined, strict=True)
            ]
            answers.append((one, estimate.image, fallback(one.seen, one.noise, rng).image))
        return answers

    found: list[Fit] | None = None
    family = None
    if hurry:
        first = divisions[0]
        wavelet = fallback(first.seen, first.noise, rng).image
        # The first steps of a search, then the rest of it.
        for corrections, start, stop in ((0, 0.0, 0.2), (prior.corrections, 0.2, 0.4)):
            own = replace(part(start, stop), corrections=corrections)
            estimate, found = own.fit(first.seen, first.noise, rng, found)
            answers = [(first, estimate.image, wavelet)]
            missed = missed_waves(first.seen.image, estimate.image, first.noise, pixel_size)
            family = Family(Advantage.over(answers), *missed, _doubt(found))
            if family.kind != "outside":
                break
        assert family is not None
        assert found is not None
        if family.kind == "outside" and family.advantage.share > 0.5:
            answers += judged(divisions[1:], found, 0.4, 0.5)
            family = Family(Advantage.over(answers), *missed, _doubt(found))
    if family is None or family.kind == "outside":
        again = part(0.5 if hurry else 0, 0.7)
        if found is not None:  # which way up it is has been seen
            again = replace(again, turn=found[0].pose.turn)
        estimate, found = again.fit(trial, noise, rng)
        missed = missed_waves(trial.image, estimate.image, noise, pixel_size)
        advantage = Advantage.over(judged(divisions, found, 0.7, 1.0))
        family = Family(advantage, *missed, _doubt(found))
    progress(1.0)
    return Verdict(family, divisions[0].way, found if trial is micrograph else None)


def _doubt(found: list[Fit]) -> float | None:
    """Return what the prior left open at first sight, in nats a column, where it tells."""
    return found[0].pose.doubt


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
