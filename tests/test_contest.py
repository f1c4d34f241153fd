"""The contest: the prior answers to all data, and is judged by what its second answer never saw."""

import numpy as np
import pytest
from scenes import toy_columns
from strategies import lattice
from toys import toy_prior

from emprior.contest import contest, middle
from emprior.denoisers.prior import Prior
from emprior.evidence import folds
from emprior.micrograph import Micrograph
from emprior.noise import Gaussian

PITCH = 0.2
NOISE = Gaussian(0.02)


@pytest.fixture(params=["sees", "sees nothing"])
def prior(request, tmp_path):
    """One with an encoder, and a generator alone."""
    if request.param == "sees":
        return Prior(prior=toy_columns(tmp_path / "seer.safetensors", contrast=3.0))
    return Prior(prior=toy_prior(tmp_path / "toy.safetensors"))


@pytest.fixture
def frame(rng):
    """A lattice that neither has learnt."""
    return Micrograph(NOISE.sample(lattice((32, 30), PITCH), rng), PITCH)


def test_the_answer_is_to_all_data_and_what_no_prior_knows_is_outside(prior, frame):
    told = []
    verdict = contest(prior, frame, NOISE, np.random.default_rng(3), progress=told.append)
    rng = np.random.default_rng(3)
    folds(frame, NOISE, rng)  # comes first
    straight = prior(frame, NOISE, rng.spawn(1)[0])
    np.testing.assert_array_equal(verdict.estimate.image, straight.image)
    assert verdict.way == folds(frame, NOISE, rng)[0].way
    assert verdict.family.kind == "outside"
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_of_a_large_frame_only_the_middle_is_answered(tmp_path, rng):
    large = Micrograph(NOISE.sample(lattice((16, 62), 0.5), rng), 0.5)
    assert middle(large).shape == (16, 56)
    seer = toy_columns(tmp_path / "seer.safetensors", contrast=3.0)
    assert contest(Prior(prior=seer, exact=False), large, NOISE, rng).estimate is None
