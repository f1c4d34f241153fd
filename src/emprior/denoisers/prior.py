"""The generative prior: the image in a generator's range that best explains the noisy one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from emprior.denoisers.base import Denoiser, Estimate
from emprior.denoisers.classical import Constant
from emprior.device import choose_device
from emprior.errors import OptionError
from emprior.generators import Generator
from emprior.grid import Tile, blend, pool, tiles
from emprior.inversion import (
    SEARCHES,
    Exposure,
    GaussNewton,
    GivenStart,
    LatentProblem,
    Search,
    Stage,
    View,
    invert,
)
from emprior.micrograph import Micrograph
from emprior.noise import Gaussian, NoiseModel
from emprior.weights import load

NATIVE_PIXEL_SIZE = 0.0489
"""Å per pixel of the micrographs that the paper and the shipped priors were trained for."""

_TYPICAL_MEAN, _TYPICAL_SD = 0.44, 0.05  # of clean images whose vacuum is 0.45
_AT_ONCE = 8  # tiles searched together; bounds memory on large images


@dataclass(frozen=True)
class Prior(Denoiser):
    """Latent search in a trained generator.

    Parameters
    ----------
    prior : str or path
        A shipped prior's name or a weight file.
    search : str
        One of `emprior.inversion.SEARCHES`; "paper" is Algorithm 2 with the paper's counts.
    device : str
        "auto" takes a GPU where there is one.
    exposed : bool
        True: brightness and contrast of the data are found too. False: the data is known to have
        its vacuum at 0.45, as the paper assumes.
    progress : callable, optional
        Called with the share of work done, from 0 to 1.

    Notes
    -----
    Wrong for what the generator never saw: it then returns the nearest thing it knows. Images
    larger than the generator's field are searched in overlapping tiles; smaller ones see only
    the middle of the field. Without a pixel size the data is taken at 0.0489 Å.
    """

    prior: str | Path = "default"
    search: str = "default"
    device: str = "auto"
    exposed: bool = True
    progress: Callable[[float], None] | None = field(default=None, compare=False, repr=False)

    def __call__(
        self, micrograph: Micrograph, noise: NoiseModel, rng: np.random.Generator
    ) -> Estimate:
        """Estimate the unclipped mean of a micrograph."""
        return self.fit(micrograph, noise, rng)[0]

    def fit(
        self,
        micrograph: Micrograph,
        noise: NoiseModel,
        rng: np.random.Generator,
        latent: Tensor | None = None,
    ) -> tuple[Estimate, Tensor]:
        """Denoise, and return the latent vectors of the tiles, (T, D), too.

        Parameters
        ----------
        latent : (T, D) Tensor, optional
            Found before on nearly the same data; the search then only refines them.
        """
        if self.search not in SEARCHES:
            raise OptionError(
                f"a search named {self.search!r}",
                expected=f"one of {', '.join(SEARCHES)}",
                why="each name fixes starts, solvers and steps",
                fix="correct the name",
            )
        generator, card = load(self.prior)
        generator = generator.to(choose_device(self.device))
        pitch = (micrograph.pixel_size or NATIVE_PIXEL_SIZE) / generator.pixel_size
        windows = _windows(micrograph.shape, generator.image_shape, pitch)
        exposure = guess_exposure(micrograph, noise) if self.exposed else Exposure()

        images: list[Any] = []
        found: list[Tensor] = []
        trace: dict[str, Any] = {"prior": str(self.prior), "data": card.data, "search": self.search, "tiles": len(windows)}
        statuses: list[str] = []
        for first in range(0, len(windows), _AT_ONCE):
            chunk = slice(first, first + _AT_ONCE)
            problem, full = _problem(generator, micrograph, noise, windows[chunk], pitch, exposure)
            search = SEARCHES[self.search] if latent is None else _refine(latent[chunk])

            def progress(share: float, first: int = first) -> None:
                if self.progress:
                    self.progress(min(1.0, (first + share * _AT_ONCE) / len(windows)))

            inversion = invert(problem, search, rng, progress=progress)
            with torch.no_grad():
                image = problem.image(inversion.latent[:, None], full)[:, 0]
            images += list(image.cpu().numpy())
            found.append(inversion.latent)
            statuses += [status.name.lower() for status in inversion.status]
            trace["passes"] = trace.get("passes", 0) + inversion.passes
        trace["status"] = statuses
        latents = torch.cat(found)
        trace["latent"] = latents.tolist()
        image = blend(micrograph.shape, windows, images).astype(np.float32)
        return Estimate(image, trace=trace), latents


def guess_exposure(micrograph: Micrograph, noise: NoiseModel) -> Exposure:
    """Return the exposure that gives the data a typical mean and contrast.

    Counted electrons have a known zero, so only their unit is free; Gaussian noise tells nothing
    of the zero, so both are.
    """
    mean = float(Constant()(micrograph, noise, np.random.default_rng(0)).image.mean())
    if not isinstance(noise, Gaussian):
        origin = float(getattr(noise, "offset", 0.0))
        return Exposure(max(mean - origin, 1e-12) / _TYPICAL_MEAN, origin, free=1)
    factor = max(1, min(8, min(micrograph.shape) // 8))
    spread = float(pool(micrograph.image, factor).var()) - noise.sigma**2 / factor**2
    floor = (noise.sigma / factor / 10) ** 2
    unit = max(spread, floor) ** 0.5 / _TYPICAL_SD
    return Exposure(unit, mean - _TYPICAL_MEAN * unit, free=2)


def _windows(shape: tuple[int, int], field: tuple[int, int], pitch: float) -> list[Tile]:
    """Cover the image with windows of at most the generator's field."""
    h, w = (min(n, max(1, int(f / pitch + 1e-6))) for n, f in zip(shape, field, strict=True))
    return tiles(shape, (h, w), overlap=min(h, w) // 4)


def _problem(
    generator: Generator,
    micrograph: Micrograph,
    noise: NoiseModel,
    windows: list[Tile],
    pitch: float,
    exposure: Exposure,
) -> tuple[LatentProblem, View]:
    """Pose the inversion of some windows; return it and the view on all their pixels."""
    like = next(generator.parameters())
    noisy = np.stack([micrograph.image[window] for window in windows])
    h, w = noisy.shape[-2:]
    # Averages of counts are counts again: fewer numbers, the same likelihood.
    factor = max(1, min(int(1 / pitch + 1e-6), h // 8, w // 8))
    pooled = noise.pooled(factor) if factor > 1 else noise
    if pooled is None:
        factor, pooled = 1, noise
    field = generator.image_shape
    problem = LatentProblem(
        generator,
        pooled,
        torch.from_numpy(np.ascontiguousarray(pool(noisy, factor))).to(like),
        view=View.centred(field, (h, w), pitch, factor),
        exposure=exposure,
    )
    return problem, View.centred(field, (h, w), pitch).to(like)


def _refine(latent: Tensor) -> Search:
    return Search(GivenStart(latent[:, None]), (Stage(GaussNewton(), 6),))
