"""Overlay videos that browsers play, with the times of their source."""

import os
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from maskreel.errors import DataError
from maskreel.geometry import rle
from maskreel.geometry.masklets import Masklet, Masklets
from maskreel.video.files import VideoFile
from maskreel.visualize.draw import draw
from maskreel.visualize.video import TimedImage, write_overlay, write_video
from tests.video.videos import moving_blocks, write_test_video


def test_times_may_be_uneven_and_start_anywhere(tmp_path: Path) -> None:
    times = [3.5, 3.54, 3.7, 4.0, 4.01, 5.0]
    write_video(
        tmp_path / "a.mp4",
        [TimedImage(time, moving_blocks(i)) for i, time in enumerate(times)],
        frame_rate=Fraction(25),
    )
    written = [frame.time for frame in VideoFile(tmp_path / "a.mp4")]
    assert written == pytest.approx([time - 3.5 for time in times], abs=1e-3)


def test_a_browser_can_play_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    frames = [TimedImage(i / 25, moving_blocks(i, size=(47, 81), count=4)) for i in range(30)]
    write_video(path, frames, frame_rate=Fraction(25))
    with av.open(str(path)) as container:
        (stream,) = container.streams
        assert isinstance(stream, av.VideoStream)
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.frames) == (82, 48, 30)
        assert stream.average_rate == 25
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mp4"]


def test_the_padding_of_odd_sides_repeats_the_border(tmp_path: Path) -> None:
    picture = np.full((31, 33, 3), 60, dtype=np.uint8)
    picture[:, -1], picture[-1] = 220, 220
    write_video(tmp_path / "a.mp4", [TimedImage(0.0, picture)], frame_rate=Fraction(10))
    (frame,) = VideoFile(tmp_path / "a.mp4")
    assert frame.pixels.shape == (32, 34, 3)
    assert frame.pixels[10, 32:].mean() == pytest.approx(220, abs=25)
    assert frame.pixels[10, 5].mean() == pytest.approx(60, abs=10)


def test_the_bytes_of_a_video_do_not_hang_on_what_memory_held(tmp_path: Path) -> None:
    """glibc fills fresh memory with a byte of one's choice, so that whoever reads it before writing is found out."""
    program = (
        "import sys; from fractions import Fraction; from pathlib import Path\n"
        "from maskreel.visualize.video import TimedImage, write_video\n"
        "from tests.video.videos import moving_blocks\n"
        "images = (TimedImage(i / 10, moving_blocks(i, size=(182, 330))) for i in range(20))\n"
        "write_video(Path(sys.argv[1]), images, frame_rate=Fraction(10))"
    )
    for byte in ("0", "1"):
        environment = {**os.environ, "MALLOC_PERTURB_": byte, "PYTHONPATH": os.pathsep.join(("src", "."))}
        command = [sys.executable, "-c", program, str(tmp_path / byte)]
        subprocess.run(command, cwd=Path(__file__).parents[2], env=environment, check=True)
    assert (tmp_path / "0").read_bytes() == (tmp_path / "1").read_bytes()


def result(path: Path, num_frames: int) -> Masklets:
    mask = np.zeros((48, 80), dtype=bool)
    mask[10:30, 10:40] = True
    masklet = Masklet(
        track_id=1, label=0, category_id=1, score=0.9, segmentations=(rle.encode(mask), *[None] * (num_frames - 1))
    )
    return Masklets(
        source=str(path),
        width=80,
        height=48,
        classes=((1, "block"),),
        declared=num_frames,
        timestamps=tuple(i / 25 for i in range(num_frames)),
        masklets=(masklet,),
    )


def test_an_overlay_shows_the_source_with_its_masklets(tmp_path: Path) -> None:
    source = VideoFile(write_test_video(tmp_path / "a.mp4", num_frames=8))
    found = result(source.path, 8)
    counted = []
    write_overlay(tmp_path / "b.mp4", source, found, on_frames=counted.append)
    overlay = list(VideoFile(tmp_path / "b.mp4"))
    assert counted == [1] * 8
    for written, frame in zip(overlay, source, strict=True):
        assert np.abs(written.pixels.astype(int) - draw(frame.pixels, found, frame.index)).mean() < 12
    assert [frame.time for frame in overlay] == pytest.approx([frame.time for frame in source], abs=1e-3)


def test_a_source_that_has_grown_is_noticed(tmp_path: Path) -> None:
    source = VideoFile(write_test_video(tmp_path / "a.mp4", num_frames=8))
    with pytest.raises(DataError, match="has changed since its objects were found"):
        write_overlay(tmp_path / "b.mp4", source, result(source.path, 5))
    assert not (tmp_path / "b.mp4").exists()


def test_nothing_is_left_when_writing_fails(tmp_path: Path) -> None:
    def frames() -> Iterator[TimedImage]:
        yield TimedImage(0.0, moving_blocks(0))
        raise DataError("the disk is full")

    with pytest.raises(DataError, match="the disk is full"):
        write_video(tmp_path / "a.mp4", frames(), frame_rate=Fraction(25))
    with pytest.raises(DataError, match="there is no frame to write"):
        write_video(tmp_path / "a.mp4", [], frame_rate=Fraction(25))
    assert list(tmp_path.iterdir()) == []
