"""Frames that do not stand as the encoder has learnt them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scenes import toy_encoder
from test_encoder import bumps, telling

from emprior.demo import example
from emprior.denoisers.prior import Prior
from emprior.generators import ColumnEncoder
from emprior.generators.guess import canvas
from emprior.generators.turning import clearest_turn, turned, turning
from emprior.metrics import psnr
from emprior.micrograph import Micrograph
from emprior.noise import Poisson

ANGLES = [0.0, 35.0, 90.0, 180.0, 231.5, 270.0]


def spot(shape, at) -> torch.Tensor:
    return bumps(shape, [(*at, 0, 1.0)], elements=1)[0].double()


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("shape", [(30, 44), (31, 40)])
def test_what_is_turned_stands_where_the_matrix_puts_it(shape, angle):
    at = np.array([11.0, 30.0])
    image, seen = turned(spot(shape, at), angle)
    middle = (np.array(shape) - 1) / 2
    # Steps in the turned frame are taken back to steps in the frame by the matrix.
    step = np.linalg.inv(turning(angle).numpy()) @ (at - middle)
    expected = (np.array(image.shape) - 1) / 2 + step
    total = image.sum()
    found = [
        float((image * torch.arange(n).reshape(s)).sum() / total)
        for n, s in zip(image.shape, [(-1, 1), (1, -1)], strict=True)
    ]
    np.testing.assert_allclose(found, expected, atol=0.02)
    assert float(seen.sum()) == pytest.approx(math.prod(shape), rel=0.03)
    assert float(total) == pytest.approx(float(spot(shape, at).sum()), rel=1e-3)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_are_exact(rng, quarters):
    frame = torch.from_numpy(rng.normal(size=(12, 17)))
    image, seen = turned(frame, 90.0 * quarters)
    np.testing.assert_allclose(image, np.rot90(frame.numpy(), -quarters), atol=1e-12)
    assert bool((seen == 1).all())


@pytest.mark.parametrize("wanted", [0.0, 37.0, 90.0, 120.0, 163.0])
def test_the_clearest_turn_wins(wanted):
    found = clearest_turn(lambda turn: 1.3 - math.cos(math.radians(2 * (turn - wanted))))
    assert found == pytest.approx(wanted, abs=3)


def test_without_a_reason_nothing_is_turned():
    assert clearest_turn(lambda turn: math.inf) == clearest_turn(lambda turn: 0.2) == 0.0


class Watching(ColumnEncoder):
    """Sees, at each turn, as many columns as it is told to, each as surely."""

    def __init__(self, shows):
        super().__init__(**toy_encoder().arguments())
        self.shows, self.asked = shows, []

    def look(self, frame, deviation, turn=0.0, shape=None, ring=16):
        look = super().look(frame, deviation, turn, shape, ring)
        self.asked.append((round(turn), shape is None))
        H, W = look.maps.shape[1:]
        number, height = self.shows(turn)
        at = [(8.0 + 8 * (i // 6), 8.0 + 8 * (i % 6), 0, height) for i in range(number)]
        return look._replace(maps=bumps((H, W), at), seen=torch.ones(H, W))


def test_little_doubt_needs_no_turning():
    encoder = Watching(lambda turn: (12, 0.95))
    look, doubt = encoder.clearest(torch.full((64, 56), 0.45), 0.1)
    assert (look.turn, encoder.asked) == (0, [(0, True)])
    assert doubt == encoder.doubt(look) < 0.5


@pytest.mark.parametrize(("seen", "doubt"), [(12, 0.21), (1, math.inf)])
def test_a_frame_is_not_turned_to_where_nothing_is_seen(seen, doubt):
    encoder = Watching(lambda turn: (seen if turn == 0 else 1, 0.95))
    look, left = encoder.clearest(torch.full((64, 56), 0.45), 0.1)
    assert (look.turn, left) == (0, pytest.approx(doubt, abs=0.01))


def test_a_turn_that_shows_more_columns_wins_over_one_that_shows_few_a_little_more_surely():
    encoder = Watching(lambda turn: (24, 0.70) if abs(turn - 105) < 10 else (8, 0.72))
    frame = torch.full((64, 56), 0.45)
    look, doubt = encoder.clearest(frame, 0.1)
    assert look.turn == pytest.approx(105, abs=5)
    assert doubt == encoder.doubt(look)
    assert encoder.asked[-1] == (round(look.turn), True)
    # Half a turn is none.
    assert max(turn for turn, _ in encoder.asked) < 180


def test_a_turn_that_shows_hardly_more_is_not_preferred_to_the_frame_as_it_is():
    encoder = Watching(lambda turn: (24, 0.71 if abs(turn - 105) < 10 else 0.70))
    look, _ = encoder.clearest(torch.full((64, 56), 0.45), 0.1)
    assert look.turn == 0
    assert (105, True) in encoder.asked


def test_in_a_hurry_nothing_is_turned():
    encoder = Watching(lambda turn: (12, 0.95 if turn == 90 else 0.7))
    look, _ = encoder.clearest(torch.full((64, 56), 0.45), 0.1, thorough=False)
    assert (look.turn, encoder.asked) == (0, [(0, True)])


@pytest.mark.parametrize("angle", [90.0, 180.0, 143.0])
def test_a_scene_is_told_as_the_frame_stands(angle):
    encoder = toy_encoder()
    frame = torch.full((24, 40), 0.45)
    view, _ = turned(frame, angle)
    H, W = canvas(*view.shape)
    at = [(H / 2 - 3.2, W / 2 + 8.1, 0, 0.9), (H / 2 + 6, W / 2 - 5, 1, 0.9)]
    maps = torch.cat([bumps((H, W), at), bumps((H, W), at)])
    told = telling(encoder, maps, tilt_rows=1.0, tilt_columns=-2.0)
    guess = told.guess(told.look(frame, 0.1, angle))
    first = [(N - n) // 2 + (n - 1) / 2 for N, n in zip((H, W), view.shape, strict=True)]
    steps = torch.tensor([point[:2] for point in at]) - torch.tensor(first)
    sides = torch.tensor(canvas(24, 40))
    expected = steps @ turning(angle).float().T + (sides - 1) / 2
    found = torch.stack([guess.scene.rows, guess.scene.columns], 1)
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0)
    tilt = turning(angle) @ torch.tensor([0.035, -0.07], dtype=torch.float64)
    torch.testing.assert_close(guess.scene.tilt.double(), tilt, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(guess.tilts.norm(dim=1), guess.tilts.norm(dim=1)[:1].expand(4))


@pytest.mark.parametrize("turn", [90, 180])
def test_the_shipped_prior_knows_its_specimen_at_any_turn(turn):
    shown, noise = example(), Poisson(0.1)
    clean = np.rot90(shown.truth, turn // 90).copy()
    noisy = noise.sample(clean, np.random.default_rng(1)).astype(np.float32)
    frame = Micrograph(noisy, shown.noisy.pixel_size)
    answer, _ = Prior(depth="inversion").fit(frame, noise, np.random.default_rng(0))
    assert psnr(answer.image, clean, data_range=1) > 40
