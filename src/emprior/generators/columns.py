r"""A generator of atomic columns and optics: its latent vector is the specimen.

Around a first guess of the columns (a `Scene`) the latent numbers move each lattice as a whole,
each column by itself, its number of atoms, and the optics; all are scaled to be standard normal
under the prior. The image is a multislice calculation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from emprior.generators.base import Generator
from emprior.generators.multislice import Multislice, splat

_SHIFT, _STRAIN = 0.3, 0.005  # Å and relative: of a lattice as a whole
_DEFOCUS, _TILT, _CENTRE, _THICKNESS, _BLUR = 40.0, 0.035, 5.0, 6.0, 0.05  # Å, rad, Å, Å, Å
_OPTICS = 6  # latent numbers for them: defocus, two tilts, centre, thickness, blur


@dataclass(frozen=True)
class Element:
    """What is known of the columns of one element.

    Parameters
    ----------
    number : int
        Atomic number.
    spacing : float
        Of the atoms along a column [Å].
    typical : float
        Number of atoms in a typical column.
    through : bool
        Whether columns reach through the whole thickness, as in a slab, or stand about a centre
        of their own, as in a particle on it.
    """

    number: int
    spacing: float
    typical: float
    through: bool

    @property
    def count_sd(self) -> float:
        """Prior standard deviation of the logarithm of one column's number of atoms."""
        return 0.06 if self.through else 0.35


@dataclass(frozen=True, eq=False)
class Scene:
    """Atomic columns and optics, as first guessed.

    Attributes
    ----------
    rows, columns : (M,) Tensor
        Where each column's atoms appear on average, in pixels of the generator's grid.
    element : (M,) Tensor of int
        Which of the elements it is.
    counts : (M,) Tensor
        Atoms in it; of a column that reaches through, the share of its sites that are filled.
    position_sd : (M,) Tensor
        How far it may stand from there by itself [Å].
    defocus, thickness, centre, blur : Tensor
        Scalars [Å]; the centre is that of columns that do not reach through.
    tilt : (2,) Tensor
        Displacement along rows and along columns for each Å above the exit plane.
    """

    rows: Tensor
    columns: Tensor
    element: Tensor
    counts: Tensor
    position_sd: Tensor
    defocus: Tensor
    thickness: Tensor
    centre: Tensor
    blur: Tensor
    tilt: Tensor


class ColumnGenerator(Generator):
    """Images of the scenes near a given one.

    The latent vector holds, in this order: for columns that reach through and for those that do
    not, a common shift (2) and strain (4); for each column its own shift along rows, along
    columns, and the logarithm of its number of atoms; then defocus, tilt (2), centre, thickness
    and blur.

    Parameters
    ----------
    scene : Scene
        Stands at latent zero.
    elements : tuple of Element
    multislice : Multislice
    """

    channels = 1
    through: Tensor
    spacing: Tensor
    count_sd: Tensor

    def __init__(self, scene: Scene, elements: tuple[Element, ...], multislice: Multislice) -> None:
        super().__init__()
        self.scene, self.elements, self.multislice = scene, elements, multislice
        self.image_shape, self.pixel_size = multislice.shape, multislice.pixel_size
        self.latent_dim = 12 + 3 * len(scene.rows) + _OPTICS

        def each(values: list[float] | list[bool]) -> Tensor:
            kind = torch.bool if isinstance(values[0], bool) else scene.rows.dtype
            return torch.tensor(values, dtype=kind, device=scene.rows.device)[scene.element]

        self.register_buffer("through", each([element.through for element in elements]))
        self.register_buffer("spacing", each([element.spacing for element in elements]))
        self.register_buffer("count_sd", each([element.count_sd for element in elements]))

    def tilted(self, tilts: list[tuple[float, float]]) -> Tensor:
        """Return latent vectors, (K, D), of the scene under other tilts.

        Parameters
        ----------
        tilts : list of (along rows, along columns)
            Added to the scene's own, as tangents.
        """
        z = torch.zeros(len(tilts), self.latent_dim).to(self.example)
        first = self.latent_dim - _OPTICS + 1
        z[:, first : first + 2] = torch.tensor(tilts).to(z) / _TILT
        return z

    def at(self, z: Tensor) -> Scene:
        """Return the scenes of latent vectors (B, D); every field gains a leading axis B."""
        scene, pixel = self.scene, self.pixel_size
        B, M = len(z), len(scene.rows)
        lattices, own, optics = z.split([12, 3 * M, _OPTICS], dim=1)
        lattice = lattices.view(B, 2, 6)[:, self.through.long()]  # (B, M, 6)
        own = own.view(B, 3, M)
        # Strain is about the middle of the field, so that it does not shift what it stretches.
        H, W = self.image_shape
        from_middle = torch.stack([scene.rows - H / 2, scene.columns - W / 2], dim=-1)
        strained = (lattice[..., 2:].unflatten(-1, (2, 2)) @ from_middle[..., None])[..., 0]
        shift = _SHIFT / pixel * lattice[..., :2] + _STRAIN * strained
        shift = shift + scene.position_sd[:, None] / pixel * own[:, :2].mT
        return Scene(
            rows=scene.rows + shift[..., 0],
            columns=scene.columns + shift[..., 1],
            element=scene.element,
            counts=scene.counts * torch.exp(self.count_sd * own[:, 2]),
            position_sd=scene.position_sd,
            defocus=scene.defocus + _DEFOCUS * optics[:, 0],
            tilt=scene.tilt + _TILT * optics[:, 1:3],
            centre=scene.centre + _CENTRE * optics[:, 3],
            # Far outside the range of the simulation, waves are not worth propagating.
            thickness=(scene.thickness + _THICKNESS * optics[:, 4]).clamp(min=5.0),
            blur=(scene.blur + _BLUR * optics[:, 5]).clamp(min=0.2),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Return clean images, (B, 1, H, W), of latent vectors, (B, D)."""
        scene, B = self.at(z), len(z)
        half = 2 * self.multislice.slices  # two points a slice follow a tilted column
        thickness = scene.thickness[:, None]
        centre = torch.where(self.through, thickness / 2, scene.centre[:, None])
        # Columns that reach through lack single atoms anywhere; the others are whole but short.
        share = torch.where(self.through, scene.counts, 1.0)
        reach = torch.where(self.through, thickness, scene.counts * self.spacing) / 2
        edges = torch.linspace(0, 1, half + 1).to(z) * thickness[..., None]
        # Atoms of each column, evenly spaced about its centre, that lie before each edge.
        low, high = (centre - reach)[..., None], (centre + reach)[..., None]
        before = (edges - low).clamp(min=0) - (edges - high).clamp(min=0)
        atoms = (share / self.spacing)[..., None] * before.diff(dim=-1)
        middle = (edges[..., 1:] + edges[..., :-1]) / 2
        height = (centre[..., None] - middle) / self.pixel_size  # above the column's own centre
        rows = scene.rows[..., None] + height * scene.tilt[:, 0, None, None]
        columns = scene.columns[..., None] + height * scene.tilt[:, 1, None, None]
        E, S = len(self.elements), self.multislice.slices
        index = self.scene.element[:, None] * S + torch.arange(half, device=z.device) // 2
        rows, columns, atoms = (points.flatten(1) for points in (rows, columns, atoms))
        density = splat(rows, columns, atoms, index.flatten(), E * S, self.image_shape)
        density = density.view(B, E, S, *self.image_shape)
        focal_spread = torch.full_like(scene.defocus, 40.0)
        image = self.multislice(density, scene.defocus, scene.thickness, focal_spread, scene.blur)
        return image[:, None]
