"""Structures and images: crystallography, electron optics, and other programs as oracles."""

import abtem
import numpy as np
import pytest
from abtem.parametrizations import LobatoParametrization
from ase import Atoms
from scipy.spatial import cKDTree

from emprior.simulate.cell import A_CEO2, BOTTOM, HEIGHT, PERIOD, SURFACE, WIDTH
from emprior.simulate.imaging import exit_wave, form_image, sample, single_threaded, transmit
from emprior.simulate.micrographs import simulate_structure
from emprior.simulate.optics import draw_exposure
from emprior.simulate.recipe import Group, Simulation, StructureRanges
from emprior.simulate.structures import CE, OXYGEN, PT, crystal, draw_structure, flat_support
from emprior.specimen import Optics, Structure, View

GROUP = Group(name="small", structures=1, grid=192)
RANGES = StructureRanges()


def recipe(**changes):
    values = {
        "seed": 5,
        "view": {"shape": [40, 44], "pixel_size": 0.4},
        "group": [{"name": "small", "structures": 2, "images": 2, "grid": 192}],
    }
    return Simulation.from_dict({**values, **changes})


@pytest.fixture(scope="module", params=range(6))
def drawn(request):
    return draw_structure(RANGES, np.random.default_rng(request.param))


# structures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("kind", "a"), [("Pt", 3.92), ("CeO2", A_CEO2)])
def test_crystals_have_the_density_and_bonds_of_their_lattice(kind, a, mirrored):
    box = np.array([[-11, 20], [-14, 18], [-15, 16]])
    positions, numbers = crystal(kind, a, mirrored, 3.0, box)
    cations = positions[numbers != OXYGEN]
    volume = np.prod(box[:, 1] - box[:, 0])
    assert len(cations) == pytest.approx(4 * volume / a**3, rel=0.05)
    inner = np.all((cations > box[:, 0] + 6) & (cations < box[:, 1] - 6), axis=1)
    distances, neighbours = cKDTree(cations).query(cations[inner], 13)
    np.testing.assert_allclose(distances[:, 1:], a / np.sqrt(2), atol=1e-4)
    # Every close-packed lattice has twelve neighbours; fcc has each one's opposite among them.
    steps = cations[neighbours[0]] - cations[inner][0]
    assert cKDTree(steps).query(-steps)[0].max() < 1e-4
    assert np.isclose(cations[:, 1], 0, atol=1e-4).any()
    assert np.any(np.all(np.isclose(cations[:, :2], [3, 0], atol=1e-4), axis=1))


def test_mirrored_crystals_stack_the_other_way_round():
    box = np.array([[-9, 9], [-4, 9], [-9, 9]])
    one, _ = crystal("Pt", 4.0, False, 0.0, box)
    other, _ = crystal("Pt", 4.0, True, 0.0, box)
    row = 4 / np.sqrt(3)
    above = [q[np.isclose(q[:, 1], row), 0] for q in (one, other)]
    nearest = [float(x[np.argmin(np.abs(x))]) for x in above]
    assert nearest[0] == pytest.approx(-nearest[1])
    assert abs(nearest[0]) == pytest.approx(4 * np.sqrt(6) / 12)


def test_ceria_is_fluorite():
    positions, numbers = flat_support(True, 1.0, 6 * PERIOD)
    oxygen, cerium = positions[numbers == OXYGEN], positions[numbers == CE]
    inner = np.all((oxygen > [8, 8, 6]) & (oxygen < [45, 26, 17]), axis=1)
    distances, _ = cKDTree(cerium).query(oxygen[inner], 5)
    np.testing.assert_allclose(distances[:, :4], A_CEO2 * np.sqrt(3) / 4, atol=1e-4)
    assert distances[:, 4].min() > 4


@pytest.mark.parametrize("x", [0.0, 1.7, 40.0])
def test_the_support_repeats_without_a_seam(x):
    positions, numbers = flat_support(False, x, 8 * PERIOD)
    cell = [WIDTH, 1e3, 8 * PERIOD]
    cerium = positions[numbers == CE]
    middle = np.isclose(cerium[:, 1], SURFACE - 3 * A_CEO2 / np.sqrt(3), atol=0.1)
    distances, _ = cKDTree(np.mod(cerium, cell), boxsize=cell).query(
        np.mod(cerium, cell)[middle], 13
    )
    np.testing.assert_allclose(distances[:, 1:], A_CEO2 / np.sqrt(2), atol=1e-4)
    assert numbers[np.argmax(positions[:, 1])] == OXYGEN


def test_drawn_structures_stay_in_the_cell_and_keep_their_distances(drawn):
    structure, values = drawn
    x, y, z = structure.positions.T
    assert structure.cell.tolist() == [WIDTH, HEIGHT, pytest.approx(values["thickness"])]
    assert x.min() >= 0
    assert x.max() < WIDTH
    assert y.min() >= BOTTOM
    assert z.min() > 0
    assert z.max() < structure.thickness
    assert structure.thickness / PERIOD == pytest.approx(round(structure.thickness / PERIOD))
    nearest = cKDTree(structure.positions).query(structure.positions, 2)[0][:, 1]
    assert nearest.min() > 1.2  # the interface is not relaxed: some Pt–O are short


def test_drawn_values_lie_within_their_ranges_and_show_in_the_atoms(drawn):
    structure, values = drawn
    for name in ("lattice_pt", "gap", "lost", "partial", "added", "vacancies", "oxygen_vacancies"):
        low, high = getattr(RANGES, name)
        assert low <= values[name] <= high
    platinum = structure.positions[structure.numbers == PT]
    rows = np.unique(np.round(platinum[:, 1], 3))
    assert rows[0] == pytest.approx(SURFACE + values["gap"], abs=1e-3)
    np.testing.assert_allclose(np.diff(rows), values["lattice_pt"] / np.sqrt(3), atol=2e-3)
    assert 2 <= len(rows) <= 14


def test_columns_account_for_every_atom(drawn):
    structure, _ = drawn
    columns = structure.columns()
    assert columns.counts.sum() == len(structure.positions)
    assert np.array_equal(columns.numbers[columns.index], structure.numbers)
    np.testing.assert_allclose(
        columns.positions[columns.index], structure.positions[:, :2], atol=1e-9
    )
    spread = cKDTree(columns.positions[columns.numbers == PT]).query(
        columns.positions[columns.numbers == PT], 2
    )[0][:, 1]
    assert spread.min() > 1.3  # no column is counted twice


def test_roughness_is_what_the_ranges_ask_for():
    smooth = StructureRanges(
        lost=(0, 0), partial=(0, 0), added=(0, 0), adatoms=(0, 0), vacancies=(0, 0),
        step=0, oxygen_vacancies=(0, 0),
    )  # fmt: skip
    rough = smooth.model_copy(update={"vacancies": (0.5, 0.5), "oxygen_vacancies": (0.25, 0.25)})
    full, _ = draw_structure(smooth, np.random.default_rng(3))
    thin, _ = draw_structure(rough, np.random.default_rng(3))

    def share(number):
        return np.sum(thin.numbers == number) / np.sum(full.numbers == number)

    assert share(PT) == pytest.approx(0.5, abs=0.1)
    assert share(OXYGEN) == pytest.approx(0.75, abs=0.05)
    assert share(CE) == 1
    stepped, values = draw_structure(
        smooth.model_copy(update={"step": 1.0}), np.random.default_rng(3)
    )
    assert values["step"] is not None
    assert np.sum(stepped.numbers == CE) < np.sum(full.numbers == CE)
    platinum, base = stepped.positions[stepped.numbers == PT], SURFACE - 0.1
    under = stepped.positions[
        (stepped.numbers == CE) & (stepped.positions[:, 1] > base), 0
    ]  # the top row still carries the particle
    bottom = platinum[platinum[:, 1] < platinum[:, 1].min() + 0.1, 0]
    assert under.min() - 3 < bottom.min()
    assert np.all(cKDTree(under[:, None]).query(bottom[:, None])[0] < A_CEO2)


def test_nothing_is_added_where_the_last_neighbour_was_lost():
    # Roughness takes all columns beside a free place of this structure before it comes to that.
    seed = np.random.SeedSequence(20_250_601, spawn_key=(0, 1086))
    structure, _ = draw_structure(RANGES, np.random.default_rng(seed))
    platinum = structure.positions[structure.numbers == PT]
    assert cKDTree(platinum).query(platinum, 2)[0][:, 1].max() < 3.0


def test_fingerprints_tell_structures_apart_but_not_their_order_or_place(drawn):
    structure, _ = drawn
    order = np.random.default_rng(0).permutation(len(structure.numbers))
    moved = Structure(
        structure.positions[order] + [1.25, -2.5, 0], structure.numbers[order], structure.cell
    )
    assert moved.fingerprint() == structure.fingerprint()
    fewer = Structure(structure.positions[1:], structure.numbers[1:], structure.cell)
    assert fewer.fingerprint() != structure.fingerprint()


# waves -----------------------------------------------------------------------------------------


def _few_atoms(thickness=8.0):
    positions = [[4, 5, 2.0], [9, 7, 3.0], [9, 7, 6.0], [12, 4, 5.0]]
    return Structure(positions, [78, 78, 58, 8], [16.0, 12.0, thickness])


def test_without_absorption_the_wave_is_that_of_abtems_own_multislice():
    structure, tilt = _few_atoms(), (0.02, -0.03)
    with single_threaded():
        slices = transmit(structure, GROUP, 300e3, 0.0)
        found = exit_wave(slices, tilt).array
        atoms = Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=True)
        potential = abtem.Potential(
            atoms,
            gpts=found.shape,
            slice_thickness=GROUP.slice_thickness,
            parametrization=LobatoParametrization(sigmas=GROUP.vibration.of(["Pt", "Ce", "O"])),
        )
        wave = abtem.PlaneWave(energy=300e3, tilt=tuple(1e3 * t for t in tilt))
        expected = wave.multislice(potential, lazy=False)
        # abTEM leaves the wave half a slice later.
        later = abtem.multislice.FresnelPropagator().propagate(
            expected, -potential.slice_thickness[0] / 2
        )
    assert np.abs(found - later.array).max() < 1e-4
    assert np.abs(found - 1).max() > 0.1


def test_absorption_takes_electrons_as_its_law_says():
    # One thin slice: |exp((i − a) σ V)|² integrates to 1 − 2 a σ V to first order.
    structure = Structure([[8, 6, 0.5]], [8], [16.0, 12.0, 1.0])
    with single_threaded():
        waves = [exit_wave(transmit(structure, GROUP, 300e3, a), (0, 0)) for a in (0.0, 0.02, 0.04)]
    lost = [1 - np.mean(np.abs(wave.array) ** 2) for wave in waves]
    phase = np.mean(np.angle(waves[0].array))
    assert lost[0] == pytest.approx(0, abs=1e-4)
    assert lost[1] == pytest.approx(2 * 0.02 * phase, rel=0.1)
    assert lost[2] / lost[1] == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize("tilt", [(0.06, 0.0), (0.0, -0.05)])
def test_atoms_appear_where_the_tilted_beam_projects_them(tilt):
    structure = Structure([[8, 6, 1.0]], [8], [16.0, 12.0, 40.0])
    optics = Optics(defocus=0, cs=0, c5=0, focal_spread=0, blur=0.4, tilt=tilt, absorption=0.2)
    view = View((121, 141), 0.08, (8 + 40 * tilt[0] / 2, 6 + 40 * tilt[1] / 2), 0.1)
    with single_threaded():
        wave = exit_wave(transmit(structure, GROUP, optics.energy, optics.absorption), tilt)
        image = form_image(wave, optics, view)
    # Free flight spreads the wave but does not move its centre of gravity.
    change = image - 0.45
    rows, columns = np.indices(image.shape)
    centre = [np.sum(change * c) / np.sum(change) for c in (rows, columns)]
    expected = view.to_pixels(structure.projected(tilt))[0]
    np.testing.assert_allclose(centre, expected, atol=0.6)  # 0.05 Å
    untilted = view.to_pixels(structure.projected((0, 0)))[0]
    assert np.linalg.norm(np.subtract(centre, untilted)) > 20


# images ----------------------------------------------------------------------------------------


def test_the_image_keeps_every_electron_and_defocus_moves_none():
    structure = _few_atoms()
    view = View((120, 160), 0.1, (8, 6))  # one whole cell
    with single_threaded():
        wave = exit_wave(transmit(structure, GROUP, 300e3, 0.0), (0, 0))
        electrons = 0.45 * np.mean(np.abs(wave.array) ** 2)
        for defocus in (-50, 0, 150):
            image = form_image(wave, Optics(defocus, focal_spread=45), view)
            assert image.mean() == pytest.approx(electrons, rel=1e-5)
    assert electrons == pytest.approx(0.45, rel=2e-3)


def test_vacuum_is_045():
    structure = Structure(np.empty((0, 3)), np.empty(0), [16.0, 12.0, 8.0])
    with single_threaded():
        wave = exit_wave(transmit(structure, GROUP, 300e3, 0.02), (0.01, 0))
        image = form_image(wave, Optics(80), View((9, 11), 0.3, (3, 2), 0.2))
    np.testing.assert_allclose(image, 0.45, rtol=1e-5)


def test_five_focal_nodes_average_like_many():
    with single_threaded():
        wave = exit_wave(transmit(_few_atoms(), GROUP, 300e3, 0.02), (0, 0))
        view, optics = View((30, 40), 0.4, (8, 6)), Optics(120, focal_spread=45, blur=0.45)
        few, many = (form_image(wave, optics, view, n) for n in (5, 31))
        coherent = form_image(wave, Optics(120, focal_spread=0, blur=0.45), view, 1)
    assert (few - many).std() < 0.1 * (coherent - many).std()
    assert (coherent - many).std() > 5e-4


def test_overfocus_shows_white_atoms_with_negative_cs():
    structure = Structure([[8, 6, 1.0]], [78], [16.0, 12.0, 2.0])
    view = View((61, 61), 0.1, (8, 6))
    with single_threaded():
        wave = exit_wave(transmit(structure, GROUP, 300e3, 0.0), (0, 0))
        white, black = (form_image(wave, Optics(c), view)[30, 30] for c in (60, -60))
    assert white > 0.46
    assert black < 0.44


def test_pixels_are_the_fourier_series_of_the_image_at_their_places():
    rng = np.random.default_rng(2)
    extent, blur = (9.0, 7.0), 0.4
    k = np.array([[i / extent[0], j / extent[1]] for i in range(-4, 5) for j in range(-3, 4)])
    amplitude, phase = rng.uniform(0, 1, len(k)), rng.uniform(0, 2 * np.pi, len(k))

    def series(xy, damping=1.0):
        return np.cos(2 * np.pi * xy @ k.T + phase) @ (amplitude * damping)

    grid = np.stack(np.meshgrid(np.arange(24) * 9 / 24, np.arange(20) * 7 / 20, indexing="ij"), -1)
    view = View((13, 17), 0.31, (2.5, 11.0), 0.4)
    found = sample(series(grid), extent, blur, view)
    xy = view.to_plane(np.indices(view.shape).reshape(2, -1).T)
    damping = np.exp(-2 * np.pi**2 * blur**2 * np.sum(k**2, axis=1))
    np.testing.assert_allclose(found.ravel(), series(xy, damping), atol=2e-3 * amplitude.sum())
    sharp = damping > 2e-3  # terms beyond the cut are all that differs
    assert np.abs(found.ravel() - series(xy, damping * sharp)).max() < 0.02
    assert np.ptp(found) > 1


# the whole -------------------------------------------------------------------------------------


def test_a_structure_depends_on_its_own_seed_alone():
    few, many = recipe(), recipe(group=[{"name": "more", "structures": 9, "grid": 192}])
    a, b = simulate_structure(few, 0, 1), simulate_structure(many, 0, 1)
    assert np.array_equal(a.images[0], b.images[0])
    assert a.structure.fingerprint() == b.structure.fingerprint()
    assert a.images.shape == (2, 40, 44)
    assert not np.array_equal(a.images[0], a.images[1])
    other = simulate_structure(few, 0, 0)
    assert other.structure.fingerprint() != a.structure.fingerprint()
    reseeded, _ = draw_structure(RANGES, np.random.default_rng(6))
    assert reseeded.fingerprint() != a.structure.fingerprint()


def test_finer_computation_changes_little():
    coarse = recipe(group=[{"name": "c", "structures": 1, "grid": 384}])
    fine = recipe(
        group=[{"name": "f", "structures": 1, "grid": 512, "slice_thickness": PERIOD / 3}]
    )
    a, b = (simulate_structure(r, 0, 0).images[0] for r in (coarse, fine))
    assert np.sqrt(np.mean((a - b) ** 2)) < 0.1 * (b.std())


def test_regimes_and_views_are_drawn_within_their_ranges():
    plan = recipe(
        regime=[
            {"name": "near", "weight": 3, "defocus": [0, 10], "tilt": [0, 0]},
            {"name": "far", "weight": 1, "defocus": [100, 200], "tilt": [2, 3]},
        ]
    )
    rng = np.random.default_rng(1)
    shots = [draw_exposure(plan, (20.0, SURFACE), 38.0, 0.02, rng) for _ in range(400)]
    near = [s for s in shots if s.regime == "near"]
    assert len(near) / 400 == pytest.approx(0.75, abs=0.08)
    assert all(0 <= s.optics.defocus <= 10 and s.optics.tilt == (0, 0) for s in near)
    far = np.rad2deg([s.optics.tilt for s in shots if s.regime == "far"])
    assert np.all((far == 0).sum(axis=1) == 1)  # about x or y, never both
    size = np.abs(far).max(axis=1)
    assert size.min() >= 2
    assert size.max() <= 3
    assert {tuple(s) for s in np.sign(far)} == {(1, 0), (-1, 0), (0, 1), (0, -1)}
    scales = [s.view.pixel_size / 0.4 for s in shots]
    assert min(scales) >= 0.97
    assert max(scales) <= 1.03
