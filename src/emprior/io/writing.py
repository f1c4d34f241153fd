"""Write a signal under a name whose suffix says the format: all of it, or nothing."""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from emprior.errors import EmpriorError, OutputError
from emprior.files import replacing
from emprior.io.outputs import check_holds, check_output
from emprior.io.quiet import quiet
from emprior.io.sidecar import plain, sidecar_path, with_provenance, write_sidecar
from emprior.io.signal import Axis, Signal, angstroms


def write(
    path: str | Path,
    signal: Signal,
    *,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a signal with its axes and metadata, as float32.

    The file appears complete or not at all: it is made under another name, which begins with a
    dot, and renamed. What a format cannot hold goes to a JSON sidecar, ``NAME.json``, which
    `emprior.io.read` takes up again.

    Parameters
    ----------
    path : path
        Its suffix names the format; see `FORMATS`.
    signal : Signal
        What is written: usually ``source.with_data(estimates)``. With dask data, ``.hspy`` is
        written piece by piece; other formats hold the array in memory.
    provenance : mapping, optional
        How the pixels came about: plain values, noted as the branch ``emprior`` of the metadata.
    overwrite : bool
        Replace an existing file. The file that the signal was read from is never replaced.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    OutputError
        If the name cannot be written, or the format cannot hold the signal, or the disk is full.
    """
    path = Path(path)
    sources = () if signal.path is None else (signal.path,)
    check_output(path, sources, overwrite=overwrite)
    path = path.resolve()  # through a link to what it points at
    suffix = path.suffix.lower()
    check_holds(path, signal.data.shape)
    try:
        if suffix == ".hspy":
            with quiet(path), replacing(path) as made:
                _write_hspy(made, signal, provenance)
        else:
            # The sidecar is moved first: alone it is believed about no other image, because it
            # names its own by hash, while an image without its sidecar would look complete.
            beside_path = sidecar_path(path)
            with quiet(path), replacing(path) as made, replacing(beside_path) as beside:
                data = np.ascontiguousarray(signal.data, dtype=np.float32)
                grey = _WRITERS[suffix](made, signal.with_data(data))
                write_sidecar(beside, made, signal, provenance, grey)
    except EmpriorError:
        raise
    except Exception as error:
        raise OutputError(
            f"{path} was not written",
            expected="room on the disk, and a file system that takes the file",
            why=f"the writer says: {type(error).__name__}: {error}",
            fix="free some space or choose another directory; if that is not it, choose .npy",
        ) from error
    return path


def _entry(signal: Signal, metadata: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return the dictionary that RosettaSciIO's writers take."""
    general = {"title": "", **(metadata.get("General") or {})}
    kind = {"signal_type": "", **(metadata.get("Signal") or {})}
    return {
        "data": signal.data,
        "axes": [_axis_entry(axis, i) for i, axis in enumerate(signal.axes)],
        "metadata": {**metadata, "General": general, "Signal": kind},
        "original_metadata": {},
        **more,
    }


def _axis_entry(axis: Axis, index: int) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": axis.name,
        "size": axis.size,
        "units": axis.units or None,
        "navigate": axis.navigate,
        "is_binned": False,
        "index_in_array": index,
    }
    if axis.values is not None:
        return {**entry, "_type": "DataAxis", "axis": np.array(axis.values)}
    return {**entry, "_type": "UniformDataAxis", "scale": axis.scale, "offset": axis.offset}


def _write_hspy(path: Path, signal: Signal, provenance: Mapping[str, Any] | None) -> None:
    from rsciio.hspy import file_writer

    entry = _entry(
        signal.with_data(signal.data.astype(np.float32, copy=False)),
        _hdf5_tree(with_provenance(signal.metadata, provenance)),
        original_metadata=_hdf5_tree(signal.original_metadata),
        package_info={"package": "", "package_version": ""},
        tmp_parameters={},
        attributes={"_lazy": False, "ragged": False},
        learning_results={},
        models={},
    )
    file_writer(str(path), entry, show_progressbar=False)


def _hdf5_tree(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata in the types that HDF5 holds: no odd objects, no 64 KiB of text in one."""
    made: dict[str, Any] = {}
    for name, value in tree.items():
        key = str(name).replace("/", "-") or "-"
        if isinstance(value, Mapping):
            made[key] = _hdf5_tree(value)
        elif isinstance(value, bytes):
            made[key] = np.frombuffer(value, np.uint8)
        elif isinstance(value, np.ndarray) and value.dtype.kind in "buifc":
            made[key] = value
        else:
            simple = plain(value)
            long = isinstance(simple, str) and len(simple.encode()) > 2**15
            made[key] = [simple] if long else simple
    return made


def _in_nm(signal: Signal) -> Signal:
    """Return a signal whose lengths are in nm, the unit other programs are sure to know."""
    axes = []
    for axis in signal.axes:
        factor = angstroms(1.0, axis.units)
        if factor is not None:
            factor /= 10
            axis = dataclasses.replace(
                axis, scale=axis.scale * factor, offset=axis.offset * factor, units="nm"
            )
        axes.append(axis)
    return dataclasses.replace(signal, axes=tuple(axes))


def _write_tiff(path: Path, signal: Signal) -> None:
    from rsciio.tiff import file_writer

    file_writer(str(path), _entry(_in_nm(signal), {}))
    _check_whole(path)


def _check_whole(path: Path) -> None:
    """Find out whether a TIFF lacks its end: the library does not notice that the disk was full."""
    from tifffile import TiffFile

    with TiffFile(path) as file:
        end = max(
            start + size
            for page in file.pages
            for start, size in zip(page.dataoffsets, page.databytecounts, strict=True)
        )
    if end > path.stat().st_size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _write_mrc(path: Path, signal: Signal) -> None:
    import mrcfile

    with mrcfile.new(path) as mrc:
        mrc.header.label[0] = "written by emprior"  # instead of the time, so that bytes repeat
        mrc.set_data(signal.data)
        if signal.data.ndim == 3:
            mrc.set_image_stack()
        sizes = signal.pixel_sizes
        if sizes is not None:
            mrc.voxel_size = (sizes[1], sizes[0], 0)
            for name, axis in (("y", signal.axes[-2]), ("x", signal.axes[-1])):
                mrc.header.origin[name] = angstroms(axis.offset, axis.units)


def _write_emd(path: Path, signal: Signal) -> None:
    from rsciio.emd import file_writer

    title = signal.title.replace("/", "-")  # it becomes the name of a group
    file_writer(str(path), _entry(_in_nm(signal), {"General": {"title": title}}))


def _write_npy(path: Path, signal: Signal) -> None:
    with path.open("wb") as file:
        npy.write_array_header_1_0(file, npy.header_data_from_array_1_0(signal.data))
        file.write(signal.data)  # np.save does not notice that the disk was full


def _write_png(path: Path, signal: Signal) -> dict[str, float]:
    import imageio.v3 as iio

    low, high = float(signal.data.min()), float(signal.data.max())
    step = (high - low) / 65535 or 1.0
    iio.imwrite(path, np.rint((signal.data.astype(float) - low) / step).astype(np.uint16))
    return {"value_of_0": low, "value_of_a_step": step}


_WRITERS: dict[str, Callable[[Path, Signal], Any]] = {
    ".tif": _write_tiff,
    ".tiff": _write_tiff,
    ".mrc": _write_mrc,
    ".emd": _write_emd,
    ".npy": _write_npy,
    ".png": _write_png,
}
