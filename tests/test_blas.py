import threading

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from emprior import denoise
from emprior.blas import one_blas_thread
from emprior.denoisers import make


def threads() -> set[int]:
    """Return with how many threads each OpenBLAS multiplies."""
    found = ThreadpoolController().select(internal_api="openblas").info()
    return {library["num_threads"] for library in found}


@pytest.fixture(autouse=True)
def two_threads():
    """Have two to be kept from, whatever the machine."""
    openblas = ThreadpoolController().select(internal_api="openblas")
    if not openblas.info():
        pytest.skip("NumPy multiplies matrices with another library than OpenBLAS here")
    with openblas.limit(limits=2):
        yield


def test_one_thread_inside_and_as_many_as_before_afterwards():
    with one_blas_thread():
        with one_blas_thread():
            assert threads() == {1}
        assert threads() == {1}
    assert threads() == {2}


def test_given_back_after_an_error():
    with pytest.raises(KeyError), one_blas_thread():
        raise KeyError
    assert threads() == {2}


def test_given_back_when_several_threads_have_left():
    entered, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with one_blas_thread():
            entered.set()
            leave.wait()

    other = threading.Thread(target=stay)
    with one_blas_thread():
        other.start()
        entered.wait()
    leave.set()
    other.join()
    assert threads() == {2}


def test_denoising_multiplies_with_one_thread(monkeypatch):
    seen = []

    def watching(name):
        seen.append(threads())
        return make(name)

    monkeypatch.setattr("emprior.api.make", watching)
    denoise(np.random.default_rng(0).poisson(3.0, (48, 40)), method="blur")
    assert seen == [{1}]
    assert threads() == {2}
