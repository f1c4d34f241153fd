import json
import math
import sys
import warnings

import numpy as np
import pytest
from small_dataset import write_dataset
from strategies import lattice

from emprior import evaluate, metrics, records
from emprior.api import Denoised, denoise
from emprior.denoisers.depth import DEPTHS
from emprior.errors import (
    EmpriorWarning,
    FileError,
    InputError,
    OptionError,
    OutputError,
    WeightsError,
)
from emprior.evaluate import EvaluationRecipe, noise_model, scoring
from emprior.evaluate.frames import open_frames
from emprior.generators import DCGAN
from emprior.noise import ClippedPoisson, Gaussian, Poisson
from emprior.noise_names import PAPER_NOISES
from emprior.weights import Card, save

PIXEL_SIZE = 0.1


@pytest.fixture
def files(tmp_path):
    """Two clean images without a pixel size, as sources of a recipe."""
    sources = []
    for name, spacing in (("a.npy", 2.4), ("b.npy", 2.9)):
        np.save(tmp_path / name, lattice((72, 96), PIXEL_SIZE, spacing).astype(np.float32))
        sources.append({"path": str(tmp_path / name), "pixel_size": PIXEL_SIZE})
    return sources


def make_recipe(files, **more):
    values = {
        "data": files,
        "denoisers": ["identity", "constant", "blur"],
        "noises": ["none", "P(10)"],
        "crop": 64,
        "pixel_size": PIXEL_SIZE,
        "seed": 5,
        **more,
    }
    return EvaluationRecipe.from_dict(values)


def table(path):
    """Return the records without what differs between equal runs."""
    return [{k: v for k, v in record.items() if k != "seconds"} for record in records.read(path)]


def by_key(path):
    return {(r["image"], r["noise"], r["denoiser"]): r for r in records.read(path)}


# ------------------------------------------------------------------------------------- the records


def test_every_combination_is_recorded_once(files, tmp_path):
    shares = []
    path = evaluate.run(make_recipe(files), tmp_path / "out", progress=shares.append)
    keys = list(by_key(path))
    assert len(keys) == len(records.read(path)) == 2 * 2 * 3
    assert {key[0] for key in keys} == {"a.npy", "b.npy"}
    np.testing.assert_allclose(shares, np.arange(1, 13) / 12)


def test_figures_of_merit_agree_with_what_is_known_of_the_noise(files, tmp_path):
    found = by_key(
        evaluate.run(make_recipe(files, noises=["none", "G(0.1)", "P(10)"]), tmp_path / "out")
    )
    clean = np.load(files[0]["path"])[4:68, 16:80].astype(float)
    assert float(found["a.npy", "none", "identity"]["psnr_db"]) == math.inf
    assert found["a.npy", "none", "identity"]["column_f1"] == 1
    assert found["a.npy", "none", "identity"]["columns"] >= 3
    # 64² deviates: their mean square is known to 2.2 %, 0.1 dB.
    assert found["a.npy", "G(0.1)", "identity"]["psnr_db"] == pytest.approx(20, abs=0.4)
    expected = -10 * math.log10(clean.mean() / 10)
    assert found["a.npy", "P(10)", "identity"]["psnr_db"] == pytest.approx(expected, abs=0.4)
    constant = found["a.npy", "none", "constant"]
    assert constant["psnr_db"] == pytest.approx(-10 * math.log10(clean.var()), abs=1e-3)
    assert constant["shape"] == [64, 64]


def test_sharpness_is_recorded_as_ratios_to_the_truth(files, tmp_path):
    found = by_key(evaluate.run(make_recipe(files, noises=["none"]), tmp_path / "out"))
    same, flat = (found["a.npy", "none", row] for row in ("identity", "constant"))
    ratios = ("spectrum_ratio", "column_count_ratio", "column_width_ratio")
    assert [same[key] for key in ratios] == pytest.approx([1, 1, 1])
    assert flat["spectrum_ratio"] == pytest.approx(0, abs=1e-6)
    assert flat["column_count_ratio"] == 0
    assert math.isnan(float(flat["column_width_ratio"]))  # it shows none
    assert math.isnan(float(same["contrast_ratio"]))  # columns everywhere, no vacuum
    clean = np.load(files[0]["path"])[4:68, 16:80].astype(float)
    # The ranges 1 and that of equation (4) differ by a constant.
    expected = float(flat["psnr_db"]) + 20 * math.log10(clean.max())
    assert float(flat["peak_psnr_db"]) == pytest.approx(expected, abs=1e-3)


def test_contrast_to_the_vacuum_is_recorded(tmp_path):
    whole = np.full((72, 96), 0.45)
    whole[:, :40] = lattice((72, 96), PIXEL_SIZE)[:, :40]
    np.save(tmp_path / "edge.npy", whole.astype(np.float32))
    source = {"path": str(tmp_path / "edge.npy"), "pixel_size": PIXEL_SIZE}
    found = by_key(evaluate.run(make_recipe([source], noises=["none"]), tmp_path / "out"))
    assert found["edge.npy", "none", "identity"]["contrast_ratio"] == pytest.approx(1)
    assert found["edge.npy", "none", "constant"]["contrast_ratio"] == pytest.approx(0, abs=1e-6)


def test_an_image_without_columns_has_no_column_scores(tmp_path):
    ramp = np.linspace(0.4, 0.5, 64)[:, None].repeat(64, 1)
    np.save(tmp_path / "ramp.npy", ramp)
    source = {"path": str(tmp_path / "ramp.npy"), "pixel_size": PIXEL_SIZE}
    found = by_key(evaluate.run(make_recipe([source]), tmp_path / "out"))
    record = found["ramp.npy", "P(10)", "blur"]
    assert record["columns"] == 0
    for key in ("column_f1", "contrast_ratio", "column_count_ratio", "column_width_ratio"):
        assert math.isnan(float(record[key])), key
    assert float(record["psnr_db"]) > 20


def test_a_record_can_be_made_again_from_what_it_says(files, tmp_path):
    recipe = make_recipe(files, denoisers=["tv"], noises=["P(10)"])
    record = records.read(evaluate.run(recipe, tmp_path / "out"))[0]
    frame = open_frames(**files[0], finest=PIXEL_SIZE, crop=64)[0]
    clean = frame.load()
    stream, _ = scoring._streams(record["seed"], record["image"], record["noise"])
    noisy = scoring._corrupt(clean, record["noise"], np.random.default_rng(stream))
    again = denoise(noisy, method=record["method"], seed=record["denoiser_seed"])
    assert metrics.psnr(again.image, clean.image, data_range=1.0) == record["psnr_db"]
    assert again.noise.to_dict() == record["identified"]
    assert record["data"] == frame.data
    assert record["versions"].keys() >= {"python", "emprior", "numpy", "torch"}


def test_all_rows_see_the_same_frame_whatever_else_is_in_the_recipe(files, tmp_path):
    twice = [{"method": "identity", "label": "one"}, {"method": "identity", "label": "two"}]
    first = by_key(evaluate.run(make_recipe(files, denoisers=twice), tmp_path / "1"))
    alone = make_recipe(files[1:], denoisers=twice[1:], noises=["G(1)", "P(10)"])
    second = by_key(evaluate.run(alone, tmp_path / "2"))
    one, two = (first["b.npy", "P(10)", row]["psnr_db"] for row in ("one", "two"))
    assert one == two == second["b.npy", "P(10)", "two"]["psnr_db"]
    assert one != first["a.npy", "P(10)", "one"]["psnr_db"]


def test_rows_are_blind_unless_told(files, tmp_path):
    blind, told = (
        by_key(evaluate.run(make_recipe(files, noise=noise), tmp_path / noise))
        for noise in ("auto", "known")
    )
    key = "a.npy", "P(10)", "blur"
    assert told[key]["identified"] == Poisson(0.1).to_dict()
    assert told[key]["evidence"] == ["given by the caller"]
    assert blind[key]["identified"]["gain"] == pytest.approx(0.1)
    assert any("lattice" in sentence for sentence in blind[key]["evidence"])
    assert told["a.npy", "none", "blur"]["evidence"] == ["the noise was given as 'none'"]


def test_the_method_really_used_and_its_warnings_are_recorded(files, tmp_path, monkeypatch):
    def withheld(micrograph, **options):
        warnings.warn("the prior does not know this frame", EmpriorWarning, stacklevel=1)
        trace = {"latent": [[0.5] * 50], "passes": 3}
        return Denoised(micrograph.image, "wavelet", Gaussian(0.1), ("why",), 0.5, trace)

    monkeypatch.setattr(scoring, "denoise", withheld)
    record = records.read(evaluate.run(make_recipe(files), tmp_path / "out"))[2]
    assert (record["asked"], record["method"]) == ("blur", "wavelet")
    assert record["warnings"] == ["the prior does not know this frame"]
    assert record["trace"] == {"passes": 3}


def test_options_of_a_row_reach_the_denoiser(files, tmp_path, monkeypatch):
    seen = []

    def spy(micrograph, **options):
        seen.append(options)
        return Denoised(micrograph.image, "blur", Gaussian(0.1), (), 0.0)

    monkeypatch.setattr(scoring, "denoise", spy)
    save(tmp_path / "p.safetensors", DCGAN(size=16, nz=3, ngf=2, pixel_size=0.4), Card())
    weights = str(tmp_path / "p.safetensors")
    row = {"method": "prior", "prior": weights, "search": "paper", "depth": "inversion"}
    row["force"] = True
    evaluate.run(make_recipe(files, denoisers=[row], noises=["none"]), tmp_path / "out")
    assert {k: seen[0][k] for k in row} == row
    assert seen[0]["noise"] == "auto"


def test_the_variance_that_noise_leaves_is_recorded(files, tmp_path):
    noises = ["none", "P(10)", "clipped P(1)", "G(0.5)"]
    recipe = make_recipe(files[:1], denoisers=["identity"], noises=noises)
    found = by_key(evaluate.run(recipe, tmp_path / "out"))
    clean = np.load(files[0]["path"])[4:68, 16:80].astype(float)
    expected = {
        "none": 0.0,
        "P(10)": clean.mean() / 10,
        "clipped P(1)": np.expm1(clean).mean(),  # one or none: the information is 1/(e^x − 1)
        "G(0.5)": 0.25,
    }
    for noise, variance in expected.items():
        assert found["a.npy", noise, "identity"]["noise_variance"] == pytest.approx(variance)


# ---------------------------------------------------------------------------------- what is lacking


def test_an_optional_source_that_is_not_there_is_missed_aloud(files, tmp_path):
    away = {"path": str(tmp_path / "away.npy"), "label": "reference"}
    recipe = make_recipe([{**files[0], "label": "own"}, {**away, "optional": True}])
    with pytest.warns(EmpriorWarning, match=r"away\.npy is not there: reference left out"):
        path = evaluate.run(recipe, tmp_path / "out")
    assert {record["source"] for record in records.read(path)} == {"own"}
    with pytest.raises(FileError, match=r"away\.npy"):
        evaluate.run(make_recipe([files[0], away]), tmp_path / "out")


def test_an_optional_source_that_is_there_is_used(files, tmp_path):
    recipe = make_recipe([files[0], {**files[1], "label": "reference", "optional": True}])
    found = records.read(evaluate.run(recipe, tmp_path / "out"))
    assert {(r["image"], r["source"]) for r in found} == {("a.npy", ""), ("b.npy", "reference")}


def test_a_row_whose_package_is_not_installed_is_missed_aloud(files, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bm3d", None)
    recipe = make_recipe(files, denoisers=["constant", "pooled-bm3d", "blur"])
    with pytest.warns(EmpriorWarning, match=r"'pooled-bm3d' is left out.*emprior\[bm3d\]"):
        path = evaluate.run(recipe, tmp_path / "out")
    assert {record["denoiser"] for record in records.read(path)} == {"constant", "blur"}


def test_the_recipe_is_kept_beside_the_records(files, tmp_path):
    recipe = make_recipe(files, targets={"row": "blur", "must": {"P(10)": 20}})
    path = evaluate.run(recipe, tmp_path / "out")
    kept = json.loads(path.with_name(evaluate.RECIPE).read_text())
    assert EvaluationRecipe.from_dict(kept) == recipe
    # What is wanted changes no record.
    before = path.read_bytes()
    evaluate.run(make_recipe(files), tmp_path / "out")
    assert path.read_bytes() == before


# ---------------------------------------------------------------------------- stopping and going on


def test_an_interrupted_evaluation_goes_on_where_it_stopped(files, tmp_path):
    recipe = make_recipe(files)
    whole = table(evaluate.run(recipe, tmp_path / "whole"))

    def stop(share):
        if share > 0.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate.run(recipe, tmp_path / "out", progress=stop)
    path = tmp_path / "out" / evaluate.RECORDS
    before = path.read_bytes()
    assert len(records.read(path)) == 5
    path.write_bytes(before[:-40])  # the power failed while the fifth was written
    assert len(records.read(path)) == 4
    shares = []
    evaluate.run(recipe, tmp_path / "out", progress=shares.append)
    assert table(path) == whole
    assert len(shares) == 8
    assert path.read_bytes().startswith(before.rsplit(b"\n", 2)[0])


def test_a_finished_evaluation_measures_nothing_more(files, tmp_path, monkeypatch):
    recipe = make_recipe(files)
    path = evaluate.run(recipe, tmp_path / "out")
    before = path.read_bytes()
    monkeypatch.setattr(scoring, "denoise", lambda *a, **k: pytest.fail("measured again"))
    evaluate.run(recipe, tmp_path / "out")
    assert path.read_bytes() == before
    assert len(records.read(tmp_path / "out" / evaluate.SCORINGS)) == 1


def test_a_recipe_may_gain_rows_noises_and_images(files, tmp_path):
    first = table(evaluate.run(make_recipe(files[:1], noises=["none"]), tmp_path / "out"))
    more = make_recipe(files, denoisers=["blur", "identity", "constant", "wiener"])
    path = evaluate.run(more, tmp_path / "out")
    assert table(path)[: len(first)] == first
    assert len(by_key(path)) == len(records.read(path)) == 2 * 2 * 4


def test_another_prior_under_an_old_name_is_noticed(files, tmp_path, monkeypatch):
    def answer(micrograph, **options):
        return Denoised(micrograph.image, "prior", Gaussian(0.1), (), 0.0)

    monkeypatch.setattr(scoring, "denoise", answer)
    weights = tmp_path / "p.safetensors"
    generator = DCGAN(size=16, nz=3, ngf=2, pixel_size=0.4)
    save(weights, generator, Card(text="first"))
    rows = [{"method": "prior", "prior": str(weights)}, "blur"]
    path = evaluate.run(make_recipe(files, denoisers=rows, noises=["none"]), tmp_path / "out")
    prior, blur = records.read(path)[:2]
    assert prior["prior"]
    assert blur["prior"] is None
    save(weights, generator, Card(text="second"))
    with pytest.raises(OutputError, match=r"a\.npy × none × prior"):
        evaluate.run(make_recipe(files, denoisers=rows), tmp_path / "out")


def test_a_prior_that_is_not_there_is_found_out_at_once(files, tmp_path):
    rows = ["blur", {"method": "prior", "prior": "nowhere"}]
    with pytest.raises(WeightsError, match="nowhere"):
        evaluate.run(make_recipe(files, denoisers=rows), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_prior_for_a_method_that_has_none_is_refused(files, tmp_path):
    rows = [{"method": "blur", "prior": "gan"}]
    with pytest.raises(OptionError, match="the prior 'gan' with the method 'blur'"):
        evaluate.run(make_recipe(files, denoisers=rows), tmp_path / "out")


@pytest.mark.parametrize(
    "change", [{"seed": 6}, {"crop": 48}, {"noise": "known"}, {"pixel_size": 0.05}]
)
def test_records_of_other_settings_are_not_mixed(files, tmp_path, change):
    path = evaluate.run(make_recipe(files), tmp_path / "out")
    before = path.read_bytes()
    with pytest.raises(OutputError, match="made with other settings") as caught:
        evaluate.run(make_recipe(files, **change), tmp_path / "out")
    assert "another directory" in caught.value.fix
    assert path.read_bytes() == before


def test_changed_data_under_an_old_name_is_noticed(files, tmp_path):
    evaluate.run(make_recipe(files), tmp_path / "out")
    np.save(files[1]["path"], lattice((72, 96), PIXEL_SIZE, 2.6).astype(np.float32))
    with pytest.raises(OutputError, match=r"b\.npy × none × identity"):
        evaluate.run(make_recipe(files), tmp_path / "out")


def test_records_of_something_else_are_left_alone(files, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "records.jsonl").write_text('{"image": "a", "noise": 3}\n')
    with pytest.raises(OutputError, match="without a proper 'denoiser'"):
        evaluate.run(make_recipe(files), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["records.jsonl"]


def test_each_scoring_is_logged(files, tmp_path):
    recipe = make_recipe(files)
    evaluate.run(recipe, tmp_path / "out")
    evaluate.run(make_recipe(files, denoisers=["wiener"]), tmp_path / "out")
    first, second = records.read(tmp_path / "out" / evaluate.SCORINGS)
    assert first["records"] == 12
    assert second["records"] == 4
    assert len(first["data"]) == 2
    assert EvaluationRecipe.from_dict(first["recipe"]) == recipe
    assert first["recipe_hash"] != second["recipe_hash"]


# ------------------------------------------------------------------------------------ clean images


def wave(shape, pitch):
    """Return a band-limited image that mirrors at its edges, at pixel centres of this pitch."""
    y, x = (np.pi * (np.arange(n) + 0.5) * pitch / 6.4 for n in shape)
    return 0.45 + 0.1 * np.outer(np.cos(5 * y), np.cos(3 * x))


def test_images_of_a_data_set_are_interpolated_and_cut(tmp_path):
    images = np.stack([wave((32, 32), 0.2), wave((32, 32), 0.2).T]).astype(np.float32)
    place = write_dataset(tmp_path / "test", [images, images], 0.2)
    frames = open_frames(place, finest=0.049, crop=50)
    assert [frame.name for frame in frames] == ["test/0", "test/1", "test/2", "test/3"]
    assert [frame.structure for frame in frames] == ["test/0", "test/0", "test/1", "test/1"]
    assert {frame.data for frame in frames} == {"0123456789abcdef"}
    clean = frames[1].load()
    assert clean.pixel_size == pytest.approx(0.05)
    expected = wave((128, 128), 0.05).T[39:89, 39:89]
    np.testing.assert_allclose(clean.image, expected, atol=1e-6)


def test_images_are_spread_over_the_set(tmp_path):
    images = np.stack([wave((16, 16), 0.2)] * 3).astype(np.float32)
    place = write_dataset(tmp_path / "test", [images] * 3, 0.2)
    names = [frame.name for frame in open_frames(place, max_images=3)]
    assert names == ["test/0", "test/4", "test/8"]
    assert len(open_frames(place, max_images=99)) == 9


def test_a_stack_gives_a_frame_for_each_image(tmp_path):
    np.save(tmp_path / "stack.npy", np.stack([wave((16, 20), 0.2), wave((16, 20), 0.3)]))
    frames = open_frames(tmp_path / "stack.npy", pixel_size=0.05)
    assert [frame.name for frame in frames] == ["stack.npy/0", "stack.npy/1"]
    np.testing.assert_allclose(frames[1].load().image, wave((16, 20), 0.3))


def test_paths_are_expanded(files, tmp_path, monkeypatch):
    monkeypatch.setenv("SOMEWHERE", str(tmp_path))
    assert open_frames("$SOMEWHERE/a.npy", pixel_size=0.1)[0].name == "a.npy"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_frames("~/a.npy", pixel_size=0.1)[0].name == "a.npy"
    monkeypatch.delenv("SOMEWHERE")
    with pytest.raises(FileError, match=r"\$SOMEWHERE/a\.npy") as caught:
        open_frames("$SOMEWHERE/a.npy", pixel_size=0.1)
    assert "set the variable" in caught.value.fix


def test_an_image_without_pixel_size_is_refused(files, tmp_path):
    with pytest.raises(OptionError, match="states no pixel size"):
        evaluate.run(make_recipe([files[0]["path"]]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_images_of_one_name_are_refused(files, tmp_path):
    (tmp_path / "other").mkdir()
    np.save(tmp_path / "other" / "a.npy", wave((64, 64), 0.2))
    twin = {"path": str(tmp_path / "other" / "a.npy"), "pixel_size": 0.1}
    with pytest.raises(OptionError, match=r"two images called 'a\.npy'"):
        evaluate.run(make_recipe([*files, twin]), tmp_path / "out")


# ----------------------------------------------------------------------------------------- recipes


@pytest.mark.parametrize(
    ("label", "noise"),
    [
        ("none", None),
        ("P(25)", Poisson(0.04)),
        ("P(0.5)", Poisson(2.0)),
        ("clipped P(1)", ClippedPoisson(1.0, 0.0, 1.0)),
        ("G(0.1)", Gaussian(0.1)),
    ],
)
def test_noises_are_named_as_in_the_literature(label, noise):
    assert noise_model(label) == noise


@pytest.mark.parametrize("label", ["P", "P(0)", "P(-1)", "P(1.2.3)", "clipped G(1)", "p(1)", ""])
def test_other_noises_are_refused(files, label):
    with pytest.raises(InputError, match="a noise called"):
        make_recipe(files, noises=[label])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"denoisers": ["wavelett"]}, "a denoiser named 'wavelett'"),
        ({"denoisers": ["blur", {"method": "blur"}]}, "more than one denoiser called 'blur'"),
        ({"noises": ["P(1)", "P(1)"]}, "more than one noise"),
        ({"denoisers": [{"method": "blur", "forced": True}]}, "forced"),
        ({"denoisers": [{"method": "prior", "depth": "deep"}]}, "depth"),
        ({"crops": 3}, "unknown key crops"),
        ({"data": []}, "data"),
        ({"noise": "guess"}, "noise"),
        ({"targets": {"row": "prior"}}, "targets of the row 'prior'"),
        ({"targets": {"row": "blur", "must": {"P(1)": "high"}}}, "must"),
    ],
)
def test_wrong_recipes_are_explained(files, change, message):
    with pytest.raises(InputError, match=message):
        make_recipe(files, **change)


@pytest.mark.parametrize("name", ["board", "board-smoke"])
def test_the_recipes_of_the_project_are_valid(name, request):
    from emprior.recipes import load

    recipe = load(request.config.rootpath / "recipes" / f"{name}.toml", EvaluationRecipe)
    assert recipe.noise == "auto"
    assert {"identity", "constant", "blur"} <= {row.name for row in recipe.denoisers}


def test_the_board_holds_the_prior_at_every_depth_to_targets_under_every_noise(request):
    from emprior.recipes import load

    recipe = load(request.config.rootpath / "recipes" / "board.toml", EvaluationRecipe)
    forced = [row.depth for row in recipe.denoisers if row.method == "prior" and row.force]
    (fast,) = (row for row in recipe.denoisers if row.depth == "encoder")
    (shipped,) = (row for row in recipe.denoisers if row.name == recipe.targets.row)
    assert (fast.depth, *forced) == DEPTHS
    assert not shipped.force
    assert recipe.noises == PAPER_NOISES
    assert set(recipe.targets.must) == set(recipe.targets.goal) == set(PAPER_NOISES)


def test_an_output_that_is_a_file_is_refused(files, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="cannot be made"):
        evaluate.run(make_recipe(files), tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


# ------------------------------------------------------------------------------- files of records


def test_numbers_that_json_lacks_survive(tmp_path):
    path = tmp_path / "r.jsonl"
    records.append(path, {"a": math.inf, "b": [math.nan, 1.5], "c": {"d": -math.inf}})
    json.loads(path.read_text(), parse_constant=pytest.fail)
    record = records.read(path)[0]
    assert record["a"] == math.inf
    assert math.isnan(record["b"][0])
    assert record["b"][1] == 1.5
    assert record["c"]["d"] == -math.inf


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text('{"a": 1}\n{"a": \n{"a": 3}\n')
    with pytest.raises(FileError, match="line 2"):
        records.read(path)
    path.write_text("[1]\n")
    with pytest.raises(FileError, match="line 1"):
        records.read(path)


def test_a_file_that_is_one_cut_line_is_begun_anew(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text('{"a": ')
    assert records.read(path) == []
    records.append(path, {"a": 2})
    assert records.read(path) == [{"a": 2}]
