"""Held-out pixels: hidden from the denoiser, fair to both sides."""

import numpy as np
import pytest

from emprior import demo
from emprior.denoisers import make
from emprior.evidence import Advantage, hold_out
from emprior.metrics import psnr
from emprior.micrograph import Micrograph
from emprior.noise import Gaussian, Poisson


@pytest.fixture
def noisy(rng):
    return Micrograph(rng.standard_normal((41, 30)), pixel_size=0.1)


def test_one_pixel_of_each_block_is_hidden(noisy, rng):
    held_out = hold_out(noisy, rng)
    assert len(held_out.truth) == 10 * 7
    blocks = np.stack([held_out.rows // 4, held_out.columns // 4], 1)
    assert len(np.unique(blocks, axis=0)) == 70
    np.testing.assert_array_equal(held_out.truth, noisy.image[held_out.rows, held_out.columns])


def test_what_is_seen_is_the_frame_but_for_copies_of_neighbours(noisy, rng):
    held_out = hold_out(noisy, rng)
    seen = held_out.seen
    assert seen.pixel_size == noisy.pixel_size
    changed = np.argwhere(seen.image != noisy.image)
    hidden = np.stack([held_out.rows, held_out.columns], 1)
    assert {tuple(p) for p in changed} == {tuple(p) for p in hidden}
    for row, column in hidden:
        top, left = row // 4 * 4, column // 4 * 4
        assert seen.image[row, column] in noisy.image[top : top + 4, left : left + 4]


def test_every_place_of_a_block_is_hidden_alike(rng):
    frame = Micrograph(rng.standard_normal((400, 400)))
    held_out = hold_out(frame, rng)
    places = np.bincount(held_out.rows % 4 * 4 + held_out.columns % 4, minlength=16)
    assert abs(places - 625).max() < 5 * 25


def test_the_frame_given_is_left_alone(noisy, rng):
    before = noisy.image.copy()
    hold_out(noisy, rng)
    np.testing.assert_array_equal(noisy.image, before)


@pytest.mark.parametrize("noise", [Gaussian(0.3), Poisson(0.05)])
def test_the_truth_is_at_a_clear_advantage_over_a_wrong_level(clean, noise, rng):
    held_out = hold_out(Micrograph(noise.sample(clean, rng)), rng)
    advantage = Advantage.between(held_out, clean, clean + 0.2, noise)
    assert advantage.is_clear
    assert not Advantage.between(held_out, clean + 0.2, clean, noise).is_clear
    # E[log p(y|x) − log p(y|x + d)] is about d²/2v.
    expected = 0.02 / noise.variance(clean).mean()
    assert advantage.mean == pytest.approx(expected, abs=max(5 * advantage.error, 0.3 * expected))


def test_the_error_is_that_of_repeated_draws(clean, rng):
    noise, found = Gaussian(0.3), []
    for stream in rng.spawn(200):
        held_out = hold_out(Micrograph(noise.sample(clean, stream)), stream)
        found.append(Advantage.between(held_out, clean, clean + 0.1, noise))
    spread = np.std([advantage.mean for advantage in found])
    assert np.mean([advantage.error for advantage in found]) == pytest.approx(spread, rel=0.2)


def test_an_estimate_that_copies_the_noise_does_not_win(clean, rng):
    noise = Gaussian(0.3)
    held_out = hold_out(Micrograph(noise.sample(clean, rng)), rng)
    assert Advantage.between(held_out, clean, held_out.seen.image, noise).is_clear


def test_hiding_costs_the_fallback_little():
    """Else the prior, which needs few pixels, would win unfairly."""
    shown = demo.example()
    seen = hold_out(shown.noisy, np.random.default_rng(0)).seen
    pooled = make("pooled-wavelet")
    whole, part = (
        psnr(pooled(m, Poisson(), np.random.default_rng(0)).image, shown.truth, data_range=1.0)
        for m in (shown.noisy, seen)
    )
    assert 0 < whole - part < 0.6


def test_no_number_is_no_advantage(noisy, rng):
    held_out = hold_out(noisy, rng)
    nothing = np.full(noisy.shape, np.nan)
    assert not Advantage.between(held_out, nothing, noisy.image, Gaussian(1.0)).is_clear
    assert not Advantage(0.1, 0.06).is_clear
    assert Advantage(0.1, 0.04).is_clear
