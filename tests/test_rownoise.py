"""Row noise of scans: found where it is, never in structure along the rows, and taken off."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from strategies import NOISE_CASES, lattice

from emprior import denoise
from emprior.identify import identify
from emprior.noise import Gaussian, Poisson, PoissonGaussian
from emprior.rownoise import find_row_noise

CLEAN = lattice((192, 160), 0.1)
SHAPE = 200, 130


def scanned(noise, sigma, rng, clean=CLEAN):
    """Return a frame with row noise, and the offsets of its rows."""
    offsets = sigma * rng.standard_normal(len(clean))
    return noise.sample(clean, rng) + offsets[:, None], offsets


def planes(distance, sharp):
    """Return crystal planes along the rows, of some distance in pixels."""
    y = np.arange(SHAPE[0])[:, None] + np.zeros(SHAPE[1])
    return np.exp(sharp * (np.cos(2 * np.pi * y / distance) - 1))


@pytest.mark.parametrize("noise", [Gaussian(0.1), Gaussian(1.0), Poisson(0.1)])
def test_row_noise_is_found_and_its_strength(noise, rng):
    pixel = float(np.sqrt(noise.variance(CLEAN).mean()))
    for sigma in (0.4 * pixel, pixel):
        frame, offsets = scanned(noise, sigma, rng)
        found = find_row_noise(frame, noise)
        assert found is not None
        assert found.sigma == pytest.approx(sigma, rel=0.35)
        left = (offsets - found.offsets).std()
        assert left < 0.6 * sigma
        assert found.left == pytest.approx(left, rel=0.35)
        np.testing.assert_allclose(found.removed(frame), frame - found.offsets[:, None])


@pytest.mark.parametrize("noise", NOISE_CASES.values(), ids=NOISE_CASES)
def test_frames_without_it_have_none(noise, rng):
    """At a rate of 0.001 two of 15 come once in 10,000 runs."""
    found = [find_row_noise(noise.sample(CLEAN, rng), noise) for _ in range(15)]
    assert sum(one is not None for one in found) <= 1


def test_noise_correlated_along_the_rows_is_none(rng):
    for _ in range(20):
        noise = gaussian_filter(rng.standard_normal(SHAPE), (0, 2)) * 2.7
        assert find_row_noise(0.45 + noise, Gaussian(1.0)) is None


@pytest.mark.parametrize("distance", [5.3, 16, 23.7])
@pytest.mark.parametrize("noise", [None, Gaussian(0.001), Gaussian(0.1), Poisson(0.1)])
def test_planes_along_the_scan_are_structure(distance, noise, rng):
    columns = planes(distance, 2) * planes(distance * 1.1, 2)[:130, :1].T
    beside = np.arange(SHAPE[0])[:, None] > 70
    for shape in (planes(distance, 2), planes(distance, 8), columns):
        for image in (shape, shape * beside, 0.5 - 0.4 * beside + 0 * shape):
            clean = 0.45 + 0.5 * gaussian_filter(image, 1.5)
            frame = clean.astype(np.float32) if noise is None else noise.sample(clean, rng)
            assert find_row_noise(frame, identify(frame).noise) is None


def test_planes_keep_their_contrast_when_row_noise_is_taken_off(rng):
    clean = 0.45 + 0.3 * gaussian_filter(planes(16, 2), 1.5)
    frame, _ = scanned(Gaussian(0.1), 0.1, rng, clean)
    found = find_row_noise(frame, Gaussian(0.1))
    after = found.removed(frame).mean(1)
    truth = clean.mean(1)
    assert np.polyfit(truth, after, 1)[0] == pytest.approx(1, abs=0.05)
    assert (after - truth).std() < 0.6 * (frame.mean(1) - truth).std()


def test_what_is_left_has_the_noise_that_is_said(rng):
    frame, _ = scanned(Poisson(0.05), 0.1, rng)
    found = find_row_noise(frame, Poisson(0.05))
    noise = found.remaining(Poisson(0.05))
    assert isinstance(noise, PoissonGaussian)
    residual = (found.removed(frame) - CLEAN) / np.sqrt(noise.variance(CLEAN))
    assert residual.mean() == pytest.approx(0, abs=0.1)
    assert residual.var() == pytest.approx(1, abs=0.05)


def test_small_frames_are_not_judged(rng):
    assert find_row_noise(rng.random((40, 300)), Gaussian(0.3)) is None


def test_denoising_takes_it_off_and_says_so(rng):
    frame, _ = scanned(Gaussian(0.1), 0.15, rng)
    done = denoise(frame, method="pooled-wavelet")
    assert any("row noise of a scan" in line for line in done.evidence)
    left = denoise(frame, method="pooled-wavelet", faults=False)
    assert not any("row noise" in line for line in left.evidence)
    error, before = (np.mean((one.image - CLEAN) ** 2) for one in (done, left))
    assert error < 0.5 * before
