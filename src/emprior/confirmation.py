"""The prior's answer, where the frame itself bears it out."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from emprior.denoisers import Estimate, make
from emprior.denoisers.depth import reaches
from emprior.errors import EmpriorWarning
from emprior.micrograph import Micrograph
from emprior.noise import NoiseModel

if TYPE_CHECKING:
    from emprior.contest import Verdict
    from emprior.denoisers.prior import Prior

_UNCHECKED = (
    "the encoder's first sight was not compared with the data; what it shows may be made up"
)


def confirmed(
    prior: Prior,
    micrograph: Micrograph,
    noise: NoiseModel,
    rng: np.random.Generator,
    force: bool,
    verdict: Verdict | None,
    progress: Callable[[float], None] | None,
) -> tuple[str, Estimate]:
    """Let the prior answer where it knows the frame, else the fallback.

    A verdict is there already where the pixel size was looked for.
    """
    from emprior.contest import COARSEST, FALLBACK, contest, middle

    report = progress or (lambda share: None)

    def doubted(doubt: str, outcome: str) -> dict[str, str]:
        warnings.warn(f"{doubt}: {outcome}", EmpriorWarning, stacklevel=4)
        return {"doubt": doubt}

    if (micrograph.pixel_size or 0) > COARSEST:
        said = doubted(
            f"pixels of {micrograph.pixel_size:g} Å are too coarse for atoms, which are all that "
            "the prior knows",
            f"the answer of {FALLBACK} is returned; if the pixel size is wrong, give it",
        )
        estimate = make(FALLBACK)(micrograph, noise, rng)
        return FALLBACK, replace(estimate, trace={**estimate.trace, **said})
    if not reaches(prior.depth, "inversion"):
        estimate = replace(prior, progress=report)(micrograph, noise, rng)
        return "prior", replace(estimate, trace={**estimate.trace, "unchecked": _UNCHECKED})
    if verdict is None:
        of_all = 1.0 if middle(micrograph) is micrograph else 0.6
        verdict = contest(
            prior, micrograph, noise, rng, progress=lambda share: report(of_all * share)
        )
    trace = {"held_out": verdict.way, **verdict.family.to_dict()}
    outside = verdict.family.kind == "outside"
    method = FALLBACK if outside and not force else "prior"
    if outside:
        trace |= doubted(
            f"the prior does not know this frame: {'; '.join(verdict.family.reasons)}",
            "the prior's answer is returned only because it is forced; what it shows may be made up"
            if force
            else f"the answer of {FALLBACK} is returned; force gives the prior's. Where the pixel "
            "size may be wrong, a check of this answer looks for another",
        )
    elif verdict.family.kind == "doubtful":
        trace |= doubted(
            f"the prior may not know this frame: {'; '.join(verdict.family.reasons)}",
            "its answer is returned, and what it names may be something else; compare it with "
            f"that of {FALLBACK}",
        )
    if method == FALLBACK:
        estimate = make(FALLBACK)(micrograph, noise, rng)
    elif verdict.estimate is not None:
        estimate = verdict.estimate
    else:
        rest = replace(prior, progress=lambda share: report(0.6 + 0.4 * share))
        estimate = rest(micrograph, noise, rng)
    report(1.0)
    return method, replace(estimate, trace={**estimate.trace, **trace})
