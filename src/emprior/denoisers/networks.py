"""Which stored networks which method can use, and those in use."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch

from emprior.denoisers.depth import DEEPEST, reaches
from emprior.device import choose_device
from emprior.errors import OptionError, WeightsError
from emprior.generators import ColumnEncoder, Generator
from emprior.inversion import SEARCHES
from emprior.regressors import Regressor
from emprior.stored import ARCHITECTURES, Stored
from emprior.weights import Card, load, locate, read_card

NATIVE_PIXEL_SIZE = 0.0489
"""Å per pixel of the micrographs that the paper and the shipped priors were trained for."""


def network(name: str | Path, device: str = "auto") -> tuple[Stored, Card]:
    """Return weights as `emprior.weights.load` does, on a device, and not twice for a file.

    To build a network takes as long as some steps of a search. It is shared: leave it as it is.
    """
    path = locate(name)
    version = path.stat()
    return _network(path, (version.st_mtime_ns, version.st_size), device)


@lru_cache(maxsize=2)
def _network(path: Path, version: tuple[int, int], device: str) -> tuple[Stored, Card]:
    stored, card = load(path)
    # Convolutions take three quarters of the time with their channels together.
    return stored.to(device=choose_device(device), memory_format=torch.channels_last), card  # type: ignore[call-overload]


def check_search(name: str, depth: str = DEEPEST) -> None:
    """Refuse a search that there is not, or that would not be made.

    Parameters
    ----------
    name : str
    depth : str
        How far the method goes.

    Raises
    ------
    OptionError
    """
    if name not in SEARCHES:
        raise OptionError(
            f"a search named {name!r}",
            expected=f"one of {', '.join(SEARCHES)}",
            why="each name fixes starts, solvers and steps",
            fix="correct the name",
        )
    if name != "default" and not reaches(depth, "inversion"):
        raise OptionError(
            f"the search {name!r} with the depth {depth!r}",
            expected="a search only with depths that search",
            why="it would silently go unused",
            fix="leave out the one or the other",
        )


def check_network(method: str, name: str | Path, depth: str = DEEPEST) -> None:
    """Refuse weights that a method cannot use, by their card alone.

    For the method "nearest" what is named is no weights but a data set, which is looked for.

    Parameters
    ----------
    method : str
        One of `emprior.denoisers.LEARNED`.
    name : str or path
        As for `emprior.weights.load`.
    depth : str
        How far the method "prior" is to go.

    Raises
    ------
    OptionError
        If it is not to search, and the weights see nothing; or no data set is named.
    FileError
        If there is no data set where one is named.
    WeightsError
        If there are none, they cannot be read, are not of a generator or an encoder where one is
        wanted, or not of a regressor, or draw natural images.
    """
    if method == "nearest":
        from emprior.denoisers.album import check_images

        check_images(name)
        return
    card = read_card(name)
    kind = card.architecture.get("type")
    architecture = ARCHITECTURES.get(str(kind), Stored)
    regressor = issubclass(architecture, Regressor)
    if method == "algorithm-2" and not issubclass(architecture, Generator):
        raise WeightsError(
            f"{name}: a network of the type {kind!r}",
            expected="a generator",
            why="Algorithm 2 searches the latent vectors of one generator, the same for all images",
            fix="give the paper's, `--prior gan`, or one of `emprior train recipes/gan.toml`",
        )
    draws = issubclass(architecture, Generator | ColumnEncoder)
    if method == "prior" and not draws and architecture is not Stored:  # unknown to `load` too
        does = "maps noisy images to clean ones" if regressor else "draws no images"
        raise WeightsError(
            f"{name}: a {kind}, which {does}",
            expected="a generator, or an encoder that makes one",
            why="the method 'prior' searches the latent vectors of a generator; this has none",
            fix=("denoise with the method 'supervised', or " if regressor else "")
            + "name another prior",
        )
    if not (reaches(depth, "inversion") or issubclass(architecture, ColumnEncoder)):
        raise OptionError(
            f"{name}: a {kind}, which sees nothing, and a prior that is not to search",
            expected="an encoder, such as the default prior",
            why="a generator's images are only found by searching its latent vectors",
            fix="ask for more than the encoder's first sight, or leave out the prior's name",
        )
    if method.startswith("supervised") and not regressor:
        raise WeightsError(
            f"{name}: a network of the type {kind!r}, which draws images",
            expected="a regressor, which maps noisy images to clean ones",
            why=f"the method {method!r} applies one to the frame in a single pass",
            fix="give a file that `emprior train recipes/unet-blind.toml` wrote as the prior, or "
            "denoise with the method 'prior'",
        )
    data = card.recipe.get("data")
    natural = isinstance(data, dict) and data.get("type") == "natural"
    if natural or card.architecture.get("channels", 1) != 1:
        raise WeightsError(
            f"{name}: a network of {'natural images' if natural else 'images in colour'}",
            expected="one that was trained on micrographs",
            why="others know no scale in Å, and nothing of atoms",
            fix="name another prior; `emprior priors` lists those that are installed",
        )
