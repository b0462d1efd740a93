"""Folders and patterns as people have them: frames in their order, and nothing left out without a word."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskreel.errors import DataError
from maskreel.video.sources import find_sources, open_video
from tests.field.makers import grey, level, write_animation, write_frames, write_stream

NAMES: dict[str, tuple[str, ...]] = {
    "numbers without zeros in front": ("8.png", "9.png", "10.png", "11.png"),
    "a size behind": ("0000_160x96.png", "0001_160x96.png", "0002_160x96.png"),
    "a version in front": ("v1.2_frame_8.png", "v1.2_frame_9.png", "v1.2_frame_10.png"),
    "a version with a point before the frame": ("sh010_v2.9.png", "sh010_v2.10.png", "sh010_v2.11.png"),
    "a camera in front": ("cam2_0001.png", "cam2_0002.png", "cam2_0003.png"),
    "steps of five": ("0000.png", "0005.png", "0010.png", "0015.png"),
    "below zero": ("frame_-2.png", "frame_-1.png", "frame_0.png", "frame_1.png"),
    "frame and time": ("00009_360ms.png", "00010_400ms.png", "00011_440ms.png"),
    "part and frame": ("p1_f9.png", "p1_f10.png", "p2_f1.png", "p2_f2.png"),
    "clock times over an hour's end": ("2024-01-02_10-59-58.png", "2024-01-02_11-00-00.png", "2024-01-02_11-00-01.png"),
    "clock times in one word": ("20240102T105958Z.png", "20240102T105959Z.png", "20240102T110000Z.png"),
    "clock times of a phone's burst": (
        "IMG_20240102_095958.jpg",
        "IMG_20240102_095958_1.jpg",
        "IMG_20240102_100000.jpg",
    ),
    "clock times without zeros": ("Shot 2024-01-02 at 9.59.58.png", "Shot 2024-01-02 at 10.00.03.png"),
    "days first": ("30-12-2023 7.png", "31-12-2023 7.png", "01-01-2024 7.png"),
    "months first": ("12-30-2023 7.png", "12-31-2023 7.png", "01-01-2024 7.png"),
    "seconds of one second": ("1305031102.811214.png", "1305031102.843224.png", "1305031102.875239.png"),
    "seconds over a second's end": ("1305031102.971264.png", "1305031103.003274.png", "1305031103.035284.png"),
    "quarters of a second": ("1.25.png", "1.5.png", "1.75.png"),
    "seconds without zeros": ("9.5.png", "10.25.png", "10.5.png"),
    "sums behind": ("0001-a3f9.png", "0002-77bc.png", "0003-01de.png"),
    "no numbers": ("a.png", "b.png", "c.png"),
    "brackets": ("frame[9].png", "frame[10].png", "frame[11].png"),
    "a percent sign": ("f%04d1.png", "f%04d2.png"),
    "several endings": ("1.png", "2.jpg", "3.jfif", "4.PNG"),
}


@pytest.mark.parametrize("is_pattern", [False, True])
@pytest.mark.parametrize("kind", NAMES)
def test_frames_come_in_the_order_of_their_names(kind: str, is_pattern: bool, tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "frames", NAMES[kind])
    source = open_video(str(folder / "*") if is_pattern else folder)
    assert [float(np.median(frame.pixels)) for frame in source] == pytest.approx(
        [level(n) for n in range(len(NAMES[kind]))], abs=3
    )
    assert source.skipped == ()


def test_a_number_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"frame 3 is missing after 2\.png"):
        open_video(write_frames(tmp_path, ("1.png", "2.png", "4.png")))


def stems(folder: Path) -> list[str]:
    return [source.stem for source in find_sources([str(folder)])]


def video(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_stream(path, paint=grey, codec="ffv1", count=2)


def test_folders_of_frames_beside_a_contact_sheet_are_the_videos(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("clip2", "clip10"):
        write_frames(tmp_path / name, ("0.png", "1.png"))
    write_frames(tmp_path, ("contact.png",))
    assert stems(tmp_path) == ["clip2", "clip10"]
    assert "contact.png left out" in caplog.text


def test_folders_of_videos_are_searched(tmp_path: Path) -> None:
    video(tmp_path / "left" / "a.mkv")
    video(tmp_path / "right" / "b.mkv")
    assert stems(tmp_path) == ["a", "b"]


def test_a_folder_of_frames_beside_videos_is_not_passed_over_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video(tmp_path / "a.mkv")
    write_frames(tmp_path / "clip", ("0.png", "1.png"))
    assert stems(tmp_path) == ["a"]
    assert "clip left out (name it to have it read)" in caplog.text


def test_folders_that_lie_deeper_are_named(tmp_path: Path) -> None:
    write_frames(tmp_path / "set" / "480p" / "clip", ("0.png", "1.png"))
    with pytest.raises(DataError, match=r"no images or videos in the folder; .*480p/clip has some: name .*480p,"):
        open_video(tmp_path / "set")


@pytest.mark.parametrize("name", ["a.divx", "a.rmvb", "a.heic", "a.insv", "no_ending"])
def test_what_is_not_read_is_counted(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copy(video(tmp_path / "v.mkv"), tmp_path / name)
    (tmp_path / "notes.txt").write_text("of the day")
    (tmp_path / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    assert stems(tmp_path) == ["v"]
    counted = f"1 {Path(name).suffix}" if "." in name else "no_ending without an ending"
    assert f"{counted} left out" in caplog.text
    assert "txt" not in caplog.text
    assert "Thumbs" not in caplog.text


def test_a_link_to_nowhere_is_a_frame_that_is_lost(tmp_path: Path) -> None:
    write_frames(tmp_path, ("1.png", "2.png"))
    os.symlink("gone.png", tmp_path / "3.png")
    source = open_video(tmp_path)
    assert len(list(source)) == 2
    assert [(lost.index, lost.reason) for lost in source.skipped] == [
        (2, "3.png cannot be read: No such file or directory")
    ]


def test_links_in_a_circle_are_followed_once(tmp_path: Path) -> None:
    write_frames(tmp_path, ("1.png", "2.png"))
    os.symlink(".", tmp_path / "again")
    assert len(list(open_video(str(tmp_path / "**" / "*.png")))) == 2
    assert len(list(open_video(tmp_path))) == 2


def test_animations_of_a_folder_are_videos(tmp_path: Path) -> None:
    for name in ("a.webp", "b.webp"):
        write_animation(tmp_path / name, [100] * 3)
    assert stems(tmp_path) == ["a", "b"]
    assert [len(list(source.open())) for source in find_sources([str(tmp_path)])] == [3, 3]


def test_an_animation_among_frames_is_read_as_one_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_animation(tmp_path / "2.png", [100] * 3)
    for name in ("1.png", "3.png"):
        Image.fromarray(grey(0)).save(tmp_path / name)
    assert len(list(open_video(tmp_path))) == 3
    assert "1 of the images hold several frames, of which the first is read, such as 2.png" in caplog.text


DEEP: dict[str, np.ndarray] = {
    "16 bits": np.array([[0, 16384, 32768, 49152, 65535]] * 5, np.uint16),
    "fractions": np.array([[0, 0.25, 0.5, 0.75, 1]] * 5, np.float32),
    "8 bits": np.array([[0, 64, 128, 191, 255]] * 5, np.uint8),
}


@pytest.mark.parametrize("ending", [".tif", ".png", ".pgm"])
@pytest.mark.parametrize("kind", DEEP)
def test_greys_of_any_depth_are_scaled(kind: str, ending: str, tmp_path: Path) -> None:
    if kind == "fractions" and ending != ".tif":
        pytest.skip("only TIFF holds fractions")
    Image.fromarray(DEEP[kind]).save(tmp_path / f"a{ending}")
    (frame,) = open_video(tmp_path / f"a{ending}")
    assert np.abs(frame.pixels[0, :, 0].astype(int) - [0, 64, 128, 191, 255]).max() <= 1
