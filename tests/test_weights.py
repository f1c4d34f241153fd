"""Priors describe themselves, survive the round trip, and nothing unfit is loaded."""

import json
import pickle
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from emprior import weights
from emprior.errors import OutputError, WeightsError
from emprior.generators import DCGAN, Generator
from emprior.generators.dcgan import initialise
from emprior.weights.file import encode, open_prior

CARD = weights.Card(
    text="Trained on stripes.\nNot for crystals.",
    data="0123456789abcdef",
    recipe={"seed": 3},
    seed=3,
    images=100,
    measured={"PSNR (range 1, dB)": 27.5},
)


def _generator() -> DCGAN:
    generator = DCGAN(size=16, nz=3, ngf=2, pixel_size=0.3912)
    initialise(generator, np.random.default_rng(0))
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter *= 5
    generator(generator.sample_latent(8, np.random.default_rng(1)))  # moves the statistics
    return generator.eval()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("prior") / "prior.safetensors"
    weights.save(path, _generator(), CARD)
    return path


def _split(content: bytes) -> tuple[dict, bytes]:
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def _join(header: dict, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def _with_card(whole, path, **changes):
    header, data = _split(whole.read_bytes())
    card = json.loads(header["__metadata__"]["card"])
    header["__metadata__"]["card"] = json.dumps({**card, **changes})
    path.write_bytes(_join(header, data))
    return path


def test_round_trip_is_exact(whole):
    generator, card = weights.load(whole)
    original = _generator()
    z = original.sample_latent(4, np.random.default_rng(2))
    assert torch.equal(generator(z), original(z))
    assert not generator.training
    assert not any(p.requires_grad for p in generator.parameters())
    assert generator.pixel_size == 0.3912
    assert card.architecture == original.to_dict()
    for name in ("text", "data", "recipe", "seed", "images", "measured"):
        assert getattr(card, name) == getattr(CARD, name)
    assert weights.read_card(whole) == card


def test_the_same_prior_is_the_same_bytes(whole):
    opened = open_prior(whole)
    facts = {**opened.metadata, "a": "1", "ü": "2"}
    written = {encode(opened.tensors, facts) for _ in range(5)}
    assert len(written) == 1
    (content,) = written
    start = 8 + int.from_bytes(content[:8], "little")
    assert start % 8 == 0
    known = json.loads(content[8:start])["__metadata__"]
    assert known == facts
    assert list(known) == sorted(known)


def test_files_of_any_length_of_header_load(tmp_path):
    path, firsts = tmp_path / "prior.safetensors", set()
    for n in range(0, 256, 8):  # headers are padded to multiples of 8 bytes
        weights.save(path, _generator(), weights.Card(text="x" * n))
        assert weights.load(path)[1].text == "x" * n
        firsts.add(path.read_bytes()[0])
    assert 0x80 in firsts  # with which pickles begin


def test_float16_is_smaller_and_close(whole, tmp_path):
    path = tmp_path / "half.safetensors"
    weights.save(path, _generator(), CARD, precision="float16")
    generator, _ = weights.load(path)
    z = generator.sample_latent(16, np.random.default_rng(2))
    difference = (generator(z) - _generator()(z)).abs().max()
    assert 0 < difference < 2e-3
    assert path.stat().st_size < whole.stat().st_size
    assert next(generator.parameters()).dtype == torch.float32


def test_description_says_what_the_card_says(whole):
    text = weights.describe(whole)
    for part in ("dcgan", "size 16", "pixel_size 0.3912", "Not for crystals.", "27.5", "seed 3"):
        assert part in text


def test_cards_are_read_without_torch(whole):
    code = (
        "import sys; from emprior import weights\n"
        f"weights.names(); weights.describe({str(whole)!r}); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", weights.shipped())
def test_shipped_priors_load_and_say_what_they_are_not_for(name):
    network, card = weights.load(name)
    if isinstance(network, Generator):
        with torch.no_grad():
            images = network(network.sample_latent(8, np.random.default_rng(0)))
        assert abs(images.mean().item() - 0.45) < 0.1  # the vacuum level
        assert images.std(0).mean() > 1e-3  # they differ
    assert "not" in card.text.lower()
    assert card.data
    assert card.measured


def test_default_is_a_shipped_prior():
    if not weights.shipped():
        pytest.skip("this checkout ships no prior yet")
    assert weights.read_card("default") == weights.read_card(weights.DEFAULT)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_truncated_file_loads(whole, tmp_path_factory, data):
    content = whole.read_bytes()
    cut = data.draw(st.integers(0, len(content) - 1))
    path = tmp_path_factory.mktemp("cut") / "prior.safetensors"
    path.write_bytes(content[:cut])
    with pytest.raises(WeightsError):
        weights.load(path)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_damaged_header_never_ends_in_a_traceback(whole, tmp_path_factory, data):
    content = bytearray(whole.read_bytes())
    end = 8 + struct.unpack("<Q", content[:8])[0]
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("flip") / "prior.safetensors"
    path.write_bytes(content)
    try:
        generator, _ = weights.load(path)
    except WeightsError:
        return
    # What still loads (a changed letter of the text, say) must still be this architecture.
    assert generator.state_dict().keys() == _generator().state_dict().keys()


def test_pickles_and_archives_are_never_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    bomb = tmp_path / "bomb.pkl"
    bomb.write_bytes(pickle.dumps(Bomb()))
    checkpoint = tmp_path / "model.pt"
    torch.save({"weight": torch.zeros(2)}, checkpoint)
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a", "b")
    for path in (bomb, checkpoint, archive):
        with pytest.raises(WeightsError, match="can carry code"):
            weights.load(path)
    assert not (tmp_path / "exploded").exists()


def test_foreign_files_are_refused(tmp_path):
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, foreign)
    with pytest.raises(WeightsError, match="another program"):
        weights.load(foreign)
    (tmp_path / "text.safetensors").write_text("these are not the weights you look for")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        weights.load(tmp_path / "text.safetensors")
    (tmp_path / "empty.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        weights.load(tmp_path / "empty.safetensors")


@pytest.mark.parametrize("metadata", [[], "x", 5, None])
def test_metadata_that_is_no_table_is_refused(whole, tmp_path, metadata):
    path = tmp_path / "odd.safetensors"
    header, data = _split(whole.read_bytes())
    path.write_bytes(_join({**header, "__metadata__": metadata}, data))
    with pytest.raises(WeightsError, match="a header that cannot be read"):
        weights.load(path)


def test_absurd_sizes_are_refused_before_memory_is_taken(whole, tmp_path):
    path = tmp_path / "absurd.safetensors"
    path.write_bytes(struct.pack("<Q", 2**62) + b"{}")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        weights.load(path)
    header, data = _split(whole.read_bytes())
    name = next(key for key in header if key != "__metadata__")
    header[name]["shape"] = [2**40, 2**20]
    path.write_bytes(_join(header, data))
    with pytest.raises(WeightsError, match="overlap or leave gaps"):
        weights.load(path)
    architecture = _generator().to_dict()
    for change in ({"ngf": 10**9}, {"size": 2**30}, {"nz": -1}, {"type": "exec"}, {"extra": 1}):
        _with_card(whole, path, architecture={**architecture, **change})
        with pytest.raises(WeightsError):
            weights.load(path)


def test_a_sparse_giant_is_refused_unread(tmp_path):
    path = tmp_path / "giant.safetensors"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(WeightsError, match="GiB"):
        weights.load(path)


def test_weights_must_fit_the_card(whole, tmp_path):
    path = tmp_path / "other.safetensors"
    _with_card(whole, path, architecture={**_generator().to_dict(), "nz": 4})
    with pytest.raises(WeightsError, match=r"1 of its tensors do not fit .* layers\.0\.weight"):
        weights.load(path)
    header, data = _split(whole.read_bytes())
    header["stowaway"] = {"dtype": "F32", "shape": [0], "data_offsets": [len(data), len(data)]}
    path.write_bytes(_join(header, data))
    with pytest.raises(WeightsError, match="stowaway"):
        weights.load(path)
    path.write_bytes(whole.read_bytes() + b"more")
    with pytest.raises(WeightsError, match="foreign bytes"):
        weights.load(path)


@pytest.mark.parametrize(
    "change",
    [{"seed": "3"}, {"measured": {"psnr": "27"}}, {"text": None}, {"unknown": 1}, {"recipe": []}],
)
def test_cards_must_have_the_right_fields(whole, tmp_path, change):
    with pytest.raises(WeightsError, match="card that cannot be read"):
        weights.read_card(_with_card(whole, tmp_path / "card.safetensors", **change))


def test_later_formats_ask_for_an_update(whole, tmp_path):
    header, data = _split(whole.read_bytes())
    header["__metadata__"]["format_version"] = "2"
    path = tmp_path / "later.safetensors"
    path.write_bytes(_join(header, data))
    with pytest.raises(WeightsError, match="do: update emprior"):
        weights.load(path)


def test_weights_that_are_not_finite_are_neither_saved_nor_loaded(whole, tmp_path):
    broken = _generator()
    with torch.no_grad():
        broken.layers[0].weight[0, 0, 0, 0] = torch.nan
    path = tmp_path / "nan.safetensors"
    with pytest.raises(WeightsError, match=r"layers\.0\.weight"):
        weights.save(path, broken, CARD)
    with torch.no_grad():
        broken.layers[0].weight[0, 0, 0, 0] = 1e6  # beyond float16
    with pytest.raises(WeightsError, match="float16"):
        weights.save(path, broken, CARD, precision="float16")
    assert not path.exists()
    header, data = _split(whole.read_bytes())
    start = header["layers.0.weight"]["data_offsets"][0]
    data = data[:start] + np.float32(np.inf).tobytes() + data[start + 4 :]
    path.write_bytes(_join(header, data))
    with pytest.raises(WeightsError, match="NaN or infinite"):
        weights.load(path)


def test_missing_priors_are_said(tmp_path):
    for name in ("no-such-prior", tmp_path / "absent.safetensors", tmp_path):
        with pytest.raises(WeightsError, match="no prior"):
            weights.load(name)
    with pytest.raises(OutputError):
        weights.save(tmp_path / "no" / "folder.safetensors", _generator(), CARD)
