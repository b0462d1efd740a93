"""Costs of the VisTR family against loops over frames, and which frames a match answers for."""

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from maskreel.criteria.sequence_matching import (
    EPSILON,
    SequenceCosts,
    match_sequences,
    sequence_cost,
    supervised_frames,
)
from maskreel.structures import ClipPrediction, ClipTarget, LayerPrediction, Match
from tests.builders import clip_target

CLIPS, QUERIES, FRAMES, CLASSES = 2, 4, 3, 3
NONE = CLASSES
"""Position of "no object" among the logits."""
WEIGHTS = {"label": 1.5, "box": 4.0, "overlap": 2.5}
ALL_REAL = torch.ones(FRAMES, dtype=torch.bool)
LAST_PADDED = torch.tensor([True, True, False])


def layer(seed: int = 0, *, masks: Any = None) -> LayerPrediction:
    """A vote per frame, with "no object"; float64."""
    double = {"generator": torch.Generator().manual_seed(seed), "dtype": torch.float64}
    return LayerPrediction(
        class_logits=torch.randn(CLIPS, QUERIES, FRAMES, CLASSES + 1, **double),
        boxes=0.2 + 0.6 * torch.rand(CLIPS, QUERIES, FRAMES, 4, **double),
        masks=masks,
    )


def target(num_objects: int, size: tuple[int, int] = (8, 12), *, seed: int | None = None) -> ClipTarget:
    """Object 0 is absent from the last frame, object 1 from the first, as in no other object; float64."""
    made = clip_target(size, num_objects, num_frames=FRAMES, seed=num_objects if seed is None else seed)
    is_visible = made.is_visible.clone()
    is_visible[1:2, 0] = False
    return replace(
        made,
        boxes=made.boxes.double() * is_visible[..., None],
        masks=made.masks & is_visible[..., None, None],
        is_visible=is_visible,
    )


def corners(box: list[float]) -> tuple[float, float, float, float]:
    x, y, w, h = box
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def slow_overlaps(a: list[float], b: list[float], epsilon: float) -> tuple[float, float]:
    """(IoU, GIoU) of two boxes (centre, size), by corner arithmetic."""
    p, q = corners(a), corners(b)
    width, height = min(p[2], q[2]) - max(p[0], q[0]), min(p[3], q[3]) - max(p[1], q[1])
    overlap = max(width, 0) * max(height, 0)
    union = a[2] * a[3] + b[2] * b[3] - overlap
    hull = (max(p[2], q[2]) - min(p[0], q[0])) * (max(p[3], q[3]) - min(p[1], q[1]))
    iou = (overlap + epsilon) / (union + epsilon)
    return iou, iou - (hull - union + epsilon) / (hull + epsilon)


def softmax(logits: list[float]) -> list[float]:
    exponents = [math.exp(x) for x in logits]
    return [x / sum(exponents) for x in exponents]


def slow_cost(
    layer: LayerPrediction, clip: int, target: ClipTarget, costs: SequenceCosts, real: list[int], absent: int | None
) -> Tensor:
    """Mean over the real frames, one pair at a time."""
    table = torch.zeros(QUERIES, len(target.labels), dtype=torch.float64)
    for q, n, t in itertools.product(range(QUERIES), range(len(target.labels)), real):
        chances = softmax(layer.class_logits[clip, q, t].tolist())
        named = target.labels[n].item() if target.is_visible[n, t] else absent
        chance = 0.0 if named is None else chances[named]
        ours, truth = layer.boxes[clip, q, t].tolist(), target.boxes[n, t].tolist()
        distance = sum(abs(x - y) for x, y in zip(ours, truth, strict=True))
        if costs.box_distance == "l1_mean":
            distance /= 4
        iou, giou = slow_overlaps(ours, truth, EPSILON if costs.overlap_measure == "iou" else 0.0)
        overlap = iou if costs.overlap_measure == "iou" else giou
        cost = -costs.label * chance + costs.box * distance - costs.overlap * overlap
        table[q, n] += cost / len(real)
    return table


@pytest.mark.parametrize("absent", [None, 0, 1])
@pytest.mark.parametrize("is_real", [ALL_REAL, LAST_PADDED], ids=["whole", "padded"])
@pytest.mark.parametrize(
    "costs",
    [
        SequenceCosts(**WEIGHTS),
        SequenceCosts(**WEIGHTS, box_distance="l1_sum"),
        SequenceCosts(**WEIGHTS, overlap_measure="giou"),
    ],
    ids=["vistr", "sum", "giou"],
)
def test_costs_are_those_of_the_loop(costs: SequenceCosts, is_real: Tensor, absent: int | None) -> None:
    predicted, wanted = layer(), target(3)
    ours = sequence_cost(predicted, 1, wanted, costs, is_real=is_real, absent_label=absent)
    expected = slow_cost(predicted, 1, wanted, costs, is_real.nonzero().flatten().tolist(), absent)
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)


def test_padded_frames_take_no_part_in_costs_and_matches() -> None:
    predicted, wanted = layer(), [target(2), target(3)]
    logits, boxes = predicted.class_logits.clone(), predicted.boxes.clone()
    logits[:, :, 2] = torch.randn(CLIPS, QUERIES, CLASSES + 1, generator=torch.Generator().manual_seed(9))
    boxes[:, :, 2] = boxes[:, :, 2].flip(1)
    other = LayerPrediction(class_logits=logits, boxes=boxes)
    for clip, is_real in enumerate((LAST_PADDED, ALL_REAL)):
        before, after = (
            sequence_cost(each, clip, wanted[clip], SequenceCosts(), is_real=is_real) for each in (predicted, other)
        )
        assert torch.equal(before, after) == (clip == 0)


def test_a_cost_is_a_mean_over_frames_however_many_are_real() -> None:
    """The same in every frame: the cost of a frame."""
    one = layer()
    constant = LayerPrediction(
        class_logits=one.class_logits[:, :, :1].expand(-1, -1, FRAMES, -1),
        boxes=one.boxes[:, :, :1].expand(-1, -1, FRAMES, -1),
    )
    wanted = target(3)
    wanted = replace(
        wanted, boxes=wanted.boxes[:, 1:2].expand(-1, FRAMES, -1), is_visible=torch.ones(3, FRAMES, dtype=torch.bool)
    )
    whole, padded = (
        sequence_cost(constant, 0, wanted, SequenceCosts(), is_real=is_real) for is_real in (ALL_REAL, LAST_PADDED)
    )
    torch.testing.assert_close(whole, padded)


def test_the_class_of_an_absent_object_costs_nothing_unless_its_class_is_named() -> None:
    predicted, wanted = layer(), target(1)
    logits = predicted.class_logits.clone()
    logits[1, :, 2] = logits[1, :, 2].flip(0) + torch.arange(CLASSES + 1)
    other = LayerPrediction(class_logits=logits, boxes=predicted.boxes)
    for absent in (None, 0):
        before, after = (
            sequence_cost(each, 1, wanted, SequenceCosts(), is_real=ALL_REAL, absent_label=absent)
            for each in (predicted, other)
        )
        assert torch.equal(before, after) == (absent is None)


def test_a_sure_query_in_the_right_place_costs_least() -> None:
    """A mistake in a sign shows here whatever a loop says."""
    wanted = target(1)
    logits = torch.zeros(1, 3, FRAMES, CLASSES + 1, dtype=torch.float64)
    boxes = wanted.boxes[:, None].expand(1, 3, FRAMES, 4).clone()
    logits[0, :, :, wanted.labels[0]] = torch.tensor([8.0, 8.0, -8.0], dtype=torch.float64)[:, None]
    boxes[0, 1, :, :2] += 0.3
    right, misplaced, misnamed = sequence_cost(
        LayerPrediction(class_logits=logits, boxes=boxes), 0, wanted, SequenceCosts(), is_real=ALL_REAL
    ).flatten()
    assert right < min(misplaced, misnamed)
    # Absent in one of three frames, where two empty boxes overlap by epsilon over epsilon.
    assert right.item() == pytest.approx(-1.0 * 2 / 3 - 2.0, abs=1e-2)


@pytest.mark.parametrize("absent", [None, 0])
def test_no_other_assignment_is_cheaper_in_any_layer_or_clip(absent: int | None) -> None:
    layers, targets = tuple(layer(seed) for seed in range(3)), [target(2), target(3)]
    is_real = torch.stack((LAST_PADDED, ALL_REAL))
    matches = match_sequences(
        ClipPrediction(layers=layers), targets, SequenceCosts(), is_real=is_real, absent_label=absent
    )
    assert [len(clips) for clips in matches] == [2, 2, 2]
    for (one, clips), clip in itertools.product(zip(layers, matches, strict=True), range(CLIPS)):
        wanted = targets[clip]
        real = is_real[clip].nonzero().flatten().tolist()
        table = slow_cost(one, clip, wanted, SequenceCosts(), real, absent)
        objects = range(len(wanted.labels))
        best = min(
            sum(table[q, n].item() for q, n in zip(queries, objects, strict=True))
            for queries in itertools.permutations(range(QUERIES), len(objects))
        )
        assert sorted(clips[clip].target.tolist()) == list(objects)
        assert table[clips[clip].query, clips[clip].target].sum().item() == pytest.approx(best, rel=1e-9)


def test_clips_without_objects_have_no_matches() -> None:
    [clips] = match_sequences(
        ClipPrediction(layers=(layer(),)),
        [target(0), target(0)],
        SequenceCosts(),
        is_real=torch.ones(2, FRAMES, dtype=torch.bool),
    )
    assert [(m.query.tolist(), m.target.tolist()) for m in clips] == [([], []), ([], [])]


def test_a_match_answers_for_the_frames_of_its_own_object_or_as_published_for_those_of_another() -> None:
    wanted = target(2)
    match = Match(query=torch.tensor([0, 3]), target=torch.tensor([1, 0]))
    seen_first, seen_second = [True, True, False], [False, True, True]
    assert wanted.is_visible.tolist() == [seen_first, seen_second]
    assert supervised_frames(match, wanted, legacy_valid_index=False).tolist() == [seen_second, seen_first]
    assert supervised_frames(match, wanted, legacy_valid_index=True).tolist() == [seen_first, seen_second]


def test_the_published_rule_takes_the_first_objects_where_fewer_are_matched() -> None:
    wanted = target(3)
    match = Match(query=torch.tensor([2]), target=torch.tensor([1]))
    assert supervised_frames(match, wanted, legacy_valid_index=True).tolist() == [[True, True, False]]
    assert supervised_frames(match, wanted, legacy_valid_index=False).tolist() == [[False, True, True]]
