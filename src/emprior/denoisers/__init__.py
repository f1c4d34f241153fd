"""Every denoiser by name; all are called alike."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from pathlib import Path

from emprior.denoisers.base import Denoiser, Estimate
from emprior.errors import OptionError

__all__ = [
    "DENOISERS",
    "LEARNED",
    "SEARCHING",
    "Denoiser",
    "Estimate",
    "check_name",
    "learned",
    "make",
]


def _classical(name: str) -> Callable[[], Denoiser]:
    """Return a factory of one method on the frame's own grid; nothing is imported before."""

    def factory() -> Denoiser:
        return getattr(importlib.import_module("emprior.denoisers.classical"), name)()

    return factory


def _pooled(name: str) -> Callable[[], Denoiser]:
    """Return a factory of one method on the pooled grid."""

    def factory() -> Denoiser:
        from emprior.denoisers.pooled import Pooled

        return Pooled(_classical(name)())

    return factory


def _prior() -> Denoiser:
    from emprior.denoisers.prior import Prior

    return Prior()


def _algorithm_2() -> Denoiser:
    from emprior.denoisers.algorithm_2 import AlgorithmTwo

    return AlgorithmTwo()


def _supervised() -> Denoiser:
    from emprior.denoisers.supervised import Supervised

    return Supervised()


def _mixed() -> Denoiser:
    from emprior.denoisers.mixed import Mixed

    return Mixed()


def _misused() -> Denoiser:
    from emprior.denoisers.supervised import Misused

    return Misused()


def _nearest() -> Denoiser:
    from emprior.denoisers.nearest import Nearest

    return Nearest()


DENOISERS: dict[str, Callable[[], Denoiser]] = {
    "prior": _prior,
    "algorithm-2": _algorithm_2,
    "supervised": _supervised,
    "supervised-mixed": _mixed,
    "supervised-misused": _misused,
    "nearest": _nearest,
    "identity": _classical("Identity"),
    "constant": _classical("Constant"),
    "blur": _classical("Blur"),
    "wiener": _classical("Wiener"),
    "wavelet": _classical("Wavelet"),
    "nlm": _classical("NonLocalMeans"),
    "tv": _classical("TotalVariation"),
    "bm3d": _classical("BM3D"),
    "pooled-blur": _pooled("Blur"),
    "pooled-wiener": _pooled("Wiener"),
    "pooled-wavelet": _pooled("Wavelet"),
    "pooled-nlm": _pooled("NonLocalMeans"),
    "pooled-tv": _pooled("TotalVariation"),
    "pooled-bm3d": _pooled("BM3D"),
}
"""Factories by name. Pooling helps all but the blur, which chooses its own band, and, at low noise,
total variation."""

LEARNED = (
    "prior",
    "algorithm-2",
    "supervised",
    "supervised-mixed",
    "supervised-misused",
    "nearest",
)
"""Those that take trained weights, or the images themselves, and have to know the pixel size."""

SEARCHING = ("prior", "algorithm-2")
"""Those of them that search latent vectors."""


def make(name: str) -> Denoiser:
    """Return a denoiser with its default settings.

    Raises
    ------
    OptionError
        If there is none of this name.
    MissingExtraError
        If it needs a package that is not installed.
    """
    check_name(name)
    return DENOISERS[name]()


def check_name(name: str) -> None:
    """Refuse a denoiser that there is not, whatever is installed; the nearest one is offered.

    Raises
    ------
    OptionError
    """
    if name not in DENOISERS:
        near = difflib.get_close_matches(str(name).lower(), DENOISERS, n=1, cutoff=0.4)
        raise OptionError(
            f"a denoiser named {name!r}",
            expected=f"one of {', '.join(DENOISERS)}",
            why="each name stands for one method with its default settings",
            fix=f"try {near[0]!r}" if near else "choose one of these",
        )


def learned(
    name: str,
    weights: str | Path,
    *,
    search: str = "default",
    device: str = "auto",
    progress: Callable[[float], None] | None = None,
) -> Denoiser:
    """Return one of the methods that know what such images look like.

    Parameters
    ----------
    name : str
        One of `LEARNED`.
    weights : str or path
        A shipped prior's name or a weight file; for "nearest" the directory of a data set.
    search : str
        One of `emprior.inversion.SEARCHES`, where the method searches.
    device : str
    progress : callable, optional
        Called with the share of work done, from 0 to 1.
    """
    if name == "prior":
        from emprior.denoisers.prior import Prior

        return Prior(prior=weights, search=search, device=device, progress=progress)
    if name == "algorithm-2":
        from emprior.denoisers.algorithm_2 import AlgorithmTwo

        counts = "paper-cpu" if search == "default" else search
        return AlgorithmTwo(prior=weights, search=counts, device=device, progress=progress)
    if name == "nearest":
        from emprior.denoisers.nearest import Nearest

        return Nearest(images=weights, progress=progress)
    from emprior.denoisers.mixed import Mixed
    from emprior.denoisers.supervised import Misused, Supervised

    kinds = {"supervised-mixed": Mixed, "supervised-misused": Misused}
    return kinds.get(name, Supervised)(network=weights, device=device, progress=progress)
