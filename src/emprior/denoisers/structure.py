"""What the fits of a prior of columns say of the specimen and the optics, and how surely."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from torch import Tensor
from torch.func import jacrev

from emprior.denoisers.pose import pooling
from emprior.denoisers.presence import presence
from emprior.found import Found, FoundColumns, FoundOptics, Measured
from emprior.generators import ColumnGenerator
from emprior.grid import Tile, blend
from emprior.inversion import laplace
from emprior.micrograph import Micrograph
from emprior.noise import NoiseModel

if TYPE_CHECKING:
    from emprior.denoisers.prior import Fit

Floats = NDArray[np.floating]

_COHERENT = 3.0
"""By how much the optics err more than noise alone would make them, measured on validation.

What the generator draws wrongly it draws alike in all columns; numbers that all share are bent by
it, those of one column hardly.
"""
_RANGE_ERROR = 3e-3  # what the best image of the generator lacks, root mean square: 51 dB
_AVERAGED = 2  # of the generator's pixels, for derivatives: a quarter of the products, 2 % of an sd
_NEAR = 0.5  # Å; columns of two windows that stand nearer along both axes are one


class _Window(NamedTuple):
    """What was found in one window; positions in pixels of the frame, deviations in Å."""

    points: Floats  # (M, 2)
    points_sd: Floats  # (M, 2)
    numbers: NDArray[np.intp]
    atoms: Floats
    atoms_sd: Floats
    probability: Floats
    optics: FoundOptics
    deviation: Floats  # (h, w)


def structure(
    fits: list[Fit], micrograph: Micrograph, noise: NoiseModel, pixel_size: float
) -> Found:
    """Return what fits of a micrograph say of the specimen.

    Parameters
    ----------
    fits : list of Fit
        Of all windows of the micrograph, by a generator of columns.
    micrograph : Micrograph
    noise : NoiseModel
    pixel_size : float
        Of the micrograph [Å].

    Returns
    -------
    Found

    Notes
    -----
    Deviations are those of Laplace's approximation (`emprior.inversion.laplace`), widened by what
    it cannot know: the optics' by one factor, and with them all that depends on them, and that of
    the image by the error of the generator's best. Still too narrow where the search ended in a
    wrong optimum, such as a tilt of the wrong sign.

    Of overlapping windows each answers for the columns nearest to its middle; the optics are
    averaged.
    """
    tiles = [fit.pose.windows[0] for fit in fits]
    windows = [_window(fit, micrograph, noise, pixel_size) for fit in fits]
    mine = _shared(tiles, [window.points for window in windows], micrograph.shape, pixel_size)

    def all_of(name: str) -> NDArray[Any]:
        return np.concatenate(
            [getattr(w, name)[keep] for w, keep in zip(windows, mine, strict=True)]
        )

    points, points_sd = all_of("points"), all_of("points_sd")
    columns = FoundColumns(
        rows=points[:, 0],
        columns=points[:, 1],
        numbers=all_of("numbers"),
        atoms=all_of("atoms"),
        probability=all_of("probability"),
        rows_sd=points_sd[:, 0],
        columns_sd=points_sd[:, 1],
        atoms_sd=all_of("atoms_sd"),
        pixel_size=pixel_size,
    )
    optics = FoundOptics.mean([window.optics for window in windows])
    deviation = blend(micrograph.shape, tiles, [window.deviation for window in windows])
    return Found(columns, optics, deviation)


def _window(fit: Fit, micrograph: Micrograph, noise: NoiseModel, pixel_size: float) -> _Window:
    generator = fit.pose.generator
    assert isinstance(generator, ColumnGenerator)
    assert fit.pose.probability is not None
    tile, pitch = fit.pose.windows[0], pixel_size / generator.pixel_size
    shape = micrograph.image[tile].shape
    problem, _ = fit.pose.problem(micrograph, noise, pitch)
    factor = _AVERAGED * pooling(shape, pitch)
    # Noise that cannot be pooled has left the problem on the frame's own pixels.
    left = factor if problem.noisy.shape[-2:] == shape else _AVERAGED
    posterior = laplace(problem, fit.latent[0], left)

    def numbers(z: Tensor) -> Tensor:
        """Return rows, columns and atoms of all columns, then the optics."""
        scene = generator.at(z[None, : generator.latent_dim])
        share = torch.where(generator.through, scene.thickness / generator.spacing, 1.0)
        optics = [scene.defocus[0], *torch.atan(scene.tilt[0]), scene.thickness[0]]
        found = scene.rows[0], scene.columns[0], (scene.counts * share)[0]
        return torch.cat([*found, torch.stack(optics)])

    with torch.no_grad():
        value = numbers(fit.latent[0]).double().cpu().numpy()
        slope = jacrev(numbers)(fit.latent[0]).double()
        covariance = _widened(posterior.covariance, generator.optics)
        variance = ((slope @ covariance) * slope).sum(1)
    sd = variance.sqrt().cpu().numpy()
    M = len(generator.scene.rows)
    on_grid, sd_on_grid = value[: 2 * M].reshape(2, M).T, sd[: 2 * M].reshape(2, M).T
    field = np.array(generator.image_shape)
    origin = np.array([tile.rows.start, tile.columns.start])
    points = (on_grid + 0.5 - field / 2) / pitch + np.array(shape) / 2 - 0.5 + origin
    atoms, atoms_sd = value[2 * M : 3 * M], sd[2 * M : 3 * M]
    there = presence(problem, fit.latent, fit.pose.probability)[0]
    elements = np.array([element.number for element in generator.elements])
    return _Window(
        points=points,
        points_sd=sd_on_grid * generator.pixel_size,
        numbers=elements[generator.scene.element.cpu().numpy()],
        atoms=atoms,
        atoms_sd=atoms_sd,
        probability=there.double().cpu().numpy(),
        optics=FoundOptics(*map(Measured, value[3 * M :].tolist(), sd[3 * M :].tolist())),
        deviation=np.hypot(
            _on_pixels(posterior.deviation.cpu().numpy(), factor, shape),
            _RANGE_ERROR * fit.pose.exposure.unit,
        ),
    )


def _widened(covariance: Tensor, shared: slice) -> Tensor:
    r"""Return a covariance with shared numbers `_COHERENT` times less certain.

    .. math:: \Sigma + (c^2 - 1)\, \Sigma_{\cdot s} \Sigma_{ss}^{-1} \Sigma_{s\cdot}

    The others keep their covariance given the shared ones, and follow them as before.
    """
    rows = covariance[shared]
    return covariance + (_COHERENT**2 - 1) * rows.T @ torch.linalg.solve(rows[:, shared], rows)


def _on_pixels(pooled: Floats, factor: int, shape: tuple[int, ...]) -> Floats:
    """Interpolate a map on blocks of pixels to the pixels; straight, so that it stays positive."""
    where = [(np.arange(n) + 0.5) / factor - 0.5 for n in shape]
    grid = np.meshgrid(*where, indexing="ij")
    return np.asarray(ndimage.map_coordinates(pooled, grid, order=1, mode="nearest"))


def _shared(
    tiles: list[Tile], points: list[Floats], shape: tuple[int, int], pixel_size: float
) -> list[NDArray[np.bool_]]:
    """Tell which columns of each window are the frame's: within it, and of no window nearer by.

    Near the line between two windows both are asked, and what they both see is counted once:
    otherwise a column on the line would be lost, or doubled, where they disagree on its side.
    """
    middles = np.array([[(s.start + s.stop - 1) / 2 for s in tile] for tile in tiles])
    near = _NEAR / pixel_size
    owner = np.repeat(np.arange(len(tiles)), [len(p) for p in points])
    joined = np.concatenate(points)
    distance = np.linalg.norm(joined[:, None] - middles, axis=-1)  # (columns, windows)
    own = distance[np.arange(len(joined)), owner]
    mine = np.all((joined >= -0.5) & (joined < np.array(shape) - 0.5), axis=1)
    mine &= own <= distance.min(1) + 2 * near
    kept = np.flatnonzero(mine)
    pairs = cKDTree(joined[kept]).query_pairs(near, p=np.inf, output_type="ndarray")
    for first, second in kept[pairs]:
        if owner[first] != owner[second] and mine[first] and mine[second]:
            mine[first if own[first] > own[second] else second] = False
    return np.split(mine, np.cumsum([len(p) for p in points])[:-1])
