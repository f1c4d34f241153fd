import dataclasses

import laws
import numpy as np
import pytest
from scipy import stats
from strategies import JUDGES, NOISE_CASES, scaled

from emprior.errors import OptionError
from emprior.grid import pool
from emprior.noise import NOISES, ClippedPoisson, Gaussian, NoiseModel, Poisson, PoissonGaussian

CLEAN = (0.12, 0.45, 1.0, 2.3)

ALL = NOISE_CASES | JUDGES
cases = pytest.mark.parametrize("noise", ALL.values(), ids=ALL)
levels = pytest.mark.parametrize("clean", CLEAN)


def test_every_registered_noise_has_a_case():
    assert {type(noise) for noise in ALL.values()} == set(NOISES.values())


@cases
@levels
@pytest.mark.parametrize(
    "law",
    [
        laws.log_prob_is_normalised,
        laws.moments_follow_from_log_prob,
        laws.score_has_mean_zero_and_variance_fisher,
        laws.score_is_the_derivative,
    ],
)
def test_law(noise, clean, law):
    law(noise, clean)


@cases
@levels
def test_samples_follow_the_model(noise, clean, rng):
    laws.samples_agree(noise, clean, rng)


@cases
def test_sample_keeps_shape_and_type(noise, rng):
    laws.sample_keeps_shape_and_type(noise, rng)


@cases
def test_torch_agrees_with_numpy(noise, rng):
    laws.torch_agrees(noise, rng)


@cases
def test_defined_in_vacuum_and_below(noise):
    laws.defined_in_vacuum_and_below(noise)


@cases
@pytest.mark.parametrize("factor", [2, 3])
def test_pooled_model_describes_pooled_samples(noise, factor, rng):
    pooled = noise.averaged(factor**2)
    if pooled is None:
        assert isinstance(noise, ClippedPoisson)
        return
    fine = np.full((300 * factor, 300 * factor), 0.7)
    means = pool(noise.sample(fine, rng), factor).ravel()
    expected = pooled.mean(np.array([0.7]))[0]
    assert abs(means.mean() - expected) < 5 * means.std() / np.sqrt(means.size)
    np.testing.assert_allclose(means.var(), pooled.variance(np.array([0.7]))[0], rtol=0.03)
    # The distribution, not only its moments: deviance per pixel equals that of the model's draws.
    at = np.full_like(means, 0.7)
    ours, model = pooled.log_prob(means, at), pooled.log_prob(pooled.sample(at, rng), at)
    error = np.sqrt((ours.var() + model.var()) / means.size)
    assert abs(ours.mean() - model.mean()) < 5 * error


@cases
def test_dict_round_trip(noise):
    values = noise.to_dict()
    assert NOISES[values["type"]] is type(noise)
    assert NoiseModel.from_dict(values) == noise
    assert NoiseModel.from_dict(values) is not noise


@cases
def test_noise_scales_with_the_data(noise):
    """log p(a·y + b) is log p(y), less log a for a density."""
    y = noise.sample(np.full(20, 0.6), np.random.default_rng(1))
    x = np.full(20, 0.6)
    other = scaled(noise, 3.0, -0.4)
    density = isinstance(noise, (Gaussian, PoissonGaussian))
    np.testing.assert_allclose(
        other.log_prob(3 * y - 0.4, 3 * x - 0.4) + density * np.log(3),
        noise.log_prob(y, x),
        atol=1e-9,
    )


def test_poisson_is_scipys():
    counts, x = np.arange(12.0), np.full(12, 0.45)
    np.testing.assert_allclose(
        Poisson(1 / 25).log_prob(counts / 25, x), stats.poisson.logpmf(counts, 25 * 0.45)
    )


def test_clipped_poisson_of_one_count_is_bernoulli():
    x = np.linspace(0.05, 3, 30)
    noise, p = ClippedPoisson(1.0, 0.0, 1.0), 1 - np.exp(-x)
    np.testing.assert_allclose(noise.mean(x), p)
    np.testing.assert_allclose(noise.variance(x), p * (1 - p))
    np.testing.assert_allclose(noise.log_prob(np.ones_like(x), x), np.log(p))
    np.testing.assert_allclose(noise.log_prob(np.zeros_like(x), x), np.log(1 - p))
    np.testing.assert_allclose(noise.fisher(x), 1 / np.expm1(x))


def test_clipping_loses_information_and_far_clipping_none():
    x = np.linspace(0.1, 2, 20)
    plain = Poisson(0.1).fisher(x)
    assert (ClippedPoisson(0.1, 0.0, 1.0).fisher(x) < plain).all()
    np.testing.assert_allclose(ClippedPoisson(0.1, 0.0, 50.0).fisher(x), plain, rtol=1e-9)


def test_saturated_pixel_of_a_dark_model_still_pulls_it_up():
    """The tail P(N ≥ 400) underflows at a rate of one; its logarithm and slope do not."""
    noise, x = ClippedPoisson(1.0, 0.0, 400.0), np.array([0.5, 1.0, 5.0])
    y = np.full(3, 400.0)
    np.testing.assert_allclose(noise.log_prob(y, x), stats.poisson.logpmf(400, x), rtol=1e-4)
    np.testing.assert_allclose(noise.score(y, x), 400 / x, rtol=0.02)


def test_readout_noise_approaches_its_limits():
    x, y = np.full(5, 0.6), np.linspace(0.2, 1, 5)
    np.testing.assert_allclose(
        PoissonGaussian(1e-9, 0.0, 0.2).log_prob(y, x), Gaussian(0.2).log_prob(y, x), rtol=1e-6
    )
    noise = PoissonGaussian(0.1, 0.0, 1e-6)
    np.testing.assert_allclose(noise.variance(x), Poisson(0.1).variance(x), rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Gaussian(0.0), ["sigma = 0", "positive finite sigma"]),
        (lambda: Gaussian(float("nan")), ["sigma = nan"]),
        (lambda: Poisson(-1.0), ["gain = -1"]),
        (lambda: PoissonGaussian(1.0, 0.0, -2.0), ["sigma = -2"]),
        (lambda: ClippedPoisson(1.0, 0.0, 0.2), ["clipping at 0.2", "offset + gain / 2"]),
        (lambda: Poisson(1.0, float("nan")), ["offset = nan"]),
        (lambda: PoissonGaussian(1.0, float("inf"), 1.0), ["offset = inf"]),
        (lambda: ClippedPoisson(1.0, 0.0, float("inf")), ["maximum = inf"]),
        (lambda: Gaussian("0.1"), ["sigma = '0.1'"]),
        (
            lambda: NoiseModel.from_dict({"type": "gausian", "sigma": 1.0}),
            ["'gausian'", "gaussian"],
        ),
        (lambda: NoiseModel.from_dict({"sigma": 1.0}), ["None"]),
        (
            lambda: NoiseModel.from_dict({"type": "gaussian", "sigma": 1.0, "mu": 0}),
            ["gaussian noise with mu", "only sigma"],
        ),
        (lambda: NoiseModel.from_dict({"type": "gaussian"}), ["without sigma"]),
    ],
)
def test_bad_parameters_are_explained(make, words):
    with pytest.raises(OptionError) as caught:
        make()
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        (Gaussian(0.1), "Gaussian, sigma 0.1"),
        (Poisson(21.585142, 13631.345), "Poisson, gain 21.59, offset 13631"),
        (Poisson(0.04), "Poisson, gain 0.04"),
        (ClippedPoisson(1.0, 0.0, 1.0), "Clipped-Poisson, gain 1, maximum 1"),
        (
            PoissonGaussian(7135.95, 2958245.1, 1783.0),
            "Poisson-Gaussian, gain 7136, offset 2958245, sigma 1783",
        ),
        (Poisson(1e-12, -3e9), "Poisson, gain 1e-12, offset -3e+09"),
    ],
)
def test_models_speak_in_words(noise, words):
    assert str(noise) == words


@cases
def test_models_are_values(noise):
    assert dataclasses.replace(noise) == noise
    with pytest.raises(dataclasses.FrozenInstanceError):
        noise.sigma = 3
