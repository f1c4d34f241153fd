import laws
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from strategies import shapes

from emprior.grid import (
    blend,
    pad_to_multiple,
    pool,
    resample,
    resampling_matrix,
    stretch,
    tiles,
    unpool,
)


def wave(shape, at, rows, columns):
    """cos(πj r/H)·cos(πk c/W) at points (rows, columns) in pixels from the image's corner."""
    (j, k), (H, W) = at, shape
    return np.outer(np.cos(np.pi * j * rows / H), np.cos(np.pi * k * columns / W))


def centres(n):
    return np.arange(n) + 0.5


def test_matrix_at_the_samples_is_the_identity():
    np.testing.assert_allclose(resampling_matrix(11, centres(11)), np.eye(11), atol=1e-12)


@given(shapes(), st.integers(0, 7), st.integers(0, 7), st.floats(-3, 3), st.floats(0.3, 2.5))
def test_resampling_is_exact_for_waves_in_the_band(shape, j, k, shift, pitch):
    image = wave(shape, (j, k), *map(centres, shape))
    rows, columns = shift + pitch * np.arange(9), 1.7 + pitch * np.arange(6)
    matrices = (resampling_matrix(n, c) for n, c in zip(shape, (rows, columns), strict=True))
    np.testing.assert_allclose(
        resample(image, *matrices), wave(shape, (j, k), rows, columns), atol=1e-10
    )


@pytest.mark.parametrize("width", [0.4, 1.0, 3.7])
def test_width_averages_over_an_interval(width, rng):
    samples = rng.standard_normal(9)
    for centre in (0.3, 4.5, 7.9):
        integral, _ = quad(
            lambda c: resampling_matrix(9, [c])[0] @ samples,
            centre - width / 2,
            centre + width / 2,
        )
        averaged = resampling_matrix(9, [centre], width)[0] @ samples
        np.testing.assert_allclose(averaged, integral / width, rtol=1e-9)


@pytest.mark.parametrize("shape", [(9, 23), (20, 14), (31, 40)])
def test_stretching_keeps_the_waves_that_both_grids_carry(shape):
    def wave(H, W):
        y, x = np.meshgrid((np.arange(H) + 0.5) / H, (np.arange(W) + 0.5) / W, indexing="ij")
        return 0.4 + np.cos(np.pi * 3 * y) * np.cos(np.pi * 8 * x)

    stretched = stretch(wave(20, 23), shape)
    np.testing.assert_allclose(stretched, wave(*shape), atol=1e-12)
    np.testing.assert_allclose(stretch(stretched, (20, 23)), wave(20, 23), atol=1e-12)


def test_stretching_keeps_noise_white(rng):
    small = np.stack([stretch(rng.standard_normal((20, 30)), (14, 21)) for _ in range(800)])
    values = small.reshape(len(small), -1)
    covariance = values.T @ values / len(values)
    np.testing.assert_allclose(covariance, 0.49 * np.eye(14 * 21), atol=5.5 * 0.49 / 800**0.5 * 1.5)


def test_resampling_keeps_constants_and_leading_axes():
    matrix = resampling_matrix(10, np.linspace(-2, 12, 7), width=2.0)
    images = np.full((3, 2, 10, 10), 0.45)
    resampled = resample(images, matrix, matrix)
    assert resampled.shape == (3, 2, 7, 7)
    np.testing.assert_allclose(resampled, 0.45)


def test_resampling_is_differentiable():
    import torch

    rows, columns = (
        torch.tensor(resampling_matrix(n, centres(n)[:-1] + 0.3, width=0.5)) for n in (5, 6)
    )
    image = torch.rand(2, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: resample(x, rows, columns), image)


def test_pool_takes_means_of_whole_blocks(rng):
    image = rng.standard_normal((2, 7, 9))
    pooled = pool(image, 3)
    assert pooled.shape == (2, 2, 3)
    for r in range(2):
        for c in range(3):
            block = image[1, 3 * r : 3 * r + 3, 3 * c : 3 * c + 3]
            np.testing.assert_allclose(pooled[1, r, c], block.mean())


def test_pool_takes_tensors(rng):
    import torch

    image = rng.standard_normal((8, 6))
    np.testing.assert_allclose(pool(torch.tensor(image), 2).numpy(), pool(image, 2))


@given(shapes(2, 30), st.integers(1, 8))
def test_padding_reaches_the_next_multiple_and_keeps_the_image(shape, factor):
    image = np.arange(np.prod(shape), dtype=float).reshape(shape)
    if min(shape) < factor:
        return
    padded = pad_to_multiple(image, factor)
    for n, m in zip(shape, padded.shape, strict=True):
        assert m % factor == 0
        assert n <= m < n + factor
    np.testing.assert_array_equal(padded[: shape[0], : shape[1]], image)


@given(shapes(3, 12), st.sampled_from([1, 2, 3, 4, 8]))
def test_pool_undoes_unpool(shape, factor):
    pooled = np.random.default_rng(0).standard_normal(shape)
    fine = unpool(pooled, factor, (shape[0] * factor, shape[1] * factor))
    np.testing.assert_allclose(pool(fine, factor), pooled, atol=1e-9)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_unpool_undoes_pool_within_the_band(factor):
    shape = (6 * factor, 9 * factor)
    image = 0.45 + sum(
        wave(shape, at, *map(centres, shape)) for at in ((1, 0), (5, 3), (2, 8), (5, 8))
    )
    np.testing.assert_allclose(unpool(pool(image, factor), factor, shape), image, atol=1e-10)


def test_unpool_amplifies_noise_by_less_than_two_and_a_half(rng):
    noise = rng.standard_normal((64, 64))
    assert np.std(unpool(noise, 4, (256, 256))) < 2.5


@given(
    shapes(1, 60),
    st.tuples(st.integers(4, 20), st.integers(4, 20)),
    st.integers(0, 3),
)
def test_tiles_cover_and_blending_equal_images_reproduces_them(shape, size, overlap):
    windows = tiles(shape, size, overlap)
    laws.windows_cover(shape, windows, overlap)
    image = np.random.default_rng(1).standard_normal(shape)
    blended = blend(shape, windows, [image[window] for window in windows])
    np.testing.assert_allclose(blended, image, atol=1e-12)


def test_all_tiles_of_a_larger_image_have_the_asked_size():
    for window in tiles((100, 130), (32, 48), overlap=8):
        assert (
            window.rows.stop - window.rows.start,
            window.columns.stop - window.columns.start,
        ) == (
            32,
            48,
        )


def test_blending_has_no_seam():
    """Two constant windows that differ join without a step larger than their weights' slope."""
    windows = tiles((16, 48), (16, 32), overlap=16)
    joined = blend((16, 48), windows, [np.full((16, 32), value) for value in (0.0, 1.0)])
    assert np.abs(np.diff(joined, axis=1)).max() < 0.2
    assert joined[0, 0] == 0
    assert joined[0, -1] == 1
