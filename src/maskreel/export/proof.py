"""That exported graphs say what the model says: on random clips, on a rendered clip, and in what is found in videos."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.evaluation.evaluate import evaluate
from maskreel.evaluation.options import EvaluationConfig
from maskreel.geometry import rle
from maskreel.geometry.masklets import Masklet, Masklets
from maskreel.inference.options import PredictorOptions
from maskreel.inference.predictor import VideoPredictor
from maskreel.rendered.dials import SyntheticDials
from maskreel.rendered.rendering import render_video
from maskreel.rendered.synthetic import DEMO_SEED, TEST_SEEDS, categories, write_dataset
from maskreel.runtimes.description import GraphPrecision
from maskreel.runtimes.graphs import GraphRuntime, pad_to
from maskreel.runtimes.protocol import Runtime
from maskreel.runtimes.pytorch import PyTorchRuntime
from maskreel.structures import Clip, ClipBatch, ClipPrediction, FrameFeatures
from maskreel.video.prepare import pad_clips, pad_frames, show_frame

BOUNDS: dict[GraphPrecision, float] = {"float32": 1e-4, "float16": 2e-2}
"""Largest relative difference of any output; graphs of 8 bits are judged by what they find."""
LARGEST_LOSS: dict[GraphPrecision, float] = {"float32": 0.001, "float16": 0.01, "int8": 0.01}
"""Difference of AP that is allowed, as a fraction."""
LEAST_IOU = 0.999
"""Mean IoU of the masks of both sides, in float32."""
COMPARED = 10
"""Queries whose masks are compared, the most certain ones."""
VIDEOS = 10
MASK_STRIDE = 4
"""Pixels per cell of the masks."""


class PaddedRuntime(PyTorchRuntime):
    """PyTorch on clips that are padded as graphs pad them: the norms of a pyramid count padding."""

    def __init__(self, model: nn.Module, size: tuple[int, int]) -> None:
        super().__init__(model)
        self._size = size

    def frame_features(self, frames: ClipBatch) -> FrameFeatures:
        return super().frame_features(pad_to(frames, self._size))


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Largest absolute difference over the largest absolute value, per output."""

    logits: float
    boxes: float
    masks: float

    @property
    def largest(self) -> float:
        return float(np.max((self.logits, self.boxes, self.masks)))


def difference(ours: Runtime, theirs: Runtime, clip: ClipBatch) -> Difference:
    """Of two runtimes on the clips of a batch; masks are those of the queries of which the first is most certain.

    Cells beyond a frame do not count: nobody reads them, and where all is zero a norm makes large numbers of rounding.
    """
    a, b = (runtime.clip(runtime.frame_features(clip)) for runtime in (ours, theirs))
    masks = 0.0
    for n in range(len(clip.frames)):
        queries, is_seen = most_certain(a, n), ~clip.is_padding[n, :, ::MASK_STRIDE, ::MASK_STRIDE]
        height, width = is_seen.shape[1:]
        pair = [side.masks(found, n, queries)[..., :height, :width] for side, found in ((ours, a), (theirs, b))]
        masks = max(masks, _relative(*(each[:, is_seen] for each in pair)))
    return Difference(
        logits=_relative(a.final.class_logits, b.final.class_logits),
        boxes=_relative(a.final.boxes, b.final.boxes),
        masks=masks,
    )


def most_certain(prediction: ClipPrediction, clip: int) -> Int[Tensor, " n"]:
    logits = prediction.final.class_logits[clip]
    classes = logits if prediction.votes == "per_clip" else logits.softmax(-1)[..., :-1]
    return classes.amax((1, 2)).topk(min(COMPARED, len(logits))).indices


def _relative(ours: Tensor, theirs: Tensor) -> float:
    if not bool(torch.isfinite(theirs).all()):
        return float("inf")
    return ((ours - theirs).abs().max() / ours.abs().max().clamp(min=1e-30)).item()


def random_clips(size: tuple[int, int], frames: int, *, any_frames: bool) -> list[ClipBatch]:
    """A clip of the given size, and where it can be a shorter one of smaller frames: padding is to change nothing."""
    generator = torch.Generator().manual_seed(0)
    height, width = size
    shorter = max(1, frames // 2) if any_frames else frames
    clips = [(frames, height, width), (shorter, max(32, 3 * height // 4), max(32, 2 * width // 3))]
    return [pad_frames([torch.randn(t, 3, h, w, generator=generator)]) for t, h, w in clips]


def rendered_clip(size: tuple[int, int], frames: int) -> tuple[np.ndarray, ClipBatch]:
    """A rendered video of the given size, as it is and as it is shown to a model."""
    dials = SyntheticDials(frames=frames, height=size[0], width=size[1])
    video = np.stack(list(render_video(DEMO_SEED, 0, dials).frames))
    shown = torch.stack([show_frame(frame, min(size)) for frame in video])
    clip = Clip(frames=shown, frame_index=torch.arange(frames), video_id=0, size=size)
    return video, pad_clips([clip])


def rendered_precision(
    model: nn.Module | Runtime, classes: Sequence[tuple[int, str]], options: PredictorOptions
) -> float:
    """AP over rendered videos that no model was trained on."""
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(Path(folder), "valid", num_videos=VIDEOS, seed=TEST_SEEDS[0], dials=SyntheticDials())
        dataset = YouTubeVIS.load(Path(folder), "valid")
        return evaluate(model, classes, dataset, EvaluationConfig(predictor=options)).overall["AP"] or 0.0


def knows_rendered(classes: Sequence[tuple[int, str]]) -> bool:
    """Whether a model has the classes of the rendered set, with their ids."""
    return set(categories(SyntheticDials())) <= set(classes)


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What both sides find in a video."""

    kept: int
    """Objects of the model itself."""
    same_ids: bool
    mean_iou: float
    """Of the masks of equal ids over all frames; 1 where nothing is found."""


def agreement(ours: Masklets, theirs: Masklets) -> Agreement:
    a, b = ({masklet.track_id: masklet for masklet in side} for side in (ours, theirs))
    shared = [masklet_iou(a[key], b[key]) for key in a if key in b]
    return Agreement(
        kept=len(a),
        same_ids=list(a) == list(b),
        mean_iou=float(np.mean(shared)) if shared else float(not a and not b),
    )


def masklet_iou(a: Masklet, b: Masklet) -> float:
    """Of two objects in the same frames: intersection over union of all pixels."""
    shared = union = 0
    for one, other in zip(a.segmentations, b.segmentations, strict=True):
        both = rle.intersection(one, other) if one is not None and other is not None else 0
        shared += both
        union += sum(rle.area(mask) for mask in (one, other) if mask is not None) - both
    return shared / union if union else 1.0


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What was compared, for people and as JSON."""

    random: Difference
    rendered: Difference
    agreement: Agreement
    ap: tuple[float, float] | None
    """Of the model and of its graphs, where the model knows the rendered classes."""

    def failure(self, precision: GraphPrecision) -> str | None:
        """What is beyond its bound, as a sentence; None where nothing is."""
        bound = BOUNDS.get(precision)
        for clips, found in (("random clips", self.random), ("a rendered clip", self.rendered)):
            for output, value in asdict(found).items():
                if bound is not None and not value <= bound:
                    return (
                        f"{output} of {clips} differ by {value:.1e} of their largest value; at most {bound:.0e} is "
                        "allowed"
                    )
        if self.ap is not None:
            loss = abs(self.ap[0] - self.ap[1])
            if loss > LARGEST_LOSS[precision]:
                return (
                    f"AP of {VIDEOS} rendered videos is {100 * self.ap[1]:.2f}, of the model {100 * self.ap[0]:.2f}; "
                    f"at most {100 * LARGEST_LOSS[precision]:g} points apart is allowed"
                )
        elif precision == "float32" and not (self.agreement.same_ids and self.agreement.mean_iou >= LEAST_IOU):
            return (
                f"of the rendered clip both find {'the same' if self.agreement.same_ids else 'other'} ids, with a mean "
                f"IoU of {self.agreement.mean_iou:.4f}; the same ids and {LEAST_IOU} are wanted"
            )
        return None


def prove(
    model: nn.Module,
    graphs: GraphRuntime,
    classes: Sequence[tuple[int, str]],
    options: PredictorOptions,
) -> Proof:
    """Run both sides over the same clips."""
    description = graphs.description
    ours = PaddedRuntime(model, description.size)
    size, frames = description.size, description.frames
    clips = random_clips(size, frames, any_frames=description.any_frames)
    video, shown = rendered_clip(size, frames)
    # Objects of weights that are not trained look alike, and merged there would be one to compare.
    kept = replace(options, max_objects=None, duplicates="keep")
    found = [VideoPredictor(side, classes, kept)(video) for side in (ours, graphs)]
    if not len(found[0]):
        # Nor are such weights certain of anything: what they are least uncertain of is compared.
        kept = replace(kept, min_score=0.0)
        found = [VideoPredictor(side, classes, kept)(video) for side in (ours, graphs)]
    ap = None
    if knows_rendered(classes):
        every = replace(options, min_score=0.0)
        ap = rendered_precision(ours, classes, every), rendered_precision(graphs, classes, every)
    differences = [difference(ours, graphs, clip) for clip in clips]
    return Proof(
        random=Difference(
            logits=max(each.logits for each in differences),
            boxes=max(each.boxes for each in differences),
            masks=max(each.masks for each in differences),
        ),
        rendered=difference(ours, graphs, shown),
        agreement=agreement(*found),
        ap=ap,
    )
