"""Denoise one frame, and say what was done: the call behind the command line."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emprior.denoisers import Estimate, make
from emprior.errors import EmpriorWarning
from emprior.evidence import hold_out
from emprior.identify import Identification, resolve
from emprior.micrograph import Micrograph
from emprior.noise import NoiseModel

FALLBACK = "pooled-wavelet"
"""What answers where the prior does not know the frame: it assumes no lattice and no material."""


@dataclass(frozen=True, eq=False)
class Denoised:
    """A denoised frame and how it came about.

    Attributes
    ----------
    image : (H, W) float32 ndarray
        Estimate of the unclipped mean, in the units of the input.
    method : str
        The denoiser that was really used.
    noise : NoiseModel
        What the frame was denoised under.
    evidence : tuple of str
        Why that noise, in sentences.
    seconds : float
        Wall time.
    trace : mapping
        How the answer was found: plain values, ready for JSON.
    """

    image: NDArray[np.float32]
    method: str
    noise: NoiseModel
    evidence: tuple[str, ...]
    seconds: float
    trace: Mapping[str, Any] = field(default_factory=dict)


def denoise(
    image: ArrayLike | Micrograph,
    *,
    pixel_size: float | None = None,
    noise: str | NoiseModel = "auto",
    method: str = "prior",
    prior: str | Path = "default",
    search: str = "default",
    seed: int = 0,
    force: bool = False,
    device: str = "auto",
    progress: Callable[[float], None] | None = None,
) -> Denoised:
    """Denoise one frame.

    Parameters
    ----------
    image : (H, W) array_like or Micrograph
        Pixels in any units.
    pixel_size : float, optional
        Distance between pixels in Å. The prior assumes 0.0489 Å, with a warning, without it.
    noise : str or NoiseModel
        "auto" identifies it from the frame; or "none", "poisson[:GAIN][,clip=MAX]",
        "gaussian:SIGMA", or a model.
    method : str
        Any of `emprior.denoisers.DENOISERS`.
    prior : str or path
        A shipped prior's name or a weight file; for method "prior".
    search : str
        One of `emprior.inversion.SEARCHES`; for method "prior".
    seed : int
        Of all random draws: the same arguments give the same result.
    force : bool
        Return the prior's answer even where held-out pixels speak against it.
    device : str
        "auto", "cpu" or "cuda"; for method "prior".
    progress : callable, optional
        Called with the share of work done, from 0 to 1.

    Returns
    -------
    Denoised

    Raises
    ------
    InputError
        If the image or an option has no sensible meaning.

    Warns
    -----
    EmpriorWarning
        Where the pixel size is assumed, or the prior's answer is withheld.

    Notes
    -----
    Without `force`, a quarter of the pixels is held out and the prior competes with the pooled
    wavelet for them. Where it does not explain them better, the wavelet's answer is returned: a
    prior trained on one material must not draw it on a picture of another.
    """
    started = time.perf_counter()
    micrograph = image if isinstance(image, Micrograph) else Micrograph(image, pixel_size)  # type: ignore[arg-type]
    if isinstance(noise, NoiseModel):
        found = Identification(noise, ("given by the caller",))
    else:
        found = resolve(noise, micrograph.image)
    rng = np.random.default_rng(seed)
    if method == "prior":
        if micrograph.pixel_size is None:
            warnings.warn(
                "the pixel size is not known; that of the prior's training data, 0.0489 Å, is "
                "assumed. If that is wrong the prior looks for atoms of the wrong size: give the "
                "pixel size",
                EmpriorWarning,
                stacklevel=2,
            )
        denoiser = replace(
            make("prior"), prior=prior, search=search, device=device, progress=progress
        )
        if force:
            estimate = denoiser(micrograph, found.noise, rng)
        else:
            method, estimate = _contest(denoiser, micrograph, found.noise, rng)
    else:
        estimate = make(method)(micrograph, found.noise, rng)
    return Denoised(
        image=np.asarray(estimate.image, np.float32),
        method=method,
        noise=found.noise,
        evidence=found.evidence,
        seconds=time.perf_counter() - started,
        trace=estimate.trace,
    )


def _contest(
    prior: Any, micrograph: Micrograph, noise: NoiseModel, rng: np.random.Generator
) -> tuple[str, Estimate]:
    """Let the prior compete with the fallback for held-out pixels; return the winner's answer."""
    held_out = hold_out(micrograph, rng)
    fallback = make(FALLBACK)
    estimate, latent = prior.fit(held_out.seen, noise, rng)
    rival = fallback(held_out.seen, noise, rng)
    difference = held_out.log_prob(estimate.image, noise) - held_out.log_prob(rival.image, noise)
    mean, error = float(difference.mean()), float(difference.std() / difference.size**0.5)
    if mean > 0:
        method, estimate = "prior", prior.fit(micrograph, noise, rng, latent)[0]
    else:
        warnings.warn(
            f"the prior does not know this frame: on held-out pixels {FALLBACK} explains it "
            f"better, by {-mean:.2g} ± {error:.1g} nats a pixel, and its answer is returned. Use "
            "force to have the prior's",
            EmpriorWarning,
            stacklevel=3,
        )
        method, estimate = FALLBACK, fallback(micrograph, noise, rng)
    contest = {"prior_advantage_nats_per_held_out_pixel": mean, "standard_error": error}
    return method, replace(estimate, trace={**estimate.trace, **contest})
