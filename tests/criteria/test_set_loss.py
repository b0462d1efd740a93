"""The whole training loss against a loop in float64."""

from dataclasses import dataclass, field
from typing import Literal

import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor

from maskreel.criteria.losses import class_loss
from maskreel.criteria.matching import MatchCosts, match
from maskreel.criteria.processes import mean_over_processes
from maskreel.criteria.set_loss import LossWeights, SetLoss, stride4_masks
from maskreel.structures import ClipPrediction, ClipTarget, LayerPrediction
from tests.builders import clip_batch, clip_target
from tests.criteria.test_losses import dice, focal
from tests.criteria.test_matching import slow_giou

SIZES = ((32, 64), (30, 50))
WEIGHTS = LossWeights(label=1.5, box=4.0, giou=2.5, mask=3.0, dice=0.5)


@dataclass(frozen=True, kw_only=True, eq=False)
class RandomMasks:
    """Mask logits of every query."""

    logits: Float[Tensor, "b q t h w"]
    asked: list[int] = field(default_factory=list)

    def select(self, clip: int, queries: Int[Tensor, " n"]) -> Float[Tensor, "n t h w"]:
        self.asked.append(len(queries))
        return self.logits[clip, queries]


def layer(seed: int, *, num_frames: int = 3) -> LayerPrediction:
    generator = torch.Generator().manual_seed(seed)
    double = {"generator": generator, "dtype": torch.float64}
    return LayerPrediction(
        class_logits=torch.randn(2, 5, 1, 3, **double),
        boxes=0.2 + 0.6 * torch.rand(2, 5, num_frames, 4, **double),
        masks=RandomMasks(logits=torch.randn(2, 5, num_frames, 8, 16, **double)),
    )


def targets(*num_objects: int) -> list[ClipTarget]:
    made = [clip_target(size, n, seed=n) for size, n in zip(SIZES, num_objects, strict=True)]
    return [ClipTarget(**{**vars(target), "boxes": target.boxes.double()}) for target in made]


def slow_layer(layer: LayerPrediction, targets: list[ClipTarget], absent: str, pairs: list[tuple]) -> dict[str, float]:
    """Sums over objects, one at a time; `pairs` are (clip, query, object)."""
    found = dict.fromkeys(("box", "giou", "mask", "dice"), 0.0)
    for clip, q, n in pairs:
        target = targets[clip]
        frames = [t for t in range(3) if absent == "official" or target.is_visible[n, t]]
        for t in frames:
            ours, truth = layer.boxes[clip, q, t].tolist(), target.boxes[n, t].tolist()
            found["box"] += sum(abs(x - y) for x, y in zip(ours, truth, strict=True)) / len(frames)
            found["giou"] += (1 - slow_giou(ours, truth)) / len(frames)
        logits, truth = layer.masks.logits[clip, q], torch.zeros(3, 8, 16, dtype=torch.float64)
        for t, row, column in ((t, r, c) for t in range(3) for r in range(8) for c in range(16)):
            if 4 * row + 2 < SIZES[clip][0] and 4 * column + 2 < SIZES[clip][1]:
                truth[t, row, column] = target.masks[n, t, 4 * row + 2, 4 * column + 2]
        both = zip(logits.flatten().tolist(), truth.flatten().tolist(), strict=True)
        found["mask"] += sum(focal(x, y) for x, y in both) / logits.numel()
        found["dice"] += dice(logits, truth)
    return found


@pytest.mark.parametrize("absent", ["official", "ignore"])
def test_losses_are_those_of_the_loop(absent: Literal["official", "ignore"]) -> None:
    loss, wanted, clip = SetLoss(WEIGHTS, MatchCosts(), absent_box_loss=absent), targets(3, 2), clip_batch(SIZES)
    prediction = ClipPrediction(layers=(layer(0), layer(1), layer(2)))
    ours = loss(prediction, wanted, clip)
    matches = match(prediction, wanted, MatchCosts(), [loss.counted_frames(target) for target in wanted])
    expected = []
    for one, clips in zip(prediction.layers, matches, strict=True):
        pairs = [
            (c, q, n) for c, m in enumerate(clips) for q, n in zip(m.query.tolist(), m.target.tolist(), strict=True)
        ]
        sums = slow_layer(one, wanted, absent, pairs)
        sums["label"] = class_loss(
            one.class_logits[:, :, 0],
            [m.query for m in clips],
            [wanted[c].labels[m.target] for c, m in enumerate(clips)],
        ).item()
        expected.append({name: getattr(WEIGHTS, name) * value / 5 for name, value in sums.items()})
    assert ours.keys() == {"label", "box", "giou", "mask", "dice", "auxiliary"}
    for name, value in expected[-1].items():
        assert ours[name].item() == pytest.approx(value, rel=1e-5), name
    auxiliary = sum(value for losses in expected[:-1] for value in losses.values())
    assert ours["auxiliary"].item() == pytest.approx(auxiliary, rel=1e-5)


def test_absent_frames_count_only_when_asked_for() -> None:
    wanted, clip = targets(3, 2), clip_batch(SIZES)
    assert not wanted[0].is_visible.all()
    moved = layer(0)
    losses = {}
    for absent in ("official", "ignore"):
        for shift in (0.0, 0.1):
            boxes = moved.boxes.clone()
            boxes[:, :, -1, :2] += shift  # objects 0 are absent in the last frame
            single = [ClipTarget(**{k: v[:1] for k, v in vars(target).items()}) for target in wanted]
            prediction = ClipPrediction(layers=(LayerPrediction(class_logits=moved.class_logits, boxes=boxes),))
            losses[absent, shift] = SetLoss(WEIGHTS, MatchCosts(), absent_box_loss=absent)(prediction, single, clip)
    for name in ("box", "giou"):
        assert losses["ignore", 0.0][name] == losses["ignore", 0.1][name]
        assert losses["official", 0.0][name] != losses["official", 0.1][name]


def test_layers_without_masks_have_no_mask_losses() -> None:
    bare = LayerPrediction(class_logits=layer(0).class_logits, boxes=layer(0).boxes)
    prediction = ClipPrediction(layers=(bare, layer(1)))
    losses = SetLoss(WEIGHTS, MatchCosts())(prediction, targets(1, 1), clip_batch(SIZES))
    only = SetLoss(WEIGHTS, MatchCosts())(ClipPrediction(layers=(bare,)), targets(1, 1), clip_batch(SIZES))
    assert only.keys() == {"label", "box", "giou"}
    assert losses["auxiliary"].item() == pytest.approx(sum(value.item() for value in only.values()))


def test_masks_are_asked_for_matched_queries_only() -> None:
    layers = (layer(0), layer(1))
    SetLoss(WEIGHTS, MatchCosts())(ClipPrediction(layers=layers), targets(2, 0), clip_batch(SIZES))
    assert [one.masks.asked for one in layers] == [[2, 0], [2, 0]]


def test_no_objects_leave_the_class_loss_alone() -> None:
    losses = SetLoss(WEIGHTS, MatchCosts())(ClipPrediction(layers=(layer(0),)), targets(0, 0), clip_batch(SIZES))
    assert losses["label"] > 0
    assert [losses[name].item() for name in ("box", "giou", "mask", "dice")] == [0, 0, 0, 0]


def test_target_masks_are_padded_before_every_fourth_pixel_is_taken() -> None:
    [target, _] = targets(1, 0)
    ours = stride4_masks(target, (64, 96))
    assert ours.shape == (1, 3, 16, 24)
    assert torch.equal(ours[..., :8, :16].bool(), target.masks[:, :, 2::4, 2::4])
    assert not ours[..., 8:, :].any()
    assert not ours[..., 16:].any()


def test_a_single_process_divides_by_its_own_objects_but_never_by_less_than_one() -> None:
    assert [mean_over_processes(count, torch.device("cpu")) for count in (0, 1, 7)] == [1.0, 1.0, 7.0]
