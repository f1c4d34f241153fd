"""What the prior leaves unexplained: noise stays out, a planted error comes back."""

from __future__ import annotations

import numpy as np
import pytest

from emprior.denoisers.residual import explain
from emprior.noise import ClippedPoisson, Gaussian, Poisson

NOISES = [Gaussian(0.4), Poisson(1.0), Poisson(0.04), ClippedPoisson(1.0, 0.0, 1.0)]


def smooth(shape: tuple[int, int], period: float) -> np.ndarray:
    r, c = np.indices(shape)
    return 0.45 + 0.2 * np.sin(2 * np.pi * r / period) * np.cos(2 * np.pi * c / period)


@pytest.mark.parametrize("noise", NOISES, ids=str)
@pytest.mark.parametrize(("shape", "factor"), [((160, 200), 4), ((61, 47), 1)])
def test_of_noise_alone_next_to_nothing_is_kept(noise, shape, factor, rng):
    truth = smooth(shape, 40.0)
    kept = np.mean(
        [(explain(noise.sample(truth, rng), truth, noise, factor) - truth) ** 2 for _ in range(5)]
    )
    assert kept < 0.02 * float(noise.variance(np.array(0.45))) / factor**2


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_a_large_error_of_the_model_is_mended(noise, rng):
    truth, flat = smooth((256, 240), 48.0), np.full((256, 240), 0.45)
    mended = explain(noise.sample(truth, rng), flat, noise, 4)
    assert np.mean((mended - truth) ** 2) < 0.5 * np.mean((flat - truth) ** 2)


def test_without_noise_all_is_kept(rng):
    truth = smooth((64, 80), 30.0)
    mended = explain(truth, np.full_like(truth, 0.45), Gaussian(1e-6), 1)
    np.testing.assert_allclose(mended, truth, atol=1e-6)


def test_an_error_in_one_corner_is_mended_there_alone(rng):
    truth = np.full((512, 512), 0.45)
    truth[:200, :200] += smooth((200, 200), 20.0) - 0.45
    noise = Gaussian(0.1)
    mended = explain(noise.sample(truth, rng), np.full_like(truth, 0.45), noise, 4)
    np.testing.assert_allclose(mended[-100:, -100:], 0.45, atol=1e-3)
    assert np.mean((mended - truth)[:150, :150] ** 2) < 0.2 * np.var(truth[:150, :150])
