"""Reading video files: every frame is decoded or accounted for, upright, with its own time."""

import gc
import json
import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace

from maskreel.errors import VideoReadError
from maskreel.video import files as video_files
from maskreel.video.choice import FrameChoice
from maskreel.video.clock import Clock
from maskreel.video.files import VideoFile
from tests.builders import shared_path
from tests.other_user import as_nobody, open_folder
from tests.video.videos import COLOURS, cut, damage, moving_blocks, noise, write_sound, write_test_video

CLIPS = "data/realvis/clips"


def quarters(index: int) -> np.ndarray:
    """Red upper left, green upper right, blue lower left, yellow lower right."""
    picture = np.empty((32, 64, 3), dtype=np.uint8)
    picture[:16, :32], picture[:16, 32:] = COLOURS[0], COLOURS[1]
    picture[16:, :32], picture[16:, 32:] = COLOURS[2], COLOURS[3]
    return picture


def corners(pixels: np.ndarray) -> list[int]:
    """Nearest of COLOURS in the upper left, upper right, lower left and lower right corner."""
    height, width = pixels.shape[:2]
    points = [(4, 4), (4, width - 5), (height - 5, 4), (height - 5, width - 5)]
    return [int(np.abs(COLOURS.astype(int) - pixels[point]).sum(axis=1).argmin()) for point in points]


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.webm", "libvpx-vp9"), ("a.mkv", "libx264"), ("a.avi", "mpeg4")]
)
def test_every_frame_comes_with_its_index_and_time(tmp_path: Path, name: str, codec: str) -> None:
    video = VideoFile(write_test_video(tmp_path / name, num_frames=30, codec=codec))
    frames = list(video)
    assert [frame.index for frame in frames] == list(range(30))
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(30) / 25, atol=2e-3)
    assert frames[0].pixels.shape == (*video.size, 3) == (48, 80, 3)
    assert video.skipped == ()
    assert np.abs(frames[7].pixels.astype(int) - moving_blocks(7)).mean() < 12


def test_a_second_pass_yields_the_same_frames(tmp_path: Path) -> None:
    video = VideoFile(write_test_video(tmp_path / "a.mp4"))
    first, second = list(video), list(video)
    assert [frame.time for frame in first] == [frame.time for frame in second]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, second, strict=True))


def test_variable_frame_rate_is_kept_as_time_stamps(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.2, 0.25, 0.9, 1.0]
    video = VideoFile(write_test_video(tmp_path / "a.mp4", num_frames=6, times=times))
    assert [frame.time for frame in video] == pytest.approx(times, abs=1e-3)


def test_avi_with_reordered_frames_has_increasing_times(tmp_path: Path) -> None:
    times = [frame.time for frame in VideoFile(write_test_video(tmp_path / "a.avi", num_frames=20))]
    np.testing.assert_allclose(np.diff(times), 1 / 25, atol=1e-5)


@pytest.mark.parametrize(
    ("rotation", "expected"),
    [
        ((90, False), [1, 3, 0, 2]),
        ((180, False), [3, 2, 1, 0]),
        ((270, False), [2, 0, 3, 1]),
        ((0, True), [1, 0, 3, 2]),
        ((90, True), [3, 1, 2, 0]),
        ((180, True), [2, 3, 0, 1]),
    ],
)
def test_frames_are_turned_and_mirrored_as_they_are_to_be_shown(
    tmp_path: Path, rotation: tuple[int, bool], expected: list[int]
) -> None:
    video = VideoFile(write_test_video(tmp_path / "a.mp4", num_frames=2, picture=quarters, rotation=rotation))
    pixels = next(iter(video)).pixels
    assert corners(pixels) == expected
    assert video.size == pixels.shape[:2] == ((64, 32) if rotation[0] in (90, 270) else (32, 64))


def test_a_file_cut_off_at_its_end_yields_what_it_holds_and_names_the_rest(tmp_path: Path) -> None:
    video = VideoFile(cut(write_test_video(tmp_path / "a.mp4", num_frames=40, picture=noise, faststart=True), 0.6))
    decoded = len(list(video))
    assert video.declared == 40
    assert 5 < decoded < 40
    assert decoded + len(video.skipped) == 40
    assert video.skipped[-1].index == 39
    assert "ends early" in video.skipped[-1].reason


def test_a_cut_off_matroska_file_is_noticed_though_it_declares_no_frames(tmp_path: Path) -> None:
    video = VideoFile(cut(write_test_video(tmp_path / "a.mkv", num_frames=60, picture=noise), 0.5))
    decoded = len(list(video))
    assert video.declared is None
    assert 0 < decoded < 60
    (rest,) = [frame for frame in video.skipped if "ends early" in frame.reason]
    assert "of 2.40 s" in rest.reason


def test_damaged_frames_are_listed_where_they_would_have_stood(tmp_path: Path) -> None:
    path = write_test_video(tmp_path / "a.mp4", num_frames=60, picture=noise, max_b_frames=0)
    video = VideoFile(damage(path, length=12_000))
    times = [frame.time for frame in video]
    lost = [frame.index for frame in video.skipped]
    assert lost
    assert len(set(lost)) == len(lost)
    present = [index for index in range(60) if index not in lost]
    np.testing.assert_allclose(times, np.array(present) / 25, atol=1e-3)
    assert "cannot be decoded" in video.skipped[0].reason


def test_damaged_frames_are_listed_as_far_as_the_video_was_read(tmp_path: Path) -> None:
    path = write_test_video(tmp_path / "a.mp4", num_frames=60, picture=noise, max_b_frames=0)
    video = VideoFile(damage(path, length=12_000))
    list(video)
    whole = video.skipped
    for choice, lost in ((FrameChoice(end=whole[-1].index / 25 + 0.2), whole), (FrameChoice(max_frames=2), ())):
        source = choice.of(video)
        list(source)
        assert source.skipped == lost


def test_frames_that_come_late_after_damage_do_not_shift_the_others(tmp_path: Path) -> None:
    path = write_test_video(tmp_path / "a.mp4", num_frames=60, picture=noise)
    video = VideoFile(damage(path, length=12_000))
    times = [frame.time for frame in video]
    assert len(times) + len(video.skipped) == 60
    assert (np.diff(times) > 0).all()
    assert times[-1] == pytest.approx(59 / 25, abs=1e-3)


def test_a_change_of_size_on_the_way_is_stretched_to_the_first_size(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small = write_test_video(tmp_path / "small.ts", num_frames=5)
    large = write_test_video(tmp_path / "large.ts", num_frames=7, picture=lambda i: moving_blocks(i, size=(96, 160)))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    with caplog.at_level(logging.WARNING):
        frames = list(VideoFile(joined))
    assert {frame.pixels.shape for frame in frames} == {(48, 80, 3)}
    np.testing.assert_allclose(np.diff([frame.time for frame in frames]), 1 / 25, atol=1e-3)
    assert len(frames) == 12
    assert "from 80x48 to 160x96" in caplog.text


def test_decoded_frames_do_not_wait_for_the_garbage_collector(tmp_path: Path) -> None:
    path = write_test_video(tmp_path / "a.mp4", num_frames=40)
    gc.collect()
    gc.disable()
    try:
        assert len(list(VideoFile(path))) == 40
        left = sum(type(one) is VideoFrame for one in gc.get_objects())
    finally:
        gc.enable()
    assert left == 0


def test_a_frame_larger_than_the_limit_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_test_video(tmp_path / "a.mp4")
    monkeypatch.setattr(video_files, "MAX_PIXELS", 3000)
    with pytest.raises(VideoReadError, match="80x48 pixels exceed the limit of 3000"):
        VideoFile(path)


def bad_file(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.mp4"
    match kind:
        case "empty":
            path.touch()
        case "text":
            path.write_text("not a video\n" * 50)
        case "sound":
            write_sound(path)
        case "cut":
            cut(write_test_video(folder / "whole.mp4"), 0.5).rename(path)
        case "header":
            whole = write_test_video(folder / "whole.mp4", picture=noise, faststart=True)
            path.write_bytes(whole.read_bytes()[:1200])
        case "playlist":
            path.write_text("#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n")
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("empty", "is empty"),
        ("text", "not a video that can be read"),
        ("sound", "sound only"),
        ("cut", "cut off"),
        ("header", "no frame can be decoded|cut off"),
        ("playlist", "not a video that can be read"),
        ("absent", "No such file"),
    ],
)
def test_what_is_no_video_is_refused_with_its_path_and_reason(tmp_path: Path, kind: str, reason: str) -> None:
    path = bad_file(tmp_path, kind)
    with pytest.raises(VideoReadError, match=reason) as caught:
        VideoFile(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.slow
def test_real_clips_have_the_frames_that_ffmpeg_counts() -> None:
    listed = json.loads(shared_path(f"{CLIPS}/clips.json").read_text())
    for name, facts in listed.items():
        stream = facts["video_streams"][0]
        video = VideoFile(shared_path(f"{CLIPS}/{name}"))
        times = [frame.time for frame in video]
        assert len(times) == stream["frames"], name
        assert video.skipped == (), name
        size = (stream["coded_height"], stream["coded_width"])
        is_turned = stream["rotation_deg_counterclockwise_to_display"] in (90, 270)
        assert video.size == (size[::-1] if is_turned else size), name
        assert (times[0], times[-1]) == pytest.approx((stream["first_pts_s"], stream["last_pts_s"]), abs=1e-3), name
        if stream["pts_s"] is not None:
            assert times == pytest.approx(stream["pts_s"], abs=1e-3), name


def test_a_turned_real_clip_is_turned_counter_clockwise() -> None:
    path = shared_path(f"{CLIPS}/car_rotated90_h264.mp4")
    with av.open(str(path)) as container:
        coded = next(container.decode(video=0)).to_ndarray(format="rgb24")
    np.testing.assert_array_equal(next(iter(VideoFile(path))).pixels, np.rot90(coded))


def test_a_bare_stream_plays_at_its_own_rate(tmp_path: Path) -> None:
    write_test_video(tmp_path / "a.mp4", num_frames=10, picture=grey_levels)
    with av.open(str(tmp_path / "a.mp4")) as source, av.open(str(tmp_path / "a.h264"), "w", format="h264") as bare:
        stream = bare.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                bare.mux(packet)
    video = VideoFile(tmp_path / "a.h264")
    frames = list(video)
    assert [frame.time for frame in frames] == pytest.approx([t / 25 for t in range(10)])
    levels = [float(frame.pixels.mean()) for frame in frames]
    assert levels == sorted(levels)
    assert video.skipped == ()


def test_frames_hidden_by_an_edit_list_are_not_lost(tmp_path: Path) -> None:
    write_test_video(tmp_path / "a.mp4", num_frames=10, picture=grey_levels, max_b_frames=0)
    trimmed = tmp_path / "trimmed.mp4"
    trimmed.write_bytes(with_edit_list(tmp_path / "a.mp4", first=4))
    video = VideoFile(trimmed)
    frames = list(video)
    assert [round(float(frame.pixels.mean()) / 20) for frame in frames] == [5, 6, 7, 8, 9, 10]
    assert frames[0].time == 0
    assert video.skipped == ()


def with_edit_list(path: Path, *, first: int) -> bytes:
    """The bytes of an mp4 whose edit list begins at a frame of 1/25 s; the list is there already and begins at 0."""
    content = bytearray(path.read_bytes())
    place = content.index(b"elst")
    with av.open(str(path)) as container:
        base = container.streams.video[0].time_base
    assert base is not None
    version = content[place + 4]
    start = place + 12 + (8 if version else 4)
    size = 8 if version else 4
    content[start : start + size] = round(Fraction(first, 25) / base).to_bytes(size, "big")
    return bytes(content)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([0.0, 0.1, 0.2, 0.2, 0.3], [0, 0.1, 0.2, 0.22, 0.3]),
        ([0.0, 0.1, 0.1, 0.1, 0.2], [0, 0.1, 0.12, 0.14, 0.2]),
        ([0.0, 0.1, 0.2, 0.0, 0.1], [0, 0.1, 0.2, 0.3, 0.4]),
    ],
)
def test_repeated_times_move_no_other_frame(times: list[float], expected: list[float]) -> None:
    clock = Clock(0.1)
    assert [clock.next(time, is_damaged=False) for time in times] == pytest.approx(expected)


def test_a_clock_that_stands_is_moved_on_by_whole_frames() -> None:
    clock = Clock(0.1)
    times = [clock.next(0.0, is_damaged=False) for _ in range(8)]
    assert times == sorted(set(times))
    assert times[-1] - times[-2] == pytest.approx(0.1)


@pytest.mark.parametrize("lines", [96, 720])
def test_frames_without_marks_have_the_matrix_of_their_size(tmp_path: Path, lines: int) -> None:
    path = write_marked(tmp_path / "a.mkv", lines, matrix=Colorspace.ITU709 if lines == 720 else Colorspace.ITU601)
    (frame, *_) = VideoFile(path)
    np.testing.assert_allclose(frame.pixels[lines // 2, 60].astype(int), [200, 40, 40], atol=4)


def write_marked(path: Path, lines: int, matrix: Colorspace, *, aspect: Fraction | None = None) -> Path:
    """A red video coded with a matrix that the file does not name."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 128, lines, "yuv420p"
        if aspect is not None:
            stream.sample_aspect_ratio = aspect
        red = np.broadcast_to(np.array([200, 40, 40], np.uint8), (lines, 128, 3))
        for _ in range(2):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(red), format="rgb24")
            coded = frame.reformat(format="yuv420p", dst_colorspace=matrix).to_ndarray()
            container.mux(stream.encode(av.VideoFrame.from_ndarray(coded, format="yuv420p")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(("aspect", "size"), [(Fraction(2), (96, 256)), (Fraction(1, 2), (192, 128))])
def test_pixels_that_are_not_square_are_stretched(tmp_path: Path, aspect: Fraction, size: tuple[int, int]) -> None:
    video = VideoFile(write_marked(tmp_path / "a.mkv", 96, Colorspace.ITU601, aspect=aspect))
    assert video.size == size
    assert next(iter(video)).pixels.shape[:2] == size


@pytest.mark.parametrize(
    ("streams", "number"),
    [
        ([(64, True), (128, False)], 0),  # one is marked
        ([(64, False), (128, False)], 1),  # none is: the largest
        ([(128, True), (96, True)], 0),  # both are
        ([(96, True), (128, True)], 0),  # both are, neither is small
        ([(32, True), (256, True)], 1),  # the first of them is a preview
    ],
)
def test_one_stream_of_several_is_read_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, streams: list[tuple[int, bool]], number: int
) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        for width, is_marked in streams:
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = width, 32, "yuv420p"
            stream.disposition = Disposition.default if is_marked else Disposition(0)
        for stream in container.streams.video:
            for t in range(3):
                frame = av.VideoFrame.from_ndarray(np.full((32, stream.width, 3), 90, np.uint8), format="rgb24")
                frame.pts, frame.time_base = t, Fraction(1, 10)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    width = streams[number][0]
    assert VideoFile(path).size == (32, width)
    assert f"has 2 video streams; number {number} ({width}x32) is read" in caplog.text


def test_an_uncompressed_video_is_read(tmp_path: Path) -> None:
    plane = b"".join(b"FRAME\n" + bytes([level]) * (32 * 16) + bytes([128]) * (16 * 8 * 2) for level in (50, 100, 150))
    (tmp_path / "a.y4m").write_bytes(b"YUV4MPEG2 W32 H16 F10:1 Ip A1:1 C420mpeg2\n" + plane)
    frames = list(VideoFile(tmp_path / "a.y4m"))
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.2])
    np.testing.assert_allclose([frame.pixels.mean() for frame in frames], [39.6, 97.8, 156.0], atol=1)


def test_sound_is_named_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00" + bytes(40))
    with pytest.raises(VideoReadError, match=r"a\.wav: is a sound file, not a video"):
        VideoFile(tmp_path / "a.wav")


def grey_levels(index: int) -> np.ndarray:
    return np.full((48, 80, 3), 20 * (index + 1), np.uint8)


def test_a_file_that_may_not_be_read_is_one_sentence() -> None:
    with open_folder() as folder:
        path = folder / "film.mp4"
        write_test_video(path, num_frames=2, picture=moving_blocks)
        path.chmod(0o000)

        def read() -> int:
            with pytest.raises(VideoReadError, match=r"film\.mp4: cannot be opened \(permission denied\)"):
                VideoFile(path)
            return 0

        assert as_nobody(read) == (0, "")
