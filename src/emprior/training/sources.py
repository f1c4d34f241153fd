"""From the data section of a recipe to what is trained on."""

from __future__ import annotations

from typing import Any

from emprior.files import expanded
from emprior.training.data_recipe import MovieData, NaturalData
from emprior.training.trainer import Micrographs


def open_data(section: Any) -> Micrographs:
    """Open simulated micrographs, natural images, or a movie, as the section says.

    Raises
    ------
    FileError, ImageError, OptionError
        If it cannot be read or used.
    """
    path = expanded(section.path)
    if isinstance(section, NaturalData):
        from emprior.natural import open_images

        return open_images(path, colour=section.colour, part=section.part)
    if isinstance(section, MovieData):
        from emprior.recordings import open_recording

        return open_recording(path, pixel_size=section.pixel_size, limits=section.limits)
    from emprior.datasets import Dataset

    return Dataset.open(path)
