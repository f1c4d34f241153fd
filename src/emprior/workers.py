"""Worker processes for tasks that do not depend on each other: of this machine or of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from emprior.errors import EmpriorError, OptionError, OutputError, import_extra

_AHEAD = 2  # tasks that wait at each worker; more would only fill memory


def check_workers(count: int) -> None:
    """Check a number of processes.

    Raises
    ------
    OptionError
        If it is less than one.
    """
    if count < 1:
        raise OptionError(
            f"{count} workers",
            expected="at least 1",
            why="somebody has to do the work",
            fix="leave it out, or give the number of CPUs",
        )


@contextmanager
def processes(count: int, scheduler: str | None = None) -> Iterator[Any]:
    """Give a client of dask.distributed.

    Parameters
    ----------
    count : int
        Single-threaded processes to start on this machine.
    scheduler : str, optional
        Address of a running scheduler to use instead, for example ``tcp://node1:8786``.

    Raises
    ------
    OutputError
        If no scheduler answers there.
    MissingExtraError
        If dask.distributed is not installed.

    Notes
    -----
    Processes are spawned: a script that comes here must guard its own start by
    ``if __name__ == "__main__":``.
    """
    import_extra("distributed", "cluster", "sharing work among processes")
    from distributed import Client, LocalCluster

    if scheduler is not None:
        try:
            client = Client(scheduler)
        except (OSError, ValueError) as error:
            raise OutputError(
                f"no dask scheduler answers at {scheduler!r}",
                expected="the address of a running scheduler, for example tcp://node1:8786",
                why="the work was to be done by its workers",
                fix="check the address, or leave it out to use this machine",
            ) from error
        with client:
            yield client
        return
    one = {
        f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA", "VECLIB_MAXIMUM")
    }
    with (
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            env=one,
            silence_logs=40,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def spread(client: Any, do: Callable[..., Any], tasks: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
    """Have the workers do tasks; yield what came of each as soon as it is there.

    Parameters
    ----------
    client : distributed.Client
    do : callable
        Of a module, so that workers find it.
    tasks : iterable of tuple
        Its arguments. They are asked for as workers come free, so that they need not fit into
        memory together.

    Raises
    ------
    EmpriorError
        If workers die of a task; and what the task itself raises.
    """
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    waiting, futures = iter(tasks), as_completed()

    def submit() -> None:
        for task in waiting:
            futures.add(client.submit(do, *task, pure=False))
            return

    for _ in range(_AHEAD * max(1, sum(client.nthreads().values()))):
        submit()
    try:
        for future in futures:
            found = future.result()
            future.release()
            submit()
            yield found
    except KilledWorker as error:
        raise EmpriorError(
            "several worker processes died of one task",
            expected="workers that live as long as the work",
            why="a system out of memory ends the largest processes first",
            fix="run again with fewer workers; what is done is kept",
        ) from error
