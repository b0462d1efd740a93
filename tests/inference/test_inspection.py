"""Which frames, which place and which object are looked at."""

import numpy as np
import pytest

from maskreel.errors import DataError, UsageError
from maskreel.geometry import rle
from maskreel.inference.inspection import FoundObject, Place, _object_at, _pixel, read_clip
from maskreel.video.sources import open_video

SIZE = (20, 30)


def found(left: int, frames: tuple[int, ...], score: float = 0.5) -> FoundObject:
    """A block of 6 columns, seen in some of three frames."""
    mask = np.zeros(SIZE, dtype=bool)
    mask[5:15, left : left + 6] = True
    masks = [rle.encode(mask) if t in frames else None for t in range(3)]
    return FoundObject(label=0, score=score, masks=masks, query=0, states=np.zeros((3, 2), np.float32))


@pytest.mark.parametrize(
    ("length", "frame", "expected"),
    [
        (4, None, [0, 1, 2, 3]),
        (4, 0, [0, 1, 2, 3]),
        (4, 5, [3, 4, 5, 6]),
        (5, 5, [3, 4, 5, 6, 7]),
        (4, 9, [6, 7, 8, 9]),
        (1, 3, [3]),
        (99, 3, list(range(10))),
        (99, None, list(range(10))),
    ],
)
def test_the_clip_has_the_frame_in_its_middle(length: int, frame: int | None, expected: list[int]) -> None:
    video = open_video(np.zeros((10, *SIZE, 3), np.uint8))
    assert [each.index for each in read_clip(video, length, frame)] == expected


def test_a_frame_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--at 10: the last frame of .* is 9"):
        read_clip(open_video(np.zeros((10, *SIZE, 3), np.uint8)), 4, 10)
    with pytest.raises(DataError, match="no frame"):
        read_clip(open_video(iter([])), 4, None)


def test_the_object_is_the_one_at_the_place_or_the_nearest_there() -> None:
    objects = [found(0, (0, 1)), found(20, (0, 2)), found(22, (0, 1, 2))]
    assert _object_at(objects, Place(frame=0, x=3, y=8)) == 0
    assert _object_at(objects, Place(frame=0, x=23, y=8)) == 1
    assert _object_at(objects, Place(frame=0, x=29, y=0)) == 2
    assert _object_at(objects, Place(frame=1, x=23, y=8)) == 2
    assert _object_at(objects, Place(frame=2, x=0, y=0)) == 1
    assert _object_at([found(0, ())], Place(frame=2, x=0, y=0)) == 0
    assert _object_at([], Place(frame=2, x=0, y=0)) is None


def test_without_a_place_the_middle_of_the_best_object_is_looked_at() -> None:
    frames = list(open_video(np.zeros((3, *SIZE, 3), np.uint8)))
    place = _pixel(None, frames, [found(20, (2,)), found(0, (0, 1))])
    assert (place.frame, place.x) == (2, pytest.approx(22.5, abs=0.5))
    assert _pixel(None, frames, []) == Place(frame=1, x=15, y=10)


def test_a_place_is_told_by_its_frame_in_the_video() -> None:
    frames = list(open_video(np.zeros((9, *SIZE, 3), np.uint8)))[5:8]
    assert _pixel(Place(frame=6, x=29, y=19), frames, []) == Place(frame=1, x=29, y=19)
    with pytest.raises(UsageError, match="--at 6,30,19: frames have 30x20 pixels"):
        _pixel(Place(frame=6, x=30, y=19), frames, [])
