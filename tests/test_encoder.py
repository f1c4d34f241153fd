"""The encoder of columns: its frames, its bounds, its file; what it sees is another matter."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
import torch
from scenes import ELEMENTS, PIXEL_SIZE, factors, toy_columns, toy_encoder

from emprior import weights
from emprior.errors import OptionError, WeightsError
from emprior.generators import ColumnEncoder
from emprior.generators.encoder import SPREAD
from emprior.generators.guess import OPTICS, RING, Guess, canvas, log_deviation
from emprior.generators.peaks import peaks, strongest
from emprior.inversion import GaussNewton, GivenStart, LatentProblem, Search, Stage, View, invert
from emprior.noise import Poisson
from emprior.stored import Stored

DESCRIPTION = {
    "type": "columns",
    "pixel_size": 0.2,
    "field": 32,
    "elements": list(ELEMENTS),
    "widths": [8, 8, 8],
    "slices": 2,
}


@pytest.fixture(scope="module")
def encoder() -> ColumnEncoder:
    return toy_encoder()


def telling(encoder: ColumnEncoder, maps: torch.Tensor, **optics: float) -> ColumnEncoder:
    """Return a copy that tells these maps and optics (in their scales) whatever it is shown."""
    copy = Stored.from_dict(encoder.to_dict())
    copy.factors.copy_(encoder.factors)
    numbers = torch.tensor([[optics.get(name, 0.0) for name in OPTICS], [0.0] * len(OPTICS)])

    class Fixed(torch.nn.Module):
        def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            assert inputs.shape[-2:] == maps.shape[-2:]
            return maps[None], numbers.reshape(1, -1)

    copy.network = Fixed()
    return copy


def guessed(encoder: ColumnEncoder, frame: torch.Tensor, deviation: float = 0.1) -> Guess:
    return encoder.guess(encoder.look(frame, deviation))


def bumps(shape, points, elements=3) -> torch.Tensor:
    """Draw (row, column, element, height) as the encoder is taught to: Gaussians of `SPREAD`."""
    row, column = torch.arange(shape[0])[:, None], torch.arange(shape[1])
    maps = torch.zeros(elements, *shape)
    for r, c, e, height in points:
        square = (row - r) ** 2 + (column - c) ** 2
        maps[e] += height * torch.exp(-square / (2 * SPREAD**2))
    return maps


# frames ----------------------------------------------------------------------------------------


def test_maps_and_optics_have_the_shape_of_the_frame(encoder, rng):
    frame = torch.from_numpy(rng.normal(0.45, 0.1, (2, 40, 56))).float()
    maps, optics = encoder(frame, torch.ones_like(frame), torch.tensor([0.1, 0.2]))
    assert maps.shape == (2, 6, 40, 56)
    assert optics.shape == (2, 2, 8)
    alone = encoder(frame[:1], torch.ones_like(frame[:1]), torch.tensor([0.1]))
    torch.testing.assert_close(maps[:1], alone[0], atol=1e-5, rtol=1e-4)
    assert log_deviation(optics * 1e3).abs().max() <= 4


def test_what_is_not_seen_does_not_count(encoder, rng):
    frame = torch.from_numpy(rng.normal(0.45, 0.1, (1, 40, 56))).float()
    seen = torch.zeros_like(frame)
    seen[:, 8:32, 8:40] = 1
    other = torch.where(seen > 0, frame, 1e3)
    for a, b in zip(
        encoder(frame, seen, torch.tensor([0.1])),
        encoder(other, seen, torch.tensor([0.1])),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("shape", [(24, 40), (48, 48), (2, 3), (27, 41), (1, 48)])
def test_the_canvas_has_a_ring_and_sides_of_multiples_of_eight(encoder, shape):
    H, W = canvas(*shape)
    assert H % 8 == W % 8 == 0
    assert RING * 2 <= H - shape[0] < RING * 2 + 8
    assert RING * 2 <= W - shape[1] < RING * 2 + 8


@pytest.mark.parametrize("shape", [(24, 40), (27, 41), (2, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("columns", [False, True])
def test_guess_generator_search_work_for_any_frame(encoder, rng, shape, dtype, columns):
    H, W = canvas(*shape)
    points = [(H / 2 - 3, W / 2, 0, 0.9), (H / 2 + 6, W / 2 + 4, 1, 0.6)] if columns else []
    maps = torch.cat([bumps((H, W), points), 0.8 * bumps((H, W), points)])
    guess = guessed(telling(encoder, maps), torch.full(shape, 0.45, dtype=dtype))
    assert len(guess.scene.rows) == len(points) == len(guess.probability)
    generator = encoder.generator(guess.scene, *shape)
    assert generator.image_shape == (H, W)
    noise = Poisson(0.05)
    noisy = torch.from_numpy(noise.sample(np.full((1, *shape), 0.45, np.float32), rng))
    view = View.centred((H, W), shape, 1.0)
    problem = LatentProblem(generator, noise, noisy, view=view)
    start = GivenStart(torch.zeros(1, 1, generator.latent_dim))
    found = invert(problem, Search(start, (Stage(GaussNewton(iterations=3), 2),)), rng)
    assert bool(torch.isfinite(found.image).all())
    assert found.image.shape == (1, *shape)


def test_an_untrained_encoder_guesses_something_drawable(rng):
    sizes = []
    for seed, contrast in [(0, 0.0), (0, 1.0), (1, 1.0), (2, 10.0)]:
        encoder = toy_encoder(seed, contrast)
        for frame in (
            torch.full((24, 40), 0.45),
            torch.from_numpy(rng.normal(0.45, 0.3, (33, 20))),
            torch.full((16, 16), 1e4),
        ):
            guess = guessed(encoder, frame, 0.3)
            generator = encoder.generator(guess.scene, *frame.shape)
            image = generator(torch.zeros(1, generator.latent_dim))
            assert bool(torch.isfinite(image).all())
            sizes.append(len(guess.scene.rows))
            assert 0.5 <= guess.unit <= 2
            assert bool(((guess.probability >= 0) & (guess.probability <= 1)).all())
    assert min(sizes) == 0
    assert max(sizes) > 10


# the guess -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(24, 40), (25, 39)])
def test_the_guess_is_what_the_network_tells(encoder, shape):
    H, W = canvas(*shape)
    points = [(20.3, 30.6, 0, 1.0), (40.0, 25.2, 1, 0.8), (33.7, 50.4, 2, 1.0)]
    atoms = [(r, c, e, h * share) for (r, c, e, h), share in zip(points, (0.5, 1, 1), strict=True)]
    maps = torch.cat([bumps((H, W), points), bumps((H, W), atoms)])
    optics = {"defocus": 0.5, "tilt_rows": 1.0, "tilt_columns": -2.0, "thickness": 1.0}
    told = telling(encoder, maps, **optics, centre=-1.0, unit=0.5, origin=-0.3)
    scene, probability, unit, origin, tilts = guessed(told, torch.full(shape, 0.45))
    assert scene.element.tolist() == [0, 1, 2]
    # The frame stands in the middle of the grid: odd margins put it half a pixel further.
    half = torch.tensor([n % 2 / 2 for n in shape])
    found = torch.stack([scene.rows, scene.columns], 1) - half
    expected = torch.tensor([point[:2] for point in points])
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0)
    assert float(scene.counts[0]) == pytest.approx(3.0, rel=0.05)  # half of a typical column
    assert float(scene.counts[1]) == pytest.approx(0.88, rel=0.05)  # 1.1 times its probability
    assert float(scene.counts[2]) == pytest.approx(1.0, rel=0.05)
    torch.testing.assert_close(probability, torch.tensor([1.0, 0.8, 1.0]), atol=0.06, rtol=0)
    assert float(scene.defocus) == pytest.approx(100 + 30)
    assert scene.tilt.tolist() == pytest.approx([0.035, -0.07])  # rows, columns
    assert sorted(tilts.abs().tolist()) == [pytest.approx([0.035, 0.07])] * 4
    assert float(scene.thickness) == pytest.approx(45 + 11)
    assert float(scene.centre) == pytest.approx(0.4 * 56)
    assert float(scene.blur) == pytest.approx(0.55)
    assert (unit, origin) == (pytest.approx(1.05), pytest.approx(-0.01))


def test_absurd_optics_are_kept_where_waves_can_be_propagated(encoder):
    H, W = canvas(24, 24)
    names = ("thickness", "blur", "centre", "unit")
    for value in (-1e3, 1e3):
        told = telling(encoder, torch.zeros(6, H, W), **dict.fromkeys(names, value))
        guess = guessed(told, torch.full((24, 24), 0.45))
        assert float(guess.scene.thickness) >= 15
        assert float(guess.scene.blur) >= 0.3
        assert 0.1 <= float(guess.scene.centre / guess.scene.thickness) <= 0.9
        assert guess.unit == (2.0 if value > 0 else 0.5)


def test_columns_of_a_crystal_are_put_on_their_lattice(encoder, rng):
    H, W = canvas(48, 48)
    sites = [(18 + 9.3 * i + 0.4 * j, 16 + 0.3 * i + 10.1 * j) for i in range(5) for j in range(5)]
    jitter = rng.normal(0, 0.4, (len(sites), 2))
    points = [(r + dr, c + dc, 1, 1.0) for (r, c), (dr, dc) in zip(sites, jitter, strict=True)]
    maps = torch.cat([bumps((H, W), points), bumps((H, W), points)])
    scene = guessed(telling(encoder, maps), torch.full((48, 48), 0.45)).scene
    assert len(scene.rows) == len(sites)
    found = np.stack([scene.rows, scene.columns], 1)
    apart = np.linalg.norm(found[:, None] - np.array(sites), axis=-1)
    nearest = apart.min(1)
    assert np.sqrt(np.mean(nearest**2)) < 0.6 * np.sqrt(np.mean((jitter**2).sum(1)))
    assert bool((scene.position_sd < 0.1).all())
    # Every other one along both vectors is of one layer.
    alike = scene.layer[:, None] == scene.layer
    along, across = np.unravel_index(apart.argmin(1), (5, 5))
    np.testing.assert_array_equal(alike, np.subtract.outer(along + across, along + across) % 2 == 0)
    # A few columns are no crystal: they stay where they were seen, and may move further.
    maps = torch.cat([bumps((H, W), points[:3]), bumps((H, W), points[:3])])
    few = guessed(telling(encoder, maps), torch.full((48, 48), 0.45)).scene
    np.testing.assert_allclose(few.rows, [point[0] for point in points[:3]], atol=0.05)
    assert bool((few.position_sd > 0.1).all())
    assert bool((few.layer == -1).all())


# peaks -----------------------------------------------------------------------------------------


def test_peaks_finds_planted_bumps_and_their_elements(rng):
    points = []
    for e in range(3):
        for i in range(4):
            for j in range(5):
                r, c = 6 + 9 * i + rng.uniform(-0.5, 0.5), 7 + 11 * j + rng.uniform(-0.5, 0.5)
                points.append((r, c, e, rng.uniform(0.5, 1.2)))
    maps = bumps((40, 64), points) + 1e-3 * torch.from_numpy(rng.standard_normal((3, 40, 64)))
    rows, columns, element, height = peaks(maps.float(), 0.3)
    assert len(rows) == len(points)
    for r, c, e, h in points:
        own = torch.nonzero(element == e)[:, 0]
        distance = torch.hypot(rows[own] - r, columns[own] - c)
        assert float(distance.min()) < 0.05
        assert float(height[own[distance.argmin()]]) == pytest.approx(h, rel=0.15)


def test_peaks_below_the_threshold_or_at_the_rim_are_no_columns():
    maps = bumps((24, 32), [(8, 9, 0, 0.3), (0, 20, 1, 1.0), (23, 20, 1, 1.0), (12, 16, 2, 0.5)])
    rows, columns, element, _ = peaks(maps, 0.35)
    assert [*zip(rows.tolist(), columns.tolist(), element.tolist(), strict=True)] == [(12, 16, 2)]
    assert len(peaks(torch.zeros(3, 24, 32), 0.35)[0]) == 0


# descriptions and files ------------------------------------------------------------------------


def test_description_rebuilds_the_architecture(encoder, rng):
    assert encoder.to_dict() == DESCRIPTION
    assert json.loads(json.dumps(encoder.to_dict())) == DESCRIPTION
    again = Stored.from_dict(DESCRIPTION)
    again.load_state_dict(encoder.state_dict())
    frame = torch.from_numpy(rng.normal(0.45, 0.1, (1, 16, 24))).float()
    given = frame, torch.ones_like(frame), torch.tensor([0.1])
    for a, b in zip(again(*given), encoder(*given), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_files_keep_the_encoder(encoder, tmp_path, precision):
    path = tmp_path / "columns.safetensors"
    weights.save(path, encoder, weights.Card(text="A toy.", images=3), precision=precision)
    again, card = weights.load(path)
    assert isinstance(again, ColumnEncoder)
    assert card.architecture == DESCRIPTION
    rtol = 0 if precision == "float32" else 1e-3
    for name, tensor in encoder.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor, rtol=rtol, atol=1e-6)
    torch.testing.assert_close(again.factors, factors(), rtol=rtol, atol=1e-6)
    assert "columns (" in weights.describe(path)
    assert not any(p.requires_grad for p in again.parameters())


def element(**changes: object) -> list[dict[str, object]]:
    return [{**ELEMENTS[0], **changes}]


@pytest.mark.parametrize(
    "change",
    [
        {"field": 0},
        {"field": 50},
        {"field": 8192},
        {"field": 48.0},
        {"field": "48"},
        {"slices": 0},
        {"slices": 10**9},
        {"slices": True},
        {"widths": [8, 8]},
        {"widths": [8, 8, 10**7]},
        {"widths": [8, 8, 0]},
        {"widths": 8},
        {"widths": None},
        {"elements": []},
        {"elements": None},
        {"elements": "Pt"},
        {"elements": 10**4 * [1]},
        {"elements": [78]},
        {"elements": [{"number": 78}]},
        {"elements": element(number="Pt")},
        {"elements": element(number=0)},
        {"elements": element(spacing="wide")},
        {"elements": element(spacing=float("nan"))},
        {"elements": element(spacing=0.0)},
        {"elements": element(typical=-1)},
        {"elements": element(typical=[1])},
        {"elements": element(through=1)},
        {"elements": element(colour="red")},
        {"pixel_size": 0.0},
        {"pixel_size": "0.2"},
    ],
    ids=lambda change: str(change)[:40],
)
def test_senseless_descriptions_are_refused_before_memory_is_taken(change):
    tracemalloc.start()
    try:
        with pytest.raises(OptionError) as caught:
            Stored.from_dict({**DESCRIPTION, **change})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 50e6
    text = str(caught.value)
    assert all(part in text for part in ("expected:", "why:", "do:"))
    assert len(text) < 1500
    if "pixel_size" not in change:
        name, value = next(iter(change.items()))
        assert name.rstrip("s") in text
        assert str(value)[:20] in text


@pytest.mark.parametrize("missing", ["field", "elements", "widths"])
def test_incomplete_descriptions_are_refused(missing):
    with pytest.raises(OptionError, match=f"missing a required.*{missing}"):
        Stored.from_dict({k: v for k, v in DESCRIPTION.items() if k != missing})


@pytest.mark.parametrize(
    ("change", "words"),
    [({"widths": [8, 8, 16]}, "do not fit"), ({"widths": [8, 8, 10**8]}, "widths")],
)
def test_files_whose_card_lies_are_refused(tmp_path, change, words):
    path = toy_columns(tmp_path / "columns.safetensors")
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    card = json.loads(header["__metadata__"]["card"])
    card["architecture"].update(change)
    header["__metadata__"]["card"] = json.dumps(card)
    changed = json.dumps(header).encode()
    path.write_bytes(len(changed).to_bytes(8, "little") + changed + content[8 + length :])
    with pytest.raises(WeightsError, match=words):
        weights.load(path)


def test_pixel_size_of_the_toy_is_that_of_the_scenes(encoder):
    assert encoder.pixel_size == PIXEL_SIZE


def test_a_frame_without_noise_is_seen_like_one_with_hardly_any(encoder, rng):
    frame = torch.from_numpy(rng.normal(0.45, 0.05, (24, 20)))
    none, some = (guessed(encoder, frame, deviation) for deviation in (0.0, 0.01))
    torch.testing.assert_close(none.scene.rows, some.scene.rows)
    torch.testing.assert_close(none.scene.defocus, some.scene.defocus)


def test_of_peaks_of_one_element_too_near_each_other_the_strongest_stays():
    points = torch.tensor([[0.0, 0.0], [0.0, 3.0], [0.0, 6.0], [0.0, 3.0], [9.0, 9.0]])
    element = torch.tensor([0, 0, 0, 1, 0])
    height = torch.tensor([0.5, 0.9, 0.6, 0.1, 0.2])
    kept = strongest(points, element, height, torch.full((5,), 4.0))
    assert kept.tolist() == [1, 3, 4]  # what a dropped peak stood near to is not dropped for it
    chain = strongest(points[:3], element[:3], torch.tensor([0.9, 0.5, 0.6]), torch.full((3,), 4.0))
    assert chain.tolist() == [0, 2]
