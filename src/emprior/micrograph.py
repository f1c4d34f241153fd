"""A micrograph: the pixels of one frame and what is known of their scale."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emprior.errors import ImageError, OptionError

_LARGEST = 1e18


@dataclass(frozen=True, slots=True, eq=False)
class Micrograph:
    """One frame on a square pixel grid.

    Parameters
    ----------
    image : (H, W) array_like of real numbers
        Pixel values in the user's own units. Kept as float32 unless it already is floating point.
    pixel_size : float, optional
        Distance between pixel centres in Å, along both axes. None: not known.
    ignored : (H, W) bool array_like, optional
        True where pixels tell nothing, whatever stands there: likelihoods leave them out.

    Raises
    ------
    ImageError
        If the array is not two-dimensional, real, finite and non-empty, or the other is no mask
        of its shape that leaves some pixels.
    OptionError
        If the pixel size is not a positive finite number.
    """

    image: NDArray[np.floating]
    pixel_size: float | None = None
    ignored: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "image", check_image(self.image))
        if self.ignored is not None:
            object.__setattr__(self, "ignored", check_mask(self.ignored, self.image.shape))
        if self.pixel_size is not None:
            object.__setattr__(self, "pixel_size", check_pixel_size(self.pixel_size))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        H, W = self.image.shape
        return H, W

    def middle(self, most: int) -> Micrograph:
        """Return at most so many pixels a side from the middle; all where most there is ignored."""
        if max(self.shape) <= most:
            return self
        part = tuple(slice(max(0, n - most) // 2, max(0, n - most) // 2 + most) for n in self.shape)
        ignored = None if self.ignored is None else self.ignored[part]
        if ignored is not None and ignored.mean() > 0.5:
            return self
        return replace(self, image=self.image[part], ignored=ignored)

    @property
    def used(self) -> NDArray[np.bool_]:
        """True where pixels are not ignored, (H, W)."""
        return np.ones(self.shape, bool) if self.ignored is None else ~self.ignored


def check_image(image: ArrayLike) -> NDArray[np.floating]:
    """Return the pixels of one frame as a finite, real, floating point (H, W) array.

    Raises
    ------
    ImageError
        With what was got, what was expected, why, and what to do.
    """
    pixels = np.asarray(image)
    if pixels.dtype.kind not in "buif":
        raise ImageError(
            f"pixels of type {pixels.dtype}",
            expected="real numbers: integer, boolean or floating point",
            why="a micrograph is a map of intensities; complex waves and objects have no noise "
            "model here",
            fix="save the intensity (abs(wave)**2) or the real part you mean",
        )
    if pixels.ndim != 2:
        raise ImageError(
            f"an array of shape {pixels.shape}",
            expected="one frame of shape (H, W)",
            why="each frame is denoised on its own",
            fix="loop over frames, or pass the file to `emprior denoise`, which does",
        )
    if min(pixels.shape) < 8:
        raise ImageError(
            f"a frame of {pixels.shape[0]} × {pixels.shape[1]} pixels",
            expected="at least 8 × 8 pixels",
            why="nothing can be learnt about noise or structure from fewer",
            fix="check that the right axis order and data set were read",
        )
    # float32 holds 24 bits: enough for what is float32 already and for integers of 16.
    narrow = pixels.dtype.itemsize <= (4 if pixels.dtype.kind == "f" else 2)
    pixels = pixels.astype(np.float32 if narrow else np.float64, copy=False)
    bad = int(pixels.size - np.count_nonzero(np.isfinite(pixels)))
    if bad:
        raise ImageError(
            f"{bad} of {pixels.size} pixels are NaN or infinite",
            expected="finite pixels",
            why="no noise model assigns them a probability",
            fix="replace dead pixels, for example by the median of their neighbours",
        )
    if np.abs(pixels).max() > _LARGEST:
        raise ImageError(
            f"pixel values from {pixels.min():g} to {pixels.max():g}",
            expected=f"values of at most {_LARGEST:g} either way",
            why="their squares leave the range of floating point numbers",
            fix="mask fill values such as 1e+38, or divide the image by a power of ten",
        )
    if pixels.min() == pixels.max():
        raise ImageError(
            f"a constant image: every pixel is {pixels.flat[0]:g}",
            expected="an image with noise or structure in it",
            why="there is nothing to denoise",
            fix="check that the right data set was read",
        )
    return pixels


def check_mask(mask: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return a mask of a frame's pixels as booleans.

    Raises
    ------
    ImageError
        If it is of another shape, holds anything but 0 and 1, or leaves fewer than 64 pixels.
    """
    found = np.asarray(mask)
    two = found.dtype.kind in "buif" and bool(np.isin(found, (0, 1)).all())
    if found.shape != tuple(shape) or not two:
        raise ImageError(
            f"a mask of shape {found.shape} and type {found.dtype}"
            + ("" if two else " with other values than 0 and 1"),
            expected=f"{tuple(shape)}, true (1) where pixels are to be ignored",
            why="each pixel of the frame is used or not",
            fix="make it from the frame, for example `mask = frame > 60000`",
        )
    found = found.astype(bool)
    if found.size - int(found.sum()) < 64:
        raise ImageError(
            f"a mask that leaves {found.size - int(found.sum())} of {found.size} pixels",
            expected="at least 64 pixels that are used",
            why="nothing can be learnt about noise or structure from fewer",
            fix="check that true stands for pixels to be ignored, and not the other way round",
        )
    return found


def as_micrograph(image: ArrayLike | Micrograph) -> Micrograph:
    """Return a frame as a micrograph; what a masked array masks is ignored."""
    if isinstance(image, Micrograph):
        return image
    if isinstance(image, np.ma.MaskedArray) and image.count():
        mask = np.ma.getmaskarray(image)
        return Micrograph(np.where(mask, image.compressed()[0], image.data), ignored=mask)
    return Micrograph(np.asarray(image))


def check_pixel_size(pixel_size: float) -> float:
    """Return a pixel size in Å as a float.

    Raises
    ------
    OptionError
        If it is not a number from 0.0001 to 10 000.
    """
    if not (isinstance(pixel_size, (int, float, np.number)) and not isinstance(pixel_size, bool)):
        raise OptionError(
            f"a pixel size of {pixel_size!r}",
            expected="a number in Å",
            why="the prior is brought to the scale of the image by it",
            fix="give, for example, pixel_size=0.05",
        )
    value = float(pixel_size)
    if not 1e-4 <= value <= 1e4:  # NaN neither
        raise OptionError(
            f"a pixel size of {value:g} Å",
            expected="a positive number of Å, from 0.0001 to 10 000",
            why="the prior is brought to the scale of the image by it",
            fix="give the distance between pixels in Å; 1 nm is 10 Å",
        )
    return value
