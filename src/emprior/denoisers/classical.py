r"""Denoisers without training: the rows that a prior has to beat.

Linear ones (`Constant`, `Blur`, `Wiener`) act on the data and are unclipped at the end; the others
expect Gaussian noise of one deviation and are given it by variance stabilisation. All are blind:
what is to be set is set from the frame and its noise model, in the same way for every frame.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import minimize_scalar

from emprior.denoisers.base import Denoiser, Estimate
from emprior.denoisers.stabilise import mean_variance, stabiliser, unclip
from emprior.errors import EmpriorWarning, import_extra
from emprior.micrograph import Micrograph
from emprior.noise import NoiseModel, Poisson

Values = NDArray[np.floating]


@dataclass(frozen=True)
class Identity(Denoiser):
    """The noisy frame itself: the floor of every comparison, clipped where the frame is."""

    def __call__(
        self, micrograph: Micrograph, noise: NoiseModel, rng: np.random.Generator
    ) -> Estimate:
        """Return the micrograph as it is."""
        return Estimate(micrograph.image.astype(np.float32))


@dataclass(frozen=True)
class Constant(Denoiser):
    """The frame's mean everywhere, unclipped: what PSNR is worth without any structure."""

    def __call__(
        self, micrograph: Micrograph, noise: NoiseModel, rng: np.random.Generator
    ) -> Estimate:
        """Return one value everywhere."""
        mean = unclip(np.full((1, 1), micrograph.image.mean(dtype=np.float64)), noise)
        return Estimate(np.full(micrograph.shape, mean[0, 0], np.float32))


@dataclass(frozen=True)
class Blur(Denoiser):
    r"""Gaussian blur of the width with the least estimated risk.

    The risk of a linear filter K under independent noise of mean variance v has the unbiased
    estimate :math:`\|y - Ky\|^2/N + 2v\,\mathrm{tr}K/N - v` (Mallows' C_L [1]_), so that no clean
    image is needed to choose the width.

    References
    ----------
    .. [1] C. L. Mallows, Technometrics 15 (1973) 661.
    """

    def __call__(
        self, micrograph: Micrograph, noise: NoiseModel, rng: np.random.Generator
    ) -> Estimate:
        """Blur with mirrored edges; the trace has the width in pixels as ``sigma``."""
        spectrum = scipy.fft.dctn(micrograph.image.astype(np.float64), norm="ortho")
        power, v = spectrum**2, mean_variance(noise, micrograph.image)
        rows, columns = (np.pi * np.arange(n) / n for n in micrograph.shape)
        frequency = rows[:, None] ** 2 + columns[None, :] ** 2

        def transfer(sigma: float) -> Values:
            return np.exp(-(sigma**2) * frequency / 2)

        def risk(sigma: float) -> float:
            kept = transfer(sigma)
            return float(np.mean((1 - kept) ** 2 * power + 2 * v * kept))

        sigma = min(np.geomspace(0.1, max(micrograph.shape) / 4, 60), key=risk)
        image = scipy.fft.idctn(transfer(sigma) * spectrum, norm="ortho")
        return Estimate(unclip(image, noise).astype(np.float32), trace={"sigma": float(sigma)})


@dataclass(frozen=True)
class Wiener(Denoiser):
    r"""Wiener filter on the cosine spectrum, with the signal's power taken from the frame.

    The gain of a frequency is :math:`\max(1 - v/P, 0)`, where v is the noise variance and P the
    mean power of the frequencies around it, itself left out. The gain is therefore independent of
    the noise that it acts on, and the same unbiased risk as for `Blur` chooses how far around.

    Notes
    -----
    Stationary: it treats vacuum and crystal alike and lets lattice fringes leak into the vacuum.
    """

    def __call__(
        self, micrograph: Micrograph, noise: NoiseModel, rng: np.random.Generator
    ) -> Estimate:
        """Filter; the mean is kept, and the trace has the ``width`` of P in coefficients."""
        spectrum = scipy.fft.dctn(micrograph.image.astype(np.float64), norm="ortho")
        v = mean_variance(noise, micrograph.image)
        mean, spectrum[0, 0] = spectrum[0, 0], 0.0
        power = spectrum**2

        def gain(width: float) -> Values:
            kernel = {"sigma": width, "mode": "mirror", "truncate": 3.0}
            point = np.zeros((2 * int(3 * width) + 3,) * 2)
            point[point.shape[0] // 2, point.shape[0] // 2] = 1.0
            own = ndimage.gaussian_filter(point, **kernel).max()
            around = (ndimage.gaussian_filter(power, **kernel) - own * power) / (1 - own)
            return 1 - v / np.maximum(around, v)

        def risk(width: float) -> float:
            kept = gain(width)
            return float(np.mean((1 - kept) ** 2 * power + 2 * v * kept))

        width = min((0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0), key=risk)
        filtered = gain(width) * spectrum
        filtered[0, 0] = mean
        image = scipy.fft.idctn(filtered, norm="ortho")
        return Estimate(unclip(image, noise).astype(np.float32), trace={"width": width})


class GaussianDenoiser(Denoiser):
    """A method for Gaussian noise, given any noise by variance stabilisation.

    Attributes
    ----------
    fewest : float
        Electrons a pixel below which it takes single ones for structure.
    """

    fewest: ClassVar[float] = 0.0

    def __call__(
        self, micrograph: Micrograph, noise: NoiseModel, rng: np.random.Generator
    ) -> Estimate:
        """Stabilise, denoise, and return without bias.

        Warns
        -----
        EmpriorWarning
            If there are too few electrons.
        """
        if isinstance(noise, Poisson):
            electrons = float(micrograph.image.mean() - noise.offset) / noise.gain
            if electrons < self.fewest:
                warnings.warn(
                    f"{electrons:.2g} electrons a pixel: below {self.fewest:g} this method takes "
                    "single electrons for structure; choose pooled-wavelet, say",
                    EmpriorWarning,
                    stacklevel=2,
                )
        curve = stabiliser(noise, micrograph.image)
        image, trace = self.denoise(curve.forward(micrograph.image), rng)
        return Estimate(curve.inverse(image).astype(np.float32), trace=trace)

    @abstractmethod
    def denoise(self, image: Values, rng: np.random.Generator) -> tuple[Values, dict[str, float]]:
        """Denoise an (H, W) image with Gaussian noise of unit deviation; say what was set."""


@dataclass(frozen=True)
class Wavelet(GaussianDenoiser):
    """Soft thresholding of wavelet coefficients by BayesShrink [1]_, averaged over shifts.

    Parameters
    ----------
    wavelet : str
        Name known to PyWavelets.
    shifts : int
        Largest cyclic shift along each axis; the mean over all shifts removes block artefacts.

    References
    ----------
    .. [1] S. G. Chang, B. Yu, M. Vetterli, IEEE Trans. Image Process. 9 (2000) 1532, eq. (8).
    """

    wavelet: str = "sym8"
    shifts: int = 3

    def denoise(self, image: Values, rng: np.random.Generator) -> tuple[Values, dict[str, float]]:
        """Threshold the detail coefficients of every level."""
        import pywt
        from skimage.restoration import cycle_spin, denoise_wavelet

        length = pywt.Wavelet(self.wavelet).dec_len
        margin = 2 * length  # where the cyclic shifts wrap round
        padded = np.pad(image, margin, mode="symmetric")
        levels = max(1, pywt.dwt_max_level(min(padded.shape), length))
        with np.errstate(divide="ignore"):  # bands of noise only have an infinite threshold
            smooth = cycle_spin(
                padded,
                denoise_wavelet,
                max_shifts=self.shifts,
                workers=1,
                func_kw={
                    "sigma": 1.0,
                    "wavelet": self.wavelet,
                    "wavelet_levels": levels,
                    "method": "BayesShrink",
                },
            )
        return smooth[margin:-margin, margin:-margin], {}


@dataclass(frozen=True)
class NonLocalMeans(GaussianDenoiser):
    """Weighted mean of pixels whose surroundings look alike [1]_.

    The decay of the weights is the one of least estimated risk (`least_risk`).

    Parameters
    ----------
    patch : int
        Width of the surroundings in pixels, odd.
    distance : int
        Largest distance searched in pixels.

    References
    ----------
    .. [1] A. Buades, B. Coll, J.-M. Morel, CVPR 2005, II-60.
    """

    fewest: ClassVar[float] = 0.35

    patch: int = 7
    distance: int = 15

    def denoise(self, image: Values, rng: np.random.Generator) -> tuple[Values, dict[str, float]]:
        """Average over similar patches; the trace has the decay ``h`` in noise deviations."""
        from skimage.restoration import denoise_nl_means

        def smooth(y: Values, h: float) -> Values:
            return denoise_nl_means(y, self.patch, self.distance, h, sigma=1.0, fast_mode=True)

        h = least_risk(smooth, image, (0.2, 2.0), rng)
        return smooth(image, h), {"h": h}


@dataclass(frozen=True)
class TotalVariation(GaussianDenoiser):
    r"""Total variation, with the weight of the least estimated risk.

    The risk is Stein's, its divergence taken along one random direction [1]_.

    References
    ----------
    .. [1] S. Ramani, T. Blu, M. Unser, IEEE Trans. Image Process. 17 (2008) 1540, eqs. (6), (20).
    """

    fewest: ClassVar[float] = 0.35

    def denoise(self, image: Values, rng: np.random.Generator) -> tuple[Values, dict[str, float]]:
        """Minimise ‖x − y‖² + weight·TV(x); the trace has the weight."""
        from skimage.restoration import denoise_tv_chambolle

        weight = least_risk(
            lambda y, w: denoise_tv_chambolle(y, weight=w), image, (0.05, 50.0), rng
        )
        return denoise_tv_chambolle(image, weight=weight), {"weight": weight}


@dataclass(frozen=True)
class BM3D(GaussianDenoiser):
    """Collaborative filtering of groups of similar blocks [1]_, by the package of its authors.

    Raises
    ------
    MissingExtraError
        If the package bm3d is not installed; its licence allows non-commercial use only.

    References
    ----------
    .. [1] K. Dabov, A. Foi, V. Katkovnik, K. Egiazarian, IEEE Trans. Image Process. 16 (2007) 2080.
    """

    def __post_init__(self) -> None:
        import_extra("bm3d", "bm3d", "the denoiser bm3d")

    def denoise(self, image: Values, rng: np.random.Generator) -> tuple[Values, dict[str, float]]:
        """Filter in both stages."""
        import bm3d

        profile = bm3d.BM3DProfile()
        profile.num_threads = 1  # more of them add up in another order each time
        low, span = image.min(), np.ptp(image)  # the package is made for intensities of unit range
        return low + span * bm3d.bm3d((image - low) / span, 1 / span, profile), {}


def least_risk(
    method: Callable[[Values, float], Values],
    image: Values,
    bounds: tuple[float, float],
    rng: np.random.Generator,
) -> float:
    r"""Return the setting of a method with the least Stein estimate of its risk.

    .. math:: \frac1N\|y - h(y)\|^2 + \frac{2}{N\epsilon}\, b^T (h(y + \epsilon b) - h(y)) - 1,
        \qquad b_i = \pm 1

    Parameters
    ----------
    method : callable
        From an (H, W) image and the setting to an image.
    image : (H, W) ndarray
        With Gaussian noise of unit deviation. Its central 256 × 256 pixels stand for all.
    bounds : (float, float)
        Of the setting, which is searched on a logarithmic scale.
    rng : numpy.random.Generator
    """
    rows, columns = (slice(max(0, n - 256) // 2, max(0, n - 256) // 2 + 256) for n in image.shape)
    image = image[rows, columns]
    probe = rng.choice([-1.0, 1.0], image.shape)
    step = 0.1

    def risk(logarithm: float) -> float:
        setting = float(np.exp(logarithm))
        smooth = method(image, setting)
        divergence = np.mean(probe * (method(image + step * probe, setting) - smooth)) / step
        return float(np.mean((image - smooth) ** 2) + 2 * divergence)

    best = minimize_scalar(risk, bounds=np.log(bounds), method="bounded", options={"xatol": 0.2})
    return float(np.exp(best.x))
