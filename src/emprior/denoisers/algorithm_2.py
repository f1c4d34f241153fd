"""The paper's denoiser to the letter: Algorithm 2 on the squared error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from emprior.denoisers.base import Denoiser, Estimate
from emprior.denoisers.networks import NATIVE_PIXEL_SIZE, check_network, check_search, network
from emprior.denoisers.pose import FACE_VALUE, pose
from emprior.grid import Tile, blend
from emprior.inversion import SEARCHES, Exposure, invert
from emprior.micrograph import Micrograph
from emprior.noise import Gaussian, NoiseModel


@dataclass(frozen=True)
class AlgorithmTwo(Denoiser):
    """Latent search by least squares, blind to the noise (Chen & Stanley, Eq. (2)).

    Parameters
    ----------
    prior : str or path
        A generator: a shipped one's name or a weight file.
    search : str
        "paper" for 10 starts of 1,500 steps and 10,000 steps from the best, "paper-cpu" for a
        tenth of them.
    device : str
    progress : callable, optional

    Notes
    -----
    Wrong where the noise moves the mean, as clipping does. Data with a mean from 0.3 to 0.6 is
    taken at face value, vacuum 0.45, as the paper's is; other data is first brought to that scale
    by its mean, and for Gaussian noise of an unknown zero by its contrast.
    """

    prior: str | Path = "gan"
    search: str = "paper-cpu"
    device: str = "auto"
    progress: Callable[[float], None] | None = field(default=None, compare=False, repr=False)

    def __call__(
        self, micrograph: Micrograph, noise: NoiseModel, rng: np.random.Generator
    ) -> Estimate:
        """Estimate by the image in the generator's range that is nearest to the noisy one."""
        check_network("algorithm-2", self.prior)
        check_search(self.search)
        stored = network(self.prior, self.device)[0]
        pitch = (micrograph.pixel_size or NATIVE_PIXEL_SIZE) / stored.pixel_size
        windows: list[Tile] = []
        images: list[np.ndarray] = []
        passes = 0
        face_value = FACE_VALUE[0] < micrograph.image.mean() < FACE_VALUE[1]
        poses = pose(stored, micrograph, noise, pitch)
        for number, posed in enumerate(poses):
            exposure = Exposure() if face_value else replace(posed.exposure, free=0)
            squared = Gaussian(exposure.unit * 2**-0.5)  # log-density: the squared error
            problem, full = replace(posed, exposure=exposure).problem(micrograph, squared, pitch)
            problem.prior_weight = 0.0

            def progress(share: float, number: int = number) -> None:
                if self.progress:
                    self.progress((number + share) / len(poses))

            inversion = invert(problem, SEARCHES[self.search], rng, progress=progress)
            with torch.no_grad():
                images += list(problem.image(inversion.latent[:, None], full)[:, 0].cpu().numpy())
            windows += posed.windows
            passes += inversion.passes
        image = blend(micrograph.shape, windows, images).astype(np.float32)
        trace = {"prior": str(self.prior), "search": self.search, "passes": passes}
        return Estimate(image, trace=trace)
