"""A trained network and Wiener's filter, each as far as unseen data confirm it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from emprior.denoisers.base import Denoiser, Estimate
from emprior.denoisers.classical import Wiener
from emprior.denoisers.supervised import Supervised
from emprior.evidence import Advantage, folds
from emprior.micrograph import Micrograph
from emprior.noise import NoiseModel

_PARTS, _JUDGES = 8, 4  # into which the data are divided, and of which each judges the others
_OCTAVES = 5  # from Nyquist's frequency down; the last holds all that is slower

Values = NDArray[np.floating]


@dataclass(frozen=True)
class Mixed(Denoiser):
    r"""What a network adds to Wiener's filter, in the share that unseen data confirm.

    .. math:: \hat x = w + \sum_k s_k (n - w)_k

    with Wiener's answer w, the network's n, octaves k of the spatial frequencies, and shares
    :math:`0 \le s_k \le 1` that are those of `emprior.evidence.Advantage`, shrunk by their errors:
    an eighth of the data, four times another one, tells how much of the difference between both
    answers to the rest it confirms. A network knows specimens of its simulation, and errs where
    this one is another; the filter knows how this one repeats, and nothing else. Their errors have
    little in common.

    Parameters
    ----------
    network : str or path
        As for `Supervised`.
    device : str
    progress : callable, optional
        Called with the share of work done, from 0 to 1.

    Notes
    -----
    Takes five times as long as the network alone. Wrong as `Supervised` is, by less.
    """

    network: str | Path = "default"
    device: str = "auto"
    progress: Callable[[float], None] | None = field(default=None, compare=False, repr=False)

    def __call__(
        self, micrograph: Micrograph, noise: NoiseModel, rng: np.random.Generator
    ) -> Estimate:
        """Estimate; the trace has the network's share of each octave, the fastest waves first."""
        parts = folds(micrograph, noise, rng, _PARTS)[:_JUDGES]
        frames = [(micrograph, noise), *((part.seen, part.noise) for part in parts)]
        answers = []
        for number, frame in enumerate(frames):

            def report(share: float, number: int = number) -> None:
                if self.progress:
                    self.progress((number + share) / len(frames))

            taught = Supervised(self.network, self.device, report)(*frame, rng)
            untaught = Wiener()(*frame, rng).image.astype(np.float64)
            answers.append((taught, untaught, _octaves(taught.image - untaught)))
        (of_all, image, added), *of_parts = answers
        shares = []
        for k, part_of in enumerate(added):
            judged = [
                (part, filtered + octaves[k], filtered)
                for part, (_, filtered, octaves) in zip(parts, of_parts, strict=True)
            ]
            shares.append(_certain(Advantage.over(judged)))
            image = image + shares[-1] * part_of
        trace = {**of_all.trace, "held_out": parts[0].way, "shares": shares}
        return Estimate(image.astype(np.float32), trace=trace)


def _certain(advantage: Advantage) -> float:
    """Return the confirmed share, less what chance lends it (James and Stein's shrinkage)."""
    share, error = advantage.share, advantage.share_error
    return min(share - error**2 / share, 1.0) if share > error else 0.0


def _octaves(image: Values) -> list[Values]:
    """Return an image as a sum of those of its octaves, the fastest waves first."""
    spectrum = scipy.fft.dctn(image.astype(np.float64), norm="ortho")
    rows, columns = (np.arange(n) / n for n in image.shape)  # 1 at Nyquist's frequency
    number = np.floor(-np.log2(np.maximum(np.hypot(rows[:, None], columns), 1e-9)))
    number = number.clip(0, _OCTAVES - 1)
    return [scipy.fft.idctn(spectrum * (number == k), norm="ortho") for k in range(_OCTAVES)]
