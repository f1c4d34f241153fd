"""`emprior.denoise`: one frame in, an estimate and its story out."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from strategies import lattice
from toys import PIXEL_SIZE, toy_frame, toy_prior

import emprior
from emprior.errors import EmpriorWarning, ImageError, OptionError, WeightsError
from emprior.micrograph import Micrograph
from emprior.noise import Gaussian, Poisson


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return toy_prior(tmp_path_factory.mktemp("prior") / "toy.safetensors")


@pytest.fixture
def known(rng):
    """A frame that the toy prior can draw, with noise of 0.1; and its truth."""
    clean = toy_frame()
    return clean + 0.1 * rng.standard_normal(clean.shape), clean


@pytest.fixture
def foreign(rng):
    """A crystal, which the toy prior cannot draw, with noise of 0.1."""
    clean = lattice((64, 64), PIXEL_SIZE)
    return clean + 0.1 * rng.standard_normal(clean.shape)


def mean_square(image, truth):
    return float(np.mean((image - truth) ** 2))


# -------------------------------------------------------------------------------------- the result


def test_the_answer_is_a_float32_image_in_the_units_of_the_input(clean, rng):
    noisy = 200 * Poisson(0.05).sample(clean, rng) + 1000
    done = emprior.denoise(noisy, pixel_size=0.1, method="pooled-wavelet")
    assert isinstance(done, emprior.Denoised)
    assert done.image.dtype == np.float32
    assert done.image.shape == clean.shape
    assert mean_square(done.image, 200 * clean + 1000) < 0.3 * mean_square(
        noisy, 200 * clean + 1000
    )
    assert done.method == "pooled-wavelet"
    assert done.seconds > 0
    assert done.trace["factor"] >= 1
    assert done.evidence


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, ">u2", np.float32, np.float64, np.float16])
def test_any_type_of_pixel_is_taken(dtype, rng):
    counts = rng.poisson(20 * lattice((48, 40), 0.1)).astype(dtype)
    done = emprior.denoise(counts, method="blur")
    assert done.noise == Poisson(1.0)
    assert abs(done.image.mean() - counts.astype(float).mean()) < 0.05


def test_noise_is_text_or_a_model(micrograph):
    for noise in ("gaussian:0.1", Gaussian(0.1)):
        done = emprior.denoise(micrograph, noise=noise, method="wavelet")
        assert done.noise == Gaussian(0.1)
    found = emprior.denoise(micrograph, method="wavelet").noise
    assert isinstance(found, Gaussian)
    assert found.sigma == pytest.approx(0.1, rel=0.1)


def test_a_pixel_size_goes_before_that_of_the_micrograph(clean, rng):
    # Pooling never goes beyond 0.4 Å.
    noisy = Micrograph(clean + rng.standard_normal(clean.shape), pixel_size=0.05)
    options = {"noise": "gaussian:1", "method": "pooled-wavelet"}
    assert emprior.denoise(noisy, **options).trace["factor"] > 1
    assert emprior.denoise(noisy, pixel_size=0.39, **options).trace["factor"] == 1


def test_progress_rises_to_one(known, prior):
    shares = []
    emprior.denoise(
        known[0],
        pixel_size=PIXEL_SIZE,
        noise="gaussian:0.1",
        prior=prior,
        progress=shares.append,
    )
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.2
    assert shares[-1] == 1


# ------------------------------------------------------------------------------------- the contest


def test_the_prior_answers_where_it_knows_the_frame(known, prior):
    noisy, clean = known
    options = {"pixel_size": PIXEL_SIZE, "noise": "gaussian:0.1"}
    done = emprior.denoise(noisy, prior=prior, **options)  # warnings would be errors here
    rival = emprior.denoise(noisy, method="pooled-wavelet", **options)
    assert done.method == "prior"
    assert done.trace["advantage_nats_per_held_out_pixel"] > 0
    assert done.trace["family"] == "inside"
    assert "doubt" not in done.trace
    assert mean_square(done.image, clean) < 0.5 * mean_square(rival.image, clean)


def test_the_wavelet_answers_where_the_prior_does_not_know_the_frame(foreign, prior):
    options = {"pixel_size": PIXEL_SIZE, "noise": "gaussian:0.1"}
    with pytest.warns(EmpriorWarning, match=r"does not know this frame: unseen data.*force"):
        done = emprior.denoise(foreign, prior=prior, **options)
    assert done.method == "pooled-wavelet"
    assert done.trace["advantage_nats_per_held_out_pixel"] < 0
    assert done.trace["family"] == "outside"
    assert done.trace["missed_share"] > 0.5
    assert "does not know" in done.trace["doubt"]
    assert "latent" not in done.trace
    rival = emprior.denoise(foreign, method="pooled-wavelet", **options)
    np.testing.assert_array_equal(done.image, rival.image)


def test_a_frame_that_the_prior_may_not_know_is_answered_with_a_warning(known, prior, monkeypatch):
    monkeypatch.setattr("emprior.family.Family.kind", "doubtful")
    options = {"pixel_size": PIXEL_SIZE, "noise": "gaussian:0.1", "prior": prior}
    with pytest.warns(EmpriorWarning, match="may not know this frame: unseen data.*compare"):
        done = emprior.denoise(known[0], **options)
    assert done.method == "prior"
    assert "may not know" in done.trace["doubt"]


def test_force_gives_the_priors_answer_but_says_what_it_is_worth(foreign, prior):
    options = {"pixel_size": PIXEL_SIZE, "noise": "gaussian:0.1", "prior": prior}
    with pytest.warns(EmpriorWarning, match="may be made up"):
        done = emprior.denoise(foreign, force=True, **options)
    assert done.method == "prior"
    assert "does not know" in done.trace["doubt"]
    assert len(done.trace["latent"][0]) > 4


@pytest.mark.parametrize(("frame", "kind"), [("known", "inside"), ("foreign", "outside")])
def test_a_check_says_whether_the_prior_knows_the_frame(frame, kind, prior, request):
    frame = request.getfixturevalue(frame)
    noisy = frame[0] if isinstance(frame, tuple) else frame
    options = {"noise": "gaussian:0.1", "prior": prior}
    found = emprior.check(noisy, noisy, pixel_size=PIXEL_SIZE, **options)
    assert found.family.kind == kind
    assert found.to_dict()["prior"]["reasons"] == list(found.family.reasons)
    assert found.other_pixel_size is None  # this prior sees nothing at first sight
    assert emprior.check(noisy, noisy, **options).family is None  # of unknown scale


@pytest.mark.parametrize("force", [False, True])
def test_pixels_too_coarse_for_atoms_are_not_searched_for_them(known, prior, force):
    with pytest.warns(EmpriorWarning, match="pixels of 5 Å are too coarse for atoms"):
        done = emprior.denoise(known[0], pixel_size=5, prior=prior, force=force)
    assert done.method == "pooled-wavelet"
    assert "5 Å" in done.trace["doubt"]


def test_without_a_pixel_size_the_prior_says_what_it_assumes(known, prior):
    with pytest.warns(EmpriorWarning) as caught:
        emprior.denoise(known[0], noise="gaussian:0.1", prior=prior)
    said = [str(warning.message) for warning in caught]
    assert sum("pixel size is not known: 0.0489 Å" in text for text in said) == 1


@pytest.mark.parametrize("method", ["prior", "wavelet", "pooled-nlm"])
def test_same_seed_same_bytes(known, prior, method):
    options = {"pixel_size": PIXEL_SIZE, "noise": "gaussian:0.1", "method": method, "seed": 7}
    if method == "prior":
        options["prior"] = prior
    first, second = (emprior.denoise(known[0], **options) for _ in range(2))
    assert first.image.tobytes() == second.image.tobytes()
    assert dict(first.trace) == dict(second.trace)


def test_the_seed_is_used(known, prior):
    options = {"pixel_size": PIXEL_SIZE, "noise": "gaussian:0.1", "prior": prior}
    one, two = (emprior.denoise(known[0], seed=seed, **options) for seed in (0, (0, 1)))
    assert one.trace["advantage_error"] != two.trace["advantage_error"]


# --------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"method": "wavlet"}, OptionError, ["'wavlet'", "try 'wavelet'"]),
        ({"noise": "poison"}, OptionError, ["'poison'", "gaussian:SIGMA"]),
        ({"noise": 0.1}, OptionError, ["type float", "emprior.noise"]),
        ({"seed": -1}, OptionError, ["seed of -1", "at least 0"]),
        ({"seed": "x"}, OptionError, ["seed of 'x'"]),
        ({"seed": 1.5}, OptionError, ["seed of 1.5"]),
        ({"pixel_size": 0}, OptionError, ["0 Å", "positive"]),
        ({"pixel_size": "0.1"}, OptionError, ["'0.1'", "a number"]),
        ({"prior": "gan"}, OptionError, ["'gan'", "'blur'"]),
        ({"depth": "deep"}, OptionError, ["'deep'", "encoder, inversion"]),
        ({"depth": "encoder"}, OptionError, ["'encoder'", "'blur'"]),
        ({"method": "prior", "prior": "gan", "depth": "encoder"}, OptionError, ["sees nothing"]),
        ({"search": "paper"}, OptionError, ["'paper'", "'blur'"]),
        ({"force": True}, OptionError, ["force", "'blur'"]),
        ({"method": "prior", "prior": None}, OptionError, ["NoneType"]),
        (
            {"method": "algorithm-2", "prior": "gan", "search": "papper"},
            OptionError,
            ["'papper'", "paper"],
        ),
        ({"noise": "poisson:0.1,offset=9"}, ImageError, ["below 9"]),
        ({"method": "prior", "prior": "no/such.safetensors"}, WeightsError, ["no/such"]),
    ],
)
def test_nonsense_is_explained(micrograph, options, kind, words):
    with pytest.raises(kind) as caught:
        emprior.denoise(micrograph, **{"method": "blur", **options})
    for word in (*words, "expected:", "why:", "do:"):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("option", "words"),
    [({"device": "tpu"}, ["'tpu'", "auto"]), ({"search": "papper"}, ["'papper'", "paper"])],
)
def test_nonsense_for_the_prior_is_explained(known, prior, option, words):
    with pytest.raises(OptionError) as caught:
        emprior.denoise(known[0], pixel_size=PIXEL_SIZE, prior=prior, **option)
    for word in words:
        assert word in str(caught.value)


def test_what_a_masked_array_masks_is_ignored(micrograph):
    mask = np.zeros(micrograph.shape, bool)
    mask[5:9, 3:20] = True
    pixels = np.where(mask, np.nan, micrograph.image)
    found, wanted = (
        emprior.denoise(frame, method="blur", noise="gaussian:0.1")
        for frame in (
            np.ma.masked_array(pixels, mask),
            Micrograph(np.where(mask, micrograph.image[0, 0], micrograph.image), ignored=mask),
        )
    )
    np.testing.assert_array_equal(found.image, wanted.image)
    assert found.trace == wanted.trace


@pytest.mark.parametrize("shape", [(0, 20), (20,), (3, 20, 20), (4, 4)])
def test_a_frame_has_two_axes_and_pixels(shape):
    with pytest.raises(ImageError, match=str(shape[0])):
        emprior.denoise(np.ones(shape), method="blur")


# ----------------------------------------------------------------------------------------- imports

_CLASSICAL = """
import sys, numpy, emprior
assert "torch" not in sys.modules and "rsciio" not in sys.modules, "import emprior"
image = numpy.random.default_rng(0).poisson(5.0, (48, 48))
for method in ("wavelet", "pooled-wavelet", "blur", "tv"):
    emprior.denoise(image, method=method)
assert "torch" not in sys.modules, "classical methods"
"""


def test_classical_methods_load_no_torch():
    subprocess.run([sys.executable, "-W", "error", "-c", _CLASSICAL], check=True)


def test_public_names_are_there():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in emprior.__all__:
            assert getattr(emprior, name) is not None
    assert set(emprior.__all__) == set(dir(emprior))
    with pytest.raises(AttributeError, match="denoize"):
        _ = emprior.denoize
