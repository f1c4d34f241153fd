"""The noise as a user names it, with what is left unnamed read from the frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emprior.errors import ImageError, OptionError
from emprior.identify import NOISE_FREE, Identification, conclude, identify
from emprior.measure import find_comb, measure
from emprior.micrograph import check_image
from emprior.noise import ClippedPoisson, Gaussian, NoiseModel, Poisson

Pixels = NDArray[np.floating]


@dataclass(frozen=True)
class _Spec:
    """A noise as it is written on the command line."""

    kind: Literal["auto", "none", "poisson", "gaussian"]
    scale: float | None = None  # gain or sigma
    offset: float | None = None
    clip: float | None = None


def check_spec(spec: str) -> None:
    """Check what a user writes for the noise, before there is an image; see `resolve`.

    Raises
    ------
    OptionError
        If the specification has no meaning.
    """
    _parse(spec)


def resolve(spec: str, image: ArrayLike) -> Identification:
    """Return the noise that a user names, with what is left unnamed read from the frame.

    Parameters
    ----------
    spec : str
        ``auto``; ``none`` (taken as Gaussian of 1/1000 of the image's standard deviation);
        ``gaussian:SIGMA``; ``poisson``, with ``:GAIN`` in units of the data per electron,
        ``,offset=O`` the value of no electrons, ``,clip=MAX`` the largest value possible.
    image : (H, W) array_like
        Pixels in any units.

    Raises
    ------
    OptionError
        If the specification has no meaning.
    ImageError
        If the image cannot hold that noise: values below the offset or above the maximum.
    """
    wanted, pixels = _parse(spec), check_image(image)
    given = f"the noise was given as {spec.strip()!r}"
    if wanted.kind == "auto":
        return identify(pixels)
    if wanted.kind == "none":
        return Identification(Gaussian(NOISE_FREE * float(pixels.std())), (given,))
    if wanted.kind == "gaussian":
        assert wanted.scale is not None
        return Identification(Gaussian(wanted.scale), (given,))
    found = _named_poisson(wanted, pixels)
    check_counts(found.noise, pixels)
    return Identification(found.noise, (given, *found.evidence))


def _parse(spec: str) -> _Spec:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise _misspelt(spec, f"{text!r} is not a number") from None
        if not math.isfinite(value):
            raise _misspelt(spec, f"{text!r} is not finite")
        return value

    head, *options = (part.strip() for part in spec.split(","))
    kind, colon, scale = (part.strip() for part in head.partition(":"))
    if kind in ("auto", "none"):
        if colon or options:
            raise _misspelt(spec, f"{kind} takes no parameters")
        return _Spec(kind)  # type: ignore[arg-type]
    if kind == "gaussian":
        if options or not scale:
            raise _misspelt(spec, "gaussian takes one standard deviation and nothing else")
        return _Spec("gaussian", Gaussian(number(scale)).sigma)
    if kind != "poisson":
        raise _misspelt(spec, f"no noise is called {kind!r}")
    if colon and not scale:
        raise _misspelt(spec, "a gain should follow the colon")
    named: dict[str, float] = {}
    for option in options:
        name, _, value = (part.strip() for part in option.partition("="))
        if name not in ("offset", "clip") or name in named:
            raise _misspelt(spec, f"{option!r} is neither offset=O nor clip=MAX, once each")
        named[name] = number(value)
    wanted = _Spec("poisson", number(scale) if scale else None, **named)
    if wanted.scale is not None:
        _poisson(wanted, wanted.scale)  # refuses gains and maxima without a meaning
    return wanted


def _misspelt(spec: str, why: str) -> OptionError:
    return OptionError(
        f"noise {spec!r}",
        expected="auto, none, poisson[:GAIN][,offset=O][,clip=MAX] or gaussian:SIGMA",
        why=why,
        fix="write for example auto, poisson:0.04,clip=1 or gaussian:0.1, in units of the data",
    )


def _poisson(wanted: _Spec, gain: float) -> Poisson:
    offset = wanted.offset or 0.0
    if wanted.clip is None:
        return Poisson(gain, offset)
    return ClippedPoisson(gain, offset, wanted.clip)


def _named_poisson(wanted: _Spec, pixels: Pixels) -> Identification:
    """Return the Poisson noise that is asked for, with a gain from the frame if none is given."""
    if wanted.scale is not None:
        return Identification(_poisson(wanted, wanted.scale), ())
    frame = measure(pixels)
    found = conclude(frame, pixels)
    if wanted.offset is None and wanted.clip is None and isinstance(found.noise, Poisson):
        return found
    line, offset = frame.line, wanted.offset or 0.0
    seen = line.variance > (NOISE_FREE * frame.spread) ** 2
    lit = (line.mean > offset) & seen
    if not lit.any():
        raise ImageError(
            f"a frame without noise above {offset:g} to read a gain from",
            expected=f"a noisy frame, and a mean above the offset (here {pixels.mean():.4g})",
            why="the gain is variance over mean above the offset",
            fix="give the gain (poisson:GAIN), or the offset (poisson,offset=O)",
        )
    gain = float(np.median(line.variance[lit] / (line.mean[lit] - offset)))
    how = f"variance over mean above {offset:g} gives a gain of {gain:.4g}"
    comb = find_comb(frame, 0.85 * gain, 1.15 * gain)
    for step in (frame.spacing, comb.period if comb is not None else None):
        if step is not None and abs(step - gain) < 0.15 * gain:
            how, gain = f"{how}, and values cluster in steps of {step:.4g}", step
    return Identification(_poisson(wanted, gain), (how,))


def check_counts(noise: NoiseModel, pixels: Pixels) -> None:
    """Refuse an image that no such counts can have made.

    Raises
    ------
    ImageError
        If values lie below the offset or above the maximum; never for Gaussian or readout noise.
    """
    if not isinstance(noise, Poisson):
        return
    below = int(np.count_nonzero(pixels < noise.offset - 0.75 * noise.gain))
    if below:
        raise ImageError(
            f"{below:,} of {pixels.size:,} pixels below {noise.offset:g}, down to "
            f"{pixels.min():g}, under Poisson noise",
            expected=f"values of at least the offset, {noise.offset:g}",
            why="a pixel cannot count fewer than zero electrons",
            fix="give the value of no electrons (poisson,offset=O), or say gaussian:SIGMA or auto",
        )
    if isinstance(noise, ClippedPoisson) and pixels.max() > noise.maximum + 1e-3 * noise.gain:
        raise ImageError(
            f"values up to {pixels.max():g} under noise clipped at {noise.maximum:g}",
            expected=f"values of at most {noise.maximum:g}",
            why="clipped data hold nothing beyond the maximum",
            fix=f"say clip={pixels.max():g}, or leave clip out",
        )
