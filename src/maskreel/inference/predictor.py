"""Running a model over a video of any length: the whole way from frames to masklets."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import nn

from maskreel.device import choose_device
from maskreel.errors import OptionError
from maskreel.geometry.masklets import Masklets
from maskreel.inference.finding import Finder, ShownFrame
from maskreel.inference.options import OptionChanges, PredictorOptions, changed_options, recorded_options
from maskreel.inference.pending import FrameObjects
from maskreel.inference.pipeline import follow, in_reach
from maskreel.inference.postprocess import ClipDetections
from maskreel.inference.session import Pace, Session, VideoResult
from maskreel.inference.windows import Window
from maskreel.models.folder import PUBLISHED_FRAMES
from maskreel.runtimes.folder import load_runnable
from maskreel.runtimes.graphs import GraphRuntime
from maskreel.runtimes.precision import choose_precision
from maskreel.runtimes.protocol import Runtime
from maskreel.runtimes.pytorch import PyTorchRuntime
from maskreel.structures import Clip
from maskreel.video.files import FrameSource
from maskreel.video.sources import open_video

logger = logging.getLogger(__name__)


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
        trained_frames: int = PUBLISHED_FRAMES,
    ) -> None:
        """`classes` are (category id, name) per label of the model, which is put into evaluation mode.

        A module runs as `PyTorchRuntime` has it, on `device` and with the weights of this moment. `trained_frames` is
        the length of the clips that it was trained on.
        """
        self.options: PredictorOptions = settled(options or PredictorOptions(), model, device)
        self.classes: tuple[tuple[int, str], ...] = tuple(classes)
        precision = "bf16" if self.options.precision == "bf16" else "float32"
        self.runtime: Runtime = (
            PyTorchRuntime(model, device=device, precision=precision) if isinstance(model, nn.Module) else model
        )
        self.trained_frames: int = trained_frames

    @staticmethod
    def load(
        run: str | Path,
        *,
        device: torch.device | str = "auto",
        options: PredictorOptions | None = None,
        **changes: Unpack[OptionChanges],
    ) -> "VideoPredictor":
        """A predictor from a run folder, a model folder, an exported one, or the word "bundled".

        It runs as the model was evaluated, or by `options`; either can be changed by the fields of `PredictorOptions`,
        as in `load(run, clip_frames=24, min_score=0.5)`. `device` is cpu, cuda, cuda:1 ..., or auto: CUDA where there
        is one.

        Raises UsageError for a folder or a device that there is not, OptionError for an option, with the nearest name,
        and for a value; DataError for a damaged model.
        """
        chosen = choose_device(str(device))
        loaded = load_runnable(run, chosen)
        options = changed_options(options or recorded_options(loaded.inference), changes)
        return VideoPredictor(
            loaded.model, loaded.classes, options, device=chosen, trained_frames=loaded.trained_frames
        )

    def __call__(self, source: str | Path | Iterable[Any]) -> Masklets:
        """Objects of one video: a path (file, folder of frames, pattern), an array `t h w 3`, or frames.

        `open_video` says what is taken. Raises VideoReadError when no frame can be read; frames lost on the way are
        listed in the result.
        """
        return self.predict(open_video(source)).masklets(self.options.min_score)

    def predict(self, source: FrameSource, *, on_frames: Callable[[int], None] | None = None) -> VideoResult:
        """Objects of an opened source; `on_frames` is told how many more frames were read."""
        session, source = self.session(), in_reach(source)
        for _ in follow(session, source, on_frame=None if on_frames is None else partial(on_frames, 1)):
            pass
        return session.video(source)

    def stream(self, source: str | Path | Iterable[Any]) -> Iterator[FrameObjects]:
        """Frame by frame with a delay of one clip, in memory that does not grow with the video.

        Score and class of an object are those known so far; its track id and masks are final.
        """
        yield from follow(self.session(keep=False), open_video(source))

    def session(
        self,
        *,
        latency: int | None = None,
        window: int | None = None,
        memory: int | None = None,
        keep: bool = True,
        reuse: bool = True,
        find: Callable[[Window[ShownFrame], tuple[int, int]], ClipDetections] | None = None,
    ) -> Session:
        """A video to push frames into, for sources that are not read but come in.

        With `latency` L, all frames up to L before the newest are final, 0 answers in the same push. Windows hold
        `window` frames, by default as many as the model was trained on, and one is searched every max(L, 1) frames;
        what the model makes of single frames is kept for the next (`reuse`), where they differ by rounding alone.
        Without a latency windows are cut as the options say. `memory` is that of the options, in frames. Without `keep`
        the session does not grow with the video, and there is no result at the end. `find` knows what the windows hold,
        so that the model is not asked. Raises OptionError for a value.
        """
        window = self.trained_frames if window is None else window
        for name, value, least in (("latency", latency, 0), ("window", window, 1)):
            if value is not None and value < least:
                raise OptionError(f"{name} {value}: must be at least {least}")
        options = self.options if memory is None else replace(self.options, memory=memory)
        pace = Pace(latency=latency, window=window, reuse=reuse)
        return Session(self.runtime, self.classes, options, pace, keep=keep, model=lambda: self.fingerprint, find=find)

    def find(self, clip: Clip) -> ClipDetections:
        """Objects of one clip whose frames have the size that the network is to see."""
        find = Finder(self.runtime, self.options, clip_frames=self.options.clip_frames, reuse=False)
        return find([ShownFrame(pixels=frame) for frame in clip.frames], clip.size)

    @cached_property
    def fingerprint(self) -> str:
        """Names the model among all others: its type and the sum of its weights."""
        if isinstance(self.runtime, GraphRuntime):
            return f"{self.runtime.description.format} {self.runtime.fingerprint}"
        model = self.runtime.model if isinstance(self.runtime, PyTorchRuntime) else self.runtime
        sums = hashlib.sha256()
        if isinstance(model, nn.Module):
            for name, tensor in sorted(model.state_dict().items()):
                sums.update(name.encode())
                sums.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
        return f"{type(model).__name__} {sums.hexdigest()[:16]}"


def settled(options: PredictorOptions, model: nn.Module | Runtime, device: torch.device | str) -> PredictorOptions:
    """Options whose `precision` is no longer `auto`, but what that stands for on a device; the choice is logged.

    Raises OptionError for a precision that exported graphs do not have.
    """
    chosen, reason = "float32", "exported graphs compute in the numbers that they were written for"
    if not isinstance(model, nn.Module) and options.precision == "bf16":
        raise OptionError(f"precision {options.precision}: {reason}")
    if options.precision != "auto":
        return options
    if isinstance(model, nn.Module):
        chosen, reason = choose_precision(torch.device(device).type)
    logger.info("precision auto: %s, %s", chosen, reason)
    return replace(options, precision=chosen)


load = VideoPredictor.load
