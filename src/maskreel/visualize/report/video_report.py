"""A result as one page that needs nothing else: video, masks that can be hidden, table of objects, timeline.

The page stays below `LIMIT`. What is left out, by a rule that it states itself: the video is shrunk to `VIDEO_SIDE` and
to at most `MAX_FRAMES` frames, evenly chosen, at a bit rate that fits; masks are shrunk to `MASK_SIDE`, and where they
take more than `MASK_BYTES`, those of every second, third ... frame stay on until the next; of many objects only the
`MAX_OBJECTS` with the highest scores are shown.
"""

import base64
import html
import io
import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from maskreel.geometry import rle
from maskreel.geometry.masklet import Masklet
from maskreel.geometry.masklets import Masklets
from maskreel.video.files import Frame, FrameSource
from maskreel.visualize.palette import text_colour, track_colour
from maskreel.visualize.takeaways.frames import seen_frames
from maskreel.visualize.takeaways.images import cut_out
from maskreel.visualize.video import TimedImage, write_video

LIMIT = 30 * 10**6
"""Bytes of a page."""
VIDEO_SIDE, MASK_SIDE, THUMBNAIL = 640, 320, 96
"""Pixels of the longest sides."""
BAR = 600
"""Pixels of the bar that shows when an object is seen, at its widest."""
MAX_FRAMES, MAX_OBJECTS = 18_000, 200
VIDEO_BITS = 8 * 11 * 10**6
"""Of the whole video; as text it takes a third more."""
MASK_BYTES = 8 * 10**6
THUMBNAIL_BYTES = 10_000
MAX_RATE = 4_000_000
"""Bits per second that are enough for frames of that size."""


def report(
    path: Path,
    masklets: Masklets,
    source: FrameSource,
    *,
    video_id: int,
    least: float = 0.0,
    downloads: Mapping[str, str] | None = None,
) -> None:
    """Write the page; the frames of the source are read once more.

    Objects from the score `least` on are shown at first. `downloads` are titles of what a server has beside the page,
    by the words of their addresses.
    """
    step = max(1, math.ceil(masklets.decoded / MAX_FRAMES))
    seen = [one for one in masklets if any(mask is not None for mask in one.segmentations)]
    shown = sorted(seen, key=lambda one: -one.score)[:MAX_OBJECTS]
    pictures = _Pictures(shown)
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "video.mp4"
        frames = _frames(masklets, source, step, pictures)
        write_video(video, frames, frame_rate=source.frame_rate, max_bits_per_second=_rate(masklets))
        content = video.read_bytes()
    size = _fitted((masklets.height, masklets.width), MASK_SIDE)
    every, masks = _thinned_masks(shown, range(0, masklets.decoded, step), size)
    times = [time - masklets.timestamps[0] for time in masklets.timestamps]
    data = {
        "least": least,
        "size": size,
        "every": every,
        "times": [round(time, 4) for time in times[::step]],
        "end": round(times[-1] + _last_duration(times, source.frame_rate), 4),
        "objects": [
            _entry(masklets, one, times, pictures.thumbnails.get(one.track_id), codes)
            for one, codes in zip(shown, masks, strict=True)
        ],
    }
    room = files("maskreel.visualize.report")
    page = Template(room.joinpath("report.html").read_text()).substitute(
        title=html.escape(masklets.source),
        ratio=f"{masklets.width / masklets.height:.4f}",
        facts=html.escape(_facts(masklets)),
        downloads=_downloads(downloads or {}),
        rule=html.escape(_rule(masklets, step, every, (len(shown), len(seen)))),
        style=room.joinpath("report.css").read_text(),
        script=room.joinpath("report.js").read_text(),
        data=json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
        video=base64.b64encode(content).decode("ascii"),
    )
    path.write_text(page, encoding="utf-8", newline="\n")


def counted(number: int, noun: str) -> str:
    """A number of things in words: 1 frame, 2 frames."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _downloads(titles: Mapping[str, str]) -> str:
    if not titles:
        return ""
    links = "".join(
        f'<a class="download" data-kind="{html.escape(kind)}" href="">{html.escape(title)}</a>'
        for kind, title in titles.items()
    )
    return f'<nav class="controls" aria-label="downloads"><span>take away:</span>{links}</nav>'


class _Pictures:
    """Keeps of every object the cut-out of the frame in which it is largest, as a data address."""

    def __init__(self, masklets: Sequence[Masklet]) -> None:
        self.thumbnails: dict[int, str] = {}
        self._wanted: dict[int, list[tuple[int, rle.Rle]]] = {}
        for one in masklets:
            areas = [0 if mask is None else rle.area(mask) for mask in one.segmentations]
            frame = int(np.argmax(areas))
            mask = one.segmentations[frame]
            if mask is not None and areas[frame]:
                self._wanted.setdefault(frame, []).append((one.track_id, mask))

    def see(self, frame: Frame) -> None:
        """Look at a frame as it comes by."""
        for track_id, mask in self._wanted.pop(frame.index, ()):
            image = Image.fromarray(cut_out(frame.pixels, mask))
            image.thumbnail((THUMBNAIL, THUMBNAIL))
            file = io.BytesIO()
            image.save(file, format="webp", quality=60)
            if file.tell() <= THUMBNAIL_BYTES:
                content = base64.b64encode(file.getvalue()).decode("ascii")
                self.thumbnails[track_id] = f"data:image/webp;base64,{content}"


def _frames(masklets: Masklets, source: FrameSource, step: int, pictures: _Pictures) -> Iterator[TimedImage]:
    height, width = _fitted((masklets.height, masklets.width), VIDEO_SIDE)
    for frame in seen_frames(masklets, source):
        pictures.see(frame)
        if frame.index % step == 0:
            duration = None if frame.duration is None or step > 1 else frame.duration
            yield TimedImage(frame.time, _resized(frame.pixels, height, width), duration)


def _resized(pixels: UInt8[np.ndarray, "h w 3"], height: int, width: int) -> UInt8[np.ndarray, "_ _ 3"]:
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX))


def _fitted(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """(height, width) of a picture whose longest side is at most `longest`."""
    scale = min(1.0, longest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _rate(masklets: Masklets) -> int:
    """Bits per second with which the whole video fits."""
    seconds = masklets.timestamps[-1] - masklets.timestamps[0] if masklets.timestamps else 0.0
    return int(min(MAX_RATE, VIDEO_BITS / max(seconds, 1.0)))


def _last_duration(times: Sequence[float], frame_rate: Fraction) -> float:
    return times[-1] - times[-2] if len(times) > 1 else float(1 / frame_rate)


def _thinned_masks(
    masklets: Sequence[Masklet], frames: range, size: tuple[int, int]
) -> tuple[int, list[list[str | None]]]:
    """Shrunk masks of the frames, and of how many frames one stands for where not all fit into the page."""
    masks = [[_code(one.segmentations[frame], size) for frame in frames] for one in masklets]
    sizes = [[len(json.dumps(code)) + 1 for code in codes] for codes in masks]
    in_frames = np.asarray(sizes, dtype=np.int64).reshape(len(masks), len(frames)).sum(axis=0)
    every = 1
    while in_frames[::every].sum() > MASK_BYTES and every < len(frames):
        every += 1
    return every, [codes[::every] for codes in masks]


def _code(mask: rle.Rle | None, size: tuple[int, int]) -> str | None:
    """Run-length code of a mask at another size, each pixel as the one it comes from."""
    if mask is None:
        return None
    dense = rle.decode(mask)
    if dense.shape != size:
        rows = ((np.arange(size[0]) + 0.5) * dense.shape[0] / size[0]).astype(int)
        columns = ((np.arange(size[1]) + 0.5) * dense.shape[1] / size[1]).astype(int)
        dense = dense[rows][:, columns]
    return rle.encode(np.ascontiguousarray(dense)).counts.decode("ascii")


def _entry(
    masklets: Masklets, one: Masklet, times: Sequence[float], thumbnail: str | None, codes: Sequence[str | None]
) -> dict[str, Any]:
    seen = [frame for frame, mask in enumerate(one.segmentations) if mask is not None]
    colour = track_colour(one.track_id)
    return {
        "id": one.track_id,
        "name": masklets.name(one),
        "score": round(one.score, 4),
        "colour": colour,
        "text": "#000" if text_colour(colour) == (0, 0, 0) else "#fff",
        "thumb": thumbnail,
        "seen": _stretches(seen, times),
        "last": round(times[seen[-1]], 4),
        "masks": codes,
    }


def _stretches(seen: Sequence[int], times: Sequence[float]) -> list[tuple[float, float]]:
    """(start, end) in seconds of every run of frames, which ends where its last frame does.

    Gaps too short for a bar of `BAR` pixels are closed.
    """
    step = times[-1] / max(1, len(times) - 1)
    ends = np.asarray([*times[1:], times[-1] + step])[np.asarray(seen)]
    starts = np.asarray(times)[np.asarray(seen)]
    gaps = np.where(np.diff(seen) > 1, starts[1:] - ends[:-1], -1.0)
    breaks = np.flatnonzero(gaps >= (times[-1] + step) / BAR)
    firsts, lasts = starts[[0, *(breaks + 1)]].tolist(), ends[[*breaks, -1]].tolist()
    return [(round(first, 4), round(last, 4)) for first, last in zip(firsts, lasts, strict=True)]


def _facts(masklets: Masklets) -> str:
    lost = f", {len(masklets.skipped)} lost" if masklets.skipped else ""
    seconds = masklets.timestamps[-1] - masklets.timestamps[0] if masklets.timestamps else 0.0
    objects, frames = counted(len(masklets), "object"), counted(masklets.decoded, "frame")
    return f"{objects} in {frames}{lost}, {masklets.width} x {masklets.height} pixels, {seconds:.1f} seconds"


def _rule(masklets: Masklets, step: int, every: int, objects: tuple[int, int]) -> str:
    """What was left out; `objects` are (shown, seen)."""
    shown, seen = objects
    said = [f"The video is shown with at most {VIDEO_SIDE} pixels on its longest side, masks with {MASK_SIDE}"]
    if step > 1:
        said.append(f"of {masklets.decoded} frames every {step}th is here")
    if every > 1:
        said.append(f"a mask stays on for {every} frames")
    if shown < seen:
        said.append(f"of {seen} objects the {shown} with the highest scores are here")
    return "; ".join(said) + f". So the page stays below {LIMIT // 10**6} MB; the JSON file holds everything."
