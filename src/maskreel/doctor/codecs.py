"""Codecs that really encode and decode here: a small clip goes through each and its frames are compared.

Run as a module it tries them and prints what happened as JSON; `examine` does so in a process of its own, for codec
libraries write to the terminal as they like, and a broken one takes its process with it.
"""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
from av.error import FFmpegError

from maskreel.doctor.finding import Finding

MAX_ERROR = 6.0
"""Mean difference from what was encoded, of 255, that is taken for a codec's loss."""
TIMEOUT = 120


class Codec(NamedTuple):
    """A way to write and read back a clip."""

    name: str
    encoder: str
    container: str
    pixels: str
    decoder: str | None = None
    options: dict[str, str] = {}  # noqa: RUF012  # never changed


OVERLAY = Codec("H.264 in mp4", "libx264", "mp4", "yuv420p")
ALPHA = Codec("VP9 with alpha in webm", "libvpx-vp9", "webm", "yuva420p", decoder="libvpx-vp9")
OTHERS = (
    Codec("H.265 in mp4", "libx265", "mp4", "yuv420p", options={"x265-params": "log-level=none"}),
    Codec("AV1 in mp4", "libsvtav1", "mp4", "yuv420p"),
    Codec("VP9 in webm", "libvpx-vp9", "webm", "yuv420p"),
    Codec("VP8 in webm", "libvpx", "webm", "yuv420p"),
    Codec("MPEG-4 in mp4", "mpeg4", "mp4", "yuv420p"),
    Codec("MPEG-2 in ts", "mpeg2video", "mpegts", "yuv420p"),
    Codec("motion JPEG in avi", "mjpeg", "avi", "yuvj420p"),
    Codec("ProRes in mov", "prores_ks", "mov", "yuv422p10le"),
    Codec("FFV1 in mkv", "ffv1", "matroska", "yuv420p"),
)


def examine() -> Iterator[Finding]:
    """Findings about codecs: those that Maskreel writes one by one, the others together."""
    try:
        done = subprocess.run([sys.executable, "-m", __name__], capture_output=True, text=True, timeout=TIMEOUT)
        faults = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
        ending = f"the process that tried it ended with code {done.returncode}"
    except subprocess.TimeoutExpired as error:
        faults = dict(json.loads(line) for line in (error.stdout or b"").decode().splitlines() if line.startswith("["))
        ending = f"no answer within {TIMEOUT} seconds"
    yield from findings({codec.name: faults.get(codec.name, ending) for codec in (OVERLAY, ALPHA, *OTHERS)})


def findings(faults: dict[str, str | None]) -> Iterator[Finding]:
    """What follows from the fault of each codec, by its name; None where it works."""
    reinstall = "pip install --force-reinstall --no-deps av"
    yield _single(OVERLAY, faults, "problem", f"overlay videos cannot be written: {reinstall}")
    yield _single(ALPHA, faults, "note", f"predict --save alpha does not work: {reinstall}")
    works = [codec.name for codec in OTHERS if faults[codec.name] is None]
    fails = [f"{codec.name} ({faults[codec.name]})" for codec in OTHERS if faults[codec.name] is not None]
    yield Finding(
        subject="other codecs",
        state="note" if fails else "ok",
        found=f"encode and decode: {', '.join(works) or 'none'}" + (f"; not: {', '.join(fails)}" if fails else ""),
        advice=f"such videos may not be readable here; convert them to H.264, or {reinstall}" if fails else "",
    )


def fault(codec: Codec) -> str | None:
    """What goes wrong when a clip is written and read back; None for nothing."""
    try:
        clip = _clip(codec)
        found = _read_back(_written(codec, clip), codec)
    except (FFmpegError, ValueError, IndexError) as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    if len(found) != len(clip):
        return f"{len(found)} of {len(clip)} frames came back"
    difference = np.abs(np.stack(found).astype(float) - clip).mean()
    return None if difference <= MAX_ERROR else f"pixels came back with a mean error of {difference:.0f} of 255"


def _single(codec: Codec, faults: dict[str, str | None], state: str, advice: str) -> Finding:
    what = faults[codec.name]
    if what is None:
        return Finding(subject=codec.name, state="ok", found="encodes and decodes")
    return Finding(subject=codec.name, state="problem" if state == "problem" else "note", found=what, advice=advice)


def _clip(codec: Codec) -> np.ndarray:
    """Four frames of a ramp that gets brighter, grey so that sharing colours loses nothing; with alpha, half clear."""
    ramp = np.broadcast_to(np.linspace(0, 96, 64).astype(np.uint8), (64, 64))
    frames = np.stack([np.repeat((ramp + 40 * step)[..., None], 3, axis=-1) for step in range(4)])
    if "a" not in codec.pixels:
        return frames
    alpha = np.zeros((4, 64, 64, 1), dtype=np.uint8)
    alpha[:, :32] = 255
    return np.concatenate((frames, alpha), axis=-1)


def _written(codec: Codec, clip: np.ndarray) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=codec.container) as container:
        stream = container.add_stream(codec.encoder, rate=10, options=codec.options)
        assert isinstance(stream, av.VideoStream), "every codec here is one of video"
        stream.width, stream.height, stream.pix_fmt = 64, 64, codec.pixels
        for index, pixels in enumerate(clip):
            layout = "rgba" if clip.shape[-1] == 4 else "rgb24"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=layout)
            frame = frame.reformat(format=codec.pixels)
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def _read_back(content: bytes, codec: Codec) -> list[np.ndarray]:
    layout = "rgba" if "a" in codec.pixels else "rgb24"
    with av.open(io.BytesIO(content), "r") as container:
        if codec.decoder is None:
            return [frame.to_ndarray(format=layout) for frame in container.decode(video=0)]
        decoder = av.CodecContext.create(codec.decoder, "r")
        assert isinstance(decoder, av.VideoCodecContext), "every codec here is one of video"
        frames = [frame for packet in container.demux(video=0) for frame in decoder.decode(packet)]
        return [frame.to_ndarray(format=layout) for frame in frames]


def _try_all() -> None:
    for codec in (OVERLAY, ALPHA, *OTHERS):
        sys.stdout.write(json.dumps([codec.name, fault(codec)]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _try_all()
