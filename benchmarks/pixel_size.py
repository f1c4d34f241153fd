"""Measure how well the pixel size is found from the lattice.

    python benchmarks/pixel_size.py CLEAN_IMAGES [--images 10] [--write]

The pixels of simulated frames, with noise, are given without their size. ``--write`` puts the table
into docs/files.md. About ten seconds a frame and thread.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from marked import rewrite
from rich.progress import track

import emprior
from emprior.evaluate.frames import open_frames
from emprior.noise_names import noise_model

NOISES = ("P(10)", "P(1)")
PIXEL_SIZE, SIDE = 0.0489, 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="data set of clean images, not trained on")
    parser.add_argument("--images", type=int, default=10)
    parser.add_argument("--write", action="store_true", help="put the table into docs/files.md")
    options = parser.parse_args()
    frames = open_frames(options.data, max_images=options.images, finest=PIXEL_SIZE, crop=SIDE)
    lines = ["| noise | frames | found | error, median | largest |", "|---|---|---|---|---|"]
    for label in NOISES:
        model, errors = noise_model(label), []
        assert model is not None
        for number, frame in enumerate(track(frames, label)):
            clean = frame.load().image
            found = emprior.find_pixel_size(model.sample(clean, np.random.default_rng(number)))
            if found is not None:
                errors.append(abs(found / PIXEL_SIZE - 1))
        told = [f"{value:.1%}".replace("%", " %") for value in (np.median(errors), max(errors))]
        lines.append(f"| {label} | {len(frames)} | {len(errors)} | {told[0]} | {told[1]} |")
    result = "\n".join(lines)
    print(result)
    if options.write:
        rewrite("files.md", "pixel size", result)


if __name__ == "__main__":
    main()
