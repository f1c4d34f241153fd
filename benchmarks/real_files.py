"""Measure denoisers on real micrographs whose truth nobody knows, by thinning their electrons.

    python benchmarks/real_files.py FILE [--prior NAME] [--network WEIGHTS] [--write DOCUMENT NAME]

Gain and offset are read from each frame. Of its electrons a share is drawn to be denoised, blind,
by every classical row, by a generative prior, and by a network, alone and mixed with Wiener's
filter; the others, which are independent
noise about the same specimen, judge. The table holds the share of the contrast that an answer
leaves unexplained, less the noise of the judging electrons (that part is the same for all rows, so
that differences between rows do not depend on it), as the mean over frames; below it, on how many
frames the prior or network is ahead of all classical rows. ``--write`` puts all of it into a file
of docs/.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from marked import rewrite
from numpy.typing import NDArray
from rich.progress import track

import emprior
from emprior.errors import EmpriorWarning
from emprior.identify import identify
from emprior.noise import Poisson, PoissonGaussian

CLASSICAL = ("constant", "blur", "wiener", "wavelet", "nlm", "tv", "pooled-wavelet", "pooled-nlm")


def electrons(image: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the electrons of each pixel, as far as the frame tells, rounded."""
    noise = identify(image).noise
    if not isinstance(noise, (Poisson, PoissonGaussian)):
        raise SystemExit(f"{noise}: no electrons that could be thinned")
    return np.rint((image.astype(np.float64) - noise.offset) / noise.gain).clip(0).astype(np.int64)


def unexplained(
    counts: NDArray[np.int64], share: float, pixel_size: float, row: dict[str, str], seed: int
) -> float:
    """Return the share of the contrast that an answer to a share of the electrons misses."""
    rng = np.random.default_rng(seed)
    seen = rng.binomial(counts, share)
    rest = counts - seen
    answer = emprior.denoise(
        seen.astype(np.float32), noise="poisson", pixel_size=pixel_size, faults=False, **row
    )
    error = (rest / (1 - share) - answer.image.astype(np.float64) / share).var()
    of_noise = rest.mean() / (1 - share) ** 2
    contrast = (rest / (1 - share)).var() - of_noise
    return float((error - of_noise) / contrast)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--prior", help="name or weights of a generative prior")
    parser.add_argument("--network", help="weights of a supervised network")
    parser.add_argument("--signal", help="number or title of the image in the file")
    parser.add_argument("--side", type=int, default=512, help="the middle is taken [pixels]")
    parser.add_argument("--frames", type=int, default=1)
    parser.add_argument("--pixel-size", type=float, help="where the file tells none [Å]")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.3, 0.1, 0.03, 0.01])
    parser.add_argument("--write", nargs=2, metavar=("DOCUMENT", "NAME"))
    options = parser.parse_args()
    signal = emprior.read(options.file, signal=options.signal)
    pixel_size = options.pixel_size or signal.pixel_size
    frames = np.asarray(signal.data).reshape(-1, *signal.data.shape[-2:])[: options.frames]
    side = options.side
    middle = tuple(
        slice(max(0, n - side) // 2, max(0, n - side) // 2 + side) for n in frames[0].shape
    )
    counts = [electrons(frame[middle]) for frame in frames]
    rows: dict[str, dict[str, str]] = {name: {"method": name} for name in CLASSICAL}
    if options.prior:
        rows["prior"] = {"method": "prior", "prior": options.prior}
    if options.network:
        rows["network"] = {"method": "supervised", "prior": options.network}
        rows["mixed"] = {"method": "supervised-mixed", "prior": options.network}
    missed = np.empty((len(rows), len(options.shares), len(counts)))
    for row, settings in enumerate(track(rows.values())):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", EmpriorWarning)
            for number, share in enumerate(options.shares):
                for n, frame in enumerate(counts):
                    missed[row, number, n] = unexplained(frame, share, pixel_size, settings, n)
    doses = [f"{share * np.mean(counts):.2g} e" for share in options.shares]
    lines = [f"| electrons a pixel | {' | '.join(doses)} |", "|---|" + "---|" * len(doses)]
    for name, values in zip(rows, missed, strict=True):
        cells = [f"{100 * value:.1f} %" for value in values.mean(-1)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines.append("")
    best = missed[: len(CLASSICAL)].min(0)  # frame by frame: no row is chosen beforehand
    for name, values in list(zip(rows, missed, strict=True))[len(CLASSICAL) :]:
        ahead = " and ".join(
            f"{(values < best)[k].sum()} at {dose}" for k, dose in enumerate(doses)
        )
        lines.append(
            f"Of {len(counts)} frames, `{name}` leaves less than every classical row on {ahead}."
        )
    result = "\n".join(lines)
    print(result)
    if options.write:
        rewrite(*options.write, result)


if __name__ == "__main__":
    main()
