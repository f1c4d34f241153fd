"""The convolutional network inside an encoder of columns."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, 1, 1)
        self.second = nn.Conv2d(width, width, 3, 1, 1)
        with torch.no_grad():
            self.second.weight.mul_(0.1)  # begins near the identity

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(F.silu(x))))


class EncoderUNet(nn.Module):
    """A U-net that begins and ends at half resolution, with numbers told from its bottom."""

    def __init__(self, a: int, b: int, c: int, maps: int, numbers: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(12, a, 3, 1, 1)
        self.down_a = nn.Sequential(_Residual(a), _Residual(a))
        self.to_b = nn.Conv2d(a, b, 2, 2)
        self.down_b = nn.Sequential(_Residual(b), _Residual(b))
        self.to_c = nn.Conv2d(b, c, 2, 2)
        self.bottom = nn.Sequential(*(_Residual(c) for _ in range(4)))
        self.back_b = nn.ConvTranspose2d(c, b, 2, 2)
        self.up_b = nn.Sequential(_Residual(b), _Residual(b))
        self.back_a = nn.ConvTranspose2d(b, a, 2, 2)
        self.up_a = nn.Sequential(_Residual(a), _Residual(a))
        self.head = nn.Conv2d(a, 4 * maps, 3, 1, 1)
        self.look = nn.Conv2d(c, c, 1)
        last = nn.Linear(96, numbers)
        self.tell = nn.Sequential(nn.Linear(2 * c, 96), nn.SiLU(), last)
        with torch.no_grad():
            last.weight.mul_(0.1)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return maps, (B, maps, H, W), and numbers, (B, numbers), of inputs (B, 3, H, W)."""
        fine = self.down_a(self.stem(F.pixel_unshuffle(inputs, 2)))
        middle = self.down_b(self.to_b(fine))
        coarse = self.bottom(self.to_c(middle))
        weight = F.avg_pool2d(inputs[:, 1:2], 8)  # where something was seen
        look = F.silu(self.look(coarse)) * weight
        mean = look.sum((2, 3)) / weight.sum((2, 3)).clamp(min=1)
        numbers = self.tell(torch.cat([mean, look.amax((2, 3))], dim=1))
        middle = self.up_b(middle + self.back_b(coarse))
        fine = self.up_a(fine + self.back_a(middle))
        return F.pixel_shuffle(self.head(F.silu(fine)), 2), numbers
