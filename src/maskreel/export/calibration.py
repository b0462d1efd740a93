"""Clips from which graphs of 8 bits learn the ranges of their numbers."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from maskreel.data.dataset_video import DatasetVideo
from maskreel.data.layouts import find_splits
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.errors import UsageError
from maskreel.rendered.dials import SyntheticDials
from maskreel.rendered.rendering import render_video
from maskreel.runtimes.graphs import pad_to
from maskreel.structures import Clip, ClipBatch
from maskreel.video.prepare import pad_clips, show_frame
from maskreel.video.sources import find_sources

CLIPS = 8


def calibration_clips(source: Path | None, *, size: tuple[int, int], frames: int, is_rendered: bool) -> list[ClipBatch]:
    """Clips of `frames` frames for graphs of a size; from rendered training videos where no source is named.

    `source` is a folder of a data set, whose split train is read, or whatever `predict` takes. Raises UsageError where
    there is none and none can be rendered, and what reading videos raises.
    """
    if source is None and not is_rendered:
        raise UsageError("--precision int8: name videos like those to come with --calibrate DIR")
    clips = []
    for video in islice(_videos(source), CLIPS):
        shown = [show_frame(frame, min(size), largest=size) for frame in islice(video, frames)]
        if len(shown) == frames:
            clip = Clip(frames=torch.stack(shown), frame_index=torch.arange(frames), video_id=0, size=size)
            clips.append(pad_to(pad_clips([clip]), size))
    if not clips:
        raise UsageError(f"--calibrate {source}: no video of {frames} frames or more in it")
    return clips


def _videos(source: Path | None) -> Iterator[Iterator[np.ndarray]]:
    """Pixels of the frames of one video after the other."""
    if source is None:
        for index in range(CLIPS):
            yield iter(render_video(0, index, SyntheticDials()).frames)
    elif splits := list(find_splits(source)):
        dataset = YouTubeVIS.load(source, "train" if "train" in splits else splits[0])
        for index in range(len(dataset.videos)):
            yield (frame.pixels for frame in DatasetVideo(dataset, index))
    else:
        for found in find_sources([str(source)]):
            yield (frame.pixels for frame in found.open())
