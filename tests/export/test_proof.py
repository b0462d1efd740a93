"""What the proof calls equal, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from maskreel.export.proof import (
    Agreement,
    Difference,
    PaddedRuntime,
    Proof,
    agreement,
    difference,
    knows_rendered,
    most_certain,
    random_clips,
    rendered_clip,
)
from maskreel.geometry.masklet import Masklet
from maskreel.geometry.masklets import Masklets
from maskreel.geometry.rle import encode
from maskreel.runtimes.pytorch import PyTorchRuntime
from maskreel.structures import ClipPrediction, LayerPrediction
from tests.builders import clip_batch
from tests.export.exporting import SIZE, tiny_model

EQUAL = Difference(logits=1e-6, boxes=1e-7, masks=1e-6)
SAME = Agreement(kept=2, same_ids=True, mean_iou=1.0)
GOOD = Proof(random=EQUAL, rendered=EQUAL, agreement=SAME, ap=None)


def test_small_differences_are_no_failure() -> None:
    for precision in ("float32", "float16", "int8"):
        assert GOOD.failure(precision) is None


@pytest.mark.parametrize("clips", ["random", "rendered"])
@pytest.mark.parametrize("output", ["logits", "boxes", "masks"])
@pytest.mark.parametrize(("precision", "bound"), [("float32", 1e-4), ("float16", 2e-2)])
def test_every_output_has_its_bound(clips: str, output: str, precision: str, bound: float) -> None:
    for value, is_refused in ((0.9 * bound, False), (1.1 * bound, True), (float("nan"), True), (float("inf"), True)):
        proof = replace(GOOD, **{clips: replace(EQUAL, **{output: value})})
        assert (proof.failure(precision) is not None) == is_refused, value
    assert f"at most {bound:.0e} is allowed" in str(proof.failure(precision))


@pytest.mark.parametrize(("precision", "points"), [("float32", 0.1), ("float16", 1.0), ("int8", 1.0)])
def test_average_precision_may_differ_by_so_many_points(precision: str, points: float) -> None:
    for loss, is_refused in ((0.9 * points, False), (1.1 * points, True), (-1.1 * points, True)):
        failure = replace(GOOD, ap=(0.5, 0.5 - loss / 100)).failure(precision)
        assert (failure is not None) == is_refused
    assert f"at most {points:g} points" in str(failure)


def test_masks_and_ids_count_where_average_precision_cannot() -> None:
    assert "mean IoU of 0.9980" in str(replace(GOOD, agreement=replace(SAME, mean_iou=0.998)).failure("float32"))
    assert "other ids" in str(replace(GOOD, agreement=replace(SAME, same_ids=False)).failure("float32"))
    assert replace(GOOD, agreement=replace(SAME, mean_iou=0.998)).failure("int8") is None
    assert replace(GOOD, agreement=replace(SAME, mean_iou=0.998), ap=(0.5, 0.5)).failure("float32") is None


@pytest.mark.parametrize("name", ["seqformer", "vistr"])
def test_a_model_agrees_with_itself_and_with_no_other(name: str) -> None:
    model, clip = tiny_model(name).model, clip_batch((SIZE, (50, 70)))
    assert difference(PyTorchRuntime(model), PyTorchRuntime(model), clip).largest == 0
    other = tiny_model(name).model
    with torch.no_grad():
        for part in (other.classify, other.mask_head):
            for parameter in part.parameters():
                parameter *= 1.01
    found = difference(PyTorchRuntime(model), PyTorchRuntime(other), clip)
    assert found.logits > 1e-3
    assert found.masks > 1e-3
    assert found.boxes == 0


@pytest.mark.parametrize(("row", "column", "is_seen"), [(12, 17, True), (13, 17, False), (12, 18, False)])
def test_masks_are_compared_in_the_frame_and_not_beyond_it(row: int, column: int, is_seen: bool) -> None:
    class Spotted(PyTorchRuntime):
        def masks(self, prediction: ClipPrediction, clip: int, queries: torch.Tensor) -> torch.Tensor:
            masks = super().masks(prediction, clip, queries).clone()
            masks[:, :, row, column] += 1
            return masks

    model, clip = tiny_model("seqformer").model, clip_batch(((50, 70), SIZE))
    clip = replace(clip, frames=clip.frames[:1], is_padding=clip.is_padding[:1])
    assert (difference(PyTorchRuntime(model), Spotted(model), clip).masks > 0) == is_seen


def test_numbers_that_are_none_differ_from_all() -> None:
    model, clip = tiny_model("seqformer").model, clip_batch((SIZE,))
    broken = tiny_model("seqformer").model
    with torch.no_grad():
        next(broken.mask_head.parameters()).fill_(float("nan"))
    assert difference(PyTorchRuntime(model), PyTorchRuntime(broken), clip).masks == float("inf")


def test_the_most_certain_queries_are_compared_and_no_object_is_no_certainty() -> None:
    logits = torch.zeros(1, 3, 2, 3)
    logits[0, 0, :, 2] = 9.0
    logits[0, 1, 1, 0] = 2.0
    logits[0, 2, 0, 1] = 3.0
    layer = LayerPrediction(class_logits=logits, boxes=torch.zeros(1, 3, 2, 4))
    votes = ClipPrediction(layers=(layer,), votes="per_frame")
    assert most_certain(votes, 0).tolist() == [2, 1, 0]
    clip = replace(layer, class_logits=logits[:, :, :1])
    assert most_certain(ClipPrediction(layers=(clip,)), 0).tolist() == [0, 2, 1]


def test_random_clips_have_the_size_asked_for_and_one_is_shorter_and_padded() -> None:
    whole, part = random_clips((60, 90), 4, any_frames=True)
    assert whole.frames.shape == (1, 4, 3, 64, 96)
    assert (~whole.is_padding).sum() == 4 * 60 * 90
    assert part.frames.shape[1] == 2
    assert (~part.is_padding[0, 0]).sum() == 45 * 60
    assert random_clips((60, 90), 4, any_frames=False)[1].frames.shape[1] == 4


def test_the_rendered_clip_is_shown_as_it_is() -> None:
    video, clip = rendered_clip((60, 90), 3)
    assert video.shape == (3, 60, 90, 3)
    assert clip.frames.shape == (1, 3, 3, 64, 96)
    assert video.std() > 10


def test_pytorch_pads_as_graphs_do() -> None:
    model = tiny_model("seqformer").model
    features = PaddedRuntime(model, (60, 120)).frame_features(clip_batch(((64, 96),)))
    assert features.maps[0].values.shape[-2:] == (8, 16)
    assert features.sizes[0, 0].tolist() == [96, 64]


def test_the_rendered_classes_are_known_by_id_and_name() -> None:
    names = ((1, "disc"), (2, "star"), (3, "box"), (4, "ring"))
    assert knows_rendered(names)
    assert knows_rendered((*names, (9, "cat")))
    assert not knows_rendered(names[:3])
    assert not knows_rendered(((2, "disc"), (1, "star"), (3, "box"), (4, "ring")))


def masklets(**masks: np.ndarray) -> Masklets:
    """Masklets whose track ids are the numbers in the names; masks are `t h w`."""
    entries = tuple(
        Masklet(
            track_id=int(name[1:]),
            label=0,
            category_id=1,
            score=0.5,
            segmentations=[encode(frame) if frame.any() else None for frame in track],
        )
        for name, track in masks.items()
    )
    return Masklets(
        source="test",
        width=4,
        height=2,
        classes=((1, "a"),),
        declared=2,
        skipped=(),
        timestamps=(0.0, 0.1),
        masklets=entries,
    )


def test_agreement_is_the_mean_over_objects_of_equal_ids() -> None:
    left, right = np.zeros((2, 2, 4), dtype=bool), np.zeros((2, 2, 4), dtype=bool)
    left[:, :, :2] = True
    right[0, :, :1] = True
    assert agreement(masklets(_1=left), masklets(_1=left)) == Agreement(kept=1, same_ids=True, mean_iou=1.0)
    assert agreement(masklets(_1=left, _2=left), masklets(_1=left, _2=right)).mean_iou == (1 + 2 / 8) / 2
    other = agreement(masklets(_1=left), masklets(_2=left))
    assert not other.same_ids
    assert other.mean_iou == 0.0
    assert agreement(masklets(), masklets()) == Agreement(kept=0, same_ids=True, mean_iou=1.0)
    assert not agreement(masklets(_1=left), masklets()).same_ids
