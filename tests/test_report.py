import base64
import csv
import io
import math
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emprior import records as record_files
from emprior import report
from emprior.errors import FileError, MissingExtraError, OptionError
from emprior.tables import METRICS, Metric, paired_difference, summarise, tabulate

BOARD = Path(__file__).parent / "data" / "board"
PSNR = METRICS[0]


def record(denoiser, noise, image, psnr, structure=None):
    return {
        "denoiser": denoiser,
        "noise": noise,
        "image": image,
        "structure": structure or image,
        "psnr_db": psnr,
    }


@pytest.fixture
def board(tmp_path):
    """A directory with the committed records of twelve denoised lattices."""
    shutil.copy(BOARD / "records.jsonl", tmp_path)
    return tmp_path


# ------------------------------------------------------------------------------------------ tables


def test_a_table_holds_medians_and_bad_tails():
    values = [30.0, 10.0, 20.0, 50.0, 40.0]
    found = [record("blur", "P(1)", str(i), value) for i, value in enumerate(values)]
    cell = tabulate(found, PSNR).cells["blur", "P(1)"]
    assert (cell.images, cell.median, cell.tail) == (5, 30.0, 10.0)


def test_the_tail_is_at_the_bad_end():
    many = np.arange(1.0, 101.0)
    assert summarise(many, PSNR).tail == 5
    lower = Metric("seconds", "", 1, higher_is_better=False)
    assert summarise(many, lower).tail == 95
    assert summarise(many[:20], PSNR).tail == 1
    assert summarise(many[:20], lower).tail == 19
    assert summarise(many[:9], lower).tail == 9


def test_infinities_and_missing_numbers_are_counted_right():
    cell = summarise([math.inf, math.inf, math.nan], PSNR)
    assert (cell.images, cell.median, cell.tail) == (2, math.inf, math.inf)
    assert summarise([math.nan], PSNR).images == 0
    table = tabulate([record("blur", "none", "1", "inf"), record("tv", "none", "1", "nan")], PSNR)
    assert table.text("blur", "none") == "∞"
    assert table.text("tv", "none") == "–"
    assert table.best("none") == "blur"


def test_rows_and_columns_keep_their_order_and_gaps_show():
    found = [
        record("tv", "P(1)", "1", 20.0),
        record("tv", "P(1)", "2", 22.0),
        record("tv", "G(1)", "1", 25.0),
        record("blur", "P(1)", "1", 30.125),
    ]
    table = tabulate(found, PSNR)
    assert table.rows == ("tv", "blur")
    assert table.columns == ("P(1)", "G(1)")
    assert table.text("tv", "P(1)") == "21.00 (20.00)"
    assert table.text("blur", "P(1)") == "30.12 n=1"
    assert table.text("blur", "G(1)") == "–"


@pytest.mark.parametrize(("key", "best"), [("psnr_db", "tv"), ("seconds", "blur")])
def test_the_best_row_is_known_by_its_metric(key, best):
    metric = next(metric for metric in METRICS if metric.key == key)
    found = [{"denoiser": "blur", "noise": "n", key: 1.0}, {"denoiser": "tv", "noise": "n", key: 9}]
    assert tabulate(found, metric).best("n") == best


# ------------------------------------------------------------------------------------- differences


def test_a_constant_difference_is_certain():
    rng = np.random.default_rng(0)
    base = rng.normal(30, 5, 12)
    found = [record("blur", "P(1)", str(i), x) for i, x in enumerate(base)]
    found += [record("tv", "P(1)", str(i), x + 1.5) for i, x in enumerate(base)]
    found += [record("tv", "G(1)", str(i), 0.0) for i in range(12)]  # another noise: not counted
    found += [record("tv", "P(1)", "alone", 99.0)]  # no partner: not counted
    difference = paired_difference(found, "tv", "blur", "P(1)")
    assert difference.images == difference.structures == 12
    assert (difference.median, difference.low, difference.high) == pytest.approx((1.5, 1.5, 1.5))


def test_images_of_one_structure_count_once(rng):
    n, images = 2000, 2
    common = rng.normal(0.2, 1, n).repeat(images)  # images of one structure err together
    found = []
    for i, value in enumerate(common):
        found.append(record("tv", "P(1)", str(i), 30 + value, f"s{i // images}"))
        found.append(record("blur", "P(1)", str(i), 30.0, f"s{i // images}"))
    difference = paired_difference(found, "tv", "blur", "P(1)")
    assert difference.structures == n
    assert difference.images == n * images
    assert difference.median == pytest.approx(np.median(common))
    half = 1.96 * (math.pi / 2 / n) ** 0.5  # of the median of normal deviates
    assert difference.high - difference.low == pytest.approx(2 * half, rel=0.3)


@pytest.mark.parametrize("n", [6, 9, 24])
def test_the_interval_holds_the_median_as_often_as_it_says(n, rng):
    held, trials = 0, 300
    for _ in range(trials):
        leads = np.exp(rng.normal(size=n)) - 1  # skew, and its median is zero
        found = [record("tv", "n", str(i), x) for i, x in enumerate(leads)]
        found += [record("blur", "n", str(i), 0.0) for i in range(n)]
        difference = paired_difference(found, "tv", "blur", "n")
        held += difference.low <= 0 <= difference.high
    assert held / trials > 0.95 - 3 * (0.95 * 0.05 / trials) ** 0.5


def test_of_five_structures_there_is_no_interval():
    found = [record(row, "n", str(i), float(i)) for row in ("tv", "blur") for i in range(5)]
    difference = paired_difference(found, "tv", "blur", "n")
    assert (difference.median, difference.low, difference.high) == (0, -math.inf, math.inf)


def test_frames_without_a_number_are_passed_over():
    found = [record("tv", "n", "1", math.inf), record("blur", "n", "1", math.inf)]
    found += [record("tv", "n", "2", 5.0), record("blur", "n", "2", 3.0)]
    assert paired_difference(found, "tv", "blur", "n").median == 2


def test_a_difference_without_shared_frames_is_refused():
    found = [record("tv", "P(1)", "1", 1.0), record("blur", "P(1)", "2", 1.0)]
    with pytest.raises(OptionError, match=r"under P\(1\) that both 'tv' and 'blur'"):
        paired_difference(found, "tv", "blur", "P(1)")


# ---------------------------------------------------------------------------------------- the files


def test_the_report_holds_what_the_records_say(board):
    page = report.render(board)
    assert page == board / "report.html"
    records = record_files.read(board / report.RECORDS)
    values = [
        float(r["psnr_db"]) for r in records if (r["denoiser"], r["noise"]) == ("blur", "P(1)")
    ]
    assert len(values) == 4
    expected = f"{np.median(values):.2f} ({min(values):.2f})"
    assert f"| {expected} |" in (board / "table.md").read_text()
    assert expected in page.read_text()
    rows = list(csv.DictReader(io.StringIO((board / "table.csv").read_text())))
    assert {row["metric"] for row in rows} == {metric.key for metric in METRICS}
    chosen = [(r["metric"], r["denoiser"], r["noise"]) for r in rows]
    cell = rows[chosen.index(("psnr_db", "blur", "P(1)"))]
    assert float(cell["median"]) == np.median(values)
    assert cell["images"] == "4"


def test_the_report_needs_no_other_file(board):
    text = report.render(board).read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert sources
    assert all(source.startswith(("data:image/png;base64,", "#part-")) for source in sources)
    picture = next(source for source in sources if source.startswith("data:"))
    embedded = base64.b64decode(picture.partition(",")[2])
    assert embedded == (board / "figure.png").read_bytes()


def test_provenance_is_in_the_report(board):
    text = report.render(board).read_text()
    first = record_files.read(board / report.RECORDS)[0]
    assert first["data"] in text
    assert f"emprior {first['versions']['emprior']}" in text
    assert "Images: 4, of 2 structures" in text


def test_answers_of_another_method_are_counted(board):
    path = board / report.RECORDS
    changed = path.read_text().replace('"method": "blur"', '"method": "wavelet"', 3)
    path.write_text(changed)
    assert "another method than asked for: blur: 3" in report.render(board).read_text()


def test_the_figure_shows_each_row_and_column(board):
    records = record_files.read(board / report.RECORDS)
    full = np.asarray(Image.open(io.BytesIO(report.draw(tabulate(records, PSNR)))).convert("RGB"))
    assert min(full.shape[:2]) > 500

    def coloured(picture):
        return int((np.ptp(picture.astype(int), axis=2) > 60).sum())

    less = [r for r in records if r["denoiser"] != "blur"]
    fewer = np.asarray(Image.open(io.BytesIO(report.draw(tabulate(less, PSNR)))).convert("RGB"))
    # Two points, their whiskers and a mark in the legend are of one colour each.
    assert coloured(full) > coloured(fewer) > 100


def test_names_are_text_not_markup(board):
    path = board / report.RECORDS
    path.write_text(path.read_text().replace('"denoiser": "blur"', '"denoiser": "<i>|&"'))
    text = report.render(board).read_text()
    assert "<i>" not in text
    assert "&lt;i&gt;|&amp;" in text
    assert "| <i>\\|& |" in (board / "table.md").read_text()


def test_rendering_twice_gives_the_same_bytes(board):
    report.render(board)
    names = ("table.md", "table.csv", "figure.png", "report.html")
    before = [(board / name).read_bytes() for name in names]
    report.render(board)
    assert [(board / name).read_bytes() for name in names] == before
    assert sorted(p.name for p in board.iterdir()) == sorted([*names, report.RECORDS])


def test_records_of_something_else_are_refused(tmp_path):
    (tmp_path / "records.jsonl").write_text('{"image": "a", "noise": 3}\n')
    with pytest.raises(FileError, match=r"records\.jsonl: .*'denoiser'"):
        report.render(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["records.jsonl"]


def test_a_directory_without_records_is_refused(tmp_path):
    with pytest.raises(FileError, match=r"records\.jsonl") as caught:
        report.render(tmp_path)
    assert "emprior evaluate" in caught.value.fix
    (tmp_path / report.RECORDS).write_text('{"cut": ')
    with pytest.raises(FileError, match="holds no record"):
        report.render(tmp_path)


def test_without_matplotlib_nothing_is_written(board, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"emprior\[report\]"):
        report.render(board)
    assert [p.name for p in board.iterdir()] == [report.RECORDS]
