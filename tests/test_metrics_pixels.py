import math

import numpy as np
import pytest
from strategies import lattice

from emprior.errors import ImageError, OptionError
from emprior.metrics import contrast_psnr, effective_parameters, peak_psnr, psnr, ssim

SHAPE = (150, 190)


@pytest.fixture
def truth():
    return lattice(SHAPE, 0.1)


def test_psnr_of_a_known_error(truth):
    assert psnr(truth + 0.1, truth, data_range=1) == pytest.approx(20)
    assert psnr(truth + 0.1, truth, data_range=2) == pytest.approx(20 + 20 * math.log10(2))
    assert psnr(truth, truth, data_range=1) == math.inf


def test_psnr_is_that_of_scikit_image(truth, rng):
    from skimage.metrics import peak_signal_noise_ratio

    estimate = (truth + 0.1 * rng.standard_normal(truth.shape)).astype(np.float32)
    theirs = peak_signal_noise_ratio(truth, estimate.astype(float), data_range=0.7)
    assert psnr(estimate, truth, data_range=0.7) == pytest.approx(theirs)


def test_psnr_has_no_default_range(truth):
    with pytest.raises(TypeError, match="data_range"):
        psnr(truth, truth)


def test_contrast_psnr_ignores_the_mean_and_nothing_else(truth, rng):
    noise = 0.1 * rng.standard_normal(truth.shape)
    noise -= noise.mean()
    expected = psnr(truth + noise, truth, data_range=1)
    assert contrast_psnr(truth + noise + 3, truth) == pytest.approx(expected)
    assert contrast_psnr(1.2 * truth, truth) < 60


def test_peak_psnr_takes_the_truths_maximum(truth):
    assert peak_psnr(truth + 0.1, truth) == pytest.approx(20 + 20 * math.log10(truth.max()))
    assert peak_psnr(2 * truth + 0.1, 2 * truth) > peak_psnr(truth + 0.1, truth) + 6


def test_ssim_is_one_for_equal_images_and_falls_with_noise(truth, rng):
    noise = rng.standard_normal(truth.shape)
    scores = [ssim(truth + s * noise, truth, data_range=1) for s in (0, 0.05, 0.2)]
    assert scores[0] == 1
    assert scores[0] > scores[1] > scores[2] > 0


def test_effective_parameters_counts_those_of_a_least_squares_fit(rng):
    """A fit of p waves to N pixels errs by pv/N, on top of what it cannot represent."""
    N, p, v = 4000, 40, 0.3
    basis = np.linalg.qr(rng.standard_normal((N, p + 1)))[0]
    inside = basis[:, :p] @ rng.standard_normal(p)
    outside = 5.0 * basis[:, p]
    representation = -10 * math.log10(np.mean(outside**2))
    errors = []
    for _ in range(200):
        y = inside + outside + math.sqrt(v) * rng.standard_normal(N)
        fit = basis[:, :p] @ (basis[:, :p].T @ y)
        errors.append(np.mean((fit - inside - outside) ** 2))
    found = effective_parameters(
        np.mean(errors), representation_psnr=representation, pixels=N, variance=v
    )
    assert found == pytest.approx(p, rel=0.05)
    no_model = effective_parameters(v, representation_psnr=math.inf, pixels=N, variance=v)
    assert no_model == pytest.approx(N)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: psnr(x[1:], x, data_range=1), ImageError, "(149, 190)"),
        (lambda x: psnr(x[None], x[None], data_range=1), ImageError, "(1, 150, 190)"),
        (lambda x: psnr(x * np.nan, x, data_range=1), ImageError, "NaN"),
        (lambda x: psnr(x, x, data_range=0), OptionError, "data_range = 0"),
        (lambda x: psnr(x + 1, x, data_range=math.inf), OptionError, "data_range = inf"),
        (lambda x: ssim(x, x, data_range=-1), OptionError, "data_range = -1"),
        (lambda x: ssim(x[:5], x[:5], data_range=1), ImageError, "7 × 7"),
        (
            lambda x: effective_parameters(1, representation_psnr=30, pixels=0, variance=1),
            OptionError,
            "pixels = 0",
        ),
    ],
)
def test_bad_input_is_explained(call, error, words, truth):
    with pytest.raises(error) as caught:
        call(truth)
    assert words in str(caught.value)
