"""Training an encoder: its examples are true, its losses right, and it learns."""

import json
import sys

import numpy as np
import pytest
import torch
from runs import assert_same_runs, read_log
from safetensors.torch import load_file

from emprior import weights
from emprior.datasets import FORMAT, ROOT, Dataset, structure_name, write_structure
from emprior.device import one_thread
from emprior.errors import MissingExtraError, OptionError, RecipeError, WeightsError
from emprior.generators import Multislice
from emprior.generators.columns import Element
from emprior.generators.encoder import SPREAD
from emprior.generators.guess import OPTICS, RING
from emprior.noise import Gaussian
from emprior.specimen import Optics, Structure, View
from emprior.training import ColumnsRecipe, TrainingRecipe, train
from emprior.training.columns import judge, losses
from emprior.training.columns_recipe import NoiseRange
from emprior.training.examples import Examples, ExampleSource, corrupt
from emprior.training.scattering import scattering_factors
from emprior.training.trainer import schedule

pytestmark = pytest.mark.usefixtures("single_thread")

SHAPE, PIXEL, CELL = (72, 80), 0.2, (40.0, 40.0, 24.0)
TYPICAL = {78: 4.0, 8: 6.0}
BRIGHT = {78: 0.1, 8: -0.05}  # of a column's bump over the vacuum of 0.45


def _bumps(structure, optics, view):
    """Draw the image of a specimen by hand: one bump for each column, at its mean atom."""
    image = np.full(view.shape, 0.45)
    r, c = np.indices(view.shape)
    stacks = {}
    for (x, y, z), number in zip(structure.positions, structure.numbers, strict=True):
        stacks.setdefault((x, y, number), []).append(z)
    for (x, y, number), z in stacks.items():
        height = CELL[2] - np.mean(z)
        x, y = np.array([x, y]) + height * np.tan(optics.tilt) - view.centre
        row, column = (SHAPE[0] - 1) / 2 - y / PIXEL, (SHAPE[1] - 1) / 2 + x / PIXEL
        distance_2 = (r - row) ** 2 + (c - column) ** 2
        image += BRIGHT[int(number)] * np.exp(-distance_2 / (2 * SPREAD**2))
    return image


def _specimen(rng):
    """Columns of Pt above others of O, near the middle of the cell, some out of sight."""
    positions, numbers = [], []
    for number, low in ((78, 20.0), (8, 10.0)):
        for x in np.arange(10.0, 30.0, 2.5):
            for y in np.arange(low, low + 10.0, 2.5):
                atoms = rng.integers(2, 7)
                x0, y0 = x + rng.uniform(-0.4, 0.4), y + rng.uniform(-0.4, 0.4)
                z = rng.uniform(2, 8) + 2.5 * np.arange(atoms)
                positions += [(x0, y0, each) for each in z]
                numbers += [number] * atoms
    return Structure(positions, numbers, CELL)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Six structures, two images each."""
    directory, rng = tmp_path_factory.mktemp("scenes"), np.random.default_rng(8)
    for number in range(6):
        structure = _specimen(rng)
        images, exposures = [], []
        for _ in range(2):
            tilt = tuple(rng.uniform(-0.05, 0.05, 2).tolist())
            optics = Optics(rng.uniform(20, 180), blur=rng.uniform(0.45, 0.65), tilt=tilt)
            view = View(SHAPE, PIXEL, tuple(rng.uniform(19, 21, 2).tolist()))
            images.append(_bumps(structure, optics, view))
            exposures.append({"regime": "any", "optics": optics.to_dict(), "view": view.to_dict()})
        folder = directory / structure_name(number)
        folder.mkdir()
        attributes = {"group": "all", "fingerprint": structure.fingerprint()}
        write_structure(folder, np.float32(images), structure, attributes, exposures)
    manifest = {
        "format": FORMAT,
        "complete": True,
        "hash": "scenes",
        "recipe": {
            "group": [{"name": "all", "structures": 6, "images": 2}],
            "view": {"shape": list(SHAPE), "pixel_size": PIXEL},
            "dtype": "float32",
        },
    }
    root = {"zarr_format": 3, "node_type": "group", "attributes": {"emprior": manifest}}
    (directory / ROOT).write_text(json.dumps(root))
    return Dataset.open(directory)


def _recipe(images=40, **sections) -> ColumnsRecipe:
    values = {
        "kind": "columns",
        "seed": 3,
        "card": "Bumps. Not for crystals.",
        "data": {"path": "nowhere", "crop": 64, "held_out": 0.3},
        "network": {
            "field": 64,
            "widths": [8, 8, 8],
            "slices": 2,
            "elements": [
                {"number": 78, "spacing": 2.5, "typical": TYPICAL[78], "through": False},
                {"number": 8, "spacing": 2.5, "typical": TYPICAL[8], "through": True},
            ],
        },
        "noise": {},
        "optimisation": {"batch": 4, "half_life": 40},
        "budget": {"images": images},
        "output": {"log": 1, "checkpoint": 4, "samples": 5, "validate_every": 5},
    }
    for key, section in sections.items():
        values[key] = {**values.get(key, {}), **section} if isinstance(section, dict) else section
    recipe = TrainingRecipe.from_dict(values)
    assert isinstance(recipe, ColumnsRecipe)
    return recipe


def _source(data, crop=64):
    network = _recipe().network
    elements = tuple(Element(**e.model_dump(exclude={"vibration"})) for e in network.elements)
    return ExampleSource(data, elements, crop, NoiseRange(), torch.device("cpu"))


# --- examples ------------------------------------------------------------------------------------


def test_maps_show_the_columns_that_the_frame_shows(data, rng):
    examples = _source(data).draw(40, rng, Gaussian(1e-6))
    numbers = _in_units(examples.optics)
    presence = examples.maps[:, :2]
    drawn = 0.45 + torch.einsum("behw,e->bhw", presence, torch.tensor([BRIGHT[78], BRIGHT[8]]))
    frame = (examples.frame - numbers["origin"][:, None, None]) / numbers["unit"][:, None, None]
    # Bumps fade out six pixels from their middle.
    assert (frame - drawn).abs().max() < 1e-3
    assert presence.amax() > 0.9


def test_maps_of_atoms_are_in_units_of_the_typical_number(data, rng):
    examples = _source(data).draw(20, rng)
    for e, number in enumerate((78, 8)):
        presence, atoms = examples.maps[:, e], examples.maps[:, 2 + e]
        alone = presence > 0.98  # the middles of columns, 2.5 Å apart
        counts = (atoms / presence)[alone] * TYPICAL[number]
        assert (counts - counts.round()).abs().max() < 0.05
        assert set(counts.round().int().tolist()) == {2, 3, 4, 5, 6}


def _in_units(optics):
    middle, scale = torch.tensor(list(OPTICS.values())).T
    return dict(zip(OPTICS, (middle + scale * optics).T, strict=True))


def test_optics_are_those_of_the_image_and_mirrored_with_it(data):
    one = data.subset([data.structures[0]])
    examples = _source(one).draw(60, np.random.default_rng(4), Gaussian(1e-6))
    numbers = _in_units(examples.optics)
    structure = one.structure(one.structures[0])
    centre = structure.positions[structure.numbers == 78, 2].mean() / CELL[2]
    assert numbers["thickness"].numpy() == pytest.approx(CELL[2])
    assert numbers["centre"].numpy() == pytest.approx(centre, rel=1e-5)
    mirrored, overturned = 0, 0
    for k in range(60):
        i = int(np.argmin([abs(one.optics(i).defocus - numbers["defocus"][k]) for i in (0, 1)]))
        optics = one.optics(i)
        assert numbers["defocus"][k] == pytest.approx(optics.defocus, rel=1e-5)
        assert numbers["blur"][k] == pytest.approx(optics.blur, rel=1e-5)
        # Rows run along y, columns along x; the sign is left out, mirrored or not.
        assert numbers["tilt_rows"][k] == pytest.approx(abs(np.tan(optics.tilt[1])), abs=1e-6)
        assert numbers["tilt_columns"][k] == pytest.approx(abs(np.tan(optics.tilt[0])), abs=1e-6)
        frame = ((examples.frame[k] - numbers["origin"][k]) / numbers["unit"][k]).numpy()
        ways = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
        ((up, right),) = [(r, c) for r, c in ways if _occurs(frame[::r, ::c], one.image(i))]
        mirrored, overturned = mirrored + (right < 0), overturned + (up < 0)
    assert 15 < mirrored < 45
    assert 15 < overturned < 45


def _occurs(frame, image):
    windows = np.lib.stride_tricks.sliding_window_view(image, frame.shape)
    return np.abs(windows - frame).max((2, 3)).min() < 1e-4


def test_each_side_is_hidden_three_times_in_four(data, rng):
    seen = _source(data).draw(400, rng).seen.numpy()
    assert set(np.unique(seen)) == {0, 1}
    sides = seen[:, 0, 32], seen[:, -1, 32], seen[:, 32, 0], seen[:, 32, -1]
    for side in sides:
        assert (side == 0).mean() == pytest.approx(0.75, abs=0.08)
    assert seen[:, RING:-RING, RING:-RING].all()


def test_noisy_frames_are_unbiased_and_their_deviation_is_told(rng):
    clean = torch.full((300, 40, 50), 0.44)
    noisy, deviations = corrupt(clean, NoiseRange(), rng)
    for frame, deviation in zip(noisy, deviations.tolist(), strict=True):
        # The inverse of the saturation of hits bends by 0.02 over their spread.
        assert frame.mean().item() == pytest.approx(0.44, abs=0.025 + 5 * deviation / 44)
        assert frame.std().item() == pytest.approx(deviation, rel=0.2)
    assert deviations.max() / deviations.min() > 20


def test_what_is_a_little_below_zero_shows_no_electrons(rng):
    noisy, deviations = corrupt(torch.full((60, 8, 8), -1e-3), NoiseRange(), rng)
    assert bool(torch.isfinite(noisy).all())
    assert bool((deviations > 0).all())


def test_noise_is_of_the_families_that_denoising_assumes(rng):
    clean = torch.full((200, 20, 20), 0.44)
    noisy, deviations = corrupt(clean, NoiseRange(pooling=2), rng)
    hits = 4 * -torch.expm1(-noisy)  # of four detector pixels
    clipped = torch.isin(hits.round(decimals=4), torch.tensor([0.0, 1.0, 2.0, 3.0, 3.5])).all(
        (1, 2)
    )
    assert clipped.float().mean().item() == pytest.approx(0.15, abs=0.08)
    dose = 0.44 / (4 * deviations**2)  # of those that are counts
    counts = noisy * 4 * dose[:, None, None]
    counted = ((counts - counts.round()).abs() < 1e-3).all((1, 2)) & ~clipped
    assert counted.float().mean().item() == pytest.approx(0.45, abs=0.1)
    assert (noisy[~counted & ~clipped] < 0).any()


# --- losses --------------------------------------------------------------------------------------


def _truth(rng, n=3):
    maps = torch.from_numpy(rng.uniform(0, 1.5, (n, 4, 8, 8)).astype(np.float32))
    optics = torch.from_numpy(rng.normal(size=(n, 8)).astype(np.float32))
    nothing = torch.zeros(n, 8, 8)
    return Examples(nothing, nothing, torch.ones(n), maps, optics)


def test_losses_are_their_formulas(rng):
    truth = _truth(rng)
    maps, told = torch.zeros(3, 4, 8, 8), torch.zeros(3, 2, 8)
    told[:, 1] = np.log(2.0)
    maps_loss, optics_loss = losses(maps, told, truth)
    y, o = truth.maps.numpy(), truth.optics.numpy()
    weight = 1 + 3 * np.minimum(np.concatenate([y[:, :2], y[:, :2]], 1), 1)
    assert maps_loss.item() == pytest.approx((weight * y**2).mean(), rel=1e-5)
    assert optics_loss.item() == pytest.approx((o**2 / 8 + np.log(2)).mean(), rel=1e-5)
    told[:, 0] = truth.optics
    assert losses(truth.maps, told, truth)[0] == 0
    assert losses(truth.maps, told, truth)[1].item() == pytest.approx(np.log(2))


def test_errors_are_judged_in_the_units_of_the_optics(rng):
    truth = _truth(rng)

    def network(*inputs):
        told = torch.stack([truth.optics, torch.zeros(3, 8)], 1)
        told[:, 0] += torch.tensor([0.5, 1.0, -1.0, 2.0, 0, 0, 0, 0])
        return truth.maps, told

    figures = judge(network, truth)
    assert figures["held_out_maps_loss"] == 0
    assert figures["held_out_defocus_rmse"] == pytest.approx(30, rel=1e-4)
    assert figures["held_out_tilt_rmse"] == pytest.approx(0.035, rel=1e-4)
    assert figures["held_out_thickness_rmse"] == pytest.approx(22, rel=1e-4)


# --- scattering factors --------------------------------------------------------------------------


def test_scattering_factors_are_close_to_an_independent_table():
    from abtem.parametrizations import KirklandParametrization

    k = Multislice.knots()
    numbers, vibrations = [78, 58, 8], [0.06, 0.06, 0.08]
    still = scattering_factors(numbers, [0, 0, 0], k)
    other = KirklandParametrization()
    for factor, number in zip(still, numbers, strict=True):
        kirkland = other.projected_scattering_factor(number)(k**2)
        assert factor == pytest.approx(kirkland, rel=0.05)
    damped = scattering_factors(numbers, vibrations, k) / still
    for ratio, u in zip(damped, vibrations, strict=True):
        # The mean of cos(2πkx) over displacements x of deviation u.
        x = np.random.default_rng(0).normal(0, u, 20_000)
        mean = np.cos(2 * np.pi * k[::16, None] * x).mean(1)
        assert ratio[::16] == pytest.approx(mean, abs=0.02)


def test_without_abtem_a_new_encoder_cannot_begin(data, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "abtem", None)
    with pytest.raises(MissingExtraError, match=r"emprior\[simulate\]"):
        train(_recipe(), tmp_path / "run", data=data)
    assert not (tmp_path / "run").exists()


# --- runs ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def straight(data, tmp_path_factory):
    """A run of ten updates."""
    run = tmp_path_factory.mktemp("straight") / "run"
    with one_thread():
        outcome = train(_recipe(), run, data=data)
    assert (outcome.status, outcome.step, outcome.images) == ("finished", 10, 40)
    return run


def test_it_learns_where_columns_are(data, tmp_path):
    recipe = _recipe(
        images=2000,
        network={"widths": [16, 16, 16]},
        optimisation={"rate": 3e-3},
        noise={"pooling": 8, "dose": [0.5, 60.0], "sigma": [0.04, 1.0]},
        output={"validate_every": 125, "samples": 1000, "checkpoint": 1000},
    )
    outcome = train(recipe, tmp_path / "run", data=data)
    lines = read_log(tmp_path / "run")
    judged = [line["held_out_maps_loss"] for line in lines if "held_out_maps_loss" in line]
    assert len(judged) == 4
    assert judged[-1] < 0.5 * np.mean([line["maps_loss"] for line in lines[:10]])
    encoder, _ = weights.load(outcome.prior)
    source = _source(data.subset(data.structures[:1]))
    examples = source.draw(8, np.random.default_rng(0), Gaussian(0.01))
    maps, _ = encoder(examples.frame, examples.seen, examples.deviation)
    seen = examples.seen.bool()
    for e in range(2):
        pair = torch.stack([maps[:, e][seen], examples.maps[:, e][seen]])
        assert torch.corrcoef(pair)[0, 1] > 0.7


def test_what_a_run_writes(straight):
    lines = read_log(straight)
    assert [line["step"] for line in lines] == list(range(1, 11))
    assert ["held_out_maps_loss" in line for line in lines] == 2 * [*4 * [False], True]
    assert sorted(p.name for p in (straight / "samples").iterdir()) == [
        "000000005.png",
        "000000010.png",
        "data.png",
    ]
    encoder, card = weights.load(straight / "prior.safetensors")
    assert (card.text, card.data, card.images) == ("Bumps. Not for crystals.", "scenes", 40)
    assert encoder.pixel_size == PIXEL
    expected = scattering_factors([78, 8], [0.06, 0.06], Multislice.knots())
    assert encoder.factors.numpy() == pytest.approx(expected, rel=1e-6)


def test_the_learning_rate_falls_with_the_budget(straight):
    used = np.linspace(0, 1, 501)
    shares = np.array([schedule(step, at, 0.6) for step, at in enumerate(used, start=1)])
    assert shares[:100] == pytest.approx(np.arange(1, 101) / 100)
    assert shares[100:301] == pytest.approx(1)
    assert (np.diff(shares[300:]) < 0).all()
    assert shares[400] == pytest.approx(0.5)  # halfway down at 80 %
    assert shares[-1] == pytest.approx(0, abs=1e-9)
    assert schedule(200, 1.0, 1.0) == 1
    rates = np.array([line["learning_rate"] for line in read_log(straight)])
    expected = [schedule(step, (step - 1) / 10, 0.6) for step in range(1, 11)]
    assert rates == pytest.approx(1.5e-3 * np.array(expected))


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("last", [3, 9])
def test_a_crash_between_checkpoints_loses_nothing(data, straight, tmp_path, last):
    def crash(share):
        if share >= last / 10:
            raise _KilledError

    with pytest.raises(_KilledError):
        train(_recipe(), tmp_path / "crashed", data=data, progress=crash)
    train(_recipe(), tmp_path / "crashed", data=data, resume=True)
    assert_same_runs(straight, tmp_path / "crashed")


def test_a_training_may_start_from_a_prior(data, straight, tmp_path):
    prior = straight / "prior.safetensors"
    gentle = {"batch": 4, "half_life": 0, "rate": 1e-9}
    recipe = _recipe(images=4, start=str(prior), optimisation=gentle)
    outcome = train(recipe, tmp_path / "tuned", data=data)
    before, after = load_file(prior), load_file(outcome.prior)
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert torch.allclose(after[name], tensor, rtol=0, atol=1e-8), name
    fresh = load_file(train(_recipe(images=4, seed=9), tmp_path / "new", data=data).prior)
    assert not torch.allclose(fresh["network.stem.weight"], before["network.stem.weight"])
    # What is resumed needs its start no more.
    prior_of = tmp_path / "moved.safetensors"
    prior_of.write_bytes(prior.read_bytes())
    recipe = _recipe(images=4, start=str(prior_of), optimisation=gentle)
    train(recipe, tmp_path / "later", data=data)
    prior_of.unlink()
    recipe = _recipe(images=8, start=str(prior_of), optimisation=gentle)
    assert train(recipe, tmp_path / "later", data=data, resume=True).step == 2


# --- mistakes ------------------------------------------------------------------------------------


def test_a_start_must_exist_and_be_of_the_same_architecture(data, straight, tmp_path):
    run, prior = tmp_path / "run", str(straight / "prior.safetensors")
    with pytest.raises(WeightsError, match="no prior 'absent'"):
        train(_recipe(start="absent"), run, data=data)
    with pytest.raises(RecipeError, match=r"a prior of widths \[8, 8, 8\]"):
        train(_recipe(start=prior, network={"widths": [8, 8, 9]}), run, data=data)
    assert not run.exists()


def test_crops_must_fit_into_the_images(data, tmp_path):
    with pytest.raises(RecipeError, match="crops of 80 × 80 pixels from images of 72 × 80"):
        train(_recipe(data={"crop": 80}), tmp_path / "run", data=data)
    assert not (tmp_path / "run").exists()


def test_one_structure_cannot_be_split(data, tmp_path):
    with pytest.raises(OptionError, match="a split of 1 structures"):
        train(_recipe(), tmp_path / "run", data=data.subset(data.structures[:1]))


def test_an_element_that_the_network_does_not_know_is_named(data, tmp_path):
    elements = [{"number": 78, "spacing": 2.5, "typical": 4.0, "through": False}]
    with pytest.raises(RecipeError, match="columns of atomic number 8 "):
        train(_recipe(network={"elements": elements}), tmp_path / "run", data=data)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"data": {"crop": 60}}, "data.crop = 60"),
        ({"data": {"stride": 2}}, "unknown key data.stride"),
        ({"data": {"held_out": 0.0}}, "data.held_out = 0.0"),
        ({"network": {"widths": [8, 8]}}, "no network.widths.2|network.widths"),
        ({"network": {"elements": []}}, "network.elements"),
        ({"noise": {"dose": [0.0, 1.0]}}, "noise.dose.0 = 0.0"),
        ({"optimisation": {"real_label": 0.9}}, "unknown key optimisation.real_label"),
    ],
)
def test_mistakes_in_recipes_are_named(sections, message):
    with pytest.raises(RecipeError, match=message):
        _recipe(**sections)


def test_a_recipe_must_say_its_kind():
    values = _recipe().to_dict()
    del values["kind"]
    with pytest.raises(RecipeError, match="no kind"):
        TrainingRecipe.from_dict(values)
