"""The Inception network that other people's Fréchet distances look through.

The third version of C. Szegedy et al., CVPR 2016, as the file ``pt_inception-2015-12-05`` of
torch-fidelity has its weights: average pooling leaves the padding out, and the last block pools by
the maximum. Its parameters are named as in that file. The weights are never downloaded, and are
read as safetensors alone; to convert the file::

    save_file(torch.load("pt_inception-2015-12-05-6726825d.pth", weights_only=True), path)
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d

from emprior.errors import WeightsError

_SIDE = 299
LAYERS = (2048, 768, 192, 64)
"""Features that the network can be cut at, deepest first."""


class _Unit(nn.Module):
    """Convolution, normalisation, ReLU; padded to keep the size unless strided or told not to."""

    def __init__(
        self, before: int, after: int, kernel: int | tuple[int, int], *, stride: int = 1, pad: bool
    ) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (sides[0] // 2, sides[1] // 2) if pad else (0, 0)
        self.conv = nn.Conv2d(before, after, sides, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(after, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn(self.conv(x)).relu()
        return out


class _Block(nn.Module):
    """Branches side by side, each a row of units, whose maps are stacked.

    Parameters
    ----------
    before : int
        Channels of the input.
    branches : sequence
        Rows of units as (name, channels, kernel, stride). A row may begin with "pool", the mean
        or maximum over 3 × 3, and end with two units in brackets that both see what is before.
    """

    def __init__(self, before: int, *branches: list, largest: bool = False) -> None:
        super().__init__()
        self.largest, self.rows = largest, []
        for branch in branches:
            row, channels = [], before
            for unit in branch:
                if unit in ("pool", "halve"):
                    row.append(unit)
                    continue
                split = unit if isinstance(unit, list) else [unit]
                for name, after, kernel, stride in split:
                    made = _Unit(channels, after, kernel, stride=stride, pad=stride == 1)
                    self.add_module(name, made)
                channels = sum(after for _, after, _, _ in split)
                row.append([name for name, *_ in split])
            self.rows.append(row)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self._row(row, x) for row in self.rows], 1)

    def _row(self, row: list, x: Tensor) -> Tensor:
        for step in row:
            if step == "halve":
                x = max_pool2d(x, 3, 2)
            elif step == "pool" and self.largest:
                x = max_pool2d(x, 3, 1, 1)
            elif step == "pool":
                x = avg_pool2d(x, 3, 1, 1, count_include_pad=False)
            else:
                x = torch.cat([getattr(self, name)(x) for name in step], 1)
        return x


def _a(before: int, pooled: int) -> _Block:
    return _Block(
        before,
        [("branch1x1", 64, 1, 1)],
        [("branch5x5_1", 48, 1, 1), ("branch5x5_2", 64, 5, 1)],
        [("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 1), ("branch3x3dbl_3", 96, 3, 1)],
        ["pool", ("branch_pool", pooled, 1, 1)],
    )


def _c(w: int) -> _Block:
    row, column = (1, 7), (7, 1)
    return _Block(
        768,
        [("branch1x1", 192, 1, 1)],
        [("branch7x7_1", w, 1, 1), ("branch7x7_2", w, row, 1), ("branch7x7_3", 192, column, 1)],
        [
            ("branch7x7dbl_1", w, 1, 1),
            ("branch7x7dbl_2", w, column, 1),
            ("branch7x7dbl_3", w, row, 1),
            ("branch7x7dbl_4", w, column, 1),
            ("branch7x7dbl_5", 192, row, 1),
        ],
        ["pool", ("branch_pool", 192, 1, 1)],
    )


def _e(before: int, *, largest: bool) -> _Block:
    row, column = (1, 3), (3, 1)
    return _Block(
        before,
        [("branch1x1", 320, 1, 1)],
        [
            ("branch3x3_1", 384, 1, 1),
            [("branch3x3_2a", 384, row, 1), ("branch3x3_2b", 384, column, 1)],
        ],
        [
            ("branch3x3dbl_1", 448, 1, 1),
            ("branch3x3dbl_2", 384, 3, 1),
            [("branch3x3dbl_3a", 384, row, 1), ("branch3x3dbl_3b", 384, column, 1)],
        ],
        ["pool", ("branch_pool", 192, 1, 1)],
        largest=largest,
    )


class InceptionNet(nn.Module):
    """Inception, cut where its maps have so many channels, and their means.

    Parameters
    ----------
    dimension : {2048, 768, 192, 64}
    """

    def __init__(self, dimension: int) -> None:
        super().__init__()
        halve = nn.MaxPool2d(3, 2)
        stages: list[tuple[str, nn.Module]] = [
            ("Conv2d_1a_3x3", _Unit(3, 32, 3, stride=2, pad=False)),
            ("Conv2d_2a_3x3", _Unit(32, 32, 3, pad=False)),
            ("Conv2d_2b_3x3", _Unit(32, 64, 3, pad=True)),
            ("pool64", halve),
            ("Conv2d_3b_1x1", _Unit(64, 80, 1, pad=False)),
            ("Conv2d_4a_3x3", _Unit(80, 192, 3, pad=False)),
            ("pool192", halve),
            ("Mixed_5b", _a(192, 32)),
            ("Mixed_5c", _a(256, 64)),
            ("Mixed_5d", _a(288, 64)),
            (
                "Mixed_6a",
                _Block(
                    288,
                    [("branch3x3", 384, 3, 2)],
                    [
                        ("branch3x3dbl_1", 64, 1, 1),
                        ("branch3x3dbl_2", 96, 3, 1),
                        ("branch3x3dbl_3", 96, 3, 2),
                    ],
                    ["halve"],
                ),
            ),
            ("Mixed_6b", _c(128)),
            ("Mixed_6c", _c(160)),
            ("Mixed_6d", _c(160)),
            ("Mixed_6e", _c(192)),
            (
                "Mixed_7a",
                _Block(
                    768,
                    [("branch3x3_1", 192, 1, 1), ("branch3x3_2", 320, 3, 2)],
                    [
                        ("branch7x7x3_1", 192, 1, 1),
                        ("branch7x7x3_2", 192, (1, 7), 1),
                        ("branch7x7x3_3", 192, (7, 1), 1),
                        ("branch7x7x3_4", 192, 3, 2),
                    ],
                    ["halve"],
                ),
            ),
            ("Mixed_7b", _e(1280, largest=False)),
            ("Mixed_7c", _e(2048, largest=True)),
        ]
        last = {64: "pool64", 192: "pool192", 768: "Mixed_6e", 2048: "Mixed_7c"}[dimension]
        self.num_features = dimension
        self.names = []
        for name, stage in stages:
            self.add_module(name, stage)
            self.names.append(name)
            if name == last:
                break

    def forward(self, images: Tensor) -> Tensor:
        """Return features, (n, D), of images within 0 to 1, (n, 3, H, W)."""
        # In steps of 1/255 and with anti-aliasing, as torchmetrics takes them.
        levels = (images * 255).byte().to(images.dtype)
        x = interpolate(levels, (_SIDE, _SIDE), mode="bilinear", antialias=True)
        x = (x - 128) / 128
        for name in self.names:
            x = getattr(self, name)(x)
        return x.mean((2, 3))


def load_inception(path: str | Path, dimension: int) -> InceptionNet:
    """Return the network with the weights of a safetensors file, in eval mode.

    Raises
    ------
    WeightsError
        If the file is another.
    """
    network = InceptionNet(dimension)
    wanted = {n for n in network.state_dict() if not n.endswith("num_batches_tracked")}
    try:
        tensors = load_file(path)
        network.load_state_dict({n: tensors[n] for n in wanted}, strict=False)
    except (SafetensorError, OSError, KeyError, RuntimeError) as error:
        raise WeightsError(
            f"{path}: {str(error).splitlines()[0]}",
            expected="the weights pt_inception-2015-12-05, converted to safetensors",
            why="features of other weights are comparable with nobody's",
            fix="convert the file as emprior.diversity.inception says",
        ) from error
    return network.eval().requires_grad_(False)
