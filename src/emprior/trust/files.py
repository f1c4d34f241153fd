"""Check files: frame by frame, and what is said of all of them together."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from emprior import __version__
from emprior.errors import ImageError, InputError, OptionError
from emprior.family import KINDS
from emprior.files import replacing
from emprior.io import FORMATS, Signal, check_movie, read
from emprior.micrograph import check_pixel_size
from emprior.noise_spec import check_spec
from emprior.trust.check import FALSE_ALARM, Check, check, check_false_alarm, common_scale
from emprior.trust.columns import COARSEST
from emprior.trust.command import Command
from emprior.trust.findings import Region

_SAID = 8  # regions of a frame, and likewise faults
_OTHER_SIZE = "at pixels of {:.4f} Å the prior knows it: is the pixel size right?"

DRAWN = 12
"""Frames of a file that are drawn in a report, at most."""


@dataclass(frozen=True, eq=False)
class CheckedFrame:
    """One frame of a pair of files.

    Attributes
    ----------
    index : tuple of int
        Empty where the files hold one frame.
    check : Check
    """

    index: tuple[int, ...]
    check: Check


@dataclass(frozen=True, eq=False)
class CheckedFiles:
    """What a noisy file says of a denoised one.

    Attributes
    ----------
    noisy, denoised : Path
    pixel_size : float or None
        [Å]
    false_alarm : float
        Of all frames together.
    frames : tuple of CheckedFrame
    """

    noisy: Path
    denoised: Path
    pixel_size: float | None
    false_alarm: float
    frames: tuple[CheckedFrame, ...]

    @property
    def supported(self) -> bool:
        """Whether every frame is."""
        return all(frame.check.supported for frame in self.frames)

    @property
    def regions(self) -> list[tuple[tuple[int, ...], Region]]:
        """All marked regions, each with the index of its frame."""
        return [(frame.index, region) for frame in self.frames for region in frame.check.regions]

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the maps as plain values, ready for JSON."""
        families = {frame.check.family.kind for frame in self.frames if frame.check.family}
        details = [frame.check.to_dict() for frame in self.frames]
        for told in details:
            del told["regions"]
        return {
            "supported": self.supported,
            "family": next((kind for kind in KINDS if kind in families), None),
            "regions": [{"frame": list(i), **region.to_dict()} for i, region in self.regions],
            "false_alarm": self.false_alarm,
            "noisy": str(self.noisy),
            "denoised": str(self.denoised),
            "pixel_size_in_angstrom": self.pixel_size,
            "emprior": __version__,
            "frames": [
                {"frame": list(frame.index), **told}
                for frame, told in zip(self.frames, details, strict=True)
            ],
        }

    def lines(self) -> list[str]:
        """Say the outcome for a person to read: a summary, then what speaks against it."""
        said = [f"not supported: the data contradict {self.denoised.name}"]
        if self.supported:
            said = [
                f"supported: the data do not contradict {self.denoised.name} anywhere "
                f"(false-alarm rate {self.false_alarm:g})"
            ]
        for frame in self.frames:
            where = f"frame {', '.join(map(str, frame.index))}: " if frame.index else ""
            against = [one for one in frame.check.findings if one.p < frame.check.false_alarm]
            said += [f"  {where}{one.says} (p {one.p:.1g})" for one in against]
            said += [f"  {where}{region}" for region in frame.check.regions[:_SAID]]
            if (left := len(frame.check.regions) - _SAID) > 0:
                said.append(f"  {where}and {left} more places")
            left_out = list(frame.check.left_out)
            said += [f"  {where}left out: {fault}" for fault in left_out[:_SAID]]
            if (left := len(left_out) - _SAID) > 0:
                said.append(f"  {where}left out: {left} more")
            if frame.check.held_out is not None:
                said.append(f"  {where}{frame.check.held_out}")
            if (family := frame.check.family) is not None:
                why = "; ".join(family.reasons)
                said.append(f"  {where}{family.kind} what the prior knows: {why}")
            if (size := frame.check.other_pixel_size) is not None:
                said.append(f"  {where}{_OTHER_SIZE.format(size)}")
        if all(frame.check.columns is None for frame in self.frames):
            said.append(
                f"  columns were not looked at: that takes a pixel size of at most {COARSEST:g} Å "
                "(--pixel-size)"
            )
        return said

    def write_json(self, path: Path) -> None:
        """Write what `to_dict` returns.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        with replacing(path) as made:
            text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
            made.write_text(text + "\n", encoding="utf-8")


def check_files(
    noisy: Path,
    denoised: Path,
    *,
    answers: Sequence[NDArray[Any]] | None = None,
    command: str | None = None,
    movie: bool = False,
    prior: str | Path | None = None,
    signal: str | None = None,
    noise: str = "auto",
    pixel_size: float | None = None,
    faults: bool = True,
    false_alarm: float = FALSE_ALARM,
    drawn: int = 0,
    progress: Callable[[float], None] = lambda share: None,
) -> CheckedFiles:
    """Check each frame of a denoised file; the false alarms are shared out among frames.

    Parameters
    ----------
    noisy, denoised : Path
        Any file that `emprior.read` reads.
    answers : sequence of (H, W) ndarray, optional
        The denoised frames, where they are at hand: then that file is not read.
    command : str, optional
        The denoiser as a program, as for `emprior.trust.command.Command`; run on a part of each
        frame.
    movie : bool
        The frames are of one movie: what was made of each, without it, the next one judges.
    prior : str or path, optional
        As for `emprior.check`.
    signal : str, optional
        Which image of a noisy file that holds several; see `emprior.read`.
    noise, pixel_size, faults, false_alarm
        As for `emprior.check`.
    drawn : int
        Of how many frames, the first ones, the maps are kept to be drawn: they are large.
    progress : callable
        Called with the share of work done, from 0 to 1.

    Raises
    ------
    InputError
        If a file or frame cannot be used, or the two do not belong together.
    """
    if pixel_size is not None:
        check_pixel_size(pixel_size)
    check_false_alarm(false_alarm)
    check_spec(noise)
    if prior is not None:
        from emprior.denoisers.networks import check_network

        check_network("prior", prior)
    if movie and command is not None:
        raise OptionError(
            "--command and --movie",
            expected="one of them, or neither",
            why="a part of each frame judges what the program makes of the rest, or the next frame "
            "what was made of all of it",
            fix="leave out the one or the other",
        )
    denoiser = None if command is None else _command(command, noisy, denoised)
    one = read(noisy, signal=signal)
    if answers is None:
        other = read(denoised)
        _check_shapes(one, other)
        if pixel_size is None:
            pixel_size = common_scale(one.pixel_size, other.pixel_size)
        estimates: Iterator[NDArray[Any]] = (pixels for _, pixels in other.frames())
    else:
        pixel_size = one.pixel_size if pixel_size is None else pixel_size
        estimates = iter(answers)
    if movie:
        check_movie(one)
    done: list[CheckedFrame] = []
    for (index, pixels), estimate in zip(one.frames(), estimates, strict=True):
        with _naming(noisy, denoised, index):
            found = check(
                pixels,
                estimate,
                noise=noise,
                pixel_size=pixel_size,
                faults=faults,
                denoiser=denoiser,
                next_frame=_next(one, index) if movie else None,
                prior=prior,
                false_alarm=1 - (1 - false_alarm) ** (1 / one.frame_count),
            )
        done.append(CheckedFrame(index, found if len(done) < drawn else replace(found, maps=None)))
        progress(len(done) / one.frame_count)
    return CheckedFiles(noisy, denoised, pixel_size, false_alarm, tuple(done))


def _next(signal: Signal, index: tuple[int, ...]) -> NDArray[Any] | None:
    """Return the frame after one, along the last of the axes of frames, if there is one."""
    following = index[-1] + 1
    return signal.frame((*index[:-1], following)) if following < signal.data.shape[-3] else None


def _command(line: str, noisy: Path, denoised: Path) -> Command:
    """Return the program, with files of the formats that it read and wrote."""

    def suffix(path: Path) -> str:
        return path.suffix if path.suffix.lower() in set(FORMATS) - {".png"} else ".tif"

    return Command(line, suffix(noisy), denoised.suffix or suffix(noisy))


def _check_shapes(noisy: Signal, denoised: Signal) -> None:
    shapes = tuple(noisy.data.shape), tuple(denoised.data.shape)
    if shapes[0] != shapes[1]:
        raise ImageError(
            f"{denoised.path} of shape {shapes[1]} beside {noisy.path} of shape {shapes[0]}",
            expected="files of equal shape",
            why="each pixel is compared with the one at its place",
            fix="crop or resample one to the grid of the other; check that they belong together",
        )


@contextmanager
def _naming(noisy: Path, denoised: Path, index: tuple[int, ...]) -> Iterator[None]:
    """Say in errors about pixels which files and frame they are of."""
    try:
        yield
    except InputError as error:
        frame = f", frame {', '.join(map(str, index))}" if index else ""
        raise error.of(f"{noisy} and {denoised}{frame}") from error
