r"""Where the frames of a movie may be averaged: registered, and nothing changed in them.

For a run of frames and any division of it in two, or into one frame and the rest, the means are
compared through Gaussian windows of several widths,

.. math:: z = \frac{G_\sigma * (\bar y_1 - \bar y_2)}
    {\sqrt{(1/n_1 + 1/n_2)\, (G_\sigma^2 * V)}},

the likelihood ratio of a step against none where counts are many. Where z exceeds its limit at any
width something changed. A change that no division shows is averaged; it is less than the noise in a
single frame's window times the limit and :math:`\sqrt{1/n_1 + 1/n_2}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import norm

from emprior.denoisers.stabilise import unclip
from emprior.noise import NoiseModel

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]

_WIDTHS = 2.0, 4.0, 8.0  # pixels, of the windows that look for changes
_LIMIT = 4.0  # standard errors from which it is a change
_CALM = 0.25  # share of the frame that is taken for unchanged, where its noise is read
_AROUND = 2.5  # widths about a change that are taken for changed with it
_WORTH = 0.01  # share of the frame from which a run is worth an answer of its own
_FEWEST = 256  # pixels likewise


@dataclass(frozen=True, eq=False)
class Aligned:
    """Frames at the place of one of them.

    Attributes
    ----------
    images : (n, H, W) ndarray
        Where a frame does not reach or tells nothing, it has the pixels of that one: no change.
    blocked : (n, H, W) bool ndarray
        Where a frame tells nothing.
    here : int
        Which of them that one is.
    reaches : sequence of (slice, slice)
        Where each frame reaches; nowhere if it has moved by half of its width.
    levels : (n,) ndarray
        By how much each is brighter than that one, on the whole.
    """

    images: Floats
    blocked: Mask
    here: int
    reaches: Sequence[tuple[slice, slice]]
    levels: Floats

    @classmethod
    def of(
        cls, frames: Sequence[Floats], patches: Sequence[Mask], here: int, moved: NDArray[np.int_]
    ) -> Aligned:
        """Move frames, and the patches in which they tell nothing, by whole pixels."""
        own = frames[here]
        images = np.repeat(own[None], len(frames), axis=0)
        blocked = np.ones(images.shape, bool)
        reaches: list[tuple[slice, slice]] = []
        levels = np.zeros(len(frames))
        for s, (frame, hidden, by) in enumerate(zip(frames, patches, moved, strict=True)):
            rows, columns = (
                slice(max(0, -d), n - max(0, d)) if 2 * abs(d) < n else slice(0, 0)
                for d, n in zip(by, own.shape, strict=True)
            )
            to = rows, columns
            at = tuple(slice(side.start + d, side.stop + d) for side, d in zip(to, by, strict=True))
            reaches.append(to)
            if 0 in own[to].shape:
                continue
            images[s][to] = np.where(hidden[at] | patches[here][to], own[to], frame[at])
            blocked[s][to] = hidden[at]
            levels[s] = (images[s][to] - own[to]).mean(dtype=np.float64)
        return cls(images, blocked, here, reaches, levels)

    def box(self, run: slice) -> tuple[slice, slice]:
        """Return what all frames of a run reach."""
        rows, columns = (
            slice(max(side.start for side in sides), min(side.stop for side in sides))
            for sides in zip(*self.reaches[run], strict=True)
        )
        return rows, columns

    def mean(self, run: slice, box: tuple[slice, slice]) -> Floats:
        """Return the mean of a run there."""
        return np.asarray(self.images[run, *box].mean(0, dtype=np.float64))

    def runs(self) -> list[slice]:
        """Return all frames, those up to this one, those from it, it alone; the longest first."""
        count, here = len(self.images), self.here
        ends = {(0, count), (0, here + 1), (here, count), (here, here + 1)}
        return [slice(*end) for end in sorted(ends, key=lambda end: (end[0] - end[1], end))]


def regions(aligned: Aligned, noise: NoiseModel) -> list[tuple[slice, Mask]]:
    """Return for each run where it answers: the first in which nothing changed.

    Returns
    -------
    list of (slice, (H, W) bool ndarray)
        Runs that answer somewhere. Nobody does in patches of the frame itself.
    """
    runs = aligned.runs()
    changed = [aligned.blocked[run].any(0) for run in runs]
    mean = ndimage.gaussian_filter(aligned.images.mean(0, dtype=np.float64), _WIDTHS[0])
    variance = noise.variance(unclip(mean, noise))
    for width in _WIDTHS:
        if 4 * width > min(mean.shape):
            break
        seen = np.stack([ndimage.gaussian_filter(image, width) for image in aligned.images])
        seen -= aligned.levels[:, None, None]
        spread = ndimage.gaussian_filter(variance, width / 2**0.5) / (4 * np.pi * width**2)
        spread *= _excess(seen, aligned.blocked, spread)
        for run, region in zip(runs, changed, strict=True):
            steps = _steps(seen[run]) ** 2 > _LIMIT**2 * spread
            if steps.any():
                region |= ndimage.distance_transform_edt(~steps) <= _AROUND * width
    free, answered = ~aligned.blocked[aligned.here], []
    for run, region in zip(runs, changed, strict=True):
        alone = run.stop - run.start == 1  # whatever is left
        mine = free.copy() if alone else free & ~region
        if mine.sum() >= (1 if alone else max(_WORTH * mine.size, _FEWEST)):
            answered.append((run, mine))
            free &= ~mine
    return answered


def _excess(seen: Floats, blocked: Mask, spread: Floats) -> float:
    """Return by how much noise exceeds what independent pixels would have, seen through windows.

    Noise that is correlated between pixels does. It is read where frames that follow each other
    differ least, and from the pair that differs least, so that changes have no part in it.
    """
    found = []
    for one, other, hidden in zip(seen, seen[1:], blocked[:-1] | blocked[1:], strict=False):
        z = (np.abs(one - other) / np.sqrt(2 * spread))[~hidden]
        if z.size:
            found.append(float(np.quantile(z, _CALM) / norm.isf((1 - _CALM) / 2)))
    return max(1.0, min(found, default=1.0)) ** 2


def _steps(seen: Floats) -> Floats:
    """Return the largest step in a run, (H, W), in units of one frame's noise."""
    n = len(seen)
    largest = np.zeros(seen.shape[1:])
    total = seen.sum(0, dtype=np.float64)
    part = np.zeros_like(total)
    for s in range(n):
        part += seen[s]
        for some, k in ((part, s + 1), (seen[s], 1)):
            if 0 < k < n:
                step = (some / k - (total - some) / (n - k)) / (1 / k + 1 / (n - k)) ** 0.5
                np.maximum(largest, np.abs(step), out=largest)
    return largest
