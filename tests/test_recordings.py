"""Files of frames become training data on their own pixels."""

import numpy as np
import pytest

from emprior import write
from emprior.errors import FileError, ImageError, OptionError
from emprior.io.signal import Signal
from emprior.recordings import open_recording


@pytest.fixture
def frames(rng):
    return rng.integers(3, 200, (4, 23, 31)).astype(np.uint8)


def test_frames_are_cut_without_rescaling(frames, tmp_path):
    np.save(tmp_path / "movie.npy", frames)
    movie = open_recording(tmp_path / "movie.npy", pixel_size=0.3)
    assert (len(movie), movie.channels, movie.shape) == (4, 1, (23, 31))
    assert (movie.pixel_size, movie.title) == (0.3, "movie, 4 images")
    low, high = frames.min(), frames.max()
    crops = movie.crops(20, (16, 16), np.random.default_rng(0))
    for image, i, (row, column) in zip(crops.images, crops.index, crops.corner, strict=True):
        expected = frames[i, row : row + 16, column : column + 16]
        assert np.array_equal(np.rint(image[0] * (high - low) + low), expected)
    assert len(set(crops.index)) == 4


@pytest.mark.parametrize("suffix", ["tif", "mrc", "hspy"])
def test_the_scale_comes_from_the_file(frames, tmp_path, suffix):
    path = tmp_path / f"movie.{suffix}"
    write(path, Signal.from_array(frames, 0.25))
    movie = open_recording(path, limits=(0, 255))
    assert movie.pixel_size == pytest.approx(0.25)
    np.testing.assert_allclose(movie.image(2)[0], frames[2] / 255, rtol=1e-6)


def test_one_image_is_a_movie_of_one_frame(frames, tmp_path):
    np.save(tmp_path / "single.npy", frames[0])
    assert len(open_recording(tmp_path / "single.npy", pixel_size=1.0)) == 1


def test_what_cannot_be_trained_on_is_said(frames, tmp_path):
    path = tmp_path / "movie.npy"
    with pytest.raises(FileError):
        open_recording(path, pixel_size=0.3)
    np.save(path, frames)
    with pytest.raises(OptionError, match="does not say its pixel size"):
        open_recording(path)
    with pytest.raises(OptionError, match="pixel size of -1"):
        open_recording(path, pixel_size=-1)
    with pytest.raises(OptionError, match="from 9 to 9"):
        open_recording(path, pixel_size=0.3, limits=(9, 9))
    np.save(path, np.full((2, 9, 9), 7.0))
    with pytest.raises(ImageError, match="from 7 to 7"):
        open_recording(path, pixel_size=0.3)
    np.save(path, np.where(frames == frames[1, 2, 3], np.nan, frames))
    with pytest.raises(ImageError, match="not all finite"):
        open_recording(path, pixel_size=0.3)
