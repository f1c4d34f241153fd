"""Anybody's denoiser as a command line that reads one file and writes another."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from emprior.errors import FileError, OptionError
from emprior.io import Signal, read, write
from emprior.micrograph import Micrograph

_SAID = 400  # characters of what a failed command said


@dataclass(frozen=True)
class Command:
    """A denoiser that is called as a program.

    Parameters
    ----------
    line : str
        With ``{in}`` where the noisy file and ``{out}`` where the denoised one is to be named; run
        without a shell.
    suffix_in, suffix_out : str
        Of the two files, ``.tif`` for example: the formats that the program reads and writes.

    Raises
    ------
    OptionError
        If the line cannot be read as words, or one of the two names is missing.
    """

    line: str
    suffix_in: str = ".tif"
    suffix_out: str = ".tif"

    def __post_init__(self) -> None:
        try:
            words = shlex.split(self.line)
        except ValueError as error:
            raise self._refusal(str(error)) from error
        for name in ("{in}", "{out}"):
            if not any(name in word for word in words[1:]):
                raise self._refusal(f"{name} is not in it")

    def _refusal(self, why: str) -> OptionError:
        return OptionError(
            f"the command {self.line!r}",
            expected="words as in a shell, with {in} and {out} for the names of two files",
            why=f"the denoiser is run on a part of the data ({why})",
            fix="write for example --command 'mytool --input {in} --output {out}'",
        )

    def __call__(self, micrograph: Micrograph) -> NDArray[Any]:
        """Write the frame to a file, run the program, and read what it wrote.

        Raises
        ------
        OptionError
            If there is no such program, or it fails.
        FileError
            If it writes nothing that can be read.
        """
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / f"in{self.suffix_in}"
            target = Path(folder) / f"out{self.suffix_out}"
            write(source, Signal.from_array(micrograph.image, micrograph.pixel_size))
            names = {"{in}": str(source), "{out}": str(target)}
            words = shlex.split(self.line)
            for mark, name in names.items():
                words = [word.replace(mark, name) for word in words]
            try:
                done = subprocess.run(words, capture_output=True, text=True, errors="replace")
            except OSError as error:
                raise self._failure(str(error.strerror or error)) from error
            if done.returncode:
                said = (done.stderr.strip() or done.stdout.strip())[-_SAID:]
                raise self._failure(f"it ended with code {done.returncode}: {said or 'no word'}")
            if not target.exists():
                raise FileError(
                    f"the command {self.line!r} wrote no {target.name}",
                    expected="a denoised file of that name",
                    why="its answer is compared with data that it has not seen",
                    fix="check that {out} stands where the program takes the name of its output",
                )
            return next(iter(read(target).frames()))[1]

    def _failure(self, why: str) -> OptionError:
        return OptionError(
            f"the command {self.line!r} failed",
            expected="a program that denoises one file",
            why=why,
            fix="run it by hand on a file first; it is started without a shell, in this directory",
        )
