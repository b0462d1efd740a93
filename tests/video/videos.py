"""Small video files, whole and damaged, for the tests of reading and predicting."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

Picture = np.ndarray

COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [255, 0, 255], [0, 255, 255]], dtype=np.uint8)
"""Of the objects that `moving_blocks` shows, in the order of the queries of `tests.inference.colour_model`."""


def moving_blocks(
    index: int, *, size: tuple[int, int] = (48, 80), count: int = 6, hidden: Sequence[tuple[int, range]] = ()
) -> Picture:
    """Coloured blocks on grey that slide from side to side; block n is missing in the frames of (n, frames)."""
    height, width = size
    picture = np.full((height, width, 3), 90, dtype=np.uint8)
    row = height // count
    for n in range(count):
        if any(n == block and index in frames for block, frames in hidden):
            continue
        left = round((width - 16) * (0.5 + 0.5 * np.sin(index / 25 + n)))
        picture[n * row : n * row + max(row - 1, 4), left : left + 16] = COLOURS[n]
    return picture


def noise(index: int, *, size: tuple[int, int] = (48, 80)) -> Picture:
    """A picture that compresses badly, so that damage in the file hits it."""
    return np.random.default_rng(index).integers(0, 256, (*size, 3), dtype=np.uint8)


def write_test_video(
    path: Path,
    *,
    num_frames: int = 10,
    picture: Callable[[int], Picture] = moving_blocks,
    codec: str = "libx264",
    rate: int = 25,
    times: Sequence[float] | None = None,
    rotation: tuple[int, bool] | None = None,
    faststart: bool = False,
    max_b_frames: int | None = None,
) -> Path:
    """Encode `picture(0)`, `picture(1)` ...; `times` in seconds makes the rate variable.

    `rotation` is (degrees counter-clockwise, mirrored) to be applied by whoever shows the video.
    """
    options = {"movflags": "+faststart"} if faststart else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=rate)
        assert isinstance(stream, av.VideoStream)
        first = picture(0)
        stream.width, stream.height, stream.pix_fmt = first.shape[1], first.shape[0], "yuv420p"
        stream.gop_size = 12
        if max_b_frames is not None:
            stream.codec_context.max_b_frames = max_b_frames
        if rotation is not None:
            stream.set_display_rotation(rotation[0], hflip=rotation[1])
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(1000 * times[index]), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_sound(path: Path) -> Path:
    """A second of silence, without pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000)
        assert isinstance(stream, av.AudioStream)
        for _ in range(16):
            frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
            frame.sample_rate = 16_000
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def cut(path: Path, part: float) -> Path:
    """The first part of a file, as an interrupted download leaves it."""
    content = path.read_bytes()
    shortened = path.with_name(f"cut_{path.name}")
    shortened.write_bytes(content[: int(len(content) * part)])
    return shortened


def damage(path: Path, *, length: int = 1500) -> Path:
    """A file with rubbish in its middle."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + length] = np.random.default_rng(1).integers(0, 256, length, dtype=np.uint8).tobytes()
    damaged = path.with_name(f"damaged_{path.name}")
    damaged.write_bytes(content)
    return damaged
