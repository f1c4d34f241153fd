"""Whether a frame is of the kind that a prior knows: what unseen data say of the prior's answer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from emprior.evidence import Advantage
from emprior.noise import NoiseModel

Kind = Literal["inside", "doubtful", "outside"]

KINDS: tuple[Kind, ...] = ("outside", "doubtful", "inside")
"""The worst first."""

_CONFIRMED = 0.6  # of the prior's difference; at a half it predicts no better than the free answer
_WELL_CONFIRMED = 0.7
_MISSED = 0.2
_DOUBT = 0.9  # nats a column
_BAND = 1.1, 8.0  # Å, spacings of lattices that micrographs resolve
_FALSE_ALARM = 1e-3  # that any wave of a residual without waves is taken for one
_RING = 8  # waves in the radius of a ring, over which noise is taken to be alike
_TOLD = 4  # spacings


@dataclass(frozen=True)
class Family:
    """How a prior's answer to a frame stands to one that assumes no family of images.

    Parameters
    ----------
    advantage : Advantage
        Of the prior's answer on unseen data.
    missed : float
        Power of the waves that the data have and the prior's image lacks, as a share of the power
        of both.
    spacings : tuple of float
        Of these waves [Å], the strongest first.
    doubt : float, optional
        What the prior leaves open at first sight, in nats for each column that it expects, if it
        tells.
    """

    advantage: Advantage
    missed: float
    spacings: tuple[float, ...] = ()
    doubt: float | None = None

    @property
    def kind(self) -> Kind:
        """Whether the prior knows images of this kind.

        "outside" unless unseen data confirm more than 0.6 of what the prior adds, by two standard
        errors, and the data have few waves that it lacks; "inside" where they confirm more than
        0.7, by one, and the prior saw its columns with little doubt: of a faint lattice that it
        does not know it makes columns that predict a little better than a smooth picture.
        """
        share, error = self.advantage.share, self.advantage.share_error
        if not (share - 2 * error > _CONFIRMED and self.missed < _MISSED):
            return "outside"
        sure = self.doubt is None or self.doubt < _DOUBT
        return "inside" if sure and share - error > _WELL_CONFIRMED else "doubtful"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why, in sentences."""
        share, error = self.advantage.share, self.advantage.share_error
        confirmed = (
            "the prior's answer differs in nothing from one that assumes no lattice"
            if math.isinf(error)
            else f"unseen data confirm {share:.0%} ± {error:.0%} of what sets the prior's answer "
            "apart from one that assumes no lattice (at 50 % it is no better)"
        )
        reasons = [confirmed]
        if self.doubt is not None and self.doubt >= _DOUBT:
            left = "all" if math.isinf(self.doubt) else f"{self.doubt:.1f} nats a column"
            reasons.append(
                f"at first sight the prior leaves {left} open, of its own kind mostly less than "
                f"{_DOUBT:.1f} nats"
            )
        if self.spacings:
            waves = ", ".join(f"{spacing:.2f}" for spacing in self.spacings)
            reasons.append(
                f"the data have waves of {waves} Å that the prior's image lacks, with "
                f"{self.missed:.0%} of the power"
            )
        return tuple(reasons)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        error = self.advantage.share_error
        return {
            "family": self.kind,
            "reasons": list(self.reasons),
            "confirmed_share": self.advantage.share,
            "confirmed_share_error": None if math.isinf(error) else error,
            "advantage_nats_per_held_out_pixel": self.advantage.mean,
            "advantage_error": self.advantage.error,
            "missed_share": self.missed,
            "missed_spacings_in_angstrom": list(self.spacings),
            "doubt_nats_per_column": None if math.isinf(self.doubt or 0) else self.doubt,
        }


def missed_waves(
    noisy: NDArray[np.floating],
    estimate: NDArray[np.floating],
    noise: NoiseModel,
    pixel_size: float,
) -> tuple[float, tuple[float, ...]]:
    """Look for lattices in the data that an image lacks.

    Parameters
    ----------
    noisy, estimate : (H, W) ndarray
    noise : NoiseModel
        Of the noisy one.
    pixel_size : float
        [Å]

    Returns
    -------
    missed : float
        Their power as a share of theirs and the image's own, among spacings of 1.1 to 8 Å.
    spacings : tuple of float
        Of the strongest [Å].

    Notes
    -----
    A wave of the residual under a Hann window counts where it outshines the median of its ring so
    much that no wave of a residual of pure noise would, once in a thousand frames. What is not
    periodic, an amorphous film say, has no such waves and is not missed.
    """
    H, W = noisy.shape
    window = np.outer(np.hanning(H), np.hanning(W))
    mean = noise.mean(estimate.astype(np.float64))
    rows, columns = np.meshgrid(fft.fftfreq(H), fft.rfftfreq(W), indexing="ij")
    frequency = np.hypot(rows, columns)
    spacing = pixel_size / np.maximum(frequency, 1e-9)
    band = (spacing >= _BAND[0]) & (spacing <= _BAND[1]) & (frequency < 0.5)
    # A window spreads the mean over the waves next to it.
    band &= np.hypot(rows * H, columns * W) > 3
    if not band.any():
        return 0.0, ()
    residual, shown = (
        np.abs(fft.rfft2(window * (image - image.mean()))[band]) ** 2
        for image in (noisy - mean, mean)
    )
    ring = (frequency[band] * min(H, W) / _RING).astype(int)
    rings, ring = np.unique(ring, return_inverse=True)
    medians = np.array([np.median(residual[ring == one]) for one in range(len(rings))])
    floor = medians[ring] / math.log(2)  # the mean of exponentially distributed powers
    peaks = residual > floor * math.log(residual.size / _FALSE_ALARM)
    missed = float((residual - floor)[peaks].sum())
    if missed <= 0:
        return 0.0, ()
    told: list[float] = []
    for wave in np.argsort(np.where(peaks, -residual, 0))[: np.count_nonzero(peaks)]:
        if all(abs(spacing[band][wave] / one - 1) > 0.05 for one in told) and len(told) < _TOLD:
            told.append(float(spacing[band][wave]))
    return missed / (missed + float(shown.sum())), tuple(told)
