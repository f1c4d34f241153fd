r"""The image that one lone atom makes in STEM, exact for a phase object.

With the probe's amplitude P(k) within the aperture, the wave ŝ of an atom, s = exp(iσV) − 1, and
the detector D, a probe at r changes what the detector sees by

.. math::
    K(r) &= \iint P(k_1) P^*(k_2) M(k_1, k_2) e^{-2 \pi i (k_1 - k_2) r} dk_1 dk_2 \\
    M(k_1, k_2) &= \int_D \hat s(k - k_1) \hat s^*(k - k_2) dk
        + 2 \Re \, D(k_2) \hat s(k_2 - k_1)

The last term, of what interferes with the direct beam, is there in bright fields alone. The first
is a sum of products of few modes, g(k) exp(−i m φ), since an atom is small and round; focus and
aberrations are in P alone, so that the modes of an element are computed once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from abtem.core.energy import energy2sigma, energy2wavelength
from abtem.parametrizations import KirklandParametrization, LobatoParametrization
from numpy.typing import NDArray
from scipy import fft, special

from emprior.specimen import Optics

Floats = NDArray[np.float64]
Complexes = NDArray[np.complexfloating]

_FARTHEST = 8.0
"""Of an atom's potential from its nucleus [Å]."""
_RINGS, _RADII, _SPOKES = 24, 48, 128
"""Points of the detector and of the aperture outwards, and of either around."""
_FAINTEST = 1e-4
"""Of the strongest mode's power; modes below it are left out."""
_FOCI = 5


class Mode(NamedTuple):
    """A part of what an atom scatters into the detector."""

    turns: int
    """m, of its phase around the axis."""
    radii: Floats
    """(n,) [1/Å]"""
    values: Complexes
    """g at the radii, (n,) [Å]."""

    def at(self, k: Floats, azimuth: Floats) -> Complexes:
        """Return its values at spatial frequencies and azimuths of one shape."""
        return _interpolate(k, self.radii, self.values) * np.exp(-1j * self.turns * azimuth)


def atom_image(
    symbol: str, parametrization: str, optics: Optics, depth: float, box: float
) -> Complexes:
    """Return the Fourier components of an atom's image, on the lattice of a square box.

    Parameters
    ----------
    symbol : str
        The element; its nucleus stands still at 0.
    parametrization : {"lobato", "kirkland"}
        Of the potential.
    optics : Optics
    depth : float
        Of the atom below the surface that the defocus counts from [Å].
    box : float
        Edge [Å]; the image must fit in.

    Returns
    -------
    (2m + 1, 2m + 1) ndarray
        In Å², at q = (i − m, j − m) / box: integral over the plane of the change of the detected
        share of the beam times exp(−2πi q r).
    """
    wavelength = float(energy2wavelength(optics.energy))
    radius = optics.convergence / wavelength
    inner, outer = (angle / wavelength for angle in optics.detector)
    reach = math.floor(radius * box)
    n = fft.next_fast_len(4 * reach + 2)
    k = np.stack(np.meshgrid(*[fft.fftfreq(n, box / n)] * 2, indexing="ij"), -1)
    length, azimuth = np.hypot(k[..., 0], k[..., 1]), np.arctan2(k[..., 1], k[..., 0])
    within = length <= radius
    wave, modes = scattering(symbol, parametrization, optics.energy, radius, (inner, outer))
    filters = [np.where(within, mode.at(length, azimuth), 0) for mode in modes]
    lit = within & (length >= inner) & (length <= outer)
    direct = wave(length) if lit.any() else None
    seen = np.zeros((n, n))
    nodes, weights = np.polynomial.hermite.hermgauss(_FOCI if optics.focal_spread else 1)
    for node, weight in zip(nodes, weights / np.sqrt(np.pi), strict=True):
        chi = phase(optics, depth + optics.focal_spread * node, wavelength * length, azimuth)
        probe = np.where(within, np.exp(-1j * chi), 0)
        for mode in filters:
            seen += weight * np.abs(fft.fft2(probe * mode)) ** 2
        if direct is not None:
            mixed = fft.fft2(fft.fft2(probe) * fft.fft2(probe * lit).conj()) * direct
            seen += 2 * weight * fft.ifft2(mixed).real
    # Sums over the aperture stand for integrals, of a probe that holds one electron.
    spectrum = fft.fftshift(fft.fft2(seen)) / (n**2 * np.pi * radius**2 * box**2)
    middle = n // 2
    kept = slice(middle - 2 * reach, middle + 2 * reach + 1)
    return spectrum[kept, kept]


def phase(optics: Optics, further: float, theta: Floats, azimuth: Floats) -> Floats:
    r"""Return abTEM's phase aberration χ at scattering angles [rad], with further defocus [Å]."""
    path = (optics.defocus + further) * theta**2 / 2
    path += optics.cs * theta**4 / 4 + optics.c5 * theta**6 / 6
    for (amplitude, direction), order, fold in (
        (optics.astigmatism, 2, 2),
        (optics.coma, 3, 1),
        (optics.trefoil, 3, 3),
    ):
        path += amplitude * theta**order / order * np.cos(fold * (azimuth - direction))
    return 2 * np.pi / float(energy2wavelength(optics.energy)) * path


@lru_cache(maxsize=64)
def scattering(
    symbol: str,
    parametrization: str,
    energy: float,
    radius: float,
    detector: tuple[float, float],
) -> tuple[Callable[[Floats], Complexes], tuple[Mode, ...]]:
    """Return the wave ŝ that an element scatters, and the modes that a detector sees of it.

    Parameters
    ----------
    symbol, parametrization, energy
        As for `atom_image`; [eV].
    radius : float
        Of the aperture [1/Å].
    detector : (inner, outer)
        [1/Å]
    """
    inner, outer = detector
    wave = _scattered(symbol, parametrization, energy, outer + 2 * radius)
    edges = np.linspace(inner**2, outer**2, _RINGS + 1)  # of rings of equal area
    rings = np.sqrt((edges[1:] + edges[:-1]) / 2)[:, None, None]
    radii = np.linspace(0, radius, _RADII)
    turn = 2 * np.pi * np.arange(_SPOKES) / _SPOKES
    apart = rings**2 + radii[:, None] ** 2 - 2 * rings * radii[:, None] * np.cos(turn)
    parts = fft.fft(wave(np.sqrt(np.maximum(apart, 0))), axis=-1) / _SPOKES
    parts *= np.sqrt(np.pi * (outer**2 - inner**2) / _RINGS)
    found = []
    for m in range(-_SPOKES // 2 + 1, _SPOKES // 2):
        _, powers, shapes = np.linalg.svd(parts[..., m])
        found += [
            (power, Mode(m, radii, power * shape))
            for power, shape in zip(powers, shapes, strict=False)
        ]
    strongest = max(power for power, _ in found)
    return wave, tuple(mode for power, mode in found if power**2 > _FAINTEST * strongest**2)


def _scattered(
    symbol: str, parametrization: str, energy: float, largest: float
) -> Callable[[Floats], Complexes]:
    """Return ŝ [Å²] as a function of spatial frequency up to the largest [1/Å]."""
    kind = {"lobato": LobatoParametrization, "kirkland": KirklandParametrization}[parametrization]
    r = np.geomspace(1e-5, _FARTHEST, 4000)
    added = np.expm1(1j * energy2sigma(energy) * kind().projected_potential(symbol)(r))
    rings = 2 * np.pi * added * r**2 * np.gradient(np.log(r))  # s r dr on a logarithmic grid
    k = np.linspace(0, largest, 800)
    table = special.j0(2 * np.pi * np.outer(k, r)) @ rings
    return lambda frequency: _interpolate(frequency, k, table)


def _interpolate(x: Floats, places: Floats, values: Complexes) -> Complexes:
    found = np.empty(x.shape, complex)
    found.real = np.interp(x, places, values.real)
    found.imag = np.interp(x, places, values.imag)
    return found
