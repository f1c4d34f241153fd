"""Training a regressor: the noise that it sees, and that it learns, resumes and is judged."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from runs import assert_same_runs, read_log
from small_dataset import write_dataset

from emprior import weights
from emprior.datasets import Dataset
from emprior.device import one_thread
from emprior.errors import OptionError, RecipeError, WeightsError
from emprior.metrics import psnr
from emprior.noise import ClippedPoisson, Gaussian, Poisson
from emprior.recipes import load
from emprior.regressors import LEVEL, DnCNN
from emprior.training import RegressionRecipe, TrainingRecipe, train
from emprior.training.crops import sample
from emprior.training.regression import Regression, corrupt, draw_noise, levelled
from emprior.training.regression_recipe import RegressionNoise
from emprior.training.trainer import schedule

pytestmark = pytest.mark.usefixtures("single_thread")

LABELS = {"P(25)", "P(10)", "P(1)", "clipped P(1)", "G(0.1)", "G(0.5)", "G(1)"}


def _stripes(rng, shape=(24, 40)):
    """Stripes of period 8 pixels, at any phase."""
    phase = rng.uniform(0, 2 * np.pi)
    wave = 0.45 + 0.1 * np.sin(2 * np.pi * np.arange(shape[1]) / 8 + phase)
    return np.broadcast_to(wave, shape).astype(np.float32)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Ten structures, two images each."""
    rng = np.random.default_rng(3)
    stacks = [np.stack([_stripes(rng) for _ in range(2)]) for _ in range(10)]
    return Dataset.open(write_dataset(tmp_path_factory.mktemp("stripes") / "set", stacks, 0.2))


def _recipe(images=40, **sections) -> RegressionRecipe:
    values = {
        "kind": "regression",
        "seed": 3,
        "card": "Stripes. Not for crystals.",
        "data": {"path": "nowhere", "crop": 16, "held_out": 0.3},
        "network": {"type": "dncnn", "depth": 3, "width": 8, "norm": True},
        "optimisation": {"batch": 4, "half_life": 40},
        "budget": {"images": images},
        "output": {"log": 1, "checkpoint": 4, "samples": 5, "validate_every": 5},
    }
    for key, section in sections.items():
        values[key] = {**values[key], **section} if key in values and key != "network" else section
    recipe = TrainingRecipe.from_dict(values)
    assert isinstance(recipe, RegressionRecipe)
    return recipe


def test_a_levelled_network_learns_images_of_no_scale(data, tmp_path):
    network = {"type": "dncnn", "depth": 3, "width": 8, "levelled": True}
    train(_recipe(network=network, noise={"label": "G(0.1)"}), tmp_path / "run", data=data)
    stored = weights.load(tmp_path / "run" / "prior.safetensors")[0]
    assert isinstance(stored, DnCNN)
    assert stored.levelled
    rng = np.random.default_rng(1)
    trainer = Regression(_recipe(network=network), data, torch.device("cpu"), rng)
    clean = trainer.data_picture(rng)[1]
    np.testing.assert_allclose(clean.mean((1, 2)), LEVEL[0], atol=1e-4)
    np.testing.assert_allclose(clean.std((1, 2)), LEVEL[1], rtol=1e-3)
    assert np.isfinite(levelled(np.full((2, 4, 5), 0.3, np.float32))).all()  # vacuum


# --- noise ---------------------------------------------------------------------------------------


def test_blind_noise_is_of_all_families_and_levels(rng):
    models = [draw_noise(RegressionNoise(), rng) for _ in range(2000)]
    share = {kind: np.mean([type(m) is kind for m in models]) for kind in (Poisson, Gaussian)}
    assert share[Poisson] == pytest.approx(0.45, abs=0.04)
    assert share[Gaussian] == pytest.approx(0.40, abs=0.04)
    clipped = [m for m in models if isinstance(m, ClippedPoisson)]
    single = np.mean([m == ClippedPoisson(1.0, 0.0, 1.0) for m in clipped])
    assert 0.5 < single < 0.75
    assert all(m.maximum == 1 and 1 / m.gain == pytest.approx(round(1 / m.gain)) for m in clipped)
    doses = [1 / m.gain for m in models if type(m) is Poisson]
    assert (min(doses), max(doses)) == pytest.approx((0.4, 60), rel=0.1)
    sigmas = [m.sigma for m in models if isinstance(m, Gaussian)]
    assert (min(sigmas), max(sigmas)) == pytest.approx((0.04, 1.4), rel=0.1)


def test_blind_noise_without_clipped_counts_is_judged_as_the_recipe_says(data, rng):
    noise = {"clipped": 0.0, "judged": ["P(300)"]}
    models = [draw_noise(RegressionNoise.from_dict(noise), rng) for _ in range(300)]
    assert not any(isinstance(m, ClippedPoisson) for m in models)
    trainer = Regression(_recipe(noise=noise), data, torch.device("cpu"), rng)
    judged = trainer.validate(trainer.export(rng), rng)
    assert list(judged) == ["held_out_psnr_db P(300)"]
    with pytest.raises(RecipeError, match=r"noise\.judged = 'none'"):
        _recipe(noise={"judged": ["none"]})


def test_noise_by_its_name_is_the_same_for_all(rng):
    noise = RegressionNoise(label="P(10)")
    assert {draw_noise(noise, rng) for _ in range(9)} == {Poisson(0.1)}


@pytest.mark.parametrize("pooling", [1, 2, 4])
@pytest.mark.parametrize("model", [Poisson(1.0), Gaussian(0.5), ClippedPoisson(0.5, 0.0, 1.0)])
def test_pixels_are_means_of_noisy_detector_pixels(model, pooling, rng):
    clean = np.full((150, 160), 0.7, np.float32)
    seen = sample(model, clean, pooling, rng)
    assert seen.shape == clean.shape
    assert seen.dtype == np.float32
    mean, variance = float(model.mean(clean)[0, 0]), float(model.variance(clean)[0, 0])
    variance /= pooling**2
    assert seen.mean() == pytest.approx(mean, abs=5 * (variance / seen.size) ** 0.5)
    assert seen.var() == pytest.approx(variance, rel=0.06)


def test_clipped_counts_are_seen_as_they_are(rng):
    """Nothing is undone: what was cut is for the network to know."""
    seen = corrupt(np.full((64, 64), 0.45, np.float32), RegressionNoise(label="clipped P(1)"), rng)
    np.testing.assert_allclose(16 * seen, np.rint(16 * seen), atol=1e-5)
    assert seen.max() <= 1
    assert seen.mean() == pytest.approx(1 - np.exp(-0.45), abs=0.01)


# --- runs ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def straight(data, tmp_path_factory):
    """A run of ten updates."""
    run = tmp_path_factory.mktemp("straight") / "run"
    with one_thread():
        outcome = train(_recipe(), run, data=data)
    assert (outcome.status, outcome.step, outcome.images) == ("finished", 10, 40)
    return run


def test_what_a_run_writes(straight):
    lines = read_log(straight)
    assert [line["step"] for line in lines] == list(range(1, 11))
    for line in lines:
        judged = {k.removeprefix("held_out_psnr_db ") for k in line if k.startswith("held_out")}
        assert judged == (LABELS if line["step"] in (5, 10) else set())
        expected = 1e-3 * schedule(line["step"], (line["step"] - 1) / 10, 0.6)
        assert line["learning_rate"] == pytest.approx(expected)
    assert sorted(p.name for p in (straight / "samples").iterdir()) == [
        "000000005.png",
        "000000010.png",
        "data.png",
    ]
    network, card = weights.load(straight / "prior.safetensors")
    assert isinstance(network, DnCNN)
    assert network.to_dict() == card.architecture
    assert (network.pixel_size, network.bias, network.norm) == (0.2, False, True)
    assert (card.text, card.images) == ("Stripes. Not for crystals.", 40)


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


@pytest.mark.parametrize(
    ("network", "precision"),
    [
        ({"type": "unet", "scales": 2, "width": 8}, "float32"),
        ({"type": "unet", "scales": 2, "width": 8}, "bfloat16"),
        ({"type": "dncnn", "depth": 5, "width": 12}, "float32"),
    ],
    ids=["unet", "unet, bfloat16", "dncnn"],
)
def test_it_learns_to_denoise(data, tmp_path, network, precision):
    recipe = _recipe(
        images=1600,
        network=network,
        noise={"label": "G(0.1)", "pooling": 1},
        optimisation={"batch": 8, "rate": 3e-3, "half_life": 200, "precision": precision},
        output={"validate_every": 100, "samples": 1000, "checkpoint": 1000},
    )
    outcome = train(recipe, tmp_path / "run", data=data)
    judged = [v for line in read_log(tmp_path / "run") for k, v in line.items() if "G(0.1)" in k]
    assert len(judged) == 2
    rng = np.random.default_rng(0)
    clean = np.stack([_stripes(rng) for _ in range(8)])
    noisy = clean + rng.normal(0, 0.1, clean.shape).astype(np.float32)
    trained, _ = weights.load(outcome.prior)
    with torch.no_grad():
        denoised = trained(torch.from_numpy(noisy)[:, None])[:, 0].numpy()
    found = psnr(denoised.reshape(-1, 40), clean.reshape(-1, 40), data_range=1.0)
    assert found > 20 + 6  # a quarter of the noise's power is left
    assert judged[-1] == pytest.approx(found, abs=1.5)  # the log tells the same


def test_images_without_structures_train_unjudged(data, tmp_path):
    class Images:
        pixel_size, hash, shape = data.pixel_size, "images", data.shape
        channels, shown = 1, (0.2, 0.7)

        def crops(self, n, shape, rng):
            return data.crops(n, shape, rng)

    with pytest.raises(RecipeError, match=r"held_out = 0\.3 for images that know no structures"):
        train(_recipe(), tmp_path / "run", data=Images())
    assert not (tmp_path / "run").exists()
    outcome = train(_recipe(data={"held_out": 0.0}), tmp_path / "run", data=Images())
    assert outcome.status == "finished"
    assert not any("held" in key for line in read_log(tmp_path / "run") for key in line)


def test_thinned_crops_have_larger_pixels(data, tmp_path):
    recipe = _recipe(images=4, data={"stride": 2, "crop": 10, "flips": "both"})
    assert weights.load(train(recipe, tmp_path / "run", data=data).prior)[0].pixel_size == 0.4


def test_a_training_may_start_from_a_network(data, straight, tmp_path):
    prior = straight / "prior.safetensors"
    gentle = {"batch": 4, "half_life": 0, "rate": 1e-9}
    outcome = train(
        _recipe(images=4, start=str(prior), optimisation=gentle), tmp_path / "a", data=data
    )
    before, after = weights.load(prior)[0], weights.load(outcome.prior)[0]
    for old, new in zip(before.parameters(), after.parameters(), strict=True):
        torch.testing.assert_close(new, old, rtol=0, atol=1e-7)
    other = _recipe(
        start=str(prior), network={"type": "dncnn", "depth": 4, "width": 8, "norm": True}
    )
    with pytest.raises(RecipeError, match="a prior of depth 3"):
        train(other, tmp_path / "b", data=data)
    with pytest.raises(WeightsError, match="no prior 'absent'"):
        train(_recipe(start="absent"), tmp_path / "b", data=data)


# --- mistakes ------------------------------------------------------------------------------------


def test_crops_must_fit_into_the_images(data, tmp_path):
    with pytest.raises(RecipeError, match=r"crops of 32 × 32 .* from images of 24 × 40"):
        train(_recipe(data={"crop": 32}), tmp_path / "run", data=data)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("noise", {"label": "P"}, "a noise called 'P'"),
        ("noise", {"label": "none"}, "noise.label = 'none'"),
        ("noise", {"pooling": 0}, "noise.pooling = 0"),
        ("network", {"type": "vit"}, "network"),
        ("network", {"type": "unet", "depth": 3}, "unknown key network"),
        ("data", {"held_out": 1.0}, "data.held_out = 1.0"),
        ("optimisation", {"rate": 0.0}, "optimisation.rate"),
    ],
)
def test_wrong_settings_are_named(section, change, message):
    with pytest.raises((RecipeError, OptionError), match=message):
        _recipe(**{section: change})


def test_images_in_colour_are_refused(tmp_path):
    colour = SimpleNamespace(pixel_size=1.0, hash="c", shape=(24, 40), channels=3, shown=(0, 1))
    with pytest.raises(RecipeError, match="images of 3 channels"):
        train(_recipe(data={"held_out": 0.0}), tmp_path / "run", data=colour)


@pytest.mark.parametrize("name", ["unet-blind", "unet-p1"])
def test_recipes_of_the_project_are_whole(name):
    path = Path(__file__).parents[1] / "recipes" / f"{name}.toml"
    assert isinstance(load(path, TrainingRecipe), RegressionRecipe)
