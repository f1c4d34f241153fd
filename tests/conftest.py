import os
from pathlib import Path

import numpy as np
import pytest
from strategies import lattice

from emprior.device import one_thread
from emprior.micrograph import Micrograph


@pytest.fixture
def rng():
    return np.random.default_rng(2026)


@pytest.fixture
def single_thread():
    """Compute on one thread."""
    with one_thread():
        yield


@pytest.fixture
def clean():
    """A clean lattice beside vacuum, (72, 96) pixels of 0.1 Å."""
    return lattice((72, 96), pixel_size=0.1)


@pytest.fixture
def micrograph(clean, rng):
    """The lattice with Gaussian noise of 0.1."""
    return Micrograph(clean + 0.1 * rng.standard_normal(clean.shape), pixel_size=0.1)


@pytest.fixture(scope="session")
def test_data():
    """The folder of real and published files, where there is one."""
    folder = os.environ.get("EMPRIOR_TEST_DATA")
    if not folder:
        pytest.skip("EMPRIOR_TEST_DATA is not set to the folder of test files")
    return Path(folder)
