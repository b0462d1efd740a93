"""Running a model over a video of any length: the whole way from frames to masklets."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from maskreel.errors import OptionError
from maskreel.geometry.masklets import Masklet, Masklets
from maskreel.inference.link import Linker
from maskreel.inference.pending import FrameObjects, PendingFrames
from maskreel.inference.postprocess import ClipDetections, clip_detections
from maskreel.inference.tracks import VideoTracks
from maskreel.inference.windows import cut_windows
from maskreel.models.folder import load_model
from maskreel.runtimes.form import Precision, inference_form, number_format
from maskreel.structures import Clip, ClipBatch, ClipPrediction
from maskreel.video.files import FrameSource
from maskreel.video.prepare import fit_size, pad_clips, resize_frames
from maskreel.video.sources import open_source

MAX_ASPECT = 4
"""The longest side shown to the network, in shortest sides; longer frames are shrunk until it fits."""


@dataclass(frozen=True, kw_only=True)
class PredictorOptions:
    """How a model is run over a video. Defaults are those published for SeqFormer."""

    short_side: int = 360
    """Frames are resized to this shortest side, in pixels."""
    clip_frames: int = 36
    """Frames per clip; longer videos are cut into windows."""
    clip_overlap: int = 6
    """Frames that neighbouring windows share."""
    top_k: int = 10
    """(query, class) pairs kept per clip, by score, where a model votes once per clip."""
    short_clips: Literal["pad", "repeat"] = "pad"
    """What fills a clip of fewer frames: padding, which nothing reads (so the clip is shown as it is), or its frames
    over and over, as published for VisTR."""
    min_score: float = 0.3
    """Objects below this score are left out of the masklets."""
    precision: Precision = "float32"
    """Number format of the network; bf16 is faster where the processor computes in it, and slightly less exact."""

    def __post_init__(self) -> None:
        for name, least in (("short_side", 16), ("clip_frames", 1), ("top_k", 1)):
            if getattr(self, name) < least:
                raise OptionError(f"{name} {getattr(self, name)}: must be at least {least}")
        if not 0 <= self.clip_overlap < self.clip_frames:
            raise OptionError(
                f"clip_overlap {self.clip_overlap}: must be at least 0 and below clip_frames {self.clip_frames}"
            )
        if not 0 <= self.min_score <= 1:
            raise OptionError(f"min_score {self.min_score}: must lie between 0 and 1")
        if self.precision not in get_args(Precision):
            raise OptionError(f"precision {self.precision!r}: must be one of {', '.join(get_args(Precision))}")


@dataclass(frozen=True, kw_only=True)
class VideoResult:
    """A finished video, before a score threshold is applied."""

    source: FrameSource
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
            source=self.source.name,
            width=self.source.size[1],
            height=self.source.size[0],
            classes=self.classes,
            declared=self.source.declared,
            skipped=self.source.skipped,
            timestamps=self.timestamps,
            masklets=masklets,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Window:
    start: int
    track_ids: list[int]
    detections: ClipDetections


class VideoPredictor:
    """Finds, cuts out and follows the objects of videos: `VideoPredictor.load(run)("video.mp4")`.

    One clip is shown to the model at a time, so that a result does not depend on what else is predicted.
    """

    def __init__(
        self,
        model: nn.Module | Callable[[ClipBatch], ClipPrediction],
        classes: Sequence[tuple[int, str]],
        options: PredictorOptions = PredictorOptions(),
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        """`classes` are (category id, name) per label of the model, which is put into evaluation mode.

        The predictor runs a form of the model of its own (`inference_form`), with the weights of this moment.
        """
        self.model = inference_form(model.to(device)) if isinstance(model, nn.Module) else model
        self.classes = tuple(classes)
        self.options = options
        self.device = torch.device(device)

    @classmethod
    def load(
        cls, run: str | Path, *, device: torch.device | str = "cpu", options: PredictorOptions | None = None
    ) -> "VideoPredictor":
        """From a run folder, a model folder, or "bundled"; without `options`, as the model was evaluated."""
        loaded = load_model(run, device)
        return cls(loaded.model, loaded.classes, options or recorded_options(loaded.inference), device=device)

    def __call__(self, path: str | Path) -> Masklets:
        """Objects of a video file, a folder of frames, or a pattern of frames.

        Raises VideoReadError when no frame can be read; frames lost on the way are listed in the result.
        """
        return self.predict(open_source(path)).masklets(self.options.min_score)

    def predict(self, source: FrameSource, *, on_frames: Callable[[int], None] | None = None) -> VideoResult:
        """Objects of an opened source; `on_frames` is told how many more frames were read."""
        tracks = VideoTracks(*source.size, classes=self.classes)
        timestamps: list[float] = []
        for window in self._windows(source, timestamps, on_frames):
            tracks.add(window.start, window.track_ids, window.detections)
        return VideoResult(source=source, timestamps=tuple(timestamps), tracks=tracks, classes=self.classes)

    def stream(self, path: str | Path) -> Iterator[FrameObjects]:
        """Frame by frame with a delay of about one window, in memory that does not grow with the video.

        Score and class of an object are those known so far; its track id and masks are final.
        """
        timestamps: list[float] = []
        pending = PendingFrames()
        for window in self._windows(open_source(path), timestamps):
            yield from pending.hand_out(window.start, timestamps)
            pending.add(window.start, window.track_ids, window.detections)
        yield from pending.hand_out(len(timestamps), timestamps)

    @torch.inference_mode()
    def find(self, clip: Clip) -> ClipDetections:
        """Objects of one clip whose frames have the size that the network is to see."""
        num_frames, (height, width) = len(clip.frames), clip.frames.shape[-2:]
        shown = clip
        if self.options.short_clips == "repeat" and num_frames < self.options.clip_frames:
            order = torch.arange(self.options.clip_frames) % num_frames
            shown = replace(clip, frames=clip.frames[order], frame_index=clip.frame_index[order])
        with self.number_format():
            return clip_detections(
                self.model(pad_clips([shown]).to(self.device)),
                top_k=self.options.top_k,
                source_size=clip.size,
                network_size=(height, width),
                num_frames=num_frames,
            )

    def number_format(self) -> torch.autocast:
        """Context for calls of the model and for decoding what it predicts."""
        return number_format(self.options.precision, self.device)

    def _windows(
        self, source: FrameSource, timestamps: list[float], on_frames: Callable[[int], None] | None = None
    ) -> Iterator[_Window]:
        """Linked detections window by window; `timestamps` is filled while frames are read."""
        linker = Linker()
        frames = self.resized(source, timestamps, on_frames)
        options = self.options
        for start, window in cut_windows(frames, clip_frames=options.clip_frames, overlap=options.clip_overlap):
            clip = Clip(
                frames=torch.stack(window),
                frame_index=torch.arange(start, start + len(window)),
                video_id=0,
                size=source.size,
            )
            detections = self.find(clip)
            yield _Window(start=start, track_ids=linker.link(start, detections), detections=detections)

    def resized(
        self,
        source: FrameSource,
        timestamps: list[float] | None = None,
        on_frames: Callable[[int], None] | None = None,
    ) -> Iterator[UInt8[Tensor, "3 h w"]]:
        """Frames at the size that the network is to see; their times go to `timestamps`, their count to `on_frames`."""
        short_side = self.options.short_side
        size = fit_size(*source.size, shortest=short_side, longest=MAX_ASPECT * short_side)
        for frame in source:
            if timestamps is not None:
                timestamps.append(frame.time)
            if on_frames is not None:
                on_frames(1)
            pixels = torch.tensor(frame.pixels).permute(2, 0, 1)[None]
            yield resize_frames(pixels, size)[0].contiguous()


def recorded_options(inference: Mapping[str, Any], **changes: Any) -> PredictorOptions:
    """Options as a model folder records them, with `changes` that are not None; the defaults for what is unknown.

    A recorded score threshold of 0 is that of an evaluation, where none is wanted, and is left out; one above 0 belongs
    to the model.
    """
    known = {field.name for field in fields(PredictorOptions)}
    if not inference.get("min_score"):
        known.discard("min_score")
    recorded = PredictorOptions(**{name: value for name, value in inference.items() if name in known})
    return replace(recorded, **{name: value for name, value in changes.items() if value is not None})
