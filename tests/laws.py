"""Laws that every member of a registry keeps. Adding a class buys each of them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from emprior.denoisers import Denoiser
from emprior.micrograph import Micrograph
from emprior.noise import ClippedPoisson, Hits, NoiseModel, Poisson


def outcomes(noise: NoiseModel, clean: float) -> tuple[np.ndarray, np.ndarray]:
    """Return all noisy values of one pixel and the measure of each, by what the noise is.

    Counts have measure one; a continuum is cut into steps. Independent of `log_prob`.
    """
    if isinstance(noise, ClippedPoisson):
        counts = noise.gain * np.arange(1000) + noise.offset
        below = counts[counts < noise.maximum - 1e-9]
        return np.append(below, noise.maximum), np.ones(len(below) + 1)
    if isinstance(noise, Hits):
        values = np.linspace(noise.offset, noise.maximum, noise.pixels + 1)
        return values, np.ones_like(values)
    if isinstance(noise, Poisson):
        values = noise.gain * np.arange(1000) + noise.offset
        return values, np.ones_like(values)
    sd = float(np.sqrt(noise.variance(np.array([clean])))[0])
    values = np.linspace(clean - 12 * sd, clean + 12 * sd, 20_001)
    return values, np.full_like(values, values[1] - values[0])


def probabilities(noise: NoiseModel, clean: float) -> tuple[np.ndarray, np.ndarray]:
    """Return all noisy values of one pixel and their probabilities by `log_prob`."""
    values, measure = outcomes(noise, clean)
    return values, measure * np.exp(noise.log_prob(values, np.full_like(values, clean)))


def log_prob_is_normalised(noise: NoiseModel, clean: float) -> None:
    _, probability = probabilities(noise, clean)
    np.testing.assert_allclose(probability.sum(), 1, rtol=1e-9)


def moments_follow_from_log_prob(noise: NoiseModel, clean: float) -> None:
    values, probability = probabilities(noise, clean)
    mean = (probability * values).sum()
    at = np.array([clean])
    np.testing.assert_allclose(noise.mean(at)[0], mean, rtol=1e-9)
    np.testing.assert_allclose(
        noise.variance(at)[0], (probability * (values - mean) ** 2).sum(), rtol=1e-8
    )
    if noise.exact:
        second, third, fourth = ((probability * (values - mean) ** n).sum() for n in (2, 3, 4))
        expected = third, fourth - 3 * second**2
        for cumulant, value, power in zip(noise.cumulants(at), expected, (1.5, 2), strict=True):
            np.testing.assert_allclose(cumulant[0], value, rtol=1e-6, atol=1e-8 * second**power)


def score_has_mean_zero_and_variance_fisher(noise: NoiseModel, clean: float) -> None:
    values, probability = probabilities(noise, clean)
    score = noise.score(values, np.full_like(values, clean))
    fisher = noise.fisher(np.array([clean]))[0]
    assert fisher > 0
    np.testing.assert_allclose((probability * score).sum(), 0, atol=1e-8 * np.sqrt(fisher))
    np.testing.assert_allclose((probability * score**2).sum(), fisher, rtol=1e-8)


def score_is_the_derivative(noise: NoiseModel, clean: float) -> None:
    values, _ = outcomes(noise, clean)
    values = values[:: max(1, len(values) // 50)][:50]
    step = 1e-6
    up, down = (noise.log_prob(values, np.full_like(values, clean + d)) for d in (step, -step))
    score = noise.score(values, np.full_like(values, clean))
    np.testing.assert_allclose(score, (up - down) / (2 * step), rtol=1e-5, atol=1e-6)


def samples_agree(noise: NoiseModel, clean: float, rng: np.random.Generator) -> None:
    """Moments of draws, and the score's laws under them, within five standard errors."""
    n = 200_000
    at = np.full(n, clean)
    draws = noise.sample(at, rng)

    def agrees(values: np.ndarray, expected: float) -> None:
        assert abs(values.mean() - expected) < 5 * values.std() / np.sqrt(n) + 1e-12

    agrees(draws, noise.mean(at)[0])
    agrees((draws - noise.mean(at)) ** 2, noise.variance(at)[0])
    third, fourth = noise.cumulants(at)
    agrees((draws - noise.mean(at)) ** 3, third[0])
    agrees((draws - noise.mean(at)) ** 4, fourth[0] + 3 * noise.variance(at)[0] ** 2)
    score = noise.score(draws, at)
    agrees(score, 0.0)
    if noise.exact:
        agrees(score**2, noise.fisher(at)[0])


def sample_keeps_shape_and_type(noise: NoiseModel, rng: np.random.Generator) -> None:
    for dtype in (np.float32, np.float64):
        image = np.full((5, 7), 0.45, dtype)
        draw = noise.sample(image, rng)
        assert draw.shape == image.shape
        assert draw.dtype == dtype
        assert len(np.unique(draw)) > 1


def torch_agrees(noise: NoiseModel, rng: np.random.Generator) -> None:
    import torch

    clean = rng.uniform(0.15, 1.6, (6, 5))
    noisy = noise.sample(clean, rng)
    for dtype, rtol in ((torch.float64, 1e-10), (torch.float32, 2e-4)):
        x, y = (torch.tensor(a, dtype=dtype) for a in (clean, noisy))
        for ours, theirs in (
            (noise.mean(clean), noise.mean(x)),
            (noise.variance(clean), noise.variance(x)),
            (noise.log_prob(noisy, clean), noise.log_prob(y, x)),
            (noise.score(noisy, clean), noise.score(y, x)),
            (noise.fisher(clean), noise.fisher(x)),
        ):
            assert theirs.dtype == dtype
            np.testing.assert_allclose(theirs.numpy(), ours, rtol=rtol, atol=rtol)


def defined_in_vacuum_and_below(noise: NoiseModel) -> None:
    """A generator may propose any clean value; none may give NaN or infinity."""
    for dtype in (np.float32, np.float64):
        clean = np.array([-5.0, -0.3, 0.0, 1e-12, 50.0], dtype)
        for noisy in (clean.dtype.type(1.0), clean.dtype.type(getattr(noise, "offset", 0.0))):
            for value in (
                noise.mean(clean),
                noise.variance(clean),
                noise.log_prob(np.full_like(clean, noisy), clean),
                noise.score(np.full_like(clean, noisy), clean),
                noise.fisher(clean),
            ):
                assert value.dtype == dtype
                assert np.isfinite(value).all()


def estimate_is_a_finite_float32_image(
    denoiser: Denoiser, micrograph: Micrograph, noise: NoiseModel
) -> None:
    image = denoiser(micrograph, noise, np.random.default_rng(0)).image
    assert image.shape == micrograph.shape
    assert image.dtype == np.float32
    assert np.isfinite(image).all()


def deterministic(denoiser: Denoiser, micrograph: Micrograph, noise: NoiseModel) -> None:
    before = micrograph.image.copy()
    first, second = (denoiser(micrograph, noise, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    assert dict(first.trace) == dict(second.trace)
    np.testing.assert_array_equal(micrograph.image, before)


def scales_with_the_data(
    denoiser: Denoiser,
    micrograph: Micrograph,
    noise: NoiseModel,
    other: NoiseModel,
    a: float,
    b: float,
) -> None:
    """Denoising a·image + b under `other`, the likewise scaled noise, gives a·estimate + b."""
    image = micrograph.image.astype(np.float64)
    plain = denoiser(Micrograph(image, micrograph.pixel_size), noise, np.random.default_rng(4))
    moved = Micrograph(a * image + b, micrograph.pixel_size)
    estimate = denoiser(moved, other, np.random.default_rng(4))
    span = float(np.ptp(image))
    np.testing.assert_allclose((estimate.image - b) / a, plain.image, rtol=0, atol=2e-4 * span)


def not_worse_than_noisy(
    denoiser: Denoiser, micrograph: Micrograph, noise: NoiseModel, clean: np.ndarray
) -> None:
    estimate = denoiser(micrograph, noise, np.random.default_rng(5)).image
    error, noisy = (np.mean((image - clean) ** 2) for image in (estimate, micrograph.image))
    assert error < 0.7 * noisy


def commutes_with_flips(denoiser: Denoiser, micrograph: Micrograph, noise: NoiseModel) -> None:
    plain = denoiser(micrograph, noise, np.random.default_rng(6)).image
    for axis in (0, 1):
        flipped = Micrograph(np.flip(micrograph.image, axis), micrograph.pixel_size)
        estimate = denoiser(flipped, noise, np.random.default_rng(6)).image
        np.testing.assert_allclose(np.flip(estimate, axis), plain, atol=1e-5)


def windows_cover(shape: tuple[int, int], windows: list, overlap: int) -> None:
    """Every pixel lies in a window, and neighbours overlap by at least `overlap`."""
    covered = np.zeros(shape, bool)
    for window in windows:
        covered[window] = True
    assert covered.all()
    for axis in (0, 1):
        starts = sorted({(w[axis].start, w[axis].stop) for w in windows})
        for (_, stop), (start, _) in pairwise(starts):
            assert stop - start >= overlap
