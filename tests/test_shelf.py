"""Results of frames on the disk: what counts as done, and what is thrown away."""

import numpy as np
import pytest

from emprior.errors import OutputError
from emprior.shelf import Shelf

SHAPE = (2, 3, 4, 5)
TASK = {"seed": 1, "size": 0.1}


@pytest.fixture
def target(tmp_path):
    return tmp_path / "out.tif"


def put(shelf, *indices):
    for index in indices:
        shelf.put(index, {"number": sum(index)}, a=np.full((4, 5), sum(index)), b=np.ones((4, 5)))


def test_frames_are_found_again_where_they_were_put(target):
    put(Shelf(target, SHAPE, TASK, ("a", "b")), (1, 2), (0, 1))
    shelf = Shelf(target, SHAPE, TASK, ("a", "b"))
    assert not shelf.discarded
    assert shelf.told == {(1, 2): {"number": 3}, (0, 1): {"number": 1}}
    maps = shelf.map("a")
    assert (maps.shape, maps.dtype) == (SHAPE, np.float32)
    assert (maps[1, 2] == 3).all()
    assert (maps[0, 1] == 1).all()
    assert (maps[0, 0] == 0).all()
    shelf.clear()
    assert list(target.parent.iterdir()) == []


def test_one_image_has_an_empty_index(target):
    shelf = Shelf(target, (4, 5), TASK, ("a",))
    shelf.put((), {}, a=np.arange(20.0).reshape(4, 5))
    np.testing.assert_array_equal(shelf.map("a"), np.arange(20).reshape(4, 5))
    assert shelf.told == {(): {}}


def test_a_frame_whose_line_was_cut_short_is_not_done(target):
    put(Shelf(target, SHAPE, TASK, ("a", "b")), (0, 0), (0, 1))
    log = Shelf(target, SHAPE, TASK, ("a", "b")).folder / "records.jsonl"
    log.write_bytes(log.read_bytes()[:-3])
    shelf = Shelf(target, SHAPE, TASK, ("a", "b"))
    assert list(shelf.told) == [(0, 0)]
    put(shelf, (0, 1))
    assert list(Shelf(target, SHAPE, TASK, ("a", "b")).told) == [(0, 0), (0, 1)]


@pytest.mark.parametrize(
    "other",
    [
        (SHAPE, {**TASK, "seed": 2}, ("a", "b")),
        ((2, 3, 4, 6), TASK, ("a", "b")),
        (SHAPE, TASK, ("a",)),
    ],
)
def test_what_is_of_another_task_is_thrown_away(target, other):
    put(Shelf(target, SHAPE, TASK, ("a", "b")), (0, 0))
    shelf = Shelf(target, *other)
    assert shelf.discarded
    assert not shelf.told
    assert shelf.map("a").shape == other[0]


def test_a_folder_that_was_not_finished_is_made_anew(target):
    folder = Shelf(target, SHAPE, TASK, ("a", "b")).folder
    (folder / "task.json").unlink()
    shelf = Shelf(target, SHAPE, TASK, ("a", "b"))
    assert not shelf.discarded  # nothing was done
    put(shelf, (1, 1))


def test_notes_are_as_a_later_run_reads_them(target):
    shelf = Shelf(target, SHAPE, TASK, ("a", "b"))
    shelf.put((0, 0), {"pair": (1, 0.1), "none": None}, a=np.ones((4, 5)), b=np.ones((4, 5)))
    assert shelf.told[0, 0] == {"pair": [1, 0.1], "none": None}
    assert shelf.told == Shelf(target, SHAPE, TASK, ("a", "b")).told


def test_a_place_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        Shelf(tmp_path / "missing" / "out.tif", SHAPE, TASK, ("a",))
    shelf = Shelf(tmp_path / "out.tif", SHAPE, TASK, ("a",))
    shelf.clear()
    with pytest.raises(OutputError, match="free some space"):
        shelf.put((0, 0), {}, a=np.ones((4, 5)))
