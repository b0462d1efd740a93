"""The user without rights that permission tests act as."""

import gc
import sys
from pathlib import Path

import av
import pytest

from tests.other_user import as_nobody, open_folder
from tests.video.videos import moving_blocks, write_test_video


def write(path: Path) -> int:
    return path.write_text("x")


def test_it_may_write_where_its_mode_allows_and_nowhere_else() -> None:
    with open_folder() as folder:
        for name, mode in (("open", 0o777), ("closed", 0o555)):
            (folder / name).mkdir()
            (folder / name).chmod(mode)
        assert as_nobody(lambda: write(folder / "open" / "a.txt")) == (1, "")
        status, written = as_nobody(lambda: write(folder / "closed" / "a.txt"))
        assert status == 70
        assert "PermissionError" in written
        assert list((folder / "closed").iterdir()) == []


def test_what_it_says_and_its_status_come_back() -> None:
    def speak() -> int:
        sys.stdout.write("one\n")
        return 3

    assert as_nobody(speak) == (3, "one\n")


def test_a_decoder_among_the_garbage_does_not_hold_it_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Freeing one waits for its threads, which are not there in a child process."""
    monkeypatch.setattr("tests.other_user.LIMIT", 20)
    write_test_video(tmp_path / "a.mp4", num_frames=20, picture=moving_blocks)
    gc.disable()
    try:
        container = av.open(tmp_path / "a.mp4")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = 4
        circle: list[object] = [container, frames := container.decode(stream)]
        next(frames)
        circle.append(circle)
        del container, stream, frames, circle
    finally:
        gc.enable()

    def tidy() -> int:
        gc.collect()
        return 0

    assert as_nobody(tidy) == (0, "")
