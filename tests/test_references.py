"""Dark and gain references: applied as detectors need them, refused where they cannot be meant."""

import numpy as np
import pytest
from strategies import NOISE_CASES, lattice
from typer.testing import CliRunner

import emprior
from emprior.cli import app
from emprior.errors import EmpriorWarning, ImageError, OptionError
from emprior.io import Signal, read, write
from emprior.noise import Gaussian, Poisson
from emprior.references import References, find_seams, read_references

CLEAN = lattice((96, 80), 0.1)
DARK = 100 + np.add.outer(3 * np.arange(96) % 7, np.arange(80) % 5)


def two_gains(ratio):
    """Return the gain of a detector that two amplifiers read out, with dead pixels."""
    gain = np.where(np.arange(80) < 40, 1.0, ratio) * np.ones((96, 1))
    gain[30:32, 20] = 0
    return gain


def recorded(rng, dose=20.0, ratio=1.3, dark=DARK):
    """Return counts as that detector shows them."""
    return dark + 8 * two_gains(ratio) * rng.poisson(dose * CLEAN)


def test_two_gains_and_a_dark_offset_are_corrected(rng):
    frame, gain = recorded(rng), two_gains(1.3)
    corrected, dead = References(DARK, gain).corrected(frame)
    np.testing.assert_array_equal(dead, gain == 0)
    unit = 8 * gain[~dead].mean()
    counts = (frame - DARK)[~dead] / 8 / gain[~dead]
    np.testing.assert_allclose(corrected[~dead], unit * counts)


def test_noise_is_that_of_counts_again(rng):
    frame, gain = recorded(rng), two_gains(1.3)
    done = emprior.denoise(frame, method="pooled-wavelet", references=References(DARK, gain))
    assert isinstance(done.noise, Poisson)
    assert done.noise.gain == pytest.approx(8 * gain[gain > 0].mean(), rel=0.01)
    truth = 20 * done.noise.gain * CLEAN
    spread = np.sqrt(done.noise.variance(truth))
    assert abs((done.image - truth) / spread).mean() < 0.3
    assert abs((done.image - truth) / spread)[30:32, 20].max() < 1.5  # estimated from others
    assert any("dark and gain reference" in line for line in done.evidence)
    assert any("2 hot or dead pixels" in line for line in done.evidence)


def test_the_command_line_takes_files_and_numbers(rng, tmp_path):
    frame = recorded(rng, dark=100.0).astype(np.float32)
    write(tmp_path / "in.hspy", Signal.from_array(frame, 0.1))
    np.save(tmp_path / "gain.npy", np.stack([two_gains(1.2), two_gains(1.4)]))  # the mean is 1.3
    args = ["denoise", "in.hspy", "-o", "out.hspy", "--method", "blur", "--dark", "100"]
    args = [*args, "--gain", "gain.npy"]
    result = CliRunner().invoke(app, [str(tmp_path / a) if "." in a else a for a in args])
    assert result.exit_code == 0, result.output
    expected = emprior.denoise(
        frame, method="blur", seed=0, references=References(100.0, two_gains(1.3)), pixel_size=0.1
    )
    np.testing.assert_allclose(read(tmp_path / "out.hspy").data, expected.image, rtol=1e-5)
    settings = read(tmp_path / "out.hspy").provenance["settings"]
    assert settings["dark"] == "100"
    report = [*args, "--report", "r.html", "--overwrite"]
    result = CliRunner().invoke(app, [str(tmp_path / a) if "." in a else a for a in report])
    assert result.exit_code == 2
    assert "a report with dark or gain references" in result.output


@pytest.mark.parametrize(
    ("dark", "gain", "word"),
    [
        (np.zeros((3, 4, 5)), None, r"a dark reference of shape \(3, 4, 5\)"),
        (np.full((4, 5), np.nan), None, "not finite"),
        (0.0, np.ones(4), "a gain reference of shape"),
        (0.0, np.zeros((4, 5)), "of which 0% is positive"),
        (np.zeros((4, 5)), np.ones((4, 6)), "beside a dark one of"),
        (0.0, "gain", "type <U4"),
    ],
)
def test_what_is_no_reference_is_refused(dark, gain, word):
    with pytest.raises((ImageError, OptionError), match=word):
        References(dark, gain)


def test_references_of_another_shape_are_refused(rng):
    for references in (References(DARK), References(0.0, two_gains(1.0))):
        with pytest.raises(ImageError, match=r"a frame of shape \(40, 40\) with a (dark|gain)"):
            emprior.denoise(rng.random((40, 40)), method="blur", references=references)


def test_none_are_read_where_none_are_named():
    assert read_references(None, None) is None


@pytest.mark.parametrize("noise", NOISE_CASES.values(), ids=NOISE_CASES)
def test_frames_of_one_part_have_no_seam(noise, rng):
    assert not any(find_seams(noise.sample(CLEAN, rng)) for _ in range(20))
    crystal = 0.45 + 0.3 * np.sin(2 * np.pi * np.arange(80) / 8) * np.ones((96, 1))
    assert not find_seams(noise.sample(crystal, rng))


def test_a_seam_is_said_and_references_mend_it(rng):
    step = np.where(np.arange(80) < 40, 0.0, 0.5)
    frame = Gaussian(0.2).sample(CLEAN, rng) + step
    (said,) = find_seams(frame)
    assert "the left and right halves do not fit together" in said
    assert find_seams(frame.T)[0].startswith("the upper and lower")
    with pytest.warns(EmpriorWarning, match="left and right halves .* dark and gain references"):
        emprior.denoise(frame, method="blur")
    references = References(step * np.ones((96, 1)))
    assert not find_seams(references.corrected(frame)[0])
