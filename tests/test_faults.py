"""Pixels that tell nothing: found where planted, nowhere else, and kept out of all that follows."""

import warnings

import numpy as np
import pytest
from strategies import NOISE_CASES, lattice
from toys import PIXEL_SIZE, toy_frame, toy_prior

from emprior import denoise
from emprior.errors import EmpriorWarning, ImageError
from emprior.evidence import hold_out
from emprior.faults import Faults, filled, find_outliers, find_patches
from emprior.micrograph import Micrograph
from emprior.noise import Gaussian, Hits, Poisson

CLEAN = lattice((150, 170), 0.1)
noises = pytest.mark.parametrize("noise", NOISE_CASES.values(), ids=NOISE_CASES)


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return toy_prior(tmp_path_factory.mktemp("prior") / "toy.safetensors")


@noises
def test_frames_without_faults_have_none(noise, rng):
    for _ in range(3):
        noisy = noise.sample(CLEAN, rng)
        assert not find_patches(noisy).any()
        assert not find_outliers(noisy, noise).any()


@pytest.mark.parametrize("pixel_size", [0.05, 0.1, 0.3, 0.6])
def test_structure_is_no_fault_however_sharp_and_quiet(pixel_size, rng):
    clean = lattice((90, 100), pixel_size)
    for noise in (Gaussian(1e-4), Poisson(1e-5)):
        assert not find_outliers(noise.sample(clean, rng), noise).any()


@pytest.mark.parametrize("noise", [Gaussian(0.1), Gaussian(1.0), Poisson(1.0), Poisson(0.04)])
def test_hot_pixels_are_found_and_no_others(noise, rng):
    noisy = noise.sample(CLEAN, rng)
    hot = np.zeros(CLEAN.shape, bool)
    hot.flat[rng.choice(CLEAN.size, 30, replace=False)] = True
    noisy[hot] = noisy.max() * 3
    found = find_outliers(noisy, noise)
    assert (found & hot).sum() >= 28  # two side by side shield each other
    assert not (found & ~hot).any()


def test_dead_pixels_are_found_where_the_dose_allows(rng):
    noise, dead = Poisson(0.001), np.zeros(CLEAN.shape, bool)
    dead[::30, ::30] = True
    noisy = np.where(dead, 0, noise.sample(CLEAN, rng))
    np.testing.assert_array_equal(find_outliers(noisy, noise), dead)


def test_pixels_that_show_hits_alone_have_no_outliers(rng):
    noise = Hits(1.0, 0.0, 1.0, 1)
    noisy = noise.sample(CLEAN, rng)
    noisy[5, 5] = 40.0
    assert not find_outliers(noisy, noise).any()


@noises
def test_a_label_is_found_with_what_is_written_on_it(noise, rng):
    noisy = noise.sample(CLEAN, rng)
    label = np.zeros(CLEAN.shape, bool)
    label[120:136, 10:100] = True
    noisy[label] = noisy.max() + 1
    noisy[124:132, 20:24] = noisy[124:132, 60:64] = noisy.min() - 1
    found = find_patches(noisy)
    np.testing.assert_array_equal(found, label)


def test_a_label_full_of_letters_is_found_whole(rng):
    """Between letters no run of one value is long."""
    noisy = rng.poisson(50 * CLEAN).astype(np.float32)
    label = np.zeros(CLEAN.shape, bool)
    label[110:140, 10:100] = True
    noisy[label] = 0.0
    letters = np.indices((20, 80)).sum(0) % 7 < 3
    noisy[115:135, 15:95][letters] = 65535.0
    np.testing.assert_array_equal(find_patches(noisy), label)


def test_a_value_that_is_common_elsewhere_spreads_from_no_patch(rng):
    noisy = rng.poisson(np.full((200, 210), 0.7)).astype(np.float32)  # half are zero, and touch
    noisy[90:112, 20:90] = 0.0
    found = find_patches(noisy)
    assert found[90:112, 20:90].all()
    assert found.sum() < 1.5 * 22 * 70


def test_padding_and_saturation_are_found_in_any_direction(rng):
    noisy = Gaussian(0.1).sample(CLEAN, rng)
    patches = np.zeros(CLEAN.shape, bool)
    patches[:, :7] = patches[40:80, 60:90] = True
    noisy[:, :7], noisy[40:80, 60:90] = 0.0, 2.5
    np.testing.assert_array_equal(find_patches(noisy), patches)


def test_few_electrons_are_no_patches(rng):
    """At 0.05 electrons a pixel most of three rows of 21 pixels are empty."""
    for _ in range(5):
        assert not find_patches(rng.poisson(np.full((200, 210), 0.05)).astype(np.float32)).any()


def test_faults_are_filled_with_values_from_near(rng):
    image = np.add.outer(np.arange(60.0), np.zeros(70))
    faults = np.zeros(image.shape, bool)
    faults[20, 30] = faults[40:44, 10:50] = True
    broken = np.where(faults, -99.0, image)
    result = filled(broken, faults, rng)
    np.testing.assert_array_equal(result[~faults], image[~faults])
    assert abs(result - image).max() <= 7
    np.testing.assert_array_equal(broken[faults], -99.0)


def test_what_was_found_is_said():
    none = np.zeros((9, 9), bool)
    one = none.copy()
    one[4, 4] = True
    assert Faults(none, none).said() == ()
    assert "1 hot or dead" in Faults(none, one).said()[0]
    assert "1 pixels in patches" in Faults(one, none).said()[0]


# ---------------------------------------------------------------------------- in what comes after


def test_denoising_leaves_labels_and_forgets_hot_pixels(rng):
    noise = Gaussian(0.1)
    noisy = noise.sample(CLEAN, rng).astype(np.float32)
    before = denoise(noisy, method="wavelet", noise=noise)
    broken = noisy.copy()
    broken[:12, :60] = 7.0
    broken[100, 100] = 50.0
    with pytest.warns(EmpriorWarning, match="720 pixels in patches of one exact value"):
        after = denoise(broken, method="wavelet", noise=noise)
    np.testing.assert_array_equal(after.image[:12, :60], 7.0)
    assert abs(after.image - before.image)[16:].max() < 0.1
    assert any("1 hot or dead" in line for line in after.evidence)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        left = denoise(broken, method="wavelet", noise=noise, faults=False)
    assert abs(left.image - before.image).max() > 1


def test_the_noise_is_that_of_the_rest(rng):
    noisy = rng.poisson(30.0 * CLEAN).astype(np.uint8)
    noisy[120:140, 10:160] = 255
    with pytest.warns(EmpriorWarning, match="patches"):
        found = denoise(noisy, method="blur").noise
    assert found == Poisson()


def test_a_prior_is_searched_by_the_pixels_that_are_used(prior, rng):
    """What stands in ignored pixels changes nothing but what they are filled with."""
    clean, noise = toy_frame(1), Gaussian(0.05)
    noisy = noise.sample(clean, rng).astype(np.float32)
    ignored = np.zeros(clean.shape, bool)
    ignored[20:40, 20:44] = True
    errors = {}
    for name, level, mask in (("whole", None, None), ("cut", 3.0, ignored), ("bare", 3.0, None)):
        image = noisy if level is None else np.where(ignored, level, noisy)
        frame = Micrograph(image, PIXEL_SIZE, ignored=mask)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", EmpriorWarning)
            done = denoise(frame, noise=noise, prior=prior, force=True, faults=False)
        errors[name] = float(np.mean((done.image - clean)[~ignored] ** 2))
    assert errors["cut"] < 2 * errors["whole"] + 1e-4
    assert errors["bare"] > 5 * errors["cut"]


@noises
def test_ignored_pixels_do_not_judge(noise, rng):
    ignored = np.zeros(CLEAN.shape, bool)
    ignored[:50] = True
    frame = Micrograph(noise.sample(CLEAN, rng), 0.1, ignored=ignored)
    held_out = hold_out(frame, noise, rng)
    assert len(held_out.rows) > 1000
    assert held_out.rows.min() >= 50


@pytest.mark.parametrize(
    "mask",
    [np.zeros((5, 5), bool), np.full((16, 20), 2), np.ones((16, 20)), np.full((16, 20), "a")],
)
def test_masks_that_are_none_are_refused(mask, rng):
    with pytest.raises(ImageError, match="a mask"):
        Micrograph(rng.random((16, 20)), ignored=mask)
