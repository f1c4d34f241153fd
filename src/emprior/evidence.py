"""Held-out evidence: how well an estimate predicts data that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emprior.micrograph import Micrograph
from emprior.noise import ClippedPoisson, Gaussian, Hits, NoiseModel, OtherHits, Poisson

_SEEN = 0.75  # share of the information that the denoiser sees, where it can be shared out
_BLOCK = 3  # pixels a side, of which one is hidden, where it cannot


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A frame in two independent parts: one to denoise, one to judge by.

    Attributes
    ----------
    seen : Micrograph
        The frame for the denoiser, of the same shape and clean image.
    noise : NoiseModel
        Of `seen`.
    rows, columns : (B,) int ndarray
        Where something is held out.
    test : (B,) ndarray
        It.
    test_noise : NoiseModel
        Of `test`.
    way : str
        How the parts were made, in words.
    """

    seen: Micrograph
    noise: NoiseModel
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    test: NDArray[np.floating]
    test_noise: NoiseModel
    way: str

    def log_prob(self, estimate: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the log-probability in nats, (B,), of what was held out given an estimate."""
        guess = estimate[self.rows, self.columns].astype(np.float64)
        return np.asarray(self.test_noise.log_prob(self.test.astype(np.float64), guess))


@dataclass(frozen=True)
class Advantage:
    """By how much one estimate predicts hidden pixels better than another.

    Parameters
    ----------
    mean, error : float
        Difference of the log-probabilities of a hidden pixel, in nats, and its standard error.
    """

    mean: float
    error: float

    @classmethod
    def between(
        cls,
        held_out: HeldOut,
        one: NDArray[np.floating],
        other: NDArray[np.floating],
    ) -> Advantage:
        """Compare two estimates, both made from ``held_out.seen``."""
        gain = held_out.log_prob(one) - held_out.log_prob(other)
        return cls(float(gain.mean()), float(gain.std(ddof=1) / gain.size**0.5))

    @property
    def is_clear(self) -> bool:
        """Whether it exceeds twice its error; never where it is no number."""
        return self.mean > 2 * self.error

    def __str__(self) -> str:
        return f"{self.mean:.2g} ± {self.error:.1g} nats a pixel"


def hold_out(
    micrograph: Micrograph, noise: NoiseModel, rng: np.random.Generator, share: float = _SEEN
) -> HeldOut:
    """Share a frame out into one part to denoise and an independent one to judge by.

    Counted electrons are drawn into the one part or the other, three in four into the first: two
    Poisson frames, independent of each other. Of Gaussian noise σ the frames y + τε and y − ε/τ
    with ε ~ N(0, σ²) are independent too; τ² = 1/3 gives the first three quarters of the
    information. Hits of pixels that show at most one are drawn apart as electrons are; where the
    first frame has one, the second holds nothing. For other noise one pixel of every 3 × 3 is
    hidden. `share` is what the first gets of electrons and of Gaussian information.

    Notes
    -----
    Wrong where noise is correlated between pixels, or where counts are not whole after the gain
    (then pixels are hidden, as for other noise). Hidden pixels are replaced by copies of others
    of their block, valid values under any noise; the copies count twice where pixels are averaged,
    which at 0.45 electrons a pixel costs the pooled wavelet 0.8 dB.
    """
    if type(noise) is Poisson and (counts := whole_counts(micrograph, noise)) is not None:
        first = rng.binomial(counts, share)
        parts = (first, share), (counts - first, 1 - share)
        (seen, seen_noise), (test, test_noise) = (
            (noise.offset + noise.gain / got * part, Poisson(noise.gain / got, noise.offset))
            for part, got in parts
        )
        way = "electrons drawn into two frames"
        return _everywhere(micrograph, seen, seen_noise, test, test_noise, way)
    if isinstance(noise, Gaussian):
        tau = ((1 - share) / share) ** 0.5
        added = rng.normal(0, noise.sigma, micrograph.shape)
        seen, test = micrograph.image + tau * added, micrograph.image - added / tau
        wider, widest = (Gaussian(noise.sigma * (1 + t**2) ** 0.5) for t in (tau, 1 / tau))
        way = "two frames of independent noise"
        return _everywhere(micrograph, seen, wider, test, widest, way)
    if isinstance(noise, ClippedPoisson) and noise.ceiling == 1:
        return _draw_hits(micrograph, noise, rng)
    return hide_pixels(micrograph, noise, rng)


def _draw_hits(micrograph: Micrograph, noise: ClippedPoisson, rng: np.random.Generator) -> HeldOut:
    image = micrograph.image
    hit = image > (noise.offset + noise.maximum) / 2
    drawn = hit & (rng.random(image.shape) < _SEEN)
    seen = np.where(hit & ~drawn, image.dtype.type(noise.offset), image)
    rows, columns = np.nonzero(~drawn & _used(micrograph))
    of = noise.gain, noise.offset, noise.maximum, 1, _SEEN
    return HeldOut(
        seen=replace(micrograph, image=seen),
        noise=Hits(*of),
        rows=rows,
        columns=columns,
        test=image[rows, columns],
        test_noise=OtherHits(*of),
        way="hits drawn into two frames",
    )


def whole_counts(micrograph: Micrograph, noise: Poisson) -> NDArray[np.int64] | None:
    """Return the electrons of each pixel, or None where they are not whole numbers."""
    counts = (micrograph.image.astype(np.float64) - noise.offset) / noise.gain
    whole = np.rint(counts)
    if whole.min() < 0 or np.abs(counts - whole).max() > 0.01 * max(1.0, whole.max() ** 0.5):
        return None
    if whole.max() > 2**53:  # where all floating point numbers are whole
        return None
    return whole.astype(np.int64)


def _everywhere(
    micrograph: Micrograph,
    seen: NDArray[np.floating],
    noise: NoiseModel,
    test: NDArray[np.floating],
    test_noise: NoiseModel,
    way: str,
) -> HeldOut:
    rows, columns = np.nonzero(_used(micrograph))
    frame = replace(micrograph, image=seen.astype(micrograph.image.dtype))
    return HeldOut(frame, noise, rows, columns, test[rows, columns], test_noise, way)


def _used(micrograph: Micrograph) -> NDArray[np.bool_]:
    if micrograph.ignored is None:
        return np.ones(micrograph.shape, bool)
    return ~micrograph.ignored


def hide_pixels(micrograph: Micrograph, noise: NoiseModel, rng: np.random.Generator) -> HeldOut:
    """Hide one pixel of every 3 × 3, so that what is seen has the noise of the whole frame."""
    H, W = (n // _BLOCK for n in micrograph.shape)
    held = rng.integers(_BLOCK**2, size=(H, W))
    donor = (held + rng.integers(1, _BLOCK**2, size=(H, W))) % _BLOCK**2
    rows, columns = np.indices((H, W)) * _BLOCK
    hidden = rows + held // _BLOCK, columns + held % _BLOCK
    seen = micrograph.image.copy()
    seen[hidden] = micrograph.image[rows + donor // _BLOCK, columns + donor % _BLOCK]
    used = _used(micrograph)[hidden]
    judging = hidden[0][used], hidden[1][used]
    return HeldOut(
        seen=replace(micrograph, image=seen),
        noise=noise,
        rows=judging[0],
        columns=judging[1],
        test=micrograph.image[judging],
        test_noise=noise,
        way="one pixel of every 3 × 3 hidden",
    )
