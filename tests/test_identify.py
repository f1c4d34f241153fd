"""The noise is planted, and must be found from the frame alone."""

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from emprior import measure
from emprior.errors import ImageError, InputError, OptionError
from emprior.identify import identify
from emprior.noise import ClippedPoisson, Gaussian, Poisson, PoissonGaussian
from emprior.noise_spec import check_spec, resolve

SHAPES = [(256, 192), (96, 128), (48, 64)]


def crystal(shape, contrast=0.8):
    """Columns on a square lattice, oversampled like a micrograph, beside vacuum of 0.45."""
    y, x = np.indices(shape) / 27.0
    u, v = 0.8 * x + 0.6 * y, 0.8 * y - 0.6 * x
    columns = np.exp(1.3 * (np.cos(2 * np.pi * u) + np.cos(2 * np.pi * v) - 2))
    inside = 1 / (1 + np.exp(-12 * (x / x.max() - 0.45)))
    return (0.45 + contrast * inside * (columns - 0.25)).astype(np.float32)


def said(found):
    return "; ".join(found.evidence)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dose", [0.5, 1, 3, 5, 10, 25, 50, 100])
def test_poisson_gives_its_gain_exactly(dose, shape, rng):
    frame = Poisson(1 / dose).sample(crystal(shape), rng)
    found = identify(frame)
    assert type(found.noise) is Poisson
    assert found.noise.gain == pytest.approx(1 / dose, rel=1e-5)
    assert found.noise.offset == 0
    assert "lattice of spacing" in said(found)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float64])
def test_counts_have_gain_one(dtype, rng):
    counts = rng.poisson(12 * crystal((120, 88))).astype(dtype)
    assert identify(counts).noise == Poisson(1.0, 0.0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dose", [1, 2])
def test_clipped_counts_are_told_from_counts(dose, shape, rng):
    true = ClippedPoisson(1 / dose, 0.0, 1.0)
    found = identify(true.sample(crystal(shape), rng))
    assert found.noise == true
    assert "clipped" in said(found)


@pytest.mark.parametrize("dose", [10, 25])
def test_clipping_of_bright_columns_is_seen(dose, rng):
    true = ClippedPoisson(1 / dose, 0.0, 1.0)
    assert identify(true.sample(crystal((320, 320), contrast=1.0), rng)).noise == true


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sigma", [0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
def test_gaussian_gives_its_sigma(sigma, shape, rng):
    found = identify(Gaussian(sigma).sample(crystal(shape), rng))
    assert type(found.noise) is Gaussian
    pixels = shape[0] * shape[1]
    # A few standard errors of a variance, of which one pixel in about four is independent.
    assert found.noise.sigma == pytest.approx(sigma, rel=max(0.03, 4 * np.sqrt(2 / pixels)))


def test_a_lattice_of_a_camera_is_no_gain(rng):
    levels = np.round(300 * crystal((200, 160)) + 25 * rng.standard_normal((200, 160)))
    found = identify(levels)
    assert type(found.noise) is Gaussian
    assert found.noise.sigma == pytest.approx(25, rel=0.05)
    assert "lattice of spacing 1" in said(found)


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 100.0), (2.0, 40.0), (7.3, 100.0), (32.0, 0.0)])
def test_gain_and_offset_of_a_camera(gain, offset, rng):
    counts = rng.poisson(20 * crystal((256, 256)))
    found = identify(np.round(gain * counts + offset).astype(np.uint16))
    assert type(found.noise) is Poisson
    assert found.noise.gain == pytest.approx(gain, rel=0.01)
    assert found.noise.offset == pytest.approx(offset, abs=0.6 * gain)


@pytest.mark.parametrize("shape", [(256, 192), (128, 160)])
@pytest.mark.parametrize("dose", [5, 30, 70, 100, 120, 150, 200])
def test_counts_stretched_to_eight_bits(dose, shape, rng):
    """As exports with automatic contrast are: black is the least count, white the largest."""
    counts = rng.poisson(dose * crystal(shape))
    gain = 255 / np.ptp(counts)
    frame = np.round(gain * (counts - counts.min())).astype(np.uint8)
    noise = identify(frame).noise
    assert type(noise) is Poisson
    assert noise.gain == pytest.approx(gain, rel=0.01)
    clean = gain * (dose * np.array([0.3, 0.45, 0.8]) - counts.min())
    true = Poisson(gain, -gain * counts.min())
    np.testing.assert_allclose(noise.variance(clean), true.variance(clean), rtol=0.15)


def test_many_electrons_without_levels(rng):
    true = Poisson(3.7, 250.0)
    # Readout noise of half an electron wipes out the levels and adds hardly any variance.
    frame = true.sample(250 + 3000 * crystal((384, 384)), rng) + 1.8 * rng.standard_normal(
        (384, 384)
    )
    noise = identify(frame).noise
    assert type(noise) is Poisson
    assert noise.gain == pytest.approx(3.7, rel=0.05)
    clean = 250 + 3000 * np.array([0.3, 0.45, 0.8])
    np.testing.assert_allclose(noise.variance(clean), true.variance(clean), rtol=0.1)


@pytest.mark.parametrize(("gain", "sigma"), [(0.1, 0.1), (0.01, 0.05), (1.0, 0.5)])
def test_readout_noise_is_added(gain, sigma, rng):
    true = PoissonGaussian(gain, 0.0, sigma)
    found = identify(true.sample(crystal((384, 384)), rng))
    assert type(found.noise) is PoissonGaussian
    clean = np.array([0.3, 0.45, 0.8])
    np.testing.assert_allclose(found.noise.variance(clean), true.variance(clean), rtol=0.1)
    assert "readout noise" in said(found)


def test_counts_blurred_by_a_little_readout_are_still_counts(rng):
    frame = PoissonGaussian(40.0, 0.0, 4.0).sample(40 * 3 * crystal((200, 200)), rng)
    found = identify(frame)
    assert type(found.noise) is Poisson
    assert found.noise.gain == pytest.approx(40, rel=0.01)


@pytest.mark.parametrize("factor", [1e-6, 3.0, 1e6])
def test_identification_scales_with_the_data(factor, rng):
    frame = PoissonGaussian(0.1, 0.0, 0.1).sample(crystal((128, 128)), rng).astype(np.float64)
    one, other = identify(frame).noise, identify(frame * factor).noise
    assert type(one) is type(other)
    assert other.gain == pytest.approx(one.gain * factor, rel=1e-6)
    counts = np.array(rng.poisson(5 * crystal((64, 64))), np.float64)
    assert identify(counts * factor).noise.gain == pytest.approx(factor, rel=1e-6)


class TestVacuum:
    shape = (96, 80)

    def test_of_counts(self, rng):
        assert identify(rng.poisson(4.5, self.shape) / 10).noise == Poisson(0.1)

    def test_of_few_counts_is_not_clipped(self, rng):
        assert identify(rng.poisson(0.02, self.shape)).noise == Poisson(1.0)

    @pytest.mark.parametrize("rate", [0.001, 0.003, 0.01])
    def test_of_hardly_any_counts(self, rate, rng):
        assert identify(rng.poisson(rate, (200, 160))).noise == Poisson(1.0)

    def test_of_clipped_counts(self, rng):
        frame = np.minimum(rng.poisson(0.45, self.shape), 1)
        assert identify(frame).noise == ClippedPoisson(1.0, 0.0, 1.0)

    def test_of_gaussian(self, rng):
        noise = identify(0.45 + 0.3 * rng.standard_normal(self.shape)).noise
        assert type(noise) is Gaussian
        assert noise.sigma == pytest.approx(0.3, rel=0.06)


class TestDefects:
    """What files hold besides micrograph and noise."""

    def test_padding_is_left_out(self, rng):
        frame = np.zeros((240, 240))
        frame[40:200, 30:220] = Gaussian(0.1).sample(crystal((160, 190)), rng)
        found = identify(frame)
        assert type(found.noise) is Gaussian
        assert found.noise.sigma == pytest.approx(0.1, rel=0.04)
        assert "is constant" in said(found)

    def test_a_burnt_in_label_changes_little(self, rng):
        frame = 32.0 * rng.poisson(1.6 * crystal((256, 256)) / 0.45)
        frame[2:20:2, 2:120:3] = frame[2:20, 2:120:7] = 255
        noise = identify(frame).noise
        assert isinstance(noise, Poisson)
        assert noise.gain == pytest.approx(32, rel=0.02)

    @pytest.mark.parametrize("value", [5e3, 5e6, 1e17])
    def test_a_hot_pixel_changes_nothing(self, value, rng):
        frame = Poisson(0.04).sample(crystal((128, 128)), rng)
        frame[30, 40] = value
        assert identify(frame).noise == Poisson(0.04)

    @pytest.mark.parametrize("width", [0.7, 1.0])
    def test_the_variance_of_blurred_noise_is_not_badly_low(self, width, rng):
        from scipy.ndimage import gaussian_filter

        noise = gaussian_filter(rng.standard_normal((300, 300)), width)
        found = identify(0.45 + 2 * crystal((300, 300)) + noise)
        assert "not flat" in said(found)
        assert 0.7 < found.noise.sigma / noise.std() < 1.2

    def test_white_noise_is_not_called_correlated(self, rng):
        for shape in SHAPES:
            assert "not flat" not in said(identify(Gaussian(0.3).sample(crystal(shape), rng)))

    def test_saturated_readout_is_mentioned(self, rng):
        frame = np.minimum(crystal((128, 128)) + 0.1 * rng.standard_normal((128, 128)), 0.7)
        assert "stand at the largest value" in said(identify(frame))

    def test_a_clean_image_has_no_noise(self):
        clean = crystal((256, 256))
        found = identify(clean)
        assert type(found.noise) is Gaussian
        assert found.noise.sigma < 3e-3 * clean.std()

    def test_a_large_frame_is_read_through_windows(self, rng):
        frame = Poisson(0.1).sample(crystal((1500, 1100)), rng)
        assert identify(frame).noise == Poisson(0.1)

    def test_no_part_of_a_long_frame_is_read_twice(self, rng):
        windows = measure._windows(rng.normal(size=(256, 4200)))
        assert len({window.tobytes() for window in windows}) == len(windows) == 4


@pytest.mark.parametrize(
    "frame",
    [
        np.arange(64.0).reshape(8, 8),
        np.eye(9),
        np.tile([0.0, 1.0], (12, 6)),
        np.repeat(np.repeat(np.arange(100.0).reshape(10, 10), 8, 0), 8, 1),
        np.pad(np.ones((1, 1)), 20),
        -np.eye(40),
        np.linspace(-1e12, 1e12, 400).reshape(20, 20),
        1e-12 * np.eye(16),
        np.indices((8, 4000)).sum(0) % 7.0,
    ],
)
def test_no_frame_is_too_strange(frame):
    found = identify(frame)
    assert found.evidence
    variance = found.noise.variance(np.asarray(frame, np.float64))
    assert np.all(np.isfinite(variance))
    assert np.all(variance > 0)


@pytest.mark.parametrize(
    ("spec", "noise"),
    [
        ("poisson:0.04", Poisson(0.04)),
        (" poisson:2 , offset=-3 ", Poisson(2.0, -3.0)),
        ("poisson:1,clip=9", ClippedPoisson(1.0, 0.0, 9.0)),
        ("poisson:1,clip=9,offset=-1", ClippedPoisson(1.0, -1.0, 9.0)),
        ("gaussian:2.5e-1", Gaussian(0.25)),
    ],
)
def test_a_named_noise_is_taken_as_named(spec, noise, rng):
    frame = np.minimum(rng.poisson(2.0, (16, 24)), 9)
    assert resolve(spec, frame).noise == noise


def test_auto_is_identify(rng):
    frame = rng.poisson(3 * crystal((64, 64)))
    assert resolve("auto", frame) == identify(frame)


def test_none_is_a_thousandth_of_the_spread():
    clean = crystal((32, 32))
    assert resolve("none", clean).noise.sigma == pytest.approx(1e-3 * clean.std())


def test_an_unnamed_gain_comes_from_the_frame(rng):
    counts = rng.poisson(20 * crystal((128, 128)))
    assert resolve("poisson", 0.5 * counts).noise == Poisson(0.5)
    assert resolve("poisson,offset=7", 0.5 * counts + 7).noise == Poisson(0.5, 7.0)
    clipped = resolve("poisson,clip=12", np.minimum(0.5 * counts, 12)).noise
    assert clipped == ClippedPoisson(0.5, 0.0, 12.0)


@pytest.mark.parametrize(
    "spec",
    [
        *("", "Poison", "auto:1", "none,offset=1", "gaussian", "gaussian:", "gaussian:x"),
        *("gaussian:-1", "gaussian:0", "gaussian:nan", "gaussian:1,clip=2", "poisson:"),
        *("poisson:-1", "poisson:0", "poisson:inf", "poisson:1,clip", "poisson:1,2"),
        *("poisson:1,clip=0.1", "poisson:1,clip=2,clip=3", "poisson,sigma=1", "poisson:1,offset="),
    ],
)
def test_nonsense_is_refused_before_there_is_an_image(spec):
    with pytest.raises(OptionError) as caught:
        check_spec(spec)
    assert all((caught.value.got, caught.value.expected, caught.value.why, caught.value.fix))


def test_counts_below_nothing_are_refused(rng):
    frame = Gaussian(1.0).sample(crystal((32, 32)), rng)
    with pytest.raises(ImageError, match=r"fewer than zero electrons[^$]*offset=O"):
        resolve("poisson:1", frame)
    with pytest.raises(InputError):
        resolve("poisson", frame - 5)
    with pytest.raises(ImageError, match="clip="):
        resolve("poisson:1,clip=3", 9 * np.eye(16))


def test_a_bad_image_is_refused():
    with pytest.raises(ImageError, match="constant"):
        identify(np.ones((16, 16)))
    with pytest.raises(ImageError, match="NaN"):
        resolve("auto", np.full((16, 16), np.nan))


def _shared(name):
    folder = os.environ.get("EMPRIOR_TEST_DATA")
    if folder is None or not (Path(folder) / name).exists():
        pytest.skip(f"EMPRIOR_TEST_DATA names no folder with {name}")
    return Path(folder) / name


def test_a_counting_camera():
    """Grey values of this movie cluster near 31.3 times the count; 20 % of vacuum is zero."""
    frames = np.load(_shared("hrtem_movie/nanoparticle_5frames_uint8.npy"))
    clusters = ((48, 78), (79, 109), (110, 140))  # of two, three and four electrons
    gain = np.mean(
        [
            frames[(frames >= low) & (frames <= high)].mean() / n
            for n, (low, high) in enumerate(clusters, 2)
        ]
    )
    found = [identify(frame).noise for frame in frames]
    assert {type(noise) for noise in found} == {Poisson}
    assert all(noise.gain == pytest.approx(gain, rel=0.01) for noise in found)
    assert all(a.gain == pytest.approx(b.gain, rel=0.01) for a, b in pairwise(found))


def test_published_clean_image(rng):
    """Poisson noise on the clean image that the paper's data set gives."""
    import tifffile

    clean = tifffile.imread(
        _shared("hrtem_simulated/PtNp2-S3_5_240slc_1024x1024_6nmDefocus.tif")
    ).astype(np.float32)
    for true in (Poisson(0.1), ClippedPoisson(1.0, 0.0, 1.0), ClippedPoisson(0.1, 0.0, 1.0)):
        assert identify(true.sample(clean, rng)).noise == true


@pytest.mark.filterwarnings("ignore")  # readers warn of units and labels, which is not at stake
def test_real_files_have_no_more_noise_than_variance():
    from emprior import io

    for path in sorted(_shared("formats").iterdir()):
        if path.suffix == ".emi":  # the header of the .ser beside it
            continue
        data = io.read(path).data
        frame = np.asarray(data[(0,) * (data.ndim - 2)], np.float64)
        found = identify(frame)
        variance = np.median(found.noise.variance(frame))
        assert 1e-4 * frame.var() < variance < 1.05 * frame.var(), (path.name, found)
