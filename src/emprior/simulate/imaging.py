r"""From a structure to its image: potential, exit wave, image, pixels.

abTEM makes the potential, the propagator and the phase aberration. What is added here:
absorption, which abTEM's potentials do not have and which forbids its ready-made multislice; the
average over focus of intensities, so that no electron is lost; and pixels anywhere on the exit
plane by the exact Fourier series of the image.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import cast

import abtem
import numpy as np
from abtem.antialias import antialias_aperture
from abtem.core.energy import energy2sigma
from abtem.distributions import from_values
from abtem.multislice import FresnelPropagator
from abtem.parametrizations import (
    KirklandParametrization,
    LobatoParametrization,
    Parametrization,
)
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray
from scipy import fft

from emprior.simulate.recipe import Group
from emprior.specimen import VACUUM, Optics, Structure, View

_FAINTEST = 1e-3  # spatial frequencies that the blur damps below this are left out


@contextmanager
def single_threaded() -> Iterator[None]:
    """Configure abTEM for one worker among several: eager, silent, repeatable to the last bit."""
    settings = {
        "dask.lazy": False,
        "diagnostics.progress_bar": False,
        "precision": "float32",
        "device": "cpu",
        # A plan chosen by timing may round differently in the next run.
        "fftw.planning_effort": "FFTW_ESTIMATE",
        "fftw.threads": 1,
    }
    with abtem.config.set(settings):
        yield


@dataclass(frozen=True, eq=False)
class Slices:
    """What the slices of a structure do to the wave; serves every tilt, defocus and view."""

    transmission: NDArray[np.complex64]
    """(S, n_x, n_y), band-limited to two thirds of the Nyquist frequency."""
    thickness: float
    """Of each slice [Å]."""
    extent: tuple[float, float]
    """Of the cell in x and y [Å]."""
    energy: float
    """[eV]"""


def transmit(structure: Structure, group: Group, energy: float, absorption: float) -> Slices:
    r"""Compute the slices of a structure.

    .. math:: t = \exp((i - a) \sigma V)

    with the projected potential V of the slice and the interaction constant σ.

    Parameters
    ----------
    structure : Structure
    group : Group
        Grid, slices and potential.
    energy : float
        Of the beam [eV].
    absorption : float
        The ratio a.
    """
    W, H = (float(edge) for edge in structure.cell[:2])
    gpts = (group.grid, fft.next_fast_len(round(group.grid * H / W)))
    potential = abtem.Potential(
        Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=True),
        gpts=gpts,
        slice_thickness=group.slice_thickness,
        parametrization=_parametrization(group, structure),
    ).build(lazy=False)
    sigma = np.float32(energy2sigma(energy))
    aperture = antialias_aperture(gpts, (W / gpts[0], H / gpts[1]), np)
    slices = np.empty(potential.array.shape, np.complex64)
    for t, projected in zip(slices, potential.array, strict=True):
        phase = sigma * projected
        amplitude = np.exp(np.float32(-absorption) * phase)
        t.real, t.imag = amplitude * np.cos(phase), amplitude * np.sin(phase)
        t[:] = fft.ifft2(fft.fft2(t, overwrite_x=True) * aperture, overwrite_x=True)
    return Slices(slices, potential.slice_thickness[0], (W, H), energy)


def _parametrization(group: Group, structure: Structure) -> Parametrization:
    symbols = sorted({chemical_symbols[number] for number in structure.numbers})
    return _vibrating(group.parametrization, tuple(group.vibration.of(symbols).items()))


@cache
def _vibrating(name: str, displacements: tuple[tuple[str, float], ...]) -> Parametrization:
    kinds = {"lobato": LobatoParametrization, "kirkland": KirklandParametrization}
    return kinds[name](sigmas=dict(displacements))


def exit_wave(slices: Slices, tilt: tuple[float, float]) -> abtem.Waves:
    """Send a plane wave through a structure, to its exit plane z = T.

    Parameters
    ----------
    slices : Slices
    tilt : (t_x, t_y)
        Of the beam [rad].
    """
    plane = abtem.PlaneWave(
        energy=slices.energy,
        tilt=(1e3 * tilt[0], 1e3 * tilt[1]),
        gpts=slices.transmission.shape[1:],
        extent=slices.extent,
    ).build(lazy=False)
    step = FresnelPropagator().get_array(plane, slices.thickness)
    wave = plane.array
    for transmitted in slices.transmission:
        wave = fft.ifft2(fft.fft2(wave * transmitted, overwrite_x=True) * step, overwrite_x=True)
    # Each slice has acted where the wave enters it; half a slice back it acts in its middle.
    back = FresnelPropagator().get_array(plane, -slices.thickness / 2)
    wave = fft.ifft2(fft.fft2(wave) * back)
    return abtem.Waves(wave, energy=slices.energy, extent=slices.extent)


def form_image(
    wave: abtem.Waves, optics: Optics, view: View, focal_nodes: int = 5
) -> NDArray[np.float32]:
    r"""Form the image of an exit wave.

    .. math:: I = 0.45 \, B * \sum_j w_j \,
        \lvert F^{-1} e^{-i \chi(C_{10} + \Delta x_j)} F \psi \rvert^2

    with the nodes x and weights w of Gauss–Hermite quadrature, the focal spread Δ, the blur B
    and abTEM's phase aberration χ.

    Parameters
    ----------
    wave : Waves
        At the exit plane.
    optics : Optics
    view : View
    focal_nodes : int
        Number of defoci in the focal average.

    Returns
    -------
    (H, W) ndarray
        Vacuum is 0.45; never clipped.

    Notes
    -----
    Damping the wave by the temporal envelope, the usual shortcut, is the coherent approximation
    and loses electrons; the average of intensities keeps them.
    """
    nodes, weights = np.polynomial.hermite.hermgauss(focal_nodes)
    focus = from_values(optics.defocus + optics.focal_spread * nodes, weights, ensemble_mean=True)
    ctf = abtem.CTF(
        energy=optics.energy, aberration_coefficients={"C10": focus, **aberrations(optics)}
    )
    intensity = wave.apply_ctf(ctf).intensity().reduce_ensemble().array
    extent = cast("tuple[float, float]", wave.extent)
    return sample(VACUUM * intensity, extent, optics.blur, view, optics.drift)


def aberrations(optics: Optics) -> dict[str, float]:
    """Return abTEM's names and values of all aberrations but defocus [Å, rad]."""
    values = {"C30": optics.cs, "C50": optics.c5}
    for order, pair in (("12", optics.astigmatism), ("21", optics.coma), ("23", optics.trefoil)):
        if any(pair):
            values |= {f"C{order}": pair[0], f"phi{order}": pair[1]}
    return values


def sample(
    intensity: NDArray[np.floating],
    extent: tuple[float, float],
    blur: float,
    view: View,
    drift: tuple[float, float] = (0.0, 0.0),
) -> NDArray[np.float32]:
    r"""Evaluate a blurred periodic image at the pixels of a view by its Fourier series.

    Parameters
    ----------
    intensity : (n_x, n_y) ndarray
        Samples over one cell, x first.
    extent : (L_x, L_y)
        Of the cell [Å].
    blur : float
        Standard deviation of the Gaussian it is convolved with [Å].
    view : View
        Any pixel size, offset and rotation.
    drift : (length, azimuth)
        Of the image while it is taken [Å, rad].

    Returns
    -------
    (H, W) ndarray

    Notes
    -----
    Exact up to frequencies that the blur damps by more than 1000. On a rotated grid the series is
    no product of one along rows and one along columns, but each of its terms is; so the image is
    one matrix product over all terms.
    """
    n_x, n_y = intensity.shape
    spectrum = fft.rfft2(intensity) / intensity.size
    k_x = fft.fftfreq(n_x, extent[0] / n_x)[:, None]
    k_y = fft.rfftfreq(n_y, extent[1] / n_y)[None]
    damping = np.exp(-2 * (np.pi * blur) ** 2 * (k_x**2 + k_y**2))
    if any(drift):
        length, azimuth = drift
        damping *= np.sinc(length * (k_x * np.cos(azimuth) + k_y * np.sin(azimuth)))
    # The real transform holds one of each pair of conjugate terms; count the kept one twice.
    damping[:, 1:] *= 2
    kept = np.abs(damping) > _FAINTEST
    terms = (spectrum * damping)[kept]
    k = np.stack(np.broadcast_arrays(k_x, k_y), -1)[kept]

    H, W = view.shape
    right, up = (k @ view.axes().T).T * view.pixel_size
    along_rows = _waves(right, np.arange(W) - (W - 1) / 2)
    along_columns = _waves(up, (H - 1) / 2 - np.arange(H))
    along_columns *= (terms * np.exp(2j * np.pi * (k @ view.centre))).astype(np.complex64)
    # The real part of a complex product, as one real product.
    left = np.concatenate([along_columns.real, -along_columns.imag], axis=1)
    return left @ np.concatenate([along_rows.real, along_rows.imag], axis=1).T


def _waves(frequencies: NDArray[np.floating], positions: NDArray[np.floating]) -> NDArray:
    """Return exp(2πi k u) as (positions, frequencies)."""
    cycles = np.outer(positions, frequencies)
    phase = (2 * np.pi * (cycles - np.round(cycles))).astype(np.float32)
    waves = np.empty(phase.shape, np.complex64)
    waves.real, waves.imag = np.cos(phase), np.sin(phase)
    return waves
