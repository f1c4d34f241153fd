"""The paper beside our records: every number comes from the record that its key names."""

import json

import pytest

from emprior import records, report
from emprior.comparison import COMPARISON, Claim, Comparison, Key, Statement
from emprior.errors import FileError, RecipeError
from emprior.report import compared
from emprior.reproduce import EXPERIMENTS
from emprior.reproduce.paper import compared as the_paper
from emprior.views import DESCRIPTION, Description

SCORE = {"experiment": "scores", "what": "score", "value": "db"}
KEY = Key(**SCORE, where={"row": "ours", "noise": "P(1)"})
OTHER = Key(**SCORE, where={"row": "other", "noise": "P(1)"})


def statement(here, **values):
    return Statement(place="Figure 1", shows="scores", paper="27.70 dB", here=here, **values)


def claim(**values):
    return Claim(place="Section 2", says="ours is better", more=KEY, less=OTHER, **values)


@pytest.fixture
def directory(tmp_path):
    """An experiment with scores of nine images, of which ours are 0.5 to 4.5 better."""
    folder = tmp_path / "scores"
    folder.mkdir()
    described = Description("scores", "Scores", "Figure 1", "Tried.")
    (folder / DESCRIPTION).write_text(json.dumps({"order": 0, **described.to_dict()}))
    for image in range(9):
        for row, db in (("ours", 30 + image / 2), ("other", 29.5)):
            key = {"what": "score", "row": row, "noise": "P(1)", "image": image}
            records.append(folder / records.RECORDS, {**key, "db": db})
    return tmp_path


def sections(directory, *parts):
    comparison = Comparison(
        statement=tuple(part for part in parts if isinstance(part, Statement)),
        claim=tuple(part for part in parts if isinstance(part, Claim)),
    )
    (directory / COMPARISON).write_text(json.dumps(comparison.to_dict()))
    statements, claims = compared.render(directory)
    return statements.table, claims.table


def test_a_statement_shows_the_median_of_its_records_and_names_them(directory):
    table, _ = sections(directory, statement(KEY, digits=1, why="Because."))
    (row,) = table.rows
    assert row == "Figure 1: scores"
    assert table.text(row, "paper") == "27.70 dB"
    assert table.text(row, "here") == "32.0 (of 9)"
    assert table.text(row, "why") == "Because."
    assert table.text(row, "record") == "scores: score, row “ours”, noise “P(1)”: db"


def test_what_is_not_measured_says_so(directory):
    absent = Key(**SCORE, where={"row": "absent"})
    elsewhere = Key(**{**SCORE, "experiment": "elsewhere"})
    for here in (absent, elsewhere, "elsewhere"):
        table, _ = sections(directory, statement(here))
        assert table.text(table.rows[0], "here") == "not measured yet"
    table, _ = sections(directory, statement("scores"))
    assert table.text(table.rows[0], "here") == "pictures below"


def test_a_claim_holds_where_its_interval_is_above_zero(directory):
    _, table = sections(directory, claim())
    assert table.text(table.rows[0], "outcome") == "holds"
    assert table.text(table.rows[0], "measured") == "+2.50 (+1.00 to +4.00, n = 9)"


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"more": OTHER, "less": KEY}, "fails"),
        ({"less": KEY}, "cannot be told"),
        ({"ideal": 100.0}, "holds"),
        ({"ideal": 0.0}, "fails"),
        ({"less": Key(**SCORE, where={"row": "absent"})}, "not measured yet"),
    ],
)
def test_other_claims(directory, changes, outcome):
    _, table = sections(directory, claim().model_copy(update=changes))
    assert table.text(table.rows[0], "outcome") == outcome


def test_few_images_tell_nothing(directory):
    path = directory / "scores" / records.RECORDS
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:8]))
    _, table = sections(directory, claim())
    assert table.text(table.rows[0], "outcome") == "cannot be told"
    assert table.text(table.rows[0], "measured") == "+1.25 (n = 4)"


def test_measures_without_a_value_are_left_out(directory):
    key = {"what": "score", "noise": "P(1)", "image": 9}
    for row, db in (("ours", float("nan")), ("other", 29.5)):
        records.append(directory / "scores" / records.RECORDS, {**key, "row": row, "db": db})
    statements, claims = sections(directory, statement(KEY), claim(ideal=30.0))
    assert statements.text(statements.rows[0], "here").endswith("(of 9)")
    assert claims.text(claims.rows[0], "measured").endswith("n = 9)")


def test_it_stands_first_on_the_page_and_is_written_as_markdown(directory):
    sections(directory, statement(KEY), claim())
    page = report.render(directory).read_text(encoding="utf-8")
    assert page.index("The paper, figure by figure") < page.index("<h2", page.index("Tried") - 200)
    assert "32.00 (of 9)" in (directory / "comparison.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("text", "kind"), [("{", FileError), ('{"statement": 1}', RecipeError)])
def test_a_damaged_comparison_is_named(directory, text, kind):
    (directory / COMPARISON).write_text(text)
    with pytest.raises(kind, match="comparison"):
        report.render(directory)


def test_every_figure_of_the_paper_is_there():
    comparison = the_paper()
    places = " ".join(one.place for one in comparison.statement)
    numbers = {
        int(word) for word in places.replace("a", "").replace("b", "").split() if word.isdigit()
    }
    assert numbers >= set(range(1, 19))
    rows = [f"{one.place}: {one.shows}" for one in comparison.statement]
    assert len(set(rows)) == len(rows)


def test_every_key_is_of_an_experiment():
    comparison = the_paper()
    keys = [one.here for one in comparison.statement]
    keys += [key for one in comparison.claim for key in (one.more, one.less)]
    named = {key if isinstance(key, str) else key.experiment for key in keys}
    assert named <= set(EXPERIMENTS)
