"""Files are whole or absent."""

import pytest

from emprior.errors import OutputError
from emprior.files import replacing


def test_a_failed_writer_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "result.txt"
    target.write_text("old")

    def write():
        with replacing(target) as temporary:
            assert temporary.suffix == ".txt"
            temporary.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_finished_writer_replaces_the_old_file(tmp_path):
    target = tmp_path / "result.txt"
    target.write_text("old")
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_an_impossible_place_is_said(tmp_path):
    with pytest.raises(OutputError, match="No such file"), replacing(tmp_path / "no/x") as path:
        path.write_text("x")
