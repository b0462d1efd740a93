"""Video over a network, from cameras and through pipes, with servers of our own on this machine."""

import io
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from av.container import InputContainer
from PIL import Image

from maskreel.errors import UsageError
from maskreel.video import streams
from maskreel.video.choice import FrameChoice
from maskreel.video.files import Frame, VideoFile
from maskreel.video.pipes import PipedVideo
from maskreel.video.sources import find_sources, open_video
from maskreel.video.streams import StreamedVideo, stem_of_address, without_password
from tests.video.loopback import breaking_http_server, http_camera, http_server, tcp_server
from tests.video.videos import damage, moving_blocks, noise, write_test_video


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "FIRST_WAIT", 0.001)


def video(tmp_path: Path, name: str, num_frames: int = 30, size: tuple[int, int] = (48, 80)) -> Path:
    return write_test_video(tmp_path / name, num_frames=num_frames, picture=lambda i: moving_blocks(i, size=size))


def assert_same_frames(ours: list[Frame], theirs: list[Frame]) -> None:
    assert [frame.index for frame in ours] == [frame.index for frame in theirs] == list(range(len(theirs)))
    for a, b in zip(ours, theirs, strict=True):
        assert (a.time, a.duration) == (b.time, b.duration)
        assert np.array_equal(a.pixels, b.pixels)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_a_file_over_http_is_read_as_the_file_itself(tmp_path: Path, name: str) -> None:
    path = video(tmp_path, name)
    with http_server(tmp_path) as address:
        source = open_video(f"{address}/{name}")
        ours = list(source)
    file = VideoFile(path)
    assert_same_frames(ours, list(file))
    with pytest.raises(UsageError, match="can be read only once"):
        next(iter(source))
    assert (source.size, source.declared, source.frame_rate, source.skipped) == (
        *(file.size, file.declared, file.frame_rate),
        file.skipped,
    )


def test_a_transport_stream_over_tcp_is_read_to_its_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = video(tmp_path, "a.ts")
    with tcp_server([path.read_bytes()]) as address:
        (named,) = find_sources([address])
        source = named.open()
        ours = list(source)
    assert named.is_live
    assert_same_frames(ours, list(VideoFile(path)))
    assert source.skipped == ()
    attempts = [record.message for record in caplog.records if "attempt " in record.message]
    assert len(attempts) == streams.MAX_ATTEMPTS
    assert caplog.records[-1].message == f"{address}: ends here, after 5 attempts to connect again"


def test_a_stream_that_breaks_off_and_comes_back_goes_on(tmp_path: Path) -> None:
    """Times go on increasing; another size is stretched to the first; the place of the break is listed."""
    first, second = video(tmp_path, "a.ts", 12), video(tmp_path, "b.ts", 20, (96, 160))
    with tcp_server([first.read_bytes(), second.read_bytes()]) as address:
        source = open_video(address)
        ours = list(source)
    assert [frame.index for frame in ours] == list(range(32))
    times = [frame.time for frame in ours]
    assert times == sorted(set(times))
    assert {frame.pixels.shape for frame in ours} == {(48, 80, 3)}
    (lost,) = source.skipped
    assert lost.index == 12
    assert "the connection broke off here and was made again after" in lost.reason


def test_a_stream_that_comes_back_as_something_else_ends_there(tmp_path: Path) -> None:
    first = video(tmp_path, "a.ts", 12)
    with tcp_server([first.read_bytes(), b"GIF? no " * 4000]) as address:
        assert len(list(open_video(address))) == 12


def test_every_break_is_listed_even_where_no_more_frames_are_wanted(tmp_path: Path) -> None:
    content = video(tmp_path, "a.ts", 12).read_bytes()
    with tcp_server([content] * 3) as address:
        source = FrameChoice(max_frames=30).of(open_video(address))
        assert [frame.index for frame in source] == list(range(30))
    assert [lost.index for lost in source.skipped] == [12, 24]


def test_what_each_connection_lost_is_listed_at_its_place(tmp_path: Path) -> None:
    path = damage(write_test_video(tmp_path / "a.mp4", num_frames=40, picture=noise, max_b_frames=0), length=12_000)
    alone = VideoFile(path)
    count, places = len(list(alone)), [lost.index for lost in alone.skipped]
    assert places
    connections = [av.open(str(path)) for _ in range(2)]

    def connect() -> InputContainer:
        if not connections:
            raise UsageError("nobody is there")
        return connections.pop()

    source = StreamedVideo("twice", connect, is_live=True)
    assert len(list(source)) == 2 * count
    assert [lost.index for lost in source.skipped] == [*places, count, *(count + place for place in places)]


def test_a_stream_that_falls_silent_is_connected_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "TIME_LIMIT", 0.5)
    content = video(tmp_path, "a.ts", 12).read_bytes()
    with tcp_server([content] * 2, hangs=True) as address:
        source = open_video(address)
        assert [frame.index for frame in source] == list(range(24))
    (lost,) = source.skipped
    assert (lost.index, "made again" in lost.reason) == (12, True)


@pytest.mark.parametrize(("name", "reason"), [("a.mkv", "the file ends early"), ("a.ts", "the video breaks off here")])
def test_a_file_that_breaks_off_over_http_is_read_as_far_as_it_came(tmp_path: Path, name: str, reason: str) -> None:
    content = video(tmp_path, name, 50).read_bytes()
    with breaking_http_server(content, goes_on=False) as address:
        source = open_video(f"{address}/{name}")
        count = len(list(source))
    assert 10 < count < 40
    (lost,) = source.skipped
    assert lost.index == count
    assert lost.reason.startswith(f"{reason} (input/output error)")


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.mp4"])
def test_a_file_over_http_goes_on_where_it_broke_off(tmp_path: Path, name: str) -> None:
    path = video(tmp_path, name, 50)
    with breaking_http_server(path.read_bytes(), goes_on=True) as address:
        source = open_video(f"{address}/{name}")
        assert_same_frames(list(source), list(VideoFile(path)))
    assert source.skipped == ()


def test_a_camera_over_http_is_live_and_connected_again() -> None:
    pictures = []
    for index in range(10):
        file = io.BytesIO()
        Image.fromarray(moving_blocks(index, size=(48, 80))).save(file, "JPEG")
        pictures.append(file.getvalue())
    with http_camera(pictures) as address:
        source = open_video(address)
        assert isinstance(source, StreamedVideo)
        assert source.is_live
        chosen = FrameChoice(max_frames=25).of(source)
        assert len(list(chosen)) == 25
    assert len(chosen.skipped) == 2


def test_connections_that_bring_no_frame_are_not_made_for_ever(tmp_path: Path) -> None:
    head = b"YUV4MPEG2 W80 H48 F25:1 Ip A1:1 C420jpeg\n"
    made: list[int] = []

    def contents() -> Iterator[bytes]:
        yield head + 3 * (b"FRAME\n" + bytes(80 * 48 * 3 // 2))
        for number in range(100):
            made.append(number)
            yield head

    with tcp_server(contents()) as address:
        source = open_video(address)
        assert len(list(source)) == 3
    assert streams.MAX_ATTEMPTS <= len(made) <= streams.MAX_ATTEMPTS + 1
    assert source.skipped == ()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("tcp://127.0.0.1:1", "tcp://127.0.0.1:1: cannot be read \\(connection refused\\)"),
        ("http://127.0.0.1:1/a.mp4", "http://127.0.0.1:1/a.mp4: cannot be read"),
        ("rtsp://user:secret@127.0.0.1:1/x", r"rtsp://user:\*\*\*@127.0.0.1:1/x: cannot be read"),
    ],
)
def test_an_address_where_nobody_is_is_refused_in_one_sentence(address: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_video(address)


def test_an_address_that_does_not_answer_is_given_up_after_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "TIME_LIMIT", 0.3)
    with tcp_server([None]) as address, pytest.raises(UsageError, match="does not answer within 0 seconds"):
        open_video(address)


def test_what_is_at_an_address_must_be_a_video(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>" * 1000)
    with http_server(tmp_path) as address:
        with pytest.raises(UsageError, match=r"page\.html: cannot be read"):
            open_video(f"{address}/page.html")
        with pytest.raises(UsageError, match=r"nothing\.mp4: cannot be read .*404"):
            open_video(f"{address}/nothing.mp4")


@pytest.mark.parametrize("word", ["7", "/dev/video7"])
def test_a_camera_that_is_not_there_is_named_with_those_that_are(word: str) -> None:
    (named,) = find_sources([word])
    assert (named.is_live, named.stem) == (True, "camera-7" if word == "7" else "camera-video7")
    with pytest.raises(UsageError, match=f"^{word}: there is no camera /dev/video7 \\(cameras here: "):
        named.open()


def test_a_file_whose_name_is_a_number_is_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video(tmp_path, "0.mp4").rename(tmp_path / "0")
    monkeypatch.chdir(tmp_path)
    (named,) = find_sources(["0"])
    assert not named.is_live
    assert len(list(named.open())) == 30


def test_a_scheme_that_is_not_read_is_named_with_those_that_are() -> None:
    with pytest.raises(UsageError, match=r"gopher is not read; there are rtsp, .*https"):
        open_video("gopher://host/a.mp4")


@pytest.mark.parametrize(
    ("address", "stem"),
    [
        ("http://host/films/a%20b.mp4?x=1", "a_b"),
        ("rtsp://user:secret@host:8554/", "host-8554"),
        ("tcp://host:9", "host-9"),
        ("https://host/..", "host-https"),
    ],
)
def test_files_made_from_an_address_have_plain_names(address: str, stem: str) -> None:
    assert stem_of_address(address) == stem


def test_a_password_is_not_shown() -> None:
    assert without_password("rtsp://me:pw@host/x") == "rtsp://me:***@host/x"
    assert without_password("rtsp://me@host/x") == "rtsp://me@host/x"
    assert find_sources(["rtsp://me:pw@host/x"])[0].name == "rtsp://me:***@host/x"


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The writing end of the standard input."""
    reading, writing = os.pipe()
    with open(reading, "rb") as stdin:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stdin))
        yield writing


@pytest.mark.parametrize("name", ["a.ts", "a.mkv", "a.y4m", "a.h264"])
def test_a_stream_on_standard_input_is_read_while_it_comes(tmp_path: Path, name: str, piped: int) -> None:
    """Frames come out before the input has ended, and are those of the file."""
    codec = "rawvideo" if name.endswith("y4m") else "libx264"
    path = write_test_video(tmp_path / name, num_frames=240 if name.endswith("h264") else 60, codec=codec)
    content, go_on, waited = path.read_bytes(), threading.Event(), list[bool]()

    def write() -> None:
        with open(piped, "wb") as pipe:
            pipe.write(content[: 9 * len(content) // 10])
            pipe.flush()
            waited.append(go_on.wait(20))
            pipe.write(content[9 * len(content) // 10 :])

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    source = open_video("-")
    assert isinstance(source, StreamedVideo)
    frames = iter(source)
    ours = [next(frames) for _ in range(20)]
    go_on.set()
    ours += list(frames)
    writer.join()
    assert waited == [True]
    assert source.name == "standard input"
    assert_same_frames(ours, list(VideoFile(path)))
    assert source.skipped == ()


def test_a_file_with_its_index_at_the_end_is_kept_before_it_is_read(tmp_path: Path, piped: int) -> None:
    path = video(tmp_path, "a.mp4")
    writer = threading.Thread(target=lambda: io.FileIO(piped, "w").write(path.read_bytes()), daemon=True)
    writer.start()
    writer.join()
    source = open_video("-")
    assert isinstance(source, PipedVideo)
    assert_same_frames(list(source), list(VideoFile(path)))
