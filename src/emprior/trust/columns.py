r"""Atomic columns against the data: each with against without it, displaced, and those that lack.

For a column that the denoised image x̂ shows, the image without it has a plane fitted to its
surroundings in its place. The evidence is the log-likelihood ratio of the two,

.. math:: \Lambda = \log p(y|\hat x) - \log p(y|\hat x - b),

with the column b. How small it gets for true columns is found by parametric bootstrap: frames drawn
from x̂ under the noise, with all columns where it has them, looked at in the same way. Beside it
stands the ratio of S. Mohan et al. (2020), column against vacuum; within a crystal, where the space
between columns is no vacuum, that is large wherever there is a crystal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from emprior.grid import pool
from emprior.noise import NoiseModel
from emprior.trust.findings import Finding, Region, peaks
from emprior.trust.patches import Patches, blob, free, places, vacuum_level

Floats = NDArray[np.float64]

COARSEST = 0.35
"""Pixel size [Å] beyond which columns are no longer looked at: four pixels for 1.4 Å."""

_FINE = 0.2  # Å; images are band-limited to 1/Å, so pooling to this loses nothing
_DRAWS = 99  # bootstrap frames
_WINDOW = 0.35  # Å, spread of the window of the vacuum map
_SEEN = 3.3  # d' at which errors of one in twenty, either way, are enough for a decision


@dataclass(frozen=True, eq=False)
class ColumnEvidence:
    """What the data say of each column that the denoised image shows.

    Attributes
    ----------
    rows, columns : (n,) ndarray
        Places [pixels of the frame].
    evidence : (n,) ndarray
        Λ [nats], with against without the column.
    p : (n,) ndarray
        Probability that true columns, any of them, have evidence so far from what is expected.
    discernible : (n,) ndarray
        d', by how many standard deviations evidence with and without the column lie apart. Below
        about 3 the data cannot tell whether it is there.
    occupancy, occupancy_error : (n,) ndarray
        The column's height over that in the denoised image: 1 as drawn, 0 without it.
    shifts : (n, 2) ndarray
        Displacement, rows and columns [pixels of the frame], that fits the data best.
    against_vacuum : (n,) ndarray
        Log-likelihood ratio of the column and an empty beam [nats].
    vacuum_map : (h, w) ndarray
        The same about each pixel of the pooled frame.
    factor : int
        Pixels of the frame along one of these.
    """

    rows: Floats
    columns: Floats
    evidence: Floats
    p: Floats
    discernible: Floats
    occupancy: Floats
    occupancy_error: Floats
    shifts: Floats
    against_vacuum: Floats
    vacuum_map: Floats
    factor: int

    def __len__(self) -> int:
        return len(self.rows)

    def to_table(self) -> dict[str, list[Any]]:
        """Return the columns as lists of equal length, ready for JSON."""
        table = {
            "row": self.rows,
            "column": self.columns,
            "evidence": self.evidence,
            "p": self.p,
            "discernible": self.discernible,
            "occupancy": self.occupancy,
            "occupancy_error": self.occupancy_error,
            "shift_rows": self.shifts[:, 0],
            "shift_columns": self.shifts[:, 1],
            "against_vacuum": self.against_vacuum,
        }
        return {name: values.tolist() for name, values in table.items()}


def examine(
    noisy: Floats,
    denoised: Floats,
    noise: NoiseModel,
    pixel_size: float,
    *,
    slack: float,
    least: float,
    rng: np.random.Generator,
) -> tuple[list[Finding], ColumnEvidence]:
    """Test the columns of a denoised image.

    Parameters
    ----------
    noisy, denoised : (H, W) ndarray
    noise : NoiseModel
    pixel_size : float
        [Å], at most `COARSEST`.
    slack : float
        Relative standard error of the noise's variance.
    least : float
        Regions are marked where p is below.
    rng : numpy.random.Generator
        Draws the bootstrap frames.

    Returns
    -------
    list of Finding
        Of columns that are not in the data, displaced ones, and missing ones.
    ColumnEvidence
    """
    factor = max(1, int(_FINE / pixel_size + 1e-9))
    pooled = noise.averaged(factor**2) if factor > 1 else noise
    if pooled is None:
        factor, pooled = 1, noise
    y, x = pool(noisy, factor), pool(denoised, factor)
    pitch = factor * pixel_size
    centres = places(denoised, pixel_size) / pitch - (1 - 1 / factor) / 2
    patches = Patches.of(x, centres, pitch)
    lens = _Lens(x, pooled, patches, pitch)
    seen = lens.look(y)
    drawn = [lens.look(pooled.sample(x, rng)) for _ in range(_DRAWS)]
    null = np.array([one.evidence for one in drawn])
    middle, spread = null.mean(0), null.std(0, ddof=1) + 1e-300
    calm = 1 + slack  # a variance read too small makes everything look too improbable
    height = (seen.evidence - middle) / spread / calm
    shifted, gaps = seen.shifted / calm, seen.gaps / calm
    p = _beyond(np.abs(_each_by_the_others(null)), np.abs(height))
    shift_p = _beyond(np.array([one.shifted for one in drawn]), shifted)
    gap_p = _beyond(np.array([one.gaps.ravel() for one in drawn]), gaps)

    rows, columns = (factor * (axis + 0.5) - 0.5 for axis in patches.centres.T)
    radius = patches.radius * factor

    def mark(kind: str, which: NDArray[np.bool_], p: Floats) -> Iterator[Region]:
        for i in np.flatnonzero(which & (p < least)):
            yield Region(float(rows[i]), float(columns[i]), float(radius[i]), kind, float(p[i]))

    def gap(row: int, column: int) -> Region:
        y, x = (factor * (i + 0.5) - 0.5 for i in (row, column))
        return Region(y, x, 0.8 / pixel_size, "missing column", float(gap_p[row, column]))

    discernible = 2 * middle / spread
    shown = np.count_nonzero(discernible >= _SEEN)
    extreme = float(height[np.argmin(p)]) if len(height) else 0.0
    furthest = float(shifted.max(initial=0.0))
    findings = [
        Finding(
            "columns",
            extreme,
            "noise alone",
            float(p.min(initial=1.0)),
            f"{shown} of {len(patches)} columns can be told from their surroundings at this dose; "
            f"the evidence of the most improbable is {abs(extreme):.1f} standard deviations too "
            f"{'small' if extreme < 0 else 'large'}",
            (
                *mark("unsupported column", height < 0, p),
                *mark("column too weak", height > 0, p),
            ),
        ),
        Finding(
            "shifts",
            furthest,
            "noise alone",
            float(shift_p.min(initial=1.0)),
            f"the most displaced column is {furthest:.1f} standard errors from its place",
            tuple(mark("shifted column", height > -np.inf, shift_p)),
        ),
        Finding(
            "missing columns",
            float(gaps.max()),
            "noise alone",
            float(gap_p.min()),
            f"what most resembles a column between those drawn is {gaps.max():.1f} standard "
            "errors high",
            tuple(gap(*place) for place in peaks(np.where(gap_p < least, gaps, 0.0), 0.0)),
        ),
    ]
    ratio = pooled.log_prob(y, x)
    ratio = ratio - pooled.log_prob(y, np.full_like(x, vacuum_level(denoised, pixel_size)))
    width = _WINDOW / pitch
    window = ndimage.gaussian_filter(ratio, width, mode="constant", truncate=5)
    return findings, ColumnEvidence(
        rows=rows,
        columns=columns,
        evidence=seen.evidence,
        p=np.minimum(p, shift_p),
        discernible=discernible,
        occupancy=1 + seen.height,
        occupancy_error=lens.height_error,
        shifts=seen.shifts * factor,
        against_vacuum=(ratio[patches.at] * patches.inside).sum((1, 2)),
        vacuum_map=2 * np.pi * width**2 * window,
        factor=factor,
    )


def _each_by_the_others(draws: Floats) -> Floats:
    """Standardise each of B draws, (B, n), by the mean and deviation of all others.

    As what was seen is standardised by draws that it is not one of; else its tail is the longer.
    """
    B = len(draws)
    off = (draws - draws.mean(0)) * B / (B - 1)
    rest = ((B - 1) * draws.var(0, ddof=1) - off**2 * (B - 1) / B) / (B - 2)
    return off / np.sqrt(rest + 1e-300)


def _beyond(draws: Floats, values: Floats) -> Floats:
    """Return for each value the probability that the maximum of a draw is as large.

    Beyond the draws by a Gumbel distribution of their maxima's moments (E. J. Gumbel, Statistics of
    Extremes, 1958). The maximum of nearly normal numbers has a lighter tail, so that small p-values
    come out a little too large.

    Parameters
    ----------
    draws : (B, n) ndarray
    values : ndarray
    """
    if not values.size:
        return np.ones(values.shape)
    maxima = draws.max(1)
    scale = float(maxima.std(ddof=1)) * 6**0.5 / np.pi + 1e-300
    with np.errstate(over="ignore"):  # far below all maxima: certainly
        return np.asarray(
            stats.gumbel_r.sf(values, float(maxima.mean()) - np.euler_gamma * scale, scale)
        )


class _Look(NamedTuple):
    """What one frame says of columns.

    Attributes
    ----------
    evidence, height, shifted : (n,) ndarray
        Λ; how much higher the columns are, as a share; their distance from where they are drawn,
        in standard errors.
    shifts : (n, 2) ndarray
        [pooled pixels]
    gaps : (h, w) ndarray
        How much each place between columns resembles one, in standard errors.
    """

    evidence: Floats
    height: Floats
    shifted: Floats
    shifts: Floats
    gaps: Floats


class _Lens:
    r"""Looks at frames for what one denoised image shows.

    Heights and shifts are score estimates: with the score s and the Fisher information F of each
    pixel at x̂, a column b is :math:`\sum b s / \sum b^2 F` too low. They are exact for small
    deviations, and enough to tell large ones.
    """

    def __init__(self, image: Floats, noise: NoiseModel, patches: Patches, pitch: float) -> None:
        self._image, self._noise, self._patches = image, noise, patches
        fisher = np.asarray(noise.fisher(image))
        here, bumps = fisher[patches.at], patches.bumps
        self._shown = image[patches.at]
        self._information = (bumps**2 * here).sum((1, 2)) + 1e-300
        self.height_error = self._information**-0.5
        # A column moved down changes the image by minus its slope.
        down, right = np.gradient(bumps, axis=(1, 2))
        self._slopes = -np.stack([down, right], -1)
        precision = np.einsum("nabi,nab,nabj->nij", self._slopes, here, self._slopes)
        self._covariance = (
            np.linalg.inv(precision + 1e-300 * np.eye(2)) if len(patches) else precision
        )
        typical = patches.typical
        self._kernel = blob(pitch) if typical is None else typical
        self._either = typical is None  # bright or dark is not known
        self._free = free(image.shape, patches, pitch)
        self._spread = np.sqrt(_correlate(fisher, self._kernel**2))

    def look(self, noisy: Floats) -> _Look:
        """Look at one frame, (h, w), on the pooled grid."""
        at, bumps, noise = self._patches.at, self._patches.bumps, self._noise
        seen = noisy[at]
        evidence = noise.log_prob(seen, self._shown) - noise.log_prob(seen, self._shown - bumps)
        score = np.asarray(noise.score(noisy, self._image))
        here = score[at]
        pull = np.einsum("nabi,nab->ni", self._slopes, here)
        shifts = np.einsum("nij,nj->ni", self._covariance, pull)
        gaps = _correlate(score, self._kernel) / self._spread
        gaps = np.abs(gaps) if self._either else gaps
        return _Look(
            evidence=evidence.sum((1, 2)),
            height=(bumps * here).sum((1, 2)) / self._information,
            shifted=np.sqrt(np.maximum((pull * shifts).sum(1), 0)),
            shifts=shifts,
            gaps=np.where(self._free, gaps, -np.inf),
        )


def _correlate(image: Floats, kernel: Floats) -> Floats:
    return np.asarray(ndimage.correlate(image, kernel, mode="constant"))
