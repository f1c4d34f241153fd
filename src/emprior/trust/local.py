r"""Where the residual is not noise: smoothed at several scales, and in blocks.

Deviation, variance and third cumulant add when pixels are pooled, so each scale is a Gaussian
window over a grid that is twice as coarse as the one before. The smoothed residual over its
standard deviation is brought to normal deviates by its skewness. How probable it is that noise
exceeds a level anywhere follows from the expected Euler characteristic of the excursion set of a
Gaussian field (K. J. Worsley et al., Human Brain Mapping 4, 58 (1996), table II):

.. math:: P(\max z \ge u) \approx A\lambda\,\frac{u\,e^{-u^2/2}}{(2\pi)^{3/2}}
    + \frac{L\sqrt\lambda}{2}\frac{e^{-u^2/2}}{2\pi} + Q(u), \qquad \lambda = \frac{1}{2\sigma^2}

with area A and perimeter L. On grids and for counts it is a little too large.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

from emprior.trust.findings import Finding, Region, any_of, peaks
from emprior.trust.residual import Residual, normalise
from emprior.trust.whole import dispersion

Floats = NDArray[np.float64]

_WINDOW = 1.5  # standard deviation of the window in pixels of each scale
_SMALLEST = 12  # pixels of the coarsest scale, along the shorter side
_BLOCK = 32  # pixels a side


@dataclass(frozen=True, eq=False)
class Scale:
    """The residual seen through a window of one size.

    Attributes
    ----------
    factor : int
        Pixels of the frame along one of these.
    z : (H // factor, W // factor) ndarray
        Normal deviates; positive where the data are brighter than the denoised image.
    """

    factor: int
    z: Floats

    @property
    def width(self) -> float:
        """Standard deviation of the window, in pixels of the frame."""
        return self.factor * (_WINDOW**2 + 1 / 12) ** 0.5

    def exceeded(self) -> Floats:
        """Return the probability, for each pixel, that noise is anywhere as far from zero."""
        u = np.abs(self.z)
        H, W = u.shape
        density = 1 / (2 * _WINDOW**2)
        bell = np.exp(-(u**2) / 2)
        area = (H - 1) * (W - 1) * density * u * bell / (2 * np.pi) ** 1.5
        edge = (H + W - 2) * density**0.5 * bell / (2 * np.pi)
        return np.clip(2 * (area + edge + special.ndtr(-u)), 0.0, 1.0)


def scales(residual: Residual) -> list[Scale]:
    """Return the residual at each scale, the finest first."""
    found: list[Scale] = []
    factor = 1
    parts = residual.deviation, residual.variance * (1 + 2 * residual.slack), residual.third
    while not found or min(parts[0].shape) >= _SMALLEST:
        # The square and cube of a Gaussian window are narrower ones of other height.
        widths = [_WINDOW / n**0.5 for n in (1, 2, 3)]
        mean, variance, third = map(_blur, parts, widths)
        variance = variance / (4 * np.pi * _WINDOW**2)
        third = third / (12 * np.pi**2 * _WINDOW**4)
        z = normalise(mean / np.sqrt(variance), third / variance**1.5)
        found.append(Scale(factor, z))
        parts = tuple(map(_halved, parts))  # type: ignore[assignment]
        factor *= 2
    return found


def places(found: list[Scale], least: float) -> Finding:
    """Test the residual everywhere and at every scale.

    Parameters
    ----------
    found : list of Scale
    least : float
        Regions are marked where p, corrected for all places and scales, is below.
    """
    smallest, regions = 1.0, []
    for scale in found:
        p = any_of(scale.exceeded(), len(found))
        smallest = min(smallest, float(p.min()))
        for row, column in peaks(np.where(p < least, np.abs(scale.z), 0.0), 0.0):
            y, x = (scale.factor * (i + 0.5) - 0.5 for i in (row, column))
            kind = "too dark" if scale.z[row, column] > 0 else "too bright"
            regions.append(Region(y, x, 2 * scale.width, kind, float(p[row, column])))
    strongest = max(found, key=lambda scale: float(np.abs(scale.z).max()))
    z = float(strongest.z.flat[np.abs(strongest.z).argmax()])
    says = (
        f"seen through windows of {found[0].width:.2g} to {found[-1].width:.2g} pixels, the "
        f"residual is at most {abs(z):.1f} standard errors from zero, at {strongest.width:.2g}"
    )
    return Finding("places", z, "noise alone", smallest, says, tuple(regions))


def blocks(residual: Residual, least: float) -> Finding:
    """Test the variance in blocks of 32 pixels a side; `least` as in `places`."""
    H, W = residual.deviation.shape
    windows = [np.s_[rows, columns] for rows in _parts(H) for columns in _parts(W)]
    found = [(window, *dispersion(residual, window)) for window in windows]
    _, ratio, error, smallest = min(found, key=lambda one: one[-1])
    regions = []
    for (rows, columns), here, _, p in found:
        if (corrected := float(any_of(p, len(found)))) < least:
            y, x = ((side.start + side.stop - 1) / 2 for side in (rows, columns))
            radius = max(side.stop - side.start for side in (rows, columns)) / 2
            kind = "follows the noise" if here < 1 else "more than noise is left"
            regions.append(Region(y, x, radius, kind, corrected))
    says = (
        f"of {len(found)} blocks, the least probable has {ratio:.3f} ± {error:.3f} times the "
        "variance of the noise"
    )
    p = float(any_of(smallest, len(found)))
    return Finding("blocks", ratio, f"1 ± {error:.3f}", p, says, tuple(regions))


def _parts(length: int) -> Iterator[slice]:
    count = max(1, length // _BLOCK)
    ends = [round(i * length / count) for i in range(count + 1)]
    yield from (slice(a, b) for a, b in pairwise(ends))


def _blur(image: Floats, width: float) -> Floats:
    # Beyond the edge there is nothing, of no variance: sums there hold fewer pixels.
    return np.asarray(ndimage.gaussian_filter(image, width, mode="constant", truncate=5))


def _halved(image: Floats) -> Floats:
    H, W = (n // 2 for n in image.shape)
    return np.asarray(image[: 2 * H, : 2 * W].reshape(H, 2, W, 2).sum((1, 3)))
