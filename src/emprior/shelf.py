"""Results of a file's frames, kept on the disk until all are there: a run that was stopped goes on.

Beside the result to be, in a hidden folder: the maps of all frames, and a line for each frame
whose maps are complete. Memory holds one frame, however many there are.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from emprior import records
from emprior.errors import OutputError
from emprior.files import replacing

_TASK = "task.json"
Index = tuple[int, ...]


class Shelf:
    """Frames that are done.

    Parameters
    ----------
    target : Path
        The file to be; the folder stands beside it.
    shape : tuple of int
        Of all frames together, (..., H, W).
    task : mapping
        Plain values on which the results depend. What is found of another task is thrown away.
    maps : sequence of str
        Names of the maps that each frame has.

    Raises
    ------
    OutputError
        If the folder cannot be made.
    """

    def __init__(
        self, target: Path, shape: tuple[int, ...], task: Mapping[str, Any], maps: tuple[str, ...]
    ) -> None:
        self.folder = target.with_name(f".{target.name}.unfinished")
        self._shape, self._maps = shape, maps
        self._log = self.folder / records.RECORDS
        wanted = json.loads(json.dumps({"task": task, "shape": shape, "maps": maps}))
        self.discarded = False
        with self._writing():
            if self.folder.is_dir() and self._task() != wanted:
                self.discarded = self._log.exists()
                shutil.rmtree(self.folder)
            if not self.folder.is_dir():
                self.folder.mkdir()
                for name in maps:
                    self._make(name)
                with replacing(self.folder / _TASK) as made:  # last: all before it is there
                    made.write_text(json.dumps(wanted), encoding="utf-8")
        self._start = self.map(maps[0]).offset
        found = records.read(self._log) if self._log.exists() else []
        self.told = {tuple(line.pop("frame")): line for line in found}
        """What was noted with each frame, by its index."""

    def put(self, index: Index, told: Mapping[str, Any], **maps: NDArray[np.floating]) -> None:
        """Keep a frame: its maps, each (H, W), and what is to be noted with it.

        Raises
        ------
        OutputError
            If the disk is full, or gone.
        """
        H, W = self._shape[-2:]
        number = int(np.ravel_multi_index(index, self._shape[:-2])) if index else 0
        with self._writing():
            for name in self._maps:
                with (self.folder / f"{name}.npy").open("r+b") as file:
                    file.seek(self._start + 4 * H * W * number)
                    # Not through a memory map: a full disk would end the process.
                    file.write(np.ascontiguousarray(maps[name], np.float32).tobytes())
                    file.flush()
                    os.fsync(file.fileno())
        # Only now does the frame count as done. The note is as a later run would read it.
        noted = records.append(self._log, {"frame": index, **told})
        self.told[tuple(noted.pop("frame"))] = noted

    def map(self, name: str) -> np.memmap[Any, np.dtype[np.float32]]:
        """Return a map of all frames, (..., H, W), as it lies on the disk."""
        mapped: np.memmap[Any, np.dtype[np.float32]] = np.load(
            self.folder / f"{name}.npy", mmap_mode="r"
        )
        return mapped

    def clear(self) -> None:
        """Remove the folder; maps that are in use stay until they no longer are."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _task(self) -> Any:
        try:
            return json.loads((self.folder / _TASK).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def _make(self, name: str) -> None:
        with (self.folder / f"{name}.npy").open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": tuple(self._shape)}
            npy.write_array_header_1_0(file, header)
            file.truncate(file.tell() + 4 * int(np.prod(self._shape)))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"{self.folder} cannot be written: {error.strerror or error}",
                expected="room for the results of all frames beside the file to be",
                why="each frame is kept as soon as it is done, so that a run can be stopped",
                fix="free some space, or write to another directory; what is done is kept",
            ) from error
