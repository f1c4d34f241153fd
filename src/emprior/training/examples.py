"""Examples for an encoder of columns: noisy frames, and what is in them.

Each is a random crop of a clean image. Part of its rim is hidden but still asked for, its exposure
is a little off, and its noise is of any family and level.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emprior.datasets import Dataset
from emprior.errors import RecipeError
from emprior.generators.columns import Element
from emprior.generators.encoder import SPREAD
from emprior.generators.guess import OPTICS, RING
from emprior.noise import ClippedPoisson, Gaussian, NoiseModel, Poisson
from emprior.specimen import TYPICAL_MEAN
from emprior.training.columns_recipe import NoiseRange

_POISSON, _CLIPPED = 0.45, 0.15  # shares of the noise families; the rest is Gaussian
_UNSEEN = 0.75  # probability that one side of a frame is hidden
_UNIT, _ORIGIN = 0.06, 0.01  # deviations of the exposure from the right one
_REACH = 6  # pixels at which the bump of a column has faded
_MIDDLE, _SCALE = np.array(list(OPTICS.values())).T

Floats = NDArray[np.float32]


class Examples(NamedTuple):
    """A batch for `emprior.generators.ColumnEncoder`, whose `forward` explains the fields."""

    frame: Tensor
    seen: Tensor
    deviation: Tensor
    maps: Tensor
    optics: Tensor
    """(B, 8), in the units of `OPTICS`."""

    def to(self, device: torch.device) -> Self:
        """Return the batch on a device."""
        return type(self)(*(tensor.to(device) for tensor in self))


class _Truth(NamedTuple):
    """What one image shows."""

    rows: Floats
    columns: Floats
    element: NDArray[np.intp]
    atoms: Floats  # in units of the element's typical number
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
    """

    def __init__(
        self, data: Dataset, elements: tuple[Element, ...], crop: int, noise: NoiseRange
    ) -> None:
        self.data, self.elements, self.crop, self.noise = data, elements, crop, noise
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
        size = self.crop
        crops = self.data.crops(n, (size, size), rng)
        frames, seen = np.empty((2, n, size, size), np.float32)
        maps = np.empty((n, 2 * len(self.elements), size, size), np.float32)
        deviations, optics = np.empty(n, np.float32), np.empty((n, len(OPTICS)), np.float32)
        for k, (clean, i, corner) in enumerate(
            zip(crops.images[:, 0], crops.index, crops.corner, strict=True)
        ):
            truth = self._truth(int(i))
            unit, origin = np.exp(_UNIT * rng.standard_normal()), _ORIGIN * rng.standard_normal()
            if noise is None:
                noisy, deviation = corrupt(clean, self.noise, rng)
            else:
                noisy, deviation = noise.sample(clean, rng), _deviation(noise)
            frames[k], deviations[k] = unit * noisy + origin, unit * deviation
            seen[k] = _window(size, rng)
            maps[k] = self._maps(truth, *corner)
            numbers = {**truth.optics, "unit": unit, "origin": origin}
            if rng.random() < 0.5:
                for array in (frames[k], seen[k], maps[k]):
                    array[:] = array[..., ::-1].copy()
            optics[k] = ([numbers[name] for name in OPTICS] - _MIDDLE) / _SCALE
        return Examples(*map(torch.from_numpy, (frames, seen, deviations, maps, optics)))

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
                columns.rows.astype(np.float32),
                columns.columns.astype(np.float32),
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

    def _maps(self, truth: _Truth, row: int, column: int) -> Floats:
        """Return the density maps of a crop, (2E, H, W)."""
        size, E = self.crop, len(self.elements)
        rows, columns = truth.rows - row, truth.columns - column
        near = (np.abs(np.stack([rows, columns]) - size / 2) < size / 2 + _REACH).all(0)
        rows, columns = rows[near], columns[near]
        # Bumps are cut to stamps, which are added up on a canvas with room for those at its rim.
        offsets, side = np.arange(-_REACH, _REACH + 1), size + 4 * _REACH + 1
        r, c = (np.rint(x).astype(np.intp)[:, None] + offsets for x in (rows, columns))
        along_r, along_c = (
            np.exp(-((at - x[:, None]) ** 2) / np.float32(2 * SPREAD**2))
            for at, x in ((r, rows), (c, columns))
        )
        stamps = along_r[:, :, None] * along_c[:, None, :]
        line = truth.element[near, None] * side + r + 2 * _REACH
        index = (line[:, :, None] * side + c[:, None, :] + 2 * _REACH).ravel()
        maps = [
            np.bincount(index, weights.ravel(), E * side * side).reshape(E, side, side)
            for weights in (stamps, truth.atoms[near, None, None] * stamps)
        ]
        inside = slice(2 * _REACH, 2 * _REACH + size)
        return np.concatenate(maps)[:, inside, inside].astype(np.float32)


def corrupt(clean: Floats, noise: NoiseRange, rng: np.random.Generator) -> tuple[Floats, float]:
    """Return unbiased means of noisy detector pixels, and their typical deviation.

    Parameters
    ----------
    clean : (H, W) ndarray
    noise : NoiseRange
    rng : numpy.random.Generator
        Draws the noise, its family and its level.
    """
    family = rng.random()
    if family < _POISSON:
        model: NoiseModel = Poisson(1 / _log_uniform(noise.dose, rng)).averaged(noise.pooling**2)
    elif family < _POISSON + _CLIPPED:
        # Each detector pixel is hit or not, so the number of hits is binomial.
        single, pixels = ClippedPoisson(), noise.pooling**2
        hits = rng.binomial(pixels, np.clip(single.mean(clean), 0, 1))
        # Where all are hit, half a miss stands for the mean rate that cannot be told.
        rate = -np.log1p(-np.minimum(hits, pixels - 0.5) / pixels)
        return rate.astype(np.float32), _deviation(single) / noise.pooling
    else:
        model = Gaussian(_log_uniform(noise.sigma, rng)).averaged(noise.pooling**2)
    return model.sample(clean, rng), _deviation(model)


def _deviation(model: NoiseModel) -> float:
    return float(model.fisher(np.array(TYPICAL_MEAN)) ** -0.5)


def _log_uniform(bounds: tuple[float, float], rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(*np.log(bounds))))


def _window(size: int, rng: np.random.Generator) -> Floats:
    """Return 1 where a frame is seen; `RING` is hidden at some of its sides."""
    top, bottom, left, right = np.where(rng.random(4) < _UNSEEN, RING, 0)
    seen = np.zeros((size, size), np.float32)
    seen[top : size - bottom, left : size - right] = 1
    return seen
