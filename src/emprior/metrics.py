r"""How near an estimate is to the truth, pixel by pixel and column by column.

PSNR cannot see a wrong atom: images that differ by one atomic column agree to some 50 dB. Read it
with `column_f1`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from emprior.errors import ImageError, OptionError
from emprior.micrograph import check_pixel_size

_PROMINENCE = 0.03  # of the vacuum level
_WIDEST = 2.0  # Å
_MATCH = 0.4  # Å
_BORDER = 1.0  # Å


def psnr(estimate: ArrayLike, truth: ArrayLike, *, data_range: float) -> float:
    r"""Return the peak signal-to-noise ratio, :math:`10\log_{10}(r^2/\mathrm{MSE})`, in dB.

    Parameters
    ----------
    estimate, truth : (H, W) array_like
    data_range : float
        The range r. No default: the same images score 6 dB more with range 2. The headline figure
        of this package has range 1, the vacuum standing at 0.45.

    Returns
    -------
    float
        Infinite for equal images.

    Raises
    ------
    ImageError
        If the shapes differ or a pixel is not finite.
    OptionError
        If the range is not positive.

    Notes
    -----
    Wrong as a measure of contrast or structure: a constant offset costs as much as noise, and a
    missing atom next to nothing.
    """
    x_hat, x = _pair(estimate, truth)
    peak, error = _range(data_range) ** 2, float(np.mean((x_hat - x) ** 2))
    return 10 * math.log10(peak / error) if error else math.inf


def contrast_psnr(estimate: ArrayLike, truth: ArrayLike) -> float:
    """Return the PSNR of range 1 after each image's own mean is subtracted, in dB.

    Notes
    -----
    Blind to a wrong mean, by design: networks that were trained on another normalisation are
    compared by it. Wrong where the mean matters, as in counting electrons.
    """
    x_hat, x = _pair(estimate, truth)
    return psnr(x_hat - x_hat.mean(), x - x.mean(), data_range=1.0)


def peak_psnr(estimate: ArrayLike, truth: ArrayLike) -> float:
    r"""Return :math:`10\log_{10}(\max(I_p)^2/\mathrm{MSE})` with the truth's maximum, in dB.

    Eq. (4) of the GAN-inversion paper whose experiments this package takes up.

    Notes
    -----
    Not comparable between images: the same error scores higher on the brighter one.
    """
    return psnr(estimate, truth, data_range=float(np.max(np.asarray(truth))))


def ssim(estimate: ArrayLike, truth: ArrayLike, *, data_range: float) -> float:
    """Return the mean structural similarity over windows of 7 × 7 pixels.

    Z. Wang et al., IEEE Trans. Image Process. 13 (2004) 600, eq. (13), as scikit-image has it.

    Raises
    ------
    ImageError, OptionError
        As for `psnr`; also if an axis has fewer than 7 pixels.

    Notes
    -----
    Insensitive on oversampled images, where 7 pixels span a third of an ångström: there a constant
    image scores about 0.85.
    """
    from skimage.metrics import structural_similarity

    x_hat, x = _pair(estimate, truth)
    if min(x.shape) < 7:
        raise ImageError(
            f"images of shape {x.shape}",
            expected="at least 7 × 7 pixels",
            why="similarity is measured in windows of that size",
            fix="use psnr for smaller images",
        )
    return float(structural_similarity(x, x_hat, data_range=_range(data_range)))


def effective_parameters(
    mse: float, *, representation_psnr: float, pixels: int, variance: float
) -> float:
    r"""Return how many free parameters would have made this error.

    .. math:: p = (\mathrm{MSE} - 10^{-R/10})\, N / v

    A model of p parameters, fitted to N pixels of noise variance v, errs by pv/N on top of what
    it cannot represent.

    Parameters
    ----------
    mse : float
        Mean squared error of the estimate.
    representation_psnr : float
        R, the PSNR in dB of range 1 of the model fitted to noise-free images. Infinite for a
        method without a model.
    pixels : int
        N.
    variance : float
        v, in the squared units of the image.

    Returns
    -------
    float
        Negative where the estimate is better than R allows, which says that R is not right.

    Raises
    ------
    OptionError
        If a number is not positive.
    """
    for name, value in (("pixels", pixels), ("variance", variance)):
        if not value > 0:
            raise OptionError(
                f"{name} = {value!r}",
                expected="a positive number",
                why="the error is compared with the noise of that many pixels",
                fix="give the number of pixels and the noise variance of one",
            )
    return (mse - 10 ** (-representation_psnr / 10)) * pixels / variance


@dataclass(frozen=True)
class ColumnScore:
    """How many atomic columns an estimate has right.

    Parameters
    ----------
    matched, added, removed : int
        Columns in both, in the estimate only, and in the truth only.
    """

    matched: int
    added: int
    removed: int

    @property
    def precision(self) -> float:
        """Share of the estimate's columns that exist; 0 if it has none."""
        return self.matched / max(self.matched + self.added, 1)

    @property
    def recall(self) -> float:
        """Share of the true columns that were found."""
        return self.matched / max(self.matched + self.removed, 1)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.matched / max(2 * self.matched + self.added + self.removed, 1)


def column_f1(
    estimate: ArrayLike, truth: ArrayLike, pixel_size: float, *, vacuum: float = 0.45
) -> ColumnScore:
    """Score the atomic columns of an estimate against those visible in the clean image.

    One detector (`columns`) reads both, with the polarity of the truth. Columns are paired one to
    one, as many as possible within 0.4 Å and then at the least total distance. A border of 1 Å is
    dropped: by the true position for true and matched columns, by its own for an added one.

    Parameters
    ----------
    estimate, truth : (H, W) array_like
    pixel_size : float
        In Å.
    vacuum : float
        Level of the vacuum, which scales the least prominence.

    Raises
    ------
    ImageError
        If the shapes differ, a pixel is not finite, or the truth shows no column.
    OptionError
        If the pixel size is not a positive number.

    Notes
    -----
    The truth is what can be seen in the clean image, not the atoms of the model: at a defocus
    where columns vanish or split, neither is an atom.
    """
    x_hat, x = _pair(estimate, truth)
    sign = polarity(x, pixel_size)
    found = columns(x_hat, pixel_size, vacuum=vacuum, sign=sign)
    true = columns(x, pixel_size, vacuum=vacuum, sign=sign)
    extent = (np.array(x.shape) - 1) * check_pixel_size(pixel_size)

    def inside(positions: NDArray[Any]) -> NDArray[np.bool_]:
        return np.all((positions >= _BORDER) & (positions <= extent - _BORDER), axis=-1)

    counted = inside(true)
    if not counted.any():
        raise ImageError(
            "a clean image in which no atomic column is seen",
            expected=f"local extrema {_PROMINENCE:.0%} of the vacuum level above or below their "
            "surroundings, 1 Å or more from the edge",
            why="there is nothing to score columns against",
            fix="check the pixel size (in Å) and the vacuum level, or use psnr alone",
        )
    distance = cdist(true, found)
    near = distance <= _MATCH
    # Beyond reach every pair costs the same, more than all pairs within reach together.
    cost = np.where(near, distance, 1 + _MATCH * min(distance.shape))
    pairs = [(i, j) for i, j in zip(*linear_sum_assignment(cost), strict=True) if near[i, j]]
    partners = {j for _, j in pairs}
    matched = sum(bool(counted[i]) for i, _ in pairs)
    added = sum(bool(here) for j, here in enumerate(inside(found)) if j not in partners)
    return ColumnScore(matched, added, int(counted.sum()) - matched)


def columns(
    image: ArrayLike, pixel_size: float, *, vacuum: float = 0.45, sign: int | None = None
) -> NDArray[np.float64]:
    r"""Return the positions of the atomic columns that can be seen.

    A column is a local extremum, after a Gaussian band limit of 0.15 Å, whose topographic
    prominence (the least drop on any path to a higher one) is at least 3 % of the vacuum level
    and that stands out as much from an opening by 2 Å × 2 Å, which tells it from the vacuum, a
    wide plateau. Its position is refined by the parabola through its neighbours.

    Parameters
    ----------
    image : (H, W) array_like
        Clean or denoised.
    pixel_size : float
        In Å.
    vacuum : float
        Level of the vacuum.
    sign : {1, -1}, optional
        1 for bright columns, -1 for dark ones. None: found by `polarity`.

    Returns
    -------
    (n, 2) ndarray
        Row and column position in Å from the centre of the first pixel.
    """
    from skimage.morphology import h_maxima

    smooth = _band_limited(image, pixel_size)
    smooth = smooth * (polarity(smooth, pixel_size) if sign is None else sign)
    least = _PROMINENCE * vacuum
    peaks, count = ndimage.label(h_maxima(smooth, least), np.ones((3, 3)))
    if not count:
        return np.empty((0, 2))
    positions = np.array(ndimage.maximum_position(smooth, peaks, np.arange(1, count + 1)))
    narrow = ndimage.white_tophat(smooth, size=1 + 2 * round(_WIDEST / 2 / pixel_size)) >= least
    positions = positions[narrow[tuple(positions.T)]]
    return (positions + _vertex(smooth, positions)) * pixel_size


def polarity(image: ArrayLike, pixel_size: float) -> int:
    """Return 1 if the atomic columns are bright, -1 if they are dark.

    Columns are small and the space between them is not, so that the longer tail of the pixel
    values points to the columns: the sign of the skewness of the band-limited image.

    Notes
    -----
    Undecided at a defocus of vanishing or reversing contrast, where columns and the gaps between
    them are equally sharp, and on images of noise.
    """
    smooth = _band_limited(image, pixel_size)
    return 1 if np.mean((smooth - smooth.mean()) ** 3) >= 0 else -1


def _band_limited(image: ArrayLike, pixel_size: float) -> NDArray[np.float64]:
    width = 0.15 / check_pixel_size(pixel_size)
    return ndimage.gaussian_filter(np.asarray(image, np.float64), width, mode="reflect")


def _vertex(image: NDArray[np.float64], positions: NDArray[Any]) -> NDArray[np.float64]:
    """Return each maximum's offset from its pixel, in pixels, from a parabola along each axis."""
    padded = np.pad(image, 1, mode="reflect")
    r, c = positions.T + 1
    here = padded[r, c]
    offsets = []
    for before, after in (
        (padded[r - 1, c], padded[r + 1, c]),
        (padded[r, c - 1], padded[r, c + 1]),
    ):
        bend = 2 * here - before - after
        offset = np.divide(after - before, 2 * bend, out=np.zeros(len(here)), where=bend > 0)
        offsets.append(np.clip(offset, -0.5, 0.5))
    return np.stack(offsets, axis=-1)


def _pair(estimate: ArrayLike, truth: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    x_hat, x = np.asarray(estimate, np.float64), np.asarray(truth, np.float64)
    if x_hat.shape != x.shape or x.ndim != 2:
        raise ImageError(
            f"an estimate of shape {x_hat.shape} and a truth of shape {x.shape}",
            expected="two images of one shape (H, W)",
            why="they are compared pixel by pixel",
            fix="crop or resample one to the grid of the other",
        )
    if not (np.isfinite(x_hat).all() and np.isfinite(x).all()):
        raise ImageError(
            "an image with pixels that are NaN or infinite",
            expected="finite pixels",
            why="no error can be averaged over them",
            fix="find out which step made them; a denoiser must not",
        )
    return x_hat, x


def _range(data_range: float) -> float:
    if not (math.isfinite(data_range) and data_range > 0):
        raise OptionError(
            f"data_range = {data_range!r}",
            expected="a positive finite number",
            why="PSNR and SSIM compare the error with it",
            fix="give 1.0 for the headline figures of this package",
        )
    return float(data_range)
