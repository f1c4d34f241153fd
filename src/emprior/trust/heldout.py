r"""Held-out evidence: what the denoiser makes of a part of the data, judged by another part.

A denoised image has seen the data that it is checked against. The denoiser itself can be held to
more: it is given half of the electrons, and its answer is compared with the other half, which is
independent noise about the same truth. Of a movie the next frame is that other half.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from emprior.drift import drift
from emprior.errors import ImageError
from emprior.evidence import Advantage, HeldOut, equally_noisy, hide_pixels, hold_out
from emprior.micrograph import Micrograph
from emprior.noise import ClippedPoisson, NoiseModel

Floats = NDArray[np.float64]
Denoiser = Callable[[Micrograph], NDArray[Any]]
"""Takes a noisy frame and returns its estimate of the clean one, in the same units."""

_RINGS = 40
_PEAK = 10.0  # times the middle power of its ring, from which a wave is a Bragg peak
_FEWEST = 8  # waves in a ring, and pixels a side that frames must have in common


@dataclass(frozen=True, eq=False)
class Rings:
    r"""Correlation of the denoised part with the raw other part, in rings of the Fourier plane.

    .. math:: \frac{\mathrm{Re}\sum X Y^*}{\sqrt{\sum|X|^2 \sum|Y|^2}},
        \qquad \text{expected } \sqrt{\frac{\sum|X|^2}{\sum|X|^2 + n\sum V}}

    with the denoised part X (as the detector would show it), the raw part Y, its noise V, and n
    waves in the ring. The expectation is what the true image of such power would reach at this
    dose: the square root, since one of the two is noise-free. (Two denoised parts share the
    denoiser's inventions, and flatter.) Of a movie the noise of each ring is half the power of the
    difference between both frames, so that it may be correlated within a frame.

    Attributes
    ----------
    frequency : (n,) ndarray
        Middle of each ring [cycles a pixel].
    measured, expected, error : (n,) ndarray
        The error is of the measured one, were it as expected.
    rest, rest_expected : (n,) ndarray
        The same without Bragg peaks, which outshine what is not periodic.
    """

    frequency: Floats
    measured: Floats
    expected: Floats
    error: Floats
    rest: Floats
    rest_expected: Floats


@dataclass(frozen=True, eq=False)
class HeldOutEvidence:
    """How well a denoiser predicts data that it has not seen.

    Attributes
    ----------
    way : str
        How the data were divided.
    over_constant, over_wavelet : Advantage
        Over the mean of what the denoiser saw, and over the pooled wavelet's answer to the same.
    rings : Rings or None
        Where the other part is a whole frame.
    """

    way: str
    over_constant: Advantage
    over_wavelet: Advantage
    rings: Rings | None

    def __str__(self) -> str:
        return (
            f"held out ({self.way}): unseen data are predicted better than by a constant by "
            f"{self.over_constant}, better than by the pooled wavelet by {self.over_wavelet}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        rings = None
        if self.rings is not None:
            rings = {name: values.tolist() for name, values in asdict(self.rings).items()}
        return {
            "way": self.way,
            "nats_per_pixel_over_constant": asdict(self.over_constant),
            "nats_per_pixel_over_pooled_wavelet": asdict(self.over_wavelet),
            "rings": rings,
        }


def held_out_evidence(
    micrograph: Micrograph, noise: NoiseModel, denoiser: Denoiser, rng: np.random.Generator
) -> HeldOutEvidence:
    """Let a denoiser answer to a part of a frame, and judge it by the rest.

    Parameters
    ----------
    micrograph : Micrograph
    noise : NoiseModel
        Of it.
    denoiser : callable
        Is called once.
    rng : numpy.random.Generator

    Raises
    ------
    ImageError
        If the denoiser's answer is no image of the same shape.

    Notes
    -----
    Half of the electrons are seen, or of Gaussian noise half of the information; for other noise
    (clipped counts, readout noise) one pixel in nine is hidden. See `emprior.evidence.hold_out`.
    Wrong where noise is correlated between pixels: then what is seen tells of what is held out.
    """
    if isinstance(noise, ClippedPoisson):  # hits that are drawn apart have a noise of their own
        (held_out,) = hide_pixels(micrograph, noise, rng)
    else:
        held_out = hold_out(micrograph, noise, rng, parts=2)
    answer = np.asarray(denoiser(held_out.seen))
    if answer.shape != micrograph.shape or not np.isfinite(answer).all():
        raise ImageError(
            f"an answer of shape {answer.shape} to a frame of shape {micrograph.shape}"
            if answer.shape != micrograph.shape
            else "an answer with pixels that are NaN or infinite",
            expected="finite pixels, one for each of the frame",
            why="it is compared with data at the same places",
            fix="have the denoiser keep the shape of what it is given",
        )
    return _judged(held_out, answer.astype(np.float64), rng)


def next_frame_evidence(
    micrograph: Micrograph,
    noise: NoiseModel,
    denoised: Floats,
    following: Micrograph,
    rng: np.random.Generator,
) -> HeldOutEvidence | None:
    """Judge what was made of one frame of a movie by the next one.

    Parameters
    ----------
    micrograph : Micrograph
    noise : NoiseModel
        Of both frames.
    denoised : (H, W) ndarray
        Made without any knowledge of the next frame.
    following : Micrograph
        The next frame. Drift is followed by whole pixels; where only one of the two frames shows
        the object, nothing is compared.
    rng : numpy.random.Generator

    Returns
    -------
    HeldOutEvidence or None
        None where the frames have too little in common, or not the same noise.

    Raises
    ------
    ImageError
        If the frames differ in shape, or in nothing.

    Notes
    -----
    Noise may be correlated within a frame, though the standard errors are then larger than stated.
    Wrong where the object or the level changes from one frame to the next; and what the detector
    adds to every frame alike is confirmed as if it were structure.
    """
    if following.shape != micrograph.shape:
        raise ImageError(
            f"a next frame of shape {following.shape} after one of shape {micrograph.shape}",
            expected="frames of one shape",
            why="each pixel is compared with the one that shows the same place",
            fix="check that both are of one movie",
        )
    if np.array_equal(following.image, micrograph.image):
        raise ImageError(
            "a next frame that is the frame itself",
            expected="another one, with noise of its own",
            why="what follows the noise would be confirmed by it",
            fix="take repeated frames out of the movie",
        )
    if not equally_noisy(noise, micrograph.image, following.image):
        return None
    moved = np.rint(drift([micrograph.image, following.image], 0)[1]).astype(int)
    sides = list(zip(micrograph.shape, moved.tolist(), strict=True))
    here = tuple(slice(max(0, -by), min(n, n - by)) for n, by in sides)
    there = tuple(slice(max(0, by), min(n, n + by)) for n, by in sides)
    used = micrograph.used[here] & micrograph.used[there] & following.used[there]
    if min(used.shape) < _FEWEST or np.count_nonzero(used) < _FEWEST**2:
        return None
    seen = replace(micrograph, image=micrograph.image[here], ignored=~used)
    rows, columns = np.nonzero(used)
    way = "the next frame of the movie"
    if moved.any():
        way += f", drifted by {moved[0]}, {moved[1]} pixels"
    test = following.image[there][rows, columns]
    held_out = HeldOut(seen, noise, rows, columns, test, noise, way)
    return _judged(held_out, denoised[here], rng, alike=True)


def _judged(
    held_out: HeldOut, answer: Floats, rng: np.random.Generator, alike: bool = False
) -> HeldOutEvidence:
    """Judge an answer; whether what was seen has the same noise as what was held out."""
    from emprior.denoisers import make

    wavelet = make("pooled-wavelet")(held_out.seen, held_out.noise, rng)
    constant = make("constant")(held_out.seen, held_out.noise, rng)
    return HeldOutEvidence(
        held_out.way,
        Advantage.between(held_out, answer, constant.image),
        Advantage.between(held_out, answer, wavelet.image),
        _rings(answer, held_out, rng, alike),
    )


def _rings(
    answer: Floats, held_out: HeldOut, rng: np.random.Generator, alike: bool
) -> Rings | None:
    H, W = answer.shape
    used = held_out.seen.used
    if held_out.test.size != np.count_nonzero(used):
        return None
    # Noise about the answer stands for what tells nothing.
    raw = held_out.test_noise.sample(answer, rng).astype(np.float64)
    raw[used] = held_out.test
    shown = held_out.test_noise.mean(answer)
    rows, columns = np.meshgrid(fft.fftfreq(H), fft.rfftfreq(W), indexing="ij")
    half = (columns > 0) & (columns < 0.5)  # one of each pair of opposite waves
    frequency = np.hypot(rows, columns)[half]
    X, Y = (fft.rfft2(image - image.mean())[half] for image in (shown, raw))
    if alike:
        other = held_out.test_noise.sample(answer, rng).astype(np.float64)
        other[used] = held_out.seen.image[used]
        noise = np.abs(Y - fft.rfft2(other - other.mean())[half]) ** 2 / 2
    else:
        noise = np.full(len(X), float(np.asarray(held_out.test_noise.variance(answer)).sum()))
    count = max(1, min(_RINGS, min(H, W) // 4))
    ring = np.minimum((frequency * 2 * count).astype(int), count)  # beyond Nyquist: left out
    lines = []
    for number in range(count):
        here = ring == number
        if np.count_nonzero(here) < _FEWEST:
            continue
        power = np.abs(X[here]) ** 2
        calm = power <= _PEAK * np.median(power)
        everything, rest = (
            _correlation(X[here][some], Y[here][some], noise[here][some].sum())
            for some in (np.ones(len(power), bool), calm)
        )
        error = (1 - everything[1] ** 2) / (2 * len(power)) ** 0.5
        lines.append((frequency[here].mean(), *everything, error, *rest))
    return Rings(*np.array(lines).reshape(-1, 6).T)


def _correlation(X: NDArray[Any], Y: NDArray[Any], noise: float) -> tuple[float, float]:
    """Return the measured and the expected correlation of some waves, of a noise's power in all."""
    clean, noisy = float((np.abs(X) ** 2).sum()), float((np.abs(Y) ** 2).sum())
    measured = float((X * Y.conj()).real.sum()) / max((clean * noisy) ** 0.5, 1e-300)
    return measured, (clean / max(clean + noise, 1e-300)) ** 0.5
