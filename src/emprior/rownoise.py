r"""Row noise of scanned images: an offset of its own for every row, seen as horizontal streaks.

In the spectrum it stands at the horizontal frequency zero, and there at all vertical ones alike. So
do rows of a crystal parallel to the scan, but only at their own frequencies, below the band limit
of the microscope. The highest vertical frequencies therefore tell whether there is row noise, and
how strong; what is stronger elsewhere is taken for structure, and stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage
from scipy.stats import norm

from emprior.noise import ClippedPoisson, Gaussian, Hits, NoiseModel, Poisson, PoissonGaussian

Floats = NDArray[np.float64]

_CHANCE = 1e-3  # that a frame without row noise is taken for one with it
_BESIDE = 8  # horizontal frequencies that the one of the rows is compared with
_CLEAR = 1.5  # times the power of pixel noise, from which row noise is worth the trouble
_WEAK = 0.01  # times the standard deviation of the frame, below which it is not
_FLAT = 4.0  # times the power at the highest frequencies, which structure exceeds just below
_APART = 2  # vertical frequencies from one to the next that the taper leaves independent
_WIDTH = 5  # vertical frequencies whose mean power tells structure
_SHORTEST = 32  # rows of a part
_FEWEST = 64  # rows and columns


@dataclass(frozen=True, eq=False)
class RowNoise:
    """Offsets of the rows of a frame, as far as they can be told from its structure.

    Attributes
    ----------
    sigma : float
        Standard deviation of the rows' offsets, in units of the data.
    left : float
        Of what is left of them when the estimate is subtracted.
    offsets : (H,) ndarray
        The estimate: to be subtracted from the rows.
    """

    sigma: float
    left: float
    offsets: Floats

    def removed(self, image: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the frame, (H, W), without them."""
        return (image - self.offsets[:, None]).astype(image.dtype)

    def remaining(self, noise: NoiseModel) -> NoiseModel:
        """Return the noise of the frame without them, given the noise of its pixels.

        What is left of the offsets counts as readout noise. Counts are no longer whole numbers.
        """
        if isinstance(noise, Gaussian):
            return Gaussian(float(np.hypot(noise.sigma, self.left)))
        assert isinstance(noise, (Poisson, PoissonGaussian))
        sigma = noise.sigma if isinstance(noise, PoissonGaussian) else 0.0
        return PoissonGaussian(noise.gain, noise.offset, float(np.hypot(sigma, self.left)))

    def said(self) -> str:
        """Say what was found, in a sentence."""
        return (
            f"rows have offsets of their own, of standard deviation {self.sigma:.3g}: row noise of "
            f"a scan, taken off but for {self.left:.3g} that cannot be told from structure and "
            "counts as readout noise"
        )


def find_row_noise(image: NDArray[np.floating], noise: NoiseModel) -> RowNoise | None:
    r"""Return the row noise of a frame, or None where there is no evidence of any.

    For each of the highest vertical frequencies the power of the rows' means is ranked among the
    powers at the next 8 horizontal frequencies: without row noise every rank is equally probable,
    whatever the noise, also if it is correlated along the rows. The mean rank exceeds its limit in
    one frame of a thousand. Structure that is constant along the rows must not do so either: the
    power is a median over frequencies, of which a crystal has few, and one over parts of the frame,
    of which an edge is in few; and it must not fall towards the highest frequencies.

    With the power L of row noise and v of pixel noise the offsets are then estimated by

    .. math:: \hat b_k = \frac{L}{\max(L + v, P_k)}\,\bar y_k

    from the means of the rows, :math:`\bar y`, in cosine waves; :math:`P_k` is the mean power about
    k. Where the frame has structure that is constant along the rows it exceeds L + v, and the rows
    keep their share.

    Parameters
    ----------
    image : (H, W) ndarray
        Rows along the fast direction of the scan.
    noise : NoiseModel
        Of its pixels, without row noise.

    Notes
    -----
    Finds nothing in frames below 64 × 64 pixels nor in clipped counts, nor what is less than a
    hundredth of the frame's standard deviation. Offsets that wander slowly look like structure and
    stay, and so do rows that are displaced rather than offset. Wrong where structure parallel to
    the scan is finer than about four pixels, as hard edges of a computed image are.
    """
    H, W = image.shape
    if min(H, W) < _FEWEST or isinstance(noise, (ClippedPoisson, Hits)):
        return None
    pixels = image.astype(np.float64)
    waves = fft.dct(pixels - pixels.mean(), axis=1, norm="ortho")[:, : _BESIDE + 1]
    whole, parts = _power(waves, H), _power(waves, max(_SHORTEST, H // 8))
    ranks = _upper(whole)[0, ::_APART]
    ranks = (ranks[:, 1:] < ranks[:, :1]).mean(-1)
    z = (ranks.mean() - 0.5) * np.sqrt(12 * ranks.size / (1 + 2 / _BESIDE))
    rows = min(_middle(_upper(power)[..., :1]) for power in (whole, parts))
    sharp = _middle(_upper(whole, 0.5, 0.75)[..., :1])
    pixel = max(float(np.mean(noise.variance(pixels))), _middle(_upper(whole)[..., 1:]))
    least = max(_CLEAR * pixel, W * (_WEAK * float(pixels.std())) ** 2)
    if z < norm.isf(_CHANCE) or rows < least or sharp > _FLAT * rows:
        return None
    level = rows - pixel
    means = fft.dct(pixels.mean(1), norm="ortho")
    around = ndimage.uniform_filter1d(W * means**2, _WIDTH)
    share = level / np.maximum(rows, around)
    share[0] = 0.0  # the mean of the frame
    offsets = fft.idct(share * means, norm="ortho")
    left = level * float(np.mean(1 - share))
    return RowNoise((level / W) ** 0.5, (left / W) ** 0.5, offsets)


def _power(waves: Floats, length: int) -> Floats:
    """Return the power in parts of so many rows, (parts, vertical, horizontal frequencies).

    Parts are tapered, and begin half their length apart. In the whole frame a crystal is seen at
    few frequencies, in short parts an edge is seen in few of them.
    """
    taper = np.hanning(length + 2)[1:-1]
    parts = np.lib.stride_tricks.sliding_window_view(waves, length, axis=0)[:: length // 2]
    power = np.abs(fft.rfft(parts * taper, axis=-1)) ** 2 / float((taper**2).sum())
    return np.asarray(power.swapaxes(1, 2)[:, 1:-1])  # the lowest and highest are real numbers


def _upper(power: Floats, low: float = 0.75, high: float = 1.0) -> Floats:
    """Return a band of vertical frequencies, as shares of the highest."""
    count = power.shape[1]
    return power[:, round(low * count) : round(high * count)]


def _middle(power: Floats) -> float:
    """Return the mean power of complex waves from medians, over parts and over frequencies.

    Edges and peaks of structure leave it alone.
    """
    return float(np.median(np.median(power, 0)) / np.log(2))
