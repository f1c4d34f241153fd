"""Kill −9 at random moments: what is left is whole, and the resumed run ends in the same bytes.

    python benchmarks/kill.py [--kills 100] [--seed 0] [--only JOB] [--write]

Each job is run once undisturbed. Then it is run again and again in new folders, and killed after a
random part of that time, up to three times before it may finish. After each kill

- all that was there before is as it was; an old result is there still, or the new one, whole;
- what is under a final name is what the undisturbed run has there;

and the run that is let finish leaves the very bytes of the undisturbed one. (Of trainings, but for
the seconds that they took.) Commands are run in forked processes, so that the random moments fall
into their work and not into the loading of libraries. ``--write`` puts the table into
docs/reliability.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import small_files
from marked import rewrite

from emprior.cli import app
from emprior.io import Signal, write

_SIMULATION = """seed = 7
view = { shape = [20, 24], pixel_size = 0.4 }
group = [{ name = "all", structures = 4, images = 2, grid = 192 }]
"""
_TRAINING = """kind = "adversarial"
seed = 5
data = { type = "movie", path = "movie.npy", pixel_size = 0.2, limits = [0.0, 60.0] }
generator = { size = 16, nz = 3, ngf = 2 }
discriminator = { ndf = 2 }
optimisation = { batch = 4, generator_rate = 1e-3, discriminator_rate = 1e-3, half_life = 100 }
budget = { images = 160 }
output = { log = 1, checkpoint = 3, samples = 10 }
"""
_TEMPORARY = re.compile(
    r"(^|/)\.[^/]+\.[0-9a-f]{8}(\.[^/]*)?$|(^|/)\.[^/]+\.unfinished(/|$)|\.partial-"
)
"""Names that say that what they name is not finished."""


def _one(folder: Path) -> None:
    image = np.tile(small_files.counts(), (12, 10)).astype(np.float32)
    write(folder / "in.npy", Signal.from_array(image, small_files.PIXEL_SIZE))
    write(folder / "out.tif", Signal.from_array(image, 1.0))  # an old result


def _stack(folder: Path) -> None:
    frames = small_files.counts(24)
    write(folder / "in.npy", Signal.from_array(frames, small_files.PIXEL_SIZE))


def _simulation(folder: Path) -> None:
    (folder / "recipe.toml").write_text(_SIMULATION, encoding="ascii")


def _training(folder: Path) -> None:
    (folder / "recipe.toml").write_text(_TRAINING, encoding="ascii")
    np.save(folder / "movie.npy", np.tile(small_files.counts(8), (1, 2, 2)))


@dataclass(frozen=True)
class Job:
    """A command and the files that it starts from."""

    line: tuple[str, ...]
    make: Callable[[Path], None]
    share: float
    """Of all kills."""


JOBS = {
    "denoise, one image over an old result": Job(
        ("denoise", "in.npy", "-o", "out.tif", "--method", "pooled-nlm", "--overwrite"), _one, 0.2
    ),
    "denoise, a stack of 24 frames": Job(
        ("denoise", "in.npy", "-o", "out.hspy", "--method", "wavelet", "--overwrite"), _stack, 0.3
    ),
    "simulate, 4 structures": Job(("simulate", "recipe.toml", "-o", "set"), _simulation, 0.2),
    "train, 40 updates": Job(
        ("train", "recipe.toml", "-o", "./run", "--resume", "--device", "cpu"), _training, 0.3
    ),
}


def start(folder: Path, line: tuple[str, ...]) -> int:
    """Run a command in a folder, in a forked process; return its number."""
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        os.setsid()
        os.chdir(folder)
        said = os.open(f"{folder}.said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        if line[0] == "simulate":  # its workers are threads here, and die with it
            from distributed import LocalCluster

            cluster = LocalCluster(
                n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
            )
            line = (*line, "--scheduler", cluster.scheduler_address)
        app(list(line))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 70
    finally:
        os._exit(code)


def finish(folder: Path, line: tuple[str, ...]) -> float:
    """Run a command to its end; return the seconds it took."""
    started = time.monotonic()
    _, status = os.waitpid(start(folder, line), 0)
    if code := os.waitstatus_to_exitcode(status):
        said = Path(f"{folder}.said").read_text(encoding="utf-8")
        raise SystemExit(f"emprior {' '.join(line)} ended with code {code}:\n{said}")
    return time.monotonic() - started


def killed(folder: Path, line: tuple[str, ...], after: float) -> bool:
    """Run a command and kill it after some seconds; return False if it was done by then."""
    process = start(folder, line)
    time.sleep(after)
    done, _ = os.waitpid(process, os.WNOHANG)
    if done:
        return False
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files that are not marked as unfinished; without the time that things took."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or _TEMPORARY.search(name):
            continue
        content = path.read_bytes()
        if path.name == "log.jsonl":
            lines = [json.loads(line) for line in content.splitlines() if line.endswith(b"}")]
            content = json.dumps([{**line, "seconds": 0} for line in lines]).encode()
        elif path.parent.name == "checkpoints":
            content = _without_seconds(content)
        found[name] = content
    return found


def _without_seconds(content: bytes) -> bytes:
    """Return a checkpoint without the time in its header, if all of it is there."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    end = max(entry["data_offsets"][1] for name, entry in header.items() if name[0] != "_")
    assert len(content) == 8 + size + end, "a checkpoint that is not whole"
    facts = {**json.loads(header["__metadata__"].pop("facts")), "seconds": 0}
    return json.dumps([header, facts], sort_keys=True).encode() + content[8 + size :]


def wrong(before: dict[str, bytes], left: dict[str, bytes], whole: dict[str, bytes]) -> list[str]:
    """Return what a killed run has lost, changed or half written."""
    lost = [f"{name} is lost" for name in before if name not in left]
    half = [
        f"{name} is neither old nor whole"
        for name, content in left.items()
        if content not in (before.get(name), whole.get(name)) and not _grows(name)
    ]
    return lost + half


def _grows(name: str) -> bool:
    """Whether a file of a run is another one later on: the log, the manifest, the last prior."""
    return bool(
        re.fullmatch(r"run/(log\.jsonl|prior\.safetensors|checkpoints/.*)|set/zarr\.json", name)
    )


def tried(name: str, kills: int, rng: random.Random) -> tuple[int, int, list[str]]:
    """Kill a job so often; return how often, runs resumed to the end, and what went wrong."""
    job, counted, finished, faults = JOBS[name], 0, 0, []
    with tempfile.TemporaryDirectory() as place:
        straight = Path(place) / "straight"
        straight.mkdir()
        job.make(straight)
        before = contents(straight)
        seconds = finish(straight, job.line)
        whole = contents(straight)
        assert whole.keys() > before.keys(), f"{name} left nothing in its folder"
        while counted < kills:
            folder = Path(place) / f"{counted}"
            folder.mkdir()
            job.make(folder)
            for _ in range(rng.randint(1, 3)):
                if counted < kills and killed(folder, job.line, rng.uniform(0, seconds)):
                    counted += 1
                    faults += wrong(before, contents(folder), whole)
            finish(folder, job.line)
            finished += 1
            end = contents(folder)
            faults += [
                f"{file} is other than undisturbed"
                for file in sorted(whole.keys() | end.keys())
                if whole.get(file) != end.get(file)
            ]
            shutil.rmtree(folder)
    return counted, finished, faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", metavar="WORD", default="", help="jobs whose name has it")
    parser.add_argument("--write", action="store_true", help="put it into docs/reliability.md")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)  # threads do not survive a fork
    lines = [
        "| job | killed | resumed to the same bytes | lost or half-written |",
        "|---|---|---|---|",
    ]
    bad = False
    chosen = {name: job for name, job in JOBS.items() if options.only in name}
    total = sum(job.share for job in chosen.values())
    for name, job in chosen.items():
        rng = random.Random(f"{options.seed} {name}")
        counted, finished, faults = tried(name, round(options.kills * job.share / total), rng)
        other = sum("undisturbed" in fault for fault in faults)
        lines.append(
            f"| {name} | {counted} | {finished - min(other, finished)} of {finished} "
            f"| {len(faults) - other} |"
        )
        print(lines[-1], *faults, sep="\n", flush=True)
        bad |= bool(faults)
    print("\n".join(lines))
    if options.write:
        rewrite("reliability.md", "kill", "\n".join(lines))
    raise SystemExit(bad)


if __name__ == "__main__":
    main()
