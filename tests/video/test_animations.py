"""Image files of several frames are videos."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskreel.errors import VideoReadError
from maskreel.video.animations import AnimatedImage, num_images
from maskreel.video.sources import find_sources, open_video

LEVELS = (20, 60, 100, 140)


def grey(level: int, size: tuple[int, int] = (32, 16)) -> Image.Image:
    return Image.new("RGB", size, (level, level, level))


def write(path: Path, durations: list[int] | int = 100, levels: tuple[int, ...] = LEVELS) -> Path:
    first, *rest = [grey(level) for level in levels]
    options = {} if path.suffix in (".tif", ".tiff") else {"duration": durations}
    first.save(path, save_all=True, append_images=rest, **options)
    return path


@pytest.mark.parametrize("ending", ["webp", "png", "avif", "tif"])
def test_every_frame_of_an_animated_image_is_read_at_its_time(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"a.{ending}")
    source = open_video(path)
    frames = list(source)
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3])
    np.testing.assert_allclose([frame.pixels.mean() for frame in frames], LEVELS, atol=4)
    assert (source.declared, source.skipped, source.size) == (4, (), (16, 32))


def test_uneven_times_and_the_last_frames_own_duration_are_kept(tmp_path: Path) -> None:
    frames = list(open_video(write(tmp_path / "a.png", [100, 300, 50, 3000])))
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.4, 0.45])
    assert frames[-1].duration == pytest.approx(3.0)


def test_a_stack_of_pages_has_the_frame_rate_that_was_asked_for(tmp_path: Path) -> None:
    frames = list(open_video(write(tmp_path / "a.tiff"), frame_rate=Fraction(4)))
    assert [frame.time for frame in frames] == pytest.approx([0, 0.25, 0.5, 0.75])


def test_several_animated_images_are_several_videos(tmp_path: Path) -> None:
    words = [str(write(tmp_path / f"{name}.webp")) for name in "ab"]
    assert [source.stem for source in find_sources(words)] == ["a", "b"]


def test_still_images_stay_frames_of_one_video(tmp_path: Path) -> None:
    for number in range(3):
        grey(number).save(tmp_path / f"{number}.webp")
    assert num_images(tmp_path / "0.webp") == 1
    assert len(find_sources([str(tmp_path / f"{number}.webp") for number in range(3)])) == 1


def test_a_cut_off_animation_lists_what_is_lost(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 5 // 8])
    source = AnimatedImage(path, frame_rate=Fraction(10))
    decoded = len(list(source))
    assert source.declared is not None
    assert 0 < decoded < source.declared
    assert decoded + len(source.skipped) == source.declared


def test_pages_of_other_sizes_are_refused(tmp_path: Path) -> None:
    grey(1).save(tmp_path / "a.tif", save_all=True, append_images=[grey(2, (8, 8))])
    with pytest.raises(VideoReadError, match="frame 1 has 8x8 pixels, the first one 32x16"):
        list(open_video(tmp_path / "a.tif"))
