"""What is taken for a video when a person names files, folders, patterns, pipes or addresses."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskreel.errors import UsageError
from maskreel.video.sources import find_sources, open_video
from tests.video.videos import write_test_video


def write_frames(folder: Path, names: list[str]) -> Path:
    folder.mkdir(parents=True)
    for level, name in enumerate(names):
        Image.fromarray(np.full((8, 16, 3), 20 * level, np.uint8)).save(folder / name)
    return folder


def test_a_folder_of_frame_folders_is_one_video_each(tmp_path: Path) -> None:
    for name in ("clip10", "clip2"):
        write_frames(tmp_path / "JPEGImages" / name, ["0.png", "1.png"])
    assert [source.stem for source in find_sources([str(tmp_path / "JPEGImages")])] == ["clip2", "clip10"]


def test_a_poster_does_not_hide_the_videos_beside_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_frames(tmp_path / "videos", ["poster.jpg"])
    for name in ("a.mp4", "b.mp4"):
        write_test_video(tmp_path / "videos" / name, num_frames=2)
    assert [source.stem for source in find_sources([str(tmp_path / "videos")])] == ["a", "b"]
    assert "poster.jpg left out" in caplog.text


def test_a_video_beside_its_frames_is_left_out_with_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_frames(tmp_path / "clip", ["0.png", "1.png", "2.png"])
    write_test_video(folder / "clip.mp4", num_frames=2)
    (source,) = find_sources([str(folder)])
    assert len(list(source.open())) == 3
    assert "clip.mp4 left out" in caplog.text


def test_a_link_back_to_its_folder_gives_each_frame_once(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "frames", ["0.png", "1.png", "2.png"])
    (folder / "again").symlink_to(".")
    (source,) = find_sources([f"{folder}/**/*.png"])
    assert [int(frame.pixels[0, 0, 0]) for frame in source.open()] == [0, 20, 40]


def test_images_of_unread_formats_are_counted_in_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_frames(tmp_path / "frames", ["0.png", "1.png"])
    for number in range(2, 5):
        (folder / f"{number}.heic").write_bytes(b"x")
    assert len(list(open_video(folder))) == 2
    assert "3 .heic left out" in caplog.text


def test_a_pipe_is_read_to_its_end_and_more_than_once(tmp_path: Path) -> None:
    video = write_test_video(tmp_path / "a.mp4", num_frames=4)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(video.read_bytes()))
    writer.start()
    source = open_video(pipe)
    writer.join(timeout=20)
    assert [len(list(source)), len(list(source))] == [4, 4]
    assert source.name == str(pipe)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("0", "there is no camera /dev/video0"),
        ("nowhere.mp4", "no such file or folder"),
        ("nowhere/*.png", "no file matches this pattern"),
    ],
)
def test_what_is_not_there_or_not_read_is_refused_by_name(word: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"^{word.replace('*', '.*')}: .*{message}"):
        open_video(word)


@pytest.mark.parametrize("is_folder", [False, True])
def test_the_time_to_find_files_grows_with_their_number_alone(
    is_folder: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = 0
    equal = Path.__eq__

    def counted(self: Path, other: object) -> bool:
        nonlocal compared
        compared += 1
        return equal(self, other)

    number = 100
    for one in range(number):
        (tmp_path / f"{one}.mp4").touch()
    monkeypatch.setattr(Path, "__eq__", counted)
    words = [str(tmp_path)] if is_folder else [str(tmp_path / f"{one}.mp4") for one in range(number)]
    assert len(find_sources(words)) == number
    assert compared < 10 * number
