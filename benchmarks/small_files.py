"""Small valid files of every kind that `emprior` reads: what fuzzing and killing start from.

Formats that only microscopes write are made here by their published layouts: DigitalMicrograph 3
and 4, TIA (.ser, .emi) and Velox.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import mrcfile
import numpy as np
import tifffile
from numpy.typing import NDArray

from emprior import weights
from emprior.generators import DCGAN
from emprior.generators.dcgan import initialise
from emprior.io import Signal, sidecar_path, write

SHAPE = (14, 18)
PIXEL_SIZE = 0.2  # Å

Image = NDArray[np.uint16]


def counts(*frames: int, seed: int = 0) -> Image:
    """Return frames of counted electrons, (..., H, W)."""
    y, x = np.indices(SHAPE) * 2 * np.pi * PIXEL_SIZE / 1.6
    drawn = np.random.default_rng(seed).poisson(20 + 9 * np.cos(x) * np.cos(y), (*frames, *SHAPE))
    return drawn.astype(np.uint16)


def image_files(folder: Path) -> list[Path]:
    """Write an image or a short movie in every format; return the files."""
    return [make(folder) for make in _IMAGES]


def _ours(name: str, *frames: int) -> Callable[[Path], Path]:
    return lambda folder: write(folder / name, Signal.from_array(counts(*frames), PIXEL_SIZE))


def _bare(name: str, *frames: int) -> Callable[[Path], Path]:
    """Write as `_ours`, without the sidecar."""

    def make(folder: Path) -> Path:
        path = _ours(name, *frames)(folder)
        sidecar_path(path).unlink()
        return path

    return make


def digital_micrograph(path: Path, version: int) -> Path:
    """Write a .dm3 or .dm4: a tree of tags with big-endian headings and little-endian values."""
    image, wide = counts(), ">I" if version == 3 else ">Q"
    H, W = image.shape

    def group(tags: Mapping[str, Any] | list[Any]) -> bytes:
        items = tags.items() if isinstance(tags, Mapping) else [("", tag) for tag in tags]
        body = b"".join(entry(name, tag) for name, tag in items)
        return struct.pack(">BB", 0, 0) + struct.pack(wide, len(tags)) + body

    def entry(name: str, tag: Any) -> bytes:
        nested = isinstance(tag, Mapping | list)
        content = group(tag) if nested else b"%%%%" + value(tag)
        heading = struct.pack(">BH", 20 if nested else 21, len(name)) + name.encode()
        return heading + (b"" if version == 3 else struct.pack(">Q", len(content))) + content

    def value(tag: Any) -> bytes:
        if isinstance(tag, str):
            tag = np.frombuffer(tag.encode("utf-16-le"), np.uint16)
        if isinstance(tag, np.ndarray):
            info, content = (20, 4, tag.size), tag.tobytes()  # an array, of uint16
        else:
            float_ = isinstance(tag, float)
            info, content = (6 if float_ else 5,), struct.pack("<f" if float_ else "<I", tag)
        return b"".join(struct.pack(wide, number) for number in (len(info), *info)) + content

    scale = {"Origin": 0.0, "Scale": PIXEL_SIZE / 10, "Units": "nm"}
    shown = {
        "ImageData": {
            "Calibrations": {
                "Brightness": {"Origin": 0.0, "Scale": 1.0, "Units": ""},
                "Dimension": [scale, scale],
            },
            "Data": image.ravel(),
            "DataType": 10,
            "Dimensions": [W, H],
            "PixelDepth": 2,
        },
        "ImageTags": {"Microscope Info": {"Voltage": 300e3}},
        "Name": "small",
    }
    root = group({"ImageList": [shown]})
    path.write_bytes(struct.pack(">I", version) + struct.pack(wide, len(root)) + b"\0\0\0\1" + root)
    return path


def tia_series(path: Path, frames: int = 2) -> Path:
    """Write a .ser of images."""
    H, W = SHAPE
    scale = struct.pack("<ddI", 0.0, PIXEL_SIZE * 1e-10, 0)
    images = [
        scale + scale + struct.pack("<HII", 2, W, H) + image.tobytes() for image in counts(frames)
    ]
    tag = struct.pack("<HHI", 0x4152, 0, 1_600_000_000)
    dimension = struct.pack("<IddI", frames, 0.0, 1.0, 0) + struct.pack("<I6sI", 6, b"Number", 0)
    start = 30 + len(dimension)
    heading = struct.pack(
        "<HHHIIIIII", 0x4949, 0x0197, 0x0210, 0x4122, 0x4152, frames, frames, start, 1
    )
    at = start + 8 * frames
    places = [at + i * len(images[0]) for i in range(frames)]
    tags = [at + frames * len(images[0]) + i * len(tag) for i in range(frames)]
    offsets = struct.pack(f"<{2 * frames}I", *places, *tags)
    path.write_bytes(heading + dimension + offsets + b"".join(images) + tag * frames)
    return path


def tia_experiment(path: Path) -> Path:
    """Write an .emi, which describes the .ser beside it."""
    tia_series(path.with_name(f"{path.stem}_1.ser"), frames=1)
    text = (
        "<ObjectInfo><ExperimentalDescription><Root><Data><Label>High tension</Label>"
        "<Value>300</Value><Unit>kV</Unit></Data></Root></ExperimentalDescription>"
        "<AcquireInfo/><AcquireDate>Wed Jul 24 17:45:33 2013</AcquireDate></ObjectInfo>"
    )
    path.write_bytes(b"JF\x03\x02" + bytes(40) + text.encode() + bytes(40))
    return path


def velox(path: Path) -> Path:
    """Write a Velox .emd of two frames."""
    told = {
        "BinaryResult": {
            "PixelSize": {"width": str(PIXEL_SIZE * 1e-10), "height": str(PIXEL_SIZE * 1e-10)},
            "Offset": {"x": "0", "y": "0"},
            "PixelUnitX": "m",
            "PixelUnitY": "m",
            "Detector": "HAADF",
        },
        "Optics": {"AccelerationVoltage": "300000"},
        "Detectors": {"Detector-0": {"DetectorName": "HAADF"}},
        "Instrument": {"InstrumentModel": "small"},
        "Scan": {"FrameTime": "1"},
        "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "1600000000"}},
    }
    text = np.frombuffer(json.dumps(told).encode().ljust(1200, b"\0"), np.uint8)
    text_type = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "Version", data=[json.dumps({"format": "Velox", "version": 11})], dtype=text_type
        )
        group = file.create_group("Data/Image/" + 32 * "a")
        group["Data"] = counts(2).transpose(1, 2, 0)
        group["Metadata"] = np.stack([text, text], axis=1)
    return path


def berkeley(path: Path) -> Path:
    """Write a Berkeley .emd of an image and a wave, so that one has to be chosen."""
    with h5py.File(path, "w") as file:
        file.attrs["version_major"], file.attrs["version_minor"] = 0, 2
        for title, image in {"HAADF": counts(), "BF": counts(seed=1)}.items():
            group = file.create_group(f"data/{title}")
            group.attrs["emd_group_type"] = 1
            group["data"] = image.T
            for i, (n, name) in enumerate(zip(image.T.shape, "xy", strict=True), 1):
                dim = group.create_dataset(f"dim{i}", data=np.arange(n) * PIXEL_SIZE / 10)
                dim.attrs["name"], dim.attrs["units"] = name, "[n_m]"
    return path


def mrc(path: Path) -> Path:
    """Write an .mrc of counts as a camera does."""
    with mrcfile.new(path) as file:
        file.set_data(counts(3))
        file.set_image_stack()
        file.voxel_size = (PIXEL_SIZE, PIXEL_SIZE, 0)
    return path


def fiji(path: Path) -> Path:
    """Write a .tif as Fiji does."""
    tifffile.imwrite(
        path,
        counts(2),
        imagej=True,
        resolution=(10 / PIXEL_SIZE, 10 / PIXEL_SIZE),
        metadata={"axes": "ZYX", "unit": "nm"},
    )
    return path


def ripple(path: Path) -> Path:
    """Write an .rpl, whose numbers lie in a .raw beside it."""
    H, W = SHAPE
    lines = {
        "width": W,
        "height": H,
        "depth": 2,
        "offset": 0,
        "data-length": 2,
        "data-type": "unsigned",
        "byte-order": "little-endian",
        "record-by": "image",
    }
    path.with_suffix(".raw").write_bytes(counts(2).tobytes())
    text = "".join(f"{key}\t{value}\n" for key, value in {"key": "value", **lines}.items())
    path.write_text(text, encoding="ascii")
    return path


_IMAGES: tuple[Callable[[Path], Path], ...] = (
    lambda folder: digital_micrograph(folder / "a.dm3", 3),
    lambda folder: digital_micrograph(folder / "b.dm4", 4),
    lambda folder: tia_series(folder / "c.ser"),
    lambda folder: tia_experiment(folder / "d.emi"),
    lambda folder: velox(folder / "e.emd"),
    lambda folder: berkeley(folder / "f.emd"),
    lambda folder: mrc(folder / "g.mrc"),
    lambda folder: fiji(folder / "h.tif"),
    lambda folder: ripple(folder / "i.rpl"),
    _ours("j.hspy", 2),
    _ours("k.tif"),
    _bare("l.tif", 2),
    _ours("m.mrc"),
    _bare("n.emd", 2),
    _ours("o.npy", 3),
    _bare("p.npy"),
    _ours("q.png"),
    _bare("r.png"),
)


def prior(path: Path) -> Path:
    """Write the weights of a generator that has learnt nothing, of (16, 16) pixels."""
    generator = DCGAN(size=16, nz=3, ngf=2, pixel_size=PIXEL_SIZE)
    initialise(generator, np.random.default_rng(0))
    weights.save(path, generator.eval(), weights.Card(text="A toy.\nNot for micrographs."))
    return path
