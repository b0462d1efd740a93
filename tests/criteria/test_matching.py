"""Assignment costs against loops, assignments against trying them all."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from maskreel.criteria.matching import BoxDistance, MatchCosts, assignment_cost, match
from maskreel.structures import ClipPrediction, ClipTarget, LayerPrediction
from tests.builders import clip_target
from tests.counting import CountedOperators

WEIGHTS = {"label": 1.5, "box": 4.0, "giou": 2.5}


def layer(num_queries: int = 5, num_frames: int = 3, seed: int = 0) -> LayerPrediction:
    """Two clips; float64."""
    generator = torch.Generator().manual_seed(seed)
    return LayerPrediction(
        class_logits=torch.randn(2, num_queries, 1, 3, generator=generator, dtype=torch.float64),
        boxes=0.2 + 0.6 * torch.rand(2, num_queries, num_frames, 4, generator=generator, dtype=torch.float64),
    )


def target(num_objects: int, num_frames: int = 3) -> ClipTarget:
    made = clip_target((8, 12), num_objects, num_frames=num_frames, seed=num_objects)
    return ClipTarget(**{**vars(made), "boxes": made.boxes.double()})


def slow_giou(a: list[float], b: list[float]) -> float:
    """Of two boxes (centre, size), by corner arithmetic."""

    def corners(box: list[float]) -> tuple[float, float, float, float]:
        x, y, w, h = box
        return x - w / 2, y - h / 2, x + w / 2, y + h / 2

    p, q = corners(a), corners(b)
    width, height = min(p[2], q[2]) - max(p[0], q[0]), min(p[3], q[3]) - max(p[1], q[1])
    overlap = max(width, 0) * max(height, 0)
    union = a[2] * a[3] + b[2] * b[3] - overlap
    hull = (max(p[2], q[2]) - min(p[0], q[0])) * (max(p[3], q[3]) - min(p[1], q[1]))
    return overlap / union - (hull - union) / hull


def slow_cost(
    layer: LayerPrediction, clip: int, target: ClipTarget, distance: BoxDistance, counts: Tensor
) -> list[list[float]]:
    rows = []
    for q in range(layer.boxes.shape[1]):
        row = []
        for n, label in enumerate(target.labels.tolist()):
            p = 1 / (1 + math.exp(-layer.class_logits[clip, q, 0, label].item()))
            cost = WEIGHTS["label"] * (-0.25 * (1 - p) ** 2 * math.log(p) + 0.75 * p**2 * math.log(1 - p))
            frames = [t for t in range(counts.shape[1]) if counts[n, t]]
            pairs = [(layer.boxes[clip, q, t].tolist(), target.boxes[n, t].tolist()) for t in frames]
            differences = [abs(x - y) for a, b in pairs for x, y in zip(a, b, strict=True)]
            if distance == "l2_flat":
                cost += WEIGHTS["box"] * math.sqrt(sum(d * d for d in differences))
            else:
                cost += WEIGHTS["box"] * sum(differences) / len(frames)
            row.append(cost - WEIGHTS["giou"] * sum(slow_giou(a, b) for a, b in pairs) / len(frames))
        rows.append(row)
    return rows


@pytest.mark.parametrize("distance", ["l2_flat", "l1_mean"])
@pytest.mark.parametrize("absent", ["counted", "ignored"])
def test_costs_are_those_of_the_loop(distance: BoxDistance, absent: str) -> None:
    predicted, wanted = layer(), target(3)
    assert not wanted.is_visible.all()
    counts = wanted.is_visible.double() if absent == "ignored" else torch.ones(3, 3, dtype=torch.float64)
    ours = assignment_cost(predicted, 1, wanted, MatchCosts(**WEIGHTS, box_distance=distance), counts)
    expected = torch.tensor(slow_cost(predicted, 1, wanted, distance, counts), dtype=torch.float64)
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("num_objects", [1, 3, 4, 6])
def test_no_other_assignment_is_cheaper(num_objects: int) -> None:
    predicted, targets = layer(num_queries=4), [target(0), target(num_objects)]
    counts = [torch.ones(len(t.labels), 3, dtype=torch.float64) for t in targets]
    costs = MatchCosts()
    [[empty, found]] = match(ClipPrediction(layers=(predicted,)), targets, costs, counts)
    assert len(empty.query) == len(empty.target) == 0
    table = assignment_cost(predicted, 1, targets[1], costs, counts[1])
    size = min(4, num_objects)
    assert len(set(found.query.tolist())) == len(set(found.target.tolist())) == len(found.query) == size
    best = min(
        sum(table[q, n].item() for q, n in zip(queries, objects, strict=True))
        for queries in itertools.permutations(range(4), size)
        for objects in itertools.combinations(range(num_objects), size)
    )
    assert table[found.query, found.target].sum().item() == pytest.approx(best)


def test_every_layer_is_matched_on_its_own() -> None:
    layers = tuple(layer(seed=seed) for seed in range(4))
    targets = [target(2), target(3)]
    counts = [torch.ones(n, 3, dtype=torch.float64) for n in (2, 3)]
    together = match(ClipPrediction(layers=layers), targets, MatchCosts(), counts)
    assert [len(clips) for clips in together] == [2, 2, 2, 2]
    for one, clips in zip(layers, together, strict=True):
        [alone] = match(ClipPrediction(layers=(one,)), targets, MatchCosts(), counts)
        assert [m.query.tolist() for m in clips] == [m.query.tolist() for m in alone]
        assert [m.target.tolist() for m in clips] == [m.target.tolist() for m in alone]
    assert len({tuple(clips[1].query.tolist()) for clips in together}) > 1


def test_diverged_predictions_are_told_and_not_matched() -> None:
    broken = layer()
    broken.boxes[0, 2, 1, 3] = math.nan
    counts = [torch.ones(1, 3, dtype=torch.float64)] * 2
    with pytest.raises(FloatingPointError, match="assignment cost is not finite"):
        match(ClipPrediction(layers=(broken,)), [target(1), target(1)], MatchCosts(), counts)


def test_more_layers_take_no_more_operators() -> None:
    """All layers make one table of costs, which crosses to the CPU once and comes back once."""
    targets, counts = [target(2), target(3)], [torch.ones(n, 3, dtype=torch.float64) for n in (2, 3)]
    totals = []
    for num_layers in (1, 6):
        prediction = ClipPrediction(layers=tuple(layer(seed=seed) for seed in range(num_layers)))
        with CountedOperators() as counted:
            match(prediction, targets, MatchCosts(), counts)
        # Views of the one tensor that came back are all that there is one of for every layer.
        totals.append(sum(count for name, count in counted.calls.items() if name not in VIEWS))
    assert totals[0] == totals[1]


VIEWS = {"split_with_sizes", "split", "select", "unbind", "slice", "alias", "detach"}
