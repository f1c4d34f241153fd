import dataclasses

import numpy as np
import pytest

from emprior.errors import ImageError, OptionError
from emprior.micrograph import Micrograph, check_image, check_pixel_size

RAMP = np.arange(80).reshape(8, 10)


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [
        (np.uint8, np.float32),
        (np.int16, np.float32),
        (np.uint16, np.float32),
        (np.float16, np.float32),
        (np.float32, np.float32),
        (np.int32, np.float64),
        (np.uint64, np.float64),
        (np.float64, np.float64),
        (">f4", np.float32),
        (">i2", np.float32),
    ],
)
def test_pixels_keep_their_values_in_a_type_that_holds_them(dtype, kept):
    micrograph = Micrograph(RAMP.astype(dtype), pixel_size=0.05)
    assert micrograph.image.dtype == kept
    assert micrograph.image.dtype.isnative
    np.testing.assert_array_equal(micrograph.image, RAMP)
    assert micrograph.shape == (8, 10)


def test_lists_and_booleans_are_images():
    assert check_image(RAMP.tolist()).dtype == np.float64
    assert set(np.unique(check_image(RAMP % 2 == 0))) == {0, 1}


def test_a_micrograph_is_a_value():
    micrograph = Micrograph(RAMP, pixel_size=1)
    assert micrograph.pixel_size == 1.0
    assert isinstance(micrograph.pixel_size, float)
    with pytest.raises(dataclasses.FrozenInstanceError):
        micrograph.pixel_size = 2


def with_pixel(value):
    image = RAMP.astype(float)
    image[3, 4] = value
    return image


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (RAMP + 1j, ["complex128", "abs(wave)**2"]),
        (np.full((8, 8), "a"), ["pixels of type <U1"]),
        (np.full((8, 8), None), ["object"]),
        (np.zeros((3, 8, 10)), ["(3, 8, 10)", "(H, W)"]),
        (np.zeros(50), ["(50,)"]),
        (3.0, ["()"]),
        (np.zeros((0, 10)), ["0 × 10"]),
        (np.zeros((7, 100)), ["7 × 100", "8 × 8"]),
        (with_pixel(np.nan), ["1 of 80 pixels are NaN"]),
        (with_pixel(-np.inf), ["1 of 80", "infinite"]),
        (np.full((9, 9), 5.0), ["constant", "5"]),
        (with_pixel(1e300), ["1e+300"]),
    ],
)
def test_pixels_that_cannot_be_denoised_are_explained(image, words):
    with pytest.raises(ImageError) as caught:
        Micrograph(image)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("bad", [0, -0.1, float("nan"), float("inf"), 1e9, "0.05", None, True, [1]])
def test_pixel_sizes_without_meaning_are_explained(bad):
    with pytest.raises(OptionError, match=r"pixel size of .*\n  expected: .*Å"):
        check_pixel_size(bad)


def test_an_unknown_pixel_size_is_none():
    assert Micrograph(RAMP).pixel_size is None
