"""Laws of every generator, and the paper's architecture."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from emprior.errors import OptionError
from emprior.generators import DCGAN, Discriminator, Generator
from emprior.generators.dcgan import channel_plan, initialise
from emprior.stored import ARCHITECTURES, Stored

# One small description of each generator that files can hold: adding one buys every law below.
EXAMPLES = {
    "dcgan": {"type": "dcgan", "size": 16, "nz": 5, "ngf": 4, "pixel_size": 0.4, "channels": 2},
    "conditional-dcgan": {
        "type": "conditional-dcgan",
        "size": 16,
        "nz": 3,
        "ngf": 4,
        "pixel_size": 0.4,
        "names": ["defocus", "tilt_rows"],
        "channels": 1,
    },
}


@pytest.fixture(params=sorted(k for k, v in ARCHITECTURES.items() if issubclass(v, Generator)))
def generator(request: pytest.FixtureRequest) -> Generator:
    made = Stored.from_dict(EXAMPLES[request.param])
    initialise(made, np.random.default_rng(1))
    with torch.no_grad():  # large weights, so that images depend visibly on the latent vector
        for parameter in made.parameters():
            parameter *= 5
    return made.double().eval()


def test_images_have_the_promised_shape_and_scale(generator):
    z = generator.sample_latent(7, np.random.default_rng(0))
    images = generator(z)
    assert z.shape == (7, generator.latent_dim)
    assert images.shape == (7, generator.channels, *generator.image_shape)
    assert images.dtype == torch.float64
    assert images.min() >= 0
    assert images.max() <= 1
    assert images.std(0).mean() > 1e-3


def test_an_image_does_not_depend_on_its_batch(generator):
    z = generator.sample_latent(3, np.random.default_rng(0))
    assert torch.allclose(generator(z)[1:2], generator(z[1:2]), rtol=0, atol=1e-12)


def test_gradient_matches_finite_differences(generator):
    rng = np.random.default_rng(2)
    z = generator.sample_latent(1, rng).requires_grad_()
    weights = torch.from_numpy(rng.standard_normal((1, generator.channels, *generator.image_shape)))
    (generator(z) * weights).sum().backward()
    for axis in range(generator.latent_dim):
        h = torch.zeros_like(z)
        h[0, axis] = 1e-6
        with torch.no_grad():
            difference = ((generator(z + h) - generator(z - h)) * weights).sum() / 2e-6
        assert z.grad[0, axis] == pytest.approx(difference.item(), rel=1e-5, abs=1e-7)


def test_prior_is_the_density_that_latents_are_drawn_from(generator):
    D = generator.latent_dim
    z = generator.sample_latent(20_000, np.random.default_rng(3))
    expected = multivariate_normal(np.zeros(D), np.eye(D))
    np.testing.assert_allclose(generator.log_prior(z), expected.logpdf(z.numpy()), rtol=1e-12)
    # The mean log-density of draws from it is minus the entropy.
    entropy = D / 2 * np.log(2 * np.pi * np.e)
    assert generator.log_prior(z).mean().item() == pytest.approx(-entropy, abs=0.05)


def test_latents_repeat_for_equal_random_states(generator):
    first, second = (generator.sample_latent(2, np.random.default_rng(4)) for _ in range(2))
    assert torch.equal(first, second)


def test_description_rebuilds_the_architecture(generator):
    description = generator.to_dict()
    again = Stored.from_dict(description)
    assert again.to_dict() == description
    again.load_state_dict(generator.state_dict())
    z = generator.sample_latent(1, np.random.default_rng(0))
    assert torch.equal(again.double().eval()(z), generator(z))


def test_paper_generator_has_12_1_million_parameters():
    with torch.device("meta"):
        paper = DCGAN(size=512, nz=50, ngf=64, pixel_size=0.0489)
    assert sum(p.numel() for p in paper.parameters()) / 1e6 == pytest.approx(12.1, abs=0.05)


def test_colour_networks_are_those_of_the_pytorch_tutorial():
    with torch.device("meta"):
        generator = DCGAN(size=64, nz=100, ngf=64, pixel_size=1.0, channels=3)
        discriminator = Discriminator(size=64, ndf=64, channels=3)
    assert sum(p.numel() for p in generator.parameters()) == 3_576_704
    assert sum(p.numel() for p in discriminator.parameters()) == 2_765_568


@pytest.mark.parametrize(
    ("size", "plan"),
    [
        (16, (2, 1)),
        (64, (8, 4, 2, 1)),
        (128, (16, 8, 4, 2, 1)),
        (512, (16, 8, 4, 2, 1, 1, 1)),
    ],
)
def test_channel_plan(size, plan):
    assert channel_plan(size) == plan


@pytest.mark.parametrize("size", [16, 128])
def test_discriminator_mirrors_the_generator(size):
    def kernels(network):
        shapes = (p.shape for p in network.parameters() if p.ndim == 4)
        return [tuple(shape[:2]) for shape in shapes]

    generator = DCGAN(size=size, nz=3, ngf=2, pixel_size=0.2)
    mirror = Discriminator(size=size, ndf=2)
    # Convolutions store (out, in), transposed ones (in, out): reading backwards, they agree, but
    # for the ends: nz inputs there, one logit here.
    assert kernels(mirror)[:-1] == kernels(generator)[:0:-1]
    first = Discriminator(size=size, ndf=2, redesigned=False)
    counts = [sum(p.numel() for p in network.parameters()) for network in (first, mirror)]
    assert counts[0] < counts[1]
    assert mirror(torch.rand(5, 1, size, size)).shape == (5,)


def test_initial_weights_are_the_papers():
    network = Discriminator(size=64, ndf=16)
    initialise(network, np.random.default_rng(0))
    kernels = torch.cat([p.flatten() for p in network.parameters() if p.ndim == 4])
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    scales = torch.cat([m.weight for m in norms])
    assert kernels.std().item() == pytest.approx(0.02, rel=0.02)
    assert abs(kernels.mean().item()) < 1e-3
    assert scales.mean().item() == pytest.approx(1, abs=0.01)
    assert scales.std().item() == pytest.approx(0.02, rel=0.2)
    assert all((m.bias == 0).all() for m in norms)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 48}, "images of 48 pixels"),
        ({"size": 2048}, "images of 2048 pixels"),
        ({"size": 64.0}, "images of 64.0 pixels"),
        ({"nz": 0}, "nz = 0"),
        ({"ngf": 10**6}, "ngf = 1000000"),
        ({"channels": True}, "channels = True"),
        ({"pixel_size": -1.0}, "pixel size of -1"),
        ({"type": "stylegan"}, "type 'stylegan'"),
        ({"type": ["dcgan"]}, "type \\['dcgan'\\]"),
        ({"depth": 3}, "unexpected keyword argument 'depth'"),
    ],
)
def test_senseless_descriptions_are_refused(change, message):
    with pytest.raises(OptionError, match=message):
        Stored.from_dict({**EXAMPLES["dcgan"], **change})


def test_incomplete_description_is_refused():
    with pytest.raises(OptionError, match="missing a required"):
        Stored.from_dict({"type": "dcgan", "size": 64})


def test_latent_of_wrong_length_is_refused():
    with pytest.raises(OptionError, match=r"shape \(2, 4\)"):
        Stored.from_dict(EXAMPLES["dcgan"])(torch.zeros(2, 4))
