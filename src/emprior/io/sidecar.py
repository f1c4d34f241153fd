"""The sidecar: a JSON file beside an image whose format cannot hold its metadata.

``image.tif`` has ``image.tif.json``. It names the image by its SHA-256, so that a sidecar is never
believed about an image that another program has changed since.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from emprior.errors import EmpriorWarning
from emprior.io.signal import Axis, Signal

_VERSION = 1


def sidecar_path(path: Path) -> Path:
    """Return where the sidecar of an image stands."""
    return path.with_name(path.name + ".json")


def plain(value: Any) -> Any:
    """Return metadata as JSON knows it: what has no equal there becomes text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind != "V":
        value = value.tolist()
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):  # neither JSON nor HDF5 takes every string that Python does
        return value.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no nan
    if value is None or isinstance(value, bool | int | float):
        return value
    return plain(str(value))


def write_sidecar(
    path: Path, image: Path, signal: Signal, provenance: Mapping[str, Any] | None, grey: Any
) -> None:
    """Write what the format of ``image`` cannot hold of ``signal``.

    ``grey`` tells how pixel values were turned to grey levels, where they were.
    """
    content = {
        "emprior_sidecar": _VERSION,
        "sha256": _sha256(image),
        "axes": [dataclasses.asdict(axis) for axis in signal.axes],
        "grey_levels": grey,
        "metadata": plain(with_provenance(signal.metadata, provenance)),
        "original_metadata": plain(signal.original_metadata),
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def with_provenance(
    metadata: Mapping[str, Any], provenance: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return metadata with the branch ``emprior``; an earlier one moves to ``previous``."""
    if provenance is None:
        return dict(metadata)
    branch = dict(plain(provenance))
    if "emprior" in metadata:
        branch["previous"] = metadata["emprior"]
    return {**metadata, "emprior": branch}


def restore(signal: Signal) -> Signal:
    """Return a signal with the axes and metadata of its sidecar, where that can be believed."""
    assert signal.path is not None
    beside = sidecar_path(signal.path)
    if not beside.is_file():
        return signal
    try:
        content = json.loads(beside.read_text(encoding="utf-8"))
        if "emprior_sidecar" not in content:
            return signal  # another program's file
        if content["emprior_sidecar"] != _VERSION:
            raise ValueError(f"its version is {content['emprior_sidecar']}, not {_VERSION}")
        if content["sha256"] != _sha256(signal.path):
            raise ValueError("the image has been changed since it was written")
        axes = []
        for entry in content["axes"]:
            values = entry.pop("values")
            axes.append(Axis(**entry, values=None if values is None else tuple(values)))
        return dataclasses.replace(
            signal,
            axes=tuple(axes),
            metadata=content["metadata"],
            original_metadata=content["original_metadata"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        warnings.warn(
            f"{beside.name} is ignored ({error}): the scale and metadata are taken from "
            f"{signal.path.name} alone",
            EmpriorWarning,
            stacklevel=3,
        )
        return signal


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
