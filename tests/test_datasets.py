"""Reading data sets, and what specimens and views say of the atoms in an image."""

import json

import numpy as np
import pytest
from small_dataset import write_dataset

from emprior.datasets import ROOT, Dataset, shared_structures
from emprior.errors import FileError, MissingExtraError, OptionError
from emprior.specimen import Optics, Structure, View


@pytest.fixture
def stacks(rng):
    return [rng.uniform(0.2, 0.9, (2, 13, 17)).astype(np.float16) for _ in range(5)]


@pytest.fixture
def data(stacks, tmp_path):
    return Dataset.open(write_dataset(tmp_path / "set", stacks, pixel_size=0.5))


def test_images_come_back_as_they_were_written(data, stacks):
    assert (len(data), data.shape, data.pixel_size) == (10, (13, 17), 0.5)
    for i in range(10):
        image = data.image(i)
        assert image.dtype == np.float32
        assert np.array_equal(image, stacks[i // 2][i % 2])
        assert data.structure_id(i) == i // 2
    assert np.array_equal(data.load(), np.concatenate(stacks))
    assert data.load().dtype == np.float16
    assert data.load(np.float64).dtype == np.float64
    with pytest.raises(IndexError):
        data.image(10)


def test_crops_are_windows_of_the_images(data, rng):
    crops = data.crops(50, (6, 9), np.random.default_rng(4))
    assert crops.images.dtype == np.float32
    for image, i, (row, column) in zip(crops.images, crops.index, crops.corner, strict=True):
        assert np.array_equal(image[0], data.image(i)[row : row + 6, column : column + 9])
    assert set(crops.corner[:, 0]) == set(range(8))
    assert len(set(crops.index)) == 10
    again = data.crops(50, (6, 9), np.random.default_rng(4))
    assert np.array_equal(again.images, crops.images)
    with pytest.raises(OptionError, match="crops of 14 × 9 pixels"):
        data.crops(1, (14, 9), rng)


def test_parts_share_no_structure(data, stacks, rng):
    first, second = data.split(0.4, rng)
    assert (len(first.structures), len(second.structures)) == (3, 2)
    assert len(first) + len(second) == len(data)
    assert set(first.structures) | set(second.structures) == set(data.structures)
    assert shared_structures(first, second) == set()
    assert shared_structures(data, second) == second.fingerprints()
    number = second.structure_id(1)
    assert np.array_equal(second.image(1), stacks[number][1])
    for fraction in (0.0, 1.0, -0.1):
        with pytest.raises(OptionError, match="a split of 5 structures"):
            data.split(fraction, rng)
    with pytest.raises(OptionError, match="structures"):
        first.subset(second.structures)


def test_what_cannot_be_read_is_said(data, tmp_path):
    with pytest.raises(FileError, match="no data set in"):
        Dataset.open(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match="no data set in"):
        Dataset.open(tmp_path / "empty")
    root = data.directory / ROOT
    values = json.loads(root.read_text())

    def rewrite(**changes):
        manifest = {**values["attributes"]["emprior"], **changes}
        root.write_text(json.dumps({**values, "attributes": {"emprior": manifest}}))

    rewrite(complete=False)
    with pytest.raises(FileError, match=r"unfinished .*5 of 5 structures"):
        Dataset.open(data.directory)
    rewrite(format=99)
    with pytest.raises(FileError, match="format 99"):
        Dataset.open(data.directory)
    rewrite()
    (data.directory / "000002").rename(data.directory / "gone")
    with pytest.raises(FileError, match="structure 2 is missing"):
        Dataset.open(data.directory).image(4)


def test_a_missing_extra_is_named(data, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "zarr", None)
    with pytest.raises(MissingExtraError, match=r"emprior\[train\]"):
        Dataset.open(data.directory)


# specimens and views ---------------------------------------------------------------------------


def test_views_map_pixels_to_the_plane_and_back(rng):
    view = View((13, 17), 0.3, (4.0, -2.0), 0.7)
    pixels = rng.uniform(-5, 20, (30, 2))
    np.testing.assert_allclose(view.to_pixels(view.to_plane(pixels)), pixels)
    np.testing.assert_allclose(view.to_plane([[6, 8]]), [[4, -2]])
    steps = np.diff(view.to_plane([[6, 8], [6, 9]]), axis=0)[0]
    np.testing.assert_allclose(steps, 0.3 * np.array([np.cos(0.7), np.sin(0.7)]))
    up = np.diff(View((13, 17), 0.3, (0, 0)).to_plane([[6, 8], [5, 8]]), axis=0)[0]
    np.testing.assert_allclose(up, [0, 0.3], atol=1e-12)


def test_the_tilt_in_the_image_is_where_atoms_above_the_exit_plane_move(rng):
    structure = Structure([[3.0, 4.0, 2.0], [3.0, 4.0, 12.0]], [78, 8], [10, 10, 20])
    optics, view = Optics(50, tilt=(0.03, -0.05)), View((40, 40), 0.25, (3, 4), 0.4)
    high, low = view.to_pixels(structure.projected(optics.tilt))
    column, row = np.tan(view.image_tilt(optics)) * 10 / 0.25
    np.testing.assert_allclose(high - low, [row, column])
    np.testing.assert_allclose(structure.projected((0, 0)), structure.positions[:, :2])


def test_every_periodic_copy_that_falls_into_the_image_is_shown():
    structure = Structure([[1.0, 1.0, 1.0]], [78], [10, 10, 2])
    view = View((21, 21), 1.0, (5.0, 5.0))
    pixels, index = view.visible(structure, structure.positions[:, :2])
    assert {tuple(p) for p in pixels.tolist()} == {(r, c) for r in (4, 14) for c in (6, 16)}
    assert index.tolist() == [0, 0, 0, 0]
    few, _ = view.visible(structure, structure.positions[:, :2], margin=-5)
    assert few.tolist() == [[14, 6]]


def test_columns_stand_at_the_mean_of_their_projected_atoms(tmp_path, stacks):
    data = Dataset.open(write_dataset(tmp_path / "set", stacks, pixel_size=0.5))
    atoms, columns = data.atoms(0, margin=40), data.columns(0, margin=40)
    assert len(atoms.rows) == columns.counts.sum()
    assert set(columns.counts) == {2}
    np.testing.assert_allclose(sorted(atoms.rows)[::2], sorted(columns.rows))
    assert set(columns.numbers) == {78}
    expected = data.view(0).to_pixels([[1.0, 1.0]])[0]
    assert np.any(np.all(np.isclose(np.c_[atoms.rows, atoms.columns], expected), axis=1))
    assert sorted(set(atoms.depth)) == [28, 29]


def test_columns_gather_equal_elements_behind_one_another():
    structure = Structure(
        [[1, 2, 1], [1, 2, 3], [1, 2, 5], [4, 2, 1], [4, 2, 2]], [78, 78, 8, 8, 8], [9, 9, 9]
    )
    columns = structure.columns()
    found = {
        (*p, int(n), int(c))
        for p, n, c in zip(columns.positions.tolist(), columns.numbers, columns.counts, strict=True)
    }
    assert found == {(1, 2, 78, 2), (1, 2, 8, 1), (4, 2, 8, 2)}
    assert len(set(columns.index[:2])) == 1


@pytest.mark.parametrize(
    "thing",
    [
        Optics(12.0, tilt=(0.01, 0.0), blur=0.5),
        View((3, 4), 0.2, (1.0, 2.0), 0.1),
    ],
)
def test_records_survive_json(thing):
    assert type(thing).from_dict(json.loads(json.dumps(thing.to_dict()))) == thing
