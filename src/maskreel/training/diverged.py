"""What is left behind when a loss or a gradient is no longer a number."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from maskreel.data.loading import TrainingBatch
from maskreel.errors import DataError
from maskreel.files import complete_folder, write_json
from maskreel.models.folder import write_tensors
from maskreel.training.objective import Objective


class TrainingDiverged(DataError):
    """Training cannot go on; `dump` holds the batch and the weights that it failed on."""

    def __init__(self, step: int, problem: str, dump: Path) -> None:
        super().__init__(
            f"step {step}: {problem}; the batch and the weights are in {dump}. "
            "Try a lower --training.learning-rate or a longer --training.warmup"
        )
        self.step = step
        self.dump = dump


def not_finite(values: Mapping[str, float]) -> str | None:
    """Names and values that are NaN or infinite, as a sentence; None when all are numbers."""
    wrong = [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]
    return ", ".join(wrong) or None


def write_dump(
    folder: Path, objective: Objective, batches: Sequence[TrainingBatch], losses: Mapping[str, float], problem: str
) -> None:
    """Write what reproduces a failing step: its batches, the weights before it, and where the clips come from."""
    tensors: dict[str, Tensor] = {}
    for number, batch in enumerate(batches):
        tensors[f"batch{number}.frames"] = batch.clips.frames
        tensors[f"batch{number}.is_padding"] = batch.clips.is_padding
        for clip, target in enumerate(batch.targets):
            for name in ("labels", "boxes", "masks", "is_visible", "track_id"):
                tensors[f"batch{number}.target{clip}.{name}"] = getattr(target, name)
    clips = [
        {"video_id": video_id, "frame_index": list(frames)}
        for batch in batches
        for video_id, frames in zip(batch.video_id, batch.frame_index, strict=True)
    ]
    # JSON has no NaN: the values are written as text.
    shown = {name: str(value) for name, value in losses.items()}
    with complete_folder(folder) as new:
        write_tensors({name: _stored(tensor) for name, tensor in tensors.items()}, new / "batch.safetensors")
        state = objective.state_by_name()
        write_tensors({name: _stored(tensor) for name, tensor in state.items()}, new / "model.safetensors")
        write_json(new / "dump.json", {"problem": problem, "losses": shown, "clips": clips})


def _stored(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().clone().contiguous()
