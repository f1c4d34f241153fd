"""Natural images come as they are stored, and what is wrong with a file is said."""

import hashlib
import io
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from emprior import natural
from emprior.errors import FileError, OptionError
from emprior.natural import ARCHIVES, open_images


def _add(tar, name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def _archive(path, archive, values, change=None):
    """Write an archive whose files hold (F, n, 3, 32, 32) images; return its MD5."""
    names = [name for names in archive.parts.values() for name in names]
    with tarfile.open(path, "w:gz") as tar:
        for name, images in zip(names, values, strict=True):
            labels = np.full((len(images), archive.labels), 9, np.uint8)
            records = np.concatenate([labels, images.reshape(len(images), -1)], 1).tobytes()
            content = change(name, records) if change else records
            if content is not None:
                _add(tar, name, content)
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def pictures(rng):
    """Pictures by name, (H, W, 3)."""
    names = ["train/cat/0.png", "train/cat/1.png", "train/dog/0.png", "test/cat/0.png"]
    return {name: rng.integers(0, 256, (13, 18, 3)).astype(np.uint8) for name in names}


@pytest.fixture
def folder(pictures, tmp_path):
    for name, pixels in pictures.items():
        file = tmp_path / "animals" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    (tmp_path / "animals" / "labels.csv").write_text("cat,dog")
    return tmp_path / "animals"


def _zip(folder):
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))
    return path


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda archive: archive.name)
def test_records_of_official_archives(archive, rng, tmp_path):
    files = sum(len(names) for names in archive.parts.values())
    values = rng.integers(0, 256, (files, 4, 3, 32, 32)).astype(np.uint8)
    path = tmp_path / archive.file
    md5 = _archive(path, archive, values)
    every = open_images(path, colour=True, checksum=md5)
    assert (every.channels, every.shape) == (3, (32, 32))
    assert np.array_equal(every.values, values.reshape(-1, 3, 32, 32))
    assert every.title == f"{archive.name}, {4 * files} images"
    test = open_images(path, colour=True, part="test", checksum=md5)
    assert np.array_equal(test.values, values[-1])
    assert test.title == f"{archive.name} (test), 4 images"
    grey = open_images(path, colour=False, part="test", checksum=md5.upper())
    luma = np.tensordot([0.299, 0.587, 0.114], values[-1] / 255, (0, 1))  # ITU-R BT.601
    assert grey.channels == 1
    np.testing.assert_allclose(grey.image(2)[0], luma[2], atol=0.51 / 255)
    with pytest.raises(FileError, match="no part 'valid'"):
        open_images(path, colour=True, part="valid", checksum=md5)
    with pytest.raises(FileError, match=rf"MD5 {md5}.*\n.*{archive.md5}"):
        open_images(path, colour=True)


@pytest.mark.parametrize("colour", [True, False])
def test_a_folder_and_its_zip_are_alike(folder, pictures, colour):
    one, two = (open_images(path, colour=colour) for path in (folder, _zip(folder)))
    assert one.hash == two.hash
    assert one.title == two.title == "PNG animals, 4 images"
    for i, name in enumerate(sorted(pictures)):
        pixels = pictures[name] / 255
        expected = pixels.transpose(2, 0, 1) if colour else (pixels @ [0.299, 0.587, 0.114])[None]
        np.testing.assert_allclose(one.image(i), expected, atol=0.51 / 255)


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("train", ["train/cat/0.png", "train/cat/1.png", "train/dog/0.png"]),
        ("train/cat/", ["train/cat/0.png", "train/cat/1.png"]),
        ("test", ["test/cat/0.png"]),
    ],
)
def test_parts_are_folders(folder, pictures, part, names):
    stack = open_images(folder, colour=True, part=part)
    expected = np.stack([pictures[name].transpose(2, 0, 1) for name in names])
    assert np.array_equal(stack.values, expected)
    with pytest.raises(FileError, match=r"no part 'tra'.*\n.*test, train"):
        open_images(_zip(folder), colour=True, part="tra")


def test_several_formats_and_modes_are_read(folder, pictures):
    Image.fromarray(pictures["test/cat/0.png"]).save(folder / "train/bird.ppm")
    Image.fromarray(pictures["test/cat/0.png"]).convert("RGBA").save(folder / "train/crow.png")
    stack = open_images(folder, colour=True, part="train")
    assert stack.title == "animals (train), 5 images"
    assert np.array_equal(stack.values[0], stack.values[3])


def test_the_published_jpegs(test_data):
    path = test_data / "cifar10" / "cifar10-jpeg.zip"
    if not path.exists():
        pytest.skip(f"no {path}")
    stack = open_images(path, colour=True, part="test")
    assert (stack.values.shape, stack.values.dtype) == ((2000, 3, 32, 32), np.uint8)
    assert "cifar10-jpeg (test), 2,000 images" in stack.title


# --- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda archive: archive.name)
def test_a_missing_archive_is_described(archive, tmp_path):
    with pytest.raises(FileError, match=archive.md5) as caught:
        open_images(tmp_path / archive.file, colour=True)
    assert archive.file in caught.value.expected
    assert natural.PAGE in caught.value.fix
    with pytest.raises(FileError, match="a folder or zip of pictures"):
        open_images(tmp_path / "somewhere", colour=True)


@pytest.mark.parametrize("name", ["cifar-10-python.tar.gz", "cifar-100-python.tar.gz"])
def test_pickles_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(FileError, match="pickles") as caught:
        open_images(tmp_path / name, colour=True)
    assert "cifar-10-binary.tar.gz" in caught.value.expected
    assert "binary" in caught.value.fix
    (tmp_path / "pictures.rar").write_bytes(b"x")
    with pytest.raises(FileError, match="no known kind of archive"):
        open_images(tmp_path / "pictures.rar", colour=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda name, records: records[:-1], "not records of 3073"),
        (lambda name, records: None if "test" in name else records, "lacks .*test_batch"),
    ],
)
def test_damaged_records_are_said(tmp_path, change, message):
    archive, path = ARCHIVES[0], tmp_path / ARCHIVES[0].file
    values = np.zeros((6, 2, 3, 32, 32), np.uint8)
    md5 = _archive(path, archive, values, change)
    with pytest.raises(FileError, match=message):
        open_images(path, colour=True, checksum=md5)


@pytest.mark.parametrize("name", [ARCHIVES[0].file, "pictures.zip"])
def test_truncated_archives_are_said(folder, rng, tmp_path, name):
    path = tmp_path / name
    if name.endswith(".zip"):
        path.write_bytes(_zip(folder).read_bytes()[:-300])
    else:
        _archive(path, ARCHIVES[0], rng.integers(0, 256, (6, 9, 3, 32, 32)).astype(np.uint8))
        path.write_bytes(path.read_bytes()[:-3000])
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    with pytest.raises(FileError, match="cannot be read"):
        open_images(path, colour=True, checksum=md5)


def test_broken_and_odd_pictures_are_said(folder, pictures, monkeypatch):
    odd = folder / "train" / "odd.png"
    odd.write_bytes((folder / "test/cat/0.png").read_bytes()[:200])
    for path in (folder, _zip(folder)):
        with pytest.raises(FileError, match=r"train/odd\.png"):
            open_images(path, colour=True)
    odd.write_bytes(b"no picture")
    with pytest.raises(FileError, match=r"train/odd\.png"):
        open_images(folder, colour=True)
    Image.fromarray(pictures["test/cat/0.png"][:9]).save(odd)
    with pytest.raises(FileError, match="9 × 18 pixels among ones of 13 × 18"):
        open_images(folder, colour=True)
    Image.fromarray(np.zeros((13, 18), np.uint16)).save(odd)
    with pytest.raises(FileError, match="of the mode 'I;16'"):
        open_images(folder, colour=True)
    odd.unlink()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)  # a picture that unpacks to too much
    with pytest.raises(FileError, match="decompression bomb"):
        open_images(folder, colour=True)


def test_a_zip_that_unpacks_to_too_much_is_refused(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(natural._LARGEST_ENTRY + 1))
    assert path.stat().st_size < 2**20
    with pytest.raises(FileError, match="unpacks to 256 MiB"):
        open_images(path, colour=True)


def test_folders_without_pictures_and_with_checksums(tmp_path):
    with pytest.raises(FileError, match="holds no pictures"):
        open_images(tmp_path, colour=True)
    with pytest.raises(OptionError, match=r"a checksum for .*, a folder"):
        open_images(tmp_path, colour=True, checksum="0")
