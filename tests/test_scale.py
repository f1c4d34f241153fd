"""The pixel size is found where the prior knows the lattice, and nowhere else."""

import numpy as np
import pytest
from toys import toy_frame, toy_prior

import emprior
from emprior import demo
from emprior.api import assumed_pixel_size
from emprior.errors import EmpriorWarning, OptionError, WeightsError


@pytest.fixture(scope="module")
def shown():
    return demo.example()


@pytest.mark.parametrize("factor", [1, 2])
def test_a_frame_that_the_prior_knows_tells_its_pixel_size(shown, factor):
    H, W = (n // factor for n in shown.noisy.shape)
    sums = shown.noisy.image[: H * factor, : W * factor].reshape(H, factor, W, factor).sum((1, 3))
    found = emprior.find_pixel_size(sums)
    assert found == pytest.approx(factor * shown.noisy.pixel_size, rel=0.03)


def test_denoising_takes_what_is_found_and_says_so(shown):
    with pytest.warns(EmpriorWarning, match=r"0\.0[45]\d\d Å is taken.*give the pixel size"):
        done = emprior.denoise(shown.noisy.image)
    assert done.method == "prior"
    assert np.mean((done.image - shown.truth) ** 2) < 10**-3.3


def test_a_check_says_where_the_pixel_size_may_be_wrong(shown):
    wrong = 1.2 * shown.noisy.pixel_size
    noisy = shown.noisy.image[-400:]
    found = emprior.check(noisy, noisy, pixel_size=wrong, prior="default")
    assert found.family.kind != "inside"
    assert found.other_pixel_size == pytest.approx(shown.noisy.pixel_size, rel=0.04)


def test_an_empty_beam_tells_none(rng):
    assert emprior.find_pixel_size(rng.poisson(9.0, (200, 210))) is None


def test_fringes_tell_none_or_are_planes_that_the_prior_knows(rng):
    """They look like ceria, tilted so far that only its densest planes, {111}, are left."""
    fringes = 1 + 0.3 * np.cos(0.3 * np.arange(210)) * np.ones((200, 1))
    found = emprior.find_pixel_size(rng.poisson(9.0 * fringes))
    assert found is None or found * 2 * np.pi / 0.3 == pytest.approx(5.411 / 3**0.5, rel=0.06)


def test_a_small_frame_tells_none(rng):
    assert emprior.find_pixel_size(rng.poisson(5.0, (32, 40))) is None


def test_a_prior_that_sees_nothing_tells_none(tmp_path, rng):
    prior = toy_prior(tmp_path / "toy.safetensors")
    assert emprior.find_pixel_size(toy_frame() + rng.standard_normal((64, 64)), prior=prior) is None


def test_what_denoising_says_is_not_said_twice(rng):
    labelled = rng.poisson(9.0, (200, 210)).astype(np.float32)
    labelled[:20, :60] = 0
    with pytest.warns(EmpriorWarning, match="patches of one exact value"):
        assert emprior.find_pixel_size(labelled) is None
    options = {"method": "prior", "noise": "auto", "prior": "default", "depth": "mean"}
    size, said = assumed_pixel_size(labelled, **options, seed=0, device="cpu")
    assert f"{size:g} Å" in said


@pytest.mark.parametrize(
    ("options", "kind"),
    [({"noise": "poison"}, OptionError), ({"prior": "no-such"}, WeightsError)],
)
def test_nonsense_is_refused(micrograph, options, kind):
    with pytest.raises(kind):
        emprior.find_pixel_size(micrograph, **options)
