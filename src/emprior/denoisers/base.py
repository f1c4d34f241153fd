"""What every denoiser is: one call from a micrograph and its noise to an estimate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emprior.found import Found
from emprior.micrograph import Micrograph
from emprior.noise import NoiseModel


@dataclass(frozen=True, eq=False)
class Estimate:
    """What a denoiser returns.

    Parameters
    ----------
    image : (H, W) ndarray
        Estimate of the unclipped mean, in the units of the micrograph.
    trace : mapping
        How the answer was found: plain values and lists, ready for JSON.
    find : callable, optional
        Tells what the frame shows, where the method can. It takes time, so it waits until asked.
    """

    image: NDArray[np.floating]
    trace: Mapping[str, Any] = field(default_factory=dict)
    find: Callable[[], Found] | None = None


class Denoiser(ABC):
    """A method of denoising; subclasses are frozen dataclasses of its settings.

    Call it with a micrograph, the noise model of its pixels, and a random generator; two calls
    with equal arguments and generators in equal states return equal estimates. The estimate
    scales with the data: denoising ``a·image + b`` under the likewise scaled noise gives
    ``a·estimate + b``.
    """

    @abstractmethod
    def __call__(
        self, micrograph: Micrograph, noise: NoiseModel, rng: np.random.Generator
    ) -> Estimate:
        """Estimate the unclipped mean of a micrograph."""
