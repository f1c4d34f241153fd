"""Time and peak memory on large frames, on many frames, and on a stack of 10 GB.

    python benchmarks/size.py [--only WORD] [--out size.jsonl] [--write]

Each row is measured in a process of its own, on one thread; seconds are those of the processor,
start and all. Frames are the clean image behind the
demo, mirrored on to the side, under P(1); they are denoised blind from array to array. Stacks are
files denoised into files. The 10 GB stack is a sparse file whose first frames are filled: it is
denoised for a slice of time, ended, and begun again, to see that it goes on. Memory is looked at
every 20 ms: all that is resident, and of it what is the process's own, without pages of mapped
files, which the system takes back when it needs them. Records are kept, so that rows can be
measured one by one; ``--write`` puts the table of all into docs/reliability.md.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from marked import rewrite
from numpy.lib import format as npy
from speed import processor

from emprior import records

SLICE = 60.0  # seconds of the stack of 10 GB
GIANT = (1280, 2048, 2048)  # of uint16
FILLED = 60


def mirrored(side: int) -> tuple[np.ndarray, float]:
    """Return a noisy frame, (side, side), and its pixel size [Å]."""
    from emprior.demo import example
    from emprior.noise_names import noise_model

    shown, noise = example(), noise_model("P(1)")
    assert noise is not None
    clean = np.pad(shown.truth, [(0, side - n) for n in shown.truth.shape], mode="symmetric")
    noisy = noise.sample(clean, np.random.default_rng(0)).astype(np.float32)
    assert shown.noisy.pixel_size is not None
    return noisy, shown.noisy.pixel_size


def one_frame(side: int, method: str) -> str:
    """Denoise a frame; return what answered."""
    from emprior import denoise

    noisy, pixel_size = mirrored(side)
    return denoise(noisy, pixel_size=pixel_size, method=method).method


def many_frames(count: int, side: int, method: str) -> str:
    """Denoise a file of many frames into another."""
    from emprior.batch import Settings, denoise_file

    noisy, pixel_size = mirrored(512)
    with tempfile.TemporaryDirectory() as folder:
        rng, path = np.random.default_rng(1), Path(folder) / "in.npy"
        stack = npy.open_memmap(path, mode="w+", dtype=np.float32, shape=(count, side, side))
        for frame in stack:
            row, column = rng.integers(512 - side, size=2)
            frame[:] = noisy[row : row + side, column : column + side]
        stack.flush()
        del stack
        settings = Settings(method, pixel_size=pixel_size)
        done = denoise_file(path, Path(folder) / "out.hspy", settings)
    return done[0].method


class _OutOfTimeError(Exception):
    pass


def giant(method: str) -> str:
    """Denoise the beginning of a stack of 10 GB, twice; return how far it came."""
    from emprior.batch import Settings, denoise_file

    noisy, pixel_size = mirrored(GIANT[1])
    with tempfile.TemporaryDirectory() as folder:
        path, target = Path(folder) / "in.npy", Path(folder) / "out.hspy"
        with path.open("wb") as file:
            header = {"descr": "<u2", "fortran_order": False, "shape": GIANT}
            npy.write_array_header_1_0(file, header)
            counts = noisy.round().astype("<u2").tobytes()
            for _ in range(FILLED):
                file.write(counts)
            file.truncate(128 + 2 * int(np.prod(GIANT)))
        size, shares = path.stat().st_size, []
        for _ in range(2):
            begun = time.monotonic()

            def slice_of_time(share: float, begun: float = begun) -> None:
                shares.append(share)
                if time.monotonic() - begun > SLICE / 2:
                    raise _OutOfTimeError

            with contextlib.suppress(_OutOfTimeError):
                settings = Settings(method, pixel_size=pixel_size)
                denoise_file(path, target, settings, progress=slice_of_time)
        assert shares == sorted(shares), "it began anew"
        return f"{method}, {shares[-1] * GIANT[0]:.0f} frames of {size / 1e9:.1f} GB"


ROWS: dict[str, tuple[Callable[..., str], tuple[Any, ...]]] = {
    **{
        f"{side} × {side}, {method}": (one_frame, (side, method))
        for method in ("pooled-wavelet", "prior")
        for side in (512, 2048, 4096)
    },
    "1,000 frames of 128 × 128, pooled-wavelet": (many_frames, (1000, 128, "pooled-wavelet")),
    "1,280 frames of 2048 × 2048, blur": (giant, ("blur",)),
}


def measure(do: Callable[..., str], arguments: tuple[Any, ...], answer: Any) -> None:
    """Do one row's work in this process, and send what came of it."""
    warnings.simplefilter("ignore")
    answered = do(*arguments)
    answer.send({"answered": answered, "seconds": time.process_time()})


def in_a_process(do: Callable[..., str], arguments: tuple[Any, ...]) -> dict[str, Any]:
    """Return what `measure` sends, and the peak memory of its process [bytes]."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=measure, args=(do, arguments, theirs))
    process.start()
    theirs.close()
    peak = {"VmRSS": 0, "RssAnon": 0}
    while process.is_alive() and not ours.poll(0.02):
        lines = Path(f"/proc/{process.pid}/status").read_text("utf-8").splitlines()
        told = dict(line.split(":", 1) for line in lines)
        for name in peak:
            peak[name] = max(peak[name], 1024 * int(told.get(name, "0 kB").split()[0]))
    try:
        found: dict[str, Any] = ours.recv()
    except EOFError:
        raise SystemExit(f"the process for {arguments} ended early") from None
    process.join()
    return {**found, "resident": peak["VmRSS"], "own": peak["RssAnon"]}


def table(path: Path) -> str:
    """Return the newest record of each row, as Markdown."""
    newest = {record["row"]: record for record in records.read(path)}
    lines = [
        "| what, asked of | answered by | seconds of one core | peak memory [GB] | of it its own |",
        "|---|---|---|---|---|",
    ]
    for name in ROWS:
        if name in newest:
            found = newest[name]
            lines.append(
                f"| {name} | {found['answered']} | {found['seconds']:.0f} "
                f"| {found['resident'] / 1e9:.2f} | {found['own'] / 1e9:.2f} |"
            )
    return "\n".join([*lines, "", f"{processor()}, one thread."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="WORD", default="", help="rows whose name has it")
    parser.add_argument("--out", type=Path, default=Path("size.jsonl"), help="the records")
    parser.add_argument("--write", action="store_true", help="put it into docs/reliability.md")
    options = parser.parse_args()
    # Before any library is loaded in the processes that measure.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    for name, (do, arguments) in ROWS.items():
        if options.only in name:
            records.append(options.out, {"row": name, **in_a_process(do, arguments)})
    result = table(options.out)
    print(result)
    if options.write:
        rewrite("reliability.md", "size", result)


if __name__ == "__main__":
    main()
