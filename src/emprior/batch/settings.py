"""What is asked of a run over files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from emprior.denoisers.depth import DEEPEST, Depth, reaches
from emprior.errors import OptionError
from emprior.files import expanded
from emprior.micrograph import check_pixel_size
from emprior.options import check_options


@dataclass(frozen=True)
class Settings:
    """What `emprior denoise` is asked to do; see `emprior.denoise` for each field.

    Parameters
    ----------
    signal : str, optional
        Which image of a file that holds several; see `emprior.io.read`.
    dark, gain : str, optional
        References of the detector; see `emprior.references.read_references`.
    movie : bool
        Whether neighbouring frames help; see `emprior.denoise_movie`.
    """

    method: str = "prior"
    noise: str = "auto"
    prior: str = "default"
    pixel_size: float | None = None
    signal: str | None = None
    seed: int = 0
    device: str = "auto"
    force: bool = False
    faults: bool = True
    depth: Depth = DEEPEST
    dark: str | None = None
    gain: str | None = None
    movie: bool = False

    def check(self) -> None:
        """Find nonsense before any work starts.

        Raises
        ------
        InputError
            If a method, noise, prior, depth, pixel size, seed or device cannot be used.
        """
        check_options(
            method=self.method,
            noise=self.noise,
            prior=self.prior,
            depth=self.depth,
            seed=self.seed,
            device=self.device,
            force=self.force,
        )
        if self.pixel_size is not None:
            check_pixel_size(self.pixel_size)

    @property
    def reference_files(self) -> list[Path]:
        """Files among the references: what is no number."""
        named = [expanded(name) for name in (self.dark, self.gain) if name is not None]
        return [path for path in named if path.exists()]

    @property
    def tells(self) -> bool:
        """Whether the method can tell columns and deviations."""
        return self.method == "prior" and reaches(self.depth, "inversion")

    def check_tells(self, what: str) -> None:
        """Find out before any work whether the method can tell columns or deviations.

        Parameters
        ----------
        what : str
            What is asked for, as in ``"columns"``.

        Raises
        ------
        OptionError
            If it never tells them.
        """
        asked = "the method 'prior' as it is without --fast"
        if not self.tells:
            raise OptionError(
                f"{what} of "
                + ("a first sight" if self.method == "prior" else f"the method {self.method!r}"),
                expected=f"{what} only of {asked}",
                why="they come from one search for the columns that best explain one frame",
                fix=f"leave out the one or the other, or choose {asked}",
            )

    def check_reports(self) -> None:
        """Find out before any work whether the answers can be compared with the files.

        Raises
        ------
        OptionError
            If references change what is denoised.
        """
        if self.dark is not None or self.gain is not None:
            raise OptionError(
                "a report with dark or gain references",
                expected="the one or the other",
                why="it compares answers with the frames of the file, which are not corrected",
                fix="write corrected frames first (emprior.References), and denoise those",
            )


def untold(methods: Iterable[str]) -> str:
    """Say why the answers of some methods tell neither columns nor deviations."""
    names = ", ".join(dict.fromkeys(methods))
    why = "whose weights know no columns" if names == "prior" else "which knows no columns"
    return f"the answer is that of {names}, {why}"
