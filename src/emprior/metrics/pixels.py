r"""How near an estimate is to the truth, pixel by pixel.

PSNR cannot see a wrong atom: images that differ by one atomic column agree to some 50 dB. Read it
with `column_f1`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emprior.errors import ImageError, OptionError


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
    x_hat, x = check_pair(estimate, truth)
    peak, error = _range(data_range) ** 2, float(np.mean((x_hat - x) ** 2))
    return 10 * math.log10(peak / error) if error else math.inf


def contrast_psnr(estimate: ArrayLike, truth: ArrayLike) -> float:
    """Return the PSNR of range 1 after each image's own mean is subtracted, in dB.

    Notes
    -----
    Blind to a wrong mean, by design: networks that were trained on another normalisation are
    compared by it. Wrong where the mean matters, as in counting electrons.
    """
    x_hat, x = check_pair(estimate, truth)
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

    x_hat, x = check_pair(estimate, truth)
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


def check_pair(estimate: ArrayLike, truth: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return both in float64, once they are finite and of one shape (H, W)."""
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
