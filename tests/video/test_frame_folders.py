"""Folders and patterns of frames as videos, and finding sources by what was typed."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskreel.data.dataset_video import DatasetVideo
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.errors import DataError, UsageError, VideoReadError
from maskreel.video.files import VideoFile
from maskreel.video.frame_folders import FrameImages, numbered_frames
from maskreel.video.sources import find_sources, open_video
from tests.builders import write_youtube_vis
from tests.video.videos import write_test_video


def write_frames(folder: Path, names: list[str], size: tuple[int, int] = (6, 8)) -> Path:
    """Pictures whose grey level is their place in `names`."""
    folder.mkdir(exist_ok=True)
    for level, name in enumerate(names):
        Image.fromarray(np.full((*size, 3), level, dtype=np.uint8)).save(folder / name)
    return folder


def test_frames_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "cam", ["f9.png", "f10.png", "f11.png"])
    source = open_video(folder)
    assert [int(frame.pixels[0, 0, 0]) for frame in source] == [0, 1, 2]
    assert [frame.time for frame in source] == [0.0, 0.1, 0.2]
    assert (source.declared, source.size) == (3, (6, 8))


def test_frames_may_count_in_steps(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "cam", ["00000.png", "00005.png", "00010.png", "00015.png"])
    assert len(numbered_frames(folder, list(folder.iterdir()))) == 4


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["0.png", "1.png", "2.png", "4.png", "5.png"], "frame 3 is missing after 2.png"),
        (["00000.png", "00005.png", "00015.png", "00020.png"], "frame 10 is missing after 00005.png"),
        (["a_1.png", "a_2.png", "a_4.png"], "frame 3 is missing after a_2.png"),
    ],
)
def test_a_hole_in_the_numbers_is_named(tmp_path: Path, names: list[str], missing: str) -> None:
    folder = write_frames(tmp_path / "cam", names)
    with pytest.raises(DataError, match=missing):
        open_video(folder)


def test_a_pattern_takes_the_frames_that_are_there(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "cam", ["1.png", "2.png", "10.png"])
    source = open_video(f"{folder}/*.png", frame_rate=Fraction(5))
    assert [int(frame.pixels[0, 0, 0]) for frame in source] == [0, 1, 2]
    assert [frame.time for frame in source] == [0.0, 0.2, 0.4]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1.png", "cover.png"], "cover.png has no frame number"),
        (["1.png", "01.png"], "01.png and 1.png have the same frame number"),
        ([], "no images or videos in the folder"),
    ],
)
def test_an_unclear_folder_is_refused(tmp_path: Path, names: list[str], message: str) -> None:
    folder = write_frames(tmp_path / "cam", names)
    with pytest.raises(DataError, match=message):
        open_video(folder)


def test_a_broken_picture_is_skipped_and_listed(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "cam", ["1.png", "2.png", "3.png"])
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:30])
    source = open_video(folder)
    assert [(frame.index, frame.time, int(frame.pixels[0, 0, 0])) for frame in source] == [(0, 0.0, 0), (1, 0.2, 2)]
    (lost,) = source.skipped
    assert lost.index == 1
    assert lost.reason.startswith("2.png cannot be read")


def test_pictures_of_different_sizes_are_no_video(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "cam", ["1.png"])
    write_frames(tmp_path / "cam", ["2.png"], size=(6, 9))
    write_frames(tmp_path / "cam", ["1.png"], size=(6, 8))
    with pytest.raises(VideoReadError, match=r"2\.png: 9x6 pixels, but 1\.png has 8x6 pixels"):
        list(open_video(folder))


def test_only_broken_pictures_are_no_video(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"nothing")
    with pytest.raises(VideoReadError, match=r"1\.png: cannot be read as an image: it is plain text"):
        FrameImages([tmp_path / "1.png"], name="x", frame_rate=Fraction(10))


def test_a_photo_is_shown_upright(tmp_path: Path) -> None:
    image = Image.fromarray(np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "1.png", exif=exif)
    assert open_video(tmp_path / "1.png").size == (8, 6)


def test_a_video_of_a_split_has_the_frames_of_its_file_names(tmp_path: Path) -> None:
    write_youtube_vis(tmp_path, num_frames=4, size=(24, 40))
    dataset = YouTubeVIS.load(tmp_path, "train")
    video = DatasetVideo(dataset, 1)
    assert (video.video_id, video.size, video.declared) == (12, (24, 40), 4)
    assert [int(frame.pixels[0, 0, 0]) for frame in video] == [20, 21, 22, 23]


def test_a_missing_frame_of_a_split_is_an_error(tmp_path: Path) -> None:
    write_youtube_vis(tmp_path, num_frames=4)
    (tmp_path / "train/JPEGImages/video0/00002.png").unlink()
    with pytest.raises(DataError, match="frame 2 of video 11 is missing"):
        list(DatasetVideo(YouTubeVIS.load(tmp_path, "train"), 0))


def test_sources_keep_the_order_in_which_they_are_named(tmp_path: Path) -> None:
    video = write_test_video(tmp_path / "a.mp4", num_frames=2)
    folder = write_frames(tmp_path / "cam", ["1.png", "2.png", "3.png"])
    shell_expanded = [str(folder / name) for name in ("1.png", "2.png", "3.png")]
    found = find_sources([str(video), *shell_expanded, "nowhere.mp4", str(folder)])
    assert [source.stem for source in found] == ["a", "cam", "", "cam"]
    assert [source.is_missing for source in found] == [False, False, True, False]
    assert found[1].open().declared == 3
    with pytest.raises(UsageError, match=r"nowhere\.mp4: no such file or folder"):
        found[2].open()


def test_a_folder_or_pattern_of_videos_is_several_sources(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.mp4"):
        write_test_video(tmp_path / name, num_frames=2)
    (tmp_path / "notes.txt").touch()
    for word in (str(tmp_path), f"{tmp_path}/*.mp4"):
        found = find_sources([word])
        assert [source.stem for source in found] == ["a", "b"]
        assert isinstance(found[0].open(), VideoFile)


def test_a_pattern_that_mixes_pictures_and_other_files_is_refused(tmp_path: Path) -> None:
    write_frames(tmp_path / "cam", ["1.png"])
    (tmp_path / "cam" / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"notes\.txt; use a narrower pattern"):
        open_video(f"{tmp_path}/cam/*")


def test_a_pattern_without_matches_is_refused() -> None:
    with pytest.raises(UsageError, match="no file matches"):
        open_video("no/such/*.mp4")
