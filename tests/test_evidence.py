"""Held-out data: hidden from the denoiser, fair to both sides."""

import numpy as np
import pytest

from emprior import demo
from emprior.denoisers import make
from emprior.evidence import Advantage, folds, hold_out
from emprior.metrics import psnr
from emprior.micrograph import Micrograph
from emprior.noise import ClippedPoisson, Gaussian, Poisson, PoissonGaussian
from emprior.randomness import stream as own_stream

ELSE = PoissonGaussian(0.1, 0.0, 0.2)  # neither counts nor plain Gaussian: pixels are hidden
NOISES = [Gaussian(0.3), Poisson(0.05), Poisson(20.0, 100.0)]


@pytest.fixture
def noisy(rng):
    return Micrograph(rng.standard_normal((41, 30)), pixel_size=0.1)


def test_one_pixel_of_each_block_is_hidden(noisy, rng):
    held_out = hold_out(noisy, ELSE, rng)
    assert len(held_out.test) == 13 * 10
    blocks = np.stack([held_out.rows // 3, held_out.columns // 3], 1)
    assert len(np.unique(blocks, axis=0)) == 130
    np.testing.assert_array_equal(held_out.test, noisy.image[held_out.rows, held_out.columns])


def test_what_is_seen_is_the_frame_but_for_copies_of_neighbours(noisy, rng):
    held_out = hold_out(noisy, ELSE, rng)
    seen = held_out.seen
    assert seen.pixel_size == noisy.pixel_size
    changed = np.argwhere(seen.image != noisy.image)
    hidden = np.stack([held_out.rows, held_out.columns], 1)
    assert {tuple(p) for p in changed} == {tuple(p) for p in hidden}
    for row, column in hidden:
        top, left = row // 3 * 3, column // 3 * 3
        assert seen.image[row, column] in noisy.image[top : top + 3, left : left + 3]


def test_every_place_of_a_block_is_hidden_alike(rng):
    frame = Micrograph(rng.standard_normal((360, 360)))
    held_out = hold_out(frame, ELSE, rng)
    places = np.bincount(held_out.rows % 3 * 3 + held_out.columns % 3, minlength=9)
    assert abs(places - 1600).max() < 5 * 40


@pytest.mark.parametrize("noise", NOISES)
def test_the_two_parts_are_independent_and_have_the_noise_they_say(noise, rng):
    clean = np.full((300, 401), noise.mean(np.array(140.0 if noise == NOISES[2] else 0.7)))
    held_out = hold_out(Micrograph(noise.sample(clean, rng)), noise, rng)
    seen, test = held_out.seen.image.ravel(), held_out.test
    error = 5 / seen.size**0.5
    assert abs(np.corrcoef(seen, test)[0, 1]) < error
    for part, model in ((seen, held_out.noise), (test, held_out.test_noise)):
        deviation = float(model.variance(clean[0, 0])) ** 0.5
        assert part.mean() == pytest.approx(clean[0, 0], abs=deviation * error)
        assert part.std() == pytest.approx(deviation, rel=error)
    information = [1 / m.variance(clean[0, 0]) for m in (held_out.noise, held_out.test_noise)]
    assert sum(information) == pytest.approx(1 / noise.variance(clean[0, 0]))
    assert information[0] == pytest.approx(3 * information[1])


def test_counts_that_are_not_whole_are_not_drawn_apart(clean, rng):
    noise = Poisson(0.05)
    smeared = Micrograph(noise.sample(clean, rng) + rng.normal(0, 0.02, clean.shape))
    assert "hidden" in hold_out(smeared, noise, rng).way
    assert "electrons" in hold_out(Micrograph(noise.sample(clean, rng)), noise, rng).way


def test_hits_are_drawn_apart_and_the_rest_is_as_probable_as_told(rng):
    noise, clean = ClippedPoisson(0.9, 0.1, 0.9), np.full((500, 601), 0.7)
    frame = Micrograph(noise.sample(clean, rng))
    held_out = hold_out(frame, noise, rng)
    seen, rows, columns = held_out.seen.image, held_out.rows, held_out.columns
    changed = seen != frame.image
    assert np.all(frame.image[changed] == 0.9)
    assert np.all(seen[changed] == 0.1)
    assert np.all(seen[rows, columns] == 0.1)
    assert len(rows) == (seen == 0.1).sum()
    np.testing.assert_array_equal(held_out.test, frame.image[rows, columns])
    for part, model in ((seen, held_out.noise), (held_out.test, held_out.test_noise)):
        at = clean[0, :1]
        error = 5 * (model.variance(at)[0] / part.size) ** 0.5
        assert part.mean() == pytest.approx(model.mean(at)[0], abs=error)


@pytest.mark.parametrize("noise", NOISES[:2])
def test_the_frame_given_is_left_alone(clean, noise, rng):
    noisy = Micrograph(noise.sample(clean, rng))
    before = noisy.image.copy()
    hold_out(noisy, noise, rng)
    np.testing.assert_array_equal(noisy.image, before)


@pytest.mark.parametrize("noise", [Gaussian(0.3), Poisson(0.05), ELSE])
def test_the_truth_is_at_a_clear_advantage_over_a_wrong_level(clean, noise, rng):
    held_out = hold_out(Micrograph(noise.sample(clean, rng)), noise, rng)
    advantage = Advantage.between(held_out, clean, clean + 0.2)
    assert advantage.mean > 2 * advantage.error
    other = Advantage.between(held_out, clean + 0.2, clean)
    assert (other.mean, other.error) == pytest.approx((-advantage.mean, advantage.error))
    # E[log p(y|x) − log p(y|x + d)] is about d²/2v.
    expected = 0.02 / held_out.test_noise.variance(clean).mean()
    assert advantage.mean == pytest.approx(expected, abs=max(5 * advantage.error, 0.3 * expected))


def test_the_error_is_that_of_repeated_draws(clean, rng):
    noise, found = Gaussian(0.3), []
    for stream in rng.spawn(200):
        held_out = hold_out(Micrograph(noise.sample(clean, stream)), noise, stream)
        found.append(Advantage.between(held_out, clean, clean + 0.1))
    spread = np.std([advantage.mean for advantage in found])
    assert np.mean([advantage.error for advantage in found]) == pytest.approx(spread, rel=0.2)


@pytest.mark.parametrize("noise", [Gaussian(0.3), Poisson(0.05), ClippedPoisson(), ELSE])
def test_an_estimate_that_copies_the_noise_does_not_win(clean, noise, rng):
    held_out = hold_out(Micrograph(noise.sample(clean, rng)), noise, rng)
    advantage = Advantage.between(held_out, clean, held_out.seen.image)
    assert advantage.mean > 2 * advantage.error


def test_hiding_costs_the_fallback_little():
    """Else the prior, which needs few pixels, would win unfairly."""
    shown = demo.example()
    pooled = make("pooled-wavelet")
    seen = hold_out(shown.noisy, ELSE, np.random.default_rng(0)).seen
    whole, part = (
        psnr(pooled(m, Poisson(), np.random.default_rng(0)).image, shown.truth, data_range=1.0)
        for m in (shown.noisy, seen)
    )
    assert 0 < whole - part < 1.0


def test_a_quarter_of_the_hits_less_costs_the_fallback_little():
    noise, shown, rng = ClippedPoisson(), demo.example(), np.random.default_rng(0)
    clipped = Micrograph(noise.sample(shown.truth.astype(np.float32), rng), 0.0489)
    held_out = hold_out(clipped, noise, rng)
    pooled = make("pooled-wavelet")
    whole, part = (
        psnr(pooled(m, model, rng).image, shown.truth, data_range=1.0)
        for m, model in ((clipped, noise), (held_out.seen, held_out.noise))
    )
    assert 0 < whole - part < 1.5


@pytest.mark.parametrize("noise", [*NOISES[:2], ClippedPoisson(0.9, 0.1, 1.0), ELSE])
def test_every_part_judges_once_and_all_together_know_more(noise, clean, rng):
    frame = Micrograph(noise.sample(clean, rng))
    parts = folds(frame, noise, rng)
    assert len(parts) == 4
    together = Advantage.over((part, clean, clean + 0.1) for part in parts)
    alone = [Advantage.between(part, clean, clean + 0.1) for part in parts]
    sizes = [len(part.test) for part in parts]
    assert together.mean == pytest.approx(np.average([a.mean for a in alone], weights=sizes))
    assert together.error == pytest.approx(np.mean([a.error for a in alone]) / 2, rel=0.1)


def test_the_electrons_of_all_parts_are_those_of_the_frame(clean, rng):
    noise = Poisson(0.05)
    frame = Micrograph(noise.sample(clean, rng))
    parts = folds(frame, noise, rng, parts=3)
    judged = [part.test.reshape(frame.shape) / part.test_noise.gain for part in parts]
    np.testing.assert_allclose(np.sum(judged, 0), frame.image / 0.05, atol=1e-3)


def test_no_pixel_is_hidden_twice(noisy, rng):
    places = [set(zip(p.rows, p.columns, strict=True)) for p in folds(noisy, ELSE, rng, parts=9)]
    assert len(set().union(*places)) == 9 * 130


@pytest.mark.parametrize("share", [0.0, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("noise", [Gaussian(0.05), Poisson(0.01), ClippedPoisson(), ELSE])
def test_the_share_that_unseen_data_confirm_is_where_the_truth_lies(noise, share, clean, rng):
    """And of what stands at right angles to the difference it knows nothing."""
    one, other = clean, clean + 0.2 * np.sin(np.arange(clean.shape[1]))
    truth = other + share * (one - other) + 0.02 * (-1.0) ** np.arange(clean.shape[0])[:, None]
    found = []
    for stream in rng.spawn(20):
        frame = Micrograph(noise.sample(truth, stream))
        found.append(Advantage.between(hold_out(frame, noise, stream), one, other))
    error = np.mean([advantage.share_error for advantage in found])
    shares = [advantage.share for advantage in found]
    assert np.mean(shares) == pytest.approx(share, abs=4 * error / 20**0.5 + 0.02)
    assert np.std(shares) == pytest.approx(error, rel=0.7)


def test_two_equal_estimates_have_no_difference_to_confirm(noisy, rng):
    advantage = Advantage.between(hold_out(noisy, Gaussian(1.0), rng), noisy.image, noisy.image)
    assert advantage.share == 0.5
    assert advantage.share_error == np.inf


def test_no_number_is_no_share(noisy, rng):
    held_out = hold_out(noisy, Gaussian(1.0), rng)
    nothing = np.full(noisy.shape, np.nan)
    assert not Advantage.between(held_out, nothing, noisy.image).share > 0


def test_a_frame_is_not_divided_by_its_own_noise():
    """As it would be, were its noise drawn by the seed that it is denoised with."""
    own, theirs = own_stream(0).normal(0, 1, 10_000), np.random.default_rng(0).normal(0, 1, 10_000)
    assert abs(np.corrcoef(own, theirs)[0, 1]) < 0.05
    np.testing.assert_array_equal(own, own_stream(0).normal(0, 1, 10_000))
    assert not np.array_equal(own_stream((0, 1)).normal(size=9), own_stream((0, 2)).normal(size=9))
