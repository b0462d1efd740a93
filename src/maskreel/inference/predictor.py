"""Running a model over a video of any length: the whole way from frames to masklets."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import nn

from maskreel.device import choose_device
from maskreel.geometry.masklets import Masklets
from maskreel.inference.options import OptionChanges, PredictorOptions, changed_options, recorded_options
from maskreel.inference.pending import FrameObjects
from maskreel.inference.postprocess import ClipDetections, clip_detections
from maskreel.inference.session import Session, VideoResult
from maskreel.models.folder import load_model
from maskreel.runtimes.protocol import Runtime
from maskreel.runtimes.pytorch import PyTorchRuntime
from maskreel.structures import Clip
from maskreel.video.files import FrameSource
from maskreel.video.prepare import pad_clips
from maskreel.video.sources import open_video


class VideoPredictor:
    """Finds, cuts out and follows the objects of videos: `maskreel.load(run)("video.mp4")`.

    One clip is shown to the model at a time, so that a result does not depend on what else is predicted.
    """

    def __init__(
        self,
        model: nn.Module | Runtime,
        classes: Sequence[tuple[int, str]],
        options: PredictorOptions | None = None,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        """`classes` are (category id, name) per label of the model, which is put into evaluation mode.

        A module runs as `PyTorchRuntime` has it, on `device` and with the weights of this moment.
        """
        self.options: PredictorOptions = options or PredictorOptions()
        self.classes: tuple[tuple[int, str], ...] = tuple(classes)
        self.runtime: Runtime = (
            PyTorchRuntime(model, device=device, precision=self.options.precision)
            if isinstance(model, nn.Module)
            else model
        )

    @staticmethod
    def load(
        run: str | Path,
        *,
        device: torch.device | str = "auto",
        options: PredictorOptions | None = None,
        **changes: Unpack[OptionChanges],
    ) -> "VideoPredictor":
        """A predictor from a run folder, a model folder, or the word "bundled".

        It runs as the model was evaluated, or by `options`; either can be changed by the fields of `PredictorOptions`,
        as in `load(run, clip_frames=24, min_score=0.5)`. `device` is cpu, cuda, cuda:1 ..., or auto: CUDA where there
        is one.

        Raises UsageError for a folder or a device that there is not, OptionError for an option, with the nearest name,
        and for a value; DataError for a damaged model.
        """
        chosen = choose_device(str(device))
        loaded = load_model(run, chosen)
        options = changed_options(options or recorded_options(loaded.inference), changes)
        return VideoPredictor(loaded.model, loaded.classes, options, device=chosen)

    def __call__(self, source: str | Path | Iterable[Any]) -> Masklets:
        """Objects of one video: a path (file, folder of frames, pattern), an array `t h w 3`, or frames.

        `open_video` says what is taken. Raises VideoReadError when no frame can be read; frames lost on the way are
        listed in the result.
        """
        return self.predict(open_video(source)).masklets(self.options.min_score)

    def predict(self, source: FrameSource, *, on_frames: Callable[[int], None] | None = None) -> VideoResult:
        """Objects of an opened source; `on_frames` is told how many more frames were read."""
        session = self.session()
        for frame in source:
            if on_frames is not None:
                on_frames(1)
            session.push(frame)
        session.finish()
        return session.video(source)

    def stream(self, source: str | Path | Iterable[Any]) -> Iterator[FrameObjects]:
        """Frame by frame with a delay of one clip, in memory that does not grow with the video.

        Score and class of an object are those known so far; its track id and masks are final.
        """
        session = self.session(keep=False)
        for frame in open_video(source):
            yield from session.push(frame)
        yield from session.finish()

    def session(self, *, keep: bool = True) -> Session:
        """A video to push frames into, for sources that are not read but come in.

        Without `keep` its memory does not grow with the video, and there is no result at the end.
        """
        return Session(self.find, self.classes, self.options, keep=keep)

    def find(self, clip: Clip) -> ClipDetections:
        """Objects of one clip whose frames have the size that the network is to see."""
        num_frames, (height, width) = len(clip.frames), clip.frames.shape[-2:]
        shown = clip
        if self.options.short_clips == "repeat" and num_frames < self.options.clip_frames:
            order = torch.arange(self.options.clip_frames) % num_frames
            shown = replace(clip, frames=clip.frames[order], frame_index=clip.frame_index[order])
        features = self.runtime.frame_features(pad_clips([shown]))
        return clip_detections(
            self.runtime.clip(features),
            top_k=self.options.top_k,
            source_size=clip.size,
            network_size=(height, width),
            num_frames=num_frames,
            select=self.runtime.masks,
        )


load = VideoPredictor.load
