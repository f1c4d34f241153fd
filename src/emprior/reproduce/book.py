"""The records of one experiment: what is in them is not measured again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emprior import records
from emprior.files import make_directory, replacing
from emprior.views import DESCRIPTION, Description

Figures = Mapping[str, Any]

_WORTH_SAYING = 0.5  # seconds


class Book:
    """The folder of an experiment.

    Parameters
    ----------
    directory : Path
        Made where it does not exist.
    description : Description
        Written beside the records, so that a report needs nothing else.
    order : int
        The experiment's place among all.
    common : mapping
        What every record says: scale and seed.
    say : callable
        Takes a line for people after each measurement.
    """

    def __init__(
        self,
        directory: Path,
        description: Description,
        order: int,
        common: Figures,
        say: Callable[[str], object],
    ) -> None:
        self.directory = make_directory(directory, "records are kept in it")
        self._common, self._say, self._title = common, say, description.name
        self._path = directory / records.RECORDS
        self._found = records.read(self._path) if self._path.exists() else []
        text = json.dumps({"order": order, **description.to_dict()}, indent=1, ensure_ascii=False)
        with replacing(directory / DESCRIPTION) as made:
            made.write_text(text + "\n", encoding="utf-8")

    def once(
        self,
        what: str,
        key: Figures,
        measure: Callable[[], Figures],
        images: int = 0,
    ) -> dict[str, Any]:
        """Return the record of one measurement, made now if it is not there yet.

        Parameters
        ----------
        what : str
            Kind of record.
        key : mapping
            Tells it from others of its kind.
        measure : callable
            Returns what was found, as plain values ready for JSON.
        images : int
            Seen in training by what was measured.
        """
        wanted = {"what": what, **key}
        for record in self._found:
            if all(record.get(name) == value for name, value in wanted.items()):
                return record
        started = time.perf_counter()
        found = dict(measure())
        seconds = found.pop("seconds", round(time.perf_counter() - started, 3))
        record = {
            **wanted,
            **found,
            "images_seen": images,
            "seconds": seconds,
            **self._common,
        }
        records.append(self._path, record)
        # As a later run reads it, so that both go on from the same values.
        self._found.append(json.loads(json.dumps(record)))
        if seconds < _WORTH_SAYING:
            return self._found[-1]
        named = ", ".join(str(value) for value in key.values())
        self._say(f"{self._title}: {what}{f' ({named})' if named else ''}, {seconds:.1f} s")
        return self._found[-1]

    def note(self, what: str, key: Figures, **values: Any) -> dict[str, Any]:
        """Record what is known without measuring, such as a number of the paper."""
        return self.once(what, key, lambda: {**values, "seconds": 0.0})

    def picture(
        self, what: str, key: Figures, image: NDArray[np.floating], limits: tuple[float, float]
    ) -> None:
        """Record a picture, (H, W) or (H, W, 3), on a grey scale from black to white."""
        from PIL import Image

        low, high = limits
        digest = hashlib.sha256(json.dumps([what, key], sort_keys=True).encode()).hexdigest()[:12]
        name = f"pictures/{what}-{digest}.png"

        def draw() -> Figures:
            make_directory(self.directory / "pictures", "pictures are kept in it")
            grey = np.clip((np.asarray(image, float) - low) / (high - low), 0, 1)
            with replacing(self.directory / name) as made:
                Image.fromarray((255 * grey).round().astype(np.uint8)).save(made)
            return {"file": name, "black": low, "white": high}

        self.once(what, key, draw)

    def pictures(
        self,
        what: str,
        row: str,
        images: NDArray[np.floating],
        limits: tuple[float, float],
        names: Sequence[str] | None = None,
    ) -> None:
        """Record a row of pictures, (n, H, W) or (n, H, W, 3), numbered unless named."""
        for k, image in enumerate(images):
            key = {"row": row, "column": names[k] if names else str(k + 1)}
            self.picture(what, key, image, limits)
