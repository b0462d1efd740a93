"""Run a model over every video of a split and score what it finds."""

from dataclasses import dataclass


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
