r"""A generator of atomic columns and optics: its latent vector is the specimen.

Around a first guess of the columns (a `Scene`) the latent numbers move each lattice as a whole,
each column by itself, its number of atoms, and the optics; all are scaled to be standard normal
under the prior. The image is a multislice calculation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from emprior.generators.base import Generator
from emprior.generators.multislice import Multislice

_SHIFT, _STRAIN = 0.3, 0.005  # Å and relative: of a lattice as a whole
_DEFOCUS, _TILT, _CENTRE, _THICKNESS, _BLUR = 40.0, 0.035, 5.0, 6.0, 0.05  # Å, rad, Å, Å, Å
_THIN, _FINE = 10, 1.2  # slices and fineness that are enough for any image
_LAYER = 1.0  # Å, how far the columns of a layer may begin from others
_LIGHT = 20  # atomic number up to which single atoms may be missing from columns that reach through
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
        """Prior standard deviation of the logarithm of one column's number of atoms.

        The heavy atoms of a crystal hold it together, light ones may be missing.
        """
        if not self.through:
            return 0.35
        return 0.06 if self.number <= _LIGHT else 0.02

    @property
    def height_sd(self) -> float:
        """Prior standard deviation of the mean height of one column's atoms [Å]."""
        if not self.through:
            return 1.7
        return 0.85 if self.number <= _LIGHT else 0.2


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
    layer : (M,) Tensor of int
        Columns of one layer have their atoms at like heights; −1 for those of none.
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
    layer: Tensor
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
    columns, and the logarithm of its number of atoms; the height of each layer; then defocus,
    tilt (2), centre, thickness and blur.

    A column whose atoms lie higher by h than those of others appears displaced by h times the
    tilt. So shifts along the tilt may be larger than those across it.

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
    height_sd: Tensor

    def __init__(self, scene: Scene, elements: tuple[Element, ...], multislice: Multislice) -> None:
        super().__init__()
        self.scene, self.elements, self.multislice = scene, elements, multislice
        self.image_shape, self.pixel_size = multislice.shape, multislice.pixel_size
        self.layers = int(scene.layer.max()) + 1 if len(scene.layer) else 0
        self.latent_dim = 12 + 3 * len(scene.rows) + self.layers + _OPTICS

        def each(values: list[float] | list[bool]) -> Tensor:
            kind = torch.bool if isinstance(values[0], bool) else scene.rows.dtype
            return torch.tensor(values, dtype=kind, device=scene.rows.device)[scene.element]

        self.register_buffer("through", each([element.through for element in elements]))
        self.register_buffer("spacing", each([element.spacing for element in elements]))
        self.register_buffer("count_sd", each([element.count_sd for element in elements]))
        self.register_buffer("height_sd", each([element.height_sd for element in elements]))

    @property
    def optics(self) -> slice:
        """Which latent numbers are the optics."""
        return slice(self.latent_dim - _OPTICS, self.latent_dim)

    def tilted(
        self, tilts: Sequence[tuple[float, float]], defoci: Sequence[float] = (0.0,)
    ) -> Tensor:
        """Return latent vectors, (K, L, D), of the scene at K other tilts and L defoci.

        Parameters
        ----------
        tilts : sequence of (along rows, along columns)
            Added to the scene's own, as tangents.
        defoci : sequence of float
            Added to its own [Å].
        """
        moves = [[(d / _DEFOCUS, r / _TILT, c / _TILT) for d in defoci] for r, c in tilts]
        z = torch.zeros(len(tilts), len(defoci), self.latent_dim).to(self.example)
        first = self.latent_dim - _OPTICS
        z[..., first : first + 3] = torch.tensor(moves).to(z)
        return z

    def local(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the places of the columns, (M, 2), and their own latent numbers, (M, 3)."""
        scene, M = self.at(z), len(self.scene.rows)
        numbers = 12 + torch.arange(3 * M, device=z.device).view(3, M).T
        return torch.stack([scene.rows[0], scene.columns[0]], dim=-1), numbers

    def sensitivity(self) -> Tensor:
        """Return roughly the squared norm of the image's derivatives, (D,)."""
        element = self.scene.element
        # Measured for Pt, Ce and O at 10 nm overfocus; only orders of magnitude matter. Heavier
        # columns, and those that reach through, show more.
        weight = torch.tensor([e.number * e.typical for e in self.elements]).to(self.example)
        weight = (weight / 500)[element]
        own = 3.0 * weight * self.scene.position_sd**2
        counts = 0.5 * weight * self.count_sd**2
        lattices = weight.new_zeros(2, 6)
        for kind in (0, 1):
            some = weight[self.through == bool(kind)].sum()
            lattices[kind, :2] = 3.0 * _SHIFT**2 * some
            lattices[kind, 2:] = 0.06 * _SHIFT**2 * some
        # At a tilt of 0.03; columns of no layer come last.
        layers = weight.new_zeros(self.layers + 1)
        layers.index_add_(0, self.scene.layer % len(layers), 3.0 * (0.03 * _LAYER) ** 2 * weight)
        area = self.image_shape[0] * self.image_shape[1] / 160**2
        optics = area * weight.new_tensor([7.0, 28.0, 28.0, 0.3, 1.0, 1.7])
        return torch.cat([lattices.flatten(), own, own, counts, layers[:-1], optics])

    def evidence(self, z: Tensor, information: Tensor) -> Tensor:
        r"""Return by how much each column, (B, M), raises the posterior, in nats, roughly.

        .. math:: n^2 / 2 \sigma_n^2 - u^2 / 2

        of its n atoms, whose latent number is u, with what the data tell of each latent number by
        itself, both (B, ≥ D), and as if images were linear in n.
        """
        M = len(self.scene.rows)
        at = slice(12 + 2 * M, 12 + 3 * M)
        typical = z.new_tensor([1.0 if e.through else e.typical for e in self.elements])
        n = self.at(z[:, : self.latent_dim]).counts / typical[self.scene.element]
        return ((n / self.count_sd) ** 2 * information[:, at] - z[:, at] ** 2) / 2

    def filled(self, z: Tensor, share: Tensor) -> Tensor:
        """Return latents (B, ≥ D) with each column's atoms multiplied by its share, (B, M)."""
        M = len(self.scene.rows)
        return z + F.pad(share.log() / self.count_sd, (12 + 2 * M, z.shape[1] - 12 - 3 * M))

    def at(self, z: Tensor) -> Scene:
        """Return the scenes of latent vectors (B, D); every field gains a leading axis B."""
        scene, pixel = self.scene, self.pixel_size
        B, M = len(z), len(scene.rows)
        lattices, own, layers, optics = z.split([12, 3 * M, self.layers, _OPTICS], dim=1)
        lattice = lattices.view(B, 2, 6)[:, self.through.long()]  # (B, M, 6)
        own = own.view(B, 3, M)
        # Strain is about the middle of the field, so that it does not shift what it stretches.
        H, W = self.image_shape
        from_middle = torch.stack([scene.rows - H / 2, scene.columns - W / 2], dim=-1)
        strained = (lattice[..., 2:].unflatten(-1, (2, 2)) @ from_middle[..., None])[..., 0]
        shift = _SHIFT / pixel * lattice[..., :2] + _STRAIN * strained
        tilt = scene.tilt + _TILT * optics[:, 1:3]
        height = _LAYER * F.pad(layers, (0, 1))[:, scene.layer]  # the last is that of no layer
        own_shift = self._own_shift(own[:, :2].mT, tilt) + height[..., None] * tilt[:, None]
        shift = shift + own_shift / pixel
        return Scene(
            rows=scene.rows + shift[..., 0],
            columns=scene.columns + shift[..., 1],
            element=scene.element,
            counts=scene.counts * torch.exp(self.count_sd * own[:, 2]),
            layer=scene.layer,
            position_sd=scene.position_sd,
            defocus=scene.defocus + _DEFOCUS * optics[:, 0],
            tilt=tilt,
            centre=scene.centre + _CENTRE * optics[:, 3],
            # Far outside the range of the simulation, waves are not worth propagating.
            thickness=(scene.thickness + _THICKNESS * optics[:, 4]).clamp(min=5.0),
            blur=(scene.blur + _BLUR * optics[:, 5]).clamp(min=0.2),
        )

    def _own_shift(self, own: Tensor, tilt: Tensor) -> Tensor:
        r"""Return by how much columns are displaced by themselves, (B, M, 2) [Å].

        .. math:: s u + (\sqrt{s^2 + h^2 t^2} - s) (u \cdot e) e

        of the latent numbers u, (B, M, 2), with the deviations s of position and h of height, and
        the tilt t along e: its variance along the tilt is s² + h²t², across it s².
        """
        sd = self.scene.position_sd[:, None]
        size = (tilt.square().sum(1) + 1e-8).sqrt()[:, None, None]  # (B, 1, 1), smooth at zero
        along = tilt[:, None] / size
        more = (sd**2 + (self.height_sd[:, None] * size) ** 2).sqrt() - sd
        return sd * own + more * (own * along).sum(-1, keepdim=True) * along

    def exact(self) -> ColumnGenerator:
        """Return the same generator by thin slices and a fine wave, or this one if it is that.

        It takes twice as long.
        """
        multislice = self.multislice
        if multislice.slices >= _THIN and multislice.fineness >= _FINE:
            return self
        return ColumnGenerator(self.scene, self.elements, multislice.regridded(_THIN, _FINE))

    def forward(self, z: Tensor) -> Tensor:
        """Return clean images, (B, 1, H, W), of latent vectors, (B, D)."""
        multislice = self.multislice
        scene, S = self.at(z), multislice.slices
        # Where each column is cut by half the thickness: there, slices are not displaced yet.
        offset = torch.where(self.through, 0.0, (scene.centre - scene.thickness / 2)[:, None])
        rows, columns = (
            where + offset * tilt[:, None] / self.pixel_size
            for where, tilt in ((scene.rows, scene.tilt[:, 0]), (scene.columns, scene.tilt[:, 1]))
        )
        spectra = self._spectra(rows, columns, self._through(scene), True)
        spectra = spectra + self._spectra(rows, columns, self._standing(scene), False)
        # The beam is inclined, so slices are displaced by their height above the middle.
        step = scene.thickness / S / self.pixel_size
        height = ((S - 1) / 2 - torch.arange(S).to(z)) * step[:, None]
        moves = multislice.shift(
            height * scene.tilt[:, :1], height * scene.tilt[:, 1:], step[:, None] * scene.tilt
        )
        focal_spread = torch.full_like(scene.defocus, 40.0)
        spectra = spectra * moves
        image = multislice(spectra, scene.defocus, scene.thickness, focal_spread, scene.blur)
        return image[:, None]

    def _through(self, scene: Scene) -> Tensor:
        """Return the atoms, (B, M, 1), that every slice has of columns that reach through.

        They lack single atoms anywhere.
        """
        atoms = scene.counts * (scene.thickness / self.multislice.slices)[:, None] / self.spacing
        return atoms[..., None]

    def _standing(self, scene: Scene) -> Tensor:
        """Return the atoms, (B, M, S), in each slice of columns that stand about a centre."""
        spacing = self.spacing[:, None]
        reach = scene.counts[..., None] * spacing / 2
        edges = torch.linspace(0, 1, self.multislice.slices + 1).to(reach)
        edges = edges * scene.thickness[:, None, None]
        # Atoms of each column, evenly spaced about its centre, that lie before each edge.
        low, high = (scene.centre[:, None, None] + sign * reach for sign in (-1, 1))
        before = (edges - low).clamp(min=0) - (edges - high).clamp(min=0)
        return before.diff(dim=-1) / spacing

    def _spectra(self, rows: Tensor, columns: Tensor, atoms: Tensor, through: bool) -> Tensor:
        """Return the spectra of those columns that reach through, or of those that do not."""
        some = self.through == through
        return self.multislice.spectra(
            rows[:, some], columns[:, some], atoms[:, some], self.scene.element[some]
        )
