"""Conditions in the latent vector: read, set, drawn as in the data, and found by a search."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from emprior.errors import OptionError
from emprior.generators import ConditionalDCGAN, ConditionalDiscriminator
from emprior.generators.dcgan import initialise
from emprior.inversion import FirstOrder, LatentProblem, PriorStart, Search, Stage, invert
from emprior.noise import Gaussian

NAMES = ("defocus", "thickness", "tilt_rows")


@pytest.fixture
def values(rng):
    """Conditions of 5,000 images: uniform, log-normal, and often exactly zero."""
    tilt = rng.normal(0, 0.02, 5000) * (rng.random(5000) < 0.5)
    return np.stack([rng.uniform(0, 200, 5000), np.exp(rng.normal(4, 0.3, 5000)), tilt], 1)


@pytest.fixture
def generator(values):
    made = ConditionalDCGAN(size=16, nz=4, ngf=4, pixel_size=0.2, names=NAMES)
    initialise(made, np.random.default_rng(1))
    made.tabulate(values)
    return made.eval().requires_grad_(False)


def test_conditions_set_are_conditions_read(generator, values, rng):
    z = generator.sample_latent(5000, rng)
    found = generator.given(z, torch.from_numpy(values))
    assert torch.equal(found[:, :4], z[:, :4])
    # Above the last but one knot, the data thins out, but its ends are exact.
    np.testing.assert_allclose(generator.conditions(found), values, rtol=1e-4, atol=1e-4)


def test_conditions_of_the_data_are_standard_normal(generator, values, rng):
    t = generator.given(generator.sample_latent(5000, rng), torch.from_numpy(values))[:, 4:]
    for k in (0, 1):
        assert kstest(t[:, k].numpy(), "norm").statistic < 0.02
    zero = t[values[:, 2] == 0, 2]
    # One latent, in the middle of those that give this value.
    np.testing.assert_allclose(zero, zero[0], atol=1e-6)
    np.testing.assert_allclose(zero[0], 0, atol=0.06)
    middle = generator.sample_latent(1, rng)
    for shift in (-0.3, 0.3):
        middle[:, 6] = zero[0] + shift
        assert abs(generator.conditions(middle)[0, 2]) < 1e-3


def test_conditions_drawn_are_distributed_as_in_the_data(generator, values, rng):
    drawn = generator.conditions(generator.sample_latent(5000, rng)).numpy()
    for k in range(2):
        assert kstest(drawn[:, k], values[:, k]).statistic < 0.04
    assert (drawn.min(0) >= values.min(0) - 1e-4).all()
    assert (drawn.max(0) <= values.max(0) + 1e-4).all()
    np.testing.assert_allclose(drawn[:, 2].std(), values[:, 2].std(), rtol=0.05)


def test_latents_beyond_the_data_stay_at_its_ends(generator, values):
    z = torch.zeros(2, 7)
    z[:, 4:] = torch.tensor([[-9.0], [9.0]])
    np.testing.assert_allclose(
        generator.conditions(z), [values.min(0), values.max(0)], rtol=1e-5, atol=1e-6
    )
    below = generator.given(torch.zeros(1, 7), torch.tensor([[-50.0, 1.0, -1.0]]))
    np.testing.assert_allclose(below[0, 4:], -3, atol=1e-5)


def test_conditions_are_differentiable(generator):
    z = torch.zeros(3, 7, dtype=torch.float64)
    z[:, 4:] = torch.tensor([[-1.03, 0.37, 1.77]]).T
    double = generator.double()
    z.requires_grad_()
    double.conditions(z)[..., 0].sum().backward()
    step = torch.zeros_like(z)
    step[:, 4] = 1e-6
    with torch.no_grad():
        slope = (double.conditions(z + step) - double.conditions(z - step))[:, 0] / 2e-6
    torch.testing.assert_close(z.grad[:, 4], slope)
    assert (slope > 0).all()


def test_planted_conditions_are_found(values, rng):
    generator = ConditionalDCGAN(size=32, nz=4, ngf=8, pixel_size=0.2, names=NAMES)
    initialise(generator, np.random.default_rng(3))
    generator.tabulate(values)
    with torch.no_grad():
        for module in generator.modules():
            if isinstance(module, torch.nn.ConvTranspose2d):
                module.weight *= 5
    for seed in range(20):  # settles the running statistics
        generator(generator.sample_latent(64, np.random.default_rng(seed)))
    truth = generator.eval().sample_latent(3, rng)
    problem = LatentProblem(generator, Gaussian(0.01), generator(truth)[:, 0].detach())
    search = Search(PriorStart(12), (Stage(FirstOrder(lr=0.1), 30, 4), Stage(FirstOrder(), 200)))
    found = generator.conditions(invert(problem, search, rng).latent)
    error = (found - generator.conditions(truth)) / torch.from_numpy(values.std(0))
    assert (error.abs() < 0.1).all(1).sum() >= 2, error


def test_the_discriminator_scores_images_by_their_conditions():
    judge = ConditionalDiscriminator(size=16, ndf=4, conditions=3)
    initialise(judge, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    images = torch.from_numpy(rng.uniform(0, 1, (6, 1, 16, 16))).float()
    conditions = torch.from_numpy(rng.standard_normal((6, 3))).float()
    scores = judge(images, conditions)
    assert scores.shape == (6,)
    other = judge(images, conditions.flip(0))
    assert (scores - other).abs().max() > 1e-3
    # Without what it is told, it is the paper's discriminator.
    torch.nn.init.zeros_(judge.embedding[2].weight)
    assert torch.equal(judge(images, conditions), judge(images, conditions.flip(0)))


@pytest.mark.parametrize("names", [[], ["defocus", "defocus"], ["dose"]])
def test_senseless_conditions_are_refused(names):
    with pytest.raises(OptionError, match="conditions"):
        ConditionalDCGAN(size=16, nz=4, ngf=4, pixel_size=0.2, names=names)


def test_conditions_that_do_not_vary_are_refused(generator, values):
    values[:, 1] = 60.0
    with pytest.raises(OptionError, match="'thickness', which is 60 Å throughout"):
        generator.tabulate(values)
