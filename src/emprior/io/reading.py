"""Read micrographs: RosettaSciIO's readers, and the care that users' files need."""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from emprior.errors import EmpriorError, EmpriorWarning, FileError, ImageError, OptionError
from emprior.io.exports import as_grey
from emprior.io.quiet import quiet
from emprior.io.sidecar import restore
from emprior.io.signal import SQUARE, Axis, Signal

LAZY_ABOVE = 256 * 2**20  # bytes; a larger file is read frame by frame

_COMMON = ".dm3, .dm4, .ser, .emi, .emd (Velox, Berkeley), .mrc, .tif, .hspy, .npy, .png"


def read(path: str | Path, *, signal: int | str | None = None, lazy: bool | None = None) -> Signal:
    """Read the micrographs of a file.

    Parameters
    ----------
    path : path
        A file that RosettaSciIO reads: DigitalMicrograph, TIA, Velox, Berkeley EMD, MRC, TIFF,
        HyperSpy, and more; or an array saved by NumPy, or a PNG.
    signal : int or str, optional
        Which image to take where the file holds several: its number from 0, or its title.
        By default the first one in real space, with a warning that names the others.
    lazy : bool, optional
        Leave the pixels in the file until a frame is asked for. By default files of more than
        256 MiB. TIFF and PNG are read at once in any case.

    Returns
    -------
    Signal
        Pixels in the file's own type and units. A sidecar beside the file (see
        `emprior.io.write`) gives back what the format has lost.

    Raises
    ------
    FileError
        If the file is missing, empty, truncated, of an unknown format, or otherwise unreadable.
    ImageError
        If it holds no image of real numbers, or a coloured one.
    OptionError
        If the signal asked for is not there.

    Warns
    -----
    EmpriorWarning
        If something is assumed: one signal of several, grey in RGB, an axis that is no length.
    """
    path = Path(path)
    _check_file(path)
    if lazy is None:
        lazy = path.stat().st_size > LAZY_ABOVE
    with _reader_errors(path), quiet(path):
        found = _load(path, lazy)
    chosen = restore(_choose(found, path, signal))
    _check_grid(chosen)
    return chosen


def _check_file(path: Path) -> None:
    fix = "check the name; quotation marks are needed around spaces"
    try:
        if path.is_dir():
            why, fix = "it is a directory", f"name the files in it, for example {path}/*.dm4"
        elif not path.stat().st_size:
            why, fix = "it is empty", "copy it again from its source"
        else:
            with path.open("rb"):
                return
    except (OSError, ValueError) as error:
        why = str(getattr(error, "strerror", None) or error)
    raise FileError(
        f"{path} cannot be read",
        expected="the name of an image file",
        why=f"the system says: {why}" if "it is" not in why else why,
        fix=fix,
    )


@contextlib.contextmanager
def _reader_errors(path: Path) -> Iterator[None]:
    """Turn what a reader raises on a bad file, which can be anything, into a FileError."""
    try:
        yield
    except EmpriorError:
        raise
    except Exception as error:
        raise FileError(
            f"{path} cannot be read as {path.suffix.lower() or 'an image'}",
            expected="a complete file whose name ends as its format does",
            why=f"the reader says: {type(error).__name__}: {error}",
            fix="copy the file again from its source, or export it anew from the microscope's "
            "software",
        ) from error


def _load(path: Path, lazy: bool) -> list[Mapping[str, Any]]:
    """Return the file's signals as RosettaSciIO's dictionaries."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        # RosettaSciIO squeezes axes of one sample.
        data = np.load(path, mmap_mode="r" if lazy else None, allow_pickle=False)
        return [{"data": data}]
    if suffix == ".png":
        # RosettaSciIO takes an image with equal green and blue for a grey one.
        import imageio.v3 as iio

        return [{"data": iio.imread(path)}]
    from rsciio import IO_PLUGINS

    plugins = [
        plugin
        for plugin in IO_PLUGINS
        if suffix[1:] in (extension.lower() for extension in plugin["file_extensions"])
        and plugin["name"] != "Renishaw"  # Raman spectra; never returns from a damaged file
    ]
    if not plugins:
        raise FileError(
            f"{path}: no reader knows the suffix {suffix!r}",
            expected=f"a file of {_COMMON}, or another that RosettaSciIO reads",
            why="the suffix of the name tells the format",
            fix="export the image as one of these, or correct the suffix",
        )
    plugins.sort(key=lambda plugin: plugin["name"] == "MRCZ")  # which also claims .mrc
    # RosettaSciIO's lazy TIFF keeps its file open, and decodes the whole stack for each frame.
    lazy = lazy and suffix not in (".tif", ".tiff")
    if lazy and suffix == ".mrc":
        _check_mrc(path)
    for plugin in plugins:
        try:
            found = importlib.import_module(plugin["api"]).file_reader(str(path), lazy=lazy)
            break
        except Exception:
            # Several readers claim .h5, .hdf5, .img …; the last one's complaint is passed on.
            if plugin is plugins[-1]:
                raise
    if suffix in (".tif", ".tiff"):
        found = [_with_fiji_unit(entry) for entry in found]
    return list(found)


def _check_mrc(path: Path) -> None:
    """Find frames that an MRC counts and lacks: lazily read, millions of them take for ever."""
    import mrcfile

    with mrcfile.open(path, permissive=True, header_only=True) as file:
        header = file.header
        pixel = mrcfile.utils.dtype_from_mode(header.mode).itemsize
        counted = pixel * int(header.nx) * int(header.ny) * int(header.nz)
        there = path.stat().st_size - header.nbytes - int(header.nsymbt)
    if counted > there:
        raise ValueError(f"{counted} bytes of pixels are counted, and {there} are there")


def _with_fiji_unit(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add the unit that Fiji writes into a TIFF, of which RosettaSciIO knows µm only."""
    axes = [dict(axis) for axis in entry["axes"]]
    description = entry["original_metadata"].get("ImageDescription")
    if isinstance(description, str) and description.startswith("ImageJ="):
        lines = dict(line.split("=", 1) for line in description.splitlines() if "=" in line)
        for axis in axes[-2:]:
            axis["units"] = axis.get("units") or lines.get("unit")
    return {**entry, "axes": axes}


def _choose(found: list[Mapping[str, Any]], path: Path, wanted: int | str | None) -> Signal:
    """Return the image signal that is asked for, or the first one in real space."""
    images: list[Signal] = []
    refusals: list[ImageError] = []
    for entry in found:
        try:
            with _reader_errors(path):
                images.append(_signal(entry, path))
        except ImageError as error:
            refusals.append(error)
    if not images:
        if refusals:
            raise refusals[0]
        raise ImageError(
            f"{path.name} holds no signal",
            expected="at least one image",
            why="there is nothing to denoise",
            fix="check that the right file was given; an .emi needs its .ser files beside it",
        )
    names = [f"{i} {image.title or 'untitled'!r}" for i, image in enumerate(images)]
    if wanted is not None:
        for i, image in enumerate(images):
            if wanted in (i, str(i), image.title):
                return image
        raise OptionError(
            f"{path.name} has no image {wanted!r}",
            expected=f"one of: {', '.join(names)}",
            why="signals are told apart by number or title",
            fix="give one of these numbers or titles",
        )
    chosen = next(
        (
            i
            for i, image in enumerate(images)
            if all(axis.is_real_space for axis in image.axes[-2:])
        ),
        0,
    )
    if len(images) > 1:
        warnings.warn(
            f"{path.name} holds {len(images)} images ({', '.join(names)}): number {chosen} is "
            "taken; name another by its number or title",
            EmpriorWarning,
            stacklevel=3,
        )
    return images[chosen]


def _signal(entry: Mapping[str, Any], path: Path) -> Signal:
    """Turn one of RosettaSciIO's dictionaries into a Signal of order (navigation…, y, x)."""
    data = entry["data"]
    if "axes" not in entry:
        return Signal.from_array(as_grey(data, path), path=path)
    axes = [dict(axis) for axis in entry["axes"]]
    if all(axis.get("index_in_array") is not None for axis in axes):
        axes.sort(key=lambda axis: int(axis["index_in_array"]))
    grey = as_grey(data, path)
    if grey.ndim < data.ndim:  # the last axis was that of colours
        axes = [{**axis, "navigate": i < grey.ndim - 2} for i, axis in enumerate(axes[:-1])]
    n = len(axes)
    image = [i for i, axis in enumerate(axes) if not axis.get("navigate")]
    if len(image) < 2 <= n:
        raise ImageError(
            f"a signal of {len(image)} axis and {n - len(image)} navigation axes in {path.name}",
            expected="a signal with the two axes of an image",
            why="spectra and profiles are no micrographs",
            fix="save an image, for example the sum over the spectrum",
        )
    # Some formats count no axis as navigation (Berkeley EMD): the last two are the image's.
    order = [i for i in range(n) if i not in image[-2:]] + image[-2:]
    if grey.ndim == n:
        grey = grey.transpose(order)
    made = tuple(_axis(axes[i], navigate=i not in image[-2:]) for i in order)
    return Signal(grey, made, _mapped(entry), entry.get("original_metadata") or {}, path)


def _axis(axis: Mapping[str, Any], *, navigate: bool) -> Axis:
    values = axis.get("axis")
    return Axis(
        name=str(axis.get("name") or ""),
        size=int(axis["size"] if "size" in axis else len(axis["axis"])),
        scale=float(axis.get("scale", 1.0)),
        offset=float(axis.get("offset", 0.0)),
        units=None if axis.get("units") is None else str(axis["units"]),
        navigate=navigate,
        values=None if values is None else tuple(float(value) for value in values),
    )


def _mapped(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata with what RosettaSciIO maps from the original ones (beam energy, …)."""
    metadata = _copied(entry.get("metadata") or {})
    original = entry.get("original_metadata") or {}
    for source, (target, convert) in (entry.get("mapping") or {}).items():
        value: Any = original
        for key in source.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is None:
            continue
        *branches, leaf = target.split(".")
        with contextlib.suppress(Exception):  # a converter stumbles over one odd entry
            converted = value if convert is None else convert(value)
            node = metadata
            for key in branches:
                node = node.setdefault(key, {})
            if converted is not None:
                node[leaf] = converted
    return metadata


def _copied(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _copied(v) if isinstance(v, Mapping) else v for k, v in tree.items()}


def _check_grid(signal: Signal) -> None:
    """Warn where the scale is not taken as the file has it."""
    assert signal.path is not None
    for axis in signal.axes[-2:]:
        if not axis.is_real_space:
            warnings.warn(
                f"{signal.path.name}: the unit {axis.units!r} is no length, so the pixel size is "
                "taken as unknown; a diffraction pattern is not what the priors know",
                EmpriorWarning,
                stacklevel=3,
            )
            return
    sizes = signal.pixel_sizes
    if sizes is not None and 1e-3 < abs(sizes[0] - sizes[1]) / max(sizes) <= SQUARE:
        warnings.warn(
            f"{signal.path.name}: pixels of {sizes[0]:.4g} Å along y and {sizes[1]:.4g} Å along "
            f"x are taken as square ones of {signal.pixel_size:.4g} Å",
            EmpriorWarning,
            stacklevel=3,
        )
