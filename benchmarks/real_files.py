"""Measure denoisers on a real micrograph whose truth nobody knows, by thinning its electrons.

    python benchmarks/real_files.py FILE --network WEIGHTS [--write DOCUMENT NAME]

Noise, gain and offset are read from the frame. Of its electrons a share is drawn to be denoised,
blind, by every classical row and by a network; the others, which are independent noise about the
same specimen, judge. The table holds the share of the contrast that an answer leaves unexplained,
less the noise of the judging electrons (that part is the same for all rows, so that differences
between rows do not depend on it). ``--write`` puts it into a file of docs/.
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

ROWS = ("constant", "blur", "wiener", "wavelet", "nlm", "tv", "pooled-wavelet", "pooled-nlm")
SHARES = (0.3, 0.1, 0.03, 0.01)
SIDE = 512


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
    parser.add_argument("--network", required=True, help="weights of a supervised network")
    parser.add_argument("--signal", default=None)
    parser.add_argument("--write", nargs=2, metavar=("DOCUMENT", "NAME"))
    options = parser.parse_args()
    signal = emprior.read(options.file, signal=options.signal)
    frame = np.asarray(signal.data).reshape(-1, *signal.data.shape[-2:])[0]
    middle = tuple(slice(max(0, n - SIDE) // 2, max(0, n - SIDE) // 2 + SIDE) for n in frame.shape)
    counts = electrons(frame)[middle]
    rows: dict[str, dict[str, str]] = {name: {"method": name} for name in ROWS}
    rows["this network"] = {"method": "supervised", "prior": options.network}
    doses = [f"{share * counts.mean():.3g} e" for share in SHARES]
    lines = [f"| electrons a pixel | {' | '.join(doses)} |", "|---|" + "---|" * len(SHARES)]
    for name, row in track(rows.items()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", EmpriorWarning)
            cells = [
                f"{100 * unexplained(counts, share, signal.pixel_size, row, seed):.1f} %"
                for seed, share in enumerate(SHARES)
            ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    result = "\n".join(lines)
    print(result)
    if options.write:
        rewrite(*options.write, result)


if __name__ == "__main__":
    main()
