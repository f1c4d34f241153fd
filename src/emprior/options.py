"""Options of a denoising, checked before any work is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emprior.denoisers import LEARNED, SEARCHING, make
from emprior.denoisers.depth import DEEPEST, reaches
from emprior.errors import OptionError
from emprior.noise import NoiseModel
from emprior.noise_spec import check_spec


def check_options(
    *,
    method: str,
    noise: str | NoiseModel,
    prior: str | Path,
    seed: int | Sequence[int],
    device: str,
    depth: str = DEEPEST,
    search: str = "default",
    force: bool = False,
) -> None:
    """Find options without a meaning before any work is done; all as `denoise` takes them.

    Raises
    ------
    OptionError
        If a method, noise, search, depth, seed or device is not one.
    WeightsError
        If the prior cannot be used.
    """
    make(method)
    if isinstance(noise, str):
        check_spec(noise)
    elif not isinstance(noise, NoiseModel):
        raise OptionError(
            f"a noise of type {type(noise).__name__}",
            expected="text such as 'auto' or 'gaussian:0.1', or a model of emprior.noise",
            why="it says how probable each pixel value is",
            fix="leave it out to have it identified from the frame",
        )
    if not isinstance(prior, (str, Path)):
        raise OptionError(
            f"a prior of type {type(prior).__name__}",
            expected="a name, or the path of a weight file",
            why="weights are read from a file",
            fix="leave it out for the default prior, or give its name or path",
        )
    try:
        np.random.SeedSequence(seed)
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"a seed of {seed!r}",
            expected="a whole number of at least 0, or several",
            why="random draws start from it, and are the same again for the same seed",
            fix="leave it out, or give for example 1",
        ) from error
    if not reaches(depth, DEEPEST) and method != "prior":
        raise OptionError(
            f"the depth {depth!r} with the method {method!r}",
            expected="a depth only with the method 'prior'",
            why="the other methods have no such parts, so it would silently go unused",
            fix="leave out the one or the other",
        )
    if force and method != "prior":
        raise OptionError(
            f"force with the method {method!r}",
            expected="force only with the method 'prior'",
            why="no other answer is withheld, so it would silently go unused",
            fix="leave out the one or the other",
        )
    if search != "default" and method not in SEARCHING:
        raise OptionError(
            f"the search {search!r} with the method {method!r}",
            expected=f"a search only with the methods {', '.join(SEARCHING)}",
            why="the other methods search nothing, so it would silently go unused",
            fix="leave out the one or the other",
        )
    if method in LEARNED:
        from emprior.denoisers.networks import check_network, check_search
        from emprior.device import choose_device

        check_network(method, prior, depth)
        check_search(search, depth)
        choose_device(device)
    elif prior != "default":
        raise OptionError(
            f"the prior {str(prior)!r} with the method {method!r}",
            expected=f"a prior only with the methods {', '.join(LEARNED)}",
            why="the other methods know nothing of priors, so it would silently go unused",
            fix="leave out the one or the other",
        )
