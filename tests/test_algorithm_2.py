"""Algorithm 2 finds what its generator can draw, by squares alone."""

import numpy as np
import pytest
from toys import PIXEL_SIZE, toy_frame, toy_prior

from emprior.denoisers.algorithm_2 import AlgorithmTwo
from emprior.errors import WeightsError
from emprior.metrics import psnr
from emprior.micrograph import Micrograph
from emprior.noise import ClippedPoisson, Gaussian, Poisson


@pytest.fixture
def denoiser(tmp_path):
    return AlgorithmTwo(toy_prior(tmp_path / "toy.safetensors"), search="default")


def _denoised(denoiser, noise, scale=1.0):
    rng = np.random.default_rng(3)
    noisy = Micrograph(scale * noise.sample(toy_frame(), rng), PIXEL_SIZE)
    return noisy.image, denoiser(noisy, noise, np.random.default_rng(0)).image


@pytest.mark.parametrize("noise", [Gaussian(0.1), Poisson(0.1)], ids=str)
def test_a_planted_image_is_found(denoiser, noise):
    noisy, image = _denoised(denoiser, noise)
    assert psnr(image, toy_frame(), data_range=1.0) > psnr(noisy, toy_frame(), data_range=1.0) + 10


def test_it_makes_no_assumption_about_the_noise(denoiser):
    frame = Micrograph(Poisson(0.1).sample(toy_frame(), np.random.default_rng(3)), PIXEL_SIZE)
    told = [Poisson(0.1), Gaussian(0.5), ClippedPoisson(0.1, 0.0, 2.0)]
    images = [denoiser(frame, noise, np.random.default_rng(0)).image for noise in told]
    np.testing.assert_array_equal(images[0], images[1])
    np.testing.assert_array_equal(images[0], images[2])


def test_equal_seeds_give_equal_images(denoiser):
    first, second = (_denoised(denoiser, Gaussian(0.1))[1] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_prior_that_is_no_generator_is_refused():
    with pytest.raises(WeightsError, match="pt-ceria") as caught:
        _denoised(AlgorithmTwo("pt-ceria"), Gaussian(0.1))
    assert "--prior gan" in str(caught.value)
