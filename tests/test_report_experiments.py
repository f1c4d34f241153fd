"""Experiments are drawn from what stands in their folder, and from nothing else."""

import json
import math
import re

import numpy as np
import pytest
from PIL import Image

from emprior import records, report
from emprior.errors import FileError
from emprior.report.grids import grid
from emprior.views import (
    DESCRIPTION,
    VIEWS,
    Cross,
    Curves,
    Description,
    Histogram,
    Pictures,
    Table,
    View,
)

VIEWS_OF_ALL_KINDS = (
    Table(what="score", title="By row", row="row", columns={"db": "PSNR [dB]", "note": "note"}),
    Cross(what="score", title="Crossed", row="row", column="noise", value="db", digits=1),
    Curves(
        what="curve",
        title="Losses",
        x="x",
        y="y",
        x_label="images",
        y_label="loss",
        by="row",
        panel="noise",
        log=True,
    ),
    Histogram(what="curve", title="Numbers", values="y", label="z", by="row"),
    Pictures(what="picture", title="Seen", row="row", column="noise"),
)
KINDS = pytest.mark.parametrize("view", VIEWS_OF_ALL_KINDS, ids=lambda view: type(view).__name__)
COMMON = {"scale": "smoke", "seed": 1, "seconds": 0.5, "images_seen": 0}


@pytest.fixture
def directory(tmp_path):
    """Two experiments with records for views of every kind, the later one written first."""
    for order, name in ((1, "second"), (0, "first")):
        folder = tmp_path / name
        (folder / "pictures").mkdir(parents=True)
        described = Description(name, f"The {name}", "Figure <1>", "Tried.", VIEWS_OF_ALL_KINDS)
        (folder / DESCRIPTION).write_text(json.dumps({"order": order, **described.to_dict()}))
        Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).save(
            folder / "pictures" / "a.png"
        )
        for record in (
            {"what": "score", "row": "a|b", "noise": "P(1)", "db": 10.0, "note": "good"},
            {"what": "score", "row": "a|b", "noise": "P(1)", "db": 12.0},
            {"what": "score", "row": "other", "noise": "none", "db": math.inf},
            {"what": "curve", "row": "a|b", "noise": "P(1)", "x": [1, 2, 3], "y": [3, 2, 1.5]},
            {"what": "curve", "row": "other", "noise": "none", "x": [1, 2], "y": [3, 4]},
            {"what": "picture", "row": "a|b", "noise": "P(1)", "file": "pictures/a.png"},
        ):
            records.append(folder / records.RECORDS, {**record, **COMMON})
    return tmp_path


@KINDS
def test_views_are_plain_data(view):
    assert View.from_dict(json.loads(json.dumps(view.to_dict()))) == view


def test_every_kind_of_view_is_tried_here():
    assert {type(view) for view in VIEWS_OF_ALL_KINDS} == set(VIEWS.values())


def test_one_page_shows_all_experiments_in_order(directory):
    page = report.render(directory).read_text(encoding="utf-8")
    assert page.index("The first") < page.index("The second")
    assert "Figure &lt;1&gt;" in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sum(source.startswith("data:image/png;base64,") for source in sources) == 6
    assert all(source.startswith(("data:image/png;base64,", "#part-")) for source in sources)
    made = {path.name for path in (directory / "first").iterdir()}
    assert made >= {"table.md", "figure-3.png", "figure-4.png", "figure-5.png"}
    for name in ("figure-3.png", "figure-4.png", "figure-5.png"):
        with Image.open(directory / "first" / name) as figure:
            assert np.asarray(figure.convert("L")).std() > 1


def test_equal_records_give_equal_bytes(directory):
    first = report.render(directory).read_bytes()
    assert report.render(directory).read_bytes() == first


def test_several_records_are_mean_and_deviation(directory):
    found = records.read(directory / "first" / records.RECORDS)
    scores = [record for record in found if record["what"] == "score"]
    by_row, crossed = (grid(scores, view) for view in VIEWS_OF_ALL_KINDS[:2])
    assert by_row.text("a|b", "PSNR [dB]") == "11.00 ± 1.41"
    assert by_row.text("a|b", "note") == "good"
    assert by_row.text("other", "note") == "–"
    assert crossed.text("a|b", "P(1)") == "11.0 ± 1.4"
    assert crossed.text("other", "none") == "∞"
    assert crossed.text("other", "P(1)") == "–"
    report.render(directory)
    assert "a\\|b" in (directory / "first" / "table.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("db", 70495104, "70,495,104"),
        ("db", 0, "0"),
        ("db", 3e-7, "3.0e-07"),
        ("db", 12345.678, "12,345.68"),
        ("db", math.nan, "–"),
    ],
)
def test_numbers_are_written_for_people(key, value, text):
    assert grid([{"row": "a", key: value}], VIEWS_OF_ALL_KINDS[0]).text("a", "PSNR [dB]") == text


def test_an_experiment_without_records_says_so(directory):
    (directory / "first" / records.RECORDS).unlink()
    assert "Nothing has been measured yet" in report.render(directory).read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["{", "[]", '{"order": 0}', '{"order": 0, "views": [{}]}'])
def test_a_damaged_description_is_named(directory, text):
    (directory / "first" / DESCRIPTION).write_text(text)
    with pytest.raises(FileError, match=r"experiment\.json"):
        report.render(directory)


def test_a_missing_picture_is_named(directory):
    (directory / "first" / "pictures" / "a.png").unlink()
    with pytest.raises(FileError, match=r"pictures/a\.png"):
        report.render(directory)


def test_a_withheld_picture_is_not_missed(directory):
    whole = report.render(directory).read_bytes()
    (directory / "first" / "pictures" / "a.png").unlink()
    (directory / "first" / "withheld.txt").write_text("pictures/a.png\n")
    assert report.render(directory).read_bytes() != whole
    (directory / "first" / "withheld.txt").write_text("pictures/b.png\n")
    with pytest.raises(FileError, match=r"or name it in withheld\.txt"):
        report.render(directory)


def test_records_that_lack_what_is_shown_are_named(directory):
    records.append(directory / "first" / records.RECORDS, {"what": "score", "db": 1.0})
    with pytest.raises(FileError, match="records of 'score' cannot be shown"):
        report.render(directory)
