"""A wrong guess of the noise may cost the answer its worth, but never ends in a traceback."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scenes import toy_columns
from strategies import lattice

import emprior
from emprior.errors import EmpriorWarning, ImageError, InputError
from emprior.noise import ClippedPoisson, Gaussian, Poisson, PoissonGaussian

GENERATOR = np.random.default_rng(3)


def spot(shape: tuple[int, int], value: float) -> np.ndarray:
    image = np.zeros(shape)
    image[shape[0] // 2, shape[1] // 3] = value
    return image


FRAMES = {
    "constant": (np.full((24, 20), 3.0), 0.1),
    "one bright pixel": (spot((24, 32), 1.0), 0.1),
    "one hot pixel": (spot((20, 24), 1e6), 0.1),
    "32 × 32": (GENERATOR.poisson(0.45, (32, 32)).astype(float), 0.0489),
    "33 × 200": (GENERATOR.poisson(10 * lattice((33, 200), 0.05)) / 10.0, 0.05),
    "clipped": (np.minimum(GENERATOR.poisson(lattice((40, 33), 0.1)), 1).astype(float), 0.1),
    "all but saturated": (1 - spot((24, 32), 1.0), 0.1),
    "negative": (GENERATOR.standard_normal((20, 24)) - 5, 0.2),
    "huge": (1e15 * lattice((20, 24), 0.2) + 1e14 * GENERATOR.standard_normal((20, 24)), 0.2),
    "tiny": (1e-15 * GENERATOR.poisson(5.0, (24, 20)), 0.2),
}
NOISES = [
    "auto",
    "poisson,clip=1e3",
    Gaussian(1e-9),
    Gaussian(1e9),
    Poisson(10.0),
    Poisson(1e-12, -3.0),
    ClippedPoisson(),
    ClippedPoisson(1.0, -1e3, 1.0),
    ClippedPoisson(0.1, 0.0, 1e6),
    PoissonGaussian(1.0, 0.0, 1e-6),
    PoissonGaussian(1e-6, 100.0, 1e-6),
]


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    """A prior that sees columns in anything."""
    return toy_columns(tmp_path_factory.mktemp("prior") / "seer.safetensors", contrast=3.0)


@pytest.mark.parametrize("noise", NOISES, ids=str)
@pytest.mark.parametrize("frame", FRAMES)
def test_any_frame_under_any_noise_is_answered_or_refused(prior, frame, noise):
    image, pixel_size = FRAMES[frame]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EmpriorWarning)  # all others are errors
        try:
            done = emprior.denoise(image, pixel_size=pixel_size, noise=noise, prior=prior)
        except InputError:
            return
    assert done.image.shape == image.shape
    assert np.isfinite(done.image).all()


def test_only_what_cannot_be_is_refused():
    """Counts below nothing and beyond the maximum, however the noise is named."""
    image = FRAMES["33 × 200"][0]
    for noise in ("poisson:0.1,offset=5", Poisson(0.1, 5.0)):
        with pytest.raises(ImageError, match="below 5"):
            emprior.denoise(image, noise=noise, method="blur")
    for noise in ("poisson:0.1,clip=0.3", ClippedPoisson(0.1, 0.0, 0.3)):
        with pytest.raises(ImageError, match=r"clipped at 0\.3"):
            emprior.denoise(image, noise=noise, method="blur")
    for noise in (Gaussian(9.0), Poisson(1.0), PoissonGaussian(0.1, 5.0, 0.1)):
        assert np.isfinite(emprior.denoise(image, noise=noise, method="blur").image).all()
