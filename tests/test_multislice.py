"""Multislice in a few thick slices: against abTEM's multislice, and its own laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from abtem.core.energy import energy2sigma, energy2wavelength
from scenes import NUMBERS, column_generator, factors

from emprior.generators import ColumnGenerator, Multislice
from emprior.generators.multislice import electron
from emprior.simulate.imaging import exit_wave, form_image, single_threaded, transmit
from emprior.simulate.recipe import Group
from emprior.specimen import Optics, Structure, View

F64 = torch.float64


def tensors(*values: object) -> list[torch.Tensor]:
    return [torch.tensor(value, dtype=F64) for value in values]


# the electron ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("energy", "wavelength", "sigma"),
    # Kirkland, Advanced Computing in Electron Microscopy, table 2.2 and figure 5.1, converted
    # from Å and 1/(kV Å).
    [(300e3, 0.0196875, 0.6526e-3), (200e3, 0.0250793, 0.7288e-3), (80e3, 0.0417572, 1.0088e-3)],
)
def test_electrons_are_those_of_the_literature_and_of_abtem(energy, wavelength, sigma):
    found = electron(energy)
    assert found[0] == pytest.approx(wavelength, rel=3e-6)
    assert found[1] == pytest.approx(sigma, rel=1e-4)
    assert found[0] == pytest.approx(energy2wavelength(energy), rel=1e-6)
    assert found[1] == pytest.approx(energy2sigma(energy), rel=1e-6)


def test_the_electron_of_the_multislice_has_300_kev():
    multislice = Multislice(factors(), (8, 8), 0.2)
    assert multislice.wavelength == electron(300e3)[0]


# spectra ---------------------------------------------------------------------------------------


def points(rng, count=7, shape=(12, 18), batch=2, slices=2):
    """Draw columns anywhere, their atoms in each slice, and their elements."""
    rows, columns = (torch.from_numpy(rng.uniform(-1, n, (batch, count))) for n in shape)
    atoms = torch.from_numpy(rng.uniform(0.5, 2, (batch, count, slices)))
    return rows, columns, atoms, torch.from_numpy(rng.integers(0, 3, count))


def test_spectra_are_sums_over_columns(rng):
    """Against the sum of exponentials, one column, one slice and one frequency at a time."""
    multislice = Multislice(factors(dtype=F64), (12, 18), 0.2, slices=2)
    rows, columns, atoms, element = points(rng)
    found = multislice.spectra(rows, columns, atoms, element)
    assert found.shape == (2, 2, 12, 10)
    k = torch.fft.fftfreq(12, dtype=F64), torch.fft.rfftfreq(18, dtype=F64)
    alone = [
        multislice.spectra(zero, zero, torch.ones(1, 1, 1, dtype=F64), torch.tensor([e]))[0, 0]
        for e, zero in enumerate(torch.zeros(3, 1, 1, dtype=F64))
    ]
    for s, i, j in ((0, 0, 0), (1, 3, 2), (0, 11, 5)):
        turns = rows[1] * k[0][i] + columns[1] * k[1][j]
        own = torch.stack([alone[e][i, j] for e in element])
        expected = (atoms[1, :, s] * own * torch.exp(-2j * math.pi * turns)).sum()
        torch.testing.assert_close(found[1, s, i, j], expected)


def test_a_column_gives_the_phase_of_its_atoms_where_it_stands():
    multislice = Multislice(factors(dtype=F64), (24, 30), 0.2, slices=1)
    where = tensors([[9.0]], [[21.0]], [[[3.0]]])
    phase = torch.fft.irfft2(multislice.spectra(*where, torch.tensor([0]))[0, 0], s=(24, 30))
    assert divmod(int(phase.argmax()), 30) == (9, 21)
    # All of the projected potential is the forward scattering factor, the first of the table.
    _, sigma = electron()
    whole = float(phase.sum()) * 0.2**2
    assert whole == pytest.approx(3 * sigma * float(factors(dtype=F64)[0, 0]), rel=1e-6)


def test_gradient_of_spectra_agrees_with_finite_differences(rng):
    multislice = Multislice(factors(dtype=F64), (8, 10), 0.25, slices=2)
    rows, columns, atoms, element = points(rng, 3, (8, 10), 1)
    given = [x.requires_grad_() for x in (rows, columns, atoms)]
    assert torch.autograd.gradcheck(lambda *x: multislice.spectra(*x, element), given)


def test_spectra_of_a_batch_are_those_of_each_alone(rng):
    multislice = Multislice(factors(dtype=F64), (12, 18), 0.2)
    *given, element = points(rng)
    together = multislice.spectra(*given, element)
    for i in range(2):
        alone = multislice.spectra(*(x[i : i + 1] for x in given), element)
        torch.testing.assert_close(together[i : i + 1], alone)


def test_no_columns_have_no_spectrum():
    none = torch.zeros(2, 0)
    found = Multislice(factors(), (12, 18), 0.2).spectra(
        none, none, torch.zeros(2, 0, 3), torch.zeros(0, dtype=torch.long)
    )
    assert found.shape == (2, 3, 12, 10)
    assert not found.any()


# images ----------------------------------------------------------------------------------------

SHAPE, PITCH, THICKNESS = (60, 80), 0.2, 24.0  # one whole cell of 16 × 12 Å


def structure() -> Structure:
    """Return a few columns of three elements, of different lengths, in a cell of 16 × 12 Å."""
    columns = [(4, 5, 78, 2.82, 5), (9, 7, 58, 3.826, 6), (12, 4, 8, 3.826, 6), (7, 3, 78, 2.82, 3)]
    positions, numbers = [], []
    for x, y, number, spacing, count in columns:
        for k in range(count):
            positions.append((x, y, THICKNESS / 2 + (k - (count - 1) / 2) * spacing))
            numbers.append(number)
    return Structure(positions, numbers, [16.0, 12.0, THICKNESS])


def spectra(
    multislice: Multislice, structure: Structure, view: View, tilt, moved=(0.0, 0.0)
) -> torch.Tensor:
    """Return the spectra of single atoms, projected along the tilted beam."""
    pixels = view.to_pixels(structure.projected(tilt))
    rows, columns = (torch.from_numpy(p)[None] + d for p, d in zip(pixels.T, moved, strict=True))
    element = torch.tensor([NUMBERS.index(n) for n in structure.numbers])
    height = structure.positions[:, 2] / structure.thickness
    s = np.floor(height * multislice.slices).astype(int)
    atoms = torch.from_numpy(np.eye(multislice.slices)[s])[None]
    return multislice.spectra(rows, columns, atoms, element)


def images(optics: Optics, slices: int, pitch: float, shape) -> tuple[np.ndarray, np.ndarray]:
    """Return the image of the structure by thick slices and by abTEM's thin ones."""
    specimen, view = structure(), View(shape, pitch, (8.0, 6.0))
    group = Group(name="fine", structures=1, grid=256, slice_thickness=1.0)
    with single_threaded():
        thin = transmit(specimen, group, optics.energy, optics.absorption)
        expected = form_image(exit_wave(thin, optics.tilt), optics, view, focal_nodes=7)
    multislice = Multislice(
        factors(dtype=F64), shape, pitch, slices, focal_nodes=7, absorption=optics.absorption
    )
    found = multislice(
        spectra(multislice, specimen, view, optics.tilt),
        *tensors([optics.defocus], [THICKNESS], [optics.focal_spread], [optics.blur]),
        cs=optics.cs,
        c5=optics.c5,
    )
    return found[0].numpy(), expected


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Range 1, dB."""
    return -10 * math.log10(np.mean((a - b) ** 2))


@pytest.mark.parametrize(
    "optics",
    [
        Optics(60.0),
        Optics(150.0, tilt=(0.03, -0.02)),
        Optics(-40.0, cs=2e5, c5=0.0, absorption=0.05, blur=0.4, tilt=(-0.05, 0.0)),
    ],
    ids=["on axis", "tilted", "other optics"],
)
def test_images_are_those_of_the_simulation(optics):
    coarse, expected = images(optics, slices=6, pitch=PITCH, shape=SHAPE)
    empty = psnr(np.full_like(expected, 0.45), expected)
    assert empty < 44
    assert psnr(coarse, expected) > max(54, empty + 12)
    fine, expected = images(optics, slices=24, pitch=0.1, shape=(120, 160))
    assert psnr(fine, expected) > max(64, empty + 20)


def test_overfocus_shows_white_atoms_with_negative_cs():
    found, expected = images(Optics(80.0), slices=6, pitch=PITCH, shape=SHAPE)
    row, column = View(SHAPE, PITCH, (8.0, 6.0)).to_pixels([[12.0, 4.0]])[0].round().astype(int)
    assert found[row, column] > 0.45 + 0.05
    assert expected[row, column] > 0.45 + 0.05
    under, _ = images(Optics(-80.0), slices=6, pitch=PITCH, shape=SHAPE)
    assert under[row, column] < 0.45 - 0.05


def call(multislice: Multislice, spectra: torch.Tensor, defocus=70.0, thickness=THICKNESS):
    each = torch.ones(len(spectra)).to(spectra.real)
    return multislice(spectra, *(v * each for v in (defocus, thickness, 40.0, 0.5)))


def nothing(multislice: Multislice, batch: int, dtype=torch.complex64) -> torch.Tensor:
    h, w = multislice.grid
    return torch.zeros(batch, multislice.slices, h, w // 2 + 1, dtype=dtype)


def test_vacuum_is_045():
    multislice = Multislice(factors(), (24, 40), 0.2, slices=3)
    image = call(multislice, nothing(multislice, 2))
    torch.testing.assert_close(image, torch.full((2, 24, 40), 0.45), rtol=1e-5, atol=0)


def test_without_absorption_every_electron_arrives():
    view = View(SHAPE, PITCH, (8.0, 6.0))
    for absorption, defocus in [(0.0, -50.0), (0.0, 120.0), (0.02, 120.0)]:
        multislice = Multislice(factors(dtype=F64), SHAPE, PITCH, absorption=absorption)
        maps = spectra(multislice, structure(), view, (0, 0))
        mean = float(call(multislice, maps, defocus).mean())
        # No wave is cut off. What is absorbed is at first order that of the mean phase, and more,
        # since columns draw the wave in.
        phase = float(maps.real[0, :, 0, 0].sum()) / math.prod(SHAPE)
        lost, least = 1 - mean / 0.45, 2 * absorption * phase
        assert least - 1e-9 < lost < 1.25 * least + 1e-9


def test_moving_every_atom_moves_the_image():
    multislice = Multislice(factors(dtype=F64), SHAPE, PITCH, slices=3)
    view = View(SHAPE, PITCH, (8.0, 6.0))

    def image(*moved: float) -> torch.Tensor:
        return call(multislice, spectra(multislice, structure(), view, (0.02, 0), moved))

    torch.testing.assert_close(image(5, -11), image(0, 0).roll((5, -11), (-2, -1)))
    # By fractions of a pixel, as exactly as the grid tells waves near its band limit.
    k = [torch.fft.fftfreq(n, dtype=F64) for n in SHAPE]
    for shift in (0.25, 0.5):
        phase = -2j * math.pi * shift * (k[0][:, None] - k[1])
        expected = torch.fft.ifft2(torch.fft.fft2(image(0, 0)) * torch.exp(phase)).real
        assert psnr(image(shift, -shift).numpy(), expected.numpy()) > 65


def test_rows_and_columns_are_treated_alike(rng):
    rows, columns, atoms, element = points(rng, 5, (24, 30), 1, slices=3)
    upright = Multislice(factors(dtype=F64), (24, 30), PITCH, slices=3)
    turned = Multislice(factors(dtype=F64), (30, 24), PITCH, slices=3)
    torch.testing.assert_close(
        call(turned, turned.spectra(columns, rows, atoms, element)),
        call(upright, upright.spectra(rows, columns, atoms, element)).mT,
    )


def test_derivatives_of_an_image_agree_with_finite_differences(rng):
    multislice = Multislice(factors(dtype=F64), (8, 10), 0.25, slices=2)
    rows, columns, atoms, element = points(rng, 4, (8, 10), 1)
    optics = tensors([60.0], [20.0], [40.0], [0.5])
    probe = torch.from_numpy(rng.standard_normal((1, 8, 10)))

    def value(rows, columns, atoms, *given: torch.Tensor) -> torch.Tensor:
        drawn = multislice(multislice.spectra(rows, columns, atoms, element), *given)
        return (drawn * probe).sum()

    given = [x.requires_grad_() for x in (rows, columns, atoms, *optics)]
    assert torch.autograd.gradcheck(value, given, eps=1e-5, atol=1e-6)


def test_a_finer_wave_draws_the_same_image_on_the_same_pixels_and_a_better_one():
    """Platinum scatters beyond what 0.2 Å carry; the finer the wave, the nearer a limit."""
    shape = (40, 48)
    scene = column_generator(shape, dtype=F64)
    z = torch.zeros(1, scene.latent_dim, dtype=F64)

    def image(fineness: float) -> np.ndarray:
        multislice = scene.multislice.regridded(12, fineness)
        assert multislice.shape == shape
        generator = ColumnGenerator(scene.scene, scene.elements, multislice)
        return generator(z)[0, 0].numpy()

    limit = image(2.4)
    errors = [psnr(image(fineness), limit) for fineness in (0.6, 1.0, 1.6)]
    assert errors[0] > 30
    assert errors[1] > errors[0] + 3
    assert errors[2] > errors[1] + 6


def test_the_grid_of_the_wave_has_fast_transforms():
    """Even, of small factors alone, and no coarser than is asked for."""
    for shape, fineness in (((40, 48), 1.3), ((74, 82), 1.0), ((160, 160), 1.4)):
        grid = Multislice(factors(), shape, 0.2, fineness=fineness).grid
        for n, samples in zip(shape, grid, strict=True):
            assert fineness * n <= samples <= 1.1 * fineness * n
            assert samples % 2 == 0
            for factor in (2, 3, 5, 7, 11):
                while samples % factor == 0:
                    samples //= factor
            assert samples == 1


def test_precision_follows_the_module():
    multislice = Multislice(factors(), (16, 24), 0.2, slices=2).double()
    for one in (multislice, multislice.regridded(2, 1.5)):
        assert call(one, nothing(one, 1, torch.complex128)).dtype == F64
