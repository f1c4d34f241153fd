"""Priors as files: verified, passed on, kept by name, and written for other programs."""

import json
import struct

import numpy as np
import onnxruntime
import pytest
import torch
from scenes import toy_encoder
from typer.testing import CliRunner

from emprior import weights
from emprior.cli import app
from emprior.errors import OptionError, OutputError, WeightsError
from emprior.stored import ARCHITECTURES, Stored

NETWORKS = {
    "dcgan": {"size": 16, "nz": 5, "ngf": 4, "pixel_size": 0.4, "channels": 1},
    "unet": {"scales": 2, "width": 4, "bias": False, "norm": True, "pixel_size": 0.2},
    "features": {"dimension": 4, "width": 2, "pixel_size": 0.2},
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Where imported priors go, and nothing of the user's is found."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "emprior" / "priors"


def _network(kind: str) -> Stored:
    torch.manual_seed(5)
    return (
        toy_encoder() if kind == "columns" else Stored.from_dict({"type": kind, **NETWORKS[kind]})
    )


@pytest.fixture
def prior(tmp_path):
    path = tmp_path / "stripes.safetensors"
    weights.save(path, _network("dcgan"), weights.Card(text="Stripes. Not for crystals."))
    return path


def _run(*args, code=0):
    result = CliRunner().invoke(app, ["priors", *map(str, args)], prog_name="emprior")
    assert result.exit_code == code, result.output
    return result.output


def _edited(path, metadata=lambda values: values, data=lambda content: content):
    content = path.read_bytes()
    end = 8 + struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:end])
    header["__metadata__"] = metadata(header["__metadata__"])
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data(content[end:]))
    return path


# ---------------------------------------------------------------------------------------- list


def test_priors_of_training_runs_are_listed(tmp_path, prior):
    for run in ("b", "a"):
        (tmp_path / "runs" / run).mkdir(parents=True)
        (tmp_path / "runs" / run / "prior.safetensors").write_bytes(prior.read_bytes())
    (tmp_path / "runs" / "b" / "prior.safetensors").write_bytes(b"half")
    listed = _run("--in", tmp_path / "runs")
    assert listed.index("a/prior.safetensors: dcgan") < listed.index("warning")
    assert listed.count("Stripes. Not for crystals.") == 1
    (tmp_path / "empty").mkdir()
    assert "no prior in" in _run("--in", tmp_path / "empty", code=2)
    assert "no folder" in _run("--in", tmp_path / "data", code=2)
    assert "the one or the other" in _run("--in", tmp_path, "card", prior, code=2)


# -------------------------------------------------------------------------------------- verify


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("kind", sorted({*NETWORKS, "columns"}))
def test_what_was_saved_verifies(tmp_path, kind, precision):
    path = tmp_path / "prior.safetensors"
    weights.save(path, _network(kind), weights.Card(), precision=precision)
    found = weights.verify(path)
    assert found.recorded == found.opened.fingerprint()
    assert set(found.recorded.drawn) >= set(ARCHITECTURES[kind].returns)
    assert any("as they were saved" in line for line in found.lines())


@pytest.mark.parametrize("name", ["default", *weights.shipped()])
def test_shipped_priors_are_those_that_were_released(name):
    assert weights.verify(name).recorded is not None


def test_a_fingerprint_is_the_same_each_time_and_of_one_prior_alone(tmp_path):
    marks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        network = Stored.from_dict({"type": "dcgan", **NETWORKS["dcgan"]})
        torch.manual_seed(99)  # what the state of random numbers is must not matter
        weights.save(tmp_path / "a.safetensors", network, weights.Card())
        marks.append(weights.verify(tmp_path / "a.safetensors").recorded)
    assert marks[0] == marks[1]
    assert not marks[0].draws_like(marks[2])


def test_saving_draws_no_random_numbers(tmp_path):
    network = _network("dcgan")
    before = torch.get_rng_state()
    weights.save(tmp_path / "a.safetensors", network, weights.Card())
    assert torch.equal(torch.get_rng_state(), before)


def test_one_changed_bit_is_noticed(prior):
    # The lowest bit of the last number: finite, of the right shape, invisible in an image.
    _edited(prior, data=lambda content: content[:-4] + bytes([content[-4] ^ 1]) + content[-3:])
    weights.load(prior)
    with pytest.raises(WeightsError, match="changed or damaged since"):
        weights.verify(prior)


def test_a_changed_card_is_noticed(prior):
    def better(metadata):
        card = {**json.loads(metadata["card"]), "measured": {"PSNR": 99.0}}
        return {**metadata, "card": json.dumps(card)}

    _edited(prior, metadata=better)
    assert weights.read_card(prior).measured == {"PSNR": 99.0}
    with pytest.raises(WeightsError, match="changed or damaged since"):
        weights.verify(prior)


def test_a_version_that_draws_something_else_is_noticed(prior, monkeypatch):
    forward = ARCHITECTURES["dcgan"].forward
    monkeypatch.setattr(ARCHITECTURES["dcgan"], "forward", lambda self, z: forward(self, 1.1 * z))
    with pytest.raises(WeightsError, match="draws something else"):
        weights.verify(prior)


def test_files_without_a_fingerprint_say_so(prior):
    _edited(prior, metadata=lambda values: {k: v for k, v in values.items() if k != "fingerprint"})
    assert "not known" in _run("verify", prior)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"sha256": 3, "drawn": 4}', '{"sha256": "", "drawn": {"a": ["b"]}}'],
)
def test_fingerprints_that_are_none_are_refused(prior, text):
    _edited(prior, metadata=lambda values: {**values, "fingerprint": text})
    weights.load(prior)
    with pytest.raises(WeightsError):
        weights.verify(prior)


# ------------------------------------------------------------------------------ export and import


def test_an_exported_prior_is_the_same_and_can_be_imported_and_used(tmp_path, home):
    name = weights.shipped()[-1]
    out = tmp_path / "copy.safetensors"
    _run("export", name, "-o", out)
    assert weights.verify(out).recorded == weights.verify(name).recorded
    _run("import", out, "--name", "mine")
    assert [path.name for path in home.iterdir()] == ["mine.safetensors"]
    assert weights.names() == [*weights.shipped(), "mine"]
    assert weights.read_card("mine") == weights.read_card(name)
    assert "\nmine: " in _run()
    original, copied = weights.load(name)[0].state_dict(), weights.load("mine")[0].state_dict()
    assert all(torch.equal(original[key], copied[key]) for key in original)


def test_the_name_of_the_file_is_the_default(prior):
    assert weights.install(prior) == "stripes"
    assert weights.locate("stripes").read_bytes() == prior.read_bytes()
    assert "Not for crystals" in _run("card", "stripes")


def test_nothing_is_replaced_unasked(prior, tmp_path):
    weights.install(prior)
    for again in (weights.install, lambda path, **how: weights.export(path, prior, **how)):
        with pytest.raises(OutputError):
            again("stripes" if again is not weights.install else prior)
    weights.install(prior, overwrite=True)
    weights.export("stripes", prior, overwrite=True)
    with pytest.raises(OutputError, match="it is the input"):
        weights.export(prior, prior, overwrite=True)


@pytest.mark.parametrize("name", ["default", "gan", "", "a/b", "..", ".hidden", "x" * 65, "a b"])
def test_names_that_would_hide_or_escape_are_refused(prior, home, name):
    with pytest.raises(OptionError):
        weights.install(prior, name)
    assert not home.exists()


def test_what_does_not_verify_is_not_imported(prior, home, tmp_path):
    _edited(prior, data=lambda content: content[:-4] + bytes([content[-4] ^ 1]) + content[-3:])
    assert "changed or damaged" in _run("import", prior, code=2)
    assert "no prior" in _run("import", tmp_path / "absent.safetensors", code=2)
    assert not home.exists()


def test_a_mistyped_name_of_an_imported_prior_is_told(prior):
    weights.install(prior)
    with pytest.raises(WeightsError, match="did you mean 'stripes'"):
        weights.load("stripe")


def test_one_damaged_file_does_not_hide_the_others(prior, home):
    weights.install(prior)
    (home / "broken.safetensors").write_bytes(b"nonsense")
    said = _run()
    assert "broken.safetensors: not a safetensors file" in said
    assert "\nstripes: " in said


def test_cards_are_written_for_programs(prior):
    card = json.loads(_run("card", prior, "--json"))
    assert weights.Card(**card) == weights.read_card(prior)


# -------------------------------------------------------------------------------------------- ONNX


@pytest.mark.parametrize("kind", ["dcgan", "columns"])
def test_onnx_computes_the_same_for_other_images(tmp_path, kind):
    network = _network(kind).eval()
    weights.save(tmp_path / "a.safetensors", network, weights.Card(text="Not for crystals."))
    assert weights.write_onnx(tmp_path / "a.safetensors", tmp_path / "a.onnx") < 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    rng = np.random.default_rng(7)
    inputs = {
        # One image, and sides that are among none of the examples'.
        key: torch.from_numpy(rng.random((1, *(2 * n for n in value.shape[1:]))) / 2).float()
        if value.ndim > 2
        else torch.from_numpy(rng.random((1, *value.shape[1:]))).float()
        for key, value in network.examples().items()
    }
    made = session.run(list(network.returns), {k: v.numpy() for k, v in inputs.items()})
    with torch.no_grad():
        wanted = network(**inputs)
    for got, right in zip(made, wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
        np.testing.assert_allclose(got, right, atol=1e-4 * float(right.abs().max()))
    kept = session.get_modelmeta()
    assert json.loads(kept.custom_metadata_map["card"])["text"] == "Not for crystals."
    assert "(n" in kept.description or "(B" in kept.description  # shapes of inputs and outputs


def test_onnx_that_differs_is_not_left(tmp_path):
    # Its pooling to 3 × 3 parts is written down for one size of images.
    weights.save(tmp_path / "a.safetensors", _network("features"), weights.Card())
    said = _run("onnx", tmp_path / "a.safetensors", "-o", tmp_path / "a.onnx", code=2)
    assert "differs from PyTorch" in said
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_onnx_replaces_nothing_unasked(prior, tmp_path):
    (tmp_path / "a.onnx").write_text("dear")
    assert "exists" in _run("onnx", prior, "-o", tmp_path / "a.onnx", code=2)
    assert (tmp_path / "a.onnx").read_text() == "dear"


def test_onnx_wants_its_extra(prior, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    assert "emprior[onnx]" in _run("onnx", prior, "-o", tmp_path / "a.onnx", code=2)
