"""Checks of denoised images: the true image passes, what is not in the data is marked."""

import numpy as np
import pytest
from scipy import ndimage, stats
from strategies import lattice

import emprior
from emprior.errors import ImageError, OptionError
from emprior.micrograph import Micrograph
from emprior.noise import ClippedPoisson, Gaussian, Poisson, PoissonGaussian
from emprior.trust.local import Scale, scales
from emprior.trust.residual import Residual, normalise

SHAPE = (72, 88)
NOISES = {
    "Gaussian": Gaussian(0.3),
    "Poisson(1)": Poisson(1.0),
    "Poisson(25)": Poisson(0.04),
    "clipped at one count": ClippedPoisson(1.0, 0.0, 1.0),
    "clipped at ten counts": ClippedPoisson(0.1, 0.0, 1.0),
    "counts and readout": PoissonGaussian(0.1, 0.0, 0.1),
}
noises = pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)


@pytest.fixture
def truth():
    return lattice(SHAPE, 0.1)


def kinds(found):
    return {region.kind for region in found.regions}


# ------------------------------------------------------------------------------ true images pass


@noises
def test_the_true_image_is_called_unsupported_as_often_as_stated(noise, truth, rng):
    draws = 120
    found = [emprior.check(noise.sample(truth, rng), truth, noise=noise) for _ in range(draws)]
    smallest = np.array([min(finding.p for finding in one.findings) for one in found])
    assert [one.supported for one in found] == list(smallest >= 0.05)
    for rate in (0.05, 0.2):
        alarms = np.count_nonzero(smallest < rate)
        # At most the stated rate; and no more careful than a third of it, which would cost power.
        assert alarms <= stats.binom.isf(1e-3, draws, rate)
        assert alarms >= stats.binom.ppf(1e-3, draws, rate / 3)


@pytest.mark.parametrize("name", ["Gaussian", "Poisson(1)", "clipped at one count"])
def test_noise_read_from_the_frame_raises_no_more_alarms(name, truth, rng):
    alarms = sum(
        not emprior.check(NOISES[name].sample(truth, rng), truth).supported for _ in range(40)
    )
    assert alarms <= stats.binom.isf(1e-3, 40, 0.05)


def test_p_values_of_single_tests_are_no_smaller_than_uniform(truth, rng):
    found = [emprior.check(rng.poisson(truth) * 1.0, truth, noise="poisson:1") for _ in range(200)]
    for place, finding in enumerate(found[0].findings):
        low = sum(one.findings[place].p < 0.3 for one in found)
        assert low <= stats.binom.isf(1e-3, 120, 0.3), finding.name


# ------------------------------------------------------------------- what is not in the data fails


@noises
def test_the_noisy_image_itself_a_constant_and_a_smear_are_not_supported(noise, truth, rng):
    # Strong enough for one electron a pixel to show the difference: an ideal observer has d' = 12.
    truth = 0.45 + 3 * (truth - 0.45)
    noisy = noise.sample(truth, rng)
    smear = ndimage.gaussian_filter(truth, 8)
    for wrong in (noisy, np.full(SHAPE, truth.mean()), smear):
        assert not emprior.check(noisy, wrong, noise=noise).supported


@pytest.mark.parametrize("name", ["Gaussian", "Poisson(1)", "Poisson(25)", "counts and readout"])
def test_an_estimate_that_follows_the_noise_is_not_supported(name, truth, rng):
    noise = NOISES[name]
    noisy = noise.sample(truth, rng)
    found = emprior.check(noisy, ndimage.gaussian_filter(noisy, 1.0), noise=noise)
    assert not found.supported


def test_half_an_image_that_follows_the_noise_is_marked_there(truth, rng):
    noisy = rng.poisson(10 * truth) / 10
    wrong = truth.copy()
    wrong[:, :44] = noisy[:, :44]
    found = emprior.check(noisy, wrong, noise="poisson:0.1")
    followed = [r for r in found.regions if r.kind == "follows the noise"]
    assert followed
    assert all(region.column < 44 for region in followed)


@pytest.mark.parametrize(("amount", "kind"), [(0.25, "too bright"), (-0.25, "too dark")])
def test_a_blob_that_is_not_there_is_marked_where_it_is(amount, kind, truth, rng):
    y, x = np.indices(SHAPE)
    blob = amount * np.exp(-((y - 20) ** 2 + (x - 60) ** 2) / (2 * 4.0**2))
    noisy = rng.poisson(5 * truth) / 5
    found = emprior.check(noisy, truth + blob, noise="poisson:0.2")
    assert not found.supported
    first = found.regions[0]
    assert first.kind == kind
    assert np.hypot(first.row - 20, first.column - 60) < 4
    assert 0 <= first.p < 0.01


def test_a_wave_that_is_left_over_is_named_with_its_period(truth, rng):
    wave = 0.05 * np.cos(2 * np.pi * np.arange(SHAPE[1]) / 8)
    noisy = rng.poisson(10 * (truth + wave)) / 10
    found = emprior.check(noisy, truth, noise="poisson:0.1", pixel_size=0.1)
    waves = next(one for one in found.findings if one.name == "single waves")
    assert waves.p < 0.01
    assert "0.8 Å" in waves.says


def test_a_scale_that_is_slightly_wrong_is_told(truth, rng):
    large = lattice((144, 176), 0.1)
    middle = (np.array(large.shape) - 1) / 2
    wrong = ndimage.affine_transform(large, np.eye(2) / 1.02, middle - middle / 1.02, order=3)
    noisy = rng.poisson(10 * large) / 10
    inner = np.s_[8:-8, 8:-8]
    found = emprior.check(noisy[inner], wrong[inner], noise="poisson:0.1")
    told = next(one for one in found.findings if one.name == "geometry")
    assert told.p < 1e-3
    assert "scaled by 0.98" in told.says


def test_correlated_noise_is_not_white(truth, rng):
    noise = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 0.7)
    found = emprior.check(truth + 0.3 * noise / noise.std(), truth, noise="gaussian:0.3")
    assert not found.supported


# ---------------------------------------------------------------------------------- the statistics


def test_normalised_sums_have_the_tails_of_counts():
    mean = 40.0  # electrons under a window
    for count in (10, 20, 70, 85):
        lower, upper = stats.poisson.cdf(count, mean), stats.poisson.sf(count - 1, mean)
        z = normalise(np.array((count - mean) / mean**0.5), np.array(mean**-0.5))
        if count < mean:
            assert 0.5 * lower < stats.norm.cdf(z) < 3 * lower
        else:
            assert 0.5 * upper < stats.norm.sf(z) < 3 * upper


def test_smoothed_residuals_are_standard_normal_at_each_scale_and_at_edges(rng):
    clean = np.full(SHAPE, 0.6)
    seen = [
        scales(Residual.of(rng.poisson(clean) * 1.0, clean, Poisson(1.0), 0.0)) for _ in range(300)
    ]
    for level, scale in enumerate(seen[0]):
        z = np.array([one[level].z for one in seen])
        assert scale.z.shape == tuple(n // scale.factor for n in SHAPE)
        np.testing.assert_allclose(z.mean(), 0, atol=0.05)
        np.testing.assert_allclose(z.std(), 1, atol=0.05)
        np.testing.assert_allclose(z[:, 0, 0].std(), 1, atol=0.2)
    assert len(seen[0]) == 3


def test_a_peak_is_as_improbable_as_its_field_says(rng):
    # Against the maximum of smooth fields drawn directly.
    fields = ndimage.gaussian_filter(rng.standard_normal((400, 72, 88)), (0, 1.5, 1.5))
    fields = fields[:, 12:-12, 12:-12]
    highest = (np.abs(fields) / fields.std()).max((1, 2))
    for level in (3.6, 4.0):
        stated = Scale(1, np.full((48, 64), level)).exceeded()[0, 0]
        assert stated == pytest.approx((highest > level).mean(), rel=0.5, abs=0.02)


# ------------------------------------------------------------------------------------------ errors


def test_results_are_plain_values(truth, rng):
    found = emprior.check(rng.poisson(truth) * 1.0, truth)
    told = found.to_dict()
    assert list(told)[:3] == ["supported", "family", "regions"]
    assert told["supported"] is found.supported
    assert told["family"] is None
    assert told["noise"]["type"] == "poisson"


def test_images_that_do_not_belong_together_are_refused(truth, rng):
    noisy = rng.poisson(truth) * 1.0
    with pytest.raises(ImageError, match="of shape"):
        emprior.check(noisy, truth[:-1])
    with pytest.raises(ImageError, match="NaN"):
        emprior.check(noisy, np.where(truth > 0.5, np.nan, truth))
    with pytest.raises(ImageError, match="of shape"):
        emprior.check(noisy, truth + 0j)
    with pytest.raises(ImageError, match=r"pixels of 0\.1 Å"):
        emprior.check(Micrograph(noisy, 0.1), Micrograph(truth, 0.2))
    with pytest.raises(ImageError, match="below"):
        emprior.check(noisy - 5, truth, noise=Poisson(1.0))


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0, float("nan")])
def test_a_false_alarm_rate_is_a_probability(rate, truth, rng):
    with pytest.raises(OptionError, match="false-alarm rate"):
        emprior.check(rng.poisson(truth) * 1.0, truth, false_alarm=rate)


def test_a_given_pixel_size_goes_before_both(truth, rng):
    noisy = Micrograph(rng.poisson(truth) * 1.0, 0.1)
    emprior.check(noisy, Micrograph(truth, 0.2), pixel_size=0.15)
