"""Applying a regressor: its grid, its units, its windows, its files; its misuse."""

from __future__ import annotations

from pathlib import Path

import laws
import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter
from strategies import NOISE_CASES, lattice, scaled
from toys import toy_prior

from emprior import weights
from emprior.api import denoise
from emprior.denoisers import mixed, supervised
from emprior.denoisers.base import Estimate
from emprior.denoisers.classical import Wiener
from emprior.denoisers.mixed import Mixed
from emprior.denoisers.prior import Prior
from emprior.denoisers.supervised import Misused, Supervised
from emprior.errors import EmpriorWarning, OptionError, WeightsError
from emprior.evaluate import EvaluationRecipe, run
from emprior.grid import pool, unpool
from emprior.io import read
from emprior.micrograph import Micrograph
from emprior.noise import Gaussian, Poisson
from emprior.records import read as read_records
from emprior.regressors import DnCNN, UNet

PIXEL_SIZE = 0.2  # of the networks
SMALL = lattice((45, 62), pixel_size=0.1)

noises = pytest.mark.parametrize("noise", NOISE_CASES.values(), ids=NOISE_CASES)


@pytest.fixture(scope="module")
def blur(tmp_path_factory) -> Path:
    """A network made by hand: the mean of 3 × 3 pixels."""
    network = DnCNN(depth=2, width=2, bias=False, norm=True, pixel_size=PIXEL_SIZE)
    first, _, last = network.layers
    with torch.no_grad():
        first.weight.zero_()
        first.weight[:, 0, 1, 1] = torch.tensor([1.0, -1.0])  # the image above and below zero
        last.weight[0] = torch.full((2, 3, 3), -1 / 9)
        last.weight[0, :, 1, 1] += 1
        last.weight[0, 1] *= -1
    path = tmp_path_factory.mktemp("blur") / "blur.safetensors"
    weights.save(path, network.eval(), weights.Card(text="A blur. Not for use.", data="toy"))
    return path


@pytest.fixture(scope="module")
def unet(tmp_path_factory) -> Path:
    """An untrained network."""
    torch.manual_seed(1)
    network = UNet(scales=1, width=4, bias=False, norm=True, pixel_size=PIXEL_SIZE)
    path = tmp_path_factory.mktemp("unet") / "unet.safetensors"
    weights.save(path, network.eval(), weights.Card(text="Random. Not for use.", data="toy"))
    return path


def noisy(clean, noise, pixel_size=0.1):
    return Micrograph(noise.sample(clean, np.random.default_rng(7)), pixel_size)


@pytest.fixture(params=[Supervised, Misused, Mixed])
def denoiser(request, blur):
    return request.param(blur, "cpu")


# --- laws ----------------------------------------------------------------------------------------


@noises
def test_estimate_is_a_finite_image_of_the_same_shape(denoiser, noise):
    laws.estimate_is_a_finite_float32_image(denoiser, noisy(SMALL, noise), noise)


def test_smallest_image_and_no_pixel_size(denoiser):
    frame = Micrograph(Poisson(1.0).sample(lattice((8, 9), 0.2), np.random.default_rng(8)))
    laws.estimate_is_a_finite_float32_image(denoiser, frame, Poisson(1.0))


def test_deterministic(denoiser):
    laws.deterministic(denoiser, noisy(SMALL, Poisson(1.0)), Poisson(1.0))


@pytest.mark.parametrize(
    ("key", "a", "b"),
    [
        ("P(10)", 0.02, 5.0),
        ("P(1) clipped", 200.0, -31.0),
        ("counts and readout", 3.0, 0.0),
        ("G(0.1)", 1.0, 0.0),
    ],
)
def test_estimate_scales_with_the_data(denoiser, key, a, b):
    noise = NOISE_CASES[key]
    laws.scales_with_the_data(denoiser, noisy(SMALL, noise), noise, scaled(noise, a, b), a, b)


def test_gaussian_data_in_other_units_scale_too(denoiser):
    frame = noisy(SMALL, Gaussian(0.1))
    far = Micrograph(40 * frame.image + 300, frame.pixel_size)  # not the units of a simulation
    laws.scales_with_the_data(denoiser, far, Gaussian(4.0), Gaussian(12.0), 3.0, -50.0)


def test_a_levelled_network_knows_no_units(tmp_path):
    frame, noise = noisy(SMALL, Gaussian(0.05)), Gaussian(0.05)  # in the units of a simulation
    answers = {}
    for levelled in (False, True):
        torch.manual_seed(1)
        network = UNet(
            scales=1, width=4, bias=True, norm=False, pixel_size=PIXEL_SIZE, levelled=levelled
        )
        path = tmp_path / f"{levelled}.safetensors"
        weights.save(path, network.eval(), weights.Card(text="Random. Not for use.", data="toy"))
        answers[levelled] = [
            Supervised(path)(
                Micrograph(a * frame.image + b, frame.pixel_size),
                Gaussian(a * noise.sigma),
                np.random.default_rng(0),
            ).image
            for a, b in [(1.0, 0.0), (20.0, 0.0), (0.5, 700.0)]
        ]
    one, scaled_, shifted = answers[True]
    np.testing.assert_allclose(scaled_ / 20, one, atol=1e-4)
    np.testing.assert_allclose((shifted - 700) / 0.5, one, atol=2e-3)
    one, scaled_, _ = answers[False]
    assert np.abs(scaled_ / 20 - one).max() > 0.01


@noises
def test_less_error_than_the_noisy_image(blur, noise, clean):
    laws.not_worse_than_noisy(Supervised(blur), noisy(clean, noise), noise, clean)


def test_flips_commute(blur):
    frame = noisy(lattice((44, 62), pixel_size=0.1), Poisson(1.0))  # whole pixels of the network
    laws.commutes_with_flips(Supervised(blur), frame, Poisson(1.0))


# --- the grid of the network ---------------------------------------------------------------------


def _estimate(path, image, pixel_size, noise=Gaussian(0.1)):  # noqa: B008 - a frozen value
    return Supervised(path)(Micrograph(image, pixel_size), noise, np.random.default_rng(0))


def test_on_the_network_s_pixels_it_is_the_network(blur, clean):
    estimate = _estimate(blur, clean, PIXEL_SIZE)
    np.testing.assert_allclose(estimate.image, uniform_filter(clean, 3, mode="nearest"), atol=1e-6)
    assert estimate.trace == {"prior": str(blur), "data": "toy", "factor": 1, "tiles": 1}


@pytest.mark.parametrize("pixel_size", [PIXEL_SIZE / 4, PIXEL_SIZE / 4.15])
def test_finer_pixels_are_pooled_by_a_whole_factor(blur, pixel_size):
    clean = lattice((64, 96), pixel_size)
    estimate = _estimate(blur, clean, pixel_size)
    coarse = uniform_filter(pool(clean, 4), 3, mode="nearest")
    np.testing.assert_allclose(estimate.image, unpool(coarse, 4, clean.shape), atol=1e-6)
    assert estimate.trace["factor"] == 4


@pytest.mark.parametrize(("pixel_size", "factor"), [(0.13, 1), (0.075, 2), (0.3, 1)])
def test_other_pixels_are_resampled(blur, pixel_size, factor):
    """A wide wave is damped as the network damps it, whatever the pixels."""
    y, x = np.indices((80, 100)) * pixel_size
    wave = 0.45 + 0.05 * np.cos(2 * np.pi * y / 2.0) * np.cos(2 * np.pi * x / 2.5)
    estimate = _estimate(blur, wave, pixel_size)
    assert estimate.trace["factor"] == factor
    damping = [(1 + 2 * np.cos(2 * np.pi * PIXEL_SIZE / period)) / 3 for period in (2.0, 2.5)]
    expected = 0.45 + np.prod(damping) * (wave - 0.45)
    inside = slice(10, -10), slice(10, -10)
    np.testing.assert_allclose(estimate.image[inside], expected[inside], atol=1e-3)
    assert np.abs(wave - expected)[inside].max() > 9e-3


@pytest.mark.parametrize(("pixel_size", "shape"), [(2.0, (40, 50)), (1e-4, (40, 50))])
def test_pixels_that_show_nothing_to_the_network_are_refused(blur, pixel_size, shape, rng):
    with pytest.raises(OptionError, match="times as large as those of the network"):
        _estimate(blur, rng.normal(0.45, 0.1, shape), pixel_size)


def test_an_unknown_pixel_size_is_assumed_aloud(blur, rng):
    image = rng.poisson(lattice((48, 56), 0.05)).astype(float)
    with pytest.warns(EmpriorWarning, match=r"0\.0489 Å"):
        result = denoise(image, method="supervised", prior=blur)
    assert result.trace["factor"] == 4


# --- windows -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["blur", "unet"])
def test_windows_leave_no_seam(kind, request, monkeypatch, rng):
    path = request.getfixturevalue(kind)
    frame = Micrograph(rng.normal(0.45, 0.1, (111, 77)), PIXEL_SIZE)
    whole = Supervised(path)(frame, Gaussian(0.1), rng)
    monkeypatch.setattr(supervised, "_WINDOW", 16)
    shares: list[float] = []
    tiled = Supervised(path, progress=shares.append)(frame, Gaussian(0.1), rng)
    np.testing.assert_allclose(tiled.image, whole.image, atol=1e-6)
    assert tiled.trace["tiles"] == len(shares) > 3
    assert shares[-1] == 1
    assert shares == sorted(shares)


# --- misuse --------------------------------------------------------------------------------------


def test_misuse_keeps_the_mean_and_resolves_less(blur, clean):
    frame = noisy(clean, Poisson(0.01))
    used, misused = (
        kind(blur)(frame, Poisson(0.01), np.random.default_rng(0)) for kind in (Supervised, Misused)
    )
    assert misused.image.mean() == pytest.approx(frame.image.mean(), abs=1e-6)
    error = [np.mean((e.image - clean) ** 2) for e in (used, misused)]
    assert error[1] > error[0]
    assert "shift" in misused.trace


# --- mixing --------------------------------------------------------------------------------------


def mixed_with(drawn, clean, noise, monkeypatch):
    """Return the mean squared errors of Wiener's filter and of its mixture with a drawing."""

    def draw(network, device, progress):
        def drawing(micrograph, noise, rng):
            rows, columns = (
                (n - m) // 2 for n, m in zip(drawn.shape, micrograph.shape, strict=True)
            )
            part = drawn[rows : rows + micrograph.shape[0], columns : columns + micrograph.shape[1]]
            return Estimate(part.astype(np.float32), trace={})

        progress(1.0)
        return drawing

    monkeypatch.setattr(mixed, "Supervised", draw)
    frame, rng = noisy(clean, noise, PIXEL_SIZE), np.random.default_rng(3)
    found = Wiener()(frame, noise, rng), Mixed()(frame, noise, rng)
    assert all(0 <= share <= 1 for share in found[1].trace["shares"])
    return [np.mean((estimate.image - clean) ** 2) for estimate in found]


@noises
def test_a_network_that_is_right_is_followed(noise, monkeypatch):
    clean = lattice((96, 112), PIXEL_SIZE)
    filtered, found = mixed_with(clean, clean, noise, monkeypatch)
    assert found < 0.5 * filtered


@noises
def test_a_network_that_draws_another_specimen_hardly_harms(noise, monkeypatch):
    clean = lattice((96, 112), PIXEL_SIZE)
    other = lattice((96, 112), PIXEL_SIZE, spacing=3.1, sign=-1)
    filtered, found = mixed_with(other, clean, noise, monkeypatch)
    assert np.mean((other - clean) ** 2) > 1.5 * filtered
    assert found < 1.1 * filtered


def test_octaves_sum_to_the_image_and_keep_to_their_waves(rng):
    image = rng.normal(size=(31, 46))
    spectrum = mixed._spectrum(image)
    parts = [mixed._drawn(spectrum, weights) for weights in np.eye(5)]
    np.testing.assert_allclose(sum(parts), image, atol=1e-12)
    weights = np.array([0.3, 1.0, 0.0, 0.5, 0.2])
    weighted = sum(w * part for w, part in zip(weights, parts, strict=True))
    np.testing.assert_allclose(mixed._drawn(spectrum, weights), weighted, atol=1e-12)
    x = (np.arange(64) + 0.5) / 64
    for octave, waves in enumerate([40, 20, 10, 6, 2]):  # of 64 up to Nyquist's frequency
        fast = np.cos(np.pi * waves * x) * np.ones((24, 1))
        of_fast = mixed._spectrum(fast)
        powers = [float(np.sum(mixed._drawn(of_fast, weights) ** 2)) for weights in np.eye(5)]
        assert np.argmax(powers) == octave
        assert powers[octave] == pytest.approx(np.sum(fast**2))


def test_the_middle_of_a_large_frame_tells_the_shares(monkeypatch):
    clean = lattice((96, 112), PIXEL_SIZE)
    monkeypatch.setattr(mixed, "_ENOUGH", 64)
    filtered, found = mixed_with(clean, clean, Gaussian(0.1), monkeypatch)
    assert found < 0.5 * filtered


def test_a_mixture_warns_of_noise_that_neighbours_share(blur, rng):
    clean = lattice((128, 144), PIXEL_SIZE)
    shared = clean + uniform_filter(rng.normal(0, 0.3, clean.shape), (1, 3))
    options = {"method": "supervised-mixed", "prior": blur, "pixel_size": PIXEL_SIZE}
    with pytest.warns(EmpriorWarning, match="neighbouring pixels share noise"):
        denoise(shared, **options)
    denoise(clean + rng.normal(0, 0.3, clean.shape), **options)  # no warning, or this fails


def test_a_mixture_tells_how_far_it_is(blur):
    shares: list[float] = []
    Mixed(blur, progress=shares.append)(
        noisy(SMALL, Gaussian(0.1)), Gaussian(0.1), np.random.default_rng(0)
    )
    assert shares == sorted(shares)
    assert shares[-1] == 1


# --- files and options ---------------------------------------------------------------------------


def test_files_of_the_other_family_are_refused(blur, tmp_path, micrograph, rng):
    generator = toy_prior(tmp_path / "toy.safetensors")
    for call in (
        lambda: Supervised(generator)(micrograph, Gaussian(0.1), rng),
        lambda: denoise(micrograph, method="supervised", prior=generator),
        lambda: denoise(micrograph, method="supervised"),
        lambda: denoise(micrograph, method="supervised-misused", prior="gan"),
    ):
        with pytest.raises(WeightsError, match="which draws images") as caught:
            call()
        assert "unet-blind" in caught.value.fix
    for call in (
        lambda: Prior(blur)(micrograph, Gaussian(0.1), rng),
        lambda: denoise(micrograph, method="prior", prior=blur),
    ):
        with pytest.raises(WeightsError, match="a dncnn, which maps noisy images") as caught:
            call()
        assert "supervised" in caught.value.fix
    with pytest.raises(OptionError, match=r"only with the methods prior, .*supervised"):
        denoise(micrograph, method="blur", prior=blur)


def test_evaluations_and_files_take_it(blur, tmp_path):
    np.save(tmp_path / "clean.npy", lattice((64, 72), 0.05))
    recipe = EvaluationRecipe.from_dict(
        {
            "data": [{"path": str(tmp_path / "clean.npy"), "pixel_size": 0.05}],
            "noises": ["P(25)"],
            "denoisers": [
                "identity",
                {"method": "supervised", "prior": str(blur)},
                {"method": "supervised-mixed", "prior": str(blur)},
                {"method": "supervised-misused", "prior": str(blur)},
            ],
        }
    )
    records = read_records(run(recipe, tmp_path / "records"))
    scores = {record["denoiser"]: record["psnr_db"] for record in records}
    assert scores["supervised"] > scores["identity"] + 6
    assert all(r["method"] == r["asked"] for r in records)
    assert {r["denoiser"]: bool(r["prior"]) for r in records} == {
        "identity": False,
        "supervised": True,
        "supervised-mixed": True,
        "supervised-misused": True,
    }


def test_the_command_line_takes_it(blur, tmp_path):
    from typer.testing import CliRunner

    from emprior.cli import app

    noise, source, target = Poisson(1.0), tmp_path / "in.npy", tmp_path / "out.hspy"
    np.save(source, noise.sample(lattice((64, 72), 0.05), np.random.default_rng(0)))
    options = ["--method", "supervised", "--prior", str(blur), "--pixel-size", "0.05", "-q"]
    result = CliRunner().invoke(app, ["denoise", str(source), "-o", str(target), *options])
    assert result.exit_code == 0, result.output
    assert read(target).data.shape == (64, 72)


def test_weights_that_were_replaced_are_read_again(blur, unet, tmp_path):
    path, rng = tmp_path / "weights.safetensors", np.random.default_rng(0)
    answers = []
    for source in (blur, unet, blur):
        path.write_bytes(source.read_bytes())
        answers.append(Supervised(path, "cpu")(noisy(SMALL, Gaussian(0.1)), Gaussian(0.1), rng))
    np.testing.assert_array_equal(answers[0].image, answers[2].image)
    assert (answers[0].image != answers[1].image).any()
