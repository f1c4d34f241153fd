r"""How sharp an estimate is: its spectrum, its contrast to the vacuum, the size of its columns.

PSNR rewards blur: where an image is not sure, the mean of all that it might be errs least. These
three look at what blur takes away, each as estimate over truth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.fft import dctn, fft2, fftfreq, idctn

from emprior.errors import ImageError, OptionError
from emprior.metrics.columns import columns, inside, polarity
from emprior.metrics.pixels import check_pair
from emprior.micrograph import check_pixel_size
from emprior.specimen import VACUUM

_FINE, _COARSE = 0.2, 0.35  # Å, the scales that a column's width is read from
_AROUND = 0.4  # Å, of a column
_CLEAR = 3.0  # Å, of vacuum from the next column
_LEAST_VACUUM = 9.0  # Å²
_LEAST_CONTRAST = 0.03  # of the vacuum level


def spectrum_ratio(
    estimate: ArrayLike,
    truth: ArrayLike,
    pixel_size: float,
    *,
    band: tuple[float, float] = (0.3, 0.9),
) -> float:
    r"""Return the amplitude of an estimate in a ring of frequencies over that of the truth.

    .. math:: \sqrt{\sum_{a \le |k| < b} |\hat F(k)|^2 \Big/ \sum_{a \le |k| < b} |F(k)|^2}

    after each image's mean is taken off and a Hann window put on. Below 1 the estimate is blurred;
    above 1 it is noisy, or sharper than the truth.

    Parameters
    ----------
    estimate, truth : (H, W) array_like
    pixel_size : float
        [Å]
    band : (float, float)
        Bounds a and b of the ring [1/Å]. The default holds the lattice of Pt and CeO2 and what
        gives their columns a shape.

    Raises
    ------
    ImageError
        If the shapes differ, a pixel is not finite, or the truth has nothing in the band.
    OptionError
        If the pixel size or band is not positive, or the pixels do not carry the band.

    Notes
    -----
    Wrong as a measure of likeness: it counts invented detail as much as true detail, so that
    sharp columns at wrong places score 1. Read it with `column_f1`.
    """
    x_hat, x = check_pair(estimate, truth)
    low, high = band
    nyquist = 0.5 / check_pixel_size(pixel_size)
    if not 0 < low < high <= nyquist:
        raise OptionError(
            f"a band of {low:g} to {high:g} 1/Å at {pixel_size:g} Å per pixel",
            expected=f"0 < a < b, up to {nyquist:.3g} 1/Å",
            why="pixels carry no higher frequency, and the mean is none",
            fix="lower the band",
        )
    k = np.hypot(*np.meshgrid(*(fftfreq(n, pixel_size) for n in x.shape), indexing="ij"))
    ring = (low <= k) & (k < high)
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in x.shape))
    powers = [np.sum(np.abs(fft2(window * (i - i.mean())))[ring] ** 2) for i in (x_hat, x)]
    if not powers[1] > 0:
        raise ImageError(
            f"a truth without amplitude from {low:g} to {high:g} 1/Å",
            expected="an image with detail in that band",
            why="the estimate is compared with it",
            fix="check the pixel size (in Å), or choose another band",
        )
    return math.sqrt(powers[0] / powers[1])


def vacuum_contrast(
    estimate: ArrayLike, truth: ArrayLike, pixel_size: float, *, vacuum: float = VACUUM
) -> float | None:
    r"""Return the contrast between columns and vacuum of an estimate over that of the truth.

    .. math:: (\hat a - \hat v) / (a - v)

    with a the mean of the pixels within 0.4 Å of a column and v the median of the vacuum, at the
    same pixels in both images. Columns are those detected in the truth, 1 Å or more from its edges;
    vacuum are the pixels 3 Å or more from any column, those at the edges included.

    Parameters
    ----------
    estimate, truth : (H, W) array_like
    pixel_size : float
        [Å]
    vacuum : float
        Level of the vacuum, which scales the detector; the levels themselves are read.

    Returns
    -------
    float or None
        1 where the contrast is kept, 0 where nothing of it is left, negative where it is
        reversed. None where the truth does not tell: it shows no column, or less than 9 Å² of
        vacuum, or columns within 3 % of its level.

    Raises
    ------
    ImageError
        If the shapes differ or a pixel is not finite.
    OptionError
        If the pixel size is not positive.

    Notes
    -----
    Wrong where matter shows no columns in the truth, as tilted grains do: that counts as vacuum.
    """
    x_hat, x = check_pair(estimate, truth)
    positions = columns(x, check_pixel_size(pixel_size), vacuum=vacuum)
    counted = positions[inside(positions, x.shape, pixel_size)]
    if not len(counted):
        return None
    on = _distance(counted, x.shape, pixel_size) <= _AROUND
    off = _distance(positions, x.shape, pixel_size) >= _CLEAR
    if off.sum() * pixel_size**2 < _LEAST_VACUUM:
        return None
    found, true = (float(image[on].mean() - np.median(image[off])) for image in (x_hat, x))
    return found / true if abs(true) >= _LEAST_CONTRAST * vacuum else None


def _distance(
    positions: NDArray[np.float64], shape: tuple[int, ...], pixel_size: float
) -> NDArray[np.float64]:
    """Return the distance of each pixel to the nearest position in Å."""
    away = np.ones(shape, bool)
    away[tuple(np.rint(positions / pixel_size).astype(int).T)] = False
    return np.asarray(ndimage.distance_transform_edt(away) * pixel_size)


@dataclass(frozen=True)
class ColumnSizes:
    """How many columns two images show, and how wide they are.

    Parameters
    ----------
    estimate_count, truth_count : int
        Columns 1 Å or more from the edges.
    estimate_width, truth_width : float or None
        Median standard deviation of the columns [Å]; None where an image shows none.
    """

    estimate_count: int
    truth_count: int
    estimate_width: float | None
    truth_width: float | None

    @property
    def count_ratio(self) -> float | None:
        """Columns of the estimate over those of the truth."""
        return self.estimate_count / self.truth_count if self.truth_count else None

    @property
    def width_ratio(self) -> float | None:
        """Width of the estimate's columns over that of the truth's; above 1 they are blurred."""
        if self.estimate_width is None or self.truth_width is None:
            return None
        return self.estimate_width / self.truth_width


def column_sizes(
    estimate: ArrayLike, truth: ArrayLike, pixel_size: float, *, vacuum: float = VACUUM
) -> ColumnSizes:
    r"""Count the columns of an estimate and of the truth, and measure their widths.

    The width w of a column is the standard deviation of the Gaussian that has the same Laplacians
    L at two scales, s = 0.2 Å and t = 0.35 Å:

    .. math:: w^2 = (t^2 - r s^2) / (r - 1), \qquad r = \sqrt{L_s / L_t},

    since a Gaussian column of height h has :math:`L_s = -2 h w^2 / (w^2 + s^2)^2` at its centre,
    whatever constant or slope it stands on.

    Parameters
    ----------
    estimate, truth : (H, W) array_like
    pixel_size : float
        [Å]
    vacuum : float
        Level of the vacuum, which scales the detector.

    Raises
    ------
    ImageError
        If the shapes differ or a pixel is not finite.
    OptionError
        If the pixel size is not positive.

    Notes
    -----
    Wrong where neighbours overlap: closer than about 4 w, each narrows the other. Noise on an
    estimate shows as narrow columns; look at `column_f1` whether they exist.
    """
    x_hat, x = check_pair(estimate, truth)
    sign = polarity(x, check_pixel_size(pixel_size))
    counts, widths = zip(
        *(_measured(image, pixel_size, vacuum, sign) for image in (x_hat, x)), strict=True
    )
    return ColumnSizes(*counts, *widths)


def _measured(
    image: NDArray[Any], pixel_size: float, vacuum: float, sign: int
) -> tuple[int, float | None]:
    """Return the number of columns and their median width in Å."""
    positions = columns(image, pixel_size, vacuum=vacuum, sign=sign)
    positions = positions[inside(positions, image.shape, pixel_size)]
    fine, coarse = (
        ndimage.map_coordinates(_laplacian(image, pixel_size, s), positions.T / pixel_size)
        for s in (_FINE, _COARSE)
    )
    peaked = (sign * coarse < 0) & (sign * fine < 0)
    r = np.sqrt(fine[peaked] / coarse[peaked])
    r = r[(r > 1) & (r < (_COARSE / _FINE) ** 2)]  # beyond, no Gaussian has these Laplacians
    if not len(r):
        return len(positions), None
    squares = (_COARSE**2 - r * _FINE**2) / (r - 1)
    return len(positions), float(np.sqrt(np.median(squares)))


def _laplacian(image: NDArray[Any], pixel_size: float, scale: float) -> NDArray[np.float64]:
    """Return the Laplacian [1/Å²] of an image smoothed by a Gaussian, mirrored at its edges.

    By cosine transforms, which are exact where a kernel of less than a pixel is not.
    """
    k = [np.pi * np.arange(n) / (n * pixel_size) for n in image.shape]
    square = k[0][:, None] ** 2 + k[1] ** 2
    return idctn(-square * np.exp(-square * scale**2 / 2) * dctn(image, type=2), type=2)
