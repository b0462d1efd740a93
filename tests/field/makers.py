"""Videos and pictures as people have them, painted here so that what is read can be compared with what was painted."""

import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from jaxtyping import UInt8
from PIL import Image

QUARTERS = ((200, 40, 40), (40, 180, 60), (50, 70, 210), (220, 200, 40))
"""Colours of the upper left, upper right, lower left and lower right of `quarters`."""
SIZE = (96, 160)
"""(height, width) of what is painted."""

Painter = Callable[[int, int, int], UInt8[np.ndarray, "h w 3"]]


def quarters(index: int, height: int = SIZE[0], width: int = SIZE[1]) -> UInt8[np.ndarray, "h w 3"]:
    """Four colours, which show what is turned, mirrored, or read with another matrix."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    for (row, column), colour in zip(itertools.product((0, 1), (0, 1)), QUARTERS, strict=True):
        rows = slice(0, height // 2) if row == 0 else slice(height // 2, None)
        image[rows, slice(0, width // 2) if column == 0 else slice(width // 2, None)] = colour
    return image


def level(index: int) -> int:
    return 20 + 15 * index


def grey(index: int, height: int = SIZE[0], width: int = SIZE[1]) -> UInt8[np.ndarray, "h w 3"]:
    """Frame n has the grey `level(n)`, which shows what is lost, doubled or out of order."""
    return np.full((height, width, 3), level(index), dtype=np.uint8)


def write_stream(
    path: Path,
    *,
    paint: Painter = quarters,
    count: int = 6,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    rate: int | Fraction = 10,
    times: Sequence[float] | None = None,
    size: tuple[int, int] = SIZE,
    context: dict[str, Any] | None = None,
    coded_as: tuple[int | None, int | None] = (None, None),
    options: dict[str, str] | None = None,
    turned: tuple[int, bool] | None = None,
    beside: tuple[tuple[int, int], ...] = (),
) -> Path:
    """Encode `paint(0)`, `paint(1)` ...

    `times` in seconds make the rate uneven; `context` sets fields of the encoder, `coded_as` is the matrix and range
    that pixels are made with; `turned` is (degrees, mirrored) for who shows it; `beside` are sizes of further streams.
    """
    with av.open(str(path), "w", options=options or {}) as container:
        streams = []
        for height, width in (size, *beside):
            stream = container.add_stream(codec, rate=rate)
            assert isinstance(stream, av.VideoStream)
            stream.height, stream.width, stream.pix_fmt = height, width, pixels
            if codec == "libx265":
                stream.options = {"x265-params": "log-level=none"}
            for name, value in (context or {}).items():
                setattr(stream.codec_context, name, value)
            if times is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
            if turned is not None:
                stream.set_display_rotation(turned[0], hflip=turned[1])
            streams.append(stream)
        for index, stream in itertools.product(range(count), streams):
            frame = av.VideoFrame.from_ndarray(paint(index, stream.height, stream.width), format="rgb24")
            frame = frame.reformat(format=pixels, dst_colorspace=coded_as[0], dst_color_range=coded_as[1])
            frame.time_base = 1 / Fraction(rate) if times is None else Fraction(1, 1000)
            frame.pts = index if times is None else round(1000 * times[index])
            container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())
    return path


def write_animation(path: Path, durations: Sequence[int], **options: Any) -> Path:
    """An animated image of `grey` frames that are shown for so many milliseconds."""
    frames = [Image.fromarray(grey(index)) for index in range(len(durations))]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=list(durations), **options)
    return path


def write_pages(path: Path, pages: Sequence[np.ndarray]) -> Path:
    images = [Image.fromarray(page) for page in pages]
    images[0].save(path, save_all=True, append_images=images[1:])
    return path


def write_frames(folder: Path, names: Sequence[str], *, paint: Painter = grey) -> Path:
    """A picture per name, the first with `paint(0)`."""
    for index, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(paint(index, 12, 16)).save(path, **({"quality": 95} if path.suffix != ".png" else {}))
    return folder


def cut(path: Path, part: float) -> Path:
    """The first part of a file, as an interrupted download leaves it."""
    shortened = path.with_name(f"cut-{path.name}")
    shortened.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    return shortened
