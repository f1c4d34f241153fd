"""One's own material: slabs, wedges, particles, films, and recipes that ask for too much."""

import numpy as np
import pytest
from ase import Atoms
from ase.data import atomic_masses
from ase.io import write
from scipy.spatial import cKDTree

from emprior.errors import FileError, RecipeError
from emprior.recipes import load
from emprior.simulate.amorphous import Glass
from emprior.simulate.bodies import draw_specimen, extent, room
from emprior.simulate.feasible import check_grid, check_memory, memory
from emprior.simulate.imaging import exit_wave, form_image, single_threaded, transmit
from emprior.simulate.micrographs import simulate_structure
from emprior.simulate.recipe import Group, Simulation
from emprior.specimen import Optics, Structure, View

STO = {"prototype": "perovskite", "elements": ["Sr", "Ti", "O"], "a": 3.905}
GOLD = {"prototype": "fcc", "elements": ["Au"], "a": 4.078}
CERIA = {"prototype": "fluorite", "elements": ["Ce", "O"], "a": 5.411}
MOLYBDENITE = {"prototype": "2H-MoS2", "elements": ["Mo", "S"], "a": 3.16}
SLAB = {"kind": "slab", "crystal": STO, "zone_axis": [0, 0, 1], "thickness": [23, 23]}
WEDGE = {
    "kind": "wedge", "crystal": STO, "zone_axis": [0, 0, 1], "edge": [0, 1, 0], "angle": [60, 60],
    "thickness": [20, 20],
}  # fmt: skip
PARTICLE = {
    "kind": "particle", "crystal": GOLD, "zone_axis": [1, -1, 0], "base": [1, 1, 1],
    "diameter": [16, 16], "facets": [{"plane": [1, 1, 1], "distance": [1, 1]}],
}  # fmt: skip
SUPPORTED = {
    **PARTICLE,
    "support": {
        "crystal": CERIA, "zone_axis": [1, -1, 0], "surface": [1, 1, 1], "thickness": [24, 24]
    },
    "gap": [2.5, 2.5],
    "height": [0.2, 0.2],
}  # fmt: skip
VIEW = {"shape": [40, 48], "pixel_size": 0.4, "scale": [1, 1], "rotation": [0, 0]}


def recipe(structure, **changes):
    group = [{"name": "small", "structures": 1, "grid": 192}]
    values = {"seed": 5, "view": VIEW, "structure": structure, "group": group, **changes}
    return Simulation.from_dict(values)


def draw(structure, seed=0, **changes):
    plan = recipe(structure, **changes)
    return draw_specimen(plan.structure, room(plan.view), np.random.default_rng(seed))


def spacing(structure):
    return cKDTree(structure.positions).query(structure.positions, 2)[0][:, 1].min()


# bodies ----------------------------------------------------------------------------------------


def test_a_slab_holds_as_many_atoms_as_its_density_says_and_repeats():
    structure, middle, drawn = draw(SLAB)
    W, H, T = structure.cell
    assert np.array(middle) == pytest.approx([W / 2, H / 2])
    assert W >= 48 * 0.4
    assert H >= 40 * 0.4
    assert np.array([W, H]) / 3.905 * 2 == pytest.approx(np.round(np.array([W, H]) / 3.905 * 2))
    assert drawn["crystal_thickness"] == 23
    assert 21 < T < 25
    # Whole columns: each holds 23 / 3.905 of its atoms, rounded either way.
    counts = structure.columns().counts
    assert set(counts) <= {5, 6, 11, 12}
    assert len(structure.numbers) == pytest.approx(5 * W * H * 23 / 3.905**3, rel=0.1)
    periodic = cKDTree(structure.positions, boxsize=[W, H, 1e3])
    assert periodic.query(structure.positions, 2)[0][:, 1].min() == pytest.approx(
        3.905 / 2, abs=1e-4
    )


def test_a_slab_from_a_cif_is_the_one_of_the_prototype(tmp_path):
    places = [(0, 0, 0), (0.5, 0.5, 0.5), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]
    write(
        tmp_path / "sto.cif", Atoms("SrTiO3", scaled_positions=places, cell=[3.905] * 3, pbc=True)
    )
    (tmp_path / "mine.toml").write_text(
        'seed = 5\n[view]\nshape = [40, 48]\npixel_size = 0.4\n[structure]\nkind = "slab"\n'
        'zone_axis = [0, 0, 1]\nthickness = [23, 23]\n[structure.crystal]\ncif = "sto.cif"\n'
        '[[group]]\nname = "small"\nstructures = 1\ngrid = 192\n'
    )
    plan = load(tmp_path / "mine.toml", Simulation)
    (tmp_path / "sto.cif").unlink()  # the recipe holds its contents
    again = Simulation.from_dict(plan.to_dict())
    assert again == plan
    made = draw_specimen(again.structure, room(again.view), np.random.default_rng(0)).structure
    same = recipe(SLAB, view={"shape": [40, 48], "pixel_size": 0.4})
    own = draw_specimen(same.structure, room(same.view), np.random.default_rng(0)).structure
    assert made.cell == pytest.approx(own.cell, rel=1e-4)
    assert sorted(made.numbers) == sorted(own.numbers)


def test_a_kind_that_there_is_not_is_named_and_nothing_else():
    with pytest.raises(RecipeError) as caught:
        recipe({**SLAB, "kind": "slob"})
    assert caught.value.got.endswith("structure.kind = 'slob'")
    assert "'slab', 'wedge', 'particle'" in caught.value.expected
    assert "did you mean 'slab'" in caught.value.fix


def test_strain_vacancies_adatoms_and_steps_are_what_the_ranges_ask_for():
    full = draw(SLAB).structure
    assert len(draw({**SLAB, "adatoms": [7, 7]}).structure.numbers) == len(full.numbers) + 7
    thin = draw({**SLAB, "vacancies": [0.25, 0.25]}).structure
    assert len(thin.numbers) / len(full.numbers) == pytest.approx(0.75, abs=0.04)
    strained = draw({**SLAB, "strain": [0.02, 0.02]})
    assert strained.drawn["strain"] == [0.02, 0.02]
    x = np.unique(np.round(strained.structure.positions[:, 0], 3))
    assert np.median(np.diff(x)) == pytest.approx(3.905 * 1.02 / 2, abs=2e-3)
    stepped = draw({**SLAB, "steps": [1, 1]})
    heights = stepped.structure.columns().counts
    assert len(set(heights)) > len(set(full.columns().counts))  # a terrace has thinner columns
    assert len(stepped.drawn["steps"]) == 1
    assert spacing(draw({**SLAB, "adatoms": [9, 9]}).structure) > 1.9


def test_a_wedge_grows_from_its_edge_at_the_angle_of_its_faces():
    structure, middle, drawn = draw(WEDGE)
    assert drawn["slope"] == pytest.approx(2 * np.tan(np.deg2rad(30)))
    depth = middle[1] - structure.positions[:, 1]
    assert depth.min() > -0.01
    assert depth.min() < 2
    columns = structure.columns()
    strontium = columns.numbers == 38
    depth = middle[1] - columns.positions[strontium, 1]
    expected = np.minimum(drawn["slope"] * depth, 20) / 3.905
    assert np.abs(columns.counts[strontium] - expected).max() <= 1
    assert structure.cell[1] - middle[1] > 8 + 4  # vacuum above, as far as images reach


def test_particles_are_cut_by_the_family_of_their_facets():
    structure, middle, _ = draw(PARTICLE)
    # An octahedron of eight {111} planes 8 Å from its centre: volume 4 √3 d³.
    assert len(structure.numbers) == pytest.approx(4 * 3**0.5 * 8**3 * 4 / 4.078**3, rel=0.15)
    # Seen along [1-10] with (111) down: flat below and above.
    heights = np.unique(np.round(structure.positions[:, 1], 2))
    np.testing.assert_allclose(np.diff(heights), 4.078 / 3**0.5, atol=0.02)
    assert np.abs(heights - middle[1]).max() < 8
    np.testing.assert_allclose(spacing(structure), 4.078 / 2**0.5, atol=1e-4)
    assert np.all(structure.positions[:, :2] > 2)
    assert np.all(structure.positions[:, :2] < structure.cell[:2] - 2)


def test_a_supported_particle_stands_on_the_surface_that_was_asked_for():
    structure, middle, drawn = draw(SUPPORTED)
    gold = structure.positions[structure.numbers == 79]
    ceria = structure.positions[structure.numbers != 79]
    assert ceria[:, 1].max() == pytest.approx(middle[1], abs=1e-5)
    assert gold[:, 1].min() == pytest.approx(middle[1] + 2.5, abs=1e-5)
    assert drawn["gap"] == 2.5
    cerium = structure.positions[structure.numbers == 58]
    rows = np.unique(np.round(cerium[:, 1], 2))
    np.testing.assert_allclose(np.diff(rows), 5.411 / 3**0.5, atol=0.02)
    # The support repeats along x without a seam.
    W = structure.cell[0]
    inner = np.abs(cerium[:, 1] - middle[1] / 2) < 4
    inner &= np.abs(cerium[:, 2] - structure.thickness / 2) < 5
    shifts = [[-W, 0, 0], [0, 0, 0], [W, 0, 0]]
    tree = cKDTree(np.concatenate([cerium + shift for shift in shifts]))
    distances = tree.query(cerium[inner], 13)[0]
    np.testing.assert_allclose(distances[:, 1:], 5.411 / 2**0.5, atol=1e-3)
    lower = draw({**SUPPORTED, "support": {**SUPPORTED["support"], "step": 1.0}}).structure
    assert np.sum(lower.numbers != 79) < np.sum(structure.numbers != 79)


@pytest.mark.parametrize(("formula", "density"), [("C", 2.0), ("SiO2", 2.2)])
def test_films_have_their_density_composition_and_spacing(formula, density):
    glass = Glass.of(formula, density)
    box = (23.0, 19.0, 17.0)
    positions, numbers = glass.fill(box, np.random.default_rng(1))
    grams = atomic_masses[numbers].sum() * 1.66054
    assert grams / np.prod(box) == pytest.approx(density, rel=0.01)
    periodic = cKDTree(positions, boxsize=[23, 19, 1e3])
    assert periodic.query(positions, 2)[0][:, 1].min() >= glass.spacing - 1e-9
    assert positions.min() >= 0
    if formula == "SiO2":
        assert np.mean(numbers == 8) == pytest.approx(2 / 3, abs=0.01)


def test_a_film_lies_behind_the_crystal():
    structure, _, drawn = draw({**SLAB, "film": {"thickness": [12, 12]}})
    carbon = structure.numbers == 6
    assert drawn["film"] == 12
    assert structure.positions[carbon, 2].min() > structure.positions[~carbon, 2].max() + 1
    assert structure.thickness == pytest.approx(23 + 12, abs=4)


@pytest.mark.parametrize("structure", [SLAB, WEDGE, PARTICLE, SUPPORTED])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_drawn_stays_in_a_cell_no_larger_than_was_told(structure, seed):
    full = {**structure, "adatoms": [0, 6], "strain": [-0.02, 0.02], "film": {}}
    drawn = draw(full, seed).structure
    assert np.all(drawn.positions[:, 2] > 0)
    assert np.all(drawn.positions[:, 2] < drawn.thickness)
    plan = recipe(full)
    limit = np.array(extent(plan.structure, room(plan.view)))
    assert np.all(drawn.cell <= limit + 3)
    assert spacing(drawn) > 1.0


# images ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", [SLAB, WEDGE, PARTICLE, SUPPORTED])
def test_every_kind_gives_an_image_with_its_structure(structure):
    made = simulate_structure(recipe(structure), 0, 0)
    assert made.images.shape == (1, 40, 48)
    assert np.isfinite(made.images).all()
    assert made.images.std() > 0.003
    assert len(made.structure.numbers) > 100


def test_fringes_have_the_spacings_of_the_crystals_planes():
    # 2H-MoS2 along [001]: {100} planes, d = a √3 / 2.
    thin = {"kind": "slab", "crystal": MOLYBDENITE, "zone_axis": [0, 0, 1], "thickness": [7, 7]}
    view = {"shape": [64, 80], "pixel_size": 0.3, "scale": [1, 1], "rotation": [0, 0]}
    made = simulate_structure(recipe(thin, view=view), 0, 0)
    image = made.images[0] - made.images[0].mean()
    window = np.outer(np.hanning(64), np.hanning(80))
    power = np.abs(np.fft.rfft2(image * window, (512, 512))) ** 2
    row, column = np.unravel_index(np.argmax(power), power.shape)
    k = np.hypot(np.fft.fftfreq(512, 0.3)[row], np.fft.rfftfreq(512, 0.3)[column])
    d = 3.16 * 3**0.5 / 2
    orders = np.array([1, 3**0.5, 2]) / d
    assert np.abs(orders - k).min() < 0.01


def test_aberrations_without_round_symmetry_break_it_and_drift_blurs_along_its_direction():
    atom = Structure([[8, 8, 1.0]], [78], [16.0, 16.0, 2.0])
    view = View((81, 81), 0.1, (8, 8))
    with single_threaded():
        wave = exit_wave(transmit(atom, Group(name="g", structures=1), 300e3, 0.0), (0, 0))
        plain = form_image(wave, Optics(60), view)
        aberrant = {
            name: form_image(wave, Optics(60, **{name: value}), view)
            for name, value in (
                ("astigmatism", (50.0, 0.3)), ("coma", (2000.0, 0.5)), ("trefoil", (2000.0, 0.2)),
            )
        }  # fmt: skip
        drifted = form_image(wave, Optics(60, drift=(2.0, 0.0)), view)
    round_ = np.abs(plain - plain.T).max()
    assert round_ < 1e-4
    half, third = np.rot90(aberrant["astigmatism"], 2), np.rot90(aberrant["trefoil"], 2)
    assert np.abs(aberrant["astigmatism"] - half).max() < 1e-4  # twofold
    assert np.abs(aberrant["trefoil"] - third).max() > 1e-3  # threefold is not
    for image in aberrant.values():
        assert np.abs(image - plain).max() > 1e-3
        assert image.mean() == pytest.approx(plain.mean(), abs=1e-4)
    shifted = np.mean([np.roll(plain, s, axis=1) for s in range(-10, 11)], axis=0)
    np.testing.assert_allclose(drifted[:, 15:-15], shifted[:, 15:-15], atol=1.5e-3)


def test_optics_without_such_aberrations_are_stored_as_they_always_were():
    assert set(Optics(60).to_dict()) == {
        "defocus", "cs", "c5", "focal_spread", "blur", "tilt", "absorption", "energy",
    }  # fmt: skip
    full = Optics(60, astigmatism=(5.0, 0.1), coma=(6.0, 1.0), trefoil=(7.0, 2.0), drift=(1.0, 3.0))
    assert Optics.from_dict(full.to_dict()) == full


def test_drawn_aberrations_lie_in_their_ranges():
    optics = {"astigmatism": [10, 20], "drift": [0.1, 0.2], "energy": 80e3}
    exposures = simulate_structure(recipe(SLAB, optics=optics), 0, 0).exposures
    found = exposures[0].optics
    assert 10 <= found.astigmatism[0] <= 20
    assert 0.1 <= found.drift[0] <= 0.2
    assert found.coma == (0, 0)
    assert found.energy == 80e3


# what is wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "slob"}, ["slob", "'slab'"]),
        ({"thicknes": [1, 2]}, ["structure.thicknes", "did you mean 'thickness'"]),
        ({"thickness": [0, 20]}, ["structure.thickness", "[2, 20] is nearest"]),
        ({"zone_axis": [0, 0, 0]}, ["zone axis [0 0 0]"]),
        ({"crystal": {**STO, "prototype": "perovskit"}}, ["prototype", "'perovskite'"]),
        ({"crystal": {**STO, "elements": ["Sr", "Ti", "Ox"]}}, ["'Ox'", "did you mean"]),
        ({"crystal": {**STO, "elements": ["Sr"]}}, ["1 elements", "expected: 3"]),
        ({"crystal": {**STO, "a": 2.1}}, ["overlap", "Å apart"]),
        ({"crystal": {**STO, "a": 1.0}}, ["structure.crystal.a", "greater than or equal to 2"]),
        ({"crystal": {**STO, "cif": "x.cif", "text": "?"}}, ["either cif, or prototype"]),
        ({"crystal": {"elements": ["Au"]}}, ["either cif, or prototype"]),
        ({"crystal": {"cif": "x.cif", "text": "garbage"}}, ["x.cif does not parse"]),
        ({"film": {"formula": "Qq"}}, ["formula 'Qq'"]),
        ({"film": {"density": 9.0}}, ["density of 9 g/cm³", "at most"]),
    ],
)  # fmt: skip
def test_a_wrong_structure_is_said_before_any_work(change, said):
    with pytest.raises(RecipeError) as error:
        recipe({**SLAB, **change})
    for part in said:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("structure", "said"),
    [
        ({**WEDGE, "edge": [0, 1, 1]}, ["plane (0 1 1) seen along [0 0 1]", "nearest"]),
        ({**PARTICLE, "base": [1, 0, 0]}, ["plane (1 0 0) seen along [1 -1 0]", "nearest"]),
        (
            {**PARTICLE, "crystal": MOLYBDENITE, "facets": [{"plane": [0, 0, 1]}]},
            ["planes that enclose the particle"],
        ),
        (
            {**SUPPORTED, "support": {**SUPPORTED["support"], "surface": [0, 1, 1]}},
            ["plane (0 1 1)"],
        ),
    ],
)
def test_planes_that_do_not_fit_are_said(structure, said):
    with pytest.raises(RecipeError) as error:
        recipe(structure)
    for part in said:
        assert part in str(error.value)


def test_a_cif_that_is_not_there_is_said(tmp_path):
    (tmp_path / "mine.toml").write_text('[structure.crystal]\ncif = "absent.cif"\n')
    with pytest.raises(FileError, match=r"absent\.cif: No such file") as error:
        load(tmp_path / "mine.toml", Simulation)
    assert str(tmp_path) in str(error.value)


def test_unknown_elements_in_the_vibration_are_said():
    group = [{"name": "g", "structures": 1, "grid": 192, "vibration": {"Strontium": 0.1}}]
    with pytest.raises(RecipeError, match="element 'Strontium'"):
        recipe(SLAB, group=group)
    known = [{**group[0], "vibration": {"Sr": 0.1}}]
    vibration = recipe(SLAB, group=known).group[0].vibration
    assert vibration.of(["Sr", "O", "Ti"]) == {"Sr": 0.1, "O": 0.08, "Ti": 0.07}


def test_a_field_larger_than_memory_or_a_grid_too_coarse_is_said():
    plan = recipe(SLAB)
    check_grid(plan)
    check_memory(plan, 2, 4e9)
    wide = recipe(SLAB, view={"shape": [900, 900], "pixel_size": 0.4})
    with pytest.raises(RecipeError, match=r"grid of 192 .*apart") as error:
        check_grid(wide)
    fine = int(str(error.value).rpartition("give grid = ")[2])
    group = [{"name": "small", "structures": 1, "grid": fine}]
    wide = recipe(SLAB, view={"shape": [900, 900], "pixel_size": 0.4}, group=group)
    with pytest.raises(RecipeError, match=r"field larger than memory: .* takes .* GB in 2 workers"):
        check_memory(wide, 2, 4e9)
    assert memory(wide, wide.group[0]) > 2e9
    with pytest.raises(RecipeError, match="run with 3 workers"):
        check_memory(plan, 8, 3.2 * memory(plan, plan.group[0]))
