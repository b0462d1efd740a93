"""Videos as people have them are read with every frame, at its time, upright, in its colours and its shape."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from maskreel.errors import VideoReadError
from maskreel.video.sources import open_video
from tests.field.makers import (
    QUARTERS,
    SIZE,
    cut,
    grey,
    level,
    quarters,
    write_animation,
    write_pages,
    write_stream,
)

Build = Callable[[Path], Path]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a source shows."""

    times: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    size: tuple[int, int] = (96, 160)
    corners: tuple[int, int, int, int] | None = (0, 1, 2, 3)
    """Places among `QUARTERS` of the four corners; None where every frame is `grey`."""
    tolerance: float = 3.0
    """Of the mean error of every channel, of 255."""


def stream(name: str, **options: object) -> Build:
    return lambda folder: write_stream(folder / name, **options)  # pyright: ignore[reportArgumentType]


def greys(name: str, **options: object) -> Build:
    return stream(name, paint=grey, **options)


UNEVEN = (0.0, 0.1, 0.15, 0.5, 0.9, 1.0)
LATE = (5.0, 5.1, 5.2, 5.3, 5.4, 5.5)
DURATIONS = (100, 200, 50, 50, 100, 3000)
FROM_DURATIONS = (0.0, 0.1, 0.3, 0.35, 0.4, 0.5)


def bare(rate: Fraction) -> Shown:
    return Shown(times=tuple(float(n / rate) for n in range(6)), corners=None)


GREY = Shown(corners=None)
CASES: dict[str, tuple[Build, Shown]] = {
    "B-frames": (greys("a.mp4", context={"max_b_frames": 3}), GREY),
    "B-frames in Matroska": (greys("a.mkv", context={"max_b_frames": 3}), GREY),
    "B-frames in AVI": (greys("a.avi", context={"max_b_frames": 3}), GREY),
    "a transport stream that begins late": (
        greys("a.ts", context={"max_b_frames": 0}),
        Shown(times=tuple(n / 10 for n in range(6)), corners=None),
    ),
    "uneven times": (greys("a.mkv", times=UNEVEN), Shown(times=UNEVEN, corners=None)),
    "times that begin late": (greys("a.mp4", times=LATE), Shown(times=LATE, corners=None)),
    "times that begin below zero": (greys("a.mkv", times=[n / 10 - 0.2 for n in range(6)]), GREY),
    "fragments, as cameras write them": (
        greys("a.mp4", context={"max_b_frames": 0}, options={"movflags": "frag_keyframe+empty_moov"}),
        GREY,
    ),
    "motion JPEG": (stream("a.avi", codec="mjpeg", pixels="yuvj420p"), Shown()),
    "four values for every chroma": (stream("a.mp4", pixels="yuv444p"), Shown()),
    "ten bits": (stream("a.mp4", codec="libx265", pixels="yuv420p10le"), Shown(tolerance=3.1)),
    "an odd size": (stream("a.mp4", pixels="yuv444p", size=(97, 161)), Shown(size=(97, 161))),
    "one pixel": (greys("a.mkv", codec="ffv1", size=(1, 1)), Shown(size=(1, 1), corners=None)),
    "grey of sixteen bits": (greys("a.mkv", codec="ffv1", pixels="gray16le"), GREY),
    "BT.709 of a small video": (stream("a.mp4", context={"colorspace": 1}, coded_as=(1, 1)), Shown()),
    "BT.709 of full range": (stream("a.mp4", context={"colorspace": 1, "color_range": 2}, coded_as=(1, 2)), Shown()),
    "BT.601 of full range, high": (
        stream("a.mp4", size=(720, 1280), context={"colorspace": 5, "color_range": 2}, coded_as=(5, 2)),
        Shown(size=(720, 1280)),
    ),
    "no marks, high": (stream("a.mp4", size=(720, 1280), coded_as=(1, 1)), Shown(size=(720, 1280))),
    "pixels twice as wide": (stream("a.mp4", context={"sample_aspect_ratio": Fraction(2)}), Shown(size=(96, 320))),
    "pixels twice as high": (stream("a.mkv", context={"sample_aspect_ratio": Fraction(1, 2)}), Shown(size=(192, 160))),
    **{
        f"turned by {degrees} degrees{' and mirrored' if mirrored else ''}": (
            stream("a.mp4", turned=(degrees, mirrored)),
            Shown(size=(160, 96) if degrees in (90, 270) else (96, 160), corners=corners),
        )
        for degrees, mirrored, corners in (
            (90, False, (1, 3, 0, 2)),
            (180, False, (3, 2, 1, 0)),
            (270, False, (2, 0, 3, 1)),
            (0, True, (1, 0, 3, 2)),
        )
    },
    **{
        f"a bare stream at {rate}": (greys("a.h264", rate=rate), bare(Fraction(rate)))
        for rate in (10, 30, Fraction(30000, 1001), 50, 120)
    },
    "a bare HEVC stream": (greys("a.hevc", codec="libx265", rate=50), bare(Fraction(50))),
    "yuv4mpeg": (greys("a.y4m", codec="wrapped_avframe"), GREY),
    "yuv4mpeg with all chroma": (stream("a.y4m", codec="wrapped_avframe", pixels="yuv444p"), Shown()),
    "a previewing stream in front": (
        greys("a.mkv", size=(24, 40), beside=((96, 160),)),
        GREY,
    ),
    **{
        f"an animated {ending[1:]}": (
            lambda folder, ending=ending, options=options: write_animation(folder / f"a{ending}", DURATIONS, **options),
            Shown(times=FROM_DURATIONS, corners=None),
        )
        for ending, options in ((".webp", {"quality": 95}), (".png", {}), (".gif", {}), (".avif", {"quality": 95}))
    },
    "an animation at 50 ms": (
        lambda folder: write_animation(folder / "a.webp", [50] * 6, quality=95),
        Shown(times=tuple(n / 20 for n in range(6)), corners=None),
    ),
    "an animation without times": (lambda folder: write_animation(folder / "a.webp", [0] * 6, quality=95), GREY),
    "TIFF pages of sixteen bits": (
        lambda folder: write_pages(folder / "a.tif", [np.full(SIZE, level(n) * 257, np.uint16) for n in range(6)]),
        GREY,
    ),
    "TIFF pages of fractions": (
        lambda folder: write_pages(
            folder / "a.tiff", [np.full((96, 160), level(n) / 255, np.float32) for n in range(6)]
        ),
        GREY,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_source_is_read_as_it_is_shown(name: str, tmp_path: Path) -> None:
    build, shown = CASES[name]
    source = open_video(build(tmp_path))
    frames = list(source)
    start = frames[0].time if name.startswith("a transport stream") else 0.0
    assert [frame.time - start for frame in frames] == pytest.approx(shown.times, abs=0.002)
    assert source.skipped == ()
    assert source.size == frames[0].pixels.shape[:2] == shown.size
    for index, frame in enumerate(frames):
        wanted = grey(index, *shown.size) if shown.corners is None else painted(shown.corners, shown.size)
        error = np.abs(inside(frame.pixels).astype(int) - inside(wanted)).mean((0, 1))
        assert error.max() < shown.tolerance, (index, error)


def painted(corners: tuple[int, int, int, int], size: tuple[int, int]) -> np.ndarray:
    image = quarters(0, *size)
    height, width = size
    for place, corner in enumerate(corners):
        rows = slice(0, height // 2) if place < 2 else slice(height // 2, None)
        image[rows, slice(0, width // 2) if place % 2 == 0 else slice(width // 2, None)] = QUARTERS[corner]
    return image


def inside(pixels: np.ndarray) -> np.ndarray:
    """The pixels without those beside an edge between colours, which coding mixes."""
    height, width = pixels.shape[:2]
    if min(height, width) < 24:
        return pixels
    near = [np.r_[0 : side // 2 - 10, side // 2 + 10 : side] for side in (height, width)]
    return pixels[np.ix_(*near)]


@pytest.mark.parametrize(("name", "codec", "pixels"), [("a.mov", "png", "rgba"), ("a.mkv", "ffv1", "yuva420p")])
def test_colours_under_alpha_are_not_seen(name: str, codec: str, pixels: str, tmp_path: Path) -> None:
    with av.open(str(tmp_path / name), "w") as container:
        video = container.add_stream(codec, rate=10)
        assert isinstance(video, av.VideoStream)
        video.height, video.width, video.pix_fmt = 96, 160, pixels
        image = np.concatenate((quarters(0), np.zeros((96, 160, 1), np.uint8)), -1)
        image[20:40, 20:40, 3] = 255
        frame = av.VideoFrame.from_ndarray(image, format="rgba").reformat(format=pixels)
        container.mux(video.encode(frame))
        container.mux(video.encode())
    (frame,) = open_video(tmp_path / name)
    assert np.abs(frame.pixels[30, 30].astype(int) - QUARTERS[0]).max() <= 3
    assert (frame.pixels[60:] == 255).all()


def test_a_still_image_in_front_of_an_animation_is_no_frame(tmp_path: Path) -> None:
    """Programs that know no animation show it instead."""
    frames = [Image.fromarray(grey(index)) for index in range(3)]
    Image.fromarray(grey(9)).save(
        tmp_path / "a.png", save_all=True, append_images=frames, duration=100, default_image=True
    )
    source = open_video(tmp_path / "a.png")
    assert [int(frame.pixels[0, 0, 0]) for frame in source] == [level(n) for n in range(3)]
    assert source.declared == 3


def test_the_largest_of_several_streams_that_are_marked_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Matroska takes a stream for marked where it says nothing, the preview in front too."""
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        for height, width in ((24, 40), (96, 160)):
            video = container.add_stream("ffv1", rate=10)
            assert isinstance(video, av.VideoStream)
            video.height, video.width, video.pix_fmt = height, width, "yuv420p"
            video.disposition = Disposition.default
        for video in container.streams.video:
            frame = av.VideoFrame.from_ndarray(grey(0, video.height, video.width), format="rgb24")
            container.mux(video.encode(frame))
            container.mux(video.encode())
    assert open_video(tmp_path / "a.mkv").size == (96, 160)
    assert "has 2 video streams; number 1 (160x96) is read" in caplog.text


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_file_that_was_cut_says_how_much_is_missing(name: str, part: float, tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    whole = write_stream(
        tmp_path / name,
        paint=lambda index, height, width: noise.integers(0, 255, (height, width, 3), dtype=np.uint8),
        count=20,
        codec="mjpeg",
        pixels="yuvj420p",
        options={"movflags": "+faststart"} if name == "a.mp4" else {},
    )
    source = open_video(cut(whole, part))
    decoded = len(list(source))
    assert 0.8 * part * 20 - 2 <= decoded <= part * 20
    reasons = [skipped.reason for skipped in source.skipped]
    assert any("the file ends early" in reason for reason in reasons)
    if name != "a.mkv":
        assert decoded + len(reasons) == 20


@pytest.mark.parametrize("name", ["a.y4m", "a.mkv", "a.mjpeg"])
def test_a_video_may_come_through_the_standard_input(name: str, tmp_path: Path) -> None:
    codec = {"a.y4m": "wrapped_avframe", "a.mkv": "ffv1", "a.mjpeg": "mjpeg"}[name]
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write_stream(tmp_path / name, paint=grey, codec=codec, pixels=pixels)
    code = "from maskreel.video.sources import open_video; print([int(f.pixels[5, 5, 0]) for f in open_video('-')])"
    done = subprocess.run(
        [sys.executable, "-c", code], stdin=path.open("rb"), capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == pytest.approx([level(n) for n in range(6)], abs=2)


def test_a_file_of_sound_or_text_is_named_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "talk.wav").write_bytes(
        b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x40\x1f\0\0\1\0\x08\0data\0\0\0\0"
    )
    (tmp_path / "page.mp4").write_text("<!DOCTYPE html><html>sign in</html>")
    for name, words in (("talk.wav", "sound"), ("page.mp4", "HTML page")):
        with pytest.raises(VideoReadError, match=words):
            open_video(tmp_path / name)


def test_a_frame_of_a_bare_file_that_was_cut_is_accounted_for(tmp_path: Path) -> None:
    path = write_stream(tmp_path / "a.y4m", paint=grey, codec="wrapped_avframe")
    for kept, decoded, missing in ((0.95, 5, 1), (1.0, 6, 0)):
        source = open_video(cut(path, kept))
        assert len(list(source)) == decoded
        assert [lost.reason for lost in source.skipped] == ["the file ends early: its last frame is cut"] * missing
