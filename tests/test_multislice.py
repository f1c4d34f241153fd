"""Multislice in a few thick slices: against abTEM's multislice, and its own laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from abtem.core.energy import energy2sigma, energy2wavelength
from scenes import NUMBERS, column_generator, factors

from emprior.generators import ColumnGenerator, Multislice
from emprior.generators.multislice import electron, splat
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


# splat -----------------------------------------------------------------------------------------


def points(rng, count=7, shape=(12, 17), batch=2):
    """Draw points at least two pixels inside, and their weights and maps."""
    H, W = shape
    rows, columns = (torch.from_numpy(rng.uniform(2, n - 3, (batch, count))) for n in (H, W))
    weights = torch.from_numpy(rng.uniform(0.5, 2, (batch, count)))
    return rows, columns, weights, torch.from_numpy(rng.integers(0, 3, count))


def test_splat_keeps_every_atom_and_their_centre(rng):
    rows, columns, weights, index = points(rng)
    maps = splat(rows, columns, weights, index, 3, (12, 17))
    assert maps.shape == (2, 3, 12, 17)
    row, column = torch.arange(12.0, dtype=F64)[:, None], torch.arange(17.0, dtype=F64)
    for m in range(3):
        own = index == m
        for found, expected in [
            (maps[:, m], weights[:, own]),
            (maps[:, m] * row, (weights * rows)[:, own]),
            (maps[:, m] * column, (weights * columns)[:, own]),
        ]:
            torch.testing.assert_close(found.sum((1, 2)), expected.sum(1))


def test_splat_is_the_cubic_b_spline():
    (rows, columns, weights) = tensors([[5.0]], [[7.25]], [[6.0]])
    image = splat(rows, columns, weights, torch.tensor([0]), 1, (12, 17))[0, 0]
    # Of a point on a pixel: 1/6, 4/6, 1/6; a quarter further: ((3/4)³, ..., (1/4)³) / 6.
    torch.testing.assert_close(image[4:7].sum(1), torch.tensor([1.0, 4.0, 1.0], dtype=F64))
    expected = [27 / 64, 4 - 6 / 16 + 3 / 64, 4 - 6 * 9 / 16 + 3 * 27 / 64, 1 / 64]
    torch.testing.assert_close(image.sum(0)[6:10], torch.tensor(expected, dtype=F64))
    assert int((image > 0).sum()) == 12


def test_gradient_of_splat_agrees_with_finite_differences(rng):
    rows, columns, weights, index = points(rng, count=3, shape=(8, 9), batch=1)
    given = [x.requires_grad_() for x in (rows, columns, weights)]
    assert torch.autograd.gradcheck(lambda *x: splat(*x, index, 3, (8, 9)), given)
    # Gauss–Newton's products differentiate the gradient again.
    assert torch.autograd.gradgradcheck(lambda *x: splat(*x, index, 3, (8, 9)), given)


def test_points_outside_are_lost_not_wrapped():
    rows, columns, weights = tensors(
        [[-9.0, 30.0, 5.0, 5.0, -1e6]], [[5.0, 5.0, -9.0, 40.0, 1e6]], [[1.0] * 5]
    )
    maps = splat(rows, columns, weights, torch.zeros(5, dtype=int), 1, (12, 17))
    assert not maps.any()
    # At the very edge the part inside stays.
    rows, columns, weights = tensors([[0.0]], [[8.0]], [[6.0]])
    edge = splat(rows, columns, weights, torch.tensor([0]), 1, (12, 17))[0, 0]
    torch.testing.assert_close(edge.sum(1)[:3], torch.tensor([4.0, 1.0, 0.0], dtype=F64))
    assert float(edge.sum()) == pytest.approx(5)


def test_images_of_a_batch_are_splat_alone(rng):
    rows, columns, weights, index = points(rng, batch=3)
    together = splat(rows, columns, weights, index, 3, (12, 17))
    for i in range(3):
        alone = (x[i : i + 1] for x in (rows, columns, weights))
        torch.testing.assert_close(together[i : i + 1], splat(*alone, index, 3, (12, 17)))


def test_no_points_make_empty_maps():
    none = torch.zeros(2, 0)
    assert splat(none, none, none, torch.zeros(0, dtype=int), 3, (4, 5)).shape == (2, 3, 4, 5)


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


def density(structure: Structure, view: View, tilt, slices: int) -> torch.Tensor:
    """Splat single atoms into slices, projected along the tilted beam."""
    pixels = view.to_pixels(structure.projected(tilt))
    rows, columns = (torch.from_numpy(p)[None] for p in pixels.T)
    number = np.array([NUMBERS.index(n) for n in structure.numbers])
    s = np.floor(structure.positions[:, 2] / structure.thickness * slices).astype(int)
    index = torch.from_numpy(number * slices + s)
    maps = splat(rows, columns, torch.ones_like(rows), index, 3 * slices, view.shape)
    return maps.view(1, 3, slices, *view.shape)


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
        density(specimen, view, optics.tilt, slices),
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


def call(multislice: Multislice, maps: torch.Tensor, defocus=70.0, thickness=THICKNESS):
    numbers = (torch.full((len(maps),), v).to(maps) for v in (defocus, thickness, 40.0, 0.5))
    return multislice(maps, *numbers)


def test_vacuum_is_045():
    image = call(Multislice(factors(), (24, 40), 0.2, slices=3), torch.zeros(2, 3, 3, 24, 40))
    torch.testing.assert_close(image, torch.full((2, 24, 40), 0.45), rtol=1e-5, atol=0)


def test_without_absorption_every_electron_arrives():
    maps = density(structure(), View(SHAPE, PITCH, (8.0, 6.0)), (0, 0), 6)
    for absorption, defocus in [(0.0, -50.0), (0.0, 120.0), (0.02, 120.0)]:
        multislice = Multislice(factors(dtype=F64), SHAPE, PITCH, absorption=absorption)
        mean = float(call(multislice, maps, defocus).mean())
        if absorption:
            assert 0.4 < mean < 0.449
        else:  # all but what is scattered beyond the band limit
            assert mean == pytest.approx(0.45, rel=2e-3)
            assert mean < 0.45


def test_moving_every_atom_moves_the_image():
    multislice = Multislice(factors(dtype=F64), SHAPE, PITCH, slices=3)
    maps = density(structure(), View(SHAPE, PITCH, (8.0, 6.0)), (0.02, 0), 3)
    moved = call(multislice, maps.roll((5, -11), (-2, -1)))
    torch.testing.assert_close(moved, call(multislice, maps).roll((5, -11), (-2, -1)))
    # And turning it turns the image: rows and columns are treated alike.
    turned = Multislice(factors(dtype=F64), SHAPE[::-1], PITCH, slices=3)
    torch.testing.assert_close(call(turned, maps.mT), call(multislice, maps).mT)


def test_an_image_moves_with_its_atoms_by_fractions_of_a_pixel():
    # The B-spline is deconvolved exactly up to the grid's band: where atoms stand between pixels
    # does not matter.
    multislice = Multislice(factors(dtype=F64), (48, 40), PITCH, slices=1)

    def atom(shift: float) -> torch.Tensor:
        rows, columns, weights = tensors([[24 + shift]], [[20 - shift]], [[1.0]])
        return call(
            multislice, splat(rows, columns, weights, torch.tensor([0]), 3, (48, 40))[:, :, None]
        )

    k = [torch.fft.fftfreq(n, dtype=F64) for n in (48, 40)]
    for shift in (0.25, 0.5):
        phase = -2j * math.pi * shift * (k[0][:, None] - k[1])
        expected = torch.fft.ifft2(torch.fft.fft2(atom(0.0)) * torch.exp(phase)).real
        assert psnr(atom(shift).numpy(), expected.numpy()) > 60


def test_derivatives_of_an_image_agree_with_finite_differences(rng):
    multislice = Multislice(factors(dtype=F64), (8, 10), 0.25, slices=2)
    maps = torch.from_numpy(rng.uniform(0, 0.3, (1, 3, 2, 8, 10)))
    optics = tensors([60.0], [20.0], [40.0], [0.5])
    probe = torch.from_numpy(rng.standard_normal((1, 8, 10)))

    def value(*given: torch.Tensor) -> torch.Tensor:
        return (multislice(*given) * probe).sum()

    given = [x.requires_grad_() for x in (maps, *optics)]
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
    turned = scene.multislice.regridded(12, 1.3)  # of another number of pixels along either axis
    assert turned.grid == (52, 62)


def test_precision_follows_the_module():
    multislice = Multislice(factors(), (16, 24), 0.2, slices=2).double()
    assert call(multislice, torch.zeros(1, 3, 2, 16, 24, dtype=F64)).dtype == F64
    finer = multislice.regridded(2, 1.5)
    assert call(finer, torch.zeros(1, 3, 2, 24, 36, dtype=F64)).dtype == F64
