"""A training stops where held-out PSNR rises no more, keeps the best, and survives kills."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from runs import assert_same_runs, read_log
from small_dataset import write_dataset
from test_training_columns import _recipe as columns_recipe
from test_training_columns import data as scenes  # noqa: F401 (a fixture)

from emprior import weights
from emprior.datasets import Dataset
from emprior.device import one_thread
from emprior.errors import OptionError, RecipeError
from emprior.inversion import LatentProblem
from emprior.training import TrainingRecipe, train
from emprior.training.course import Course
from emprior.training.heldout import PSNR

pytestmark = pytest.mark.usefixtures("single_thread")

RECIPES = Path(__file__).parents[1] / "recipes"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Ten structures, two images of stripes each."""
    rng, stacks = np.random.default_rng(3), []
    for _ in range(10):
        phase = rng.uniform(0, 2 * np.pi, (2, 1, 1))
        wave = 0.45 + 0.1 * np.sin(2 * np.pi * np.arange(40) / 8 + phase)
        stacks.append(np.broadcast_to(wave, (2, 24, 40)).astype(np.float32))
    return Dataset.open(write_dataset(tmp_path_factory.mktemp("stripes") / "set", stacks, 0.2))


def _recipe(kind="adversarial", images=96, stop=None, **output):
    values = {
        "kind": kind,
        "seed": 5,
        "data": {"path": "nowhere"},
        "optimisation": {"batch": 8},
        "budget": {"images": images},
        "output": {"log": 1, "checkpoint": 4, "samples": 100, **output},
    }
    if kind == "adversarial":
        values["generator"] = {"size": 16, "nz": 4, "ngf": 8}
        values["discriminator"] = {"ndf": 8}
        values["stop"] = {"validate_every": 3, "frames": 2, "held_out": 0.2, **(stop or {})}
    else:
        values["data"] |= {"crop": 16, "held_out": 0.3}
        values["network"] = {"type": "dncnn", "depth": 3, "width": 8}
        values["noise"] = {"label": "G(0.1)", "pooling": 1}
        values["output"].setdefault("validate_every", 3)
        values["stop"] = stop or {}
    return TrainingRecipe.from_dict(values)


def _course(scores, images=1000, flat=None, **rule):
    """Judge a training that sees so many images from one score to the next."""
    values = _recipe("regression", stop=rule).to_dict()
    values["optimisation"]["flat"] = 1.0 if flat is None else flat
    course = Course(TrainingRecipe.from_dict(values))
    best = [
        course.add({"images": images * k, f"{PSNR} a": score - 1, f"{PSNR} b": score + 1})
        for k, score in enumerate(scores, 1)
    ]
    return course, best


# --- the rule ------------------------------------------------------------------------------------


def test_a_rising_psnr_does_not_stop():
    course, best = _course(10 + 0.2 * np.arange(40))
    assert course.end is None
    assert all(best)
    assert course.best == (40_000, pytest.approx(17.8))


def test_a_plateau_stops_when_the_last_quarter_has_gained_too_little():
    scores = np.minimum(10 + np.arange(60), 30)  # flat from the 21st on
    course, best = _course(scores)
    # The first at which the 21st is not among the last quarter.
    assert course.end == 28_000
    assert best.index(False) == 21
    assert "rises no more: 28000 images seen" in course.ending(28_000)
    assert "30.00 dB after 21000 images" in course.ending(28_000)


@pytest.mark.parametrize(("noisy", "said"), [(19.5, "larger network"), (10.0, "good enough")])
def test_the_end_tells_whose_the_error_is(noisy, said):
    course = Course(_recipe())
    course.add({"images": 8, f"{PSNR} none": 20.0, f"{PSNR} P(10)": noisy})
    assert "R = 20.0 dB" in course.ending(96)
    assert said in course.ending(96)


def test_patience_and_gain_are_those_of_the_recipe():
    slowly = 10 + 0.02 * np.arange(80)
    assert _course(slowly)[0].end == 9_000  # the first with three judgements in a quarter
    assert _course(slowly, gain_db=0.01)[0].end is None
    flat = np.minimum(10 + np.arange(80), 30)
    assert _course(flat, patience=0.5)[0].end == 42_000


def test_what_got_worse_is_not_the_best():
    course, best = _course([10, 20, 15, 12])
    assert best == [True, True, False, False]
    assert course.best == (2000, 20)
    assert "20.00 dB after 2000 images" in course.ending(4000)


def test_a_falling_learning_rate_falls_at_the_plateau():
    """The flat part ends, and is the share of the training that the recipe says."""
    assert _course(np.full(60, 20.0), flat=0.6)[0].end == 15_000
    assert _course(np.full(60, 20.0), flat=0.0)[0].end is None


# --- runs ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def straight(data, tmp_path_factory):
    """A run of twelve updates that is judged four times."""
    run = tmp_path_factory.mktemp("straight") / "run"
    with one_thread():
        outcome = train(_recipe(stop={"gain_db": 1e-9}), run, data=data)
    assert (outcome.status, outcome.step) == ("finished", 12)
    return run


def test_held_out_frames_are_inverted_and_the_best_prior_is_kept(straight):
    judged = [line for line in read_log(straight) if any(PSNR in key for key in line)]
    assert [line["step"] for line in judged] == [3, 6, 9, 12]
    scores = [(line[f"{PSNR} none"] + line[f"{PSNR} P(10)"]) / 2 for line in judged]
    best = judged[int(np.argmax(scores))]
    card = weights.read_card(straight / "prior.safetensors")
    assert card.images == best["images"]
    assert card.recipe["stop"]["validate_every"] == 3
    assert card.measured["held-out PSNR at none [dB, range 1]"] == round(best[f"{PSNR} none"], 2)


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("last", [4, 7, 10])
def test_a_kill_changes_nothing(data, straight, tmp_path, last):
    def crash(share):
        if share >= (last - 0.5) / 12:
            raise _KilledError

    recipe = _recipe(stop={"gain_db": 1e-9})
    with pytest.raises(_KilledError):
        train(recipe, tmp_path / "killed", data=data, progress=crash)
    train(recipe, tmp_path / "killed", data=data, resume=True)
    assert_same_runs(straight, tmp_path / "killed")


def test_a_training_that_learns_nothing_more_ends_early(data, tmp_path):
    recipe = _recipe(images=10**6, stop={"validate_every": 1, "gain_db": 50.0})
    outcome = train(recipe, tmp_path / "run", data=data)
    assert (outcome.status, outcome.step) == ("finished", 9)
    assert "rises no more" in outcome.message
    again = train(recipe, tmp_path / "run", data=data, resume=True)
    assert (again.step, again.message) == (outcome.step, outcome.message)
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    again = train(recipe, tmp_path / "run", data=data, resume=True)
    assert (again.step, again.message) == (outcome.step, outcome.message)


def test_the_last_state_is_judged_where_the_minutes_end(data, tmp_path):
    recipe = _recipe(images=10**6, stop={"validate_every": 10**6})
    outcome = train(recipe, tmp_path / "run", data=data, minutes=1e-3)
    last = read_log(tmp_path / "run")[-1]
    assert last["images"] == outcome.images == weights.read_card(outcome.prior).images
    assert f"{PSNR} none" in last


def test_a_regressor_stops_by_what_it_is_judged_by_anyway(data, tmp_path):
    recipe = _recipe("regression", images=8 * 500, stop={"gain_db": 500.0}, validate_every=1)
    outcome = train(recipe, tmp_path / "run", data=data)
    # On the plateau after nine updates, which are 0.6 of the whole.
    assert outcome.step == 15
    rates = [line["learning_rate"] for line in read_log(tmp_path / "run")]
    assert rates[-1] < rates[8]
    judged = [line[f"{PSNR} G(0.1)"] for line in read_log(tmp_path / "run")]
    assert weights.read_card(outcome.prior).images == 8 * (1 + int(np.argmax(judged)))


def test_an_encoder_stops_by_what_its_searches_find(scenes, tmp_path):  # noqa: F811
    recipe = columns_recipe(
        images=4, stop={"frames": 1, "noise": ["none", "P(1)"]}, output={"validate_every": 1}
    )
    train(recipe, tmp_path / "run", data=scenes)
    (line,) = read_log(tmp_path / "run")
    assert all(5 < line[f"{PSNR} {noise}"] < 60 for noise in ("none", "P(1)"))


def test_inversions_of_a_generators_own_images_find_them(data):
    """What is judged is the prior, not the search."""
    import torch

    from emprior.inversion import invert
    from emprior.training.adversarial import _SEARCH, Adversarial
    from emprior.training.heldout import likelihood

    rng = np.random.default_rng(0)
    trainer = Adversarial(_recipe(), data, torch.device("cpu"), rng)
    prior = trainer.export(rng)
    with torch.no_grad():
        truth = prior(prior.sample_latent(4, rng))[:, 0]
    problem = LatentProblem(prior, likelihood("none", 1), truth)
    found = invert(problem, _SEARCH, rng).image
    spread = truth.std()
    assert ((found - truth).square().mean() ** 0.5) < 0.1 * spread


# --- recipes -------------------------------------------------------------------------------------


def test_without_the_section_nothing_is_recorded_of_it():
    """Runs begun before the section existed are recorded as they were."""
    values = _recipe().to_dict()
    del values["stop"]
    recipe = TrainingRecipe.from_dict(values)
    assert "stop" not in recipe.to_dict()
    assert recipe.validate_every is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gain_db": 0.0}, "stop.gain_db"),
        ({"patience": 1.0}, "stop.patience"),
        ({"noise": ["P"]}, "a noise called 'P'"),
        ({"held_outs": 0.1}, "did you mean 'held_out'"),
    ],
)
def test_wrong_settings_are_named(change, message):
    with pytest.raises((RecipeError, OptionError), match=message):
        _recipe(stop=change)


def test_noise_that_no_inversion_can_use_is_refused(data, tmp_path):
    recipe = _recipe(stop={"noise": ["clipped P(2)"], "pooling": 2})
    with pytest.raises(RecipeError, match="clipped P"):
        train(recipe, tmp_path / "run", data=data)
    assert not (tmp_path / "run").exists()


def test_images_that_know_no_structures_are_refused(tmp_path):
    from test_training import Stripes

    with pytest.raises(RecipeError, match="cannot be told apart"):
        train(_recipe(), tmp_path / "run", data=Stripes())


def test_feature_networks_have_no_psnr_to_stop_by():
    values = json.loads(json.dumps({"kind": "features", "data": {"path": "x"}}))
    values |= {"network": {"size": 16}, "budget": {"images": 8}, "stop": {}}
    with pytest.raises(RecipeError, match="stop"):
        TrainingRecipe.from_dict(values)


def test_a_training_has_collapsed_where_a_loss_is_twice_its_least():
    course = Course(columns_recipe())
    for images, (maps, optics) in enumerate([(0.04, 0.01), (0.012, 0.5), (0.023, -0.1)]):
        course.add({"images": images, "held_out_maps_loss": maps, "held_out_optics_loss": optics})
    assert course.collapsed is None
    course.add({"images": 3, "held_out_maps_loss": 0.045, "held_out_optics_loss": 0.2})
    assert course.collapsed == "held_out_maps_loss is 0.045, and was 0.012"


def test_a_training_that_collapses_ends_and_says_so(scenes, tmp_path, monkeypatch):  # noqa: F811
    losses = iter([0.02, 0.01, 0.03])

    def judged(network, truth):
        return {"held_out_maps_loss": next(losses)}

    monkeypatch.setattr("emprior.training.columns.judge", judged)
    recipe = columns_recipe(output={"validate_every": 2, "checkpoint": 2})
    outcome = train(recipe, tmp_path / "run", data=scenes)
    assert (outcome.status, outcome.step) == ("diverged", 6)
    assert "at update 6: held_out_maps_loss is 0.03, and was 0.01" in outcome.message
    assert "000000004.safetensors" in outcome.message
    assert not list((tmp_path / "run" / "checkpoints").glob("000000006*"))
