"""Held-out evidence: how well an estimate predicts data that it has not seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emprior.micrograph import Micrograph
from emprior.noise import ClippedPoisson, Gaussian, Hits, NoiseModel, OtherHits, Poisson

_STEADY = 0.1  # relative change of a variance up to which it is the same
_BLOCK = 3  # pixels a side, of which one is hidden in each division, where no noise can be shared


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
        return self._log_prob(self.test.astype(np.float64), estimate)

    def expected(
        self, truth: NDArray[np.floating], estimate: NDArray[np.floating]
    ) -> NDArray[np.floating]:
        """Return the expectation of `log_prob` of an estimate, (B,), were some image the truth.

        Up to what does not depend on the estimate: the mean over two values, one standard deviation
        either side of the expected one, which is exact where the log-probability is at most a
        square of the data.
        """
        clean = self._held(truth)
        mean, deviation = self.test_noise.mean(clean), self.test_noise.variance(clean) ** 0.5
        return (
            self._log_prob(mean - deviation, estimate) + self._log_prob(mean + deviation, estimate)
        ) / 2

    def _held(self, image: NDArray[np.floating]) -> NDArray[np.floating]:
        return image[self.rows, self.columns].astype(np.float64)

    def _log_prob(
        self, test: NDArray[np.floating], estimate: NDArray[np.floating]
    ) -> NDArray[np.floating]:
        return np.asarray(self.test_noise.log_prob(test, self._held(estimate)))


@dataclass(frozen=True)
class Advantage:
    r"""By how much one estimate predicts unseen data better than another.

    Parameters
    ----------
    mean, error : float
        Difference of the log-probabilities of an unseen value, in nats, and its standard error.
    most, least : float
        Its expectation were the one estimate the truth, or the other.

    Notes
    -----
    Where the truth is other + s·(one − other) plus what stands at right angles to both, the
    expectation of `mean` is least + s·(most − least): of the difference between the two estimates
    unseen data confirm the share s. It is exact for Gaussian noise and nearly so for small
    differences under any; below a half, the other estimate is the better one.
    """

    mean: float
    error: float
    most: float
    least: float

    @classmethod
    def between(
        cls, held_out: HeldOut, one: NDArray[np.floating], other: NDArray[np.floating]
    ) -> Advantage:
        """Compare two estimates, both made from ``held_out.seen``."""
        return cls.over([(held_out, one, other)])

    @classmethod
    def over(
        cls, divisions: Iterable[tuple[HeldOut, NDArray[np.floating], NDArray[np.floating]]]
    ) -> Advantage:
        """Compare two estimates over several divisions of one frame, as `folds` makes them.

        Each division comes with what was estimated from its seen part.
        """
        each = []
        for held_out, one, other in divisions:
            gain = held_out.log_prob(one) - held_out.log_prob(other)
            were_true = (
                held_out.expected(truth, one) - held_out.expected(truth, other)
                for truth in (one, other)
            )
            each.append(np.stack([gain, *were_true]))
        gain, most, least = np.concatenate(each, axis=1)
        error = float(gain.std(ddof=1) / gain.size**0.5)
        return cls(float(gain.mean()), error, float(most.mean()), float(least.mean()))

    @property
    def share(self) -> float:
        """The share s of the difference that unseen data confirm; a half where there is none."""
        span = self.most - self.least
        return 0.5 if span == 0 else (self.mean - self.least) / span

    @property
    def share_error(self) -> float:
        """Standard error of `share`; infinite where there is no difference."""
        span = self.most - self.least
        return np.inf if span == 0 else self.error / span

    def __str__(self) -> str:
        return f"{self.mean:.2g} ± {self.error:.1g} nats a pixel"


def hold_out(
    micrograph: Micrograph, noise: NoiseModel, rng: np.random.Generator, parts: int = 4
) -> HeldOut:
    """Share a frame out into some parts, all but one to denoise and the other to judge by.

    The first of `folds`.
    """
    return folds(micrograph, noise, rng, parts)[0]


def folds(
    micrograph: Micrograph, noise: NoiseModel, rng: np.random.Generator, parts: int = 4
) -> list[HeldOut]:
    """Share a frame out into equal independent parts, each of which judges the others once.

    Counted electrons are drawn into one part or another: Poisson frames, independent of each
    other. Of Gaussian noise σ in n parts the frames y + z_k − z̄ with z ~ N(0, nσ²) are independent
    too, each with the n-th part of the information. Hits of pixels that show at most one are drawn
    apart as electrons are; where the others have one, the part holds nothing. For other noise one
    pixel of every 3 × 3 is hidden, never the same twice.

    Parameters
    ----------
    micrograph : Micrograph
    noise : NoiseModel
        Of it.
    rng : numpy.random.Generator
    parts : int
        From 2 to 9.

    Notes
    -----
    Wrong where noise is correlated between pixels, or where counts are not whole after the gain
    (then pixels are hidden, as for other noise). Hidden pixels are replaced by copies of others
    of their block, valid values under any noise; the copies count twice where pixels are averaged,
    which at 0.45 electrons a pixel costs the pooled wavelet 0.8 dB.
    """
    image, seen = micrograph.image, 1 - 1 / parts
    if type(noise) is Poisson and (counts := whole_counts(micrograph, noise)) is not None:

        def frame(electrons: NDArray[np.int64], share: float) -> tuple[NDArray[Any], NoiseModel]:
            gain = noise.gain / share
            return noise.offset + gain * electrons, Poisson(gain, noise.offset)

        divided = rng.multinomial(counts, np.full(parts, 1 / parts))
        return [
            _two_frames(
                micrograph,
                frame(counts - divided[..., part], seen),
                frame(divided[..., part], 1 - seen),
                "electrons drawn into two frames",
            )
            for part in range(parts)
        ]
    if isinstance(noise, Gaussian):
        added = rng.normal(0, noise.sigma * parts**0.5, (parts, *image.shape))
        added -= added.mean(0)
        wider, widest = (Gaussian(noise.sigma / share**0.5) for share in (seen, 1 - seen))
        return [
            _two_frames(
                micrograph,
                (image - added[part] / (parts - 1), wider),
                (image + added[part], widest),
                "two frames of independent noise",
            )
            for part in range(parts)
        ]
    if isinstance(noise, ClippedPoisson) and noise.ceiling == 1:
        drawn_into = rng.integers(parts, size=image.shape)
        return [_draw_hits(micrograph, noise, drawn_into != part, seen) for part in range(parts)]
    return hide_pixels(micrograph, noise, rng, parts)


def _draw_hits(
    micrograph: Micrograph, noise: ClippedPoisson, kept: NDArray[np.bool_], share: float
) -> HeldOut:
    image = micrograph.image
    hit = image > (noise.offset + noise.maximum) / 2
    seen = np.where(hit & ~kept, image.dtype.type(noise.offset), image)
    rows, columns = np.nonzero(~(hit & kept) & micrograph.used)
    of = noise.gain, noise.offset, noise.maximum, 1, share
    return HeldOut(
        seen=replace(micrograph, image=seen),
        noise=Hits(*of),
        rows=rows,
        columns=columns,
        test=image[rows, columns],
        test_noise=OtherHits(*of),
        way="hits drawn into two frames",
    )


def equally_noisy(
    noise: NoiseModel, image: NDArray[np.floating], other: NDArray[np.floating]
) -> bool:
    """Whether one noise model will do for two frames: its variance at their means is the same."""
    one, two = (
        float(noise.variance(np.array([frame.mean(dtype=np.float64)]))[0])
        for frame in (image, other)
    )
    return abs(two / one - 1) < _STEADY


def whole_counts(micrograph: Micrograph, noise: Poisson) -> NDArray[np.int64] | None:
    """Return the electrons of each pixel, or None where they are not whole numbers."""
    counts = (micrograph.image.astype(np.float64) - noise.offset) / noise.gain
    whole = np.rint(counts)
    if whole.min() < 0 or np.abs(counts - whole).max() > 0.01 * max(1.0, whole.max() ** 0.5):
        return None
    if whole.max() > 2**53:  # where all floating point numbers are whole
        return None
    return whole.astype(np.int64)


def _two_frames(
    micrograph: Micrograph,
    seen: tuple[NDArray[np.floating], NoiseModel],
    test: tuple[NDArray[np.floating], NoiseModel],
    way: str,
) -> HeldOut:
    rows, columns = np.nonzero(micrograph.used)
    frame = replace(micrograph, image=seen[0].astype(micrograph.image.dtype))
    return HeldOut(frame, seen[1], rows, columns, test[0][rows, columns], test[1], way)


def hide_pixels(
    micrograph: Micrograph, noise: NoiseModel, rng: np.random.Generator, parts: int = 1
) -> list[HeldOut]:
    """Hide one pixel of every 3 × 3, some times, so that what is seen has the whole frame's noise.

    Parameters
    ----------
    micrograph, noise, rng
        As for `folds`.
    parts : int
        How often, at most 9; no pixel is hidden twice.
    """
    H, W = (n // _BLOCK for n in micrograph.shape)
    order = rng.permuted(np.broadcast_to(np.arange(_BLOCK**2), (H, W, _BLOCK**2)), axis=2)
    rows, columns = np.indices((H, W)) * _BLOCK
    divided = []
    for part in range(parts):
        held = order[..., part]
        donor = (held + rng.integers(1, _BLOCK**2, size=(H, W))) % _BLOCK**2
        hidden = rows + held // _BLOCK, columns + held % _BLOCK
        seen = micrograph.image.copy()
        seen[hidden] = micrograph.image[rows + donor // _BLOCK, columns + donor % _BLOCK]
        used = micrograph.used[hidden]
        judging = hidden[0][used], hidden[1][used]
        divided.append(
            HeldOut(
                seen=replace(micrograph, image=seen),
                noise=noise,
                rows=judging[0],
                columns=judging[1],
                test=micrograph.image[judging],
                test_noise=noise,
                way="one pixel of every 3 × 3 hidden",
            )
        )
    return divided
