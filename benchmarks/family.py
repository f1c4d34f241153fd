"""Measure whether the default prior knows what it was made for, and nothing else.

    python benchmarks/family.py CLEAN_IMAGES [--images 12] [--write]

Each clean image of platinum on ceria, and frames of other things drawn here, get noise and are
asked about, blind; about five seconds a frame and thread. ``--write`` puts the table into
docs/trust.md.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from marked import rewrite
from numpy.typing import NDArray
from rich.progress import track
from scipy import ndimage

from emprior.contest import contest
from emprior.denoisers.prior import Prior
from emprior.evaluate.frames import open_frames
from emprior.family import KINDS
from emprior.micrograph import Micrograph
from emprior.noise_names import noise_model
from emprior.noise_spec import resolve

NOISES = ("P(1)", "P(10)", "P(25)", "G(1)")
SHAPE, PIXEL_SIZE = (512, 512), 0.0489

Draw = Callable[[np.random.Generator], NDArray[np.float64]]


def lattice(spacing: float, angle: float = 90.0) -> Draw:
    """Return columns on a lattice of two equal vectors [Å], turned at random, in half the frame."""

    def draw(rng: np.random.Generator) -> NDArray[np.float64]:
        y, x = PIXEL_SIZE * np.indices(SHAPE)
        turn, tilt = rng.uniform(0, np.pi), np.deg2rad(angle)
        across = np.sin(tilt) * spacing
        u = (np.cos(turn) * x + np.sin(turn) * y) / across
        w = (np.cos(turn + tilt) * x + np.sin(turn + tilt) * y) / across
        phase = rng.uniform(0, 2 * np.pi, 2)
        columns = np.cos(2 * np.pi * u + phase[0]) + np.cos(2 * np.pi * w + phase[1])
        inside = 1 / (1 + np.exp((x - x.max() * rng.uniform(0.4, 0.8)) / 0.5))
        return 0.45 + inside * 0.2 * (np.exp(columns - 2) - 0.3)

    return draw


def fringes(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a lattice of which one direction is resolved."""
    y, x = PIXEL_SIZE * np.indices(SHAPE)
    turn = rng.uniform(0, np.pi)
    return 0.45 + 0.06 * np.cos(2 * np.pi * (np.cos(turn) * x + np.sin(turn) * y) / 3.1)


def amorphous(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a film without order, band-limited as a microscope is."""
    rough = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 0.6 / PIXEL_SIZE)
    return 0.45 + 0.05 * rough / rough.std()


def vacuum(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return nothing."""
    return np.full(SHAPE, 0.45)


OTHERS: dict[str, Draw] = {
    "square lattice, 2.0 Å": lattice(2.0),
    "square lattice, 4.0 Å": lattice(4.0),
    "hexagonal lattice, 1.4 Å": lattice(1.4, 60),
    "hexagonal lattice, 3.6 Å": lattice(3.6, 60),
    "fringes of 3.1 Å": fringes,
    "amorphous film": amorphous,
    "vacuum": vacuum,
}


def frames(data: Path, images: int) -> Iterator[tuple[str, NDArray[np.floating], float]]:
    """Return what frames show, the clean frames, and the pixel size that is told."""
    opened = open_frames(data, max_images=images, finest=PIXEL_SIZE, crop=SHAPE[0])
    for frame in opened:
        yield "platinum on ceria", frame.load().image, PIXEL_SIZE
    for frame in opened[: max(1, images // 3)]:
        yield "the same, pixel size told 20 % too large", frame.load().image, 1.2 * PIXEL_SIZE
    for name, draw in OTHERS.items():
        for rng in np.random.default_rng(0).spawn(max(1, images // 3)):
            yield name, draw(rng), PIXEL_SIZE


def table(found: dict[tuple[str, str], Counter[str]]) -> str:
    """Return how many frames are of which kind, as Markdown."""
    lines = [f"| {' / '.join(reversed(KINDS))} | {' | '.join(NOISES)} |", "|---|" + "---|" * 4]
    for name in dict.fromkeys(name for name, _ in found):
        counts = (found[name, label] for label in NOISES)
        cells = (" / ".join(str(count[kind]) for kind in reversed(KINDS)) for count in counts)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="data set of clean images, not trained on")
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--write", action="store_true", help="put the table into docs/trust.md")
    options = parser.parse_args()
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    shown = list(frames(options.data, options.images))
    for number, (name, clean, pixel_size) in enumerate(track(shown)):
        for place, label in enumerate(NOISES):
            model, rng = noise_model(label), np.random.default_rng([number, place])
            assert model is not None
            noisy = Micrograph(model.sample(clean, rng).astype(np.float32), pixel_size)
            noise = resolve("auto", noisy.image).noise
            found[name, label][contest(Prior(), noisy, noise, rng).family.kind] += 1
    result = table(found)
    print(result)
    if options.write:
        rewrite("trust.md", "family", result)


if __name__ == "__main__":
    main()
