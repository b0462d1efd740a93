"""Arrays, lists and iterators as videos, and what is refused."""

import inspect
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

from maskreel.errors import DataError, OptionError, UsageError, VideoReadError
from maskreel.video.arrays import as_pixels
from maskreel.video.files import Frame, FrameSource
from maskreel.video.images import rgb
from maskreel.video.sources import open_video
from tests.video.videos import noise

SIZE = (6, 10)
PICTURES = [noise(index, size=SIZE) for index in range(4)]


def frames_of(source: FrameSource) -> list[Frame]:
    return list(source)


def as_tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)


@pytest.mark.parametrize(
    ("given", "name", "declared"),
    [
        (np.stack(PICTURES), "array", 4),
        (torch.stack([as_tensor(picture) for picture in PICTURES]), "array", 4),
        (PICTURES, "frames", 4),
        (tuple(as_tensor(picture) for picture in PICTURES), "frames", 4),
        ([Image.fromarray(picture) for picture in PICTURES], "frames", 4),
        ([PICTURES[0], as_tensor(PICTURES[1]), Image.fromarray(PICTURES[2]), PICTURES[3]], "frames", 4),
        (map(np.copy, PICTURES), "frames", None),
    ],
    ids=["numpy", "torch", "list", "tensors", "pillow", "mixed", "iterator"],
)
def test_frames_in_memory_are_a_video(given: object, name: str, declared: int | None) -> None:
    source = open_video(given, frame_rate=5)  # pyright: ignore[reportArgumentType]
    assert (source.name, source.declared, source.size) == (name, declared, SIZE)
    assert (source.frame_rate, source.skipped) == (5, ())
    frames = frames_of(source)
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [frame.time for frame in frames] == [0.0, 0.2, 0.4, 0.6]
    for frame, picture in zip(frames, PICTURES, strict=True):
        np.testing.assert_array_equal(frame.pixels, picture)


def test_a_list_can_be_read_again_and_an_iterator_cannot() -> None:
    source = open_video(PICTURES)
    assert len(frames_of(source)) == len(frames_of(source)) == 4
    once = open_video(iter(PICTURES))
    assert len(frames_of(once)) == 4
    with pytest.raises(UsageError, match="an iterator can be read only once; give a list"):
        frames_of(once)


def test_opening_an_iterator_takes_one_frame_and_loses_none() -> None:
    taken = []

    def camera() -> Iterator[np.ndarray]:
        for index in range(1000):
            taken.append(index)
            yield PICTURES[index % 4]

    source = iter(open_video(camera()))
    assert taken == [0]
    assert [next(source).index for _ in range(3)] == [0, 1, 2]
    assert taken == [0, 1, 2]


def test_frames_with_times_keep_them_and_an_open_video_is_taken_as_it_is() -> None:
    source = open_video([Frame(7, 3.5, PICTURES[0]), Frame(9, 4.25, PICTURES[1])])
    assert [(frame.index, frame.time) for frame in source] == [(0, 3.5), (1, 4.25)]
    assert open_video(source) is source


def test_flipped_and_sliced_arrays_are_read_as_they_look() -> None:
    bgr = PICTURES[0][..., ::-1]
    pixels = as_pixels(bgr, "frame")
    assert pixels.flags.c_contiguous
    np.testing.assert_array_equal(pixels, PICTURES[0][..., [2, 1, 0]])


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "RGBA", "I;16", "F"])
def test_pillow_images_of_any_mode_are_converted_as_image_files_are(mode: str) -> None:
    image = Image.fromarray(PICTURES[0]).convert("L" if mode == "I;16" else mode).convert(mode)
    pixels = as_pixels(image, "frame")
    assert pixels.shape == (*SIZE, 3)
    np.testing.assert_array_equal(pixels, rgb(image))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (PICTURES[0].astype(np.float32), r"numpy array of float32 and shape \(6, 10, 3\).*uint8.*\(255 \* frame\)"),
        (np.full((6, 10, 3), np.nan), "numpy array of float64 with NaN"),
        (torch.full((3, 6, 10), torch.nan), "torch tensor of float32 with NaN"),
        (torch.zeros(3, 6, 10, dtype=torch.bfloat16), "torch tensor of bfloat16"),
        (PICTURES[0].astype(np.int64), "numpy array of int64"),
        (PICTURES[0] > 5, "numpy array of bool"),
        (PICTURES[0].transpose(2, 0, 1), r"shape \(3, 6, 10\); expected a numpy array h w 3"),
        (torch.from_numpy(PICTURES[0]), r"torch tensor of uint8 and shape \(6, 10, 3\)"),
        (PICTURES[0][..., 0], r"shape \(6, 10\)"),
        (PICTURES[0][..., :2], r"shape \(6, 10, 2\)"),
        (PICTURES[0][:0], r"shape \(0, 10, 3\)"),
        (np.uint8(3), r"uint8; expected"),
        (Image.new("F", (10, 6), float("nan")), "Pillow image of mode F: values that are not finite"),
        ("a.png", "str; expected a numpy array"),
        (None, "NoneType; expected"),
    ],
)
def test_what_is_no_frame_is_refused_by_what_came(frame: object, message: str) -> None:
    with pytest.raises(DataError, match=f"^frame 3: .*{message}"):
        as_pixels(frame, "frame 3")


def test_a_frame_of_another_size_is_refused_with_both_sizes() -> None:
    source = open_video([*PICTURES, noise(0, size=(8, 10))])
    with pytest.raises(DataError, match="frames: frame 4: 10x8 pixels; expected 10x6 as in the frames before"):
        frames_of(source)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (PICTURES[0], DataError, r"array of shape \(6, 10, 3\): expected t h w 3 .* array\[None\]"),
        (np.zeros((0, 6, 10, 3), np.uint8), VideoReadError, "array: there is no frame"),
        ([], VideoReadError, "frames: there is no frame"),
        (Image.new("RGB", (4, 4)), OptionError, "Image: not a video; .*a list of images"),
        (3, OptionError, "int: not a video"),
        (None, OptionError, "NoneType: not a video"),
        (b"video.mp4", OptionError, "bytes: not a video"),
        ({"frames": PICTURES}, OptionError, "dict: not a video"),
    ],
)
def test_what_is_no_video_is_refused(given: object, error: type[Exception], message: str) -> None:
    # The check of annotations in tests would be faster than ours.
    with pytest.raises(error, match=message):
        inspect.unwrap(open_video)(given)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), 2000])
def test_a_frame_rate_out_of_range_is_refused(rate: float) -> None:
    with pytest.raises(OptionError, match=r"frame rate .* must lie between"):
        open_video(PICTURES, frame_rate=rate)


def test_a_frame_rate_of_film_is_exact() -> None:
    assert open_video(PICTURES, frame_rate=30000 / 1001).frame_rate == Fraction(30000, 1001)
