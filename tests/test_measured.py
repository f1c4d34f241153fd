"""Measurements are linear, their derivatives true, and latents are found from few of them."""

import numpy as np
import pytest
import torch

from emprior.errors import OptionError
from emprior.generators import DCGAN, Compressed, Masked, Measured, SideBySide
from emprior.generators.dcgan import initialise
from emprior.inversion import SEARCHES, LatentProblem, invert
from emprior.noise import Gaussian


def _generator(channels: int) -> DCGAN:
    """An untrained generator with weights large enough to be strongly curved."""
    made = DCGAN(size=16, nz=4, ngf=8, pixel_size=0.2, channels=channels)
    initialise(made, np.random.default_rng(0))
    with torch.no_grad():
        for module in made.modules():
            if isinstance(module, torch.nn.ConvTranspose2d):
                module.weight *= 5
    for seed in range(30):  # settles the running statistics
        made(made.sample_latent(64, np.random.default_rng(seed)))
    return made.eval().requires_grad_(False)


@pytest.fixture(params=["side by side", "masked", "compressed"])
def measured(request: pytest.FixtureRequest, rng) -> Measured:
    generator = _generator(channels=3)
    if request.param == "side by side":
        return SideBySide(generator)
    if request.param == "masked":
        return Masked(generator, rng.random((16, 16)) < 0.2)
    return Compressed(generator, rng.normal(0, 60**-0.5, (60, 3 * 16 * 16)))


def test_a_measured_generator_is_a_generator(measured, rng):
    inner = measured.generator
    z = measured.sample_latent(5, np.random.default_rng(3))
    assert torch.equal(z, inner.sample_latent(5, np.random.default_rng(3)))
    assert torch.equal(measured.log_prior(z), inner.log_prior(z))
    assert measured(z).shape == (5, 1, *measured.image_shape)
    assert torch.equal(measured(z), measured.measure(inner(z)))
    assert not measured.training


def test_measurements_are_linear(measured, rng):
    x, y = (torch.from_numpy(rng.standard_normal((2, 3, 16, 16))).float() for _ in range(2))
    both = measured.measure(2 * x - 3 * y)
    torch.testing.assert_close(both, 2 * measured.measure(x) - 3 * measured.measure(y))


def test_the_adjoint_of_autograd_is_the_adjoint(measured, rng):
    double = measured.double()
    x = torch.from_numpy(rng.standard_normal((1, 3, 16, 16))).requires_grad_()
    v = torch.from_numpy(rng.standard_normal((1, 1, *measured.image_shape)))
    (adjoint,) = torch.autograd.grad(double.measure(x), x, v)
    w = torch.from_numpy(rng.standard_normal((1, 3, 16, 16)))
    torch.testing.assert_close((double.measure(w) * v).sum(), (w * adjoint).sum())


def test_gradient_matches_finite_differences(measured, rng):
    double = measured.double()
    noisy = torch.from_numpy(rng.uniform(0, 1, (1, *measured.image_shape)))
    problem = LatentProblem(double, Gaussian(0.3), noisy)
    z, v = problem.sample(2, rng), problem.sample(2, rng)
    _, gradient = problem.gradient(z)
    slope = (problem.value(z + 1e-5 * v) - problem.value(z - 1e-5 * v)) / 2e-5
    torch.testing.assert_close((gradient * v).sum(-1), slope, rtol=1e-5, atol=1e-9)


def test_planted_latents_are_found_from_measurements(measured, rng):
    inner = measured.generator
    truth = inner(inner.sample_latent(5, rng))
    problem = LatentProblem(measured, Gaussian(0.01), measured.measure(truth)[:, 0])
    latent = invert(problem, SEARCHES["default"], rng).latent
    error = ((inner(latent) - truth) ** 2).mean((1, 2, 3))  # of whole images, unseen parts too
    assert (error < 1e-5).sum() >= 4, error


def test_what_is_measured_is_what_it_says(rng):
    colour = _generator(channels=3)
    images = torch.from_numpy(rng.uniform(0, 1, (2, 3, 16, 16))).float()
    beside = SideBySide(colour)
    laid = beside.measure(images)
    assert torch.equal(laid[:, 0, :, 16:32], images[:, 1])
    assert torch.equal(beside.images(laid[:, 0]), images)
    keep = rng.random((16, 16)) < 0.3
    kept = Masked(colour, keep).measure(images)[1, 0, 0].reshape(3, -1)
    assert np.array_equal(kept.numpy(), images[1].numpy()[:, keep])
    A = rng.standard_normal((7, 3 * 256))
    expected = A @ images[0].double().flatten().numpy()
    found = Compressed(colour.double(), A).measure(images.double())[0, 0, 0]
    np.testing.assert_allclose(found, expected)


def test_senseless_measurements_are_refused(rng):
    generator = _generator(channels=1)
    for keep in (np.ones((16, 15), bool), np.zeros((16, 16), bool), np.ones((16, 16))):
        with pytest.raises(OptionError, match="a mask of"):
            Masked(generator, keep)
    for matrix in (np.ones((3, 255)), np.ones(256), np.ones((0, 256)), np.full((1, 256), np.nan)):
        with pytest.raises(OptionError, match="a matrix of shape"):
            Compressed(generator, matrix)
