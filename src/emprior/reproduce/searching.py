"""How well latent search does on a generator: what several experiments ask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emprior import weights
from emprior.generators import Generator, SideBySide
from emprior.inversion import (
    SEARCHES,
    FirstOrder,
    Inversion,
    LatentProblem,
    PriorStart,
    Search,
    Stage,
    invert,
)
from emprior.noise import Gaussian
from emprior.reproduce import scale

Floats = NDArray[np.floating]

_SQUARES = Gaussian(2**-0.5)  # whose log-density is the squared error of Eq. (2)
_RECORDED = 60  # points of a curve


def squares(generator: Generator, images: Tensor) -> LatentProblem:
    """Return the search of Eq. (2): least squares, no prior, whatever the noise.

    Parameters
    ----------
    generator : Generator
        Of one channel.
    images : (T, h, w) Tensor
        Of the generator's shape.
    """
    return LatentProblem(generator, _SQUARES, images.to(generator.example), prior_weight=0.0)


def algorithm_2(counts: scale.Search) -> Search:
    """Return Algorithm 2 with the counts of a scale."""
    adam = FirstOrder("adam", lr=1e-2)
    stages = Stage(adam, counts.first), Stage(adam, counts.second)
    return Search(PriorStart(counts.starts), stages)


def found(
    generator: Generator, images: Floats, rng: np.random.Generator, search: Search | None = None
) -> tuple[Inversion, Floats]:
    """Search images by least squares, all at once; by default with the quick search.

    Parameters
    ----------
    generator : Generator
    images : (T, h, w) or (T, C, h, w) ndarray
    rng : numpy.random.Generator
    search : Search, optional

    Returns
    -------
    Inversion
    found : ndarray
        The images found, of the shape of those searched for.
    """
    flat = SideBySide(generator)
    given = torch.from_numpy(np.ascontiguousarray(images)).to(generator.example)
    laid_out = flat.measure(given if images.ndim == 4 else given[:, None])[:, 0]
    inversion = invert(squares(flat, laid_out), search or SEARCHES["default"], rng)
    return inversion, flat.images(inversion.image).cpu().numpy().reshape(images.shape)


def decibels(estimate: Floats | Tensor, truth: Floats | Tensor) -> list[float]:
    """Return the PSNR of each image [dB, range 1]; infinite for equal ones."""
    x, y = (np.asarray(images, float) for images in (estimate, truth))
    error = ((x - y) ** 2).reshape(len(x), -1).mean(1)
    with np.errstate(divide="ignore"):
        return (-10 * np.log10(error)).tolist()


def reach(generator: Generator, images: Floats, rng: np.random.Generator) -> dict[str, Any]:
    """Return R: the PSNR of clean images that the generator never saw, found by search [dB].

    One number an image and their median; what the search misses counts as what the generator
    cannot draw.
    """
    scores = decibels(found(generator, images, rng)[1], images)
    return {"r_db": float(np.median(scores)), "r_each_db": scores}


def curve(inversion: Inversion, stage: int | None = None) -> dict[str, list[float]]:
    """Return the best candidate's PSNR against steps: ``step`` and ``psnr_db`` [range 1].

    Of a least-squares search, whose objective is the mean squared error up to a constant.
    """
    constant = 0.5 * np.log(2 * np.pi * _SQUARES.sigma**2)
    steps, scores, before = [], [], 0
    last = None
    for entry in inversion.trace:
        if last is not None and entry["stage"] != last["stage"]:
            before += last["step"] + 1
        last = entry
        if stage is not None and entry["stage"] != stage:
            continue
        best = np.min(np.array(entry["value"], float), axis=1)  # (T,)
        error = np.maximum(best - constant, 1e-16)
        steps.append(before + entry["step"] + 1)
        scores.append(float(np.mean(-10 * np.log10(error))))
    keep = np.unique(np.linspace(0, len(steps) - 1, _RECORDED).round().astype(int))
    return {"step": [steps[k] for k in keep], "psnr_db": [scores[k] for k in keep]}


def load_generator(path: Path) -> Generator:
    """Return the generator in a weight file of a training."""
    network = weights.load(path)[0]
    assert isinstance(network, Generator)
    return network


def samples(generator: Generator, n: int, rng: np.random.Generator, batch: int = 100) -> Floats:
    """Draw images from the prior, (n, C, H, W)."""
    with torch.no_grad():
        drawn = [
            generator(generator.sample_latent(min(batch, n - start), rng)).cpu().numpy()
            for start in range(0, n, batch)
        ]
    return np.concatenate(drawn)
