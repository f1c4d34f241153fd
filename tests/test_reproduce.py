"""The frame of the experiments: scales, books, the workshop, and what the command says.

The experiments themselves take minutes and are run by `make smoke`.
"""

import json
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from emprior import records
from emprior.cli import app
from emprior.errors import FileError, OptionError, OutputError
from emprior.reproduce import EXPERIMENTS, SCALES, choose, load_scale, run
from emprior.reproduce.book import Book
from emprior.reproduce.judging import Judge
from emprior.reproduce.searching import curve, decibels, found
from emprior.reproduce.workshop import Workshop
from emprior.views import Description, Table

THING = Description(
    name="thing",
    title="A thing",
    part="Section 0",
    text="Tried.",
    views=(Table(what="size", title="Sizes", row="object", columns={"metres": "m"}),),
)


def _book(directory, said=None):
    say = (lambda line: None) if said is None else said.append
    return Book(directory / "thing", THING, 0, {"scale": "smoke", "seed": 1}, say)


# ------------------------------------------------------------------------------------------ scales


@pytest.mark.parametrize("name", SCALES)
def test_every_scale_is_whole(name):
    scale = load_scale(name)
    assert type(scale).from_dict(json.loads(json.dumps(scale.to_dict()))) == scale
    seeds = [getattr(scale.data, part).seed for part in ("train", "validation", "test")]
    assert len(set(seeds)) == 3  # of different seeds no structure is shared
    # At least ten images for each feature, and structures enough to average over.
    assert scale.diversity.samples >= 10 * scale.diversity.dimension
    tested = sum(group.structures for group in scale.data.test.group)
    assert tested >= scale.board.images
    if name != "smoke":
        assert scale.board.images >= 20
        assert scale.ablation.seeds >= 3
        assert scale.latent.nz == (50, 100, 150)


def test_the_exam_of_other_work_is_not_trained_on(request):
    folder = request.config.rootpath / "recipes"
    if not folder.exists():
        pytest.skip("the recipes lie in a checkout only")
    from emprior.recipes import load
    from emprior.simulate.recipe import Simulation

    exams = {load(folder / f"{name}.toml", Simulation).seed for name in ("test", "validation")}
    for name in SCALES:
        assert load_scale(name).data.train.seed not in exams


def test_an_unknown_scale_or_experiment_is_refused():
    with pytest.raises(OptionError, match="scale 'laptop'"):
        load_scale("laptop")
    with pytest.raises(OptionError, match="try 'ttur'"):
        choose(["ttru"])


def test_experiments_run_in_the_order_of_the_paper():
    assert [e.name for e in choose(["figure-13", "data"])] == ["data", "figure-13"]
    assert [e.name for e in choose(["all"])] == list(EXPERIMENTS)
    assert all(name == experiment.name for name, experiment in EXPERIMENTS.items())


# ------------------------------------------------------------------------------------------- books


def test_what_is_recorded_is_not_measured_again(tmp_path):
    calls = []

    def measure():
        calls.append(1)
        return {"metres": 3.0}

    first = _book(tmp_path).once("size", {"object": "box"}, measure, images=7)
    again = _book(tmp_path).once("size", {"object": "box"}, measure)
    assert first == again
    assert len(calls) == 1
    assert (first["images_seen"], first["scale"], first["seed"]) == (7, "smoke", 1)
    _book(tmp_path).once("size", {"object": "sphere"}, measure)
    assert len(records.read(tmp_path / "thing" / records.RECORDS)) == len(calls) == 2


def test_a_measurement_that_fails_leaves_no_record(tmp_path):
    def fail():
        raise FileError("none", expected="one", why="so", fix="do")

    book = _book(tmp_path)
    with pytest.raises(FileError):
        book.once("size", {"object": "box"}, fail)
    assert not (tmp_path / "thing" / records.RECORDS).exists()


def test_pictures_are_recorded_in_their_grey_scale(tmp_path):
    image = np.array([[0.2, 0.45, 0.7], [-1.0, 2.0, 0.45]])
    _book(tmp_path).picture("shown", {"row": "a", "column": "b"}, image, (0.2, 0.7))
    (record,) = records.read(tmp_path / "thing" / records.RECORDS)
    with Image.open(tmp_path / "thing" / record["file"]) as picture:
        pixels = np.asarray(picture)
    assert pixels.tolist() == [[0, 128, 255], [0, 255, 128]]
    assert (record["black"], record["white"]) == (0.2, 0.7)


# ------------------------------------------------------------------------------------- runs of all


def test_a_directory_of_another_scale_is_refused(tmp_path):
    run(["architectures"], tmp_path, load_scale("smoke"), scale_name="smoke")
    with pytest.raises(OutputError, match="other settings"):
        run(["architectures"], tmp_path, load_scale("cpu"), scale_name="cpu")


def test_the_paper_s_parameters_are_counted(tmp_path):
    outcome = run(["architectures"], tmp_path, load_scale("smoke"), scale_name="smoke")
    assert outcome.finished == ("architectures",)
    found = records.read(tmp_path / "architectures" / records.RECORDS)
    counts = {r["network"]: r["ours"] for r in found if r["what"] == "parameters"}
    assert round(counts["generator"] / 1e6, 1) == 12.1
    assert counts["colour generator"] == 3_576_704
    assert counts["colour discriminator"] == 2_765_568
    layers = [r for r in found if r["what"] == "generator"]
    assert sum(r["parameters"] for r in layers) == counts["generator"]
    assert layers[-1]["output"] == "1 × 512 × 512"
    assert (tmp_path / "architectures" / "table.md").exists()


def test_absent_files_are_named_and_do_not_stop_the_others(tmp_path):
    names = ["natural", "figure-14", "architectures"]
    outcome = run(names, tmp_path, load_scale("smoke"), scale_name="smoke")
    assert outcome.finished == ("architectures",)
    assert set(outcome.failed) == {"natural", "figure-14"}
    said = str(outcome.failed["natural"])
    assert "cifar-100-binary.tar.gz" in said
    assert "03b5dce01913d631647c71ecec9e9cb8" in said
    assert "https://www.cs.toronto.edu" in said
    assert "--video" in str(outcome.failed["figure-14"])


def _smoke(names, directory, **options):
    return run(names, directory, load_scale("smoke"), scale_name="smoke", **options)


def test_damaged_records_do_not_stop_the_others(tmp_path):
    (tmp_path / "natural").mkdir()
    (tmp_path / "natural" / records.RECORDS).write_text("{\n")
    outcome = _smoke(["natural", "architectures"], tmp_path)
    assert outcome.finished == ("architectures",)
    assert "records.jsonl, line 1" in str(outcome.failed["natural"])


def test_what_cannot_be_drawn_does_not_stop_the_others(tmp_path):
    (tmp_path / "architectures").mkdir()
    # A record of this kind names its network.
    records.append(tmp_path / "architectures" / records.RECORDS, {"what": "parameters", "ours": 1})
    outcome = _smoke(["architectures", "natural"], tmp_path)
    assert set(outcome.failed) == {"architectures", "natural"}
    assert "cannot be shown" in str(outcome.failed["architectures"])


@pytest.mark.parametrize("option", ["natural_images", "video"])
def test_a_file_that_is_named_must_exist(tmp_path, option):
    with pytest.raises(FileError, match="does not exist"):
        _smoke(["architectures"], tmp_path, **{option: tmp_path / "absent.zip"})


def test_records_of_one_file_are_not_shown_as_those_of_another(tmp_path):
    for name in ("one.npy", "other.npy"):
        np.save(tmp_path / name, np.zeros((2, 3, 4)))
    _smoke(["architectures"], tmp_path / "out", video=tmp_path / "one.npy")
    assert _smoke(["architectures"], tmp_path / "out").finished  # it need not be named again
    with pytest.raises(OutputError, match=r"begun with one\.npy"):
        _smoke(["architectures"], tmp_path / "out", video=tmp_path / "other.npy")


@pytest.mark.parametrize("text", ["{", "[]"])
def test_damaged_settings_are_named(tmp_path, text):
    (tmp_path / "reproduction.json").write_text(text)
    with pytest.raises(FileError, match=r"reproduction\.json"):
        _smoke(["architectures"], tmp_path)


def test_an_unknown_device_is_refused_before_any_work(tmp_path):
    with pytest.raises(OptionError, match="device 'abacus'"):
        _smoke(["architectures"], tmp_path / "out", device="abacus")
    assert not (tmp_path / "out").exists()


def test_distances_are_to_as_many_images_as_the_other_marks(rng):
    class Flat(torch.nn.Module):
        num_features = 12

        def forward(self, images):
            return images.flatten(1)

    class Network:
        def network(self):
            return Flat()

    real = rng.random((20, 1, 3, 4)).astype(np.float32)
    judge = Judge(Network(), real)
    ours = rng.random((5, 1, 3, 4)).astype(np.float32)
    distance, nearest = judge.nearest(ours)
    brute = np.linalg.norm((ours[:, None] - real[None, :10]).reshape(5, 10, -1), axis=2)
    assert distance == pytest.approx(brute.min(1), rel=1e-5)
    assert nearest == pytest.approx(real[brute.argmin(1)])


def test_the_command_lists_experiments_and_says_what_it_lacks(tmp_path):
    listed = CliRunner().invoke(app, ["reproduce", "--list"])
    assert listed.exit_code == 0
    assert all(name in listed.output for name in EXPERIMENTS)
    arguments = ["reproduce", "natural", "--scale", "smoke", "-o", str(tmp_path / "out")]
    failed = CliRunner().invoke(app, arguments)
    assert failed.exit_code == 2
    assert "no natural images" in failed.output
    assert "0 of 1 experiments" in failed.output


# ------------------------------------------------------------------------------------ measurements


def test_streams_depend_on_their_purpose_alone(tmp_path):
    def shop(directory):
        return Workshop(
            directory,
            load_scale("smoke"),
            device="cpu",
            natural=None,
            video=None,
            bar=lambda task: nullcontext(lambda share: None),
        )

    one, other = shop(tmp_path / "a"), shop(tmp_path / "b")
    assert one.rng("x").random() == other.rng("x").random() != one.rng("y").random()
    assert one.seed(0) == other.seed(0) != one.seed(1)


def test_decibels_are_those_of_range_1():
    truth = np.zeros((2, 3, 4))
    assert decibels(truth + np.array([0.1, 0.01])[:, None, None], truth) == pytest.approx([20, 40])


def test_a_generated_image_is_found_again_and_its_curve_says_so(rng):
    from toys import toy_generator

    generator = toy_generator()
    z = generator.sample_latent(2, rng)
    images = generator(z)[:, 0].detach().numpy()
    again = found(generator, images, rng)[1]
    assert again.shape == images.shape
    assert max(decibels(again, images)) > 40  # one may end in a wrong optimum
    noisy = images + rng.normal(0, 0.05, images.shape).astype(np.float32)
    inversion, again = found(generator, noisy, rng)
    path = curve(inversion)
    assert path["step"] == sorted(path["step"])
    assert path["psnr_db"][-1] == pytest.approx(np.mean(decibels(again, noisy)), abs=0.1)
    assert path["psnr_db"][-1] > path["psnr_db"][0]
