import threading

import numpy as np
import pytest
from threadpoolctl import OpenBLASController, ThreadpoolController

from emprior import denoise
from emprior.blas import one_blas_thread
from emprior.denoisers import make


def threads() -> set[int]:
    """Return with how many threads each OpenBLAS multiplies."""
    found = ThreadpoolController().select(internal_api="openblas").info()
    return {library["num_threads"] for library in found}


@pytest.fixture(autouse=True)
def two_threads():
    """Have two to be kept from, whatever the machine, and let whoever wants to change that."""
    openblas = ThreadpoolController().select(internal_api="openblas")
    if not openblas.info():
        pytest.skip("NumPy multiplies matrices with another library than OpenBLAS here")
    limit = openblas.limit(limits=2)
    OpenBLASController.clear_controlling_thread(force=True)
    yield
    OpenBLASController.clear_controlling_thread(force=True)
    limit.restore_original_limits()


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
    first, second = threading.Event(), threading.Event()
    leave = [threading.Event(), threading.Event()]

    def stay(entered: threading.Event, leaving: threading.Event) -> None:
        with one_blas_thread():
            entered.set()
            leaving.wait()

    one = threading.Thread(target=stay, args=(first, leave[0]))
    other = threading.Thread(target=stay, args=(second, leave[1]))
    one.start()
    first.wait()
    other.start()
    second.wait()
    assert threads() == {1}
    for thread, leaving in zip((one, other), leave, strict=True):
        leaving.set()
        thread.join()
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
