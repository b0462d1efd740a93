"""A video while it comes in: frames are pushed, what is final comes out, and at the end there are masklets."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, SupportsFloat

import torch
from jaxtyping import UInt8
from torch import Tensor

from maskreel.errors import DataError, UsageError
from maskreel.geometry.masklets import Masklet, Masklets, SkippedFrame
from maskreel.inference.link import Linker
from maskreel.inference.options import PredictorOptions
from maskreel.inference.pending import FrameObjects, PendingFrames
from maskreel.inference.postprocess import ClipDetections
from maskreel.inference.tracks import VideoTracks
from maskreel.inference.windows import Window, WindowCutter
from maskreel.structures import Clip
from maskreel.video.arrays import as_pixels
from maskreel.video.files import Frame, FrameSource
from maskreel.video.frame_folders import FRAME_RATE
from maskreel.video.prepare import show_frame


@dataclass(frozen=True, kw_only=True)
class VideoResult:
    """A finished video, before a score threshold is applied."""

    name: str
    """What was read, as it was named."""
    size: tuple[int, int]
    """(height, width) of its frames in pixels."""
    declared: int | None
    """Frames that the source says it has."""
    skipped: tuple[SkippedFrame, ...]
    timestamps: tuple[float, ...]
    tracks: VideoTracks
    classes: tuple[tuple[int, str], ...]

    def masklets(self, min_score: float) -> Masklets:
        """One masklet per object, of its most probable class: what overlays and `<stem>.json` show."""
        return self._result(self.tracks.masklets(len(self.timestamps), min_score))

    def pairs(self, min_score: float = 0.0) -> Masklets:
        """One masklet per (object, class) pair, as average precision is measured: what `results.json` holds."""
        return self._result(self.tracks.pairs(len(self.timestamps), min_score))

    def _result(self, masklets: tuple[Masklet, ...]) -> Masklets:
        return Masklets(
            source=self.name,
            width=self.size[1],
            height=self.size[0],
            classes=self.classes,
            declared=self.declared,
            skipped=self.skipped,
            timestamps=self.timestamps,
            masklets=masklets,
        )


class Session:
    """One video, pushed in frame by frame; made by `VideoPredictor.session`.

    A frame is final when as many frames as a clip has have come after it, or the video is finished: then its objects
    are handed out, each with the score and class that are known so far; track ids and masks do not change any more.
    What is refused changes nothing: what was found before is kept, and the next frame can be pushed.
    """

    def __init__(
        self,
        find: Callable[[Clip], ClipDetections],
        classes: Sequence[tuple[int, str]],
        options: PredictorOptions,
        *,
        keep: bool = True,
    ) -> None:
        """`find` says what is seen in one clip, whose frames have the size that the network is to see.

        Without `keep` nothing stays in memory but the objects that may go on, and there is no result at the end.
        """
        self._find = find
        self._classes = tuple(classes)
        self._options = options
        self._keep = keep
        self._windows = WindowCutter[UInt8[Tensor, "3 h w"]](
            clip_frames=options.clip_frames, overlap=options.clip_overlap
        )
        self._linker = Linker()
        self._pending = PendingFrames()
        self._clock = _Clock()
        self._size: tuple[int, int] | None = None
        self._tracks: VideoTracks | None = None
        self._timestamps: list[float] = []
        self._is_finished = False

    def push(self, frame: Any, time: SupportsFloat | None = None) -> list[FrameObjects]:
        """The next frame of the video; returns the frames that are final now, maybe none.

        `frame` is a numpy array `h w 3` or a torch tensor `3 h w` of uint8 (RGB), a Pillow image, or a `Frame`.
        `time` is in seconds; without it frames are a tenth of a second apart. Raises DataError for a frame that is not
        like these or of another size than those before, UsageError after `finish`.
        """
        if self._is_finished:
            raise UsageError("push: the video is finished; begin another session")
        where = f"frame {self._clock.num_frames}"
        pixels = as_pixels(frame, where, self._size)
        shown = show_frame(pixels, self._options.short_side)
        if time is None and isinstance(frame, Frame):
            time = frame.time
        seconds = self._clock.tick(None if time is None else float(time), where)
        self._size = pixels.shape[:2]
        if self._keep:
            self._timestamps.append(seconds)
        self._pending.push(seconds)
        self._search(self._windows.push(shown))
        return self._pending.hand_out(self._windows.num_final)

    def finish(self) -> list[FrameObjects]:
        """The video ends here; returns all frames that were not handed out yet, none when called again."""
        if not self._is_finished:
            self._search(self._windows.finish())
            self._is_finished = True
        return self._pending.hand_out(self._clock.num_frames)

    def result(self) -> Masklets:
        """Every object that reaches the score of the options. Raises UsageError before `finish` and without `keep`."""
        return self.video().masklets(self._options.min_score)

    def video(self, source: FrameSource | None = None) -> VideoResult:
        """All that was found; what is known of the video beyond its frames comes from the source that they came from.

        Raises UsageError as `result` does.
        """
        if not self._keep:
            raise UsageError("result: a session with keep=False keeps no result; take what push and finish return")
        if not self._is_finished:
            raise UsageError("result: the video is not finished; call finish first")
        if self._size is None or self._tracks is None:
            raise UsageError("result: no frame was pushed, so there is nothing to tell")
        return VideoResult(
            name="frames" if source is None else source.name,
            size=self._size,
            declared=None if source is None else source.declared,
            skipped=() if source is None else source.skipped,
            timestamps=tuple(self._timestamps),
            tracks=self._tracks,
            classes=self._classes,
        )

    def _search(self, window: Window[Tensor] | None) -> None:
        if window is None:
            return
        assert self._size is not None, "a window has frames"
        clip = Clip(
            frames=torch.stack(window.frames),
            frame_index=torch.arange(window.start, window.start + len(window.frames)),
            video_id=0,
            size=self._size,
        )
        detections = self._find(clip)
        track_ids = self._linker.link(window.start, detections)
        self._pending.add(window.start, track_ids, detections)
        if self._keep:
            self._tracks = self._tracks or VideoTracks(*self._size, classes=self._classes)
            self._tracks.add(window.start, track_ids, detections)


class _Clock:
    """Counts frames and gives a time to those that have none."""

    def __init__(self) -> None:
        self.num_frames = 0
        self._last = -math.inf
        self._anchor = (0, 0.0)
        """Number and time of the last frame that had a time."""

    def tick(self, time: float | None, where: str) -> float:
        """Time of the next frame in seconds; DataError for one that is no number or lies before the frame before."""
        if time is None:
            number, since = self._anchor
            time = round(since + float(Fraction(self.num_frames - number) / FRAME_RATE), 6)
        elif not math.isfinite(time):
            raise DataError(f"{where}: time {time}; expected seconds")
        elif time < self._last:
            raise DataError(f"{where}: time {time}; expected {self._last} or later, the time of the frame before it")
        else:
            self._anchor = (self.num_frames, time)
        self.num_frames += 1
        self._last = time
        return time
