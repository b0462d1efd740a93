"""The training loss of the VisTR family against a loop in float64, and its parts against closed forms."""

import itertools
import math
from dataclasses import dataclass, field, replace

import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor

from maskreel.criteria.sequence_loss import MaskResize, SequenceLoss, SequenceLossWeights
from maskreel.criteria.sequence_matching import EPSILON, SequenceCosts
from maskreel.structures import ClipBatch, ClipPrediction, ClipTarget, LayerPrediction, Match
from tests.builders import clip_batch
from tests.criteria.test_losses import dice, focal
from tests.criteria.test_sequence_matching import CLASSES, FRAMES, NONE, QUERIES, layer, slow_overlaps, softmax, target

SIZES = ((16, 32), (14, 26))
"""Of the clips; both are padded to the first one's."""
WEIGHTS = SequenceLossWeights(label=1.5, box=4.0, giou=2.5, mask=3.0, dice=0.5, no_object=0.2)
REAL = ((0, 1, 2), (0, 1))
"""Frames of the clips: the second one is a frame shorter and padded to the length of the first."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RandomMasks:
    """Mask logits of every query."""

    logits: Float[Tensor, "b q t h w"]
    asked: list[int] = field(default_factory=list)

    def select(self, clip: int, queries: Int[Tensor, " n"]) -> Float[Tensor, "n t h w"]:
        self.asked.append(len(queries))
        return self.logits[clip, queries]


def masks(seed: int = 5) -> RandomMasks:
    generator = torch.Generator().manual_seed(seed)
    return RandomMasks(logits=torch.randn(2, QUERIES, FRAMES, 4, 8, generator=generator, dtype=torch.float64))


def prediction() -> ClipPrediction:
    """Three layers; the last one alone has masks, as in every model of the family."""
    return ClipPrediction(layers=(layer(0), layer(1), layer(2, masks=masks())), votes="per_frame")


def clips() -> ClipBatch:
    clip = clip_batch(SIZES, num_frames=FRAMES, padded=SIZES[0])
    is_padding = clip.is_padding.clone()
    is_padding[1, 2] = True
    return replace(clip, is_padding=is_padding)


def targets(first: int = 3, second: int = 2) -> list[ClipTarget]:
    """No object is seen in a padded frame."""
    whole, short = target(first, SIZES[0]), target(second, SIZES[1])
    is_visible = short.is_visible.clone()
    is_visible[:, 2] = False
    boxes, shown = short.boxes * is_visible[..., None], short.masks & is_visible[..., None, None]
    return [whole, replace(short, boxes=boxes, masks=shown, is_visible=is_visible)]


def is_real() -> Tensor:
    return torch.tensor([[True, True, True], [True, True, False]])


def slow_resize(logits: Tensor, size: tuple[int, int], ratio: tuple[float, float]) -> Tensor:
    """Bilinear, one pixel at a time; `ratio` is the size of an output pixel in input pixels."""
    rows, columns = logits.shape
    found = torch.zeros(size, dtype=logits.dtype)
    for i, j in itertools.product(range(size[0]), range(size[1])):
        y, x = (max((at + 0.5) * step - 0.5, 0.0) for at, step in zip((i, j), ratio, strict=True))
        top, left = min(int(y), rows - 1), min(int(x), columns - 1)
        low, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
        upper = logits[top, left] * (1 - (x - left)) + logits[top, right] * (x - left)
        lower = logits[low, left] * (1 - (x - left)) + logits[low, right] * (x - left)
        found[i, j] = upper * (1 - (y - top)) + lower * (y - top)
    return found


def answered(match: Match, target: ClipTarget, *, legacy: bool) -> list[tuple[int, int, list[int]]]:
    """(query, object, frames in which it answers), by the definition."""
    found = []
    for place, (q, n) in enumerate(zip(match.query.tolist(), match.target.tolist(), strict=True)):
        asked = place if legacy else n
        found.append((q, n, [t for t in range(FRAMES) if target.is_visible[asked, t]]))
    return found


def slow_layer(
    one: LayerPrediction,
    matches: list[Match],
    wanted: list[ClipTarget],
    *,
    legacy: bool,
    resize: MaskResize,
    epsilon: float,
) -> dict[str, float]:
    """Unweighted and undivided, one pair of object and frame at a time."""
    found = {"label": 0.0, "box": 0.0, "giou": 0.0} | ({} if one.masks is None else {"mask": 0.0, "dice": 0.0})
    counted = 0.0
    for clip, match in enumerate(matches):
        pairs = answered(match, wanted[clip], legacy=legacy)
        labels = {}
        for q, n, frames in pairs:
            for t in frames:
                seen = bool(wanted[clip].is_visible[n, t])
                labels[q, t] = int(wanted[clip].labels[n]) if seen else 0
                ours, truth = one.boxes[clip, q, t].tolist(), wanted[clip].boxes[n, t].tolist()
                found["box"] += sum(abs(x - y) for x, y in zip(ours, truth, strict=True))
                found["giou"] += 1 - slow_overlaps(ours, truth, epsilon)[1]
                if one.masks is not None:
                    size, logits = SIZES[clip], one.masks.logits[clip, q, t]
                    ratio = (0.25, 0.25) if resize == "aligned" else (4 / size[0], 8 / size[1])
                    large, true = slow_resize(logits, size, ratio), wanted[clip].masks[n, t].double()
                    both = zip(large.flatten().tolist(), true.flatten().tolist(), strict=True)
                    found["mask"] += sum(focal(x, y) for x, y in both) / large.numel()
                    found["dice"] += dice(large, true)
        for q, t in itertools.product(range(QUERIES), REAL[clip]):
            label = labels.get((q, t), NONE)
            weight = WEIGHTS.no_object if label == NONE else 1.0
            found["label"] -= weight * math.log(softmax(one.class_logits[clip, q, t].tolist())[label])
            counted += weight
    return found | {"label": found["label"] / counted}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("resize", ["aligned", "stretched"])
def test_losses_are_those_of_the_loop(resize: MaskResize, legacy: bool) -> None:
    loss = SequenceLoss(WEIGHTS, SequenceCosts(), legacy_valid_index=legacy, mask_resize=resize)
    given, wanted = prediction(), targets()
    ours = loss(given, wanted, clips())
    matches = loss.match(given, wanted, is_real())
    # Three objects in three frames and two in two, absent or not.
    rows = 3 * 3 + 2 * 2
    expected = []
    for one, matched in zip(given.layers, matches, strict=True):
        sums = slow_layer(one, matched, wanted, legacy=legacy, resize=resize, epsilon=EPSILON)
        expected.append(
            {name: getattr(WEIGHTS, name) * value / (1 if name == "label" else rows) for name, value in sums.items()}
        )
    assert ours.keys() == {"label", "box", "giou", "mask", "dice", "auxiliary"}
    for name, value in expected[-1].items():
        assert ours[name].item() == pytest.approx(value, rel=1e-9), name
    auxiliary = sum(value for losses in expected[:-1] for value in losses.values())
    assert ours["auxiliary"].item() == pytest.approx(auxiliary, rel=1e-9)


def test_every_auxiliary_layer_counts_as_much_as_it_would_alone() -> None:
    loss, wanted = SequenceLoss(WEIGHTS, SequenceCosts()), targets()
    layers = prediction().layers[:2]
    alone = [sum(loss(ClipPrediction(layers=(one,)), wanted, clips()).values()) for one in layers]
    together = loss(ClipPrediction(layers=(*layers, *prediction().layers)), wanted, clips())["auxiliary"]
    assert together.item() == pytest.approx(2 * sum(value.item() for value in alone), rel=1e-9)
    assert "auxiliary" not in loss(ClipPrediction(layers=prediction().layers[-1:]), wanted, clips())


def test_a_gradient_reaches_class_and_box_of_every_layer() -> None:
    given = prediction()
    for one in given.layers:
        one.class_logits.requires_grad_()
        one.boxes.requires_grad_()
    losses = SequenceLoss(WEIGHTS, SequenceCosts())(given, targets(), clips())
    torch.stack(list(losses.values())).sum().backward()
    for one in given.layers:
        assert one.class_logits.grad is not None
        assert one.boxes.grad is not None
        assert one.class_logits.grad[0].any(-1).all(), "every query has a class to learn in every frame"
        assert one.boxes.grad.any()


def off_by(distance: float, wanted: list[ClipTarget]) -> ClipPrediction:
    """Sure of everything, in the right order, with boxes too far to the right."""
    logits = torch.zeros(2, QUERIES, FRAMES, CLASSES + 1, dtype=torch.float64)
    logits[..., NONE] = 50.0
    boxes = torch.zeros(2, QUERIES, FRAMES, 4, dtype=torch.float64)
    for clip, one in enumerate(wanted):
        for n, label in enumerate(one.labels.tolist()):
            logits[clip, n, one.is_visible[n], NONE] = 0.0
            logits[clip, n, one.is_visible[n], label] = 50.0
            boxes[clip, n] = one.boxes[n]
    boxes[..., 0] += distance
    return ClipPrediction(layers=(LayerPrediction(class_logits=logits, boxes=boxes),))


def test_box_losses_are_divided_by_the_pairs_of_object_and_real_frame() -> None:
    wanted, costs = targets(), SequenceCosts()
    seen = sum(int(one.is_visible.sum()) for one in wanted)
    ours = SequenceLoss(WEIGHTS, costs)(off_by(0.01, wanted), wanted, clips())
    assert ours["box"].item() == pytest.approx(WEIGHTS.box * 0.01 * seen / 13, rel=1e-9)
    # The same clips without the padded frame.
    short = replace(clips(), is_padding=clip_batch(SIZES, num_frames=FRAMES, padded=SIZES[0]).is_padding)
    longer = SequenceLoss(WEIGHTS, costs)(off_by(0.01, wanted), wanted, short)
    assert longer["box"].item() == pytest.approx(ours["box"].item() * 13 / 15, rel=1e-9)


def test_right_boxes_cost_nothing_and_far_ones_more_than_touching_ones() -> None:
    wanted, loss = targets(), SequenceLoss(WEIGHTS, SequenceCosts())
    right, near, far = (loss(off_by(distance, wanted), wanted, clips()) for distance in (0.0, 0.4, 4.0))
    assert right["box"] == 0
    assert right["giou"].item() == pytest.approx(0, abs=1e-4)
    seen = sum(int(one.is_visible.sum()) for one in wanted)
    assert right["giou"] < near["giou"] < far["giou"] < WEIGHTS.giou * 2 * seen / 13


def test_a_sure_and_right_class_costs_nothing() -> None:
    wanted = targets()
    losses = SequenceLoss(WEIGHTS, SequenceCosts())(off_by(0.0, wanted), wanted, clips())
    assert losses["label"].item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("no_object", [0.1, 0.5, 1.0])
def test_no_object_weighs_what_it_should(no_object: float) -> None:
    """Every query is sure that there is no object: wrong in the frames with one, right elsewhere."""
    wanted = targets()
    empty = torch.zeros(2, QUERIES, FRAMES, CLASSES + 1, dtype=torch.float64)
    empty[..., NONE] = 2.0
    given = ClipPrediction(layers=(LayerPrediction(class_logits=empty, boxes=off_by(0.0, wanted).final.boxes),))
    weights = replace(WEIGHTS, no_object=no_object)
    ours = SequenceLoss(weights, SequenceCosts())(given, wanted, clips())["label"].item()
    seen = sum(int(one.is_visible.sum()) for one in wanted)
    others = QUERIES * (3 + 2) - seen
    total = CLASSES + math.exp(2)
    wrong, right = math.log(total), math.log(total) - 2
    mean = (seen * wrong + no_object * others * right) / (seen + no_object * others)
    assert ours == pytest.approx(weights.label * mean, rel=1e-9)


def test_padded_frames_change_nothing() -> None:
    given, wanted, loss = prediction(), targets(), SequenceLoss(WEIGHTS, SequenceCosts())
    before = loss(given, wanted, clips())
    noisy = []
    for one in given.layers:
        logits, boxes = one.class_logits.clone(), one.boxes.clone()
        logits[1, :, 2] = -logits[1, :, 2].flip(0)
        boxes[1, :, 2] = boxes[1, :, 2].flip(0)
        noisy.append(LayerPrediction(class_logits=logits, boxes=boxes, masks=one.masks))
    after = loss(ClipPrediction(layers=tuple(noisy)), wanted, clips())
    assert {name: value.item() for name, value in before.items()} == {
        name: value.item() for name, value in after.items()
    }


def test_without_an_epsilon_boxes_are_compared_by_the_plain_giou() -> None:
    costs = SequenceCosts(overlap_measure="giou")
    loss, given, wanted = SequenceLoss(WEIGHTS, costs), ClipPrediction(layers=(layer(0),)), targets()
    [matches] = loss.match(given, wanted, is_real())
    sums = slow_layer(given.final, matches, wanted, legacy=False, resize="aligned", epsilon=0.0)
    ours = loss(given, wanted, clips())
    assert ours["giou"].item() == pytest.approx(WEIGHTS.giou * sums["giou"] / 13, rel=1e-9)


@pytest.mark.parametrize("name", ["label", "box", "giou", "mask", "dice"])
def test_every_weight_scales_its_own_loss(name: str) -> None:
    given, wanted = prediction(), targets()
    once, twice = (
        SequenceLoss(replace(WEIGHTS, **{name: factor * getattr(WEIGHTS, name)}), SequenceCosts())(
            given, wanted, clips()
        )
        for factor in (1, 2)
    )
    for other in ("label", "box", "giou", "mask", "dice"):
        assert twice[other].item() == pytest.approx((2 if other == name else 1) * once[other].item(), rel=1e-12)


@pytest.mark.parametrize("legacy", [False, True])
def test_absent_objects_are_matched_as_class_0_by_the_published_rule_alone(legacy: bool) -> None:
    """Two queries in the right place; one is sure of class 0 where the object is absent."""
    wanted = [target(1, SIZES[0]), target(0, SIZES[1])]
    boxes = wanted[0].boxes.expand(2, QUERIES, -1, -1).clone()
    logits = torch.zeros(2, QUERIES, FRAMES, CLASSES + 1, dtype=torch.float64)
    logits[0, 3, 2, 0] = 9.0
    logits[0, 1, :2, wanted[0].labels[0]] = 1.0
    given = ClipPrediction(layers=(LayerPrediction(class_logits=logits, boxes=boxes),))
    loss = SequenceLoss(WEIGHTS, SequenceCosts(), legacy_valid_index=legacy)
    [[match, _]] = loss.match(given, wanted, is_real())
    assert match.query.tolist() == [3 if legacy else 1]


def test_the_published_rule_and_the_corrected_one_differ_where_objects_are_assigned_out_of_order() -> None:
    """Query 0 is sure of object 1 and query 1 of object 0, each where its object is seen."""
    wanted = [target(2, SIZES[0]), target(0, SIZES[1])]
    right = off_by(0.0, wanted).final
    order = torch.tensor([1, 0, 2, 3])
    swapped = ClipPrediction(
        layers=(LayerPrediction(class_logits=right.class_logits[:, order], boxes=right.boxes[:, order]),)
    )
    corrected, published = (
        SequenceLoss(WEIGHTS, SequenceCosts(), legacy_valid_index=legacy)(swapped, wanted, clips())
        for legacy in (False, True)
    )
    assert corrected["label"].item() == pytest.approx(0, abs=1e-9)
    assert published["label"] > 1


def test_masks_are_asked_for_matched_queries_only() -> None:
    source = masks()
    SequenceLoss(WEIGHTS, SequenceCosts())(ClipPrediction(layers=(layer(0, masks=source),)), targets(2, 0), clips())
    assert source.asked == [2, 0]


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("resize", ["aligned", "stretched"])
def test_no_objects_leave_the_class_loss_alone(resize: MaskResize, legacy: bool) -> None:
    given = prediction()
    for one in given.layers:
        one.boxes.requires_grad_()
    loss = SequenceLoss(WEIGHTS, SequenceCosts(), legacy_valid_index=legacy, mask_resize=resize)
    losses = loss(given, targets(0, 0), clips())
    assert losses["label"] > 0
    assert [losses[name].item() for name in ("box", "giou", "mask", "dice")] == [0, 0, 0, 0]
    losses["box"].backward()


def test_masks_meet_their_targets_aligned_unless_stretched_as_published() -> None:
    """A mask that is right on the padded frame: enlarged by its stride it fits, stretched over the smaller clip not."""
    wanted = [target(0, SIZES[0]), target(1, SIZES[1])]
    shown = torch.zeros(1, FRAMES, *SIZES[1], dtype=torch.bool)
    shown[:, :2, :, 12:] = True
    wanted[1] = replace(wanted[1], masks=shown, is_visible=torch.tensor([[True, True, False]]))
    logits = torch.full((2, QUERIES, FRAMES, 4, 8), -20.0, dtype=torch.float64)
    logits[..., 3:] = 20.0
    given = ClipPrediction(layers=(replace(off_by(0.0, wanted).final, masks=RandomMasks(logits=logits)),))
    aligned, stretched = (
        SequenceLoss(WEIGHTS, SequenceCosts(), mask_resize=resize)(given, wanted, clips())["dice"].item()
        for resize in ("aligned", "stretched")
    )
    assert aligned < 0.05 * WEIGHTS.dice
    assert stretched > 2 * aligned
