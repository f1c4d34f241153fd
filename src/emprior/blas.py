"""NumPy's BLAS kept to one thread, so that PyTorch has the cores."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from threadpoolctl import ThreadpoolController


def one_blas_thread() -> AbstractContextManager[object]:
    """Multiply matrices with one thread meanwhile, and with as many as before afterwards.

    OpenBLAS's threads go on spinning for some 20 ms after each product, on cores that PyTorch's
    wait for: a tenth of the time of a search, and a third of that of a first sight. Who finds one
    thread already leaves it so: it is another's to give back.
    """
    openblas = ThreadpoolController().select(internal_api="openblas")
    if all(library["num_threads"] == 1 for library in openblas.info()):
        return nullcontext()
    limit: AbstractContextManager[object] = openblas.limit(limits=1)
    return limit
