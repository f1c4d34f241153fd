"""Make a wider encoder of columns that sees just what a narrower one sees, to train on from there.

    python benchmarks/widen_prior.py PRIOR WIDE.safetensors 48 96 192

PRIOR is a shipped name or a weight file, the numbers are the new widths. What is added hears all
channels and is heard by none of the old ones, so that both encoders tell the same until training
goes on, which this checks (Chen, Goodfellow & Shlens, Net2Net, ICLR 2016, with noise for copies).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from emprior import weights
from emprior.generators import ColumnEncoder


@torch.no_grad()
def widened(narrow: ColumnEncoder, widths: list[int]) -> ColumnEncoder:
    """Return an encoder of other widths, none of them smaller, that tells the same."""
    wide = ColumnEncoder(**{**narrow.arguments(), "widths": widths})
    old, bottom, new_bottom = narrow.state_dict(), narrow.widths[-1], widths[-1]
    for name, weight in wide.state_dict().items():
        known = old[name]
        if known.shape == weight.shape:
            weight.copy_(known)
        elif name == "network.tell.0.weight":  # hears the mean of the bottom, then its maximum
            for half in (0, 1):
                weight[:, half * new_bottom :][:, :new_bottom] = 0
                at = slice(half * new_bottom, half * new_bottom + bottom)
                weight[:, at] = known[:, half * bottom : (half + 1) * bottom]
        elif weight.ndim == 1:
            weight.zero_()
            weight[: len(known)] = known
        else:
            transposed = ".back_" in name  # such convolutions have inputs first
            _fill(*((x.transpose(0, 1) if transposed else x) for x in (weight, known)))
    return wide


def _fill(weight: Tensor, known: Tensor) -> None:
    out, heard = known.shape[:2]
    weight[:out] = 0
    weight[:out, :heard] = known


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prior")
    parser.add_argument("wide", type=Path)
    parser.add_argument("widths", type=int, nargs=3)
    arguments = parser.parse_args()
    narrow, card = weights.load(arguments.prior)
    torch.manual_seed(0)
    wide = widened(narrow, arguments.widths)
    shown = narrow.examples()
    with torch.no_grad():
        for before, after in zip(narrow(**shown), wide(**shown), strict=True):
            torch.testing.assert_close(before, after)
    weights.save(arguments.wide, wide, card)


if __name__ == "__main__":
    main()
