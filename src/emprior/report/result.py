"""A denoised file on one page: the columns that were found, drawn on each frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from emprior.errors import FileError
from emprior.found import FoundColumns, FoundOptics
from emprior.io import read
from emprior.report.page import Section
from emprior.report.plots import columns_on

_MOST = 12  # frames that are drawn


def sections(path: Path) -> list[Section]:
    """Return a part for each frame of a denoised file in which columns were found.

    Raises
    ------
    FileError
        If the file cannot be read, or says of no columns.
    """
    signal = read(path)
    done = signal.provenance or {}
    told = [
        (index, pixels, frame)
        for (index, pixels), frame in zip(signal.frames(), done.get("frames", ()), strict=False)
        if "columns" in frame
    ]
    if not told:
        raise FileError(
            f"{path} says of no atomic columns",
            expected="a file that emprior denoise wrote, answered by a prior that knows columns",
            why="they are drawn on the frame from what its metadata, or its sidecar, say",
            fix="denoise the raw file by the default method, and keep NAME.json beside the result",
        )
    left = len(told) - _MOST
    rest = [Section("Further frames", f"{left} are not drawn.")] if left > 0 else []
    pixel_size = float(done["pixel_size_in_angstrom"])
    return [*(_section(*one, pixel_size) for one in told[:_MOST]), *rest]


def _section(
    index: tuple[int, ...], pixels: Any, frame: Mapping[str, Any], pixel_size: float
) -> Section:
    columns = FoundColumns.from_table(frame["columns"], pixel_size)
    optics = FoundOptics.from_dict(frame["optics"])
    kinds = ", ".join(f"{count} of {symbol}" for symbol, count in Counter(columns.symbols).items())
    text = f"{len(columns)} columns ({kinds or 'none'}); {optics}. Faint: improbable."
    title = f"Frame {', '.join(map(str, index))}" if index else "Atomic columns"
    return Section(title, text, figure=columns_on(np.asarray(pixels), columns))
