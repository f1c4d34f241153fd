r"""A DCGAN some of whose latent numbers are conditions: defocus, thickness, tilt.

They are the last of the latent vector, mapped so that the training data's are standard normal:

.. math:: t = \Phi^{-1}(F(c))

with F the distribution of the condition c in the data. So it is an ordinary generator: a search
fits conditions together with the rest, and none leaves the range that the training has seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr
from torch import Tensor, nn

from emprior.errors import OptionError
from emprior.generators.dcgan import DCGAN, Discriminator

CONDITIONS = {"defocus": "Å", "thickness": "Å", "tilt_columns": "rad", "tilt_rows": "rad"}
"""Units by name; the tilt is along +column and along +row of the image."""

_END, _KNOTS = 3.0, 61
_HIDDEN = 64


class ConditionalDCGAN(DCGAN):
    """The paper's generator, given conditions besides its own latent numbers.

    Parameters
    ----------
    names : sequence of str
        P different ones of `CONDITIONS`.
    size, nz, ngf, pixel_size, channels
        As for `DCGAN`; `nz` counts its own latent numbers, of which conditions are none.

    Notes
    -----
    The prior takes conditions as independent, which those of the data need not be; where they are
    not, it also draws pairs that the training has not seen. Beyond latents of ±3, `conditions`
    stay at the ends of the data's range, while images may go on changing.
    """

    table: Tensor  # (P, 61): the conditions at latents from −3 to 3

    def __init__(
        self,
        *,
        size: int,
        nz: int,
        ngf: int,
        pixel_size: float,
        names: Sequence[str],
        channels: int = 1,
    ) -> None:
        if not names or len(set(names)) < len(names) or not set(names) <= set(CONDITIONS):
            raise OptionError(
                f"conditions {', '.join(map(repr, names)) or '(none)'}",
                expected=f"different ones of {', '.join(CONDITIONS)}",
                why="each is one latent number with a meaning of its own",
                fix="correct the names; without conditions it is a plain dcgan",
            )
        super().__init__(
            size=size, nz=nz + len(names), ngf=ngf, pixel_size=pixel_size, channels=channels
        )
        self.names = tuple(names)
        knots = torch.linspace(-_END, _END, _KNOTS)
        self.register_buffer("table", knots.repeat(len(names), 1))

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments that build this architecture."""
        own = self.latent_dim - len(self.names)
        return {**super().arguments(), "nz": own, "names": list(self.names)}

    def tabulate(self, values: NDArray[np.floating]) -> None:
        """Learn the distribution of conditions from those of the data, (N, P).

        Raises
        ------
        OptionError
            If a condition does not vary.
        """
        for name, column in zip(self.names, values.T, strict=True):
            if not column.min() < column.max():
                raise OptionError(
                    f"the condition {name!r}, which is {column[0]:g} {CONDITIONS[name]} throughout",
                    expected="a condition that varies in the data",
                    why="nothing can be learnt of its effect",
                    fix="leave it out, or take data where it varies",
                )
        share = ndtr(np.linspace(-_END, _END, _KNOTS))
        share[[0, -1]] = 0, 1  # the ends are the smallest and largest value
        self.table.copy_(torch.from_numpy(np.quantile(values, share, axis=0).T.copy()))

    def conditions(self, z: Tensor) -> Tensor:
        """Return the conditions, (..., P) in the units of `CONDITIONS`, of latents (..., D)."""
        t = z[..., self.latent_dim - len(self.names) :]
        position = ((t + _END) / (2 * _END) * (_KNOTS - 1)).clamp(0, _KNOTS - 1)
        below = position.detach().floor().clamp(max=_KNOTS - 2)
        index = below.long().movedim(-1, 0)
        flat = index.reshape(len(self.names), -1)
        low, high = (
            self.table.gather(1, i).reshape(index.shape).movedim(0, -1) for i in (flat, flat + 1)
        )
        return low + (position - below) * (high - low)

    def given(self, z: Tensor, conditions: Tensor) -> Tensor:
        """Return latents, (n, D), with other conditions, (n, P) in the units of `CONDITIONS`."""
        wanted = conditions.to(self.table).mT.contiguous()
        table = self.table.contiguous()
        t = torch.zeros_like(wanted)
        for right in (False, True):  # the middle of what an often repeated value covers
            after = torch.searchsorted(table, wanted, right=right).clamp(1, _KNOTS - 1)
            low, high = table.gather(1, after - 1), table.gather(1, after)
            share = ((wanted - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
            t += (after - 1 + share) / 2
        t = t / (_KNOTS - 1) * (2 * _END) - _END
        return torch.cat([z[:, : self.latent_dim - len(self.names)], t.mT.to(z)], 1)


class ConditionalDiscriminator(nn.Module):
    r"""The paper's discriminator, told the conditions by projection (Miyato and Koyama 2018).

    .. math:: \mathrm{logit} = D(x) + \phi(x) \cdot e(t) / \sqrt{F}

    with φ the last F features of D, and e a small network.

    Parameters
    ----------
    conditions : int
        P.
    size, ndf, channels, redesigned
        As for `Discriminator`.
    """

    def __init__(
        self, *, size: int, ndf: int, conditions: int, channels: int = 1, redesigned: bool = True
    ) -> None:
        super().__init__()
        whole = Discriminator(size=size, ndf=ndf, channels=channels, redesigned=redesigned)
        self.features, self.verdict = whole.layers[:-1], whole.layers[-1]
        self.count = next(self.verdict.parameters())[0].numel()
        self.embedding = nn.Sequential(
            nn.Linear(conditions, _HIDDEN),
            nn.LeakyReLU(0.2),
            nn.Linear(_HIDDEN, self.count, bias=False),
        )

    def forward(self, images: Tensor, conditions: Tensor) -> Tensor:
        """Return the logit that each image is real and has its conditions, as (n,).

        Parameters
        ----------
        images : (n, C, H, W) Tensor
            On the clean scale, vacuum 0.45.
        conditions : (n, P) Tensor
            As latents: standard normal in the data.
        """
        features = self.features(2 * images - 1)
        match = (features.flatten(1) * self.embedding(conditions)).sum(1)
        return self.verdict(features).flatten() + match / math.sqrt(self.count)
