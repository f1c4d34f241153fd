"""Feature networks tell images and their defects apart, without labels."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from runs import assert_same_runs, read_log
from scipy import ndimage

from emprior import weights
from emprior.device import one_thread
from emprior.diversity import embed
from emprior.errors import ImageError, OptionError, RecipeError
from emprior.features import FeatureNet
from emprior.recipes import load
from emprior.stacks import Stack
from emprior.training import FeaturesRecipe, TrainingRecipe, train
from emprior.training.features import Features, contrast, defective, views

pytestmark = pytest.mark.usefixtures("single_thread")


def data():
    images, _ = gratings(300, (24, 30), np.random.default_rng(8))
    return Stack(images, (0.0, 1.0), 0.2, "gratings")


def gratings(n, shape, rng):
    """Gratings across or along, of any phase: two classes."""
    across = rng.random(n) < 0.5
    y, x = np.meshgrid(*(np.arange(k) for k in shape), indexing="ij")
    phase = rng.uniform(0, 2 * np.pi, (n, 1, 1))
    along = np.where(across[:, None, None], y, x)
    images = 0.45 + 0.1 * np.sin(2 * np.pi * along / 8 + phase)
    return images[:, None].astype(np.float32), across


def _recipe(images=640, **sections):
    values = {
        "kind": "features",
        "seed": 4,
        "held_out": 0.2,
        "data": {"path": "nowhere"},
        "network": {"size": 24, "dimension": 6, "width": 4},
        "optimisation": {"batch": 16, "rate": 4e-3, "half_life": 500, "flat": 1.0},
        "budget": {"images": images},
        "output": {"log": 1, "checkpoint": 20, "samples": 1000, "validate_every": 20},
    }
    for key, section in sections.items():
        values[key] = {**values[key], **section} if isinstance(section, dict) else section
    recipe = TrainingRecipe.from_dict(values)
    assert isinstance(recipe, FeaturesRecipe)
    return recipe


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = tmp_path_factory.mktemp("features") / "run"
    with one_thread():
        outcome = train(_recipe(images=3200), run, data=data())
    return weights.load(outcome.prior)[0], read_log(run)


def test_partners_are_found_better_and_better(trained):
    network, log = trained
    assert isinstance(network, FeatureNet)
    found = [line["partners_found"] for line in log]
    assert np.mean(found[-20:]) > 1.2 * np.mean(found[:5])
    assert np.mean([line["loss"] for line in log[-20:]]) < 0.6 * log[0]["loss"]


def test_held_out_images_are_told_apart_too(trained):
    _, log = trained
    judged = [line for line in log if "held_out_loss" in line]
    assert [line["step"] for line in judged] == [*range(20, 201, 20)]
    assert judged[-1]["held_out_loss"] < 0.8 * judged[0]["held_out_loss"]
    assert judged[-1]["held_out_partners_found"] > judged[0]["held_out_partners_found"]


def test_held_out_images_are_not_trained_on():
    levels = np.ones((10, 1, 24, 30), np.float32) * np.arange(10)[:, None, None, None] / 10
    stack = Stack(levels, (0.0, 1.0), 0.2, "levels")
    trainer = Features(_recipe(), stack, torch.device("cpu"), np.random.default_rng(1))
    rng = np.random.default_rng(2)
    plain = torch.cat([trainer.draw(rng)[:32].flatten(1).mean(1) for _ in range(10)])
    assert len(set((10 * plain).round().int().tolist())) == 8


def test_what_cannot_be_held_out_is_explained(tmp_path):
    class Images:
        pixel_size, hash, shape, channels, shown = 0.2, "any", (24, 30), 1, (0.0, 1.0)
        crops = staticmethod(data().crops)

    with pytest.raises(RecipeError, match=r"held_out = 0\.2 for images that cannot"):
        train(_recipe(16), tmp_path / "run", data=Images())
    with pytest.raises(OptionError, match="a split of 1 image at"):
        train(_recipe(16), tmp_path / "run", data=data().subset([0]))
    train(_recipe(16, held_out=0.0), tmp_path / "run", data=Images())
    assert not any("held_out_loss" in line for line in read_log(tmp_path / "run"))


def spoilt(images, rng):
    """Images with each of the defects."""
    parts = images.reshape(len(images), 1, 4, 6, 4, 6).transpose(0, 1, 2, 4, 3, 5)
    parts = parts.reshape(len(images), 1, 16, 6, 6)[:, :, rng.permutation(16)]
    shuffled = parts.reshape(len(images), 1, 4, 4, 6, 6).transpose(0, 1, 2, 4, 3, 5)
    return {
        "blurred": ndimage.gaussian_filter(images, (0, 0, 1.5, 1.5), mode="wrap"),
        "noisy": images + 0.06 * rng.standard_normal(images.shape).astype(np.float32),
        "fainter": 0.45 + 0.5 * (images - 0.45),
        "shuffled": shuffled.reshape(images.shape),
    }


def separation(a, b):
    """Share of vectors that are nearer to the mean of their own set than to that of the other."""
    means = a.mean(0), b.mean(0)
    nearer = [
        np.linalg.norm(s - own, axis=1) < np.linalg.norm(s - other, axis=1)
        for s, own, other in ((a, *means), (b, *means[::-1]))
    ]
    return np.concatenate(nearer).mean()


def test_features_tell_classes_and_defects_apart(trained, rng):
    network, _ = trained
    images, across = gratings(300, (24, 24), rng)
    plain = embed(network, images)
    halves = separation(plain[::2], plain[1::2])
    assert halves < 0.65  # of one kind
    assert separation(plain[across], plain[~across]) > 0.95
    for name, worse in spoilt(images, rng).items():
        assert separation(plain, embed(network, worse)) > 0.9, name


def test_an_untrained_twin_does_not(tmp_path, rng):
    outcome = train(_recipe(16, optimisation={"rate": 1e-9}), tmp_path / "run", data=data())
    network, _ = weights.load(outcome.prior)
    images, across = gratings(300, (24, 24), rng)
    plain = embed(network, images)
    assert separation(plain[across], plain[~across]) < 0.7
    for name, worse in spoilt(images, rng).items():
        assert separation(plain, embed(network, worse)) < 0.8, name


def test_an_interrupted_training_goes_on_to_the_same_bits(tmp_path):
    outcome = train(_recipe(), tmp_path / "straight", data=data())
    assert (outcome.status, outcome.step) == ("finished", 40)
    train(_recipe(images=320), tmp_path / "extended", data=data())
    train(_recipe(), tmp_path / "extended", data=data(), resume=True)
    (tmp_path / "extended" / "samples" / "000000020.png").unlink()  # of the first budget's end
    assert_same_runs(tmp_path / "straight", tmp_path / "extended")


def test_pictures_in_colour_are_learnt_from(tmp_path, rng):
    for i in range(4):
        colours = rng.integers(0, 256, (20, 26, 3)).astype(np.uint8)
        (tmp_path / "pictures").mkdir(exist_ok=True)
        Image.fromarray(colours).save(tmp_path / "pictures" / f"{i}.png")
    data = {"path": str(tmp_path / "pictures"), "type": "natural", "colour": True}
    outcome = train(_recipe(images=32, data=data, network={"size": 16}), tmp_path / "run")
    network, _ = weights.load(outcome.prior)
    assert network.channels == 3
    assert embed(network, rng.random((5, 3, 16, 18))).shape == (5, 6)
    with pytest.raises(ImageError, match=r"\(n, 3, H, W\)"):
        embed(network, rng.random((5, 16, 18)))


def test_views_are_windows_of_one_image_in_pairs():
    y, x = np.meshgrid(np.arange(24.0), np.arange(32.0), indexing="ij")
    ramps = torch.from_numpy(np.stack([i * 1000 + 32 * y + x for i in range(5)]))[:, None]
    found = views(ramps, np.random.default_rng(0))
    assert found.shape == (20, 1, 21, 28)
    for i in range(5):
        for window in found[2 * i : 2 * i + 2, 0]:
            corner = int(window[0, 0])
            assert corner // 1000 == i
            row, column = divmod(corner - 1000 * i, 32)
            assert torch.equal(window, ramps[i, 0, row : row + 21, column : column + 28])
    assert len({int(v) for v in found[:10, 0, 0, 0]}) > 6


def test_defects_are_alike_in_partners_and_change_every_image(rng):
    images = torch.from_numpy(gratings(40, (24, 28), rng)[0])
    twins = images.repeat_interleave(2, dim=0)
    found = defective(twins, np.random.default_rng(1))
    assert found.shape == twins.shape
    assert ((found - twins).abs().amax((1, 2, 3)) > 1e-3).all()
    ratio = found.std((1, 2, 3)) / twins.std((1, 2, 3))
    assert torch.allclose(ratio[::2], ratio[1::2], rtol=0.15)
    blurred = (ratio < 0.99) & ((found[:, :, 1:] - found[:, :, :-1]).std((1, 2, 3)) > 0)
    assert blurred.any()
    assert (ratio > 1.01).any()


def test_the_loss_is_the_cross_entropy_of_finding_the_partner():
    f = torch.tensor([[0.0, 0.0], [0.1, 0.0], [1.0, 1.0], [1.0, 1.3]])
    loss, found = contrast(f)
    expected = []
    for i, partner in enumerate((1, 0, 3, 2)):
        weight = [
            0 if j == i else math.exp(-(math.dist(f[i], f[j]) ** 2) / (2 * 0.1 * 2))
            for j in range(4)
        ]
        expected.append(-math.log(weight[partner] / sum(weight)))
    assert loss.item() == pytest.approx(np.mean(expected), rel=1e-4)
    assert found == 1


def test_bad_settings_are_explained(tmp_path):
    with pytest.raises(RecipeError, match=r"network\.size 30"):
        train(_recipe(network={"size": 30}), tmp_path / "run", data=data())
    with pytest.raises(RecipeError, match="dimension"):
        _recipe(network={"dimension": 65})
    for wrong in ({"dimension": 65}, {"dimension": True}, {"width": 0}):
        with pytest.raises(OptionError, match=next(iter(wrong))):
            FeatureNet(**{"dimension": 4, "width": 2, "pixel_size": 0.2, **wrong})
    network = FeatureNet(dimension=4, width=2, pixel_size=0.2).eval()
    with pytest.raises(ImageError, match="8 × 20"):
        network(torch.zeros(2, 1, 8, 20))


def test_the_recipe_of_the_project_is_valid():
    from pathlib import Path

    recipe = load(Path(__file__).parents[1] / "recipes" / "features.toml", TrainingRecipe)
    assert isinstance(recipe, FeaturesRecipe)
