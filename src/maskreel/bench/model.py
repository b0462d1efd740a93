"""Times of a whole model on a clip: the network alone, with post-processing, and from a video file to masklets.

- model: frames that are already resized, normalised and on the device, through the network. Masks are decoded on
  demand and so belong to the next stage.
- with post-processing: the resized frames of a clip, through padding and network, choice of the objects, decoding of
  their masks and enlarging to the size of the video, to run-length codes.
- end to end: a video file, through decoding, resizing, the stage before for every window, and linking, to masklets.
"""

from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import torch

from maskreel.bench.protocol import Step, peak_mebibytes, take_turns
from maskreel.inference.predictor import VideoPredictor
from maskreel.rendered.dials import SyntheticDials
from maskreel.rendered.rendering import render_video
from maskreel.structures import Clip
from maskreel.video.prepare import pad_clips, show_frame
from maskreel.video.sources import open_video
from maskreel.visualize.video import TimedImage, write_video

RATE = 10
"""Frames per second of the rendered video."""


@dataclass(frozen=True, kw_only=True)
class StageTimes:
    """One stage of a model; times in milliseconds per call."""

    stage: str
    frames: int
    """Frames that one call deals with."""
    p50_ms: float
    p95_ms: float
    best_ms: float
    frames_per_second: float
    """Frames of a call over the median time."""
    peak_memory_mib: float
    samples: int
    quiet: int


def render_clip(path: Path, *, frames: int, size: tuple[int, int]) -> None:
    """Write a video of rendered objects, (height, width) in pixels."""
    video = render_video(0, 0, SyntheticDials(frames=frames, height=size[0], width=size[1]))
    write_video(
        path, (TimedImage(t / RATE, picture) for t, picture in enumerate(video.frames)), frame_rate=Fraction(RATE)
    )


def measure_model(predictor: VideoPredictor, video: Path, *, samples: int) -> list[StageTimes]:
    """Times of all stages, taken in turns; clips have `clip_frames` of the predictor's options.

    Raises VideoReadError when the video cannot be read; a video shorter than a clip is a shorter clip.
    """
    source = open_video(video)
    options, runtime = predictor.options, predictor.runtime
    frames = torch.stack(
        [
            show_frame(frame.pixels, options.short_side, options.long_side, options.largest)
            for frame in islice(source, options.clip_frames)
        ]
    )
    clip = Clip(frames=frames, frame_index=torch.arange(len(frames)), video_id=0, size=source.size)
    batch = pad_clips([clip]).to(runtime.device)

    def network() -> object:
        return runtime.clip(runtime.frame_features(batch))

    # The first call compiles and fills caches.
    num_frames = len(predictor.predict(open_video(video)).timestamps)

    steps: dict[str, tuple[int, Step]] = {
        "model": (len(frames), network),
        "with post-processing": (len(frames), lambda: predictor.find(clip)),
        "end to end": (num_frames, lambda: predictor.predict(open_video(video))),
    }
    peaks = {stage: peak_mebibytes(step, runtime.device) for stage, (_, step) in steps.items()}
    times = take_turns({stage: step for stage, (_, step) in steps.items()}, samples=samples, device=runtime.device)
    return [
        StageTimes(
            stage=stage,
            frames=count,
            p50_ms=times[stage].p50,
            p95_ms=times[stage].p95,
            best_ms=times[stage].best,
            frames_per_second=1e3 * count / times[stage].p50,
            peak_memory_mib=peaks[stage],
            samples=times[stage].samples,
            quiet=times[stage].quiet,
        )
        for stage, (count, _) in steps.items()
    ]
