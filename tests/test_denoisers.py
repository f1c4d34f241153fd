import subprocess
import sys

import laws
import numpy as np
import pytest
from strategies import NOISE_CASES, lattice, scaled

from emprior.denoisers import DENOISERS, LEARNED, make
from emprior.denoisers.classical import Blur, Wavelet, least_risk
from emprior.denoisers.pooled import Pooled, pooling_factor
from emprior.denoisers.stabilise import mean_variance, stabiliser, unclip
from emprior.errors import EmpriorWarning, MissingExtraError, OptionError
from emprior.metrics import psnr
from emprior.micrograph import Micrograph
from emprior.noise import ClippedPoisson, Gaussian, Poisson, PoissonGaussian

# Those that need weights have tests of their own.
NAMES = [name for name in DENOISERS if name not in LEARNED]
SMALL = lattice((37, 53), pixel_size=0.12)

scarce = pytest.mark.filterwarnings("ignore:.*electrons a pixel")
names = pytest.mark.parametrize("name", NAMES)
noises = pytest.mark.parametrize("noise", NOISE_CASES.values(), ids=NOISE_CASES)


@pytest.fixture
def denoiser(name):
    try:
        return make(name)
    except MissingExtraError as error:
        pytest.skip(error.got)


def noisy(clean, noise, pixel_size=0.1):
    return Micrograph(noise.sample(clean, np.random.default_rng(7)), pixel_size)


@names
@noises
def test_estimate_is_a_finite_image_of_the_same_shape(denoiser, noise):
    laws.estimate_is_a_finite_float32_image(denoiser, noisy(SMALL, noise), noise)


@scarce
@names
def test_smallest_image_and_no_pixel_size(denoiser):
    for noise in (Gaussian(0.1), Poisson(1.0), ClippedPoisson(1.0, 0.0, 1.0)):
        tiny = Micrograph(noise.sample(lattice((8, 9), 0.2), np.random.default_rng(8)))
        laws.estimate_is_a_finite_float32_image(denoiser, tiny, noise)


@scarce
@names
@pytest.mark.parametrize(
    ("noise", "image"),
    [
        (Poisson(1.0), np.eye(16, 24)),  # a handful of electrons in darkness
        (Poisson(1.0), np.where(np.arange(24) == 3, 1e6, 0.0) * np.ones((16, 1))),
        (Poisson(1.0, offset=0.5), np.eye(16, 24)),  # values below an offset identified too high
        (ClippedPoisson(1.0, 0.0, 1.0), 1 - np.eye(16, 24)),  # nearly all saturated
        (PoissonGaussian(0.1, 5.0, 0.05), np.eye(16, 24)),  # all below the offset
        (Gaussian(1e-6), np.eye(16, 24)),
        (Gaussian(1e6), np.eye(16, 24)),
        (Poisson(1.0), np.tile([[0.0, 2.0], [2.0, 0.0]], (16, 16))),  # constant once pooled
    ],
)
def test_frames_at_the_edge_of_a_model_are_denoised(denoiser, noise, image):
    laws.estimate_is_a_finite_float32_image(denoiser, Micrograph(image, 0.05), noise)


@names
def test_deterministic(denoiser):
    laws.deterministic(denoiser, noisy(SMALL, Gaussian(0.1)), Gaussian(0.1))
    laws.deterministic(denoiser, noisy(SMALL, Poisson(1.0)), Poisson(1.0))


@names
@pytest.mark.parametrize(
    ("key", "a", "b"),
    [
        ("G(0.1)", 200.0, -31.0),
        ("P(10)", 0.02, 5.0),
        ("P(1) clipped", 200.0, -31.0),
        ("counts and readout", 3.0, 0.0),
    ],
)
def test_estimate_scales_with_the_data(denoiser, key, a, b):
    noise = NOISE_CASES[key]
    laws.scales_with_the_data(denoiser, noisy(SMALL, noise), noise, scaled(noise, a, b), a, b)


@names
@noises
def test_less_error_than_the_noisy_image(denoiser, name, noise, clean):
    if name == "identity":
        pytest.skip("identity is the noisy image")
    laws.not_worse_than_noisy(denoiser, noisy(clean, noise), noise, clean)


@pytest.mark.parametrize("name", ["identity", "constant", "blur", "wiener"])
def test_flips_commute(denoiser):
    for noise in (Gaussian(0.2), ClippedPoisson(0.1, 0.0, 1.0)):
        laws.commutes_with_flips(denoiser, noisy(SMALL, noise), noise)


def test_identity_and_constant_are_what_they_say(micrograph, rng):
    noise = Gaussian(0.1)
    np.testing.assert_array_equal(
        make("identity")(micrograph, noise, rng).image, micrograph.image.astype(np.float32)
    )
    flat = make("constant")(micrograph, noise, rng).image
    np.testing.assert_allclose(flat, micrograph.image.mean(), rtol=1e-6)


def test_constant_unclips_the_mean(rng):
    frame = Micrograph((rng.uniform(size=(40, 50)) < 0.36).astype(float))
    estimate = make("constant")(frame, ClippedPoisson(1.0, 0.0, 1.0), rng).image
    np.testing.assert_allclose(estimate, -np.log1p(-frame.image.mean()), rtol=1e-5)


@names
def test_clipping_leaves_no_bias(denoiser, name, rng):
    """The estimate's mean is that of the clean image, far above the mean of the clipped one."""
    if name == "identity":
        pytest.skip("identity is the noisy image")
    clean, noise = lattice((160, 160), 0.05), ClippedPoisson(1.0, 0.0, 1.0)
    frame = noisy(clean, noise, 0.05)
    estimate = denoiser(frame, noise, rng).image
    assert clean.mean() - frame.image.mean() > 0.08
    assert abs(estimate.mean() - clean.mean()) < 0.02


@pytest.mark.parametrize("count", [1, 4, 16, 64])
@noises
def test_stabilised_noise_is_inverted_without_bias(noise, count, rng):
    clean = np.array([0.3, 0.45, 0.8])
    draws = sum(noise.sample(np.tile(clean, (40_000, 1)), rng) for _ in range(count)) / count
    curve = stabiliser(noise, draws, count)
    stable = curve.forward(draws)
    error = stable.std(axis=0) / np.sqrt(len(draws))
    slope = np.gradient(curve.clean, curve.expected)
    slope = np.interp(clean, curve.clean, slope)
    bias = curve.inverse(stable.mean(axis=0)) - clean
    assert (np.abs(bias) < 5 * error * slope + 1e-6).all()


@noises
def test_stabilised_noise_has_unit_deviation(noise, rng):
    """Where counts are few it has so only on average."""
    clean = np.array([0.3, 0.45, 0.8])
    draws = sum(noise.sample(np.tile(clean, (40_000, 1)), rng) for _ in range(16)) / 16
    deviation = stabiliser(noise, draws, 16).forward(draws).std(axis=0)
    np.testing.assert_allclose(deviation, 1, atol=0.12)


def test_stabiliser_is_anscombes(rng):
    draws = rng.poisson(30, (64, 64)) / 10.0
    curve = stabiliser(Poisson(0.1), draws)
    y = np.linspace(1.5, 5, 30)
    anscombe = 2 * np.sqrt(y / 0.1 + 3 / 8)
    ours = curve.forward(y)
    np.testing.assert_allclose(np.diff(ours), np.diff(anscombe), rtol=0.01)
    back = curve.inverse(ours)
    np.testing.assert_allclose(back, y + 0.1 / 4, atol=1e-3)  # asymptotic bias of a quarter count


def test_unclip_inverts_the_mean():
    clean = np.linspace(0.15, 1.5, 12).reshape(3, 4)
    for noise in NOISE_CASES.values():
        np.testing.assert_allclose(unclip(noise.mean(clean), noise), clean, rtol=1e-5)


@noises
def test_mean_variance_is_measured_from_the_frame(noise, rng):
    clean = lattice((200, 200), 0.05)
    frame = noise.sample(clean, rng)
    np.testing.assert_allclose(mean_variance(noise, frame), noise.variance(clean).mean(), rtol=0.03)


def test_pooling_alone_gains_ten_decibels(rng):
    """On an image ten times oversampled; the gain that every pooled row starts from."""
    clean, noise = lattice((256, 320), 0.05), Poisson(1.0)
    frame = noisy(clean, noise, 0.05)
    pooled = Pooled(make("identity"))(frame, noise, rng)
    assert pooled.trace["factor"] == 8
    assert psnr(pooled.image, clean, data_range=1) > psnr(frame.image, clean, data_range=1) + 10


def test_pooling_is_exact_for_a_band_limited_image(rng):
    clean = lattice((128, 160), 0.05)
    frame = Micrograph(clean, 0.05)
    estimate = Pooled(make("identity"), factor=4)(frame, Gaussian(1e-3), rng).image
    assert psnr(estimate, clean, data_range=1) > 60


@pytest.mark.parametrize(
    ("shape", "pixel_size", "known", "factor"),
    [
        ((256, 256), 0.05, True, 8),
        ((256, 256), 0.05, False, 8),
        ((250, 303), 0.1, True, 4),
        ((256, 256), 0.3, True, 1),
        ((37, 53), 0.05, True, 2),
        ((12, 90), 0.05, True, 1),
    ],
)
@pytest.mark.parametrize("noise", [Poisson(1.0), ClippedPoisson(1.0, 0.0, 1.0), Gaussian(0.5)])
def test_pooling_factor_follows_pixel_and_frame_size(shape, pixel_size, known, factor, noise):
    frame = Micrograph(
        noise.sample(lattice(shape, pixel_size), np.random.default_rng(9)),
        pixel_size if known else None,
    )
    assert pooling_factor(frame, noise) == factor


def test_structure_that_pooling_would_fold_is_kept():
    clean = lattice((256, 256), pixel_size=0.4)
    for noise in (Gaussian(0.02), Poisson(0.01)):
        assert pooling_factor(Micrograph(noise.sample(clean, np.random.default_rng(1))), noise) == 1


def test_pooling_factor_errs_rarely_on_noise_alone():
    """A thousandth by design; in forty frames of noise at most one is not pooled in full."""
    noise, rng = Gaussian(0.3), np.random.default_rng(11)
    factors = [
        pooling_factor(Micrograph(noise.sample(np.full((128, 144), 0.45), rng)), noise)
        for _ in range(40)
    ]
    assert factors.count(8) >= 39


def test_blur_finds_the_best_width(rng):
    """The width of least estimated risk is as good as the best found with the truth."""
    from scipy.ndimage import gaussian_filter

    clean, noise = lattice((160, 200), 0.05), Poisson(1.0)
    frame = noisy(clean, noise, 0.05)
    estimate = Blur()(frame, noise, rng)
    best = max(
        psnr(gaussian_filter(frame.image, s), clean, data_range=1) for s in np.geomspace(1, 30, 40)
    )
    assert psnr(estimate.image, clean, data_range=1) > best - 0.3


def test_least_risk_finds_the_best_scale(rng):
    """For shrinkage h(y) = y/w of a signal of variance S the best w is 1 + 1/S."""
    signal = 2.0 * rng.standard_normal((200, 200))
    frame = signal + rng.standard_normal(signal.shape)
    w = least_risk(lambda y, w: y / w, frame, (0.5, 5.0), rng)
    assert abs(w - 1.25) < 0.08


def test_wavelet_keeps_the_frame_where_there_is_no_noise(rng):
    clean = lattice((64, 80), 0.1)
    estimate = Wavelet()(Micrograph(clean), Gaussian(1e-5), rng).image
    assert psnr(estimate, clean, data_range=1) > 80


@pytest.mark.parametrize("name", ["nlm", "tv"])
def test_too_few_electrons_for_single_pixels_are_said(name, rng):
    some, few = (Micrograph(rng.poisson(mean, (48, 40)).astype(np.float32)) for mean in (0.6, 0.2))
    make(name)(some, Poisson(1.0), rng)
    with pytest.warns(EmpriorWarning, match=r"^0\.[12]\d? electrons a pixel.*pooled-wavelet"):
        make(name)(few, Poisson(1.0), rng)


def test_make_names_the_nearest():
    with pytest.raises(OptionError) as caught:
        make("pooled-wavlet")
    assert "'pooled-wavelet'" in caught.value.fix
    for name in DENOISERS:
        assert name in caught.value.expected
    with pytest.raises(OptionError, match="choose one of these"):
        make("zzzz")


def test_bm3d_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "bm3d", None)
    for name in ("bm3d", "pooled-bm3d"):
        with pytest.raises(MissingExtraError, match=r"pip install 'emprior\[bm3d\]'"):
            make(name)


@pytest.mark.parametrize("factor", [0, -2, 2.0, "4", True])
def test_pooling_factor_is_a_whole_number(factor):
    with pytest.raises(OptionError, match="pooling factor"):
        Pooled(Blur(), factor=factor)


def test_a_factor_larger_than_the_frame_allows_is_explained(rng):
    with pytest.raises(OptionError, match="16 × 40 pixels"):
        Pooled(Blur(), factor=4)(noisy(lattice((16, 40), 0.1), Gaussian(0.1)), Gaussian(0.1), rng)


def test_denoisers_are_values():
    for name in NAMES:
        if "bm3d" not in name:
            assert make(name) == make(name)
            assert hash(make(name)) == hash(make(name))


def test_listing_and_classical_methods_import_no_torch():
    code = (
        "import sys; from emprior.denoisers import DENOISERS, make; "
        "assert not {'torch', 'skimage', 'scipy'} & set(sys.modules); "
        "make('pooled-wavelet'); import emprior.metrics; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
