"""Time and peak memory of denoisers on a frame of 512 × 512 pixels of 0.0489 Å, noise by noise.

    python benchmarks/speed.py [--repeats 5] [--threads 1] [--unet FILE] [--out speed.json]

The frame is the clean image behind the demo, corrupted; it is denoised blind. Seconds are the
median of calls from array to array, after one that warms up. Peak memory is what the process held
at most, resident, while one row denoised one noise in a process of its own; the row ``nothing``
is a process that has loaded the frame alone, and, of a method, what its libraries take is in.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from emprior.noise_names import PAPER_NOISES

SIDE = 512
ROWS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "pooled wavelet": {"method": "pooled-wavelet"},
    "prior": {"method": "prior"},
    "prior --fast": {"method": "prior", "depth": "encoder"},
}


def frame(noise: str) -> tuple[np.ndarray, float]:
    """Return the noisy frame and its pixel size."""
    from emprior.demo import example
    from emprior.noise_names import noise_model

    shown, model = example(), noise_model(noise)
    clean = shown.truth[:SIDE, :SIDE]
    noisy = clean if model is None else model.sample(clean, np.random.default_rng(0))
    assert noisy.shape == (SIDE, SIDE)
    assert shown.noisy.pixel_size is not None
    return noisy, shown.noisy.pixel_size


def measure(options: dict[str, Any], noise: str, repeats: int, answer: Connection) -> None:
    """Denoise again and again, and send seconds and peak memory; runs in a process of its own."""
    import warnings

    from emprior import denoise

    warnings.simplefilter("ignore")
    noisy, pixel_size = frame(noise)
    seconds, method = [], None
    for _ in range(repeats + 1 if options else 0):
        started = time.perf_counter()
        method = denoise(noisy, pixel_size=pixel_size, **options).method
        seconds.append(time.perf_counter() - started)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = kilobytes * (1 if sys.platform == "darwin" else 1024)
    answer.send({"seconds": seconds[1:], "answered": method, "peak_bytes": peak})


def in_a_process(options: dict[str, Any], noise: str, repeats: int) -> dict[str, Any]:
    """Return what `measure` sends from a fresh process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=measure, args=(options, noise, repeats, theirs))
    process.start()
    theirs.close()
    try:
        found: dict[str, Any] = ours.recv()
    except EOFError:
        raise SystemExit(f"the process that denoised {noise} by {options} ended early") from None
    process.join()
    return found


def processor() -> str:
    """Return the model of the processor, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="timed calls of each")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--unet", type=Path, help="weights of a regressor: a row more")
    parser.add_argument("--noises", nargs="+", default=PAPER_NOISES)
    parser.add_argument("--out", type=Path, default=Path("speed.json"), help="the record")
    arguments = parser.parse_args()
    # Before any library is loaded in the processes that measure.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(arguments.threads)
    rows = dict(ROWS)
    if arguments.unet:
        rows["blind UNet"] = {"method": "supervised", "prior": str(arguments.unet.resolve())}
    record: dict[str, Any] = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": arguments.threads,
        "repeats": arguments.repeats,
        "shape": [SIDE, SIDE],
        "rows": [],
    }
    print(f"{record['processor']}, {record['cores']} cores, {arguments.threads} threads")
    print("| row | noise | seconds | peak memory [GB] | answered by |\n|---|---|---|---|---|")
    for name, options in rows.items():
        for noise in arguments.noises if options else arguments.noises[:1]:
            found = in_a_process(options, noise, arguments.repeats)
            record["rows"].append({"row": name, "noise": noise, **found})
            spent = f"{np.median(found['seconds']):.2f}" if found["seconds"] else ""
            memory = found["peak_bytes"] / 1e9
            print(f"| {name} | {noise} | {spent} | {memory:.2f} | {found['answered'] or ''} |")
            arguments.out.write_text(json.dumps(record, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
