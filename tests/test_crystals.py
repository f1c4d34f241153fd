"""Crystals and zone axes: ASE as the oracle of prototypes, CIFs and directions."""

from itertools import product

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, mx2
from ase.io import write
from scipy.spatial import cKDTree

from emprior.errors import RecipeError
from emprior.simulate.crystals import PROTOTYPES, Crystal, from_cif, prototype
from emprior.simulate.zone import orient, planes_along

A = 4.1
ASE_CRYSTALS = {
    "fcc": bulk("Au", "fcc", a=A),
    "bcc": bulk("Fe", "bcc", a=2.87),
    "hcp": bulk("Ti", "hcp", a=2.95, c=4.68),
    "diamond": bulk("Si", "diamond", a=5.43),
    "rocksalt": bulk("MgO", "rocksalt", a=4.21),
    "cesiumchloride": bulk("CsCl", "cesiumchloride", a=A),
    "zincblende": bulk("GaAs", "zincblende", a=5.65),
    "wurtzite": bulk("ZnO", "wurtzite", a=3.25, c=5.2, u=0.375),
    "fluorite": bulk("CeO2", "fluorite", a=5.411),
}
OURS = {
    "fcc": prototype("fcc", ("Au",), A, None),
    "bcc": prototype("bcc", ("Fe",), 2.87, None),
    "hcp": prototype("hcp", ("Ti",), 2.95, 4.68),
    "diamond": prototype("diamond", ("Si",), 5.43, None),
    "rocksalt": prototype("rocksalt", ("Mg", "O"), 4.21, None),
    "cesiumchloride": prototype("cesiumchloride", ("Cs", "Cl"), A, None),
    "zincblende": prototype("zincblende", ("Ga", "As"), 5.65, None),
    "wurtzite": prototype("wurtzite", ("Zn", "O"), 3.25, 5.2),
    "fluorite": prototype("fluorite", ("Ce", "O"), 5.411, None),
    "perovskite": prototype("perovskite", ("Sr", "Ti", "O"), 3.905, None),
    "2H-MoS2": prototype("2H-MoS2", ("Mo", "S"), 3.16, 12.29),
}
TRICLINIC = Crystal(
    np.array([[5.1, 0, 0], [0.7, 6.3, 0], [-0.4, 1.1, 7.7]]),
    np.array([[0.1, 0.2, 0.3], [0.6, 0.7, 0.55]]),
    np.array([22, 8]),
)


def environments(cell, positions, numbers, reach=5.0):
    """Distances and elements about each kind of atom: the same for the same crystal."""
    shifts = np.array(list(product(range(-4, 5), repeat=3))) @ cell
    around = (positions + shifts[:, None]).reshape(-1, 3)
    kinds = np.tile(numbers, len(shifts))
    tree = cKDTree(around)
    found = set()
    for position, number in zip(positions, numbers, strict=True):
        near = tree.query_ball_point(position, reach)
        distances = np.linalg.norm(around[near] - position, axis=1)
        found.add((int(number), tuple(sorted(zip(kinds[near], distances.round(3), strict=True)))))
    return found


def test_every_prototype_is_tried():
    assert set(OURS) == set(PROTOTYPES)


@pytest.mark.parametrize("name", ASE_CRYSTALS)
def test_prototypes_are_those_of_ase(name):
    ours, theirs = OURS[name], ASE_CRYSTALS[name]
    assert environments(ours.cell, ours.fractional @ ours.cell, ours.numbers) == environments(
        theirs.cell[:], theirs.positions, theirs.numbers
    )
    ours.check(name)


def test_molybdenite_is_two_layers_of_ases():
    layer = mx2("MoS2", "2H", a=3.16, thickness=2 * 0.129 * 12.29, vacuum=None)
    ours = OURS["2H-MoS2"]
    lower = ours.fractional[:, 2] < 0.5
    assert np.count_nonzero(lower) == len(layer)
    cell = np.array([*layer.cell[:2], [0, 0, 40.0]])
    assert environments(cell, layer.positions, layer.numbers) == environments(
        ours.cell * [[1], [1], [40 / 12.29]],
        (ours.fractional @ ours.cell)[lower],
        ours.numbers[lower],
    )


def test_a_cif_gives_the_atoms_that_ase_wrote(tmp_path):
    atoms = Atoms(
        "SrTiO3",
        scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)],
        cell=[3.904] * 3,
        pbc=True,
    )
    write(tmp_path / "sto.cif", atoms)
    read = from_cif((tmp_path / "sto.cif").read_text(), "sto.cif")
    ours = prototype("perovskite", ("Sr", "Ti", "O"), 3.904, None)
    assert environments(read.cell, read.fractional @ read.cell, read.numbers) == environments(
        ours.cell, ours.fractional @ ours.cell, ours.numbers
    )


@pytest.mark.parametrize(
    "text", ["", "no cif at all", "data_x\n_cell_length_a 4\n", "\x00\xff", "data_x\nloop_\n_a\n"]
)
def test_what_is_no_cif_is_said(text):
    with pytest.raises(RecipeError, match=r"mine\.cif does not parse as a CIF"):
        from_cif(text, "mine.cif")


@pytest.mark.parametrize("wrong", ["_cell_length_a", "_cell_length_c"])
def test_edges_below_zero_are_refused(tmp_path, wrong):
    write(tmp_path / "au.cif", Atoms("Au", cell=[4.0] * 3, pbc=True))
    lines = (tmp_path / "au.cif").read_text().splitlines()
    text = "\n".join(f"{wrong} -4.0" if line.startswith(wrong) else line for line in lines)
    with pytest.raises(RecipeError, match="does not parse as a CIF"):
        from_cif(text, "au.cif")


def test_overlapping_atoms_are_said_with_their_distance():
    with pytest.raises(RecipeError, match=r"Au and Au overlap, 1\.41 Å apart"):
        prototype("fcc", ("Au",), 2.0, None).check("tight gold")
    double = Crystal(4 * np.eye(3), np.array([[0, 0, 0], [0.99, 0, 0]]), np.array([38, 20]))
    with pytest.raises(RecipeError, match=r"overlap, 0\.04 Å"):
        double.check("across the cell's border")


@pytest.mark.parametrize(
    ("name", "elements", "c", "said"),
    [
        ("fcc", ("Au", "Cu"), None, "2 elements of a fcc"),
        ("fcc", ("Au",), 5.0, "c = 5"),
        ("perovskite", ("Sr",), None, "expected: 3"),
    ],
)
def test_a_wrong_prototype_is_said(name, elements, c, said):
    with pytest.raises(RecipeError, match=said):
        prototype(name, elements, 4.0, c)


@pytest.mark.parametrize(
    ("name", "translations", "symmetries"),
    [("fcc", 4, 48), ("bcc", 2, 48), ("perovskite", 1, 48), ("hcp", 1, 24), ("2H-MoS2", 1, 24)],
)
def test_symmetry_is_that_of_the_lattice(name, translations, symmetries):
    assert len(OURS[name].translations()) == translations
    assert len(OURS[name].symmetries()) == symmetries
    assert len(TRICLINIC.symmetries()) == 2


def test_families_of_planes_have_one_spacing():
    hexagonal = OURS["hcp"]
    family = np.unique(np.array([1, 0, 1]) @ hexagonal.symmetries(), axis=0)
    spacings = 1 / np.linalg.norm(family @ np.linalg.inv(hexagonal.cell).T, axis=1)
    assert len(family) == 12
    np.testing.assert_allclose(spacings, spacings[0])


# zone axes -------------------------------------------------------------------------------------

AXES = [(0, 0, 1), (1, 1, 0), (1, -1, 0), (1, 1, 1), (1, 1, 2), (0, 2, 1)]


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", ["fcc", "perovskite", "wurtzite", "2H-MoS2"])
def test_columns_stand_as_ases_rotated_crystal_projects_them(name, axis):
    crystal = OURS[name]
    seen = orient(crystal, axis)
    edges = np.ceil(13 / np.array(seen.repeat)) * seen.repeat
    box = np.array([[0, edges[0]], [0, edges[1]], [0, seen.period]])
    positions, _ = seen.fill(box, np.array([0.13, 0.21, 0.17]))
    # As many atoms as the density says, to the last one: the box holds whole periods.
    density = len(crystal.numbers) / abs(np.linalg.det(crystal.cell))
    assert len(positions) == round(density * np.prod(box[:, 1]))
    # ASE turns the direction onto z; the columns about one column lie at the same distances.
    atoms = Atoms(crystal.numbers, crystal.fractional @ crystal.cell, cell=crystal.cell, pbc=True)
    atoms = atoms * (9, 9, 9)
    atoms.rotate(np.array(axis) @ crystal.cell, "z", center=(0, 0, 0))
    middle = atoms.positions[
        np.argmin(np.linalg.norm(atoms.positions - atoms.positions.mean(0), axis=1))
    ]
    theirs = _distances(atoms.positions[:, :2], middle[:2], 4.0)
    columns = np.unique(positions[:, :2], axis=0)
    inner = np.all((columns > 4) & (columns < box[:2, 1] - 4), axis=1)
    ours = [_distances(columns, p, 4.0) for p in columns[inner][:300]]
    assert any(len(o) == len(theirs) and np.allclose(o, theirs, atol=2e-3) for o in ours)


def _distances(xy, about, reach):
    """Distances of columns from a point, each once."""
    distances = np.sort(np.linalg.norm(xy - about, axis=1))
    distances = distances[distances < reach]
    return distances[np.diff(distances, prepend=-1) > 0.01]


@pytest.mark.parametrize("axis", AXES)
def test_the_projection_repeats_in_its_rectangle(axis):
    seen = orient(OURS["perovskite"], axis)
    box = np.array([[0, 5 * seen.repeat[0]], [0, 5 * seen.repeat[1]], [0, 2 * seen.period]])
    positions, numbers = seen.fill(box, np.array([0.1, 0.2, 0.3]))
    for edge in ([seen.repeat[0], 0], [0, seen.repeat[1]]):
        inner = np.all(positions[:, :2] + edge < box[:2, 1] - 1e-4, axis=1)
        for number in (38, 22, 8):
            tree = cKDTree(positions[numbers == number, :2])
            moved = positions[inner & (numbers == number), :2] + edge
            assert tree.query(moved)[0].max() < 1e-4


def test_an_edge_is_normal_to_its_plane():
    crystal = OURS["fluorite"]
    seen = orient(crystal, (1, -1, 0), (1, 1, 1))
    np.testing.assert_allclose(seen.normals(np.array([[1, 1, 1]])), [[0, 1, 0]], atol=1e-9)
    np.testing.assert_allclose(np.array([1, -1, 0]) @ seen.cell, [0, 0, 5.411 * 2**0.5], atol=1e-9)
    assert np.linalg.det(seen.cell) == pytest.approx(5.411**3)
    # Seen along [1-10], columns of a (111) row stand a √6 / 4 apart, every other half a period up.
    assert seen.repeat[0] == pytest.approx(5.411 * 6**0.5 / 2)
    assert seen.period == pytest.approx(5.411 / 2**0.5)


def test_strain_stretches_the_lattice_and_its_rectangle():
    plain = orient(OURS["fcc"], (0, 0, 1))
    seen = plain.strained(0.02, -0.01)
    np.testing.assert_allclose(seen.repeat, np.multiply(plain.repeat, (1.02, 0.99)))
    assert abs(np.linalg.det(seen.cell)) == pytest.approx(A**3 * 1.02 * 0.99)


def test_zone_axes_without_a_rectangle_name_the_nearest_with_one():
    with pytest.raises(RecipeError, match=r"\[1 1 1\] without a periodic cell") as error:
        orient(Crystal(7 * TRICLINIC.cell, TRICLINIC.fractional, TRICLINIC.numbers), (1, 1, 1))
    assert "nearest that has one" in str(error.value) or "a particle" in str(error.value)
    with pytest.raises(RecipeError, match=r"\[0 0 0\]"):
        orient(TRICLINIC, (0, 0, 0))


def test_planes_that_do_not_contain_the_zone_axis_name_the_nearest():
    with pytest.raises(RecipeError, match=r"plane \(1 1 1\) seen along \[0 0 1\]") as error:
        orient(OURS["fcc"], (0, 0, 1), (1, 1, 1))
    assert "take (1 1 0), the nearest" in str(error.value)
    for axis in [*AXES, (7, 9, 5)]:
        assert all(np.dot(axis, plane) == 0 for plane in planes_along(axis))
