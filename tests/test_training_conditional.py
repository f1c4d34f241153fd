"""Training with conditions: the generator obeys those that the discriminator is told."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from runs import assert_same_runs
from small_dataset import write_dataset

from emprior import weights
from emprior.datasets import Dataset
from emprior.errors import OptionError, RecipeError
from emprior.generators import ConditionalDCGAN, ConditionalDiscriminator, Discriminator
from emprior.training import TrainingRecipe, train
from emprior.training.adversarial import Adversarial
from emprior.training.adversarial_recipe import Conditioning
from emprior.training.conditions import Conditions
from emprior.training.crops import draw
from emprior.training.data_recipe import CropData

pytestmark = pytest.mark.usefixtures("single_thread")


class Grating:
    """Stripes of any phase, as bright as the defocus is large; the thickness does nothing."""

    pixel_size, channels, shape = 0.2, 1, (24, 40)
    shown = (0.2, 0.7)
    hash = "grating"

    def __init__(self):
        rng = np.random.default_rng(0)
        self.values = {"defocus": rng.uniform(0, 200, 300), "thickness": rng.uniform(40, 80, 300)}

    def condition(self, name):
        return self.values[name]

    def crops(self, n, shape, rng):
        index = rng.integers(300, size=n)
        phase = rng.uniform(0, 2 * np.pi, (n, 1))
        bright = 0.25 + 0.4 * self.values["defocus"][index, None] / 200
        rows = bright + 0.1 * np.sin(2 * np.pi * np.arange(shape[1]) / 8 + phase)
        images = np.broadcast_to(rows[:, None, None], (n, 1, *shape)).astype(np.float32)
        return SimpleNamespace(images=images, index=index)


def _recipe(images=160, **sections):
    rates = {"batch": 16, "generator_rate": 1e-3, "discriminator_rate": 1e-3, "half_life": 1000}
    values = {
        "kind": "adversarial",
        "data": {"path": "nowhere"},
        "generator": {"size": 16, "nz": 4, "ngf": 8},
        "discriminator": {"ndf": 8},
        "conditions": {"names": ["defocus", "thickness"]},
        "optimisation": rates,
        "budget": {"images": images},
        "output": {"log": 1, "checkpoint": 4, "samples": 6},
    }
    return TrainingRecipe.from_dict({**values, **sections})


def test_the_generator_obeys_what_the_discriminator_is_told(tmp_path):
    recipe = _recipe(images=3200, output={"checkpoint": 600, "samples": 600})
    prior, _ = weights.load(train(recipe, tmp_path / "run", data=Grating()).prior)
    assert isinstance(prior, ConditionalDCGAN)
    assert prior.names == ("defocus", "thickness")
    rng = np.random.default_rng(0)
    z = prior.sample_latent(200, rng)
    wanted = np.stack([rng.uniform(0, 200, 200), rng.uniform(40, 80, 200)], 1)
    images = prior(prior.given(z, torch.from_numpy(wanted)))[:, 0].numpy()
    bright = images.mean((1, 2))
    assert np.corrcoef(bright, wanted[:, 0])[0, 1] > 0.9
    assert np.polyfit(wanted[:, 0], bright, 1)[0] == pytest.approx(0.4 / 200, rel=0.3)
    assert abs(np.corrcoef(bright, wanted[:, 1])[0, 1]) < 0.4


@pytest.mark.parametrize("told", [True, False])
def test_conditional_runs_resume_to_the_same_bits(tmp_path, told):
    changes = {"conditions": {"names": ["defocus"], "told": told}}
    train(_recipe(**changes), tmp_path / "straight", data=Grating())
    train(_recipe(images=80, **changes), tmp_path / "resumed", data=Grating())
    outcome = train(_recipe(**changes), tmp_path / "resumed", data=Grating(), resume=True)
    (tmp_path / "resumed" / "samples" / "000000005.png").unlink()
    assert_same_runs(tmp_path / "straight", tmp_path / "resumed")
    prior, card = weights.load(outcome.prior)
    assert (prior.latent_dim, card.recipe["conditions"]["told"]) == (5, told)
    again = _recipe(**changes, start=str(outcome.prior))
    assert train(again, tmp_path / "continued", data=Grating()).status == "finished"


def test_untold_conditions_leave_the_discriminator_plain():
    for told, kind in ((True, ConditionalDiscriminator), (False, Discriminator)):
        recipe = _recipe(conditions={"names": ["defocus"], "told": told})
        trainer = Adversarial(recipe, Grating(), torch.device("cpu"), np.random.default_rng(0))
        assert type(trainer.discriminator) is kind
        assert isinstance(trainer.generator, ConditionalDCGAN)


@pytest.fixture
def data(rng, tmp_path):
    images = [rng.uniform(0.2, 0.9, (2, 32, 40)).astype(np.float32) for _ in range(4)]
    return Dataset.open(write_dataset(tmp_path / "set", images, pixel_size=0.5))


def test_data_sets_tell_their_conditions(data):
    # All images of this set are alike, see small_dataset.
    for i in range(len(data)):
        tilt = data.tilt(i)
        assert data.condition("defocus")[i] == data.optics(i).defocus
        assert data.condition("thickness")[i] == data.structure(data.structure_id(i)).thickness
        assert (data.condition("tilt_columns")[i], data.condition("tilt_rows")[i]) == tilt
    with pytest.raises(OptionError, match="the condition 'dose'"):
        data.condition("dose")
    with pytest.raises(OptionError, match="'defocus', which is 60 Å throughout"):
        Adversarial(_recipe(), data, torch.device("cpu"), np.random.default_rng(0))


def test_mirrored_crops_have_mirrored_tilts():
    class Tilted(Grating):
        """Each image is a ramp along its tilt."""

        def __init__(self):
            rng = np.random.default_rng(0)
            self.values = {k: rng.normal(0, 0.03, 50) for k in ("tilt_columns", "tilt_rows")}

        def crops(self, n, shape, rng):
            index = rng.integers(50, size=n)
            along = [self.values[k][index, None, None, None] for k in ("tilt_rows", "tilt_columns")]
            rows, columns = np.indices(shape)
            images = along[0] * (rows - 7.5) + along[1] * (columns - 7.5)
            return SimpleNamespace(images=images.astype(np.float32), index=index)

    crops, data = CropData(path="", flips="both"), Tilted()
    conditions = Conditions(Conditioning(names=("tilt",)), data, crops)
    assert conditions.names == ["tilt_columns", "tilt_rows"]
    drawn = draw(data, crops, 16, 40, np.random.default_rng(1))
    told = conditions.of(drawn)
    slope = [np.diff(drawn.images, axis=axis).mean((1, 2, 3)) for axis in (3, 2)]
    np.testing.assert_allclose(told, np.stack(slope, 1), atol=1e-6)
    assert set(map(tuple, drawn.mirrored.tolist())) == {(a, b) for a in (0, 1) for b in (0, 1)}
    every = {tuple(row) for row in conditions.all().tolist()}
    assert {tuple(row) for row in told.tolist()} <= every


def test_images_without_conditions_are_refused(tmp_path):
    class Bare:
        pixel_size, channels, shape, shown, hash = 0.2, 1, (24, 40), (0, 1), "bare"
        crops = Grating.crops

    with pytest.raises(RecipeError, match=r"conditions defocus, thickness of nowhere"):
        train(_recipe(), tmp_path / "run", data=Bare())
    assert not (tmp_path / "run").exists()
