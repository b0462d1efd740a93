"""A video while it comes in: frames are pushed, what is final comes out, and at the end there are masklets."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, SupportsFloat

from maskreel.errors import DataError, UsageError
from maskreel.geometry.masklets import Masklet, Masklets, SkippedFrame
from maskreel.inference.clock import FrameClock
from maskreel.inference.doubles import Doubles
from maskreel.inference.finding import Finder, ShownFrame
from maskreel.inference.link import Linker
from maskreel.inference.memory import DEFAULT_MEMORY, IdentityMemory
from maskreel.inference.options import Duplicates, PredictorOptions
from maskreel.inference.pending import FrameObjects, PendingFrames
from maskreel.inference.postprocess import ClipDetections
from maskreel.inference.state import pack, unpack
from maskreel.inference.tracks import VideoTracks
from maskreel.inference.windows import SlidingWindows, Window, WindowCutter, Windows
from maskreel.runtimes.protocol import Runtime
from maskreel.video.arrays import as_pixels
from maskreel.video.files import Frame, FrameSource
from maskreel.video.prepare import show_frame

logger = logging.getLogger(__name__)

STATE = 1
"""Version of the states of sessions."""


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
    doubles: Doubles
    classes: tuple[tuple[int, str], ...]

    def masklets(self, min_score: float, *, duplicates: Duplicates = "merge") -> Masklets:
        """One masklet per object, of its most probable class: what overlays and `<stem>.json` show."""
        doubles = self.doubles if duplicates == "merge" else None
        return self._result(self.tracks.masklets(len(self.timestamps), min_score, doubles))

    def pairs(self, min_score: float = 0.0, *, duplicates: Duplicates = "keep") -> Masklets:
        """One masklet per (object, class) pair, as average precision is measured: what `results.json` holds."""
        doubles = self.doubles if duplicates == "merge" else None
        return self._result(self.tracks.pairs(len(self.timestamps), min_score, doubles))

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


@dataclass(frozen=True, kw_only=True)
class Pace:
    """When a session answers; made by `VideoPredictor.session`."""

    latency: int | None = None
    """Frames after which a frame is final; None cuts windows by the options and waits for as long as a clip."""
    window: int = 5
    """Frames of a window, where there is a latency."""
    reuse: bool = True
    """Keep what the model makes of single frames for the windows that share them, where there is a latency."""

    def windows(self, options: PredictorOptions) -> Windows[ShownFrame]:
        if self.latency is None:
            return WindowCutter[ShownFrame](clip_frames=options.clip_frames, overlap=options.clip_overlap)
        return SlidingWindows[ShownFrame](frames=self.window, latency=self.latency)


class Session:
    """One video, pushed in frame by frame; made by `VideoPredictor.session`.

    With a latency of L frames, all frames up to L before the one that was pushed are final; without, a frame is final
    when as many frames as a clip has have come after it. Then its objects are handed out, each with the score and class
    that are known so far; track ids and masks do not change any more. What is refused changes nothing: what was found
    before is kept, and the next frame can be pushed.
    """

    def __init__(
        self,
        runtime: Runtime,
        classes: Sequence[tuple[int, str]],
        options: PredictorOptions,
        pace: Pace | None = None,
        *,
        keep: bool = True,
        model: Callable[[], str] = str,
        find: Callable[[Window[ShownFrame], tuple[int, int]], ClipDetections] | None = None,
    ) -> None:
        """Without `keep` nothing stays in memory but the objects that may go on, and there is no result at the end.

        `model` gives a name that no other model has, for states. `find` is asked in place of the runtime for what a
        window of frames of (height, width) holds.
        """
        pace = pace or Pace()
        is_live = pace.latency is not None
        memory = options.memory if options.memory is not None else DEFAULT_MEMORY if is_live else 0
        clip_frames = pace.window if is_live else options.clip_frames
        finder = Finder(runtime, options, clip_frames=clip_frames, reuse=is_live and pace.reuse)
        self._find = find or (lambda window, size: finder(window.frames, size))
        self._device = runtime.device
        self._classes = tuple(classes)
        self._options = options
        self._keep = keep
        self._pace = pace
        self._model = model
        self._windows: Windows[ShownFrame] = pace.windows(options)
        self._linker = Linker(IdentityMemory(memory) if memory else None)
        self._pending = PendingFrames()
        self._doubles = Doubles(keep=keep)
        self._clock = FrameClock()
        self._size: tuple[int, int] | None = None
        self._tracks: VideoTracks | None = None
        self._timestamps: list[float] = []
        self._is_finished = False
        self._is_warned = False

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
        shown = show_frame(pixels, self._options.short_side, self._options.long_side, self._options.largest)
        if time is None and isinstance(frame, Frame):
            time = frame.time
        seconds = self._clock.tick(time, where)
        self._size = pixels.shape[:2]
        if self._keep:
            self._timestamps.append(seconds)
        self._pending.push(seconds)
        self._search(self._windows.push(ShownFrame(pixels=shown)))
        return self._hand_out(self._windows.num_final)

    def finish(self) -> list[FrameObjects]:
        """The video ends here; returns all frames that were not handed out yet, none when called again."""
        if not self._is_finished:
            self._search(self._windows.finish())
            self._is_finished = True
        return self._hand_out(self._clock.num_frames)

    def result(self) -> Masklets:
        """Every object that reaches the score of the options. Raises UsageError before `finish` and without `keep`."""
        return self.video().masklets(self._options.min_score, duplicates=self._options.duplicates)

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
            doubles=self._doubles,
            classes=self._classes,
        )

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on later or elsewhere, in plain values and tensors: `torch.save` writes it."""
        known = {name: pack(getattr(self, name)) for name in _KNOWN}
        return {"version": STATE, "settings": self._settings(), "known": known}

    def load_state_dict(self, state: Any) -> None:
        """Go on where the session was that made this state, what `state_dict` gave: same ids, same masks.

        Raises DataError for a state of another version, model or session, naming what differs; nothing changes then.
        """
        if not isinstance(state, dict) or "version" not in state:
            raise DataError(f"state: a {type(state).__name__} that state_dict did not make")
        if state["version"] != STATE:
            raise DataError(f"state: version {state['version']!r}; this Maskreel reads version {STATE}")
        settings, known = state.get("settings"), state.get("known")
        if not isinstance(settings, dict) or not isinstance(known, dict) or set(known) != set(_KNOWN):
            raise DataError("state: damaged, or not made by state_dict")
        for name, value in self._settings().items():
            if settings.get(name) != value:
                if name == "model":
                    raise DataError(f"state: was made by another model, {settings.get(name)}; this one is {value}")
                if name == "classes":
                    raise DataError("state: was made by a model of other classes")
                raise DataError(f"state: {name} was {settings.get(name)!r} there and is {value!r} here")
        values = {name: unpack(known[name], self._device) for name in _KNOWN}
        for name, value in values.items():
            now = getattr(self, name)
            if value is not None and now is not None and type(value) is not type(now):
                raise DataError(f"state: damaged, a {type(value).__name__} where {type(now).__name__} is expected")
        for name, value in values.items():
            setattr(self, name, value)

    def _settings(self) -> dict[str, Any]:
        """What must be the same where a state is loaded."""
        return {
            "model": self._model(),
            "classes": pack(self._classes),
            "keep": self._keep,
            **{f"option {name}": value for name, value in vars(self._options).items()},
            **vars(self._pace),
        }

    def _search(self, window: Window[ShownFrame] | None) -> None:
        if window is None:
            return
        assert self._size is not None, "a window has frames"
        detections = self._find(window, self._size)
        self._warn_of_crowd(window, is_cut=detections.is_cut)
        track_ids = self._linker.link(window.start, detections)
        waiting = self._pending.track_ids

        def is_needed(track_id: int) -> bool:
            return track_id in waiting or self._linker.may_return(track_id)

        self._doubles.add(window.start, track_ids, detections, is_needed)
        if self._keep:
            self._tracks = self._tracks or VideoTracks(*self._size, classes=self._classes)
            self._tracks.add(window.start, track_ids, detections, num_final=self._pending.num_handed_out)
        self._pending.add(window.start, track_ids, detections, is_needed)

    def _hand_out(self, end: int) -> list[FrameObjects]:
        merged = {}
        if self._options.duplicates == "merge":
            merged = self._doubles.merged(self._pending.labels(self._options.min_score))
        return self._pending.hand_out(end, merged)

    def _warn_of_crowd(self, window: Window[ShownFrame], *, is_cut: bool) -> None:
        if is_cut and not self._is_warned:
            self._is_warned = True
            logger.warning(
                "frames %d to %d show more than %d objects; the best are followed: raise max_objects (--max-objects)",
                *(window.start, window.start + len(window.frames) - 1, self._options.max_objects),
            )


_KNOWN = (
    *("_windows", "_linker", "_pending", "_doubles", "_clock", "_size", "_tracks", "_timestamps"),
    *("_is_finished", "_is_warned"),
)
"""Attributes of a session that change while frames come."""
