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
_ENOUGH = 1024  # pixels a side, which tell the shares
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
    Takes five times as long as the network alone, less on large frames, whose middle 1024 × 1024
    pixels tell the shares. Wrong as `Supervised` is, by less; and where noise is correlated between
    pixels, since what is held out is then known to whoever lets noise pass.
    """

    network: str | Path = "default"
    device: str = "auto"
    progress: Callable[[float], None] | None = field(default=None, compare=False, repr=False)

    def __call__(
        self, micrograph: Micrograph, noise: NoiseModel, rng: np.random.Generator
    ) -> Estimate:
        """Estimate; the trace has the network's share of each octave, the fastest waves first."""
        done = 0

        def both(micrograph: Micrograph, noise: NoiseModel) -> tuple[Estimate, Values]:
            nonlocal done

            def report(share: float) -> None:
                if self.progress:
                    self.progress((done + share) / (1 + _JUDGES))

            taught = Supervised(self.network, self.device, report)(micrograph, noise, rng)
            done += 1
            return taught, Wiener()(micrograph, noise, rng).image.astype(np.float64)

        parts = folds(micrograph.middle(_ENOUGH), noise, rng, _PARTS)[:_JUDGES]
        judged = []
        for part in parts:
            taught, untaught = both(part.seen, part.noise)
            judged.append((part, untaught, _spectrum(taught.image - untaught)))
        shares = [
            _certain(
                Advantage.over(
                    (part, untaught + _drawn(spectrum, np.eye(_OCTAVES)[k]), untaught)
                    for part, untaught, spectrum in judged
                )
            )
            for k in range(_OCTAVES)
        ]
        taught, untaught = both(micrograph, noise)
        image = untaught + _drawn(_spectrum(taught.image - untaught), np.array(shares))
        trace = {**taught.trace, "held_out": parts[0].way, "shares": shares}
        return Estimate(image.astype(np.float32), trace=trace)


def _certain(advantage: Advantage) -> float:
    """Return the confirmed share, less what chance lends it (James and Stein's shrinkage)."""
    share, error = advantage.share, advantage.share_error
    return min(share - error**2 / share, 1.0) if share > error else 0.0


def _spectrum(image: Values) -> Values:
    return np.asarray(scipy.fft.dctn(image.astype(np.float64), norm="ortho"))


def _drawn(spectrum: Values, weights: Values) -> Values:
    """Return the image of a spectrum whose octaves have weights, the fastest waves first."""
    rows, columns = (np.arange(n) / n for n in spectrum.shape)  # 1 at Nyquist's frequency
    octave = np.floor(-np.log2(np.maximum(np.hypot(rows[:, None], columns), 1e-9)))
    weight = weights[octave.clip(0, len(weights) - 1).astype(np.int8)]
    return np.asarray(scipy.fft.idctn(weight * spectrum, norm="ortho"))
