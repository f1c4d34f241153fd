"""Measures of sets against closed forms, and what each of them must catch."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from emprior.diversity import (
    birthday,
    embed,
    frechet_distance,
    inception_distance,
    log_likelihood,
    manifolds,
    measure,
    nearest_distance,
    pair_similarity,
    repeated,
)
from emprior.diversity.inception import InceptionNet, load_inception
from emprior.errors import ImageError, WeightsError

SHAPE = (20, 24)


def gaussian(rng, n, dimension=2, mean=0.0, sd=1.0):
    return mean + sd * rng.standard_normal((n, dimension))


def modes(rng, n, which=(0, 1, 2, 3)):
    """Vectors about four centres far from each other."""
    centres = 30.0 * np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    return centres[rng.choice(which, n)] + rng.standard_normal((n, 2))


# --- Fréchet -------------------------------------------------------------------------------------


def whitened(rng, n, dimension):
    """Vectors of mean exactly 0 and covariance exactly 1."""
    values = gaussian(rng, n, dimension)
    values -= values.mean(0)
    return values @ np.linalg.inv(np.linalg.cholesky(np.cov(values.T))).T


def test_frechet_is_the_closed_form_of_two_gaussians(rng):
    sd, shift = np.array([0.5, 2.0, 1.0]), np.array([1.0, -2.0, 0.5])
    found = frechet_distance(sd * whitened(rng, 60, 3) + shift, whitened(rng, 90, 3))
    assert found == pytest.approx(np.sum(shift**2) + np.sum((sd - 1) ** 2), rel=1e-6)


def test_frechet_of_rotated_covariances(rng):
    """Commuting ones have a closed form in any basis."""
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    y = whitened(rng, 60, 3) * np.array([3.0, 1.0, 0.2]) @ turn.T
    assert frechet_distance(y, whitened(rng, 60, 3) @ turn.T) == pytest.approx(4.64, rel=1e-6)


def test_too_few_images_for_a_covariance_are_refused(rng):
    with pytest.raises(ImageError, match="39 images for 4 features"):
        frechet_distance(gaussian(rng, 39, 4), gaussian(rng, 80, 4))


def test_inception_says_why_it_was_not_measured(monkeypatch, tmp_path):
    monkeypatch.delenv("EMPRIOR_INCEPTION", raising=False)
    images = np.zeros((20, 1, *SHAPE), np.float32)
    assert "no weights" in inception_distance(images, images, images).note
    monkeypatch.setenv("EMPRIOR_INCEPTION", str(tmp_path / "absent.pth"))
    found = inception_distance(images, images, images)
    assert found.distance is found.floor is found.dimension is None
    assert "absent.pth" in found.note


def inception_weights(path, dimension):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        save_file(InceptionNet(dimension).state_dict(), path)
    return path


def test_inception_is_measured_where_its_weights_are(monkeypatch, tmp_path, rng):
    path = inception_weights(tmp_path / "inception.safetensors", 192)
    few = rng.random((20, 1, 12, 14), np.float32)
    assert "too few" in inception_distance(few, few, few, path).note
    pairs = few.repeat(2, axis=1)
    assert "2 channels" in inception_distance(pairs, pairs, pairs, path).note
    monkeypatch.setattr("emprior.diversity.inception._SIDE", 35)  # the size is not what is tested
    images = [rng.random((640, channels, 12, 14), np.float32) for channels in (1, 1, 1)]
    monkeypatch.setenv("EMPRIOR_INCEPTION", str(path))
    found = inception_distance(0.5 * images[0], images[1], images[2])
    assert found.dimension == 64
    assert found.distance > 3 * found.floor > 0
    coloured = [image.repeat(3, axis=1) for image in (0.5 * images[0], *images[1:])]
    assert inception_distance(*coloured) == found


def test_inception_takes_its_own_weights_alone(tmp_path):
    network = load_inception(inception_weights(tmp_path / "all", 2048), 2048)
    assert sum(p.numel() for p in network.parameters()) == 21_785_568  # without its classes
    assert network(torch.rand(1, 3, 40, 50)).shape == (1, 2048)
    save_file({"a": torch.zeros(1)}, tmp_path / "other")
    (tmp_path / "pickle").write_bytes(b"PK")
    for name in ("other", "pickle"):
        with pytest.raises(WeightsError, match="safetensors"):
            load_inception(tmp_path / name, 64)


# --- neighbours ----------------------------------------------------------------------------------


def test_density_and_coverage_of_like_sets_are_the_expected_ones(rng):
    """Naeem et al.: density 1, coverage 1 − 2⁻⁵ for many images."""
    found = manifolds(gaussian(rng, 1000, 3), gaussian(rng, 1000, 3))
    assert found.density == pytest.approx(1, abs=0.05)
    assert found.coverage == pytest.approx(1 - 2**-5, abs=0.02)


def test_they_are_their_definitions(rng):
    y, x = gaussian(rng, 9, 2), gaussian(rng, 8, 2)

    def radius(of, i):
        return sorted(math.dist(of[i], other) for other in of)[5]

    inside = [[math.dist(a, b) < radius(x, i) for b in y] for i, a in enumerate(x)]
    reached = [[math.dist(a, b) < radius(y, j) for j, b in enumerate(y)] for a in x]
    found = manifolds(y, x)
    assert found.density == pytest.approx(np.sum(inside) / (5 * 9))
    assert found.coverage == pytest.approx(np.mean(np.any(inside, axis=1)))
    assert found.precision == pytest.approx(np.mean(np.any(inside, axis=0)))
    assert found.recall == pytest.approx(np.mean(np.any(reached, axis=1)))


def test_a_missing_mode_lowers_coverage_and_not_density(rng):
    real, all_of_them = modes(rng, 400), modes(rng, 400)
    fewer = manifolds(modes(rng, 400, (0, 1, 2)), real)
    whole = manifolds(all_of_them, real)
    assert fewer.coverage < 0.8 * whole.coverage
    assert fewer.density > 0.9 * whole.density
    assert fewer.recall < 0.8 * whole.recall


def test_samples_off_the_data_lower_density_and_precision(rng):
    real = gaussian(rng, 200)
    found = manifolds(gaussian(rng, 200, mean=20), real)
    assert found.density == found.precision == found.coverage == 0


def test_distances_to_the_nearest_are_those_of_a_grid():
    grid = np.stack(np.meshgrid(np.arange(5.0), np.arange(4.0)), -1).reshape(-1, 2)
    within = nearest_distance(grid)
    assert (within.low, within.median, within.high) == (1, 1, 1)
    moved = nearest_distance(grid + np.array([0.3, 0.4]), grid)
    assert moved.median == pytest.approx(0.5)
    assert nearest_distance(grid.reshape(-1, 1, 2), grid).high == 0


def test_repeated_samples_are_counted(rng):
    """Of 20 among 200, each drawn twice, 40 of 220 have a twin."""
    real, some = gaussian(rng, 400), 10.0 * np.arange(200)[:, None] * np.array([[1.0, 0.5]])
    twice = np.concatenate([some, some[:20] + 1e-6])
    assert repeated(some, real) == 0
    assert repeated(twice, real) == pytest.approx(40 / 220)
    assert repeated(np.resize(some[:1], some.shape), real) == 1


def test_real_images_are_repeated_as_rarely_as_said(rng):
    shares = [repeated(gaussian(rng, 400), gaussian(rng, 400)) for _ in range(20)]
    assert 0.005 < np.mean(shares) < 0.03


# --- birthday ------------------------------------------------------------------------------------


@pytest.mark.parametrize("support", [30, 100])
def test_the_birthday_test_counts_a_uniform_support(support, rng):
    """23 people share a birthday among 365: s is 1.2 √support, and so s² is 1.4 supports."""
    points = 100.0 * np.arange(support)[:, None] * np.array([[1.0, 0.5]])
    samples = points[rng.integers(support, size=400)] + 1e-6 * gaussian(rng, 400)
    found = birthday(samples, gaussian(rng, 200), rng)
    assert found.support == pytest.approx(2 * math.log(2) * support, rel=0.4)


def test_different_samples_have_no_birthday(rng):
    grid = 10.0 * np.stack(np.meshgrid(np.arange(9), np.arange(8)), -1).reshape(-1, 2)
    found = birthday(grid, gaussian(rng, 100), rng)
    assert (found.pairs, found.batch, found.support) == (0, None, None)
    twice = birthday(np.concatenate([grid, grid[:1]]), gaussian(rng, 100), rng)
    assert twice.pairs == 1
    assert twice.batch == pytest.approx(73 / math.sqrt(2), abs=8)


# --- likelihood ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("dimension", "sd"), [(1, 1.0), (2, 0.3)])
def test_a_kernel_density_of_a_gaussian_has_its_entropy(dimension, sd, rng):
    found = log_likelihood(
        gaussian(rng, 3000, dimension, sd=sd), gaussian(rng, 1500, dimension, sd=sd), rng
    )
    entropy = dimension * (math.log(sd) + (1 + math.log(2 * math.pi)) / 2)
    assert found == pytest.approx(-entropy, abs=0.08)


def test_one_kernel_is_a_gaussian_of_the_best_width(rng):
    x = gaussian(rng, 3000, 2, sd=0.7)
    expected = -2 * (math.log(0.7) + (1 + math.log(2 * math.pi)) / 2)
    assert log_likelihood(np.zeros((1, 2)), x, rng) == pytest.approx(expected, abs=0.05)


def test_a_missing_mode_is_less_likely(rng):
    real, whole, fewer = modes(rng, 300), modes(rng, 300), modes(rng, 300, (0, 1, 2))
    assert log_likelihood(fewer, real, rng) < log_likelihood(whole, real, rng) - 1


def test_copies_have_no_best_kernel(rng):
    x = gaussian(rng, 30)
    with pytest.raises(ImageError, match="infinitely narrow"):
        log_likelihood(x, x, rng)


# --- pairs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(3, 11, 14), (1, 22, 30), (1, 48, 44), (1, 99, 120), (1, 177, 176)]
)
def test_pairs_of_every_size_are_compared(shape, rng):
    like = np.repeat(rng.random((1, *shape)), 4, axis=0)
    assert pair_similarity(like, rng, pairs=4).low == pytest.approx(1, abs=1e-4)
    assert pair_similarity(rng.random((4, *shape)), rng, pairs=4).high < 0.5


# --- all of them ---------------------------------------------------------------------------------


def waves(numbers):
    """Images of two waves of these amplitudes, (n, 1, H, W)."""
    y, x = np.meshgrid(*(np.arange(n) / n for n in SHAPE), indexing="ij")
    pattern = np.stack([np.cos(2 * np.pi * 3 * x), np.cos(2 * np.pi * 2 * y)])
    return (0.45 + 0.05 * np.tensordot(numbers, pattern, 1))[:, None].astype(np.float32)


class Amplitudes(nn.Module):
    """Reads the two amplitudes."""

    num_features = 2

    def forward(self, images):
        y, x = np.meshgrid(*(np.arange(n) / n for n in SHAPE), indexing="ij")
        pattern = torch.from_numpy(np.stack([np.cos(6 * np.pi * x), np.cos(4 * np.pi * y)])).float()
        return torch.einsum("nchw,dhw->nd", images - 0.45, pattern) / (0.025 * math.prod(SHAPE))


def judged(samples, rng, n=160):
    return measure(
        waves(samples),
        waves(gaussian(rng, n)),
        Amplitudes(),
        np.random.default_rng(1),
        held_out=waves(gaussian(rng, n)),
    )


def test_a_perfect_generator_scores_as_real_images_do(rng):
    found = judged(gaussian(rng, 160), rng)
    assert (found.images, found.dimension) == (160, 2)
    samples, real = found.samples, found.held_out
    assert samples.frechet == pytest.approx(real.frechet, abs=0.1)
    assert samples.manifolds.coverage == pytest.approx(real.manifolds.coverage, abs=0.06)
    assert samples.log_likelihood == pytest.approx(real.log_likelihood, abs=0.2)
    assert samples.to_real.median == pytest.approx(real.to_real.median, rel=0.4)
    assert samples.pair_similarity.median == pytest.approx(real.pair_similarity.median, abs=0.1)


def test_a_collapsed_set_is_caught_by_every_measure_of_diversity(rng):
    found = judged(np.array([0.3, -0.2]) + 1e-3 * gaussian(rng, 160), rng)
    samples, real = found.samples, found.held_out
    assert samples.manifolds.coverage < 0.1
    assert samples.manifolds.recall < 0.1
    assert samples.manifolds.precision > 0.9  # each of them is a good image
    assert samples.birthday.batch == 2
    assert samples.repeated > 0.9 > 0.1 > real.repeated
    assert real.birthday.support is None or real.birthday.support > 50
    assert samples.pair_similarity.low > 0.99 > real.pair_similarity.median
    assert samples.among_themselves.median < 0.05 * real.among_themselves.median
    assert samples.frechet > 100 * real.frechet


def test_a_shifted_set_is_farther(rng):
    near, far = (judged(gaussian(rng, 160, mean=mean), rng) for mean in (0.0, 3.0))
    assert far.samples.frechet == pytest.approx(18, rel=0.3)
    assert far.samples.frechet > 10 * near.samples.frechet
    assert far.samples.to_real.median > 3 * near.samples.to_real.median
    assert far.samples.log_likelihood < near.samples.log_likelihood


def test_without_held_out_images_the_real_ones_are_halved(rng):
    samples, real = waves(gaussian(rng, 60))[:, 0], waves(gaussian(rng, 90))[:, 0]
    found, again = (measure(samples, real, Amplitudes(), np.random.default_rng(3)) for _ in "ab")
    assert found.images == 45
    assert found == again
    values = found.to_dict()
    assert values["samples"]["manifolds"]["coverage"] == found.samples.manifolds.coverage
    assert values["inception"]["distance"] is None
    with pytest.raises(ImageError, match="15 images for 2 features"):
        measure(samples, real[:30], Amplitudes(), rng)


def test_features_do_not_depend_on_the_batch(rng):
    images = waves(gaussian(rng, 300))
    whole = embed(Amplitudes(), images)
    np.testing.assert_allclose(whole[7:9], embed(Amplitudes(), images[7:9]), atol=1e-5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x, rng: manifolds(x[:5], x), "(5, 2)"),
        (lambda x, rng: manifolds(x, x[:, :1]), "of 1 and of 2"),
        (lambda x, rng: nearest_distance(x * np.nan, x), "NaN"),
        (lambda x, rng: birthday(x[:1], x, rng), "(1, 2)"),
        (lambda x, rng: repeated(x, x[:, :1]), "of 2 and of 1"),
        (lambda x, rng: log_likelihood(x, x[:2], rng), "(2, 2)"),
        (lambda x, rng: frechet_distance(x, x[:, :1]), "of 2 and of 1"),
        (lambda x, rng: pair_similarity(waves(x)[..., :10], rng), "11 × 11"),
        (lambda x, rng: embed(Amplitudes(), x), "(40, 2)"),
        (
            lambda x, rng: measure(waves(x), waves(x)[..., 1:], Amplitudes(), rng),
            "images of one shape",
        ),
    ],
)
def test_bad_input_is_explained(call, words, rng):
    with pytest.raises(ImageError) as caught:
        call(gaussian(rng, 40), rng)
    assert words in str(caught.value)
