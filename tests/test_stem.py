"""Linear STEM: abTEM's probe multislice as the oracle of thin specimens, and its own laws."""

import abtem
import numpy as np
import pytest
from abtem.parametrizations import LobatoParametrization
from ase import Atoms
from scipy.ndimage import gaussian_filter

from emprior.datasets import Dataset
from emprior.errors import RecipeError
from emprior.simulate import Simulation
from emprior.simulate.feasible import check_grid
from emprior.simulate.imaging import single_threaded
from emprior.simulate.micrographs import simulate_structure
from emprior.simulate.recipe import Group
from emprior.simulate.stem import scan
from emprior.specimen import Optics, Structure, View

STILL = Group(name="g", structures=1, grid=192, vibration={"Sr": 0.0, "O": 0.0, "Au": 0.0})
SHAKING = Group(name="g", structures=1, grid=192, vibration={"Sr": 0.15, "O": 0.0, "Au": 0.0})
HAADF, ADF, ABF = (0.07, 0.14), (0.03, 0.06), (0.011, 0.022)
VIEW = View((9, 11), 0.35, (5.0, 4.5))


def optics(detector, **changes):
    values = {
        "defocus": 0.0, "cs": -1e4, "c5": 0.0, "focal_spread": 0.0, "blur": 0.3,
        "convergence": 0.022, "detector": detector, **changes,
    }  # fmt: skip
    return Optics(**values)


def column(*atoms, thickness=2.0):
    numbers, positions = zip(*atoms, strict=True)
    return Structure(positions, numbers, [10.0, 9.0, thickness])


def abtem_scan(structure, optics):
    """The same image by abTEM's multislice of a scanned probe, in shares of the beam."""
    with single_threaded():
        atoms = Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=True)
        potential = abtem.Potential(
            atoms,
            gpts=(256, 230),
            slice_thickness=structure.thickness / 2,
            parametrization=LobatoParametrization(),
        )
        probe = abtem.Probe(
            energy=optics.energy,
            semiangle_cutoff=1e3 * optics.convergence,
            soft=False,
            aberrations={
                "C10": optics.defocus, "C30": optics.cs,
                "C12": optics.astigmatism[0], "phi12": optics.astigmatism[1],
                "C21": optics.coma[0], "phi21": optics.coma[1],
            },
            gpts=(256, 230),
            extent=tuple(structure.cell[:2]),
        )  # fmt: skip
        H, W = VIEW.shape
        x, y = VIEW.centre
        half = np.array([W - 1, H - 1]) / 2 * VIEW.pixel_size
        grid = abtem.GridScan(
            start=(x - half[0], y - half[1]),
            end=(x + half[0], y + half[1]),
            gpts=(W, H),
            endpoint=True,
        )
        detector = abtem.AnnularDetector(*(1e3 * angle for angle in optics.detector))
        measured = probe.scan(potential, scan=grid, detectors=detector)
    image = np.asarray(measured.array).T[::-1]
    return gaussian_filter(image, optics.blur / VIEW.pixel_size)


def ncc(a, b):
    inner = np.s_[2:-2, 2:-2]  # abTEM's blur knows nothing beyond the scan
    return np.corrcoef(a[inner].ravel(), b[inner].ravel())[0, 1]


def test_a_thin_specimen_is_dark_field_imaged_as_abtems_multislice_does():
    thin = column((38, (4.5, 4.7, 0.5)), (8, (6.1, 3.9, 1.5)))
    shot = optics(HAADF, defocus=40.0)
    assert ncc(scan(thin, shot, STILL, VIEW), abtem_scan(thin, shot)) > 0.998


def test_the_contrast_of_a_bright_field_is_abtems_aberrations_included():
    thin = column((38, (5.0, 4.5, 1.0)))
    shot = optics(ABF, astigmatism=(25.0, 0.4), coma=(900.0, 0.7), energy=100e3)
    ours, theirs = scan(thin, shot, STILL, VIEW), abtem_scan(thin, shot)
    assert ncc(ours, theirs) > 0.99
    contrast = [np.std(image) / np.mean(image) for image in (ours, theirs)]
    assert contrast[0] == pytest.approx(contrast[1], rel=0.1)


def test_heavier_atoms_scatter_more_to_high_angles():
    both = column((38, (2.5, 4.5, 1.0)), (79, (7.5, 4.5, 1.0)))
    view = View((33, 81), 0.1, (5.0, 4.5))
    image = scan(both, optics(HAADF), STILL, view)
    strontium, gold = image[:, :40].sum(), image[:, 41:].sum()
    exponent = np.log(gold / strontium) / np.log(79 / 38)
    assert 1.4 < exponent < 2.0  # between screened and Rutherford scattering


def test_images_of_atoms_add():
    one, other = (38, (3.5, 4.5, 1.0)), (8, (6.5, 5.0, 1.2))
    change = [
        scan(column(*atoms), optics(ABF), STILL, VIEW).astype(float) - 0.45
        for atoms in ((one,), (other,), (one, other))
    ]
    np.testing.assert_allclose(change[0] + change[1], change[2], atol=1e-5)
    assert np.abs(change[1]).max() > 1e-4


def test_depth_is_defocus():
    thick = {"thickness": 200.0}
    shallow = scan(column((38, (5, 4.5, 0.0)), **thick), optics(ADF, defocus=100.0), STILL, VIEW)
    deep = scan(column((38, (5, 4.5, 100.0)), **thick), optics(ADF), STILL, VIEW)
    focused = scan(column((38, (5, 4.5, 100.0)), **thick), optics(ADF, defocus=-100.0), STILL, VIEW)
    assert ncc(shallow, deep) > 0.998
    assert ncc(shallow, focused) < 0.95


def test_atoms_appear_where_the_tilted_beam_projects_them():
    structure = column((38, (5.0, 4.5, 5.0)), thickness=45.0)
    shot = optics(HAADF, tilt=(0.03, -0.02), defocus=-5.0)
    expected = VIEW.to_pixels(structure.projected(shot.tilt))[0]
    image = scan(structure, shot, STILL, VIEW)
    rows, columns = np.indices(image.shape)
    centre = [np.sum(image * c) / np.sum(image) for c in (rows, columns)]
    np.testing.assert_allclose(centre, expected, atol=0.2)
    assert np.linalg.norm(np.subtract(centre, VIEW.to_pixels([[5.0, 4.5]])[0])) > 3


def test_vibration_and_focal_spread_widen_an_atom_and_keep_its_sum():
    view = View((56, 62), 0.15, (5.0, 4.5))
    atom = column((38, (5, 4.5, 1.0)))

    def width(image):
        x = np.arange(62) - 30.5
        profile = image.sum(0)
        return np.sqrt(np.sum(profile * x**2) / profile.sum())

    plain = scan(atom, optics(HAADF), STILL, view)
    shaken = scan(atom, optics(HAADF), SHAKING, view)
    unsharp = scan(atom, optics(HAADF, focal_spread=100.0), STILL, view)
    added = np.sqrt(width(shaken) ** 2 - width(plain) ** 2) * 0.15
    assert added == pytest.approx(0.15, rel=0.1)
    assert width(unsharp) > 1.1 * width(plain)


def test_vacuum_is_bright_in_bright_fields_and_dark_in_dark_fields():
    structure = column((38, (5, 4.5, 1.0)))
    view = View((5, 7), 0.2, (0.5, 0.5))
    np.testing.assert_allclose(scan(structure, optics(ABF), STILL, view), 0.45, atol=2e-3)
    np.testing.assert_allclose(scan(structure, optics(HAADF), STILL, view), 0, atol=5e-3)
    middle = View((41, 41), 0.1, (5, 4.5))
    assert scan(structure, optics(HAADF), STILL, middle).max() == pytest.approx(0.9, abs=0.01)


# recipes ---------------------------------------------------------------------------------------


def recipe(**changes):
    values = {
        "seed": 1,
        "view": {"shape": [24, 30], "pixel_size": 0.3},
        "structure": {
            "kind": "slab",
            "crystal": {"prototype": "perovskite", "elements": ["Sr", "Ti", "O"], "a": 3.905},
            "zone_axis": [0, 0, 1],
            "thickness": [16, 24],
        },
        "optics": {"convergence": 22.0, "detector": [70.0, 140.0], "cs": [0, 0], "c5": [0, 0]},
        "regime": [{"name": "any", "defocus": [-20, 0], "tilt": [0, 1]}],
        "group": [{"name": "small", "structures": 1, "images": 2, "grid": 192}],
    }
    return Simulation.from_dict({**values, **changes})


def test_a_recipe_with_a_probe_scans(tmp_path):
    made = simulate_structure(recipe(), 0, 0)
    assert made.images.shape == (2, 24, 30)
    assert made.images.min() > -0.01
    assert 0.3 < made.images.max() <= 0.91
    shot = made.exposures[0].optics
    assert shot.convergence == pytest.approx(0.022)
    assert shot.detector == pytest.approx((0.07, 0.14))
    assert Optics.from_dict(shot.to_dict()) == shot
    # Columns are bright where the atoms are.
    structure, view = made.structure, made.exposures[0].view
    strontium = structure.projected(shot.tilt)[structure.numbers == 38]
    pixels, _ = view.visible(structure, strontium)
    rows, columns = np.clip(np.round(pixels).astype(int), 0, np.array(view.shape) - 1).T
    assert made.images[0][rows, columns].mean() > 1.5 * made.images[0].mean()
    assert Dataset.shown == (0.2, 0.7)


@pytest.mark.parametrize(
    ("optics", "said"),
    [
        ({"convergence": 22.0}, ["convergence alone", "both"]),
        ({"detector": [70.0, 140.0]}, ["detector alone"]),
        ({"convergence": 22.0, "detector": [140.0, 70.0]}, ["give detector = [70, 140]"]),
        ({"convergence": 0.0, "detector": [1.0, 2.0]}, ["optics.convergence", "equal to 1"]),
    ],
)
def test_a_probe_without_a_detector_is_said(optics, said):
    with pytest.raises(RecipeError) as error:
        recipe(optics=optics)
    for part in said:
        assert part in str(error.value)


def test_a_grid_must_carry_the_probe():
    check_grid(recipe())
    fine = {"convergence": 40.0, "detector": [70.0, 140.0], "energy": 300e3}
    wide = {"shape": [24, 120], "pixel_size": 0.3}
    with pytest.raises(RecipeError, match="grid of 192"):
        check_grid(recipe(optics=fine, view=wide))
