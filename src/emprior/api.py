"""Denoise one frame, and say what was done: the call behind the command line."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emprior.blas import one_blas_thread
from emprior.confirmation import confirmed
from emprior.denoisers import LEARNED, learned, make
from emprior.denoisers.depth import DEEPEST, Depth, reaches
from emprior.errors import EmpriorWarning, InputError
from emprior.found import Found, FoundColumns, FoundOptics
from emprior.micrograph import Micrograph, as_micrograph
from emprior.noise import NoiseModel
from emprior.options import check_options
from emprior.preparation import prepared
from emprior.randomness import stream
from emprior.references import References

if TYPE_CHECKING:
    from emprior.scale import Scale


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

    Notes
    -----
    `columns`, `optics` and `deviation` are worked out when first asked for, in a quarter of the
    time that the image took.
    """

    image: NDArray[np.float32]
    method: str
    noise: NoiseModel
    evidence: tuple[str, ...]
    seconds: float
    trace: Mapping[str, Any] = field(default_factory=dict)
    find: Callable[[], Found] | None = field(default=None, repr=False)

    @cached_property
    def _found(self) -> Found | None:
        return None if self.find is None else self.find()

    @property
    def columns(self) -> FoundColumns | None:
        """The atomic columns in the frame, where the method tells them."""
        return self._found and self._found.columns

    @property
    def optics(self) -> FoundOptics | None:
        """How the frame was taken, where the method tells it."""
        return self._found and self._found.optics

    @property
    def deviation(self) -> NDArray[np.float32] | None:
        """Standard deviation of the image, (H, W), where the method has one."""
        return self._found and self._found.deviation.astype(np.float32)


def denoise(
    image: ArrayLike | Micrograph,
    *,
    pixel_size: float | None = None,
    noise: str | NoiseModel = "auto",
    method: str = "prior",
    prior: str | Path = "default",
    search: str = "default",
    depth: Depth = DEEPEST,
    seed: int | Sequence[int] = 0,
    force: bool = False,
    faults: bool = True,
    references: References | None = None,
    device: str = "auto",
    progress: Callable[[float], None] | None = None,
) -> Denoised:
    """Denoise one frame.

    Parameters
    ----------
    image : (H, W) array_like or Micrograph
        Pixels in any units; what a masked array masks is ignored.
    pixel_size : float, optional
        Distance between pixels in Å; goes before that of a Micrograph. Where neither is known
        the method "prior" looks for one at which it knows the lattice, and else assumes 0.0489 Å;
        it warns of either.
    noise : str or NoiseModel
        "auto" identifies it from the frame; or "none", "poisson[:GAIN][,offset=O][,clip=MAX]",
        "gaussian:SIGMA" in units of the data, or a model.
    method : str
        Any of `emprior.denoisers.DENOISERS`.
    prior : str or path
        A shipped prior's name or a weight file; for method "prior", of a generator for
        "algorithm-2", and of a regressor for "supervised" and its kin; the directory of a data set
        for "nearest".
    search : str
        One of `emprior.inversion.SEARCHES`; for methods "prior" and "algorithm-2".
    depth : str
        How far the method "prior" goes, one of `emprior.denoisers.depth.DEPTHS`; "encoder" is the
        encoder's first sight alone, fast and compared with nothing.
    seed : int or sequence of int
        Of all random draws: the same arguments give the same result.
    force : bool
        Return the prior's answer even where held-out pixels speak against it.
    faults : bool
        Look for hot and dead pixels and patches of one value (`emprior.faults`). They are filled
        from pixels about them, left out of likelihoods, and said under `evidence`; what a
        Micrograph ignores besides is treated as such patches are. Likewise for the row noise of
        scans (`emprior.rownoise`), which is taken off.
    references : References, optional
        Dark and gain of the detector, by which the frame is corrected first: the answer is in the
        units of the corrected frame.
    device : str
        "auto", "cpu" or "cuda"; for these methods.
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
        Where the pixel size is assumed, a patch of the frame is left as it is, or the prior does
        not know the frame.

    Notes
    -----
    A part of the data is held out (`emprior.contest`), and the prior competes with the pooled
    wavelet to predict it; in frames larger than 28 Å, within the middle 28 Å. Where the frame is
    "outside" the prior's `emprior.family.Family`, the wavelet's answer is returned: a prior
    trained on one material must not draw it on a picture of another. The depth "encoder" does
    without: the trace then says so under "unchecked".
    """
    started = time.perf_counter()
    check_options(
        method=method,
        noise=noise,
        prior=prior,
        search=search,
        depth=depth,
        seed=seed,
        device=device,
        force=force,
    )
    micrograph = as_micrograph(image)
    if pixel_size is not None:
        micrograph = replace(micrograph, pixel_size=pixel_size)
    rng = stream(seed)
    with one_blas_thread():
        micrograph, kept, found = prepared(micrograph, noise, faults, rng, references)
        if method == "supervised-mixed" and found.correlated:
            warnings.warn(
                "neighbouring pixels share noise, so that what is held out is known to whatever "
                "lets noise pass: the mixture may keep some of it; 'supervised' alone does not, "
                "and a frame from before interpolation is better",
                EmpriorWarning,
                stacklevel=2,
            )
        verdict = None
        if method in LEARNED and micrograph.pixel_size is None:
            scale = None
            if method == "prior" and reaches(depth, "inversion"):
                scale = _scale(micrograph, found.noise, prior, device, rng)
            size = scale and scale.pixel_size
            verdict = scale and scale.verdict
            warnings.warn(
                f"the pixel size is not known: {_said_of(size)}", EmpriorWarning, stacklevel=2
            )
            micrograph = replace(micrograph, pixel_size=size)
        frame = micrograph, found.noise, rng
        if method == "prior":
            from emprior.denoisers.prior import Prior

            contestant = Prior(prior=prior, search=search, device=device, depth=depth)
            method, estimate = confirmed(contestant, *frame, force, verdict, progress)
        elif method in LEARNED:
            rival = learned(method, prior, search=search, device=device, progress=progress)
            estimate = rival(*frame)
        else:
            estimate = make(method)(*frame)
    answer = np.asarray(estimate.image, np.float32)
    return Denoised(
        image=answer if kept is None else np.where(np.isnan(kept), answer, kept),
        method=method,
        noise=found.noise,
        evidence=found.evidence,
        seconds=time.perf_counter() - started,
        trace=estimate.trace,
        find=estimate.find,
    )


def find_pixel_size(
    image: ArrayLike | Micrograph,
    *,
    noise: str | NoiseModel = "auto",
    prior: str | Path = "default",
    seed: int = 0,
    device: str = "auto",
) -> float | None:
    """Find the pixel size of a frame from the lattices that a prior knows.

    Parameters
    ----------
    image : (H, W) array_like or Micrograph
        What it says of its own pixel size is not looked at.
    noise, prior, seed, device
        As for `denoise`.

    Returns
    -------
    float or None
        [Å]; None where there is none at which the prior knows the frame.

    Raises
    ------
    InputError
        If the image or an option has no sensible meaning.

    Notes
    -----
    Takes some ten seconds; how, and how well, says `emprior.scale.scale_of`. A material that the
    prior does not know may look like one that it knows, at another size.
    """
    check_options(method="prior", noise=noise, prior=prior, seed=seed, device=device)
    micrograph = as_micrograph(image)
    rng = stream(seed)
    with one_blas_thread():
        micrograph, _, found = prepared(micrograph, noise, True, rng)
        scale = _scale(micrograph, found.noise, prior, device, rng)
    return scale and scale.pixel_size


def _scale(
    micrograph: Micrograph,
    noise: NoiseModel,
    prior: str | Path,
    device: str,
    rng: np.random.Generator,
) -> Scale | None:
    from emprior.denoisers.prior import Prior
    from emprior.scale import scale_of

    return scale_of(Prior(prior=prior, device=device), micrograph, noise, rng)


def assumed_pixel_size(
    image: ArrayLike | Micrograph,
    *,
    method: str,
    noise: str | NoiseModel,
    prior: str | Path,
    depth: str,
    seed: int,
    device: str,
) -> tuple[float, str]:
    """Return the pixel size [Å] of frames that do not say it, and a sentence about it.

    Parameters
    ----------
    image : (H, W) array_like or Micrograph
        The first of the frames. It is looked at as `denoise` would; if it cannot be used, that is
        said where its turn comes.
    method, noise, prior, depth, seed, device
        As for `denoise`; a method that needs weights.
    """
    from emprior.denoisers.networks import NATIVE_PIXEL_SIZE

    found = None
    if method == "prior" and reaches(depth, "inversion"):
        with suppress(InputError), warnings.catch_warnings():
            warnings.simplefilter("ignore", EmpriorWarning)  # `denoise` says it all again
            found = find_pixel_size(image, noise=noise, prior=prior, seed=seed, device=device)
    return found or NATIVE_PIXEL_SIZE, _said_of(found)


def _said_of(pixel_size: float | None) -> str:
    """Say which pixel size is taken: one found from a lattice, or that assumed if None."""
    from emprior.denoisers.networks import NATIVE_PIXEL_SIZE

    if pixel_size is not None:
        return (
            f"{pixel_size:.4f} Å is taken, at which the prior knows the lattice, to within some "
            "per cent. Another material may look alike at another size; give the pixel size"
        )
    return (
        f"{NATIVE_PIXEL_SIZE} Å, that of the shipped priors' micrographs, is assumed. If that is "
        "wrong, atoms of the wrong size are looked for; give the pixel size"
    )
