"""Natural images to train on: the official CIFAR archives, or a folder or zip of pictures.

They are for comparison with micrographs, and know no scale: the pixel size of their stack is 1 and
means nothing. Values lie between 0 and 1; grey is the luma of ITU-R BT.601.
"""

from __future__ import annotations

import hashlib
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from emprior.errors import EmpriorError, FileError, OptionError
from emprior.files import expanded
from emprior.stacks import Stack

PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"

Pixels = NDArray[np.uint8]

_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
_EIGHT_BIT = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")  # modes of PIL
_LARGEST_ENTRY = 256 * 2**20  # bytes of one file within an archive
_LARGEST_STACK = 8 * 2**30  # bytes in memory


@dataclass(frozen=True)
class Archive:
    """An archive of 32 × 32 pictures: records of labels, then 1,024 bytes each of R, G and B.

    Parameters
    ----------
    name : str
    file : str
        Its official file name.
    md5 : str
        Of the whole file.
    labels : int
        Bytes before the pixels of each record.
    parts : dict
        The files that hold each part.
    """

    name: str
    file: str
    md5: str
    labels: int
    parts: dict[str, tuple[str, ...]]


ARCHIVES = (
    Archive(
        name="CIFAR-10",
        file="cifar-10-binary.tar.gz",
        md5="c32a1d4ab5d03f1284b67883e8d87530",
        labels=1,
        parts={
            "train": tuple(f"cifar-10-batches-bin/data_batch_{i}.bin" for i in range(1, 6)),
            "test": ("cifar-10-batches-bin/test_batch.bin",),
        },
    ),
    Archive(
        name="CIFAR-100",
        file="cifar-100-binary.tar.gz",
        md5="03b5dce01913d631647c71ecec9e9cb8",
        labels=2,
        parts={"train": ("cifar-100-binary/train.bin",), "test": ("cifar-100-binary/test.bin",)},
    ),
)


def open_images(
    path: str | Path, *, colour: bool, part: str = "", checksum: str | None = None
) -> Stack:
    """Read natural images into memory.

    Parameters
    ----------
    path : path
        An official binary archive of CIFAR-10 or CIFAR-100, by its official name; or a folder or a
        zip of pictures of one size, at any depth, of which transparency is ignored.
    colour : bool
        True gives three channels, False grey.
    part : str
        ``"train"`` or ``"test"`` of an archive; a folder within a folder or zip, such as
        ``"train/cat"``. Empty takes all.
    checksum : str, optional
        MD5 that the file must have; for an official archive the published one by default.

    Returns
    -------
    Stack
        Its title says what it shows.

    Raises
    ------
    FileError
        If the file is missing, is not what its checksum says, is damaged, of another kind, or
        holds no pictures, or none of that part, or pictures of several sizes, of more than 8 bits
        a channel, or absurdly large ones.
    OptionError
        If a checksum is given for a folder.
    """
    path = expanded(path)
    archive = next((known for known in ARCHIVES if known.file == path.name), None)
    if not path.exists():
        raise _missing(path, archive)
    if path.is_dir():
        if checksum is not None:
            raise OptionError(
                f"a checksum for {path}, a folder",
                expected="a checksum for a single file",
                why="a folder has none",
                fix="leave it out",
            )
        return _pictures(path, _folder(path), colour, part)
    if archive:
        _verify(path, checksum or archive.md5)
        return _records(path, archive, colour, part)
    if path.suffix.lower() != ".zip":
        raise _foreign(path)
    if checksum is not None:
        _verify(path, checksum)
    with _reading(path), zipfile.ZipFile(path) as opened:
        return _pictures(path, _zipped(opened, path), colour, part)


def _records(path: Path, archive: Archive, colour: bool, part: str) -> Stack:
    if part and part not in archive.parts:
        raise _no_part(path, part, list(archive.parts))
    wanted = [name for key, names in archive.parts.items() if part in ("", key) for name in names]
    with _reading(path), tarfile.open(path, "r:gz") as opened:
        found = {m.name: _record_file(opened, m, archive) for m in opened if m.name in wanted}
    if lacking := [name for name in wanted if name not in found]:
        raise _damaged(path, f"it lacks {lacking[0]}")
    values = np.concatenate([found[name] for name in wanted])
    name = f"{archive.name} ({part})" if part else archive.name
    return _stack(values if colour else _grey(values), name)


def _record_file(opened: tarfile.TarFile, member: tarfile.TarInfo, archive: Archive) -> Pixels:
    length = archive.labels + 3 * 32 * 32
    file = opened.extractfile(member) if 0 < member.size <= _LARGEST_ENTRY else None
    if file is None or member.size % length:
        raise tarfile.TarError(f"{member.name} holds {member.size} bytes, not records of {length}")
    records = np.frombuffer(file.read(), np.uint8).reshape(-1, length)
    return records[:, archive.labels :].reshape(-1, 3, 32, 32)


def _grey(values: Pixels) -> Pixels:
    """Turn colours, (n, 3, H, W), to luma, (n, 1, H, W)."""
    n, _, H, W = values.shape
    tall = Image.fromarray(np.ascontiguousarray(np.moveaxis(values, 1, -1)).reshape(n * H, W, 3))
    return np.asarray(tall.convert("L")).reshape(n, 1, H, W)


Openers = dict[str, Callable[[], IO[bytes]]]
"""How to open each picture, by its path within the folder or zip."""


def _folder(path: Path) -> Openers:
    return {
        file.relative_to(path).as_posix(): lambda file=file: file.open("rb")  # type: ignore[misc]
        for file in path.rglob("*")
        if file.is_file()
    }


def _zipped(opened: zipfile.ZipFile, path: Path) -> Openers:
    for info in opened.infolist():
        if info.file_size > _LARGEST_ENTRY:
            raise _damaged(path, f"{info.filename} unpacks to {info.file_size / 2**20:.0f} MiB")
    return {
        info.filename: lambda info=info: opened.open(info)  # type: ignore[misc]
        for info in opened.infolist()
    }


def _pictures(path: Path, openers: Openers, colour: bool, part: str) -> Stack:
    names = sorted(name for name in openers if _is_picture(PurePosixPath(name)))
    folder = part.strip("/")
    chosen = [name for name in names if not folder or name.startswith(f"{folder}/")]
    if not names:
        raise FileError(
            f"{path}, which holds no pictures",
            expected=f"files that end in {', '.join(_SUFFIXES)}, at any depth",
            why="images are known by their suffixes",
            fix="check the path, or convert them",
        )
    if not chosen:
        raise _no_part(path, part, sorted({name.split("/")[0] for name in names if "/" in name}))
    values, formats = None, set()
    for i, name in enumerate(chosen):
        picture, kind = _decode(path, name, openers[name], colour, values)
        if values is None:
            if len(chosen) * picture.size > _LARGEST_STACK:
                raise _damaged(path, f"{len(chosen)} pictures like {name} exceed the memory")
            values = np.empty((len(chosen), *picture.shape), np.uint8)
        values[i] = picture
        formats.add(kind)
    assert values is not None
    name = f"{path.stem} ({folder})" if folder else path.stem
    return _stack(values, f"{formats.pop()} {name}" if len(formats) == 1 else name)


def _is_picture(name: PurePosixPath) -> bool:
    hidden = any(step.startswith((".", "__MACOSX")) for step in name.parts)
    return name.suffix.lower() in _SUFFIXES and not hidden


def _decode(
    path: Path, name: str, opener: Callable[[], IO[bytes]], colour: bool, others: Any
) -> tuple[Pixels, str]:
    """Return a picture, (C, H, W), and the name of its format."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with opener() as file, Image.open(file) as image:
                W, H = image.size  # known before the pixels are unpacked
                if others is not None and others.shape[2:] != (H, W):
                    raise FileError(
                        f"{path}: {name} of {H} × {W} pixels among ones of "
                        f"{others.shape[2]} × {others.shape[3]}",
                        expected="pictures of one size",
                        why="a training cuts all from one stack",
                        fix="crop or resize them alike, or name a part that is",
                    )
                if image.mode not in _EIGHT_BIT:
                    raise FileError(
                        f"{path}: {name} of the mode {image.mode!r}",
                        expected="8 bits a channel",
                        why="which of its values are black and white is not known",
                        fix="convert it; a micrograph is opened as such, not as a natural image",
                    )
                pixels = np.asarray(image.convert("RGB") if colour else image.convert("L"))
                kind = str(image.format)
        except EmpriorError:
            raise
        except Exception as error:
            raise _damaged(path, f"{name}: {error}") from error
    return (np.moveaxis(pixels, -1, 0) if colour else pixels[None]), kind


def _stack(values: Pixels, name: str) -> Stack:
    return Stack(values, limits=(0, 255), pixel_size=1.0, name=name)


def _verify(path: Path, expected: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found != expected.lower():
        raise FileError(
            f"{path} with the MD5 {found}",
            expected=f"the MD5 {expected}",
            why="another file than the published one would give other results under its name",
            fix=f"download it again, from {PAGE} if it is an official archive",
        )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        if isinstance(error, EmpriorError):
            raise
        raise _damaged(path, str(error)) from error


def _missing(path: Path, archive: Archive | None) -> FileError:
    known = [archive] if archive else ARCHIVES
    files = " or ".join(f"{each.file} (MD5 {each.md5})" for each in known)
    return FileError(
        f"no {path}",
        expected=files if archive else f"a folder or zip of pictures, or {files}",
        why="the images are read from it",
        fix=f"download the binary version from {PAGE}, or correct the path",
    )


def _foreign(path: Path) -> FileError:
    pickled = "-python" in path.name
    return FileError(
        f"{path}, which {'holds pickles' if pickled else 'is no known kind of archive'}",
        expected=f"{' or '.join(known.file for known in ARCHIVES)}, a zip or a folder",
        why="pickles can carry code that runs on loading, so they are never opened"
        if pickled
        else "archives are known by their official names",
        fix=f"download the binary version from {PAGE}, or give a zip or folder of pictures",
    )


def _damaged(path: Path, problem: str) -> FileError:
    return FileError(
        f"{path} cannot be read: {problem}",
        expected="whole pictures of sensible size",
        why="images that are left out unnoticed would change what is learnt",
        fix="copy or download it again, or remove what is broken",
    )


def _no_part(path: Path, part: str, known: list[str]) -> FileError:
    return FileError(
        f"no part {part!r} in {path}",
        expected=f"one of {', '.join(known) or '(none)'}, or nothing for all",
        why="only pictures of that part are wanted",
        fix="correct the part",
    )
