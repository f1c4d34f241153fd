"""A trained regressor: the supervised rival of a prior."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from emprior.denoisers.base import Denoiser, Estimate
from emprior.denoisers.classical import Constant
from emprior.denoisers.networks import NATIVE_PIXEL_SIZE, check_network, network
from emprior.denoisers.pose import guess_exposure
from emprior.errors import OptionError
from emprior.grid import Tile, blend, pad_to_multiple, pool, stretch, tiles, unpool
from emprior.inversion import Exposure
from emprior.micrograph import Micrograph
from emprior.noise import NoiseModel
from emprior.regressors import LEVEL, Regressor

_WINDOW = 512  # pixels of the network; bounds memory on large images
_MARGIN = 64  # pixels at most that are not taken from a window, near edges inside the image
_NEAR = 0.05  # deviation of the pixel size that is left as it is: less harm than coloured noise
_COARSEST = 4.0  # pixels of the network in one of the data, beyond which nothing can be seen

Values = NDArray[np.floating]


@dataclass(frozen=True)
class Supervised(Denoiser):
    """One pass through a network that was trained on pairs of noisy and clean images.

    The frame is brought to the network: its zero and unit to those of the simulated images (see
    `emprior.denoisers.pose.guess_exposure`), or its mean and contrast to those of a levelled
    network; finer pixels pooled by a whole factor, what then
    differs by more than 5 % resampled. Clipped values stay clipped: the network has to know them.

    Parameters
    ----------
    network : str or path
        A weight file of a regressor (`emprior.regressors`).
    device : str
        "auto" takes a GPU where there is one.
    progress : callable, optional
        Called with the share of work done, from 0 to 1.

    Notes
    -----
    Wrong off the training data: another material, contrast or noise. Under Gaussian noise, data
    with a mean from 0.3 to 0.6 are taken at face value, so that the estimate scales with the data
    only outside that range, or for counted electrons. These are brought to a mean of 0.44, which
    changes nothing for a network without bias. Large images are denoised in overlapping windows;
    seams are impossible only where the network reaches no farther than 64 pixels. Without a pixel
    size the data is taken at 0.0489 Å.
    """

    network: str | Path = "default"
    device: str = "auto"
    progress: Callable[[float], None] | None = field(default=None, compare=False, repr=False)

    def __call__(
        self, micrograph: Micrograph, noise: NoiseModel, rng: np.random.Generator
    ) -> Estimate:
        """Estimate the unclipped mean; the trace has the pooling ``factor`` and ``tiles``."""
        check_network("supervised", self.network)
        stored, card = network(self.network, self.device)
        # Nearly twice as fast on CPUs as the default layout.
        regressor = stored.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        assert isinstance(regressor, Regressor)
        pitch = (micrograph.pixel_size or NATIVE_PIXEL_SIZE) / regressor.pixel_size
        factor = _pooling(micrograph, pitch)
        if regressor.levelled:
            exposure = _level(micrograph, noise, factor)
        else:
            exposure = guess_exposure(micrograph, noise)
        values = (micrograph.image - exposure.origin) / exposure.unit
        pooled = pool(pad_to_multiple(values, factor), factor)
        seen, count = pooled, pitch * factor
        if abs(count - 1) > _NEAR:
            H, W = (max(1, round(n * count)) for n in pooled.shape)
            seen = stretch(pooled, (H, W))
        clean, windows = _in_windows(regressor, seen, self.progress)
        if clean.shape != pooled.shape:
            clean = stretch(clean, (pooled.shape[0], pooled.shape[1]))
        image = exposure.origin + exposure.unit * unpool(clean, factor, micrograph.shape)
        trace = {
            "prior": str(self.network),
            "data": card.data,
            "factor": factor,
            "tiles": windows,
        }
        return Estimate(image.astype(np.float32), trace=trace)


@dataclass(frozen=True)
class Misused(Supervised):
    """The supervised network as the paper of the GAN inversion used it, for its table alone.

    The frame is first shrunk to 358 of 512 pixels, and the network is not told: it is given a
    crystal of 0.7 times the size of any that it knows. Its answer is stretched back, and its mean
    shifted to that of the frame.

    Notes
    -----
    The paper shifts by the difference from the clean image, which a denoiser does not have; here
    it is the one from the frame's mean, unclipped. Nobody should denoise so: the network is
    judged on what it was never trained for, and its level is that of the frame.
    """

    shrinking: float = 358 / 512

    def __call__(
        self, micrograph: Micrograph, noise: NoiseModel, rng: np.random.Generator
    ) -> Estimate:
        """Shrink, denoise, stretch, shift; the trace has the ``shift`` too."""
        H, W = (max(8, round(n * self.shrinking)) for n in micrograph.shape)
        small = replace(micrograph, image=stretch(micrograph.image, (H, W)))
        estimate = super().__call__(small, noise, rng)
        image = stretch(estimate.image, micrograph.shape)
        mean = Constant()(micrograph, noise, rng).image.mean(dtype=np.float64)
        shift = float(mean - image.mean())
        return Estimate(
            (image + shift).astype(np.float32), trace={**estimate.trace, "shift": shift}
        )


def _level(micrograph: Micrograph, noise: NoiseModel, factor: int) -> Exposure:
    """Return what brings the clean frame, as far as its mean and spread tell, to `LEVEL`."""
    mean, deviation = LEVEL
    pooled = pool(pad_to_multiple(micrograph.image.astype(np.float64), factor), factor)
    of_noise = float(noise.variance(np.asarray(pooled.mean()))) / factor**2
    # So little contrast is not told from none, and must not be stretched without limit.
    spread = max(float(pooled.var()) - of_noise, of_noise / 100, 1e-300) ** 0.5
    unit = spread / deviation
    return Exposure(unit, float(pooled.mean()) - mean * unit)


def _pooling(micrograph: Micrograph, pitch: float) -> int:
    """Return how many pixels along each axis make one of the network's, or not quite."""
    nearest = max(1, round(1 / pitch))
    factor = nearest if abs(nearest * pitch - 1) <= _NEAR else max(1, int(1 / pitch))
    if pitch > _COARSEST or factor > min(micrograph.shape):
        raise OptionError(
            f"pixels {pitch:.3g} times as large as those of the network, in a frame of "
            f"{micrograph.shape[0]} × {micrograph.shape[1]}",
            expected=f"pixels at most {_COARSEST:g} times as large, and more than one of the "
            "network's in a frame",
            why="a network denoises what looks like its training images",
            fix="check the pixel size, which is in Å, or use the method 'pooled-wavelet'",
        )
    return factor


@torch.no_grad()
def _in_windows(
    network: Regressor, image: Values, progress: Callable[[float], None] | None
) -> tuple[Values, int]:
    """Apply a network to an image of any size, and say in how many windows.

    Windows are laid out in steps of the network's `multiple`, so that it acts alike in all, and
    of each the margin is dropped that the image beyond would have changed.
    """
    m = network.multiple
    margin = -(-min(network.reach, _MARGIN) // m)  # in steps, as all below
    H, W = (-(-n // m) for n in image.shape)
    edges = [(0, steps * m - n) for n, steps in zip(image.shape, (H, W), strict=True)]
    padded = np.pad(image, edges, mode="edge").astype(np.float32)
    side = max(_WINDOW // m, 6 * margin)
    windows = tiles((H, W), (side, side), overlap=3 * margin)
    kept, images = [], []
    for number, window in enumerate(windows, 1):
        rows, columns = (slice(m * s.start, m * s.stop) for s in window)
        tensor = torch.from_numpy(np.ascontiguousarray(padded[rows, columns]))
        like = next(network.parameters())
        answer = network(tensor[None, None].to(like))[0, 0].cpu().numpy()
        inner = [
            slice(
                m * (s.start + margin * (s.start > 0)),
                m * (s.stop - margin * (s.stop < steps)),
            )
            for s, steps in zip(window, (H, W), strict=True)
        ]
        top, left = inner[0].start - rows.start, inner[1].start - columns.start
        height, width = (s.stop - s.start for s in inner)
        kept.append(Tile(*inner))
        images.append(answer[top : top + height, left : left + width])
        if progress:
            progress(number / len(windows))
    joined = blend((H * m, W * m), kept, images)
    return joined[: image.shape[0], : image.shape[1]], len(windows)
