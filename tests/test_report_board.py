"""A board with targets: rows against the law, against each other, and against what is wanted."""

import json
import math

import pytest

from emprior import law, records, report
from emprior.errors import FileError
from emprior.evaluate import RECIPE, EvaluationRecipe
from emprior.report import standing, targets
from emprior.report.board import Board
from emprior.tables import METRICS

PIXELS, IMAGES = 64 * 48, 8
VARIANCE = {"none": 0.0, "P(1)": 0.45, "G(0.1)": 0.01}
ROWS = [
    "constant",
    {"method": "supervised", "label": "UNet", "prior": "unet.safetensors"},
    {"method": "prior", "label": "seen", "depth": "encoder"},
    {"method": "prior", "label": "found", "depth": "inversion", "force": True},
    "prior",
]
# Range [dB] and parameters; what the residual adds without noise is no range of its own.
TRUE = {
    "constant": (20.0, 1),
    "UNet": (40.0, 8),
    "seen": (30.0, 4),
    "found": (46.0, 3),
    "prior": (46.0, 3),
}
SECONDS = {"seen": 0.1, "prior": 3.0}


def recipe(**changes):
    values = {
        "data": ["set", {"path": "else.npy", "label": "elsewhere", "note": "Of another kind."}],
        "denoisers": ROWS,
        "noises": list(VARIANCE),
        "targets": {
            "row": "prior",
            "must": {"none": 45, "P(1)": 33},
            "goal": {"none": 50, "P(1)": 33},
            "columns": ["P(1)"],
            "gain": ["P(1)"],
            "elsewhere": ["P(1)"],
        },
    }
    return EvaluationRecipe.from_dict({**values, **changes})


def record(row, noise, image, source="", worse=0.0):
    limit, p = TRUE[row]
    psnr = law.psnr(limit, p, VARIANCE[noise], PIXELS) + 0.01 * image - worse
    if row == "prior" and noise == "none":
        psnr = math.inf
    plain = {metric.key: 1.0 for metric in METRICS}
    return {
        **plain,
        "denoiser": row,
        "noise": noise,
        "image": f"{source}/{image}",
        "structure": f"{source}/{image}",
        "source": source,
        "psnr_db": psnr,
        "column_f1": 0.9 if row == "prior" else 0.8,
        "seconds": SECONDS.get(row, 0.01),
        "noise_variance": VARIANCE[noise],
        "shape": [64, 48],
        "method": row,
        "data": "0123",
        "seed": 0,
        "versions": {"emprior": "0"},
    }


@pytest.fixture
def found():
    rows = list(TRUE)[::-1]  # measured in another order than the recipe's
    main = [record(row, n, i) for i in range(IMAGES) for n in VARIANCE for row in rows]
    return main + [record(row, n, 0, "elsewhere", 1.5) for n in VARIANCE for row in rows]


@pytest.fixture
def directory(tmp_path, found):
    for line in found:
        records.append(tmp_path / report.RECORDS, line)
    (tmp_path / RECIPE).write_text(json.dumps(recipe().to_dict()))
    return tmp_path


def verdict(found, line, noise, **changes):
    board = Board(found, recipe(**changes))
    main, *rest = board.by_source.items()
    made = targets.verdicts(main[1], dict(rest), board.recipe)
    return next(v for v in made if v.line.startswith(line) and v.noise == noise)


def test_rows_and_columns_are_in_the_order_of_the_recipe(found):
    table = Board(found, recipe()).tables[0]
    assert table.rows == ("constant", "UNet", "seen", "found", "prior")
    assert table.columns == tuple(VARIANCE)
    assert Board(found).tables[0].rows == table.rows[::-1]


def test_images_of_other_sources_stand_apart(found):
    sections = Board(found, recipe()).sections()
    (start,) = (i for i, s in enumerate(sections) if s.title == "Images apart: elsewhere")
    assert "Of another kind." in sections[start].text
    assert "Images: 8," in sections[0].text
    assert sections[start + 1].table.text("UNet", "P(1)") == (
        f"{record('UNet', 'P(1)', 0, 'elsewhere', 1.5)['psnr_db']:.2f}"
    )


def test_parameters_are_those_that_made_the_records(found):
    main = [r for r in found if not r["source"]]
    for line in main:  # as the law has it, without spread
        line["psnr_db"] -= 0.01 * int(line["image"][1:])
    text, table = standing.parameters(main, standing.ranges(recipe().denoisers))
    for row, (limit, p) in TRUE.items():
        assert text.text(row, standing.RANGE).startswith(f"{limit:.2f} ")
        for noise in ("P(1)", "G(0.1)"):
            assert table.cells[row, noise].median == pytest.approx(p)


def test_noise_that_does_good_is_not_said_in_parameters(found):
    for line in found:
        if line["denoiser"] == "seen" and line["noise"] == "G(0.1)":
            line["psnr_db"] = 35.0
    text, _ = standing.parameters(found, {})
    assert text.text("seen", "G(0.1)") == "< 0"


def test_without_noise_free_records_nothing_is_said_of_parameters(found):
    noisy = [r for r in found if r["noise"] != "none"]
    titles = [section.title for section in Board(noisy, recipe()).sections()]
    assert not any("parameters" in title for title in titles)


def test_the_reference_follows_the_law(found):
    R, p = standing.REFERENCE
    assert standing.reference(found) == pytest.approx(
        {noise: law.psnr(R, p, v, PIXELS) for noise, v in VARIANCE.items()}
    )


def test_limits_and_references_are_in_no_ranking(directory):
    report.render(directory)
    head = (directory / "table.md").read_text().split("\n## ")[0]
    assert "| must ≥ | – | 33.00 | – |" in head
    assert "| the law at R = 50, p = 50 | 50.00 |" in head
    html = (directory / "report.html").read_text()
    foot = html[html.index("<tfoot>") : html.index("</tfoot>")]
    assert "the law at" in foot
    assert "<b>" not in foot
    assert html.count("<tfoot>") == html.count("</tfoot>") == 1
    assert foot.count("<tr>") == foot.count("</tr>") == 3
    assert "the law at" not in (directory / "table.csv").read_text()


def test_leads_are_over_the_same_frames(found):
    main = [r for r in found if not r["source"]]
    grid = standing.leads(main, "prior", ["UNet", "found", "absent"])
    assert grid.rows == ("UNet", "found")
    assert grid.columns == ("P(1)", "G(0.1)")
    expected = law.psnr(46.0, 3, 0.45, PIXELS) - law.psnr(40.0, 8, 0.45, PIXELS)
    assert grid.text("UNet", "P(1)").startswith(f"{expected:+.2f} (")
    assert grid.text("found", "P(1)") == "+0.00 (+0.00 to +0.00)"
    few = [r for r in main if r["image"] in ("/0", "/1")]
    assert standing.leads(few, "prior", ["UNet"]).text("UNet", "P(1)").endswith("(n=2)")


@pytest.mark.parametrize(
    ("line", "noise", "met"),
    [
        ("PSNR, must", "none", True),  # that of "found", 46
        ("PSNR, goal", "none", False),
        ("PSNR, must", "P(1)", True),
        ("5 % quantile", "G(0.1)", True),
        ("elsewhere", "P(1)", True),
        ("ahead of the next best row", "P(1)", True),
        ("F1 of columns", "P(1)", True),
        ("gain of the inversion", "P(1)", True),
        ("seconds an image", "P(1)", False),
        ("seconds of the first sight", "none", True),
    ],
)
def test_targets_are_judged(found, line, noise, met):
    assert verdict(found, line, noise).met == met


SPOILT = {
    "PSNR, must": ("prior", {"psnr_db": 32.9}),
    "elsewhere": ("prior", {"psnr_db": 60.0}),
    "ahead of the next best row": ("constant", {"psnr_db": 60.0}),
    "F1 of columns": ("UNet", {"column_f1": 0.9}),  # level with it
    "gain of the inversion": ("seen", {"psnr_db": 60.0}),
    "seconds of the first sight": ("seen", {"seconds": 0.3}),
}


@pytest.mark.parametrize("line", SPOILT)
def test_what_is_worse_does_not_meet_its_target(found, line):
    row, change = SPOILT[line]
    for entry in found:
        if (entry["denoiser"], entry["noise"], entry["source"]) == (row, "P(1)", ""):
            entry.update(change)
    assert not verdict(found, line, "P(1)").met


def test_a_supervised_row_is_a_rival_where_it_beats_what_has_learnt_nothing(found):
    main = [r for r in found if not r["source"]]
    assert targets.rivals(main, recipe(), "P(1)").startswith("UNet counts as a rival: ")
    for entry in main:
        if entry["denoiser"] == "constant":
            entry["psnr_db"] = 60.0
    said = targets.rivals(main, recipe(), "P(1)")
    assert said.startswith("UNet does not count as a rival: ")
    assert said.endswith("has 60.00.")


def test_a_long_tail_does_not_meet_its_target(found):
    for entry in found:
        if entry["denoiser"] == "prior" and entry["image"] == "/3":
            entry["psnr_db"] = 20.0
    assert not verdict(found, "5 % quantile", "P(1)").met


def test_what_was_not_measured_is_not_judged(found):
    some = [r for r in found if r["denoiser"] in ("prior", "constant") and not r["source"]]
    made = targets.verdicts(some, {}, recipe())
    lines = {v.line.partition(",")[0] for v in made}
    assert "F1 of columns above a supervised row's" not in lines
    assert ("PSNR", "none") not in {(v.line.partition(",")[0], v.noise) for v in made}
    assert len(targets.grid(made).rows) == len({v.line for v in made})


def test_the_report_counts_targets(directory):
    report.render(directory)
    text = (directory / "table.md").read_text()
    board = Board(records.read(directory / report.RECORDS), recipe())
    made = targets.verdicts(board.main, {"elsewhere": board.by_source["elsewhere"]}, recipe())
    met = sum(v.met for v in made)
    assert 0 < met < len(made)
    assert f"Of {len(made)} targets {met} are met" in text
    assert text.count("✓ ") + text.count("✗ ") == len(made)


def test_without_targets_rows_are_only_shown(found):
    titles = [s.title for s in Board(found, recipe(targets=None)).sections()]
    assert not any("reach" in title or "ahead" in title for title in titles)
    assert standing.PARAMETERS.title in titles


def test_a_damaged_recipe_is_named(directory):
    (directory / RECIPE).write_text('{"data": ')
    with pytest.raises(FileError, match=r"recipe\.json") as caught:
        report.render(directory)
    assert "evaluate again" in caught.value.fix


def test_rendering_twice_gives_the_same_bytes(directory):
    report.render(directory)
    names = ("table.md", "table.csv", "figure.png", "report.html")
    before = [(directory / name).read_bytes() for name in names]
    report.render(directory)
    assert [(directory / name).read_bytes() for name in names] == before
