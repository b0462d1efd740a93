"""Run a model over every video of a split and score what it finds."""

from dataclasses import dataclass

import torch
from torch import nn

from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.evaluation.results import PredictedTrack


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How a model is run over whole videos when it is scored. Defaults are those published for SeqFormer."""

    short_side: int = 360
    """Frames are resized to this shortest side, in pixels."""
    clip_frames: int = 36
    """Frames per clip; longer videos are cut into windows."""
    clip_overlap: int = 6
    """Frames that neighbouring windows share."""
    top_k: int = 10
    """Masklets kept per clip, by score."""
    min_score: float = 0.0
    """Masklets below this score are dropped."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a model finds in a split, and how good it is."""

    predictions: tuple[PredictedTrack, ...]
    class_names: dict[int, str]
    """By category id."""
    overall: dict[str, float | None]

    def tracks(self, video_id: int) -> list[PredictedTrack]:
        return [track for track in self.predictions if track.video_id == video_id]


def evaluate(
    model: nn.Module, dataset: YouTubeVIS, config: EvaluationConfig, *, device: torch.device | str = "cpu"
) -> Evaluation:
    raise NotImplementedError
