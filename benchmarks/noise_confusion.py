"""Measure how often the noise of a frame is identified, and how far off its numbers are.

    python benchmarks/noise_confusion.py [FOLDER_OF_CLEAN_IMAGES] [--draws 12] [--write]

Clean images are crystals beside vacuum drawn here, unless a folder of clean images in units where
vacuum is about 0.5 is given. Each is corrupted with each noise, identified blind, and counted.
``--write`` puts the table into docs/noise.md.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from marked import rewrite
from numpy.typing import NDArray
from rich.progress import track

from emprior import io
from emprior.identify import identify
from emprior.noise import ClippedPoisson, Gaussian, NoiseModel, Poisson, PoissonGaussian

NOISES: dict[str, NoiseModel] = {
    **{f"P({s:g})": Poisson(1 / s) for s in (0.5, 1, 10, 25, 100)},
    **{f"P({s:g}) clipped at 1": ClippedPoisson(1 / s, 0.0, 1.0) for s in (1, 2, 10, 25)},
    **{f"Gaussian {sigma:g}": Gaussian(sigma) for sigma in (0.02, 0.1, 0.2, 0.5, 1)},
    "P(1) + readout 0.05": PoissonGaussian(1.0, 0.0, 0.05),
    "P(10) + readout 0.1": PoissonGaussian(0.1, 0.0, 0.1),
    "P(100) + readout 0.05": PoissonGaussian(0.01, 0.0, 0.05),
}
CAMERAS: dict[str, tuple[float, Poisson]] = {
    "20 electrons at 7.3 above 100": (20, Poisson(7.3, 100.0)),
    "3.5 electrons at 32": (3.5, Poisson(32.0)),
}
"""Whole grey levels: electrons at intensity 1, and the noise of grey levels."""
STRETCHED = {f"P({s:g}) stretched to 8 bits": s for s in (10, 100)}
"""Black is the least count and white the largest, as in exports with automatic contrast."""
SHAPES = ((512, 512), (128, 96), (48, 64))
KINDS = (Poisson, ClippedPoisson, Gaussian, PoissonGaussian)


def crystals(shape: tuple[int, int], draws: int) -> Iterator[NDArray[np.float32]]:
    """Draw lattices at random turns beside vacuum of 0.45, at 0.05 Å and 0.1 Å per pixel."""
    rng = np.random.default_rng(0)
    for draw in range(draws):
        y, x = np.indices(shape) * (0.05, 0.1)[draw % 2]
        turn, spacing = rng.uniform(0, np.pi), rng.uniform(1.9, 2.8)
        u = (np.cos(turn) * x + np.sin(turn) * y) / spacing
        w = (np.cos(turn) * y - np.sin(turn) * x) / spacing
        columns = np.exp(1.3 * (np.cos(2 * np.pi * u) + np.cos(2 * np.pi * w) - 2))
        inside = 1 / (1 + np.exp(-12 * (x / x.max() - rng.uniform(0.3, 0.6))))
        contrast = rng.uniform(0.2, 0.8)
        yield (0.45 + inside * (contrast * (columns - 0.25) - 0.05)).astype(np.float32)


def images(
    folder: Path | None, shape: tuple[int, int], draws: int
) -> Iterator[NDArray[np.floating]]:
    """Return clean images, cut at their middle to the shape."""
    if folder is None:
        yield from crystals(shape, draws)
        return
    for path in sorted(p for p in folder.iterdir() if p.is_file())[:draws]:
        data = io.read(path).data
        image = np.asarray(data[(0,) * (data.ndim - 2)], np.float32)
        r, c = ((n - m) // 2 for n, m in zip(image.shape, shape, strict=True))
        yield image[max(r, 0) :, max(c, 0) :][: shape[0], : shape[1]]


def corrupted(
    name: str, clean: NDArray[np.floating], rng: np.random.Generator
) -> tuple[NDArray[np.floating], NoiseModel]:
    """Return a noisy frame, and the noise that is in it."""
    if name in CAMERAS:
        electrons, camera = CAMERAS[name]
        return np.round(camera.sample(camera.offset + camera.gain * electrons * clean, rng)), camera
    if name in STRETCHED:
        counts = rng.poisson(STRETCHED[name] * clean)
        gain = 255 / float(np.ptp(counts))
        levels = np.round(gain * (counts - counts.min()))
        return levels, Poisson(gain, -gain * float(counts.min()))
    return NOISES[name].sample(clean, rng), NOISES[name]


def table(folder: Path | None, draws: int) -> str:
    """Return the confusion of kinds and the errors of gains and sigmas, as Markdown."""
    lines = [
        "| noise | frame | "
        + " | ".join(kind.__name__ for kind in KINDS)
        + " | gain or sigma off by |",
        "|---|---|" + "---|" * (len(KINDS) + 1),
    ]
    cases = [(name, shape) for name in (*NOISES, *CAMERAS, *STRETCHED) for shape in SHAPES]
    for i, (name, shape) in enumerate(track(cases, "identifying")):
        found, errors = Counter[type[NoiseModel]](), []
        for rng, clean in zip(
            np.random.default_rng([1, i]).spawn(draws), images(folder, shape, draws), strict=False
        ):
            frame, true = corrupted(name, clean, rng)
            noise = identify(frame).noise
            found[type(noise)] += 1
            scale = "gain" if hasattr(true, "gain") else "sigma"
            if hasattr(noise, scale):
                errors.append(abs(getattr(noise, scale) / getattr(true, scale) - 1))
        counts = (
            f"**{found[kind]}**" if kind is type(true) and found[kind] else str(found[kind] or "")
            for kind in KINDS
        )
        off = f"{np.median(errors):.1%} (worst {max(errors):.1%})" if errors else "not comparable"
        lines.append(f"| {name} | {shape[0]} × {shape[1]} | {' | '.join(counts)} | {off} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="of clean images")
    parser.add_argument("--draws", type=int, default=12, help="images for each row")
    parser.add_argument("--write", action="store_true", help="put the table into docs/noise.md")
    options = parser.parse_args()
    result = table(options.folder, options.draws)
    print(result)
    if options.write:
        rewrite("noise.md", "confusion", result)


if __name__ == "__main__":
    main()
