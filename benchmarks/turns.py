"""Measure what the default prior makes of frames at any turn.

    python benchmarks/turns.py CLEAN_IMAGES [--images 6] [--write]

Images are turned before they get noise, and the prior answers without a contest; some five seconds
a frame and thread. ``--write`` puts the table into docs/how-it-works.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from marked import rewrite
from rich.progress import track
from scipy import ndimage

from emprior.denoisers.prior import Prior
from emprior.evaluate.frames import open_frames
from emprior.metrics import psnr
from emprior.micrograph import Micrograph
from emprior.noise_names import noise_model

NOISES = ("P(10)", "P(1)")
TURNS = (0, 17, 45, 90, 135, 180, 237, 270)  # degrees
PIXEL_SIZE, SIDE = 0.0489, 512
NEAR = 15  # degrees


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="data set of clean images, not trained on")
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--write", action="store_true", help="put the table into docs")
    options = parser.parse_args()
    frames = open_frames(options.data, max_images=options.images, finest=PIXEL_SIZE)
    lines = [
        f"| noise | {' | '.join(f'{turn}°' for turn in TURNS)} | turn seen |",
        "|---|" + "---|" * (len(TURNS) + 1),
    ]
    for label in NOISES:
        noise, cells, seen = noise_model(label), [], 0
        assert noise is not None
        for turn in track(TURNS, label):
            scores = []
            for number, frame in enumerate(frames):
                whole = ndimage.rotate(frame.load().image.astype(np.float64), turn, reshape=False)
                middle = tuple(slice((n - SIDE) // 2, (n + SIDE) // 2) for n in whole.shape)
                clean, rng = whole[middle], np.random.default_rng(number)
                noisy = Micrograph(noise.sample(clean, rng).astype(np.float32), PIXEL_SIZE)
                answer, fits = Prior().fit(noisy, noise, rng)
                scores.append(psnr(answer.image, clean, data_range=1))
                # Images turn anticlockwise, frames are turned back clockwise.
                seen += (
                    abs((fits[0].pose.turn - turn + 90) % 180 - 90) < NEAR
                )  # half a turn is none
            cells.append(f"{np.median(scores):.1f} ({min(scores):.1f})")
        cells.append(f"{seen} of {len(TURNS) * len(frames)}")
        lines.append(f"| {label} | {' | '.join(cells)} |")
    result = "\n".join(lines)
    print(result)
    if options.write:
        rewrite("how-it-works.md", "turns", result)


if __name__ == "__main__":
    main()
