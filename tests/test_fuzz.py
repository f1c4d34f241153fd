"""The laws of benchmarks/fuzz.py on as many cases as a test may take; there, on 10,000 and more."""

import fuzz
import pytest


@pytest.fixture(scope="module")
def laws(tmp_path_factory):
    return fuzz.Laws(tmp_path_factory.mktemp("fuzz") / "files")


@pytest.mark.parametrize(
    ("name", "cases"), [("files", 150), ("weights", 50), ("recipes", 50), ("commands", 60)]
)
def test_whatever_comes_is_answered_or_refused(laws, name, cases):
    assert fuzz.tried(laws, name, cases, number=1).faults == []


@pytest.mark.parametrize("name", fuzz.damage.IMAGES)
def test_the_undamaged_files_are_read(laws, name):
    with fuzz.limited():
        for _, frame in fuzz.read(laws.folder / name).frames():
            assert frame.shape == fuzz.small_files.SHAPE
