"""The working law of a prior, against least squares of known size."""

import math

import numpy as np
import pytest

from emprior import law


@pytest.mark.parametrize("p", [10, 40, 150])
def test_least_squares_of_p_numbers_obeys_the_law(p, rng):
    pixels, variance = 600, 0.3
    basis = np.linalg.qr(rng.standard_normal((pixels, p)))[0]
    beyond = 0.01 * rng.standard_normal(pixels)
    beyond -= basis @ (basis.T @ beyond)  # what no choice of the numbers can show
    truth = basis @ rng.standard_normal(p) + beyond
    errors = []
    for _ in range(1000):
        noisy = truth + variance**0.5 * rng.standard_normal(pixels)
        errors.append(np.mean((basis @ (basis.T @ noisy) - truth) ** 2))
    psnr, limit = (-10 * math.log10(np.mean(e)) for e in (errors, beyond**2))
    assert law.psnr(limit, p, variance, pixels) == pytest.approx(psnr, abs=0.2)
    assert law.parameters(psnr, limit, variance, pixels) == pytest.approx(p, rel=0.05)


def test_each_way_undoes_the_other():
    psnr = law.psnr(45.0, 50.0, 0.44, 512**2)
    assert law.parameters(psnr, 45.0, 0.44, 512**2) == pytest.approx(50.0)


def test_without_noise_the_range_is_left():
    assert law.psnr(47.0, 50.0, 0.0, 512**2) == pytest.approx(47.0)
    assert law.psnr(math.inf, 50.0, 0.0, 512**2) == math.inf


def test_noise_that_did_good_has_negative_parameters():
    assert law.parameters(36.0, 33.0, 0.02, 512**2) < 0


def test_the_law_splits_an_error():
    psnr = law.psnr(30.0, 50.0, 0.1, 5000)  # 1e-3 of its own, as much of noise
    assert law.own_share(30.0, psnr) == pytest.approx(0.5)
    assert law.own_share(30.0, 30.0) == 1.0
    assert law.own_share(30.0, 31.0) == 1.0
