"""Threads: tasks done at once, each by one thread."""

import threading
import time

import pytest
import torch

from emprior.device import _SPARE, at_once, one_thread

WAIT = 20  # seconds, after which something is wrong


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def where() -> tuple[int, int]:
    """Return which thread this is, and how many PyTorch computes with."""
    return threading.get_ident(), torch.get_num_threads()


def test_one_thread_tells_how_many_there_were(two_threads):
    with one_thread() as before:
        assert before == 2
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


def test_answers_come_in_the_order_of_the_tasks(two_threads):
    tasks = [lambda number=number: number for number in range(7)]
    assert at_once(*tasks) == list(range(7))
    with one_thread():
        assert at_once(*tasks) == list(range(7))


def test_two_tasks_meet(two_threads):
    """Neither could end without the other."""
    both = threading.Barrier(2)

    def meet() -> tuple[int, int]:
        both.wait(WAIT)
        return where()

    one, other = at_once(meet, meet)
    assert one == (threading.get_ident(), 1)  # the first is done here
    assert other[0] != one[0]
    assert other[1] == 1
    assert torch.get_num_threads() == 2


def test_where_there_is_one_thread_it_does_everything():
    with one_thread():
        assert at_once(where, where, where) == [(threading.get_ident(), 1)] * 3


def test_a_thread_that_has_nothing_to_do_helps_a_task_with_its_own(two_threads):
    alone, both = threading.Event(), threading.Barrier(2)

    def busy() -> str:
        assert alone.wait(WAIT)
        return "done"

    def divided() -> list[int]:
        # The other thread is taken: this one does all by itself.
        inner = at_once(threading.get_ident, threading.get_ident)
        assert set(inner) == {threading.get_ident()}
        alone.set()
        deadline = time.monotonic() + WAIT
        while not _SPARE.take(1):  # until that thread has given itself back
            assert time.monotonic() < deadline
            time.sleep(0.001)
        _SPARE.give()
        return at_once(lambda: both.wait(WAIT), lambda: both.wait(WAIT))

    met, done = at_once(divided, busy)
    assert sorted(met) == [0, 1]
    assert done == "done"


def test_an_error_of_any_task_comes_through_and_the_threads_come_back(two_threads):
    def fail() -> None:
        raise ValueError("on purpose")

    for tasks in ([fail, where], [where, fail]):
        with pytest.raises(ValueError, match="on purpose"):
            at_once(*tasks)
        assert torch.get_num_threads() == 2
        at_once(where, where)  # nothing is left taken
