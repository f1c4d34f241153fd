"""Whether a prior is good enough: the figures, the answer, and what to change."""

import numpy as np
import pytest
from small_dataset import write_dataset
from typer.testing import CliRunner

from emprior import law
from emprior.cli import app
from emprior.errors import OptionError, WeightsError
from emprior.features import FeatureNet
from emprior.fitness import Fitness, Level, assess
from emprior.regressors import DnCNN
from emprior.weights import Card, save


def _level(noise="P(10)", lead=1.0, coverage=1.0, own=0.2):
    return Level(noise, 30.0, 30.0, 30.0 - lead, lead, coverage, own)


def _fitness(*levels, known_db=None):
    return Fitness(images=8, range_db=33.0, parameters=40.0, levels=levels, known_db=known_db)


def _waves(rng, structures):
    """Images (2, 32, 40) of each structure: waves of any place and direction."""
    rows, columns = np.indices((32, 40))
    stacks = []
    for _ in range(structures):
        angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi, (2, 1, 1))
        along = np.cos(angle) * rows + np.sin(angle) * columns
        stacks.append((0.45 + 0.1 * np.sin(2 * np.pi * along / 8 + phase)).astype(np.float32))
    return stacks


@pytest.fixture
def data(rng, tmp_path):
    return write_dataset(tmp_path / "held-out", _waves(rng, 3), 0.2)


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "network.safetensors"
    net = DnCNN(depth=2, width=4, bias=False, norm=False, pixel_size=0.2)
    for parameter in net.parameters():
        parameter.data *= 0.1  # what it subtracts as noise
    save(path, net, Card(data="other", recipe={"data": {"path": "gone"}}))
    return path


# --- the answer ----------------------------------------------------------------------------------


def test_a_prior_that_leads_everywhere_is_good_enough():
    found = _fitness(_level("P(10)"), _level("P(1)"))
    assert found.enough == ("P(10)", "P(1)")
    assert found.answer() == "Good enough at every noise that was tried."
    assert found.advice() == []


def test_images_out_of_reach_ask_for_more_range():
    found = _fitness(_level("P(1)"), _level("P(25)", lead=-2.0, own=0.9, coverage=0.3))
    assert found.enough == ("P(1)",)
    assert "not for P(25)" in found.answer()
    (told,) = found.advice()
    assert "train longer" in told
    assert "ngf" in told


def test_images_of_the_training_tell_more_structures_from_more_training():
    bad = _level(lead=-2.0, own=0.9, coverage=0.3)
    (told,) = _fitness(bad, known_db=36.0).advice()
    assert "3.0 dB better" in told
    assert "more structures" in told
    (told,) = _fitness(bad, known_db=33.2).advice()
    assert "train longer" in told
    assert "more structures" not in told


def test_few_images_out_of_reach_are_not_overlooked():
    """The median may lead while a fifth of the images cannot be drawn."""
    assert not _level(coverage=0.8).enough
    assert len(_fitness(_level(coverage=0.8)).advice()) == 1


def test_too_much_freedom_asks_for_less():
    (told,) = _fitness(_level(lead=-0.5, own=0.1)).advice()
    assert "narrow" in told
    assert "Not good enough at any noise" in _fitness(_level(lead=-0.5)).answer()


# --- the figures ---------------------------------------------------------------------------------


def test_figures_are_those_of_the_images(data, network, tmp_path):
    found = assess(network, data, tmp_path / "out", images=4, noises=["P(25)", "G(0.5)"])
    assert (found.images, found.known_db) == (4, None)
    assert [level.noise for level in found.levels] == ["P(25)", "G(0.5)"]
    gaussian = found.levels[1]
    # A network that changes next to nothing leaves the noise, and has a high range.
    assert gaussian.psnr == pytest.approx(-10 * np.log10(0.25), abs=1.0)
    assert gaussian.lead < -3
    assert gaussian.coverage == 1.0
    assert gaussian.own < 0.1
    assert found.parameters == pytest.approx(32 * 40, rel=0.2)  # every pixel moves by itself
    expected = law.psnr(found.range_db, found.parameters, 0.25, 32 * 40)
    assert gaussian.law == pytest.approx(expected, abs=1e-6)
    assert found.enough == ()
    assert assess(network, data, tmp_path / "out", images=4, noises=["P(25)", "G(0.5)"]) == found


def test_images_of_the_training_are_measured_where_they_are(rng, data, tmp_path, network):
    known = write_dataset(tmp_path / "known", _waves(rng, 2), 0.2)
    path = tmp_path / "again.safetensors"
    net = DnCNN(depth=2, width=4, bias=False, norm=False, pixel_size=0.2)
    text = (known / "zarr.json").read_text().replace("0123456789abcdef", "another")
    (known / "zarr.json").write_text(text)
    save(path, net, Card(data="another", recipe={"data": {"path": str(known)}}))
    found = assess(path, data, tmp_path / "out", images=1, noises=["G(0.5)"])
    assert found.known_db is not None
    assert "dB on training images" in found.lines()[0]


def test_the_command_says_figures_and_answer(data, network):
    arguments = ["--data", str(data), "--images", "1", "--noise", "G(0.5)", "-q"]
    result = CliRunner().invoke(app, ["priors", "assess", str(network), *arguments])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("R = ")
    assert "own error" in lines[1]
    assert lines[2].split()[0] == "G(0.5)"
    assert "wavelet is the safer one" in lines[3]


# --- mistakes ------------------------------------------------------------------------------------


def test_images_of_the_training_prove_nothing(data, tmp_path):
    path = tmp_path / "same.safetensors"
    net = DnCNN(depth=2, width=4, bias=False, norm=False, pixel_size=0.2)
    save(path, net, Card(data="0123456789abcdef"))
    with pytest.raises(OptionError, match="was trained on"):
        assess(path, data, tmp_path / "out")


def test_a_feature_network_is_no_prior(data, tmp_path):
    path = tmp_path / "features.safetensors"
    save(path, FeatureNet(dimension=4, width=4, pixel_size=0.2, channels=1), Card())
    with pytest.raises(WeightsError):
        assess(path, data, tmp_path / "out")
