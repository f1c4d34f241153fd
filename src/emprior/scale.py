"""The pixel size of a frame, found from the lattice that a prior knows."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emprior.contest import Verdict, contest, middle
from emprior.denoisers.networks import network
from emprior.denoisers.prior import Prior
from emprior.generators import ColumnEncoder
from emprior.micrograph import Micrograph
from emprior.noise import NoiseModel

_RANGE = 0.02, 0.25  # Å, pixel sizes that columns are seen at
_STEP = 0.06  # of the coarse sizes' logarithm: first sight still tells a third of it
_FINE = 0.02  # of the fine sizes'
_LEAST = 50.0  # nats by which the first sight must explain the frame, of sizes that differ little
_NARROWEST = 10.0  # Å, a frame that holds enough columns


class Scale(NamedTuple):
    """A pixel size at which a prior knows a frame.

    Attributes
    ----------
    pixel_size : float
        [Å]
    verdict : Verdict
        Of the contest there.
    """

    pixel_size: float
    verdict: Verdict


def scale_of(
    prior: Prior,
    micrograph: Micrograph,
    noise: NoiseModel,
    rng: np.random.Generator,
) -> Scale | None:
    """Return the pixel size at which a prior explains a frame best; None if it explains none.

    Pixel sizes from 0.02 to 0.25 Å are tried, 6 % apart, by how well the prior's first sight
    explains the data, then five about the best, 2 % apart, by how well a short search does. What
    is found counts only where the frame is inside what the prior knows at that size.

    Parameters
    ----------
    prior : Prior
        None is found with one that has no encoder, and so sees nothing at first sight.
    micrograph : Micrograph
        Its own pixel size is not looked at.
    noise : NoiseModel
    rng : numpy.random.Generator

    Notes
    -----
    As good as the lattices that the prior knows: strain, or another material, moves the size by as
    much. On simulated frames of half the prior's field and more it errs by a per cent or two, where
    tilted by up to four. Fringes of one direction may be taken for the densest planes of a crystal
    that the prior knows, at the size that makes them so.
    """
    if not isinstance(network(prior.prior, prior.device)[0], ColumnEncoder):
        return None
    smallest = max(_RANGE[0], _NARROWEST / min(micrograph.shape))
    if smallest >= _RANGE[1]:
        return None
    sight = replace(prior, depth="encoder", turn=0.0)
    sizes = np.exp(np.arange(np.log(smallest), np.log(_RANGE[1]), _STEP))

    def gain(asked: Prior, size: float) -> tuple[float, int]:
        """Return nats a pixel, and pixels."""
        frame = middle(replace(micrograph, pixel_size=float(size)))
        answer, _ = asked.fit(frame, noise, rng)
        return _gain(frame, answer.image, noise), int(frame.used.sum())

    gains = [gain(sight, size) for size in sizes]
    values = np.array([nats for nats, _ in gains])
    if np.prod(gains[int(values.argmax())]) < _LEAST:
        return None
    best = _peak(np.log(sizes), values)
    fine = best + _FINE * np.arange(-2, 3)
    upright = middle(replace(micrograph, pixel_size=float(np.exp(best))))
    turn = replace(prior, depth="encoder").pose(upright, noise, rng)[0].turn
    short = replace(prior, depth="inversion", exact=False, turn=turn)
    found = float(np.exp(_peak(fine, np.array([gain(short, size)[0] for size in np.exp(fine)]))))
    verdict = contest(prior, replace(micrograph, pixel_size=found), noise, rng)
    return Scale(found, verdict) if verdict.family.kind == "inside" else None


def _gain(frame: Micrograph, image: NDArray[np.floating], noise: NoiseModel) -> float:
    """Return by how much an image explains a frame better than its mean does, in nats a pixel."""
    data = frame.image.astype(np.float64)
    flat = np.full(data.shape, data[frame.used].mean())
    gain = noise.log_prob(data, image.astype(np.float64)) - noise.log_prob(data, flat)
    return float(np.asarray(gain)[frame.used].mean())


def _peak(at: NDArray[np.floating], values: NDArray[np.floating]) -> float:
    """Return where the parabola through the largest of equally spaced values has its top."""
    k = int(np.clip(values.argmax(), 1, len(values) - 2))
    below, here, above = values[k - 1 : k + 2]
    bend = below - 2 * here + above
    shift = 0.5 * (below - above) / bend if bend < 0 else float(values.argmax() - k)
    return float(at[k] + np.clip(shift, -1, 1) * (at[1] - at[0]))
