"""Scores of columns and optics against those of the simulation."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from small_dataset import write_dataset

from emprior import evaluate, records
from emprior.api import Denoised
from emprior.evaluate import EvaluationRecipe, scoring
from emprior.evaluate.frames import open_frames
from emprior.evaluate.structure import Known, scores
from emprior.found import Found, FoundColumns, FoundOptics, Measured
from emprior.metrics import columns as seen_columns
from emprior.metrics import match
from emprior.micrograph import Micrograph
from emprior.noise import Gaussian
from emprior.report import structure

PIXEL, SHAPE = 0.2, (36, 44)


@pytest.fixture
def place(tmp_path):
    """One column of two Pt atoms at x = y = 1 Å, drawn where it is: 5 pixels right and up."""
    row, column = (36 - 1) / 2 - 5, (44 - 1) / 2 + 5
    r, c = np.indices(SHAPE)
    bump = 0.45 + 0.2 * np.exp(-((r - row) ** 2 + (c - column) ** 2) * PIXEL**2 / 0.5)
    return write_dataset(tmp_path / "data", [bump[None].astype(np.float32)], PIXEL)


@pytest.mark.parametrize(
    ("finest", "crop"), [(0.2, None), (0.2, 30), (0.05, None), (0.05, 101), (0.07, 64)]
)
def test_known_columns_stand_where_the_frame_shows_them(place, finest, crop):
    """After interpolation, and in the part that is cut out."""
    (frame,) = open_frames(place, finest=finest, crop=crop)
    clean, known = frame.load(), frame.known()
    (seen,) = seen_columns(clean.image, clean.pixel_size, sign=1) / clean.pixel_size
    np.testing.assert_allclose(known.points, [seen], atol=0.02)
    assert known.numbers.tolist() == [78]
    assert known.atoms.tolist() == [2]
    assert known.optics == {
        "defocus": 60.0,
        "tilt_rows": 0.0,
        "tilt_columns": 0.0,
        "thickness": 30.0,
    }


def test_files_know_no_columns(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((40, 40)))
    assert open_frames(tmp_path / "a.npy", pixel_size=0.1)[0].known is None


# ------------------------------------------------------------------------------------------ scores

TRUE = np.array([[20.0, 20.0], [20.0, 40.0], [40.0, 20.0], [40.0, 40.0], [2.0, 20.0]])
"""In pixels of 0.1 Å; the last lies in the border."""
NUMBERS = np.array([78, 78, 78, 58, 78])


def known() -> Known:
    optics = {"defocus": 60.0, "tilt_rows": 0.01, "tilt_columns": -0.02, "thickness": 40.0}
    return Known(TRUE, NUMBERS, np.array([4, 5, 6, 12, 4]), optics)


def answer(**changes) -> Denoised:
    """The truth, with errors of 0.01 Å, 0.1 atoms, 1 Å, 1 mrad stated and none made."""
    M = len(TRUE)
    columns = FoundColumns(
        rows=TRUE[:, 0],
        columns=TRUE[:, 1],
        numbers=NUMBERS,
        atoms=known().atoms.astype(float),
        probability=np.full(M, 0.9),
        rows_sd=np.full(M, 0.01),
        columns_sd=np.full(M, 0.01),
        atoms_sd=np.full(M, 0.1),
        pixel_size=0.1,
    )
    columns = dataclasses.replace(
        columns, **{k: v for k, v in changes.items() if hasattr(columns, k)}
    )
    optics = {
        name: Measured(value, 1e-3 if "tilt" in name else 1.0)
        for name, value in known().optics.items()
    }
    optics |= {k: v for k, v in changes.items() if k in optics}
    image = np.full((60, 60), 0.45, np.float32)
    noise = Gaussian(0.1)
    return Denoised(
        changes.get("image", image),
        "prior",
        noise,
        (),
        1.0,
        find=lambda: Found(columns, FoundOptics(**optics), np.full((60, 60), 0.01)),
    )


CLEAN = Micrograph(0.45 + 1e-9 * np.eye(60), 0.1)


def test_the_truth_has_no_errors():
    found = scores(answer(), CLEAN, known())
    assert (found["columns"], found["matched"], found["added"]) == (4, 4, 0)
    assert found["precision"] == found["recall"] == found["atoms_exact"] == 1
    assert found["precision_expected"] == pytest.approx(0.9)
    for error in ("position_pm", "atoms", "defocus_angstrom", "thickness_angstrom", "tilt_mrad"):
        assert found[error] == pytest.approx(0, abs=1e-9)
    assert found["covered"]["position"] == {"numbers": 8, "50%": 8, "90%": 8}
    assert found["covered"]["image"] == {"numbers": 3600, "50%": 3600, "90%": 3600}


def test_errors_are_in_the_units_of_their_names():
    rows, atoms = TRUE[:, 0].copy(), known().atoms.astype(float)
    rows[:4] += [0.1, -0.1, 0.1, -0.1]  # pixels: 0.01 Å
    atoms[:4] += [0.2, -0.2, 0.8, -0.8]
    done = answer(
        rows=rows,
        atoms=atoms,
        defocus=Measured(57.0, 2.0),
        tilt_rows=Measured(0.013, 1e-3),
        tilt_columns=Measured(-0.024, 5e-3),
    )
    found = scores(done, CLEAN, known())
    assert found["position_pm"] == pytest.approx(1.0)
    assert found["atoms"] == pytest.approx((0.34) ** 0.5)
    assert found["atoms_exact"] == 0.5
    assert found["defocus_angstrom"] == pytest.approx(3.0)
    assert found["tilt_mrad"] == pytest.approx(5.0)
    covered = found["covered"]
    # One deviation lies outside of 50 % and inside of 90 %; along columns nothing is wrong.
    assert covered["position"] == {"numbers": 8, "50%": 4, "90%": 8}
    assert covered["defocus"] == {"numbers": 1, "50%": 0, "90%": 1}
    assert covered["tilt_rows"] == {"numbers": 1, "50%": 0, "90%": 0}
    assert covered["tilt_columns"] == {"numbers": 1, "50%": 0, "90%": 1}


def test_columns_added_removed_and_misnamed_are_told_apart():
    probability = np.full(5, 0.9)
    probability[0] = 0.3  # given up
    numbers = NUMBERS.copy()
    numbers[1] = 58  # of the wrong element: one removed, one added
    found = scores(answer(probability=probability, numbers=numbers), CLEAN, known())
    assert (found["columns"], found["matched"], found["added"]) == (4, 2, 1)
    assert found["recall"] == 0.5
    assert found["precision"] == pytest.approx(2 / 3)


def test_an_added_column_in_the_border_is_not_counted_nor_one_beyond_reach_matched():
    rows = TRUE[:, 0].copy()
    rows[4] = 9.0  # the partner in the border is lost, and what stands there is no false one
    rows[0] += 6.0  # 0.6 Å
    found = scores(answer(rows=rows), CLEAN, known())
    assert (found["matched"], found["added"]) == (3, 1)


def test_the_map_is_held_against_the_errors_of_all_pixels():
    image = np.full((60, 60), 0.45, np.float32)
    image[:20] += 0.008  # inside of 90 % alone
    image[20:30] += 0.1  # outside
    found = scores(answer(image=image), CLEAN, known())
    assert found["covered"]["image"] == {"numbers": 3600, "50%": 1800, "90%": 3000}


def test_nothing_found_is_no_error():
    none = {name: np.zeros(0) for name in ("rows", "columns", "atoms", "probability")}
    none |= {name: np.zeros(0) for name in ("rows_sd", "columns_sd", "atoms_sd")}
    found = scores(answer(numbers=np.zeros(0, int), **none), CLEAN, known())
    assert (found["matched"], found["precision"], found["recall"]) == (0, 0, 0)
    assert math.isnan(found["position_pm"])
    assert scores(dataclasses.replace(answer(), find=None), CLEAN, known()) is None


def test_records_hold_them_where_truth_and_answer_know_columns(place, tmp_path, monkeypatch):
    def stub(noisy, **options):
        found = answer().find()._replace(deviation=np.ones(noisy.shape))
        return dataclasses.replace(answer(), image=np.asarray(noisy.image), find=lambda: found)

    monkeypatch.setattr(scoring, "denoise", stub)
    recipe = EvaluationRecipe.from_dict(
        {"data": [str(place)], "denoisers": ["identity"], "noises": ["none"], "crop": 120}
    )
    (record,) = records.read(evaluate.run(recipe, tmp_path / "out"))
    assert record["found"]["columns"] == 1
    json.dumps(record["found"])
    monkeypatch.undo()
    (record,) = records.read(evaluate.run(recipe, tmp_path / "other"))
    assert record["found"] is None


def test_points_are_paired_one_to_one():
    true, found = np.array([[0.0, 0.0], [0.0, 1.0]]), np.array([[0.0, 0.4], [5.0, 5.0]])
    assert match(true, found, 0.5) == [(0, 0)]
    assert match(true, found, 0.7) in ([(0, 0)], [(1, 0)])
    assert match(true, np.array([[0.0, 0.6], [0.0, -0.5]]), 0.7) == [(0, 1), (1, 0)]
    assert match(true, np.zeros((0, 2)), 1.0) == []


# ------------------------------------------------------------------------------------------ report


def test_tables_hold_medians_of_errors_and_shares_of_covered_numbers():
    def record(noise, shift, pixels):
        image = np.full((60, 60), 0.45, np.float32)
        image[:pixels] += 0.1
        done = answer(rows=TRUE[:, 0] + shift, image=image, defocus=Measured(60 + shift, 1.0))
        return {"denoiser": "prior", "noise": noise, "found": scores(done, CLEAN, known())}

    found = [record("P(1)", shift, 0) for shift in (0.0, 0.5, 4.0)] + [record("P(25)", 0.0, 15)]
    blur = {"denoiser": "blur", "noise": "P(1)", "found": None}
    errors, covered = structure.sections([*found, blur, {"denoiser": "old", "noise": "P(1)"}])
    assert errors.table.rows == covered.table.rows == ("prior, P(1)", "prior, P(25)")
    row = "prior, P(1)"
    assert errors.table.text(row, "images") == "3"
    assert errors.table.text(row, "position [pm]") == "5.0"
    assert errors.table.text(row, "defocus [Å]") == "0.5"
    # Along columns nothing is wrong: of 24 numbers 8 and 4 are.
    assert covered.table.text(row, "positions") == "67 % and 67 %"
    assert covered.table.text(row, "defocus") == "67 % and 67 %"
    assert covered.table.text("prior, P(25)", "pixels") == "75 % and 75 %"
    assert list(structure.sections([blur])) == []
