"""Measure what neighbouring frames add to a movie, and that they blur no change.

    python benchmarks/movies.py [--real FOLDER] [--draws 4] [--write]

Movies are drawn here: a crystal beside vacuum that drifts, in which one column vanishes and another
appears at known frames. `--real` names the folder of real movies, of which nobody knows the truth:
they are judged by data that the answers have not seen. ``--write`` puts the tables into
docs/movies.md.
"""

from __future__ import annotations

import argparse
import warnings
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from emprior import io
from emprior.api import denoise
from emprior.drift import drift
from emprior.errors import EmpriorWarning
from emprior.evidence import HeldOut, hold_out
from emprior.identify import identify
from emprior.micrograph import Micrograph
from emprior.movie import denoise_among, denoise_movie
from emprior.noise import NoiseModel, Poisson

DOC = Path(__file__).parents[1] / "docs" / "movies.md"
Floats = NDArray[np.floating]

METHOD = "pooled-wavelet"
SIZE, PIXEL_SIZE, FRAMES = 192, 0.1, 12  # pixels, Å
WIDTH, HEIGHT = 0.45, 0.25  # of a column: standard deviation in Å, peak above vacuum of 0.45
VANISHES, APPEARS = 6, 5  # first frames without and with
NEAR = 7  # pixels about a column that are judged
DOSES = 1, 10
STEP = 0.5  # pixels of drift from frame to frame, standard deviation along each axis


def movie(rng: np.random.Generator) -> tuple[Floats, NDArray[np.int_]]:
    """Return clean frames, (T, H, W), and where the two columns are in each, (2, T, 2)."""
    places = np.array(
        [(3 + 2.08 * i, 2 + 2.4 * (j + i % 2 / 2)) for i in range(8) for j in range(5)]
    )
    moved = np.cumsum(rng.normal(0, STEP, (FRAMES, 2)), 0) * PIXEL_SIZE
    lost, found = rng.choice(np.flatnonzero((places > 2.5).all(1) & (places < 16).all(1)), 2, False)
    y, x = np.indices((SIZE, SIZE)) * PIXEL_SIZE
    frames = np.full((FRAMES, SIZE, SIZE), 0.45)
    for t, frame in enumerate(frames):
        for number, (row, column) in enumerate(places + moved[t]):
            if (number == lost and t >= VANISHES) or (number == found and t < APPEARS):
                continue
            frame += HEIGHT * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * WIDTH**2))
    where = np.rint((places[[lost, found], None] + moved) / PIXEL_SIZE).astype(int)
    return frames, where


def mean_of_all(noisy: Floats, noise: NoiseModel) -> Floats:
    """Return the answer to the mean of all frames, registered, at the place of each."""
    moved = np.rint(drift(list(noisy), 0)).astype(int)
    mean = np.mean([np.roll(f, -d, (0, 1)) for f, d in zip(noisy, moved, strict=True)], 0)
    answer = denoise(mean, method=METHOD, noise=noise.averaged(len(noisy)), faults=False).image
    return np.stack([np.roll(answer, d, (0, 1)) for d in moved])


def answers(noisy: Floats, noise: NoiseModel) -> dict[str, Floats]:
    """Return the frames as each way of denoising answers."""
    alone = np.stack([denoise(f, method=METHOD, pixel_size=PIXEL_SIZE).image for f in noisy])
    helped = denoise_movie(noisy, method=METHOD, pixel_size=PIXEL_SIZE)
    return {
        "frame by frame": alone,
        "the answer to the frame before": np.concatenate([alone[:1], alone[:-1]]),
        "mean of all registered frames": mean_of_all(noisy, noise),
        "**as a movie**": np.stack([one.image for one in helped]),
    }


def simulated(draws: int) -> str:
    """Return a table of errors in movies whose truth is known."""
    lines = [
        "| dose | answered | PSNR of the frames [dB] | error at the changed columns, next to the "
        "change | elsewhere in time |",
        "|---|---|---|---|---|",
    ]
    for dose in DOSES:
        quality, beside, far = (defaultdict[str, list[float]](list) for _ in range(3))
        for rng in track(np.random.default_rng(dose).spawn(draws), f"P({dose})"):
            clean, where = movie(rng)
            noise = Poisson(1 / dose)
            noisy = np.stack([noise.sample(frame, rng) for frame in clean])
            for name, images in answers(noisy, noise).items():
                error = images - clean
                quality[name] += list(-10 * np.log10((error**2).mean((1, 2))))
                for path, change in zip(where, (VANISHES, APPEARS), strict=True):
                    for t, (row, column) in enumerate(path):
                        rows, columns = (
                            slice(max(0, c - NEAR), c + NEAR + 1) for c in (row, column)
                        )
                        here = float(np.sqrt((error[t, rows, columns] ** 2).mean()))
                        (beside if t in (change - 1, change) else far)[name].append(here)
        for name in quality:
            near, other = (
                f"{np.mean(some[name]):.4f} ± {np.std(some[name]) / len(some[name]) ** 0.5:.4f}"
                for some in (beside, far)
            )
            lines.append(
                f"| P({dose}) | {name} | {np.mean(quality[name]):.2f} | {near} | {other} |"
            )
    return "\n".join(lines)


def advantage(gains: list[Floats]) -> str:
    """Return the mean gain of unseen pixels, and its error."""
    some = np.concatenate(gains)
    return f"{some.mean():.2g} ± {some.std() / some.size**0.5:.1g} nats a pixel"


def counted(path: Path) -> list[str]:
    """Judge a movie of whole counts by electrons that were drawn out of its frames."""
    frames = np.rint(np.load(path)[:, 26:] / 32.0)  # below the label; 32 grey levels an electron
    rng = np.random.default_rng(0)
    held = [hold_out(Micrograph(frame), Poisson(), rng, 2) for frame in frames]
    seen = [one.seen.image for one in held]
    noise = held[0].noise
    alone = [denoise(f, method=METHOD, noise=noise, faults=False).image for f in seen]
    answer = partial(denoise, method=METHOD)
    helped = [
        denoise_among(seen, t, answer, noise=noise, faults=False).image for t in range(len(seen))
    ]
    mean = list(mean_of_all(np.stack(seen), noise))
    before = [alone[0], *alone[:-1]]
    return _rows("HRTEM, thinned", held, alone, helped, mean, before)


def _rows(
    name: str,
    held: list[HeldOut],
    alone: list[Floats],
    helped: list[Floats],
    mean: list[Floats],
    before: list[Floats],
) -> list[str]:
    base = [one.log_prob(image) for one, image in zip(held, alone, strict=True)]
    ways = {"as a movie": helped, "mean of all registered frames": mean, "the frame before": before}
    return [
        f"| {name} | {way} | "
        + advantage(
            [one.log_prob(image) - b for one, image, b in zip(held, images, base, strict=True)]
        )
        + " |"
        for way, images in ways.items()
    ]


def scanned(path: Path) -> list[str]:
    """Judge a movie of whatever noise by the frame that follows, which no answer has seen."""
    frames = np.asarray(io.read(path).data, np.float32)
    noise = identify(frames[0]).noise
    answer: Callable[..., Any] = partial(denoise, method=METHOD)
    gains: dict[str, list[Floats]] = {"as a movie": [], "mean of all registered frames": []}
    gains["the frame itself, noisy"] = []
    for t in range(1, len(frames) - 1):
        past, following = list(frames[: t + 1]), frames[t + 1]
        moved = np.rint(drift([frames[t], following], 0)).astype(int)[1]
        test = np.roll(following, -moved, (0, 1))[16:-16, 16:-16]
        alone = answer(frames[t], noise=noise, faults=False).image
        places = np.rint(drift(past, t)).astype(int)
        mean = np.mean([np.roll(f, -d, (0, 1)) for f, d in zip(past, places, strict=True)], 0)
        others = {
            "as a movie": denoise_among(past, t, answer, noise=noise, faults=False).image,
            "mean of all registered frames": answer(
                mean.astype(np.float32), noise=noise.averaged(len(past)), faults=False
            ).image,
            "the frame itself, noisy": frames[t],
        }
        for name, image in others.items():
            one, other = (
                noise.log_prob(test.astype(float), some[16:-16, 16:-16].astype(float))
                for some in (image, alone)
            )
            gains[name].append((one - other).ravel())
    return [f"| ABF, next frame | {name} | {advantage(some)} |" for name, some in gains.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", type=Path, help="folder of real movies")
    parser.add_argument("--draws", type=int, default=4, help="movies for each dose")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/movies.md")
    options = parser.parse_args()
    warnings.simplefilter("ignore", EmpriorWarning)
    tables = {}
    if options.real:
        rows = ["| movie, judged by | answered | better than frame by frame by |", "|---|---|---|"]
        rows += counted(options.real / "hrtem_movie" / "nanoparticle_5frames_uint8.npy")
        rows += scanned(options.real / "formats" / "stem_abf_data_imagestack.hspy")
        tables["real"] = "\n".join(rows)
        print(tables["real"], flush=True)
    tables["simulated"] = simulated(options.draws)
    print(tables["simulated"])
    if options.write:
        text = DOC.read_text(encoding="utf-8")
        for name, table in tables.items():
            begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
            before, _, rest = text.partition(begin)
            text = f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"
        DOC.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
