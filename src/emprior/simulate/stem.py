r"""STEM images in the linear approximation: every atom acts on the probe as if it were alone.

The image of a lone atom is exact (`emprior.simulate.probe`), thermal displacement and focal spread
included. What is neglected is that atoms scatter what other atoms have scattered before: no
channelling, no dynamical contrast.
"""

from __future__ import annotations

import math

import numpy as np
from abtem.core.energy import energy2wavelength
from ase.data import chemical_symbols
from numpy.typing import NDArray
from scipy import fft

from emprior.simulate.imaging import sample
from emprior.simulate.probe import Complexes, atom_image
from emprior.simulate.recipe import Group
from emprior.specimen import VACUUM, Optics, Structure, View

Floats = NDArray[np.float64]

_BRIGHTEST = 0.9
"""Of a dark-field image, whose vacuum is 0."""
_REACH = 5.0
"""Of an atom's own image in focus [Å]."""


def scan(structure: Structure, optics: Optics, group: Group, view: View) -> NDArray[np.float32]:
    r"""Form the linear STEM image of a structure.

    .. math:: I(r) = I_0 + \sum_a K_{Z_a}(r - r_a; C_{10} + z_a)

    with the change K that one atom makes: seen at its own depth z below the surface, where the
    probe is defocused by as much more.

    Parameters
    ----------
    structure : Structure
    optics : Optics
        With convergence and detector.
    group : Group
        Grid of the image, potential and vibration.
    view : View

    Returns
    -------
    (H, W) ndarray
        Of a bright field, whose detector begins within the probe's cone: vacuum is 0.45. Of a dark
        field: vacuum is 0, the brightest point of the cell 0.9 (before any drift).

    Notes
    -----
    Wrong where columns channel the probe: along zone axes the brightness of a column grows faster
    and then slower than here, the heavier it is the sooner. Bright fields are worse: what one atom
    takes from the beam, the next takes again. docs/simulation.md has figures.
    """
    W, H = (float(edge) for edge in structure.cell[:2])
    shape = (group.grid, fft.next_fast_len(round(group.grid * H / W)))
    g_x, g_y = fft.fftfreq(shape[0], W / shape[0]), fft.rfftfreq(shape[1], H / shape[1])
    nodes = _depths(structure, optics)
    farthest = max(abs(optics.defocus + nodes[0]), abs(optics.defocus + nodes[-1]))
    box = 4.0 * math.ceil((_REACH + farthest * optics.convergence) / 2)
    xy = structure.projected(optics.tilt)
    spectrum = np.zeros((len(g_x), len(g_y)), complex)
    for number in np.unique(structure.numbers):
        symbol = chemical_symbols[number]
        same = structure.numbers == number
        # Every atom is shared out to the two depths about it.
        shares = np.maximum(
            0, 1 - np.abs(structure.positions[same, 2, None] - nodes) / (nodes[1] - nodes[0])
        )
        waves = [
            np.exp(-2j * np.pi * np.outer(g, places)).astype(np.complex64)
            for g, places in zip((g_x, g_y), xy[same].T, strict=True)
        ]
        of_element = np.zeros_like(spectrum)
        for depth, share in zip(nodes, shares.T, strict=True):
            some = share > 0
            if some.any():
                factor = (waves[0][:, some] * share[some].astype(np.float32)) @ waves[1][:, some].T
                image = atom_image(symbol, group.parametrization, optics, float(depth), box)
                of_element += factor * _between(image, box, g_x, g_y)
        u = group.vibration.of([symbol])[symbol]
        spectrum += of_element * np.exp(-2 * (np.pi * u) ** 2 * (g_x[:, None] ** 2 + g_y**2))
    spectrum *= shape[0] * shape[1] / (W * H)
    inner, outer = optics.detector
    if inner < optics.convergence:
        direct = (min(outer, optics.convergence) ** 2 - inner**2) / optics.convergence**2
        intensity = VACUUM * (1 + fft.irfft2(spectrum, shape) / direct)
    else:
        blur = np.exp(-2 * (np.pi * optics.blur) ** 2 * (g_x[:, None] ** 2 + g_y**2))
        brightest = float(fft.irfft2(spectrum * blur, shape).max())
        intensity = _BRIGHTEST * fft.irfft2(spectrum, shape) / max(brightest, 1e-12)
    return sample(intensity, (W, H), optics.blur, view, optics.drift)


def _depths(structure: Structure, optics: Optics) -> Floats:
    """Return depths below the surface between which an atom's image changes little [Å]."""
    step = energy2wavelength(optics.energy) / (4 * optics.convergence**2)
    return np.linspace(0, structure.thickness, 2 + math.floor(structure.thickness / step))


def _between(image: Complexes, box: float, g_x: Floats, g_y: Floats) -> Complexes:
    """Interpolate Fourier components of a box at the frequencies of a cell, exactly."""
    reach = (len(image) - 1) // 2
    q = np.arange(-reach, reach + 1) / box
    left, right = (np.sinc((g[:, None] - q) * box) for g in (g_x, g_y))
    return left @ image @ right.T
