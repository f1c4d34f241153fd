"""Training learns, survives being killed, and says what went wrong."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from runs import assert_same_runs, read_log
from safetensors.torch import load_file

from emprior import denoise, weights
from emprior.errors import FileError, OptionError, OutputError, RecipeError, WeightsError
from emprior.natural import open_images
from emprior.recipes import load
from emprior.training import AdversarialRecipe, TrainingRecipe, run_directory, train
from emprior.training.adversarial import Adversarial, Batch, settle
from emprior.training.crops import draw_crops
from emprior.training.interruption import Interruption

pytestmark = pytest.mark.usefixtures("single_thread")

RECIPES = Path(__file__).parents[1] / "recipes"


class Stripes:
    """Vertical stripes of period 8 pixels at any phase: one number tells an image."""

    pixel_size = 0.2
    channels, shape = 1, (24, 40)
    shown = (0.2, 0.7)
    hash = "stripes"

    def crops(self, n, shape, rng):
        phase = rng.uniform(0, 2 * np.pi, (n, 1, 1, 1))
        images = 0.45 + 0.1 * np.sin(2 * np.pi * np.arange(shape[1]) / 8 + phase)
        return SimpleNamespace(images=np.broadcast_to(images, (n, 1, *shape)).astype(np.float32))


def _recipe(images=160, **sections) -> AdversarialRecipe:
    values = {
        "kind": "adversarial",
        "seed": 5,
        "card": "Stripes. Not for crystals.",
        "data": {"path": "nowhere"},
        "generator": {"size": 16, "nz": 4, "ngf": 8},
        "discriminator": {"ndf": 8},
        "optimisation": {
            "batch": 16,
            "generator_rate": 1e-3,
            "discriminator_rate": 1e-3,
            "half_life": 1000,
        },
        "budget": {"images": images},
        "output": {"log": 1, "checkpoint": 4, "samples": 6},
    }
    for key, section in sections.items():
        both = isinstance(section, dict) and key in values
        values[key] = {**values[key], **section} if both else section
    recipe = TrainingRecipe.from_dict(values)
    assert isinstance(recipe, AdversarialRecipe)
    return recipe


def _trainer(**sections) -> Adversarial:
    recipe = _recipe(**sections)
    return Adversarial(recipe, Stripes(), torch.device("cpu"), np.random.default_rng(0))


def _real(n=16):
    rng = np.random.default_rng(1)
    return torch.from_numpy(draw_crops(Stripes(), _recipe().data, 16, n, rng))


def _batch(trainer, seed):
    return Batch(_real(), trainer.generator.sample_latent(16, np.random.default_rng(seed)))


def test_it_learns_stripes_of_every_phase(tmp_path):
    outcome = train(
        _recipe(images=6400, output={"checkpoint": 500, "samples": 500}),
        tmp_path / "run",
        data=Stripes(),
    )
    assert outcome.status == "finished"
    generator, _ = weights.load(outcome.prior)
    images = generator(generator.sample_latent(256, np.random.default_rng(0)))[:, 0].numpy()
    assert images.mean() == pytest.approx(0.45, abs=0.02)
    assert images.std() == pytest.approx(0.1 / np.sqrt(2), rel=0.15)
    spectrum = np.fft.rfft(images - images.mean((1, 2), keepdims=True), axis=2)
    power = (np.abs(spectrum) ** 2).sum((0, 1))
    assert power[2] / power.sum() > 0.9  # 16 pixels hold two periods
    phases = np.angle(spectrum.sum(1)[:, 2])
    assert abs(np.exp(1j * phases).mean()) < 0.5  # not one phase only: no mode collapse


def test_an_extended_budget_continues_to_the_same_bits(tmp_path):
    outcome = train(_recipe(), tmp_path / "straight", data=Stripes())
    assert (outcome.step, outcome.images) == (10, 160)
    train(_recipe(images=80), tmp_path / "extended", data=Stripes())
    outcome = train(_recipe(), tmp_path / "extended", data=Stripes(), resume=True)
    assert (outcome.status, outcome.step) == ("finished", 10)
    # What the end of the first budget wrote besides.
    (tmp_path / "extended" / "samples" / "000000005.png").unlink()
    assert_same_runs(tmp_path / "straight", tmp_path / "extended")


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("last", [1, 4, 7, 9])
def test_a_crash_between_checkpoints_loses_nothing(tmp_path, last):
    train(_recipe(), tmp_path / "straight", data=Stripes())

    def crash(share):
        if share >= last / 10:
            raise _KilledError

    with pytest.raises(_KilledError):
        train(_recipe(), tmp_path / "crashed", data=Stripes(), progress=crash)
    with (tmp_path / "crashed" / "log.jsonl").open("a") as log:
        log.write('{"step": 8, "ima')  # the torn line of a killed process
    (tmp_path / "crashed" / "checkpoints" / ".000000009.0a1b2c3d.safetensors").write_bytes(b"half")
    train(_recipe(), tmp_path / "crashed", data=Stripes(), resume=True)
    assert_same_runs(tmp_path / "straight", tmp_path / "crashed")


@pytest.mark.parametrize("left", ["", '{"step": 1, "ima'])
def test_a_run_killed_before_its_first_line_was_written_goes_on(tmp_path, left):
    for name in ("straight", "killed"):
        train(_recipe(), tmp_path / name, data=Stripes())
    for checkpoint in (tmp_path / "killed" / "checkpoints").iterdir():
        checkpoint.unlink()
    (tmp_path / "killed" / "log.jsonl").write_text(left)  # the prior was written before
    train(_recipe(), tmp_path / "killed", data=Stripes(), resume=True)
    assert_same_runs(tmp_path / "straight", tmp_path / "killed")


def test_a_run_killed_by_the_system_resumes_to_the_same_bits(tmp_path):
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import torch; torch.set_num_threads(1)\n"
        "from test_training import Stripes, _recipe\n"
        "from emprior.training import train\n"
        "train(_recipe(16 * 10**6, output={'checkpoint': 1}), sys.argv[1], data=Stripes())"
    )
    run = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", script, str(run)])
    try:
        log, deadline = run / "log.jsonl", time.monotonic() + 60
        while not (log.exists() and log.read_text().count("\n") >= 20):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    steps = len(read_log(run)) + 10
    recipe = _recipe(16 * steps, output={"checkpoint": 1})
    train(recipe, run, data=Stripes(), resume=True)
    train(recipe, tmp_path / "straight", data=Stripes())
    assert_same_runs(tmp_path / "straight", run)


def test_ctrl_c_waits_for_the_update(tmp_path):
    class Interrupting(Stripes):
        calls = 0

        def crops(self, n, shape, rng):
            Interrupting.calls += 1
            if Interrupting.calls == 7:
                os.kill(os.getpid(), signal.SIGINT)  # wherever the main thread is by now
            return super().crops(n, shape, rng)

    run, straight = tmp_path / "run", tmp_path / "straight"
    before = signal.getsignal(signal.SIGINT)
    outcome = train(_recipe(), run, data=Interrupting())
    assert outcome.status == "interrupted"
    assert 5 <= outcome.step <= 8
    assert "resume" in outcome.message
    assert (run / "checkpoints" / f"{outcome.step:09d}.safetensors").exists()
    assert signal.getsignal(signal.SIGINT) is before
    train(_recipe(), run, data=Stripes(), resume=True)
    train(_recipe(), straight, data=Stripes())
    assert_same_runs(straight, run)


def test_a_second_ctrl_c_does_not_wait(tmp_path, monkeypatch):
    heard, hear = threading.Event(), Interruption._hear

    def told(*args):
        hear(*args)
        heard.set()

    monkeypatch.setattr(Interruption, "_hear", told)

    class Impatient(Stripes):
        calls = 0

        def crops(self, n, shape, rng):
            Impatient.calls += 1
            if Impatient.calls == 7:
                os.kill(os.getpid(), signal.SIGINT)
                assert heard.wait(60)  # signals that come together are one
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.2)
            return super().crops(n, shape, rng)

    recipe = _recipe(output={"checkpoint": 2})
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "run", data=Impatient())
    # From the last checkpoint on, not from half an update.
    train(recipe, tmp_path / "run", data=Stripes(), resume=True)
    train(recipe, tmp_path / "straight", data=Stripes())
    assert_same_runs(tmp_path / "straight", tmp_path / "run")


def test_divergence_is_said_and_the_last_good_checkpoint_kept(tmp_path):
    class Poisoned(Stripes):
        calls = 0

        def crops(self, n, shape, rng):
            self.calls += 1
            crops = super().crops(n, shape, rng)
            return SimpleNamespace(images=crops.images * (np.nan if self.calls > 7 else 1))

    outcome = train(_recipe(), tmp_path / "run", data=Poisoned())
    assert outcome.status == "diverged"
    assert "update 7" in outcome.message  # the first call drew the picture of the data
    kept = tmp_path / "run" / "checkpoints" / "000000004.safetensors"
    assert kept.name in outcome.message
    assert all(torch.isfinite(value).all() for value in load_file(kept).values())
    assert not list((tmp_path / "run" / "checkpoints").glob("000000008*"))
    assert outcome.prior is not None
    weights.load(outcome.prior)


def test_the_minutes_of_a_budget_end_a_run(tmp_path):
    recipe = _recipe(images=10**9, budget={"minutes": 1e-3})
    outcome = train(recipe, tmp_path / "run", data=Stripes())
    assert outcome.status == "finished"
    assert outcome.seconds >= 0.06
    assert outcome.images < 10**6
    again = train(recipe, tmp_path / "run", data=Stripes(), resume=True)
    assert again.step == outcome.step  # the time before a stop counts


def test_minutes_that_are_asked_for_go_before_those_of_the_recipe(tmp_path):
    recipe = _recipe(images=10**9, budget={"minutes": 1e3})
    outcome = train(recipe, tmp_path / "run", minutes=1e-3, data=Stripes())
    assert outcome.status == "finished"
    assert 0.06 <= outcome.seconds < 60
    assert outcome.prior is not None
    assert weights.read_card(outcome.prior).recipe["budget"]["minutes"] == 1e-3
    with pytest.raises(RecipeError, match=r"--minutes: budget\.minutes = -1"):
        train(recipe, tmp_path / "other", minutes=-1, data=Stripes())
    assert not (tmp_path / "other").exists()


def test_what_a_run_writes(tmp_path):
    shares = []
    train(_recipe(), tmp_path / "run", data=Stripes(), progress=shares.append)
    assert shares == pytest.approx(np.arange(1, 11) / 10)
    run = tmp_path / "run"
    assert sorted(p.name for p in (run / "samples").iterdir()) == [
        "000000006.png",
        "000000010.png",
        "data.png",
    ]
    assert len(list((run / "checkpoints").iterdir())) == 2
    lines = read_log(run)
    assert [line["step"] for line in lines] == list(range(1, 11))
    assert [line["images"] for line in lines] == list(range(16, 161, 16))
    assert all(0 <= line["real"] <= 1 and 0 <= line["fake_after"] <= 1 for line in lines)
    recorded = json.loads((run / "recipe.json").read_text())
    assert recorded["optimisation"]["betas"] == [0.5, 0.999]  # defaults too
    _, card = weights.load(run / "prior.safetensors")
    assert (card.text, card.data, card.seed) == ("Stripes. Not for crystals.", "stripes", 5)
    assert card.recipe == _recipe().to_dict()
    assert card.images == 160


def test_priors_are_kept_where_the_recipe_says_so(tmp_path):
    train(_recipe(output={"keep_priors": True}), tmp_path / "run", data=Stripes())
    kept = sorted((tmp_path / "run" / "priors").iterdir())
    assert [path.name for path in kept] == ["000000006.safetensors", "000000010.safetensors"]
    cards = [weights.read_card(path) for path in kept]
    assert [card.images for card in cards] == [96, 160]
    last = load_file(kept[1])
    assert all(
        torch.equal(value, last[key])
        for key, value in load_file(tmp_path / "run" / "prior.safetensors").items()
    )
    first = load_file(kept[0])
    assert not torch.equal(first["layers.0.weight"], last["layers.0.weight"])


@pytest.mark.parametrize("checkpoints", ["kept", "deleted"])
def test_a_finished_run_is_left_as_it_is(tmp_path, checkpoints):
    run = tmp_path / "run"
    outcome = train(_recipe(), run, data=Stripes())
    if checkpoints == "deleted":
        shutil.rmtree(run / "checkpoints")
    # As a version wrote it that did not know one of today's settings.
    network, card = weights.load(run / "prior.safetensors")
    del card.recipe["data"]["type"]
    weights.save(run / "prior.safetensors", network, card)
    files = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    again = train(_recipe(), run, data=Stripes(), resume=True)
    assert (again.status, again.step, again.images) == ("finished", outcome.step, outcome.images)
    assert again.seconds == pytest.approx(outcome.seconds, abs=0.1)
    assert all(path.read_bytes() == before for path, before in files.items())


def test_runs_from_before_a_setting_existed_resume(tmp_path):
    train(_recipe(images=80), tmp_path / "run", data=Stripes())
    record = tmp_path / "run" / "recipe.json"
    values = json.loads(record.read_text())
    del values["data"]["type"], values["optimisation"]["discriminator_updates"]
    del values["conditions"], values["output"]["keep_priors"]
    record.write_text(json.dumps(values))
    assert train(_recipe(), tmp_path / "run", data=Stripes(), resume=True).step == 10


# --- other images than simulated ones ------------------------------------------------------------


@pytest.fixture
def pictures(rng, tmp_path):
    """A folder of pictures, (16, 24), in one colour each."""
    for i in range(5):
        colour = rng.integers(0, 256, 3).astype(np.uint8)
        file = tmp_path / "pictures" / f"{i}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(np.broadcast_to(colour, (16, 24, 3)).copy()).save(file)
    return tmp_path / "pictures"


@pytest.mark.parametrize("colour", [True, False])
def test_pictures_are_trained_on_in_colour_or_grey(pictures, tmp_path, colour):
    recipe = _recipe(data={"path": str(pictures), "type": "natural", "colour": colour})
    outcome = train(recipe, tmp_path / "run")
    prior, card = weights.load(outcome.prior)
    assert prior.channels == (3 if colour else 1)
    assert card.data == open_images(pictures, colour=colour).hash
    with pytest.raises(WeightsError, match="a network of natural images"):
        denoise(np.zeros((16, 24)), method="prior", prior=outcome.prior)
    for name in ("data", "000000010"):
        table = np.asarray(Image.open(tmp_path / "run" / "samples" / f"{name}.png"))
        assert table.ndim == (3 if colour else 2)
    data = np.asarray(Image.open(tmp_path / "run" / "samples" / "data.png"))
    shown = {tuple(pixel) for pixel in data.reshape(-1, 3).tolist()} if colour else set(data.flat)
    originals = open_images(pictures, colour=colour).values[:, :, 0, 0]
    assert shown - {(0, 0, 0), 0} <= {tuple(c) if colour else c[0] for c in originals.tolist()}


def test_movies_are_trained_on(rng, tmp_path):
    np.save(tmp_path / "movie.npy", rng.uniform(1, 9, (3, 20, 30)))
    data = {"path": str(tmp_path / "movie.npy"), "type": "movie"}
    with pytest.raises(OptionError, match="pixel size"):
        train(_recipe(data=data), tmp_path / "run")
    outcome = train(_recipe(data={**data, "pixel_size": 0.3}), tmp_path / "run")
    assert weights.load(outcome.prior)[0].pixel_size == 0.3


# --- the losses, rates and averages are those that the recipe names ------------------------------


def _by_hand(p_real, p_fake, label):
    return -(label * np.log(p_real) + (1 - label) * np.log(1 - p_real) + np.log(1 - p_fake)).mean()


@pytest.mark.parametrize("loss", ["logits", "sigmoid"])
@pytest.mark.parametrize("label", [0.9, 1.0])
def test_losses_are_the_papers_equation_3(loss, label):
    settings = {"loss": loss, "real_label": label}
    trainer, twin = _trainer(optimisation=settings), _trainer(optimisation=settings)
    figures = trainer.update(_batch(trainer, 2), 16, 0.0)
    with torch.no_grad():
        z = twin.generator.sample_latent(16, np.random.default_rng(2))
        p_real = twin.discriminator(_real()).sigmoid().numpy()
        p_fake = twin.discriminator(twin.generator(z)).sigmoid().numpy()
    assert figures["discriminator_loss"] == pytest.approx(_by_hand(p_real, p_fake, label), rel=1e-4)
    assert figures["real"] == pytest.approx(p_real.mean(), rel=1e-4)
    assert figures["fake_before"] == pytest.approx(p_fake.mean(), rel=1e-4)


@pytest.mark.parametrize(
    ("loss", "label", "of_real", "of_fake", "as_real"),
    [
        (
            "least-squares",
            0.9,
            lambda s: (s - 0.9) ** 2 / 2,
            lambda s: s**2 / 2,
            lambda s: (s - 1) ** 2 / 2,
        ),
        ("hinge", 1.0, lambda s: np.maximum(0, 1 - s), lambda s: np.maximum(0, 1 + s), np.negative),
    ],
)
def test_other_losses_are_those_of_their_papers(loss, label, of_real, of_fake, as_real):
    settings = {"loss": loss, "real_label": label}
    trainer, twin = _trainer(optimisation=settings), _trainer(optimisation=settings)
    figures = trainer.update(_batch(trainer, 2), 16, 0.0)
    with torch.no_grad():
        z = twin.generator.sample_latent(16, np.random.default_rng(2))
        on_real = twin.discriminator(_real()).numpy()
        on_fake = twin.discriminator(twin.generator(z)).numpy()
        after = trainer.discriminator(twin.generator(z)).numpy()
    assert figures["discriminator_loss"] == pytest.approx(
        of_real(on_real).mean() + of_fake(on_fake).mean(), rel=1e-4
    )
    assert figures["generator_loss"] == pytest.approx(as_real(after).mean(), rel=1e-3)
    assert figures["real"] == pytest.approx(on_real.mean(), rel=1e-4)


def test_every_loss_moves_the_weights_elsewhere():
    ends = set()
    for loss in ("logits", "least-squares", "hinge"):
        trainer = _trainer(optimisation={"loss": loss, "real_label": 1.0})
        for step in range(1, 4):
            trainer.update(_batch(trainer, step), 16 * step, 0.0)
        ends.add(next(trainer.generator.parameters()).detach().numpy().tobytes())
    assert len(ends) == 3


def test_the_generator_waits_for_its_turn():
    trainer = _trainer(optimisation={"discriminator_updates": 3})
    moved = []
    for step in range(1, 8):
        before = [
            next(network.parameters()).clone()
            for network in (trainer.generator, trainer.discriminator)
        ]
        trainer.update(_batch(trainer, step), 16 * step, 0.0)
        after = [next(n.parameters()) for n in (trainer.generator, trainer.discriminator)]
        moved.append([not torch.equal(x, y) for x, y in zip(before, after, strict=True)])
    assert [generator for generator, _ in moved] == [step % 3 == 0 for step in range(1, 8)]
    assert all(discriminator for _, discriminator in moved)


def test_each_network_has_its_own_learning_rate():
    trainer = _trainer(optimisation={"generator_rate": 1e-4, "discriminator_rate": 4e-4})
    networks = (trainer.generator, trainer.discriminator)
    before = [[p.clone() for p in network.parameters()] for network in networks]
    trainer.update(_batch(trainer, 2), 16, 0.0)
    for network, old, rate in zip(networks, before, (1e-4, 4e-4), strict=True):
        steps = [(p - q).abs().max().item() for p, q in zip(network.parameters(), old, strict=True)]
        # The first step of Adam is the learning rate for every weight that has a gradient.
        assert max(steps) == pytest.approx(rate, rel=0.01)


@pytest.mark.parametrize(("half_life", "rule"), [(0, lambda n: 0), (40, lambda n: min(40, n / 20))])
def test_the_average_has_the_half_life_of_the_recipe(half_life, rule):
    trainer = _trainer(optimisation={"half_life": half_life})
    expected = next(trainer.generator.parameters()).detach().double()
    for step in range(1, 8):
        seen = step * 200
        trainer.update(_batch(trainer, step), seen, 0.0)
        keep = 0.5 ** (16 / rule(seen)) if half_life else 0.0
        weight = next(trainer.generator.parameters()).detach().double()
        expected = keep * expected + (1 - keep) * weight
    average = next(trainer.average.parameters()).double()
    assert torch.allclose(average, expected, rtol=0, atol=1e-6)
    assert torch.equal(average.float(), next(trainer.generator.parameters())) == (half_life == 0)


def test_settled_statistics_are_those_of_the_prior():
    trainer = _trainer()
    generator = trainer.export(np.random.default_rng(0))
    assert not generator.training
    inputs = []
    norms = [m for m in generator.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    norms[-1].register_forward_hook(lambda module, args, out: inputs.append(args[0]))
    with torch.no_grad():
        generator(generator.sample_latent(2000, np.random.default_rng(1)))
    seen = inputs[0].transpose(0, 1).flatten(1)
    ratio = norms[-1].running_var / seen.var(1)
    assert torch.allclose(ratio, torch.ones_like(ratio), atol=0.1)
    # Without settling they are PyTorch's initial ones, far from the truth.
    assert (trainer.average.layers[-4].running_var / seen.var(1) > 2).all()
    assert all(norm.momentum == 0.1 for norm in norms)
    settle(generator, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("flips", "allowed"), [("none", {0}), ("horizontal", {0, 1}), ("both", {0, 1, 2, 3})]
)
def test_crops_are_thinned_and_mirrored_as_the_recipe_says(flips, allowed):
    ramp = np.add.outer(100 * np.arange(32), np.arange(32)).astype(np.float32)

    class Ramp(Stripes):
        def crops(self, n, shape, rng):
            assert shape == (32, 32)
            return SimpleNamespace(images=np.repeat(ramp[None, None], n, 0))

    recipe = _recipe(data={"stride": 2, "flips": flips})
    crops = draw_crops(Ramp(), recipe.data, 16, 200, np.random.default_rng(0))
    thin = ramp[::2, ::2]
    variants = [thin, thin[:, ::-1], thin[::-1], thin[::-1, ::-1]]
    kinds = [
        next(k for k, v in enumerate(variants) if np.array_equal(v, crop)) for crop in crops[:, 0]
    ]
    assert set(kinds) == allowed
    assert min(kinds.count(kind) for kind in allowed) > 25


def test_crops_are_raised_to_powers_as_the_recipe_says():
    two = np.full((16, 16), 0.5, np.float32)
    two[0] = -1e-4  # what a spline leaves beside columns

    class Two(Stripes):
        def crops(self, n, shape, rng):
            return SimpleNamespace(images=np.repeat(two[None, None], n, 0))

    recipe = _recipe(data={"gamma": [0.5, 2.0]})
    crops = draw_crops(Two(), recipe.data, 16, 400, np.random.default_rng(0))
    powers = np.log2(crops[:, 0, 1, 0]) / -1
    assert (crops[:, 0, 0] == 0).all()
    assert (crops[:, 0, 1:] == crops[:, 0, 1:2, :1]).all()
    assert 0.5 <= powers.min() < 0.52
    assert 1.9 < powers.max() <= 2.0
    assert np.median(powers) == pytest.approx(1.0, abs=0.1)


# --- mistakes ------------------------------------------------------------------------------------


def test_a_folder_in_use_is_not_overwritten(tmp_path):
    train(_recipe(), tmp_path / "run", data=Stripes())
    before = (tmp_path / "run" / "log.jsonl").read_text()
    with pytest.raises(OutputError, match="--resume"):
        train(_recipe(), tmp_path / "run", data=Stripes())
    assert (tmp_path / "run" / "log.jsonl").read_text() == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(OutputError, match="holds no training run"):
        train(_recipe(), tmp_path / "mine", data=Stripes(), resume=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is a file"):
        train(_recipe(), tmp_path / "file", data=Stripes())
    with pytest.raises(OutputError, match="cannot be made"):
        train(_recipe(), tmp_path / "file" / "run", data=Stripes())


def test_a_run_resumes_only_with_its_own_recipe_and_data(tmp_path):
    train(_recipe(), tmp_path / "run", data=Stripes())
    changed = _recipe(optimisation={"real_label": 1.0})
    with pytest.raises(RecipeError, match="optimisation"):
        train(changed, tmp_path / "run", data=Stripes(), resume=True)
    other = Stripes()
    other.hash = "other"
    with pytest.raises(RecipeError, match="data_hash"):
        train(_recipe(), tmp_path / "run", data=other, resume=True)
    outcome = train(_recipe(images=176), tmp_path / "run", data=Stripes(), resume=True)
    assert outcome.step == 11


@pytest.mark.parametrize("damage", ["truncated", "foreign", "of another network"])
def test_a_damaged_checkpoint_is_an_error(tmp_path, damage):
    train(_recipe(), tmp_path / "run", data=Stripes())
    newest = tmp_path / "run" / "checkpoints" / "000000010.safetensors"
    if damage == "truncated":
        newest.write_bytes(newest.read_bytes()[:-100])
    elif damage == "foreign":
        newest.write_bytes((tmp_path / "run" / "prior.safetensors").read_bytes())
    else:
        train(_recipe(generator={"ngf": 9}), tmp_path / "wide", data=Stripes())
        newest.write_bytes((tmp_path / "wide" / "checkpoints" / newest.name).read_bytes())
    with pytest.raises(FileError, match="remove that file"):
        train(_recipe(images=176), tmp_path / "run", data=Stripes(), resume=True)
    newest.unlink()  # the advice holds
    assert train(_recipe(images=176), tmp_path / "run", data=Stripes(), resume=True).step == 11


def test_crops_must_fit_into_the_images(tmp_path):
    with pytest.raises(RecipeError, match=r"crops of 32 × 32 .* images of 24 × 40"):
        train(_recipe(data={"stride": 2}), tmp_path / "run", data=Stripes())
    assert not (tmp_path / "run").exists()


def test_a_missing_data_set_or_device_is_said_before_anything_is_written(tmp_path):
    with pytest.raises(FileError):
        train(_recipe(data={"path": str(tmp_path / "absent")}), tmp_path / "run")
    with pytest.raises(OptionError, match="device 'tpu'"):
        train(_recipe(), tmp_path / "run", data=Stripes(), device="tpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"generator": {"size": 48}}, "generator.size = 48"),
        ({"optimisation": {"real_label": 1.1}}, "optimisation.real_label = 1.1"),
        ({"optimisation": {"betas": [0.5, 1.0]}}, "optimisation.betas.1 = 1.0"),
        ({"optimisation": {"generater_rate": 1e-3}}, "did you mean 'generator_rate'"),
        ({"data": {"flips": "diagonal"}}, "data.flips = 'diagonal'"),
        ({"data": {"type": "film"}}, "data = .*\n.*'simulated', 'natural', 'movie'"),
        (
            {"data": {"colour": True}},
            "unknown key data.colour.*\n.*path, stride, flips, gamma, type\n",
        ),
        ({"data": {"gamma": [2.0, 0.5]}}, "data.gamma"),
        ({"data": {"type": "natural", "color": True}}, "did you mean 'colour'"),
        ({"optimisation": {"loss": "hinge"}}, "real_label = 0.9 with loss = 'hinge'"),
        ({"optimisation": {"loss": "wasserstein"}}, "loss = 'wasserstein'"),
        ({"optimisation": {"discriminator_updates": 0}}, "discriminator_updates = 0"),
        ({"conditions": {"names": ["dose"]}}, "names.0 = 'dose'"),
        ({"conditions": {"names": ["tilt", "tilt"]}}, "names = \\['tilt', 'tilt'\\]"),
        ({"budget": {"minutes": 0}}, "budget.minutes = 0"),
        ({"kind": "diffusion"}, "kind = 'diffusion'.*\n.*'adversarial', 'columns'"),
    ],
)
def test_mistakes_in_recipes_are_named(sections, message):
    with pytest.raises(RecipeError, match=message):
        _recipe(**sections)


@pytest.mark.parametrize("name", ["gan", "laptop", "columns", "cifar"])
def test_recipes_of_the_project_are_valid(name):
    recipe = load(RECIPES / f"{name}.toml", TrainingRecipe)
    assert "not" in recipe.card.lower()  # says what the prior must not be used for


def test_bare_names_are_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("EMPRIOR_RUNS", str(tmp_path))
    assert run_directory("first") == tmp_path / "first"
    assert run_directory("runs/first") == Path("runs/first")
    assert run_directory("./first") == Path("first")
    assert run_directory("/data/first") == Path("/data/first")
    monkeypatch.delenv("EMPRIOR_RUNS")
    assert run_directory("first") == Path.home() / ".cache/emprior/runs/first"
