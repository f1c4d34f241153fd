"""What recipes say of the images to train on."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from emprior.recipes import Recipe
from emprior.simulate.ranges import Range, within


class CropData(Recipe):
    """What to train on.

    Parameters
    ----------
    path : str
        Folder of a simulated data set, or what a subclass says; ``~`` is the home folder.
    stride : int
        Keep every n-th pixel along each axis. Exact as long as the coarser grid still carries the
        image: HRTEM images have no power beyond about 1 Å⁻¹, so up to 0.45 Å per pixel.
    flips : {"none", "horizontal", "both"}
        Mirror crops at random. A vertical flip puts vacuum below the particle.
    gamma : (float, float)
        Raise each crop to a random power of this range (drawn evenly in its logarithm): for dark
        fields, whose linear simulation makes heavy columns too bright beside light ones.
    """

    path: str
    stride: int = Field(default=1, ge=1, le=16)
    flips: Literal["none", "horizontal", "both"] = "none"
    gamma: Annotated[Range, within(0.1, 10)] = (1.0, 1.0)


class SimulatedData(CropData):
    """A simulated data set, which need not be said."""

    type: Literal["simulated"] = "simulated"


class NaturalData(CropData):
    """Natural images.

    Parameters
    ----------
    path, colour, part
        See `emprior.natural.open_images`.
    """

    type: Literal["natural"]
    colour: bool = True
    part: str = ""


class MovieData(CropData):
    """The frames of a micrograph file.

    Parameters
    ----------
    path, pixel_size, limits
        See `emprior.recordings.open_recording`.
    """

    type: Literal["movie"]
    pixel_size: float | None = Field(default=None, gt=0)
    limits: tuple[float, float] | None = None


def _data_type(section: Any) -> Any:
    known = section.get("type", "simulated") if isinstance(section, dict) else section.type
    return known if isinstance(known, str) else ""


AnyCropData = Annotated[
    Annotated[SimulatedData, Tag("simulated")]
    | Annotated[NaturalData, Tag("natural")]
    | Annotated[MovieData, Tag("movie")],
    Discriminator(
        _data_type,
        custom_error_type="data_type",
        custom_error_message="one of the types 'simulated', 'natural', 'movie'",
    ),
]
