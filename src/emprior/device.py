"""Where tensors live, and how many threads compute with them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TypeVar

import torch

from emprior.errors import OptionError

_T = TypeVar("_T")

_ARRAY, _KEPT = 32 << 20, 256 << 20  # bytes


@contextmanager
def one_thread() -> Iterator[int]:
    """Compute with one thread here, and with as many as before, which it tells, afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield before
    finally:
        torch.set_num_threads(before)


def at_once(*tasks: Callable[[], _T]) -> list[_T]:
    """Return what some tasks return, each done by one thread, as many at a time as there are.

    The first is done by the calling thread, whose callbacks stay there. A task may have tasks of
    its own done at once: by threads that have nothing to do any more.
    """
    first, *others = tasks
    with one_thread() as threads, _SPARE.more(threads - 1):
        helpers = _SPARE.take(len(others))
        if not helpers:
            return [task() for task in tasks]
        with ThreadPoolExecutor(helpers) as pool:
            waiting = [pool.submit(task) for task in others]
            for _ in range(helpers):  # each thread's last
                pool.submit(_SPARE.give)
            done = [first()]
            # What no thread has taken up yet this one does, from the end.
            rest = [
                task() if future.cancel() else future.result()
                for task, future in zip(others[::-1], waiting[::-1], strict=True)
            ]
        return done + rest[::-1]


class _Spare:
    """Counts the threads that have nothing to do."""

    def __init__(self) -> None:
        self._count, self._lock = 0, Lock()

    @contextmanager
    def more(self, count: int) -> Iterator[None]:
        """Have some more meanwhile."""
        with self._lock:
            self._count += count
        try:
            yield
        finally:
            with self._lock:
                self._count -= count

    def take(self, most: int) -> int:
        """Take up to so many, and return how many."""
        with self._lock:
            taken = max(0, min(self._count, most))
            self._count -= taken
        return taken

    def give(self) -> None:
        """Give one back."""
        with self._lock:
            self._count += 1


_SPARE = _Spare()


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
