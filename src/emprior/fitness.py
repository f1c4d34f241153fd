r"""Whether a prior is good enough, for which noise, and what to change where it is not.

Images that it was not trained on are denoised with it and with the pooled wavelet, which knows
nothing. Without noise the prior reaches its range R; with noise the working law (`emprior.law`)

.. math:: \mathrm{MSE} \approx 10^{-R/10} + p\,v/N

splits its error into its own, which only a better prior lowers, and that of p free numbers, which
only more electrons or fewer freedoms lower.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emprior import law, records, weights
from emprior.datasets import Dataset
from emprior.denoisers.networks import check_network
from emprior.errors import EmpriorError, OptionError
from emprior.evaluate import EvaluationRecipe, run
from emprior.regressors import Regressor
from emprior.stored import ARCHITECTURES

NOISES = ("P(100)", "P(25)", "P(10)", "P(1)")
_FREE, _PRIOR, _TRIVIAL, _KNOWN = "none", "prior", "pooled-wavelet", "trained-on"
_COVERED = 0.9  # share of images that a good prior serves better
_GAP = 1.5  # dB by which images of the training are drawn better where structures are too few


@dataclass(frozen=True)
class Level:
    """How a prior does at one noise; medians over images, PSNR of range 1.

    Parameters
    ----------
    noise : str
    psnr, law, trivial : float
        Reached, given by the law, and reached by the pooled wavelet [dB].
    lead : float
        Of the prior on the pooled wavelet, image by image [dB].
    coverage : float
        Share of the images on which its own error, without any noise, is below the wavelet's here.
    own : float
        Share of the prior's error that is its own.
    """

    noise: str
    psnr: float
    law: float
    trivial: float
    lead: float
    coverage: float
    own: float

    @property
    def enough(self) -> bool:
        """Whether the prior is good enough for this noise."""
        return self.lead > 0 and self.coverage >= _COVERED


@dataclass(frozen=True)
class Fitness:
    """How good a prior is.

    Parameters
    ----------
    images : int
        On which it was measured.
    range_db : float
        R: median PSNR without noise [dB].
    parameters : float
        p: median over images and noises of the effective free numbers.
    levels : tuple of Level
    known_db : float, optional
        R of images that it was trained on, where they are here [dB].
    """

    images: int
    range_db: float
    parameters: float
    levels: tuple[Level, ...]
    known_db: float | None = None

    @property
    def enough(self) -> tuple[str, ...]:
        """The noises that the prior is good enough for."""
        return tuple(level.noise for level in self.levels if level.enough)

    def lines(self) -> list[str]:
        """Say it: figures, answer, and what to change."""
        known = "" if self.known_db is None else f" ({self.known_db:.1f} dB on training images)"
        figures = (
            f"R = {self.range_db:.1f} dB without noise{known}, p = {self.parameters:.0f} free "
            f"numbers; medians of {self.images} images"
        )
        head = ("noise", "PSNR", "law", "wavelet", "lead", "coverage", "own error")
        rows = [
            (
                level.noise,
                *(f"{value:.1f}" for value in (level.psnr, level.law, level.trivial)),
                f"{level.lead:+.1f}",
                *(f"{share:.0%}" for share in (level.coverage, level.own)),
            )
            for level in self.levels
        ]
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        table = [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in (head, *rows)
        ]
        return [figures, *table, self.answer(), *self.advice()]

    def answer(self) -> str:
        """Return the answer in a sentence."""
        lacking = [level.noise for level in self.levels if not level.enough]
        if not lacking:
            return "Good enough at every noise that was tried."
        if not self.enough:
            return (
                "Not good enough at any noise that was tried: the pooled wavelet is the safer one."
            )
        return f"Good enough for {', '.join(self.enough)}; not for {', '.join(lacking)}."

    def advice(self) -> list[str]:
        """Return what to change where it is not good enough."""
        lacking = [level for level in self.levels if not level.enough]
        told = []
        if any(level.own >= 0.5 or level.coverage < _COVERED for level in lacking):
            told.append(self._widen())
        if any(level.own < 0.5 and level.lead <= 0 for level in lacking):
            told.append(
                "It has more freedom than the noise lets it settle: narrow what the simulation "
                "varies to what you know (thickness, defocus, place), of a GAN take fewer latent "
                "numbers (nz), or take more electrons."
            )
        return told

    def _widen(self) -> str:
        why = "It cannot draw these images well enough even without noise: "
        if self.known_db is None:
            return why + (
                "train longer, with a wider network (ngf, widths, width), on more structures; a "
                "GAN with more latent numbers (nz)."
            )
        if self.known_db - self.range_db > _GAP:
            return why + (
                f"those it was trained on it draws {self.known_db - self.range_db:.1f} dB better, "
                "so simulate more structures, not more images of each."
            )
        return why + (
            "those it was trained on no better, so train longer, or with a wider network (ngf, "
            "widths, width); a GAN with more latent numbers (nz)."
        )


def assess(
    prior: str | Path,
    data: str | Path,
    directory: str | Path,
    *,
    images: int = 16,
    noises: Sequence[str] = NOISES,
    pixel_size: float | None = None,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Fitness:
    """Measure how good a prior is on images that it was not trained on.

    Parameters
    ----------
    prior : str or path
        A generator, an encoder or a regressor, by its name or its file.
    data : path
        A simulated data set of other structures of the same kind.
    directory : path
        Gets the records, as `emprior.evaluate.run` writes them; an assessment that was stopped
        goes on.
    images : int
        At most so many of them, spread over the set.
    noises : sequence of str
        As evaluations call them, of single pixels.
    pixel_size : float, optional
        Of the pixels that noise is drawn for [Å]; by default those of the data set.
    seed : int
        Of noise and searches.
    progress : callable, optional
        Called with the share of work done, from 0 to 1.

    Raises
    ------
    InputError
        If prior or data cannot be used, or the prior was trained on the data.
    OutputError
        If the directory cannot be written, or holds records of something else.

    Notes
    -----
    The noise is told to both methods, and the prior answers with its inversion alone: the answer
    is about the prior, not about what `emprior.denoise` adds and checks. Regressors have no range;
    theirs is the PSNR without noise.
    """
    card = weights.read_card(prior)
    regressor = issubclass(ARCHITECTURES.get(str(card.architecture.get("type")), object), Regressor)
    method = "supervised" if regressor else "prior"
    check_network(method, prior)
    held_out = Dataset.open(data)
    if card.data == held_out.hash:
        raise OptionError(
            f"{data}, the data set that {prior} was trained on",
            expected="a data set of other structures",
            why="a prior may know the images that it was trained on by heart",
            fix="simulate another one with another seed",
        )
    row = {"method": method, "label": _PRIOR, "prior": str(prior), "force": method == "prior"}
    if not regressor:
        row["depth"] = "inversion"
    common = {
        "noise": "known",
        "seed": seed,
        "pixel_size": pixel_size or held_out.pixel_size,
    }
    parts = [
        {
            "data": [{"path": str(data), "max_images": images}],
            "denoisers": [_TRIVIAL, row],
            "noises": [_FREE, *noises],
        }
    ]
    if (trained := _trained_on(card)) is not None:
        source = {"path": str(trained.directory), "max_images": images}
        parts.append({"data": [source], "denoisers": [row], "noises": [_FREE]})
    found = []
    for number, part in enumerate(parts):
        done = None
        if progress:

            def done(share: float, number: int = number) -> None:
                progress((number + share) / len(parts))

        recipe = EvaluationRecipe.from_dict({**common, **part})
        place = Path(directory) / ("held-out", _KNOWN)[number]
        found.append(records.read(run(recipe, place, progress=done)))
    return _judged(*found)


def _trained_on(card: weights.Card) -> Dataset | None:
    """Return the data set of a prior's training, where it is still there."""
    try:
        data = Dataset.open(card.recipe["data"]["path"])
    except (EmpriorError, KeyError, TypeError):
        return None
    return data if data.hash == card.data else None


def _judged(
    held_out: Sequence[Mapping[str, Any]], known: Sequence[Mapping[str, Any]] = ()
) -> Fitness:
    psnr = {(r["denoiser"], r["noise"], r["image"]): float(r["psnr_db"]) for r in held_out}
    images = list(dict.fromkeys(r["image"] for r in held_out))
    ranges = {image: psnr[_PRIOR, _FREE, image] for image in images}
    # Of one pixel's noise over the number of pixels, image by image.
    spread = {
        (r["noise"], r["image"]): (r["noise_variance"], math.prod(r["shape"])) for r in held_out
    }
    noises = [n for n in dict.fromkeys(r["noise"] for r in held_out) if n != _FREE]
    limit = float(np.median(list(ranges.values())))
    p = float(
        np.median(
            [
                max(law.parameters(psnr[_PRIOR, n, i], ranges[i], *spread[n, i]), 0.0)
                for n in noises
                for i in images
            ]
        )
    )
    levels = []
    for n in noises:
        ours, theirs = (np.array([psnr[row, n, i] for i in images]) for row in (_PRIOR, _TRIVIAL))
        given = float(np.median([law.psnr(limit, p, *spread[n, i]) for i in images]))
        levels.append(
            Level(
                noise=n,
                psnr=float(np.median(ours)),
                law=given,
                trivial=float(np.median(theirs)),
                lead=float(np.median(ours - theirs)),
                coverage=float(np.mean(np.array([ranges[i] for i in images]) > theirs)),
                own=law.own_share(limit, given),
            )
        )
    scores = [float(r["psnr_db"]) for r in known]
    return Fitness(
        images=len(images),
        range_db=limit,
        parameters=p,
        levels=tuple(levels),
        known_db=float(np.median(scores)) if scores else None,
    )
