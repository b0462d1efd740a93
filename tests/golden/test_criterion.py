"""Assignment costs, matches, losses and their gradients against recorded runs of SeqFormer and Deformable DETR.

A Deformable DETR image is a clip of one frame whose box distance is `l1_mean`. The recordings' `class_error` and
`cardinality_error` are counts that their authors log: no loss, and no part of this project.
"""

import zlib
from dataclasses import dataclass, field

import pytest
import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from maskreel.criteria.matching import MatchCosts, assignment_cost, match
from maskreel.criteria.set_loss import LossWeights, SetLoss, stride4_masks
from maskreel.structures import ClipBatch, ClipPrediction, ClipTarget, LayerPrediction, Match
from tests.builders import assert_golden, golden, golden_noise

pytestmark = pytest.mark.golden

CASES = [
    ("seqformer", "a"),
    ("seqformer", "b_absent"),
    ("seqformer", "c_noinst"),
    ("ddetr", "a"),
    ("ddetr", "b_noinst"),
]
LOSS_NAMES = {"label": "loss_ce", "box": "loss_bbox", "giou": "loss_giou", "mask": "loss_mask", "dice": "loss_dice"}


@dataclass(frozen=True, kw_only=True, eq=False)
class MasksInMatchOrder:
    """Recorded masks: those of the matched queries, one after the other."""

    masks: list[Float[Tensor, "n t h w"]]
    queries: list[Int[Tensor, " n"]]

    def select(self, clip: int, queries: Int[Tensor, " n"]) -> Float[Tensor, "n t h w"]:
        assert queries.tolist() == self.queries[clip].tolist()
        return self.masks[clip]


@dataclass(eq=False)
class Case:
    """One recorded call of a criterion: two layers, two clips."""

    system: str
    name: str
    leaves: dict[str, Tensor] = field(default_factory=dict)
    """Recorded predictions, with gradients switched on."""

    def __post_init__(self) -> None:
        self.tensors = golden(f"criterion/{self.system}.safetensors", self.name)
        self.noise = golden_noise("criterion", self.system)
        for name, values in self.tensors.items():
            if name.startswith("in."):
                self.leaves[name.removeprefix("in.")] = values.clone().requires_grad_()
        self.targets = [self._target(clip) for clip in (0, 1)]
        self.prediction = ClipPrediction(layers=(self._layer(0), self._layer(1)))
        distance = "l2_flat" if self.system == "seqformer" else "l1_mean"
        self.criterion = SetLoss(LossWeights(), MatchCosts(box_distance=distance))
        self.counts = [self.criterion.counted_frames(target) for target in self.targets]

    def _target(self, clip: int) -> ClipTarget:
        target = {name: self.tensors.get(f"target.{clip}.{name}") for name in ("labels", "boxes", "masks")}
        labels, n = target["labels"], len(target["labels"])
        t = self.tensors["in.0.pred_boxes"].shape[1] if self.system == "seqformer" else 1
        boxes = target["boxes"].view(n, t, 4)
        masks = torch.zeros(n * t, 32, 32, dtype=torch.bool) if target["masks"] is None else target["masks"]
        return ClipTarget(
            labels=labels,
            boxes=boxes,
            masks=masks.view(n, t, *masks.shape[1:]),
            is_visible=(boxes > 0).any(-1),
            track_id=torch.arange(n),
        )

    def _layer(self, index: int) -> LayerPrediction:
        boxes, masks = self.leaves[f"{index}.pred_boxes"], None
        if self.system == "seqformer":
            boxes = rearrange(boxes, "b t q r -> b q t r")
            masks = MasksInMatchOrder(
                masks=[self.leaves[f"{index}.pred_masks.{clip}"][0] for clip in (0, 1)],
                queries=[self.tensors[f"match.{index}.{clip}.src"] for clip in (0, 1)],
            )
        else:
            boxes = rearrange(boxes, "b q r -> b q 1 r")
        return LayerPrediction(class_logits=self.leaves[f"{index}.pred_logits"][:, :, None], boxes=boxes, masks=masks)

    @property
    def padded(self) -> tuple[int, int]:
        """Frame size of the batch: the largest clip, up to a multiple of 32."""
        height, width = (-(max(t.masks.shape[axis] for t in self.targets) // -32) * 32 for axis in (-2, -1))
        return height, width

    def losses(self) -> dict[str, Tensor]:
        """Unweighted losses per object under their recorded names; the first layer is the auxiliary one."""
        matches = [
            [
                Match(query=self.tensors[f"match.{layer}.{clip}.src"], target=self.tensors[f"match.{layer}.{clip}.tgt"])
                for clip in (0, 1)
            ]
            for layer in (0, 1)
        ]
        masks = [stride4_masks(target, self.padded) for target in self.targets]
        num_objects = max(sum(len(target.labels) for target in self.targets), 1)
        found = {}
        for index, (layer, matched) in enumerate(zip(self.prediction.layers, matches, strict=True)):
            losses = self.criterion.layer_losses(layer, matched, self.targets, masks, self.counts)
            suffix = "_0" if index == 0 else ""
            found |= {LOSS_NAMES[name] + suffix: value / num_objects for name, value in losses.items()}
        return found

    def check(self, name: str, ours: Tensor) -> None:
        assert_golden(ours.detach(), self.tensors[name], self.noise[f"{self.name}.{name}"])


@pytest.fixture(params=CASES, ids=lambda case: "-".join(case))
def case(request: pytest.FixtureRequest) -> Case:
    return Case(*request.param)


def test_assignment_costs_agree(case: Case) -> None:
    for index, layer in enumerate(case.prediction.layers):
        for clip, (target, counts) in enumerate(zip(case.targets, case.counts, strict=True)):
            cost = assignment_cost(layer, clip, target, case.criterion.costs, counts)
            case.check(f"cost.{2 * index + clip}", cost)


def test_matched_queries_and_objects_are_the_same(case: Case) -> None:
    matches = match(case.prediction, case.targets, case.criterion.costs, case.counts)
    for layer, clips in enumerate(matches):
        for clip, found in enumerate(clips):
            assert found.query.tolist() == case.tensors[f"match.{layer}.{clip}.src"].tolist()
            assert found.target.tolist() == case.tensors[f"match.{layer}.{clip}.tgt"].tolist()


def test_every_loss_agrees(case: Case) -> None:
    losses = case.losses()
    recorded = {name.removeprefix("loss.") for name in case.tensors if name.startswith("loss.loss_")}
    assert set(losses) == recorded
    for name, value in losses.items():
        case.check(f"loss.{name}", value)


def test_gradients_agree(case: Case) -> None:
    total = sum((1 + 0.1 * (zlib.crc32(name.encode()) % 10)) * value for name, value in case.losses().items())
    case.check("weighted_sum", total)
    total.backward()
    recorded = [name for name in case.tensors if name.startswith("grad.")]
    assert {name.removeprefix("grad.") for name in recorded} == set(case.leaves)
    for name in recorded:
        ours = case.leaves[name.removeprefix("grad.")].grad
        case.check(name, torch.zeros_like(case.tensors[name]) if ours is None else ours)


def test_weighted_losses_are_the_recorded_ones_times_their_weights(case: Case) -> None:
    height, width = case.padded
    t = case.targets[0].boxes.shape[1]
    clip = ClipBatch(
        frames=torch.zeros(2, t, 3, height, width), is_padding=torch.zeros(2, t, height, width, dtype=torch.bool)
    )
    losses = case.criterion(case.prediction, case.targets, clip)
    weights = {"loss_ce": 2, "loss_bbox": 5, "loss_giou": 2, "loss_mask": 2, "loss_dice": 5}
    for name, value in losses.items():
        if name == "auxiliary":
            expected = sum(
                weights[n.removesuffix("_0")] * case.tensors[f"loss.{n}"] for n in case.losses() if n[-1] == "0"
            )
        else:
            expected = weights[LOSS_NAMES[name]] * case.tensors[f"loss.{LOSS_NAMES[name]}"]
        assert_golden(value.detach(), expected)
