"""Scattering factors of vibrating atoms, for the multislice of a columns prior."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emprior.errors import import_extra


def scattering_factors(
    numbers: Sequence[int], vibrations: Sequence[float], frequencies: ArrayLike
) -> NDArray[np.float64]:
    r"""Tabulate projected scattering factors, damped by thermal vibration.

    .. math:: f(k)\, e^{-2 \pi^2 u^2 k^2}

    with f by Lobato and Van Dyck, Acta Cryst. A 70, 636 (2014), the parametrisation of the
    simulation, and the mean square displacement u² along one axis.

    Parameters
    ----------
    numbers : sequence of int
        Atomic numbers, E of them.
    vibrations : sequence of float
        u of each [Å].
    frequencies : (K,) array_like
        k [1/Å].

    Returns
    -------
    (E, K) ndarray
        [V Å³ an atom]

    Raises
    ------
    MissingExtraError
        If abTEM is not installed.
    """
    abtem = import_extra("abtem", "simulate", "the scattering factors of a new columns prior")
    table = abtem.parametrizations.LobatoParametrization()
    square = np.asarray(frequencies, float) ** 2
    return np.stack(
        [
            table.projected_scattering_factor(number)(square)
            * np.exp(-2 * np.pi**2 * vibration**2 * square)
            for number, vibration in zip(numbers, vibrations, strict=True)
        ]
    )
