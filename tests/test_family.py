"""Inside, doubtful or outside: what a prior's answer says of a frame's kind."""

import json

import numpy as np
import pytest
from strategies import lattice

from emprior.evidence import Advantage
from emprior.family import KINDS, Family, missed_waves
from emprior.noise import ClippedPoisson, Gaussian, Poisson

PIXEL_SIZE = 0.1
NOISES = [Gaussian(0.3), Poisson(0.2), ClippedPoisson(0.5, 0.0, 0.5)]


def advantage(share, error):
    """Return an advantage of which unseen data confirm a share, with some error."""
    return Advantage(2 * share - 1, 2 * error, 1.0, -1.0)


@pytest.mark.parametrize(
    ("share", "error", "missed", "kind"),
    [
        (0.95, 0.05, 0.0, "inside"),
        (1.3, 0.05, 0.0, "inside"),
        (0.72, 0.04, 0.0, "doubtful"),
        (0.95, 0.2, 0.0, "outside"),  # too little is known
        (0.5, 0.01, 0.0, "outside"),
        (-0.4, 0.01, 0.0, "outside"),
        (0.95, 0.05, 0.3, "outside"),
        (np.nan, 0.05, 0.0, "outside"),
    ],
)
def test_the_kind_follows_from_what_is_confirmed_and_what_is_missed(share, error, missed, kind):
    assert Family(advantage(share, error), missed).kind == kind
    assert kind in KINDS


@pytest.mark.parametrize("doubt", [1.4, np.inf])
def test_what_the_prior_doubts_at_first_sight_is_not_inside(doubt):
    known, unknown = (Family(advantage(0.95, 0.05), 0.0, (), left) for left in (0.3, doubt))
    assert (known.kind, unknown.kind) == ("inside", "doubtful")
    assert len(known.reasons) == 1
    assert ("1.4 nats" if doubt == 1.4 else "all") in unknown.reasons[1]
    assert Family(advantage(0.5, 0.05), 0.0, (), doubt).kind == "outside"
    told = json.loads(json.dumps(unknown.to_dict(), allow_nan=False))["doubt_nats_per_column"]
    assert told == (1.4 if doubt == 1.4 else None)


def test_reasons_tell_the_numbers():
    said = Family(advantage(0.31, 0.04), 0.25, (2.05, 1.18)).reasons
    assert "31% ± 4%" in said[0]
    assert "2.05, 1.18 Å" in said[1]
    assert "25%" in said[1]
    assert len(Family(advantage(0.9, 0.04), 0.0).reasons) == 1


def test_an_answer_that_differs_in_nothing_is_no_evidence():
    family = Family(Advantage(0.0, 0.0, 0.0, 0.0), 0.0)
    assert family.kind == "outside"
    assert "differs in nothing" in family.reasons[0]
    assert (
        json.loads(json.dumps(family.to_dict(), allow_nan=False))["confirmed_share_error"] is None
    )


@pytest.mark.parametrize("noise", NOISES)
def test_a_lattice_that_the_image_lacks_is_missed_with_its_spacing(noise, rng):
    clean = lattice((250, 190), PIXEL_SIZE)
    flat = np.full(clean.shape, clean.mean())
    missed, spacings = missed_waves(noise.sample(clean, rng), flat, noise, PIXEL_SIZE)
    assert missed > 0.9
    power = np.abs(np.fft.rfft2(clean - clean.mean()))
    row, column = np.unravel_index(power.argmax(), power.shape)
    frequency = np.hypot(np.fft.fftfreq(250)[row], np.fft.rfftfreq(190)[column])
    assert any(spacing == pytest.approx(PIXEL_SIZE / frequency, rel=0.05) for spacing in spacings)


@pytest.mark.parametrize("noise", NOISES)
def test_nothing_is_missed_in_the_truth(noise, rng):
    clean = lattice((150, 190), PIXEL_SIZE)
    found = [
        missed_waves(noise.sample(clean, stream), clean, noise, PIXEL_SIZE)
        for stream in rng.spawn(50)
    ]
    assert sum(bool(spacings) for _, spacings in found) <= 1  # one in a thousand is allowed
    assert max(missed for missed, _ in found) < 0.2


def test_an_amorphous_film_has_no_lattice_to_miss(rng):
    rough = rng.standard_normal((150, 190))
    kernel = np.exp(-(np.hypot(np.fft.fftfreq(150)[:, None], np.fft.rfftfreq(190)) ** 2) * 150)
    film = 1 + 0.3 * np.fft.irfft2(np.fft.rfft2(rough) * kernel, rough.shape)
    noise = Gaussian(0.2)
    missed, _ = missed_waves(noise.sample(film, rng), np.ones_like(film), noise, PIXEL_SIZE)
    assert missed < 0.5


@pytest.mark.parametrize(
    ("shape", "pixel_size"), [((9, 12), 0.05), ((40, 30), 0.7), ((8, 8), 0.02)]
)
def test_frames_without_waves_to_look_for_miss_none(shape, pixel_size, rng):
    noise = Gaussian(1.0)
    flat = np.zeros(shape)
    assert missed_waves(noise.sample(flat, rng), flat, noise, pixel_size)[0] < 1.0
