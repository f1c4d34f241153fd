"""Stacks of images give true windows, in floating point between 0 and 1."""

import numpy as np
import pytest

from emprior.errors import OptionError
from emprior.stacks import Stack


@pytest.fixture
def stack(rng):
    values = rng.integers(0, 256, (7, 3, 11, 15)).astype(np.uint8)
    return Stack(values, (0, 255), 1.0, "noise")


def test_windows_are_parts_of_the_images(stack):
    crops = stack.crops(60, (6, 9), np.random.default_rng(4))
    assert (crops.images.shape, crops.images.dtype) == ((60, 3, 6, 9), np.float32)
    for image, i, (row, column) in zip(crops.images, crops.index, crops.corner, strict=True):
        assert np.array_equal(image, stack.image(i)[:, row : row + 6, column : column + 9])
    assert set(crops.index) == set(range(7))
    assert set(crops.corner[:, 0]) == set(range(6))
    assert set(crops.corner[:, 1]) == set(range(7))
    again = stack.crops(60, (6, 9), np.random.default_rng(4))
    assert np.array_equal(again.images, crops.images)
    with pytest.raises(OptionError, match=r"crops of 6 × 16 pixels from images of 11 × 15"):
        stack.crops(1, (6, 16), np.random.default_rng(0))


def test_limits_become_0_and_1(rng):
    values = rng.normal(300, 80, (2, 1, 5, 8)).astype(np.float32)
    stack = Stack(values, (100.0, 500.0), 0.2, "noise")
    np.testing.assert_allclose(stack.image(1), (values[1] - 100) / 400, rtol=1e-5)


def test_hashes_tell_images_apart(stack):
    same = Stack(stack.values.copy(), stack.limits, 2.0, "other name")
    assert same.hash == stack.hash
    other = stack.values.copy()
    other[-1, -1, -1, -1] ^= 1
    assert Stack(other, stack.limits, 1.0, "noise").hash != stack.hash
    assert Stack(stack.values, (0, 254), 1.0, "noise").hash != stack.hash


@pytest.mark.parametrize(("fraction", "held"), [(0.01, 1), (0.3, 2), (0.99, 6)])
def test_a_split_has_every_image_in_one_part(stack, fraction, held):
    first, second = stack.split(fraction, np.random.default_rng(2))
    assert (len(first), len(second)) == (7 - held, held)
    both = sorted(image.tobytes() for part in (first, second) for image in part.values)
    assert both == sorted(image.tobytes() for image in stack.values)
    again = stack.split(fraction, np.random.default_rng(2))
    assert [part.hash for part in again] == [first.hash, second.hash]


def test_a_split_that_leaves_nothing_is_refused(stack):
    for images, fraction in ((stack.subset([0]), 0.5), (stack, 0.0), (stack, 1.0)):
        with pytest.raises(OptionError, match="a split of"):
            images.split(fraction, np.random.default_rng(2))


def test_subsets_and_titles(stack):
    part = stack.subset([4, 2])
    assert np.array_equal(part.image(0), stack.image(4))
    assert (len(part), part.title) == (2, "noise, 2 images")
    assert stack.subset([0]).title == "noise, 1 image"
    assert part.hash != stack.hash
