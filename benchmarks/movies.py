"""Measure what neighbouring frames add to a movie, and that they blur no change.

    python benchmarks/movies.py [--real FOLDER] [--draws 4] [--write]
    python benchmarks/movies.py --prior DATA [--doses 10] [--write]

Movies are drawn here: a crystal beside vacuum that drifts, in which one column vanishes and another
appears at known frames. `--real` names the folder of real movies, of which nobody knows the truth:
they are judged by data that the answers have not seen. `--prior` names a simulated data set, of
which a structure drifts likewise, for the prior alone (minutes). ``--write`` puts the tables into
docs/movies.md.
"""

from __future__ import annotations

import argparse
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from marked import rewrite
from numpy.typing import NDArray
from rich.progress import track

from emprior import io
from emprior.api import denoise
from emprior.datasets import Dataset
from emprior.drift import drift
from emprior.errors import EmpriorWarning
from emprior.evidence import HeldOut, hold_out
from emprior.identify import identify
from emprior.micrograph import Micrograph
from emprior.movie import denoise_among, denoise_movie
from emprior.noise import NoiseModel, Poisson
from emprior.simulate.imaging import exit_wave, form_image, single_threaded, transmit
from emprior.simulate.recipe import Group
from emprior.specimen import Structure

Floats = NDArray[np.floating]

METHOD = "pooled-wavelet"
SIZE, PIXEL_SIZE, FRAMES = 192, 0.1, 12  # pixels, Å
WIDTH, HEIGHT = 0.45, 0.25  # of a column: standard deviation in Å, peak above vacuum of 0.45
VANISHES, APPEARS = 6, 5  # first frames without and with
NEAR = 7  # pixels about a column that are judged
STEP = 0.5  # pixels of drift from frame to frame, standard deviation along each axis
SHORT, SIDE, IMAGE = 6, 256, 2  # frames, pixels, image of the data set, for the prior


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


def specimen(data: Path, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int_], float]:
    """Return the same of a structure of a data set, in half as many frames, and its pixel size.

    Two columns of metal are taken out of the atoms, so that each frame is a multislice image.
    """
    shown = Dataset.open(data)
    structure, optics = shown.structure(shown.structure_id(IMAGE)), shown.optics(IMAGE)
    view = replace(shown.view(IMAGE), shape=(SIDE, SIDE))
    group = Group(**shown.manifest["recipe"]["group"][0])
    columns, atoms = structure.columns(), view.to_pixels(structure.projected(optics.tilt))
    where = np.stack([np.bincount(columns.index, axis) for axis in atoms.T], 1)
    where /= columns.counts[:, None]
    away = np.abs(where - SIDE / 2).max(1)
    inner = np.flatnonzero((away < SIDE / 2 - 30) & (columns.numbers > 8))
    lost, new = rng.choice(inner, 2, False)
    moved = np.cumsum(rng.normal(0, STEP, (SHORT, 2)), 0)
    waves: dict[tuple[bool, bool], Any] = {}
    frames = []
    for t, by in enumerate(moved):
        gone = t >= VANISHES // 2, t < APPEARS // 2
        with single_threaded():
            if gone not in waves:
                absent = [
                    column for column, is_gone in zip((lost, new), gone, strict=True) if is_gone
                ]
                left = ~np.isin(columns.index, absent)
                some = Structure(structure.positions[left], structure.numbers[left], structure.cell)
                slices = transmit(some, group, optics.energy, optics.absorption)
                waves[gone] = exit_wave(slices, optics.tilt)
            x, y = view.to_plane((SIDE - 1) / 2 - by)
            frames.append(form_image(waves[gone], optics, replace(view, centre=(x, y))))
    places = np.rint(where[[lost, new], None] + moved).astype(int)
    return np.stack(frames).astype(float), places, view.pixel_size


def mean_of_all(
    noisy: Floats, noise: NoiseModel, method: str = METHOD, pixel_size: float | None = PIXEL_SIZE
) -> Floats:
    """Return the answer to the mean of all frames, registered, at the place of each."""
    moved = np.rint(drift(list(noisy), 0)).astype(int)
    mean = np.mean([np.roll(f, -d, (0, 1)) for f, d in zip(noisy, moved, strict=True)], 0)
    averaged = noise.averaged(len(noisy))
    answer = denoise(mean, method=method, pixel_size=pixel_size, noise=averaged, faults=False).image
    return np.stack([np.roll(answer, d, (0, 1)) for d in moved])


def answers(
    noisy: Floats, noise: NoiseModel, method: str = METHOD, pixel_size: float = PIXEL_SIZE
) -> dict[str, Floats]:
    """Return the frames as each way of denoising answers."""
    alone = np.stack([denoise(f, method=method, pixel_size=pixel_size).image for f in noisy])
    helped = denoise_movie(noisy, method=method, pixel_size=pixel_size)
    return {
        "frame by frame": alone,
        "the answer to the frame before": np.concatenate([alone[:1], alone[:-1]]),
        "mean of all registered frames": mean_of_all(noisy, noise, method, pixel_size),
        "**as a movie**": np.stack([one.image for one in helped]),
    }


Truth = tuple[Floats, NDArray[np.int_]]
"""Clean frames, (T, H, W), and where two columns are in each, (2, T, 2)."""


def table(
    doses: Iterable[int], movies: Callable[[int], Iterable[tuple[Truth, dict[str, Floats]]]]
) -> str:
    """Return errors of movies whose truth is known, given those of a dose with their answers."""
    lines = [
        "| dose | answered | PSNR of the frames [dB] | error at the changed columns, next to the "
        "change | elsewhere in time |",
        "|---|---|---|---|---|",
    ]
    for dose in doses:
        quality, beside, far = (defaultdict[str, list[float]](list) for _ in range(3))
        for (clean, where), answered in movies(dose):
            changes = np.array([VANISHES, APPEARS]) * len(clean) // FRAMES
            for name, images in answered.items():
                error = images - clean
                quality[name] += list(-10 * np.log10((error**2).mean((1, 2))))
                for path, change in zip(where, changes, strict=True):
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


def simulated(doses: Iterable[int], draws: int) -> str:
    """Return the errors of movies of a drawn crystal."""

    def movies(dose: int) -> Iterable[tuple[Truth, dict[str, Floats]]]:
        noise = Poisson(1 / dose)
        for rng in track(np.random.default_rng(dose).spawn(draws), f"P({dose})"):
            truth = movie(rng)
            yield truth, answers(np.stack([noise.sample(f, rng) for f in truth[0]]), noise)

    return table(doses, movies)


def known(doses: Iterable[int], data: Path) -> str:
    """Return the errors of one movie of a specimen that the prior knows."""

    def movies(dose: int) -> Iterable[tuple[Truth, dict[str, Floats]]]:
        noise, rng = Poisson(1 / dose), np.random.default_rng(dose)
        clean, where, pixel_size = specimen(data, rng)
        noisy = np.stack([noise.sample(frame, rng) for frame in clean])
        yield (clean, where), answers(noisy, noise, "prior", pixel_size)

    return table(doses, movies)


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
    parser.add_argument("--prior", type=Path, help="a simulated data set, for the prior alone")
    parser.add_argument("--doses", type=int, nargs="+", default=[1, 10], help="s of P(s)")
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
    name = "prior" if options.prior else "simulated"
    tables[name] = (
        known(options.doses, options.prior)
        if options.prior
        else simulated(options.doses, options.draws)
    )
    print(tables[name])
    if options.write:
        for name, text in tables.items():
            rewrite("movies.md", name, text)


if __name__ == "__main__":
    main()
