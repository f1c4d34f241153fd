"""From a noisy frame to a first guess of its columns and optics."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emprior.errors import OptionError
from emprior.generators import lattice
from emprior.generators.columns import ColumnGenerator, Element, Scene
from emprior.generators.multislice import Multislice
from emprior.generators.peaks import peaks, strongest
from emprior.generators.turning import turned, turning, upright
from emprior.micrograph import check_pixel_size
from emprior.specimen import VACUUM
from emprior.stored import Stored, typical

RING = 16
"""Pixels around the frame for which columns are guessed too, since they show inside it."""

ON_LATTICE, OFF_LATTICE = 0.04, 0.15
"""Prior standard deviation of a column's position about its lattice, or about its guess [Å]."""

SPREAD = 1.5
"""Standard deviation in pixels of the bump that stands for a column in the density maps."""

CONTRAST, DEVIATION = 0.1, 0.05  # scale the network's inputs to about one

_NEAREST = 0.42  # of their spacing along the beam: columns of one element stand no nearer

_FAINTEST, _FEWEST = 0.1, 6  # density that may be a column, and columns that tell a turn
_MIDDLE = 96  # pixels a side; turns are compared by no more
_QUIETEST = 0.01  # deviation below which noise does not matter, and none was trained on

OPTICS = {
    "defocus": (100.0, 60.0),  # Å
    "tilt_columns": (0.0, 0.035),  # tangent
    "tilt_rows": (0.0, 0.035),
    "thickness": (45.0, 11.0),  # Å
    "blur": (0.55, 0.06),  # Å
    "centre": (0.5, 0.1),  # share of the thickness
    "unit": (1.0, 0.1),  # of intensity
    "origin": (0.0, 1 / 30),
}
"""Middle and scale of the global numbers that the network tells, in their order.

Tilts are told without their sign. A column tilted either way has nearly the same projection, so a
mean over both signs would always be zero, whatever the frame shows.
"""


class Guess(NamedTuple):
    """What a frame shows at first sight."""

    scene: Scene
    probability: Tensor
    """(M,) that there is such a column."""
    unit: float
    origin: float
    """The frame is ``unit · image + origin``."""
    tilts: Tensor
    """(4, 2) which are all alike to the encoder, the scene's first."""


class Look(NamedTuple):
    """What the network tells of one frame, which it saw turned."""

    maps: Tensor
    """(2E, H, W), as `ColumnEncoder.forward` returns them."""
    optics: Tensor
    """(2, 8)"""
    seen: Tensor
    """(H, W), 1 where there was a frame."""
    view: tuple[int, int]
    """Shape of the turned frame, in the middle of the maps."""
    frame: tuple[int, int]
    """Shape of the frame."""
    turn: float
    """Clockwise [degrees]."""


class ColumnEncoder(Stored):
    """A convolutional network that sees columns in noise, and the physics that draws them.

    It maps a noisy frame, which pixels were seen, and the noise's deviation to two density maps
    for each element, of columns and of atoms, and to the optics with their uncertainty.

    Parameters
    ----------
    pixel_size : float
        Of the frames it takes [Å].
    field : int
        Most pixels a side that are seen at once; `RING` more are guessed on each side.
    elements : sequence of dict
        Fields of `emprior.generators.columns.Element`.
    widths : sequence of int
        Channels at half, quarter and eighth resolution.
    slices : int
        Of the multislice calculation.
    """

    factors: Tensor
    returns = ("maps", "optics")

    def __init__(
        self,
        *,
        pixel_size: float,
        field: int,
        elements: list[dict[str, Any]],
        widths: list[int],
        slices: int,
    ) -> None:
        super().__init__()
        self.pixel_size = check_pixel_size(pixel_size)
        _check(field, elements, widths, slices)
        self.field, self.widths, self.slices = field, tuple(widths), slices
        self.elements = tuple(Element(**values) for values in elements)
        self.register_buffer("factors", torch.zeros(len(elements), len(Multislice.knots())))
        a, b, c = widths
        self.network = _UNet(a, b, c, maps=2 * len(elements), numbers=2 * len(OPTICS))

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments that build this architecture."""
        return {
            "pixel_size": self.pixel_size,
            "field": self.field,
            "elements": [vars(element) for element in self.elements],
            "widths": list(self.widths),
            "slices": self.slices,
        }

    def examples(self) -> dict[str, Tensor]:
        """Return two frames of noise about vacuum, seen but for a margin, and the deviation."""
        seen = torch.zeros(2, 48, 64)
        seen[:, 8:-8, 8:-8] = 1
        deviation = torch.full((2,), 0.1)
        return {"frame": VACUUM + 0.1 * typical(2, 48, 64), "seen": seen, "deviation": deviation}

    @torch.no_grad()
    def portrait(self) -> dict[str, Tensor]:
        """Return what it sees in its examples, and an image of one column of each element."""
        E, number = len(self.elements), torch.tensor
        thickness = max(element.typical * element.spacing for element in self.elements)
        scene = Scene(
            rows=torch.full((E,), 16.0),
            columns=(torch.arange(E) + 0.5) * 32 / E,
            element=torch.arange(E),
            counts=number([1.0 if e.through else e.typical for e in self.elements]),
            position_sd=torch.full((E,), ON_LATTICE),
            defocus=number(100.0),
            thickness=number(thickness),
            centre=number(thickness / 2),
            blur=number(0.5),
            tilt=torch.zeros(2),
        )
        generator = self.generator(scene, 32 - 2 * RING, 32 - 2 * RING)
        return {**super().portrait(), "image": generator(torch.zeros(1, generator.latent_dim))}

    def forward(self, frame: Tensor, seen: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
        """Return density maps and optics.

        Parameters
        ----------
        frame : (B, H, W) Tensor
            Noisy intensities, vacuum near 0.45; sides are multiples of 8.
        seen : (B, H, W) Tensor
            1 where the frame is known, 0 elsewhere.
        deviation : (B,) Tensor
            Standard deviation of the noise.

        Returns
        -------
        maps : (B, 2E, H, W) Tensor
            For each element columns, then for each element atoms in units of its typical number:
            sums of bumps of height one and deviation `SPREAD`.
        optics : (B, 2, 8) Tensor
            Mean and logarithm of the deviation of the numbers in `OPTICS`, in their units.
        """
        level = (deviation / DEVIATION).log()[:, None, None].expand_as(frame)
        inputs = torch.stack([(frame - VACUUM) / CONTRAST * seen, seen, level], dim=1)
        maps, numbers = self.network(inputs)
        return maps, numbers.unflatten(1, (2, -1))

    @torch.no_grad()
    def look(
        self,
        frame: Tensor,
        deviation: float,
        turn: float = 0.0,
        shape: tuple[int, int] | None = None,
    ) -> Look:
        """Look at one frame.

        Parameters
        ----------
        frame : (h, w) Tensor
            It comes to the middle of the network's canvas.
        deviation : float
        turn : float
            By which the frame is turned before the network sees it [degrees].
        shape : tuple of int, optional
            Of the turned frame, as for `emprior.generators.turning.turned`.
        """
        view, known = turned(frame.to(self.factors), turn, shape)
        h, w = view.shape
        H, W = self.canvas(h, w)
        middle = slice((H - h) // 2, (H - h) // 2 + h), slice((W - w) // 2, (W - w) // 2 + w)
        canvas, seen = torch.zeros(2, 1, H, W).to(view)
        canvas[0][middle], seen[0][middle] = view, known
        maps, optics = self(canvas, seen, view.new_tensor([max(deviation, _QUIETEST)]))
        return Look(maps[0], optics[0], seen[0], (h, w), (frame.shape[0], frame.shape[1]), turn)

    def doubt(self, look: Look) -> float:
        """Return the entropy of columns that are there or not, in nats for each expected one.

        Infinite where hardly any is seen.
        """
        heights = peaks(look.maps[: len(self.elements)] * look.seen, _FAINTEST)[3]
        p = heights.double().clamp(1e-6, 1 - 1e-6)
        expected = float(p.sum())
        entropy = -float((p * p.log() + (1 - p) * (1 - p).log()).sum())
        return entropy / expected if expected > _FEWEST else float("inf")

    def upright(self, frame: Tensor, deviation: float, thorough: bool = True) -> tuple[Look, float]:
        """Look at a frame at the turn that leaves the least doubt, and return what is left.

        Parameters
        ----------
        frame : (h, w) Tensor
        deviation : float
        thorough : bool
            Try any turn where there is doubt; else upside down alone.
        """
        side = min(round(float(frame.shape[0] * frame.shape[1]) ** 0.5), _MIDDLE)
        looks = {}

        def doubt(turn: float) -> float:
            # At other turns a square in the middle will do to compare them.
            shape = None if turn % 180 == 0 else (side, side)
            looks[turn] = self.look(frame, deviation, turn, shape)
            return self.doubt(looks[turn])

        turn, least = upright(doubt, thorough)
        return (self.look(frame, deviation, turn) if turn % 180 else looks[turn]), least

    @torch.no_grad()
    def guess(self, look: Look, threshold: float = 0.35) -> Guess:
        """Guess the scene of one frame, as the frame stands.

        Parameters
        ----------
        look : Look
        threshold : float
            Least density at which a column is taken up.
        """
        maps = look.maps
        centre, scale = torch.tensor(list(OPTICS.values())).to(maps).T
        optics = dict(zip(OPTICS, centre + scale * look.optics[0], strict=True))
        E = len(self.elements)
        rows, columns, element, density = peaks(maps[:E], threshold)
        spacing = torch.tensor([e.spacing for e in self.elements]).to(maps)
        nearest = _NEAREST / self.pixel_size * spacing[element]
        kept = strongest(torch.stack([rows, columns], 1), element, density, nearest)
        rows, columns, element, density = (x[kept] for x in (rows, columns, element, density))
        atoms = maps[E:][element, rows.round().long(), columns.round().long()]
        # Back to the frame as it is, whose middle is that of the canvas: odd margins cannot be
        # halved, so that in the network's the frame may be half a pixel off.
        first = [(N - n) // 2 for N, n in zip(maps.shape[1:], look.view, strict=True)]
        middle = torch.tensor([f + (n - 1) / 2 for f, n in zip(first, look.view, strict=True)])
        canvas = torch.tensor(self.canvas(*look.frame)).to(maps)
        matrix = turning(look.turn).to(maps)
        points = (torch.stack([rows, columns], 1) - middle.to(maps)) @ matrix.T + (canvas - 1) / 2
        inside = ((points > 1.5) & (points < canvas - 2.5)).all(1) | (look.turn == 0)
        points, element, density, atoms = (x[inside] for x in (points, element, density, atoms))
        probability = density.clamp(0, 1)
        # A column that may not be there stands for its mean number of atoms.
        share = (1.1 * probability).clamp(max=1.0)
        typical = torch.tensor([e.typical for e in self.elements]).to(maps)[element]
        through = torch.tensor([e.through for e in self.elements]).to(maps.device)[element]
        counts = torch.where(through, 1.0, typical * (atoms / density).clamp(0.1, 2.0)) * share
        sites, on_lattice = self._snap(points, element)
        thickness = optics["thickness"].clamp(min=15.0)
        signs = maps.new_tensor([(1, 1), (1, -1), (-1, 1), (-1, -1)])
        tilts = signs * torch.stack([optics["tilt_rows"], optics["tilt_columns"]]) @ matrix.T
        scene = Scene(
            rows=sites[:, 0],
            columns=sites[:, 1],
            element=element,
            counts=counts,
            position_sd=torch.where(on_lattice, ON_LATTICE, OFF_LATTICE).to(maps),
            defocus=optics["defocus"],
            thickness=thickness,
            centre=optics["centre"].clamp(0.1, 0.9) * thickness,
            blur=optics["blur"].clamp(min=0.3),
            tilt=tilts[0],
        )
        # A frame of something else may be told any unit; intensities stay positive.
        unit = float(optics["unit"].clamp(0.5, 2.0))
        return Guess(scene, probability, unit, float(optics["origin"]), tilts)

    def _snap(self, points: Tensor, element: Tensor) -> tuple[Tensor, Tensor]:
        """Move columns onto their crystal's lattice; return positions and which were moved.

        Columns that reach through are one crystal, the others another; the first element of
        each shows the lattice best.
        """
        sites, on_lattice = points.clone(), torch.zeros_like(element, dtype=torch.bool)
        for through in (True, False):
            kinds = [i for i, e in enumerate(self.elements) if e.through == through]
            chosen = torch.isin(element, torch.tensor(kinds).to(element)) if kinds else None
            if chosen is None or not bool(chosen.any()):
                continue
            some, of = points[chosen].double().cpu().numpy(), element[chosen].cpu().numpy()
            basis = lattice.basis_of(some[of == kinds[0]])
            if basis is None:
                continue
            fitted = lattice.fit(some, basis, of)
            sites[chosen] = torch.from_numpy(fitted.sites).to(points)
            on_lattice[chosen] = torch.from_numpy(fitted.member >= 0).to(on_lattice)
        return sites, on_lattice

    def generator(self, scene: Scene, h: int, w: int) -> ColumnGenerator:
        """Return the generator of scenes near one that was guessed from h × w pixels."""
        multislice = Multislice(self.factors, self.canvas(h, w), self.pixel_size, self.slices)
        return ColumnGenerator(scene, self.elements, multislice)

    @staticmethod
    def canvas(h: int, w: int) -> tuple[int, int]:
        """Return the sides of the generator's grid about h × w pixels: even margins, by 8."""
        H, W = (-(-(n + 2 * RING) // 8) * 8 for n in (h, w))
        return H, W


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, 1, 1)
        self.second = nn.Conv2d(width, width, 3, 1, 1)
        with torch.no_grad():
            self.second.weight.mul_(0.1)  # begins near the identity

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(F.silu(x))))


class _UNet(nn.Module):
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


def _check(field: int, elements: list[dict[str, Any]], widths: list[int], slices: int) -> None:
    """Refuse arguments out of bounds before anything is allocated."""

    def whole(value: Any, low: int, high: int) -> bool:
        return type(value) is int and low <= value <= high

    def number(value: Any, low: float, high: float) -> bool:
        return type(value) in (int, float) and low < value < high

    def element(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and set(value) == {"number", "spacing", "typical", "through"}
            and whole(value["number"], 1, 103)
            and number(value["spacing"], 0.5, 50)
            and number(value["typical"], 0, 1000)
            and type(value["through"]) is bool
        )

    def some(values: Any, least: int, most: int) -> bool:
        return isinstance(values, (list, tuple)) and least <= len(values) <= most

    if not (
        whole(field, 32, 1024)
        and field % 8 == 0
        and whole(slices, 1, 64)
        and some(widths, 3, 3)
        and all(whole(width, 1, 512) for width in widths)
        and some(elements, 1, 8)
        and all(element(value) for value in elements)
    ):
        raise OptionError(
            f"a field of {field!r}, elements {elements!r:.300}, widths {widths!r:.80}, "
            f"{slices!r} slices",
            expected="a field that is a multiple of 8 from 32 to 1024, 1 to 8 elements, each of "
            "an atomic number, a spacing of 0.5 to 50 Å, a typical number of atoms below 1000 and "
            "whether it reaches through, three widths up to 512, 1 to 64 slices",
            why="they set the size of the network and of its images",
            fix="correct the description of the architecture",
        )


def log_deviation(optics: Tensor) -> Tensor:
    """Return the bounded logarithm of the deviations among the told optics, (B, 8)."""
    return optics[:, 1].clamp(-4.0, 3.0)
