"""The network that sees columns and optics in a noisy frame."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from emprior.errors import OptionError
from emprior.generators.columns import ColumnGenerator, Element, Scene
from emprior.generators.encoder_unet import EncoderUNet
from emprior.generators.guess import ON_LATTICE, OPTICS, RING, Guess, Look, canvas, guess
from emprior.generators.multislice import Multislice
from emprior.generators.peaks import peaks
from emprior.generators.turning import clearest_turn, turned
from emprior.micrograph import check_pixel_size
from emprior.specimen import VACUUM
from emprior.stored import Stored, typical

SPREAD = 1.5
"""Standard deviation in pixels of the bump that stands for a column in the density maps."""

CONTRAST, DEVIATION = 0.1, 0.05  # scale the network's inputs to about one

_FAINTEST, _FEWEST = 0.1, 6  # density that may be a column, and columns that tell a turn
_MIDDLE = 96  # pixels a side; turns are compared by no more
SURE = 0.5  # nats a column; what is upright is seldom seen with more doubt
_CLEARER = 0.9  # of what is unclear upright; it is the likelier turn
_QUIETEST = 0.01  # deviation below which noise does not matter, and none was trained on


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
        self.network = EncoderUNet(a, b, c, maps=2 * len(elements), numbers=2 * len(OPTICS))

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
            layer=torch.full((E,), -1),
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
        ring: int = RING,
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
        ring : int
            Pixels about it that are guessed too; a scene is told with those that it has by default.
        """
        view, known = turned(frame.to(self.factors), turn, shape)
        h, w = view.shape
        H, W = canvas(h, w, ring)
        middle = slice((H - h) // 2, (H - h) // 2 + h), slice((W - w) // 2, (W - w) // 2 + w)
        shown, seen = torch.zeros(2, 1, H, W).to(view)
        shown[0][middle], seen[0][middle] = view, known
        maps, optics = self(shown, seen, view.new_tensor([max(deviation, _QUIETEST)]))
        return Look(maps[0], optics[0], seen[0], (h, w), (frame.shape[0], frame.shape[1]), turn)

    def doubt(self, look: Look) -> float:
        """Return the entropy of columns that are there or not, in nats for each expected one.

        Infinite where hardly any is seen.
        """
        entropy, expected = self._seen(look)
        return entropy / expected if expected > _FEWEST else float("inf")

    def unclear(self, look: Look) -> float:
        """Return how badly a look tells columns, to compare looks at one frame.

        The doubt over the root of the expected number: at a wrong turn some columns may be seen as
        surely as at the right one, but fewer.
        """
        entropy, expected = self._seen(look)
        return entropy / expected**1.5 if expected > _FEWEST else float("inf")

    def _seen(self, look: Look) -> tuple[float, float]:
        """Return the entropy of columns that are there or not [nats], and their expected number."""
        heights = peaks(look.maps[: len(self.elements)] * look.seen, _FAINTEST)[3]
        p = heights.double().clamp(1e-6, 1 - 1e-6)
        entropy = -float((p * p.log() + (1 - p) * (1 - p).log()).sum())
        return entropy, float(p.sum())

    def clearest(
        self, frame: Tensor, deviation: float, thorough: bool = True
    ) -> tuple[Look, float]:
        """Look at a frame at the turn that shows it most clearly, and return the doubt left.

        Parameters
        ----------
        frame : (h, w) Tensor
        deviation : float
        thorough : bool
            Try any turn where there is doubt.
        """
        best = self.look(frame, deviation)
        if thorough and self.doubt(best) > SURE:
            # To compare all turns a square in the middle will do.
            side = min(round(float(frame.shape[0] * frame.shape[1]) ** 0.5), _MIDDLE)
            square = (side, side)
            turn = clearest_turn(
                lambda t: self.unclear(self.look(frame, deviation, t, square, ring=0))
            )
            if turn:
                turned_up = self.look(frame, deviation, turn)
                if self.unclear(turned_up) < _CLEARER * self.unclear(best):
                    best = turned_up
        return best, self.doubt(best)

    def guess(self, look: Look) -> Guess:
        """Guess the scene of one frame, as the frame stands."""
        return guess(look, self.elements, self.pixel_size)

    def generator(self, scene: Scene, h: int, w: int) -> ColumnGenerator:
        """Return the generator of scenes near one that was guessed from h × w pixels."""
        multislice = Multislice(self.factors, canvas(h, w), self.pixel_size, self.slices)
        return ColumnGenerator(scene, self.elements, multislice)


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
