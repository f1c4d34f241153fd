"""Examples for an encoder of columns: noisy frames, and what is in them.

Each is a random crop of a clean image. Part of its rim is hidden but still asked for, its exposure
is a little off, and its noise is of any family and level. What is large is computed where the
encoder is trained.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emprior.datasets import Dataset
from emprior.errors import RecipeError
from emprior.generators.columns import Element
from emprior.generators.encoder import SPREAD
from emprior.generators.guess import OPTICS, RING
from emprior.noise import ClippedPoisson, NoiseModel
from emprior.specimen import TYPICAL_MEAN
from emprior.training.columns_recipe import NoiseRange

_POISSON, _CLIPPED = 0.45, 0.15  # shares of the noise families; the rest is Gaussian
_UNSEEN = 0.75  # probability that one side of a frame is hidden
_UNIT, _ORIGIN = 0.06, 0.01  # deviations of the exposure from the right one
_REACH = 6  # pixels at which the bump of a column has faded
_MIDDLE, _SCALE = np.array(list(OPTICS.values()), np.float32).T

Floats = NDArray[np.float32]


class Examples(NamedTuple):
    """A batch for `emprior.generators.ColumnEncoder`, whose `forward` explains the fields."""

    frame: Tensor
    seen: Tensor
    deviation: Tensor
    maps: Tensor
    optics: Tensor
    """(B, 8), in the units of `OPTICS`."""


class _Truth(NamedTuple):
    """What one image shows."""

    points: Floats
    """(M, 2), row and column of each column of atoms."""
    element: NDArray[np.intp]
    atoms: Floats
    """In units of the element's typical number."""
    optics: dict[str, float]


class ExampleSource:
    """Draws examples from a data set.

    Parameters
    ----------
    data : Dataset
    elements : sequence of Element
        Those that the encoder tells apart.
    crop : int
        Pixels along each side.
    noise : NoiseRange
    device : torch.device
        Where the examples are to be.
    """

    def __init__(
        self,
        data: Dataset,
        elements: tuple[Element, ...],
        crop: int,
        noise: NoiseRange,
        device: torch.device,
    ) -> None:
        self.data, self.elements, self.crop, self.noise = data, elements, crop, noise
        self.device = device
        self._truths: dict[int, _Truth] = {}  # reading them anew would take longer than the rest

    def draw(self, n: int, rng: np.random.Generator, noise: NoiseModel | None = None) -> Examples:
        """Draw examples.

        Parameters
        ----------
        n : int
        rng : numpy.random.Generator
        noise : NoiseModel, optional
            Of the encoder's pixels, for all frames alike rather than any for each.

        Raises
        ------
        RecipeError
            If an image shows an element that is not among `elements`.
        """
        crops = self.data.crops(n, (self.crop, self.crop), rng)
        truths = [self._truth(int(i)) for i in crops.index]
        numbers = {name: [truth.optics[name] for truth in truths] for name in truths[0].optics}
        numbers["unit"] = np.exp(_UNIT * rng.standard_normal(n)).tolist()
        numbers["origin"] = (_ORIGIN * rng.standard_normal(n)).tolist()
        told = np.array([numbers[name] for name in OPTICS], np.float32).T
        unit, origin = (
            self._there(np.array(numbers[name], np.float32)) for name in ("unit", "origin")
        )
        clean = crops.images[:, 0]
        if noise is None:
            noisy, deviation = corrupt(self._there(clean), self.noise, rng)
        else:
            noisy = self._there(noise.sample(clean, rng).astype(np.float32))
            deviation = noisy.new_full((n,), _deviation(noise))
        frame = unit[:, None, None] * noisy + origin[:, None, None]
        seen, maps = self._there(_windows(n, self.crop, rng)), self._maps(truths, crops.corner)
        # A specimen may lie either way up, and be seen from either side.
        for axis in (-2, -1):
            mirrored = self._there(rng.random(n) < 0.5)[:, None, None]
            frame = torch.where(mirrored, frame.flip(axis), frame)
            seen = torch.where(mirrored, seen.flip(axis), seen)
            maps = torch.where(mirrored[:, None], maps.flip(axis), maps)
        return Examples(frame, seen, unit * deviation, maps, self._there((told - _MIDDLE) / _SCALE))

    def _there(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def _truth(self, i: int) -> _Truth:
        if i not in self._truths:
            columns, optics = self.data.columns(i, _REACH), self.data.optics(i)
            structure = self.data.structure(self.data.structure_id(i))
            known = [element.number for element in self.elements]
            if foreign := sorted(set(columns.numbers.tolist()) - set(known)):
                raise RecipeError(
                    f"columns of atomic number {foreign[0]} in {self.data.directory}",
                    expected=f"only the network's elements, {', '.join(map(str, known))}",
                    why="the encoder would learn to overlook them",
                    fix="add the element to network.elements, or train on other data",
                )
            element = np.argsort(known)[np.searchsorted(sorted(known), columns.numbers)]
            typical = np.array([e.typical for e in self.elements])
            standing = [e.number for e in self.elements if not e.through]
            z = structure.positions[np.isin(structure.numbers, standing), 2]
            tilt_columns, tilt_rows = np.abs(np.tan(self.data.tilt(i)))
            self._truths[i] = _Truth(
                np.stack([columns.rows, columns.columns], 1).astype(np.float32),
                element,
                (columns.counts / typical[element]).astype(np.float32),
                {
                    "defocus": optics.defocus,
                    "tilt_columns": tilt_columns,
                    "tilt_rows": tilt_rows,
                    "thickness": structure.thickness,
                    "blur": optics.blur,
                    "centre": z.mean() / structure.thickness if len(z) else 0.5,
                },
            )
        return self._truths[i]

    def _maps(self, truths: list[_Truth], corners: NDArray[np.intp]) -> Tensor:
        """Return the density maps of crops, (n, 2E, H, W)."""
        n, E, size = len(truths), len(self.elements), self.crop
        near = []
        for truth, corner in zip(truths, corners, strict=True):
            points = truth.points - corner.astype(np.float32)
            inside = (np.abs(points - size / 2) < size / 2 + _REACH).all(1)
            near.append((points[inside], truth.element[inside], truth.atoms[inside]))
        most = max(len(points) for points, _, _ in near)
        where = np.zeros((n, most, 2), np.float32)
        weight = np.zeros((n, 2, E, most), np.float32)  # none where there is no column
        for k, (points, element, atoms) in enumerate(near):
            some = np.arange(len(points))
            where[k, some] = points
            weight[k, 0, element, some], weight[k, 1, element, some] = 1, atoms
        # A bump is a product of one along rows and one along columns; so is a sum of them.
        offset = torch.arange(size, device=self.device) - self._there(where)[..., None]
        along_r, along_c = torch.exp(-(offset**2) / (2 * SPREAD**2)).unbind(2)
        weighted = self._there(weight).flatten(1, 2)[..., None] * along_r[:, None]
        return weighted.mT @ along_c[:, None]


def corrupt(clean: Tensor, noise: NoiseRange, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return unbiased means of noisy detector pixels, (n, H, W), and their typical deviation, (n,).

    Parameters
    ----------
    clean : (n, H, W) Tensor
    noise : NoiseRange
    rng : numpy.random.Generator
        Draws the noise, its family and its level, for each image others.
    """
    n, pixels = len(clean), noise.pooling**2
    rate = clean.clamp(min=0)  # splines and blurs may leave a little less
    generator = torch.Generator(clean.device).manual_seed(int(rng.integers(2**63)))
    family = rng.random(n)
    dose, sigma = _log_uniform(noise.dose, n, rng), _log_uniform(noise.sigma, n, rng)
    noisy, deviation = torch.empty_like(clean), np.empty(n, np.float32)

    counted = family < _POISSON
    scale = torch.from_numpy(pixels * dose[counted]).to(clean)[:, None, None]
    noisy[counted] = torch.poisson(scale * rate[counted], generator) / scale
    deviation[counted] = np.sqrt(TYPICAL_MEAN / (pixels * dose[counted]))

    clipped = (family >= _POISSON) & (family < _POISSON + _CLIPPED)
    # Each detector pixel is hit or not, so the number of hits is binomial.
    chance = -torch.expm1(-rate[clipped])
    hits = torch.binomial(torch.full_like(chance, pixels), chance, generator)
    # Where all are hit, half a miss stands for the mean rate that cannot be told.
    noisy[clipped] = -torch.log1p(-hits.clamp(max=pixels - 0.5) / pixels)
    deviation[clipped] = _deviation(ClippedPoisson()) / noise.pooling

    normal = family >= _POISSON + _CLIPPED
    spread = sigma[normal] / noise.pooling
    drawn = torch.randn(clean[normal].shape, generator=generator, device=clean.device)
    noisy[normal] = clean[normal] + torch.from_numpy(spread).to(clean)[:, None, None] * drawn
    deviation[normal] = spread
    return noisy, torch.from_numpy(deviation).to(clean.device)


def _deviation(model: NoiseModel) -> float:
    return float(model.fisher(np.array(TYPICAL_MEAN)) ** -0.5)


def _log_uniform(bounds: tuple[float, float], n: int, rng: np.random.Generator) -> Floats:
    low, high = np.log(bounds)
    return np.exp(rng.uniform(low, high, n)).astype(np.float32)


def _windows(n: int, size: int, rng: np.random.Generator) -> Floats:
    """Return 1 where frames are seen, (n, H, W); `RING` is hidden at some of their sides."""
    sides = np.where(rng.random((n, 4)) < _UNSEEN, RING, 0)
    seen = np.zeros((n, size, size), np.float32)
    for one, (top, bottom, left, right) in zip(seen, sides, strict=True):
        one[top : size - bottom, left : size - right] = 1
    return seen
