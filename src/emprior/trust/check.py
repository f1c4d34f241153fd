"""Whether a denoised image is supported by the noisy one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emprior.errors import ImageError, OptionError
from emprior.evidence import whole_counts
from emprior.family import Family
from emprior.faults import Faults
from emprior.micrograph import Micrograph, as_micrograph
from emprior.noise import NoiseModel, Poisson
from emprior.preparation import patches_of, read_frame
from emprior.randomness import stream
from emprior.trust import columns, local, whole
from emprior.trust.columns import ColumnEvidence
from emprior.trust.findings import Finding, Region, apart
from emprior.trust.geometry import geometry
from emprior.trust.heldout import (
    Denoiser,
    HeldOutEvidence,
    held_out_evidence,
    next_frame_evidence,
)
from emprior.trust.residual import Residual

FALSE_ALARM = 0.05
_NOT_HELD_OUT = {
    "way": "not possible",
    "why": "it takes the denoiser itself, to be run on a part of the data (--command), or a next "
    "frame of the same object and dose (--movie), which the last one has not",
}
_NOT_ASKED = "no prior was asked, or the frame's pixel size is not known or too coarse for atoms"
_SCALES_AGREE = 0.01
_OTHER = 0.06  # relative difference of pixel sizes that lattices tell apart
_READ = 4.0
"""Error of a variance that is read from a frame, over what the same pixels could tell of it at
best, √(2/N); measured on crystals beside vacuum (docs/noise.md)."""


@dataclass(frozen=True, eq=False)
class Maps:
    """What a check has looked at, pixel by pixel.

    Attributes
    ----------
    noisy, denoised : (H, W) ndarray
        As they were given.
    residual : Residual
        In pixels that are left out it holds noise that was drawn.
    scales : tuple of local.Scale
        The residual seen through windows of several sizes.
    """

    noisy: NDArray[np.float64]
    denoised: NDArray[np.float64]
    residual: Residual
    scales: tuple[local.Scale, ...]


@dataclass(frozen=True, eq=False)
class Check:
    """What noisy data say of a denoised image.

    Attributes
    ----------
    supported : bool
        Whether nothing contradicts it: no test of the whole image, and no region.
    false_alarm : float
        The probability that the true image would be called unsupported, at most.
    noise : NoiseModel
    evidence : tuple of str
        Why that noise, in sentences.
    findings : tuple of Finding
        Tests of the whole image.
    regions : tuple of Region
        Places where the data contradict the denoised image, the most improbable first.
    left_out : Faults
        Pixels that tell nothing of the denoised image, and have no part in any of this.
    pixel_size : float or None
        [Å]
    columns : ColumnEvidence or None
        What the data say of each column in the image, where the pixel size is known and fine
        enough for columns.
    held_out : HeldOutEvidence or None
        How well the denoiser predicts data that it has not seen, where it was given.
    family : Family or None
        Whether a prior knows images of this kind, where one was asked and could be.
    other_pixel_size : float or None
        Where it is not inside, another pixel size [Å] at which the prior knows it, if there is one.
    maps : Maps or None
        What was looked at, to be drawn; None where it was not kept.
    """

    supported: bool
    false_alarm: float
    noise: NoiseModel
    evidence: tuple[str, ...]
    findings: tuple[Finding, ...]
    regions: tuple[Region, ...]
    left_out: Faults
    pixel_size: float | None = None
    columns: ColumnEvidence | None = field(default=None, repr=False)
    held_out: HeldOutEvidence | None = None
    family: Family | None = None
    other_pixel_size: float | None = None
    maps: Maps | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the maps as plain values, ready for JSON."""
        return {
            "supported": self.supported,
            "family": None if self.family is None else self.family.kind,
            "regions": [region.to_dict() for region in self.regions],
            "left_out": [fault.to_dict() for fault in self.left_out],
            "false_alarm": self.false_alarm,
            "noise": {**self.noise.to_dict(), "evidence": list(self.evidence)},
            "tests": {finding.name: finding.to_dict() for finding in self.findings},
            "columns": None if self.columns is None else self.columns.to_table(),
            "held_out": _NOT_HELD_OUT if self.held_out is None else self.held_out.to_dict(),
            "prior": {"why": _NOT_ASKED}
            if self.family is None
            else {
                **self.family.to_dict(),
                "other_pixel_size_in_angstrom": self.other_pixel_size,
            },
        }


def check(
    noisy: ArrayLike | Micrograph,
    denoised: ArrayLike | Micrograph,
    *,
    noise: str | NoiseModel = "auto",
    pixel_size: float | None = None,
    faults: bool = True,
    false_alarm: float = FALSE_ALARM,
    denoiser: Denoiser | None = None,
    next_frame: ArrayLike | Micrograph | None = None,
    prior: str | Path | None = None,
    seed: int = 0,
) -> Check:
    """Check a denoised image, of whatever denoiser, against the noisy one that it was made from.

    Parameters
    ----------
    noisy : (H, W) array_like or Micrograph
        Pixels as they were recorded, in any units.
    denoised : (H, W) array_like or Micrograph
        The estimate of their unclipped mean, in the same units.
    noise : str or NoiseModel
        As for `emprior.denoise`; "auto" identifies it from the noisy image.
    pixel_size : float, optional
        Distance between pixels in Å; goes before that of a Micrograph.
    faults : bool
        Leave out hot and dead pixels, labels, saturation and padding of the noisy image, as
        `emprior.denoise` finds them (`emprior.faults`). What a Micrograph ignores is left out
        anyway.
    false_alarm : float
        Probability, at most, of calling the true image unsupported; between 0 and 1.
    denoiser : callable, optional
        What made the denoised image: takes a `Micrograph`, returns (H, W) pixels in its units. It
        is called once, with a part of the data, for evidence on the rest; that is told beside the
        tests, which are of the denoised image alone.
    next_frame : (H, W) array_like or Micrograph, optional
        Of a movie, the frame after the noisy one, for evidence of the same kind: the denoised image
        must have been made without it. Not together with `denoiser`.
    prior : str or path, optional
        A prior, as for `emprior.denoise`, to be asked whether it knows images of this kind; takes
        seconds, and a pixel size. It is asked about the noisy image, whatever the denoised one
        shows.
    seed : int
        Of the frames that are drawn to know what true columns look like, and of the prior's search.

    Returns
    -------
    Check

    Raises
    ------
    ImageError
        If an image cannot be used, their shapes differ, or the scales of noisy and denoised, or a
        noisy one cannot hold the noise.
    OptionError
        If the noise, pixel size, false-alarm rate or prior has no meaning, or two are to judge.
    WeightsError
        If the prior cannot be used.

    Notes
    -----
    Every p is the probability that the true image gives anything as improbable in any of the tests,
    so that each is compared with the false-alarm rate itself. What is supported need not be true:
    it is what these data cannot tell from the truth. Wrong where the noise is not what was
    identified, and where it is correlated between pixels.

    For pixels that are left out stands noise drawn about the denoised image, about its mean in
    patches: no test can find anything there, and all keep their null distributions.
    """
    check_false_alarm(false_alarm)
    if denoiser is not None and next_frame is not None:
        raise OptionError(
            "a denoiser and a next frame",
            expected="one of them, or neither",
            why="either gives the evidence on unseen data, and there is one place for it",
            fix="leave out the one or the other",
        )
    micrograph, estimate = _pair(noisy, denoised, pixel_size)
    rng = stream(seed)
    shown = micrograph.image.astype(np.float64), estimate
    patches = patches_of(micrograph, faults)
    image, left_out, found = read_frame(micrograph.image, patches, noise, faults, rng)
    micrograph = replace(micrograph, image=image, ignored=left_out.all)
    held_out, of_others = None, rng.spawn(1)[0]  # so that no test depends on it
    if denoiser is not None:
        held_out = held_out_evidence(micrograph, found.noise, denoiser, of_others)
    elif next_frame is not None:
        following = _following(next_frame, found.noise, faults, of_others)
        held_out = next_frame_evidence(micrograph, found.noise, estimate, following, of_others)
    slack = _slack(noise, micrograph, found.noise)
    pixels, estimate = _innocent(micrograph, estimate, left_out, found.noise, rng)
    residual = Residual.of(pixels, estimate, found.noise, slack)
    scales = local.scales(residual)
    findings = [
        *whole.tests(residual, micrograph.pixel_size),
        geometry(residual, micrograph.pixel_size),
        local.places(scales, false_alarm),
        local.blocks(residual, false_alarm),
    ]
    about_columns: list[Finding] = []
    evidence = None
    if micrograph.pixel_size is not None and micrograph.pixel_size <= columns.COARSEST:
        about_columns, evidence = columns.examine(
            pixels,
            estimate,
            found.noise,
            micrograph.pixel_size,
            slack=slack,
            least=false_alarm,
            rng=rng,
        )
    count = len(about_columns) + len(findings)
    specific, general = ([one.among(count) for one in some] for some in (about_columns, findings))
    findings = [*specific, *general]
    marked = (
        [region for one in some for region in one.regions if region.p < false_alarm]
        for some in (specific, general)
    )
    family, other = None, None
    if prior is not None:
        family, other = _family(prior, micrograph, found.noise, rng)
    return Check(
        supported=all(one.p >= false_alarm for one in findings),
        false_alarm=false_alarm,
        noise=found.noise,
        evidence=found.evidence,
        findings=tuple(findings),
        regions=apart(*marked),
        left_out=left_out,
        pixel_size=micrograph.pixel_size,
        columns=evidence,
        held_out=held_out,
        family=family,
        other_pixel_size=other,
        maps=Maps(*shown, residual, tuple(scales)),
    )


def _family(
    prior: str | Path, micrograph: Micrograph, noise: NoiseModel, rng: np.random.Generator
) -> tuple[Family | None, float | None]:
    """Return whether a prior knows a frame, and if not, at which pixel size it would."""
    from emprior.contest import COARSEST, contest
    from emprior.denoisers.prior import Prior
    from emprior.scale import scale_of

    if micrograph.pixel_size is None or micrograph.pixel_size > COARSEST:
        return None, None
    asked = Prior(prior=prior)
    family = contest(asked, micrograph, noise, rng).family
    other = None if family.kind == "inside" else scale_of(asked, micrograph, noise, rng)
    if other is None or abs(other.pixel_size / micrograph.pixel_size - 1) < _OTHER:
        return family, None
    return family, other.pixel_size


def check_false_alarm(rate: float) -> None:
    """Refuse a false-alarm rate without a meaning.

    Raises
    ------
    OptionError
        If it is not between 0 and 1.
    """
    if not 0 < rate < 1:
        raise OptionError(
            f"a false-alarm rate of {rate!r}",
            expected="a number between 0 and 1",
            why="it is the probability of calling the true image unsupported",
            fix="give for example 0.05",
        )


def common_scale(noisy: float | None, denoised: float | None) -> float | None:
    """Return the pixel size [Å] of two images from what is known of each.

    Raises
    ------
    ImageError
        If they differ by more than 1 %.
    """
    if noisy is not None and denoised is not None and abs(denoised / noisy - 1) > _SCALES_AGREE:
        raise ImageError(
            f"pixels of {noisy:g} Å in the noisy image and of {denoised:g} Å in the denoised one",
            expected="one scale, to within 1 %",
            why="each pixel is compared with the one at its place",
            fix="resample one to the grid of the other; if a file is wrong, give the pixel size",
        )
    return denoised if noisy is None else noisy


def _pair(
    noisy: ArrayLike | Micrograph, denoised: ArrayLike | Micrograph, pixel_size: float | None
) -> tuple[Micrograph, NDArray[np.float64]]:
    """Return the noisy frame, with its pixel size, and the pixels of the denoised one."""
    micrograph = as_micrograph(noisy)
    if pixel_size is None:
        scale = denoised.pixel_size if isinstance(denoised, Micrograph) else None
        pixel_size = common_scale(micrograph.pixel_size, scale)
    micrograph = replace(micrograph, pixel_size=pixel_size)
    estimate = np.asarray(denoised.image if isinstance(denoised, Micrograph) else denoised)
    if estimate.dtype.kind not in "buif" or estimate.shape != micrograph.shape:
        raise ImageError(
            f"a denoised image of shape {estimate.shape} and type {estimate.dtype} beside a noisy "
            f"one of shape {micrograph.shape}",
            expected="two images of real numbers and of one shape (H, W)",
            why="each pixel is compared with the one at its place",
            fix="crop or resample one to the grid of the other; check that they belong together",
        )
    if not np.isfinite(estimate).all():
        raise ImageError(
            f"{np.count_nonzero(~np.isfinite(estimate))} of {estimate.size} pixels of the denoised "
            "image are NaN or infinite",
            expected="finite pixels",
            why="no noise model says what the data are like there",
            fix="find out which step made them; a denoiser must not",
        )
    return micrograph, estimate.astype(np.float64)


def _following(
    next_frame: ArrayLike | Micrograph, noise: NoiseModel, faults: bool, rng: np.random.Generator
) -> Micrograph:
    """Return the next frame, without what is faulty in it."""
    try:
        micrograph = as_micrograph(next_frame)
        patches = patches_of(micrograph, faults)
        image, left_out, _ = read_frame(micrograph.image, patches, noise, faults, rng)
    except ImageError as error:
        raise error.of("the next frame") from error
    return replace(micrograph, image=image, ignored=left_out.all)


def _innocent(
    micrograph: Micrograph,
    estimate: NDArray[np.float64],
    left_out: Faults,
    noise: NoiseModel,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return noisy and denoised pixels in which what is left out gives no test any reason."""
    pixels = micrograph.image.astype(np.float64)
    if not left_out.all.any():
        return pixels, estimate
    # A label's edges would outweigh the structure, and its letters pass for columns.
    estimate = np.where(left_out.patches, estimate[micrograph.used].mean(), estimate)
    return np.where(left_out.all, noise.sample(estimate, rng), pixels), estimate


def _slack(asked: str | NoiseModel, micrograph: Micrograph, noise: NoiseModel) -> float:
    """Return the relative standard error of the noise's variance."""
    if isinstance(asked, NoiseModel) or ":" in asked or asked.strip() == "none":
        return 0.0
    # The step of the lattice that counts stand on is exact.
    if isinstance(noise, Poisson) and whole_counts(micrograph, noise) is not None:
        return 0.0
    return float(_READ * (2 / micrograph.used.sum()) ** 0.5)
