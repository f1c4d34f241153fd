"""Held-out evidence: what a denoiser makes of one half of the data, judged by the other."""

import json
import shlex
import sys

import numpy as np
import pytest
from scipy import ndimage
from strategies import lattice
from test_cli import refused, run

import emprior
from emprior.errors import FileError, ImageError, OptionError
from emprior.io import Signal, write
from emprior.micrograph import Micrograph
from emprior.noise import ClippedPoisson, Gaussian, Poisson
from emprior.trust.command import Command

SHAPE = (72, 88)
PYTHON = shlex.quote(sys.executable)


@pytest.fixture
def truth():
    return lattice(SHAPE, 0.1)


def evidence(noise, truth, rng, denoiser):
    noisy = noise.sample(truth, rng)
    return emprior.check(noisy, truth, noise=noise, denoiser=denoiser).held_out


@pytest.mark.parametrize("noise", [Gaussian(0.3), Poisson(0.1)], ids=str)
def test_the_truth_predicts_unseen_data_best_and_reaches_the_expected_correlation(
    noise, truth, rng
):
    found = evidence(noise, truth, rng, lambda seen: truth)
    assert found.over_constant.mean > 2 * found.over_constant.error
    assert found.over_wavelet.mean > 0
    rings = found.rings
    off = (rings.measured - rings.expected) / rings.error
    strong = rings.expected > 0.1
    assert np.abs(off[strong]).max() < 4.5
    assert rings.frequency.max() < 0.5


def test_inventions_lower_the_correlation_below_what_is_expected(truth, rng):
    ghosts = lattice(SHAPE, 0.1, spacing=1.9)
    found = evidence(Poisson(0.1), truth, rng, lambda seen: ghosts)
    rings = found.rings
    strongest = np.argmax(rings.expected)
    assert rings.measured[strongest] < rings.expected[strongest] - 4 * rings.error[strongest]
    assert found.over_constant.mean < 0


def test_the_denoiser_sees_half_of_the_electrons(truth, rng):
    seen = []

    def denoiser(micrograph):
        seen.append(micrograph)
        return truth

    evidence(Poisson(0.1), truth, rng, denoiser)
    (frame,) = seen
    steps = frame.image / 0.2  # twice as many units for each electron that is left
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-4)
    assert frame.image.mean() == pytest.approx(truth.mean(), rel=0.02)


def test_of_clipped_counts_pixels_are_hidden_and_there_are_no_rings(truth, rng):
    found = evidence(ClippedPoisson(1.0, 0.0, 1.0), truth, rng, lambda seen: truth)
    assert "hidden" in found.way
    assert found.rings is None
    assert abs(found.over_constant.mean) < 5 * found.over_constant.error


def test_a_denoiser_that_loses_pixels_is_refused(truth, rng):
    with pytest.raises(ImageError, match="an answer of shape"):
        evidence(Poisson(0.1), truth, rng, lambda seen: truth[1:])
    with pytest.raises(ImageError, match="NaN"):
        evidence(Poisson(0.1), truth, rng, lambda seen: np.full(SHAPE, np.nan))


# ------------------------------------------------------------------------------------------ movies


def judged(truth, following, noise=None, **options):
    rng = np.random.default_rng(5)
    noise = noise or Poisson(0.1)
    frames = (noise.sample(image, rng) for image in (truth, following))
    noisy, following = frames
    return emprior.check(noisy, truth, noise=noise, next_frame=following, **options).held_out


@pytest.mark.parametrize("noise", [Gaussian(0.3), Poisson(0.1), ClippedPoisson(1.0, 0.0, 1.0)])
def test_the_next_frame_bears_the_truth_out(noise, truth):
    found = judged(truth, truth, noise)
    assert "next frame" in found.way
    assert "drifted" not in found.way
    assert found.over_constant.mean > 2 * found.over_constant.error
    assert found.over_wavelet.mean > -2 * found.over_wavelet.error
    off = (found.rings.measured - found.rings.expected) / found.rings.error
    assert np.abs(off[found.rings.expected > 0.3]).max() < 4.5


def test_noise_that_is_correlated_within_frames_is_expected_to_be(truth, rng):
    noisy, following = (
        truth + ndimage.gaussian_filter(rng.normal(0, 0.5, SHAPE), 1.0) for _ in range(2)
    )
    rings = emprior.check(noisy, truth, noise=Gaussian(0.14), next_frame=following).held_out.rings
    off = (rings.measured - rings.expected) / rings.error
    assert np.abs(off[rings.expected > 0.5]).max() < 6


def test_drift_is_followed(truth):
    wide = lattice((SHAPE[0] + 5, SHAPE[1] + 3), 0.1)
    here, moved = wide[5:, :-3], wide[:-5, 3:]
    found = judged(here, moved, Gaussian(0.1))
    assert "drifted by 5, -3 pixels" in found.way
    assert found.over_wavelet.mean > 0
    assert len(found.rings.measured) > 10


def test_what_noise_was_taken_for_structure_the_next_frame_does_not_have(truth, rng):
    noise = Gaussian(0.3)
    noisy, following = (noise.sample(truth, rng) for _ in range(2))
    found = emprior.check(noisy, noisy, noise=noise, next_frame=following).held_out
    assert found.over_wavelet.mean < -5 * found.over_wavelet.error


def test_pixels_that_either_frame_ignores_judge_nothing(truth, rng):
    noise, ignored = Gaussian(0.1), np.zeros(SHAPE, bool)
    ignored[20:40, 30:60] = True
    noisy, following = (noise.sample(truth, rng) for _ in range(2))
    spoilt = np.where(ignored, 50.0, following)
    for of_noisy, of_next in ((ignored, None), (None, ignored)):
        found, whole = (
            emprior.check(
                Micrograph(noisy, ignored=of_noisy),
                truth,
                noise=noise,
                faults=False,
                next_frame=Micrograph(judge, ignored=of_next),
            ).held_out.over_constant
            for judge in (spoilt, following)
        )
        assert found.mean == whole.mean
        assert found.error == whole.error
    careless = emprior.check(noisy, truth, noise=noise, faults=False, next_frame=spoilt).held_out
    assert careless.over_constant.error > 10 * found.error


def test_faults_of_the_next_frame_judge_nothing(truth, rng):
    noise = Poisson(0.1)
    noisy, following = (noise.sample(truth, rng) for _ in range(2))
    spoilt = following.copy()
    spoilt[20, 30] = 500.0
    found, whole = (
        emprior.check(noisy, truth, noise=noise, next_frame=judge).held_out.over_constant
        for judge in (spoilt, following)
    )
    assert found.mean == pytest.approx(whole.mean, abs=0.1 * whole.error)


def test_a_next_frame_that_cannot_hold_the_noise_is_named(truth, rng):
    noise = Poisson(0.1)
    noisy, following = (noise.sample(truth, rng) for _ in range(2))
    following[3, 4] = -0.3
    with pytest.raises(ImageError, match="the next frame"):
        emprior.check(noisy, truth, noise=noise, next_frame=following)


def test_frames_without_anything_in_common_tell_nothing(truth, rng):
    noisy, left = Gaussian(0.1).sample(truth, rng), np.zeros(SHAPE, bool)
    left[:, :44] = True
    frame, following = Micrograph(noisy, ignored=left), Micrograph(noisy, ignored=~left)
    found = emprior.check(frame, truth, noise="gaussian:0.1", faults=False, next_frame=following)
    assert found.held_out is None


def test_a_next_frame_of_another_dose_tells_nothing(truth, rng):
    noisy, following = Poisson(0.1).sample(truth, rng), Poisson(0.1).sample(2 * truth, rng)
    assert emprior.check(noisy, truth, noise=Poisson(0.1), next_frame=following).held_out is None


def test_a_frame_is_not_its_own_judge(truth, rng):
    noisy = Poisson(0.1).sample(truth, rng)
    with pytest.raises(ImageError, match="the frame itself"):
        emprior.check(noisy, noisy, noise=Poisson(0.1), next_frame=noisy.copy())


def test_what_judges_beside_them_changes_no_test(truth, rng):
    noise, ignored = Poisson(0.1), np.zeros(SHAPE, bool)
    ignored[3:6, 7:9] = True
    noisy, following = (noise.sample(truth, rng) for _ in range(2))
    frame = Micrograph(noisy, 0.1, ignored=ignored)
    alone = emprior.check(frame, truth, noise=noise)
    for judge in ({"next_frame": following}, {"denoiser": lambda seen: truth}):
        found = emprior.check(frame, truth, noise=noise, **judge)
        assert [one.p for one in found.findings] == [one.p for one in alone.findings]


def test_frames_of_two_shapes_and_two_judges_are_refused(truth, rng):
    noisy = Gaussian(0.1).sample(truth, rng)
    with pytest.raises(ImageError, match="a next frame of shape"):
        emprior.check(noisy, truth, next_frame=noisy[1:])
    with pytest.raises(OptionError, match="a denoiser and a next frame"):
        emprior.check(noisy, truth, next_frame=noisy, denoiser=lambda seen: truth)


def test_of_a_movie_each_frame_but_the_last_is_judged(tmp_path, truth, rng):
    noisy = np.float32(rng.poisson(10 * truth, (3, *SHAPE)))
    clean = np.broadcast_to(np.float32(10 * truth), noisy.shape)
    for name, pixels in (("noisy.tif", noisy), ("clean.tif", clean), ("one.tif", noisy[0])):
        write(tmp_path / name, Signal.from_array(pixels, 0.1))
    out, page = tmp_path / "check.json", tmp_path / "check.html"
    pair = "check", tmp_path / "noisy.tif", tmp_path / "clean.tif"
    said = run(*pair, "--movie", "--prior", "none", "--json", out, "--report", page)
    assert said.count("held out (the next frame of the movie)") == 2
    ways = [frame["held_out"]["way"] for frame in json.loads(out.read_text())["frames"]]
    assert ways == ["the next frame of the movie"] * 2 + ["not possible"]
    assert "raw other part" in page.read_text()
    refused(tmp_path, "check", tmp_path / "one.tif", tmp_path / "one.tif", "--movie")
    assert "--command and --movie" in refused(
        tmp_path, *pair, "--movie", "--command", "tool {in} {out}"
    )


# ---------------------------------------------------------------------------------------- programs

_BLUR = (
    "import sys; from scipy.ndimage import gaussian_filter as blur; import tifffile as t; "
    "t.imwrite(sys.argv[2], blur(t.imread(sys.argv[1]), 4.0))"
)


@pytest.fixture
def files(tmp_path, truth, rng):
    noisy = np.float32(rng.poisson(10 * truth))
    write(tmp_path / "noisy.tif", Signal.from_array(noisy, 0.1))
    write(tmp_path / "blurred.tif", Signal.from_array(ndimage.gaussian_filter(noisy, 4.0), 0.1))
    return tmp_path


def test_any_program_can_be_judged(files):
    out, page = files / "check.json", files / "check.html"
    line = f"{PYTHON} -c {shlex.quote(_BLUR)} {{in}} {{out}}"
    result = ("check", files / "noisy.tif", files / "blurred.tif", "--command", line)
    said = run(*result, "--json", out, "--report", page, code=1)
    assert "held out (electrons drawn into two frames)" in said
    told = json.loads(out.read_text())["frames"][0]["held_out"]
    assert told["nats_per_pixel_over_constant"]["mean"] > 0
    assert len(told["rings"]["measured"]) == len(told["rings"]["frequency"])
    assert "<polyline" in page.read_text()


def test_without_the_denoiser_it_is_said_to_be_impossible(files):
    out = files / "check.json"
    run("check", files / "noisy.tif", files / "blurred.tif", "--json", out, code=1)
    told = json.loads(out.read_text())["frames"][0]["held_out"]
    assert told["way"] == "not possible"
    assert "--command" in told["why"]


@pytest.mark.parametrize("line", ["tool {in}", "tool {out}", "{in} {out}", "tool '{in} {out}", ""])
def test_commands_that_name_no_files_are_refused(files, line):
    refused(files, "check", files / "noisy.tif", files / "blurred.tif", "--command", line)


def test_programs_that_fail_are_said_to(truth, rng):
    frame = Micrograph(rng.poisson(truth) * 1.0, 0.1)
    fails = f"{PYTHON} -c 'import sys; sys.exit(\"no licence\")' {{in}} {{out}}"
    with pytest.raises(OptionError) as error:
        Command(fails)(frame)
    assert "no licence" in error.value.why
    with pytest.raises(OptionError, match="failed"):
        Command("/no/such/program {in} {out}")(frame)
    with pytest.raises(FileError, match="wrote no out"):
        Command(f"{PYTHON} -c pass {{in}} {{out}}")(frame)
