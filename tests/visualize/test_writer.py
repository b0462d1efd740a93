"""A video that is written in a thread while its images are made."""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from maskreel.errors import DataError
from maskreel.video.files import VideoFile
from maskreel.visualize.video import TimedImage, write_video
from maskreel.visualize.writer import DEPTH, VideoWriter
from tests.video.videos import moving_blocks


def image(index: int) -> TimedImage:
    return TimedImage(index / 10, moving_blocks(index))


def test_the_file_is_that_of_images_written_at_once(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", frame_rate=Fraction(10)) as writer:
        for index in range(40):
            writer.write(lambda index=index: image(index))
    write_video(tmp_path / "b.mp4", map(image, range(40)), frame_rate=Fraction(10))
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def write(path: Path, images: Iterable[Callable[[], TimedImage]]) -> None:
    with VideoWriter(path, frame_rate=Fraction(10)) as writer:
        for one in images:
            writer.write(one)


def torn() -> TimedImage:
    raise DataError("torn")


def test_a_block_that_fails_leaves_no_file(tmp_path: Path) -> None:
    def images() -> Iterator[Callable[[], TimedImage]]:
        yield lambda: image(0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write(tmp_path / "a.mp4", images())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("behind", [0, 3 * DEPTH])
def test_an_image_that_cannot_be_made_fails_the_block(tmp_path: Path, behind: int) -> None:
    """The last one, too, and one with more behind it than may wait."""
    with pytest.raises(DataError, match="torn"):
        write(tmp_path / "a.mp4", [lambda: image(0), torn, *[lambda: image(1)] * behind])
    assert list(tmp_path.iterdir()) == []


def test_no_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no frame to write"):
        write(tmp_path / "a.mp4", [])


def test_times_are_kept(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.5, 0.6]
    with VideoWriter(tmp_path / "a.mp4", frame_rate=Fraction(10)) as writer:
        for time in times:
            writer.write(lambda time=time: TimedImage(time, np.zeros((16, 16, 3), np.uint8)))
    assert [frame.time for frame in VideoFile(tmp_path / "a.mp4")] == pytest.approx(times, abs=1e-4)
