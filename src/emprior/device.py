"""Where tensors live, and how many threads compute with them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import torch

from emprior.errors import OptionError

_T = TypeVar("_T")

_ARRAY, _KEPT = 32 << 20, 256 << 20  # bytes


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread here, and with as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def at_once(*tasks: Callable[[], _T]) -> list[_T]:
    """Return what some tasks return, each done by one thread, as many at a time as there are.

    The first is done by the calling thread, whose callbacks stay there.
    """
    threads = torch.get_num_threads()
    with one_thread():
        if threads == 1:
            return [task() for task in tasks]
        first, *others = tasks
        with ThreadPoolExecutor(threads - 1) as pool:
            waiting = [pool.submit(task) for task in others]
            done = [first()]
            # What no thread has taken up yet this one does, from the end.
            rest = [
                task() if future.cancel() else future.result()
                for task, future in zip(others[::-1], waiting[::-1], strict=True)
            ]
        return done + rest[::-1]


def choose_device(name: str = "auto") -> torch.device:
    """Return the named device; "auto" is the GPU where there is one.

    Raises
    ------
    OptionError
        If there is no such device here.
    """
    _keep_memory()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError) as error:
        raise OptionError(
            f"device {name!r}",
            expected="auto, cpu, or a GPU of this machine such as cuda",
            why=f"PyTorch cannot use it: {str(error).splitlines()[0]}",
            fix="leave the device out to take what there is",
        ) from error


@cache
def _keep_memory() -> None:
    """Let the C library keep some of the memory that arrays free, rather than return it.

    Images are of a size that it would ask the system for anew each time, page by page: a third of
    the time of a search. Elsewhere than with GNU's library nothing is changed.
    """
    try:
        change = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return
    threshold, top = -3, -1  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
    change(threshold, _ARRAY)
    change(top, _KEPT)
