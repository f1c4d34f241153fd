"""Checks of micrographs as they come: labels and hot pixels are no fault of the denoised image."""

import json

import numpy as np
import pytest
from scipy import stats
from strategies import lattice, lattice_positions
from test_cli import run

import emprior
from emprior.io import Signal, write
from emprior.micrograph import Micrograph
from emprior.noise import Gaussian, Poisson

SHAPE, PITCH = (96, 112), 0.1
CLEAN = lattice(SHAPE, PITCH)
HOT = (50, 84), (71, 25)
LABEL = np.s_[80:94, 40:104]
NOISES = {"counts": Poisson(0.05), "Gaussian": Gaussian(0.1)}
noises = pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)


def broken(noise, rng, clean=CLEAN):
    """Return a noisy frame with a label, and two hot pixels beside what is drawn from `clean`."""
    noisy = noise.sample(clean, rng)
    noisy[LABEL] = 4.0
    for place in HOT:
        noisy[place] = 9.0
    return noisy


def checked(noisy, denoised, **options):
    return emprior.check(noisy, denoised, pixel_size=PITCH, **options)


@noises
def test_a_true_image_is_supported_however_the_frame_is_labelled(noise, rng):
    noisy = broken(noise, rng)
    labelled = CLEAN.copy()
    labelled[LABEL] = noisy[LABEL]  # as `emprior.denoise` leaves it
    for denoised in (CLEAN, labelled):
        found = checked(noisy, denoised, false_alarm=0.001)
        assert found.supported, found.regions
        assert not checked(noisy, denoised, false_alarm=0.001, faults=False).supported
    mask = np.zeros(SHAPE, bool)
    mask[LABEL] = True
    np.testing.assert_array_equal(found.left_out.patches, mask)
    assert [tuple(place) for place in np.argwhere(found.left_out.outliers)] == list(HOT)


def test_alarms_are_no_more_frequent_than_stated(rng):
    alarms = sum(not checked(broken(Poisson(0.05), rng), CLEAN).supported for _ in range(40))
    assert alarms <= stats.binom.isf(1e-3, 40, 0.05)


@noises
def test_a_column_lost_beside_the_label_is_missed(noise, rng):
    rows, columns = lattice_positions(SHAPE, PITCH).T / PITCH
    beside = np.flatnonzero((rows > 64) & (rows < 74) & (columns > 44) & (columns < 70))[0]
    row, column = rows[beside], columns[beside]
    y, x = np.indices(SHAPE)
    lost = CLEAN - 0.2 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * 4.5**2))
    found = checked(broken(noise, rng), lost)
    assert not found.supported
    missing = [region for region in found.regions if region.kind == "missing column"]
    assert len(missing) == 1
    assert np.hypot(missing[0].row - row, missing[0].column - column) < 3


@noises
def test_what_follows_the_noise_is_not_supported_with_labels_either(noise, rng):
    noisy = broken(noise, rng)
    assert not checked(noisy, noisy).supported
    assert not checked(noisy, np.full(SHAPE, CLEAN.mean())).supported


def test_what_a_micrograph_ignores_is_left_out_too(rng):
    noisy = Poisson(0.05).sample(CLEAN, rng)
    mask = np.zeros(SHAPE, bool)
    mask[10:30, 10:50] = True
    wrong = np.where(mask, 2 * CLEAN, CLEAN)
    options = {"pixel_size": PITCH, "false_alarm": 0.001, "faults": False}
    assert not emprior.check(noisy, wrong, **options).supported
    found = emprior.check(Micrograph(noisy, ignored=mask), wrong, **options)
    assert found.supported
    np.testing.assert_array_equal(found.left_out.all, mask)


def test_columns_in_patches_are_not_told(rng):
    found = checked(broken(Poisson(0.05), rng), CLEAN)
    places = np.rint([found.columns.rows, found.columns.columns]).astype(int)
    assert len(found.columns)
    assert not found.left_out.patches[tuple(places)].any()


def test_evidence_on_unseen_data_keeps_its_rings(rng):
    found = checked(broken(Poisson(0.05), rng), CLEAN, denoiser=lambda frame: CLEAN)
    rings = found.held_out.rings
    assert np.all(np.abs(rings.measured - rings.expected) < 4 * rings.error + 0.05)


def test_an_export_of_eight_bits_is_told_what_was_left_out(tmp_path, rng):
    noisy = rng.poisson(40 * CLEAN).astype(np.uint8)
    noisy[LABEL], noisy[HOT[0]] = 255, 200
    write(tmp_path / "noisy.tif", Signal.from_array(noisy, PITCH))
    write(tmp_path / "truth.tif", Signal.from_array(np.float32(40 * CLEAN), PITCH))
    files = [tmp_path / name for name in ("noisy.tif", "truth.tif")]
    made = [tmp_path / name for name in ("check.json", "check.html")]
    options = ("--prior", "none", "--false-alarm", 0.001)
    said = run("check", *files, *options, "--json", made[0], "--report", made[1])
    lines = (
        "left out: patch of one value of 896 pixels in rows 80 to 93, columns 40 to 103",
        "left out: hot or dead pixel at row 50, column 84",
    )
    for line in lines:
        assert line in said
        assert line in made[1].read_text()
    (frame,) = json.loads(made[0].read_text())["frames"]
    assert frame["left_out"] == [
        {"kind": "patch of one value", "rows": [80, 93], "columns": [40, 103], "pixels": 896},
        {"kind": "hot or dead pixel", "rows": [50, 50], "columns": [84, 84], "pixels": 1},
    ]
    run("check", *files, *options, "--no-faults", code=1)
