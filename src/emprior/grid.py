r"""The physical grid: pooling, exact resampling, tiles.

An image of n samples per axis, at the centres of pixels of unit pitch, is taken as the cosine
series through them (the discrete cosine transform: the image continues as its mirror beyond the
edges, so a crop rings far less than a periodic one). Every resampling below evaluates that series
exactly and is a linear map along each axis, so that it can be differentiated through.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = Any  # a NumPy array or a PyTorch tensor


def resampling_matrix(n: int, centres: ArrayLike, width: float = 0.0) -> NDArray[np.float64]:
    r"""Return the matrix that evaluates the cosine series through n samples.

    .. math:: A_{pi} = \frac1n\sum_{k=0}^{n-1} (2-\delta_{k0})
        \cos\frac{\pi k c_p}{n}\,\mathrm{sinc}\frac{k w}{2n}\,\cos\frac{\pi k (i+1/2)}{n}

    Parameters
    ----------
    n : int
        Number of samples; sample i stands at i + 1/2.
    centres : (P,) array_like
        Where to evaluate, in units of the samples' pitch, from the left edge of sample 0.
    width : float
        Average over an interval of this width about each centre, in the same units. Zero
        evaluates points.

    Returns
    -------
    (P, n) ndarray
    """
    return _series(n, centres, np.sinc(np.arange(n) * width / (2 * n)))


def _series(n: int, centres: ArrayLike, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix that evaluates the cosine series with its waves weighted."""
    k = np.arange(n)
    analysis = np.cos(np.pi / n * np.outer(k, np.arange(n) + 0.5)) * (2 - (k == 0))[:, None] / n
    synthesis = np.cos(np.pi / n * np.outer(np.asarray(centres, float), k))
    return (synthesis * weights) @ analysis


def resample(image: Array, rows: Array, columns: Array) -> Array:
    """Apply one resampling matrix along each of the last two axes.

    Parameters
    ----------
    image : (..., H, W) array
    rows : (H', H) array
    columns : (W', W) array

    Returns
    -------
    (..., H', W') array
    """
    return rows @ image @ columns.T


def stretch(image: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the same view on a grid of another number of pixels.

    The cosine series is cut to the waves that both grids carry. So white noise stays white, its
    variance in proportion to the number of pixels, and what the coarser grid carries comes back
    exactly.

    Parameters
    ----------
    image : (H, W) ndarray
    shape : (H', W')
    """
    matrices = [
        _series(n, (np.arange(N) + 0.5) * n / N, (np.arange(n) < N).astype(float))
        for n, N in zip(image.shape, shape, strict=True)
    ]
    return resample(image.astype(np.float64), *matrices)


def pool(image: Array, factor: int) -> Array:
    """Return the means of blocks of ``factor × factor`` pixels.

    Parameters
    ----------
    image : (..., H, W) array
        Rows and columns beyond the last whole block are left out.
    factor : int

    Returns
    -------
    (..., H // factor, W // factor) array
    """
    H, W = image.shape[-2] // factor, image.shape[-1] // factor
    blocks = image[..., : H * factor, : W * factor].reshape(*image.shape[:-2], H, factor, W, factor)
    return blocks.mean((-3, -1))


def pad_to_multiple(image: NDArray[Any], factor: int) -> NDArray[Any]:
    """Mirror rows and columns at the far edges until both counts are multiples of `factor`."""
    H, W = image.shape[-2:]
    edges = [(0, 0)] * (image.ndim - 2) + [(0, -H % factor), (0, -W % factor)]
    return np.pad(image, edges, mode="symmetric")


def unpool(pooled: NDArray[Any], factor: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    r"""Return the band-limited fine image that `pool` turns into this one: its exact inverse.

    The mean over a block damps the wave of index k by
    :math:`\sin\frac{\pi k}{2n} / (f \sin\frac{\pi k}{2nf})`, which is undone; it is at least
    0.63, so that noise in the pooled image is amplified by at most 1.6 per axis.

    Parameters
    ----------
    pooled : (H', W') ndarray
    factor : int
    shape : (H, W)
        Of the fine image, at most ``factor`` times the pooled one; what lies beyond is cut off,
        as `pad_to_multiple` added it.

    Notes
    -----
    Exact for an image whose cosine series ends within the pooled grid's band (and for the block
    means in any case). Structure beyond that band has been folded into it by `pool`.
    """

    def matrix(n: int, N: int) -> NDArray[np.float64]:
        k = np.maximum(np.arange(n), 1e-9)
        damping = np.sin(np.pi * k / (2 * n)) / (factor * np.sin(np.pi * k / (2 * n * factor)))
        return _series(n, (np.arange(N) + 0.5) / factor, 1 / damping)

    return resample(pooled, *(matrix(n, N) for n, N in zip(pooled.shape, shape, strict=True)))


class Tile(NamedTuple):
    """One window of a larger image."""

    rows: slice
    columns: slice


def tiles(shape: tuple[int, int], size: tuple[int, int], overlap: int) -> list[Tile]:
    """Cover an image with windows of one size that overlap by at least `overlap` pixels.

    Parameters
    ----------
    shape : (H, W)
        Of the image; along an axis where it is smaller than `size` the one window is cut to it.
    size : (h, w)
        Of the windows.
    overlap : int
        Smallest overlap of neighbouring windows, below both sizes.
    """

    def starts(length: int, window: int) -> list[int]:
        if length <= window:
            return [0]
        count = -(-(length - overlap) // (window - overlap))
        return [round(i * (length - window) / (count - 1)) for i in range(count)]

    return [
        Tile(slice(r, min(r + size[0], shape[0])), slice(c, min(c + size[1], shape[1])))
        for r in starts(shape[0], size[0])
        for c in starts(shape[1], size[1])
    ]


def blend(shape: tuple[int, int], windows: list[Tile], images: list[NDArray[Any]]) -> NDArray[Any]:
    """Join overlapping windows with weights that fall smoothly to their edges.

    Parameters
    ----------
    shape : (H, W)
        Of the whole image, which the windows must cover.
    windows : list of Tile
    images : list of (h, w) ndarray
        One for each window.

    Returns
    -------
    (H, W) ndarray
        Equal to the images wherever they agree.
    """
    total, weights = np.zeros(shape), np.zeros(shape)
    for window, image in zip(windows, images, strict=True):
        weight = np.outer(*(np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in image.shape))
        total[window] += weight * image
        weights[window] += weight
    return total / weights
