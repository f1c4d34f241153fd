"""Laws of every regressor, and how large the published one is."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from emprior import weights
from emprior.errors import OptionError, WeightsError
from emprior.regressors import DnCNN, Regressor, UNet
from emprior.stored import ARCHITECTURES, Stored

# One small description of each regressor: adding one buys every law below.
PLAIN = {"bias": False, "norm": True, "pixel_size": 0.2, "levelled": False}
EXAMPLES = {
    "unet": {"type": "unet", "scales": 2, "width": 4, **PLAIN},
    "dncnn": {"type": "dncnn", "depth": 5, "width": 4, **PLAIN},
}

kinds = pytest.mark.parametrize(
    "kind", sorted(k for k, v in ARCHITECTURES.items() if issubclass(v, Regressor))
)


def _regressor(kind: str, **changes: object) -> Regressor:
    """Return one whose normalisation and constants are not those of a fresh network."""
    torch.manual_seed(3)
    made = Stored.from_dict({**EXAMPLES[kind], **changes})
    assert isinstance(made, Regressor)
    with torch.no_grad():
        for _ in range(20):
            made(0.45 + torch.randn(4, 1, 16, 16))
        for name, parameter in made.named_parameters():
            if name.endswith("bias"):
                parameter += 0.1
    return made.double().eval()


@kinds
@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (13, 29), (31, 6)])
def test_any_shape_comes_back(kind, shape):
    images = torch.randn(2, 1, *shape, dtype=torch.double)
    assert _regressor(kind)(images).shape == images.shape


@kinds
@pytest.mark.parametrize("norm", [False, True])
def test_without_bias_the_answer_scales_with_the_image(kind, norm):
    images = torch.rand(2, 1, 13, 22, dtype=torch.double)
    for a in (1e-3, 7.0, 1e4):
        plain, scaled = (_regressor(kind, norm=norm)(x) for x in (images, a * images))
        torch.testing.assert_close(scaled, a * plain, rtol=1e-10, atol=0)
        biased = _regressor(kind, norm=norm, bias=True)
        assert not torch.allclose(biased(a * images), a * biased(images), rtol=1e-2)


@kinds
def test_each_image_is_answered_alone(kind):
    images = torch.rand(3, 1, 12, 17, dtype=torch.double)
    network = _regressor(kind)
    torch.testing.assert_close(network(images)[1:2], network(images[1:2]))


@kinds
def test_an_image_that_is_moved_gives_the_same_answer_moved(kind):
    network = _regressor(kind)
    side = 3 * network.reach + 4 * network.multiple
    images = torch.rand(1, 1, side, side, dtype=torch.double)
    m, r = network.multiple, network.reach
    whole, part = network(images), network(images[..., m:, 2 * m :])
    torch.testing.assert_close(part[..., r:, r:], whole[..., m + r :, 2 * m + r :])


@pytest.mark.parametrize(
    "network",
    [UNet(scales=s, width=2, bias=False, norm=True, pixel_size=0.2) for s in (1, 2, 3)]
    + [DnCNN(depth=7, width=2, bias=False, norm=True, pixel_size=0.2)],
    ids=["unet 1", "unet 2", "unet 3", "dncnn"],
)
def test_the_reach_is_the_farthest_that_a_pixel_is_felt(network):
    network.eval()
    length, found = 2 * network.reach + 4 * network.multiple, []
    for column in range(length // 2, length // 2 + network.multiple):
        image = torch.rand(1, 1, network.multiple, length)
        image[..., column] = torch.nan  # spreads through every layer
        felt = network(image)[0, 0].isnan().any(0).nonzero()
        found += [column - felt.min().item(), felt.max().item() - column]
    assert max(found) == network.reach


def _count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("scales", [1, 3, 6])
def test_parameters_of_a_unet_are_its_formula(scales, bias, norm):
    C = 8
    w = {1: [8, 8], 3: [8, 8, 8, 8], 6: [8, 8, 8, 16, 32, 64, 64]}[scales]
    down = C + C**2 + sum(a * b + b**2 for a, b in pairwise(w))
    up = sum(2 * w[i] ** 2 + w[i] * w[max(i - 1, 0)] for i in range(scales))
    channels = 2 * sum(w) + sum(w[i] + w[max(i - 1, 0)] for i in range(scales))
    expected = 9 * (down + up) + C + (bias + norm) * channels + bias
    network = UNet(scales=scales, width=C, bias=bias, norm=norm, pixel_size=0.2)
    assert _count(network) == expected


def test_the_published_unet_has_as_many_parameters():
    with torch.device("meta"):
        network = UNet(scales=6, width=128, bias=False, norm=True, pixel_size=0.1)
    assert _count(network) == pytest.approx(70.5e6, rel=1e-3)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("norm", [False, True])
def test_parameters_of_a_dncnn_are_its_formula(bias, norm):
    D, W = 6, 5
    expected = 9 * (2 * W + (D - 2) * W**2) + norm * (D - 2) * W + bias * ((D - 1) * W + 1)
    assert _count(DnCNN(depth=D, width=W, bias=bias, norm=norm, pixel_size=0.2)) == expected


@kinds
def test_files_hold_regressors(kind, tmp_path):
    network = _regressor(kind).float()
    weights.save(tmp_path / "network.safetensors", network, weights.Card(text="Not for use."))
    again, card = weights.load(tmp_path / "network.safetensors")
    assert card.architecture == EXAMPLES[kind] == again.to_dict()
    images = torch.rand(1, 1, 9, 14)
    assert torch.equal(network(images), again(images))


def test_a_fresh_interpreter_knows_every_architecture(tmp_path):
    import subprocess
    import sys

    path = tmp_path / "network.safetensors"
    weights.save(path, _regressor("dncnn").float(), weights.Card())
    code = f"from emprior import weights; print(type(weights.load({str(path)!r})[0]).__name__)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "DnCNN"


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("unet", {"scales": 0}, "scales = 0"),
        ("unet", {"scales": True}, "scales = True"),
        ("unet", {"width": 10**9}, "width = 1000000000"),
        ("unet", {"bias": 1}, "bias = 1"),
        ("dncnn", {"norm": "no"}, "norm = 'no'"),
        ("unet", {"pixel_size": -1.0}, "pixel size"),
        ("dncnn", {"depth": 1}, "depth = 1"),
        ("dncnn", {"width": 2.0}, "width = 2.0"),
        ("dncnn", {"scales": 2}, "scales"),
    ],
)
def test_arguments_out_of_bounds_are_refused(kind, change, message):
    with pytest.raises(OptionError, match=message):
        Stored.from_dict({**EXAMPLES[kind], **change})


def test_images_of_several_channels_are_refused():
    with pytest.raises(OptionError, match=r"shape \(2, 3, 8, 8\)"):
        _regressor("dncnn")(torch.zeros(2, 3, 8, 8))


def test_weights_of_another_size_are_refused(tmp_path):
    network = _regressor("unet").float()
    weights.save(tmp_path / "a.safetensors", network, weights.Card())
    content = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "b.safetensors").write_bytes(content.replace(b'\\"width\\": 4', b'\\"width\\": 5'))
    with pytest.raises(WeightsError, match="do not fit"):
        weights.load(tmp_path / "b.safetensors")
