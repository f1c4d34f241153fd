"""From micrographs to windows, exposures and starts; and the encoder's prior end to end."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
import torch
from scenes import PIXEL_SIZE, column_generator, toy_columns, toy_encoder
from strategies import lattice

import emprior
from emprior.denoisers import pose as posing
from emprior.denoisers.depth import DEEPEST
from emprior.denoisers.pose import guess_exposure, pose
from emprior.denoisers.prior import Fit, Prior
from emprior.errors import EmpriorWarning, OptionError
from emprior.grid import blend
from emprior.inversion import Exposure
from emprior.micrograph import Micrograph
from emprior.noise import ClippedPoisson, Gaussian, Hits, NoiseModel, Poisson, PoissonGaussian

NOISES = [
    Gaussian(0.3),
    Poisson(1 / 16),
    Poisson(0.1),
    ClippedPoisson(),
    ClippedPoisson(gain=0.25, maximum=1.0),
    PoissonGaussian(gain=0.1, sigma=0.05, offset=0.1),
]


@pytest.fixture(scope="module")
def encoder():
    return toy_encoder()


@pytest.fixture(scope="module")
def blind(tmp_path_factory):
    """A prior that sees no columns in anything."""
    return toy_columns(tmp_path_factory.mktemp("prior") / "blind.safetensors", contrast=0.0)


@pytest.fixture(scope="module")
def seer(tmp_path_factory):
    """A prior that sees columns in anything, wherever its random weights put them."""
    return toy_columns(tmp_path_factory.mktemp("prior") / "seer.safetensors", contrast=3.0)


# windows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("pitch", [0.25, 1.0, 1.7])
@pytest.mark.parametrize("shape", [(8, 9), (70, 33), (190, 61)])
def test_windows_cover_the_micrograph_and_fit_the_field(encoder, rng, shape, pitch):
    frame = Micrograph(rng.normal(0.45, 0.1, shape))
    poses = pose(encoder, frame, Gaussian(0.1), pitch)
    windows = [window for posed in poses for window in posed.windows]
    assert len(poses) == len(windows)
    images = [frame.image[window] for window in windows]
    np.testing.assert_allclose(blend(shape, windows, images), frame.image)  # NaN where uncovered
    for posed, image in zip(poses, images, strict=True):
        assert max(image.shape) * pitch <= encoder.field + 1e-6
        inner = [n - 32 for n in posed.generator.image_shape]
        assert all(
            0 <= i - int(n * pitch + 1e-6) < 8 for i, n in zip(inner, image.shape, strict=True)
        )


def test_data_finer_than_the_network_are_pooled_where_the_noise_allows(encoder, rng):
    frame = Micrograph(Poisson(1.0).sample(np.full((96, 64), 0.45), rng), PIXEL_SIZE / 4)
    for noise, shape, expected in [
        (Poisson(1.0), (24, 16), Poisson(1 / 16)),
        (ClippedPoisson(), (24, 16), Hits(1.0, 0.0, 1.0, 16)),
        (ClippedPoisson(0.2), (96, 64), ClippedPoisson(0.2)),
    ]:
        (posed,) = pose(encoder, frame, noise, 0.25)
        problem, full = posed.problem(frame, noise, 0.25)
        assert tuple(problem.noisy.shape) == (1, *shape)
        assert problem.noise == expected
        assert full.rows.shape == (96, posed.generator.image_shape[0])
        z = torch.zeros(1, 1, problem.latent_dim)
        assert problem.image(z).shape == (1, 1, *shape)
        assert problem.image(z, full).shape == (1, 1, 96, 64)


def test_the_starts_are_the_guess_and_other_tilts_and_defoci(encoder, rng):
    frame = Micrograph(rng.normal(0.45, 0.1, (30, 26)))
    (posed,) = pose(encoder, frame, Gaussian(0.1), 1.0)
    problem, _ = posed.problem(frame, Gaussian(0.1), 1.0)
    z = posed.start.z[0].flatten(0, 1)
    assert z.shape[1] == problem.latent_dim
    scenes, guess = posed.generator.at(z[:, : posed.generator.latent_dim]), posed.generator.scene
    assert len(torch.unique(scenes.defocus)) == 3
    assert bool((scenes.tilt[:3].norm(dim=1) < 1e-6).all())  # no tilt comes first
    # What is told without a sign starts with either, unless another start is near.
    for sign_rows, sign_columns in [(1, 1), (1, -1), (-1, 1), (-1, -1)]:
        tilt = guess.tilt * torch.tensor([sign_rows, sign_columns])
        assert (scenes.tilt - tilt).norm(dim=1).min() <= posing._ALIKE
    for row in (scenes.rows, scenes.columns, scenes.counts):
        assert bool((row == row[0]).all())
    shortlisted = posed.start(problem, rng)[0]
    assert len(shortlisted) == posing._TAKEN_UP
    untilted = posed.generator.at(shortlisted[:1, : posed.generator.latent_dim]).tilt
    assert untilted.norm() < 1e-6  # it is searched from, however bad it looks


def test_noise_weaker_than_the_generators_error_counts_as_that_error(encoder, rng):
    frame = Micrograph(rng.normal(0.45, 0.1, (30, 26)))
    (posed,) = pose(encoder, frame, Gaussian(0.1), 1.0)
    assert posed.problem(frame, Gaussian(0.1), 1.0)[0].noise == Gaussian(0.1)
    assert posed.problem(frame, Poisson(1.0), 1.0)[0].noise == Poisson(1.0)
    for quiet in (Gaussian(1e-6), Poisson(1e-9)):
        floor = posed.problem(frame, quiet, 1.0)[0].noise
        assert isinstance(floor, Gaussian)
        assert floor.sigma == pytest.approx(posing._MODEL_ERROR * posed.exposure.unit, rel=0.01)


def test_a_generator_is_posed_without_a_start_of_its_own(rng):
    generator = column_generator((40, 48))
    frame = Micrograph(rng.normal(0.45, 0.1, (90, 100)))
    poses = pose(generator, frame, Gaussian(0.1), 1.0)
    assert all(posed.start is None and posed.generator is generator for posed in poses)
    assert all(len(posed.windows) <= 8 for posed in poses)
    assert sum(len(posed.windows) for posed in poses) == 9


# exposure --------------------------------------------------------------------------------------


def clean_image(shape=(120, 90)) -> np.ndarray:
    """Columns of 0.05 contrast about 0.44, as typical images have."""
    image = lattice(shape, PIXEL_SIZE)
    return 0.44 + 0.05 * (image - image.mean()) / image.std()


@pytest.mark.parametrize(
    ("noise", "unit", "origin"),
    [
        (Poisson(1 / 16), 1.0, 0.0),
        (Poisson(1.0), 16.0, 0.0),
        (Poisson(21.5, 13631.0), 600.0, 13631.0),
        (ClippedPoisson(), 1.0, 0.0),
        (ClippedPoisson(30.0, 100.0, 130.0), 30.0, 100.0),
        (PoissonGaussian(gain=2.0, sigma=5.0, offset=50.0), 80.0, 50.0),
    ],
    ids=str,
)
def test_counts_tell_the_unit_and_their_zero_is_known(noise, unit, origin, rng):
    noisy = Micrograph(noise.sample(origin + unit * clean_image(), rng))
    exposure = guess_exposure(noisy, noise)
    assert exposure.free == 1
    assert exposure.origin == origin
    assert exposure.unit == pytest.approx(unit, rel=0.03)


def test_normalised_gaussian_data_are_taken_at_face_value(rng):
    noisy = Micrograph(Gaussian(0.5).sample(clean_image(), rng))
    assert guess_exposure(noisy, Gaussian(0.5)) == Exposure(free=2)


@pytest.mark.parametrize(
    ("unit", "origin"), [(500.0, 2000.0), (1.0, 3.0), (1e-3, 0.0), (1e6, -1e7), (2.0, -0.88)]
)
def test_gaussian_data_in_any_unit_are_brought_to_typical_mean_and_contrast(unit, origin, rng):
    noise = Gaussian(0.15 * unit)
    noisy = Micrograph(noise.sample(origin + unit * clean_image(), rng))
    exposure = guess_exposure(noisy, noise)
    assert exposure.free == 2
    # Contrast is measured on pooled pixels, which dims fine columns.
    assert 0.3 * unit < exposure.unit < 1.2 * unit
    mean = origin + 0.44 * unit
    assert exposure.origin + 0.44 * exposure.unit == pytest.approx(mean, abs=0.02 * unit)


def test_gaussian_noise_alone_has_a_finite_exposure(rng):
    for seed in range(5):
        noisy = Micrograph(np.random.default_rng(seed).normal(7, 2, (40, 30)))
        exposure = guess_exposure(noisy, Gaussian(2.0))
        assert exposure.unit > 0
        assert np.isfinite([exposure.unit, exposure.origin]).all()


# the network's pixels --------------------------------------------------------------------------


@pytest.mark.parametrize("pitch", [0.05, 0.25, 0.6, 0.9, 1.0, 1.5, 3.0])
@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_noise_on_the_networks_pixels_is_unbiased_and_as_strong_as_told(noise, pitch, rng):
    samples = 40 if pitch < 1 else 80
    shape = (round(samples / pitch), round(1.25 * samples / pitch))
    unit, origin = 1.0, float(getattr(noise, "offset", 0.0))
    clean = np.full(shape, origin + 0.44 * unit)
    exposure = Exposure(unit, origin, free=1)
    means, deviations = [], []
    for _ in range(4):
        frame, deviation = posing.on_grid(noise.sample(clean, rng), noise, pitch, exposure)
        assert tuple(frame.shape) == tuple(int(n * pitch + 1e-6) for n in shape)
        means.append(float(frame.mean()))
        deviations.append(float(frame.std()))
    assert np.mean(deviations) == pytest.approx(deviation, rel=0.05)
    independent = frame.numel() * len(means) * min(1.0, pitch**-2)
    assert np.mean(means) == pytest.approx(0.44, abs=5 * deviation / independent**0.5)


@pytest.mark.parametrize(
    "noise", [Poisson(1 / 16), ClippedPoisson(), ClippedPoisson(0.1, 0.0, 1.0)], ids=str
)
def test_structure_survives_on_the_networks_pixels(noise, rng):
    """The mean over many noisy frames is the clean image, to first order in its contrast."""
    fine = clean_image((96, 120))
    exposure = Exposure(free=1)
    frames = [posing.on_grid(noise.sample(fine, rng), noise, 0.25, exposure) for _ in range(300)]
    mean = np.mean([frame.numpy() for frame, _ in frames], 0)
    expected = posing.on_grid(fine, Gaussian(1.0), 0.25, exposure)[0].numpy()
    error = mean - expected
    assert np.ptp(expected) > 0.1
    assert abs(error.mean()) < 0.005
    slope = np.polyfit((expected - expected.mean()).ravel(), error.ravel(), 1)[0]
    assert abs(slope) < 0.08
    assert error.std() == pytest.approx(frames[0][1] / 300**0.5, rel=0.2)


def test_exposure_is_taken_off():
    image = clean_image((40, 50))
    for unit, origin in [(300.0, 1000.0), (0.01, -5.0)]:
        exposure = Exposure(unit, origin, free=2)
        frame, deviation = posing.on_grid(
            origin + unit * image, Gaussian(0.2 * unit), 1.0, exposure
        )
        np.testing.assert_allclose(frame, image, atol=1e-9)
        assert deviation == pytest.approx(0.2)


def test_pixels_of_equal_size_are_passed_on_as_they_are(rng):
    image = rng.normal(0.45, 0.1, (33, 20))
    frame, deviation = posing.on_grid(image, Gaussian(0.1), 1.0, Exposure(free=2))
    np.testing.assert_allclose(frame, image, atol=1e-12)
    assert deviation == pytest.approx(0.1)


# end to end ------------------------------------------------------------------------------------


def vacuum(noise: NoiseModel, level: float, shape=(28, 32)):
    return noise.sample(np.full(shape, level), np.random.default_rng(0))


FRAMES = {
    "vacuum, Poisson": (vacuum(Poisson(0.2), 0.45), {"noise": Poisson(0.2), "pixel_size": 0.1}),
    "vacuum, clipped": (
        vacuum(ClippedPoisson(), 0.45),
        {"noise": ClippedPoisson(), "pixel_size": 0.1},
    ),
    "all but saturated": (
        vacuum(ClippedPoisson(), 6.0),
        {"noise": ClippedPoisson(), "pixel_size": 0.1},
    ),
    "all but dark": (vacuum(Poisson(1.0), 0.003), {"noise": Poisson(1.0), "pixel_size": 0.1}),
    "tiny": (vacuum(Poisson(0.1), 0.45, (16, 20)), {"noise": Poisson(0.1), "pixel_size": 0.2}),
    "tiny, fine": (
        vacuum(Poisson(1.0), 0.45, (9, 8)),
        {"noise": Poisson(1.0), "pixel_size": 0.0489},
    ),
    "tiny, coarse": (
        vacuum(Gaussian(0.1), 0.45, (9, 10)),
        {"noise": Gaussian(0.1), "pixel_size": 0.65},
    ),
    "extremely fine": (
        vacuum(Poisson(1.0), 0.45, (30, 30)),
        {"noise": Poisson(1.0), "pixel_size": 0.002},
    ),
    "integers": (
        vacuum(Poisson(1.0), 12.0).astype(np.uint16),
        {"noise": "auto", "pixel_size": 0.2},
    ),
    "large units": (
        vacuum(Gaussian(3e4), 1e6),
        {"noise": Gaussian(3e4), "pixel_size": 0.2},
    ),
    "offset": (
        vacuum(Poisson(21.5, 13631.0), 13800.0),
        {"noise": Poisson(21.5, 13631.0), "pixel_size": 0.2},
    ),
    "negative": (
        vacuum(Gaussian(2.0), -500.0),
        {"noise": Gaussian(2.0), "pixel_size": 0.2},
    ),
    "readout": (
        vacuum(PoissonGaussian(gain=2.0, sigma=3.0, offset=100.0), 140.0),
        {"noise": PoissonGaussian(gain=2.0, sigma=3.0, offset=100.0), "pixel_size": 0.2},
    ),
    "several windows": (
        lattice((40, 20), PIXEL_SIZE) + vacuum(Gaussian(0.1), 0.0, (40, 20)),
        {"noise": Gaussian(0.1), "pixel_size": PIXEL_SIZE},
    ),
}


SEEN = ("vacuum, clipped", "all but saturated", "tiny", "several windows", "integers", "readout")


@pytest.mark.parametrize(
    ("kind", "name"), [("blind", name) for name in FRAMES] + [("seer", name) for name in SEEN]
)
def test_any_frame_is_answered_in_its_own_units(kind, name, request):
    image, options = FRAMES[name]
    prior = request.getfixturevalue(kind)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        done = emprior.denoise(image, prior=prior, **options)
    assert all(issubclass(warning.category, EmpriorWarning) for warning in caught), [
        str(warning.message) for warning in caught
    ]
    assert done.image.shape == image.shape
    assert done.image.dtype == np.float32
    assert np.isfinite(done.image).all()
    assert done.method in ("prior", "pooled-wavelet")
    assert (done.method == "pooled-wavelet") == (done.trace["family"] == "outside")
    assert (done.trace["family"] != "inside") == ("doubt" in done.trace)
    if not isinstance(done.noise, ClippedPoisson):
        spread = image.std() / image.size**0.5
        assert abs(float(done.image.mean()) - image.mean()) < 6 * spread + 1e-6 * abs(image.mean())


@pytest.mark.parametrize("name", ["several windows", "tiny, fine", "vacuum, clipped"])
def test_the_priors_own_answer_is_finite_and_can_be_refined(seer, rng, name):
    image, options = FRAMES[name]
    shares: list[float] = []
    denoiser = Prior(prior=seer, progress=shares.append)
    micrograph = Micrograph(image, options["pixel_size"])
    estimate, found = denoiser.fit(micrograph, options["noise"], rng)
    assert estimate.image.shape == image.shape
    assert np.isfinite(estimate.image).all()
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert estimate.trace["tiles"] == len(found) == len(estimate.trace["latent"])
    assert max(len(fit.pose.generator.scene.rows) for fit in found) > 0
    refined, _ = denoiser.fit(micrograph, options["noise"], rng, found=found)
    assert np.isfinite(refined.image).all()


@pytest.fixture
def crystal(rng):
    """A crystal that no encoder here has learnt, with noise that hides little of it."""
    noise = Gaussian(0.02)
    return Micrograph(noise.sample(lattice((32, 30), PIXEL_SIZE), rng), PIXEL_SIZE), noise


def test_each_depth_comes_nearer_to_the_data(seer, crystal):
    frame, noise = crystal
    depths = ("encoder", "inversion", "residual")
    left = []
    for depth in depths:
        estimate = Prior(prior=seer, depth=depth)(frame, noise, np.random.default_rng(0))
        assert estimate.trace["depth"] == depth
        assert (estimate.trace["passes"] > 0) == (depth != "encoder")
        left.append(float(np.mean((frame.image - estimate.image) ** 2)))
    assert left[0] > 1.05 * left[1]
    assert left[1] > 1.05 * left[2]


def test_columns_are_searched_by_one_thread_and_the_others_come_back(seer, crystal):
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        watched = Prior(prior=seer, progress=lambda share: seen.append(torch.get_num_threads()))
        watched(*crystal, np.random.default_rng(0))
        assert seen[0] == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_mean_is_over_columns_that_are_doubted(seer, crystal):
    """This encoder has learnt nothing, and loud data leave its doubts."""
    frame, noise = crystal[0], Gaussian(2.0)
    one, mean, again = (
        Prior(prior=seer, depth=depth)(frame, noise, np.random.default_rng(0)).image
        for depth in ("residual", "mean", "mean")
    )
    assert (mean != one).any()
    np.testing.assert_array_equal(mean, again)


def test_the_default_is_the_deepest(seer, crystal):
    answers = [
        denoiser(*crystal, np.random.default_rng(0)).image
        for denoiser in (Prior(prior=seer), Prior(prior=seer, depth=DEEPEST))
    ]
    np.testing.assert_array_equal(*answers)


def test_first_sight_shows_the_scene_that_the_encoder_told(seer, crystal):
    frame, noise = crystal
    first = Prior(prior=seer, depth="encoder")
    estimate, (fit,) = first.fit(frame, noise, np.random.default_rng(0))
    generator = fit.pose.generator
    told = fit.latent[0].clone()
    told[generator.optics][1:3] = 0  # the tilt, whose signs the likelihood finds
    assert not told.any()  # all numbers are relative to it
    untilted = fit.pose.start.z[:, :1, 1]  # at the defocus that was told
    assert not generator.at(untilted[0, :, : generator.latent_dim]).tilt.any()
    problem, _ = fit.pose.problem(frame, noise, 1.0)
    assert problem.value(fit.latent[:, None]) <= problem.value(untilted)
    drawn = fit.pose.generator(fit.latent[:, : fit.pose.generator.latent_dim])[0, 0].numpy()
    top, left = ((n - m) // 2 for n, m in zip(drawn.shape, frame.shape, strict=True))
    seen = drawn[top : top + frame.shape[0], left : left + frame.shape[1]]
    exposure = fit.pose.exposure
    np.testing.assert_allclose(
        estimate.image, exposure.origin + exposure.unit * seen, rtol=0.02, atol=0.02
    )


def test_the_last_steps_are_for_the_exact_generator(seer, crystal):
    frame, noise = crystal

    def found(exact: bool) -> Fit:
        prior = Prior(prior=seer, depth="inversion", exact=exact)
        return prior.fit(*crystal, np.random.default_rng(0))[1][0]

    quick, fit = found(False), found(True)
    assert quick.precision is None
    assert fit.pose.exact() is fit.pose
    # They explain the data better than where they started does, by what is drawn exactly.
    problem, _ = fit.pose.problem(frame, noise, 1.0)
    before, after = (problem.value(one.latent[:, None]) for one in (quick, fit))
    assert bool((after < before).all())
    # And more steps from there do no worse.
    again = Prior(prior=seer).fit(*crystal, np.random.default_rng(0), found=[fit])[1][0]
    assert again.pose is fit.pose
    assert bool((problem.value(again.latent[:, None]) <= after).all())


@pytest.mark.parametrize(
    ("doubt", "wrong", "right"), [(0.8, 70.0, 0.0), (0.8, 0.0, 70.0), (0.3, 70.0, 70.0)]
)
def test_between_turns_that_the_encoder_doubts_the_data_decide(
    seer, crystal, monkeypatch, doubt, wrong, right
):
    """One of two turns is given an exposure under which no scene explains the frame."""

    def posed(network, micrograph, noise, pitch, thorough=True, turn=None):
        at = 70.0 if thorough else 0.0
        (found,) = pose(network, micrograph, noise, pitch, turn=at)
        unit = found.exposure.unit * (10.0 if at == wrong else 1.0)
        exposure = dataclasses.replace(found.exposure, unit=unit)
        return [dataclasses.replace(found, exposure=exposure, doubt=doubt)]

    monkeypatch.setattr("emprior.denoisers.prior.pose", posed)
    _, (fit,) = Prior(prior=seer, exact=False).fit(*crystal, np.random.default_rng(0))
    assert fit.pose.turn == right


def test_first_sight_is_compared_with_nothing_and_says_so(seer, crystal):
    frame, noise = crystal  # a contest would end with a warning
    done = emprior.denoise(frame, noise=noise, prior=seer, depth="encoder")
    assert done.method == "prior"
    assert "not compared with the data" in done.trace["unchecked"]
    assert "held_out" not in done.trace
    own = Prior(prior=seer, depth="encoder")(frame, noise, np.random.default_rng(0))
    np.testing.assert_array_equal(done.image, own.image)


def test_a_search_that_the_depth_leaves_out_is_refused(seer, crystal):
    with pytest.raises(OptionError, match="the search 'paper' with the depth 'encoder'"):
        emprior.denoise(crystal[0], noise=crystal[1], prior=seer, search="paper", depth="encoder")


def test_a_crystal_that_the_encoder_has_not_learnt_goes_to_the_wavelet(seer, rng):
    noisy = lattice((32, 30), PIXEL_SIZE) + 0.05 * rng.standard_normal((32, 30))
    options = {"pixel_size": PIXEL_SIZE, "noise": "gaussian:0.05"}
    with pytest.warns(EmpriorWarning, match="does not know this frame"):
        done = emprior.denoise(noisy, prior=seer, **options)
    assert done.method == "pooled-wavelet"
    rival = emprior.denoise(noisy, method="pooled-wavelet", **options)
    np.testing.assert_array_equal(done.image, rival.image)


def test_without_a_pixel_size_the_published_one_is_assumed(seer):
    image = vacuum(Poisson(1.0), 0.45, (48, 40))
    with pytest.warns(EmpriorWarning) as caught:
        done = emprior.denoise(image, noise=Poisson(1.0), prior=seer)
    assert any("0.0489 Å" in str(warning.message) for warning in caught)
    assert np.isfinite(done.image).all()


def test_vacuum_is_known_to_a_prior_that_sees_nothing_in_it(blind):
    image, options = FRAMES["vacuum, Poisson"]
    estimate = Prior(prior=blind)(
        Micrograph(image, options["pixel_size"]), options["noise"], np.random.default_rng(0)
    )
    np.testing.assert_allclose(estimate.image, image.mean(), rtol=0.01)


def test_same_seed_same_bytes(seer):
    image, options = FRAMES["tiny"]
    answers = []
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", EmpriorWarning)
            answers.append(emprior.denoise(image, prior=seer, force=True, seed=3, **options))
    assert answers[0].method == "prior"
    assert answers[0].image.tobytes() == answers[1].image.tobytes()
