"""Assignment costs, matches, losses and their gradients against recorded runs of VisTR, Deformable VisTR and DETR.

A DETR image is a clip of one frame. The public Deformable VisTR code has VisTR's criterion with the fault of the frame
index corrected. The recordings' `class_error` and `cardinality_error` are counts that their authors log: no loss, and
no part of this project.
"""

import zlib
from dataclasses import dataclass, field

import pytest
import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from maskreel.criteria.sequence_loss import SequenceLoss, SequenceLossWeights
from maskreel.criteria.sequence_matching import SequenceCosts, match_sequences, sequence_cost, supervised_frames
from maskreel.structures import ClipPrediction, ClipTarget, LayerPrediction, Match
from tests.builders import assert_golden, golden, golden_noise

pytestmark = pytest.mark.golden

CASES = [
    ("vistr", "a"),
    ("vistr", "b_full"),
    ("vistr", "c_noinst"),
    ("vistr", "d_swap"),
    ("defvis", "a"),
    ("detr", "a"),
]
LOSS_NAMES = {"label": "loss_ce", "box": "loss_bbox", "giou": "loss_giou", "mask": "loss_mask", "dice": "loss_dice"}
ROWS = {"vistr": "b (t q) ... -> b q t ...", "defvis": "b (q t) ... -> b q t ...", "detr": "b (q t) ... -> b q t ..."}
"""How the rows of a recorded tensor are counted."""
QUERIES = {"vistr": 10, "defvis": 8}
"""Instances of a clip, where it has several frames."""
COSTS = {
    "vistr": SequenceCosts(),
    "defvis": SequenceCosts(),
    "detr": SequenceCosts(box_distance="l1_sum", overlap_measure="giou"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class GivenMasks:
    """Recorded masks of all instances of one clip."""

    masks: Float[Tensor, "q t h w"]

    def select(self, clip: int, queries: Int[Tensor, " n"]) -> Float[Tensor, "n t h w"]:
        return self.masks[queries]


@dataclass(eq=False)
class Case:
    """One recorded call of a criterion, two layers."""

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
        boxes = self.tensors["in.0.pred_boxes"]
        self.clips, self.t = len(boxes), boxes.shape[1] // QUERIES[self.system] if self.system in QUERIES else 1
        self.queries = boxes.shape[1] // self.t
        self.targets = [self._target(clip) for clip in range(self.clips)]
        self.prediction = ClipPrediction(layers=(self._layer(0), self._layer(1)))
        self.is_legacy = self.system == "vistr"
        self.criterion = SequenceLoss(
            SequenceLossWeights(), COSTS[self.system], legacy_valid_index=self.is_legacy, mask_resize="stretched"
        )
        self.absent_label = None if self.system == "detr" else 0
        self.is_real = torch.ones(self.clips, self.t, dtype=torch.bool)

    def _target(self, clip: int) -> ClipTarget:
        get = {name: self.tensors.get(f"target.{clip}.{name}") for name in ("labels", "boxes", "valid", "masks")}
        labels = get["labels"].view(-1, self.t)
        n = len(labels)
        masks = torch.zeros(n * self.t, 4, 4, dtype=torch.bool) if get["masks"] is None else get["masks"]
        valid = torch.ones(n * self.t) if get["valid"] is None else get["valid"]
        return ClipTarget(
            labels=labels.amax(1),
            boxes=get["boxes"].view(n, self.t, 4),
            masks=masks.view(n, self.t, *masks.shape[1:]),
            is_visible=valid.view(n, self.t).bool(),
            track_id=torch.arange(n),
        )

    def _layer(self, index: int) -> LayerPrediction:
        rows = {
            name: rearrange(self.leaves[f"{index}.{name}"], ROWS[self.system], t=self.t)
            for name in ("pred_logits", "pred_boxes", "pred_masks")
            if f"{index}.{name}" in self.leaves
        }
        masks = GivenMasks(masks=rows["pred_masks"][0]) if "pred_masks" in rows else None
        return LayerPrediction(class_logits=rows["pred_logits"], boxes=rows["pred_boxes"], masks=masks)

    def matches(self) -> list[list[Match]]:
        return match_sequences(
            self.prediction,
            self.targets,
            self.criterion.costs,
            is_real=self.is_real,
            absent_label=self.absent_label,
        )

    @property
    def num_rows(self) -> int:
        return max(sum(target.is_visible.numel() for target in self.targets), 1)

    def losses(self) -> dict[str, Tensor]:
        """Unweighted losses under their recorded names; the first layer is the auxiliary one."""
        matches = self.matches()
        found = {}
        for suffix, layer, matched in zip(("_0", ""), self.prediction.layers, matches, strict=True):
            losses = self.criterion.layer_losses(layer, matched, self.targets, self.is_real)
            for name, value in losses.items():
                found[LOSS_NAMES[name] + suffix] = value if name == "label" else value / self.num_rows
        return found

    def check(self, name: str, ours: Tensor) -> None:
        assert_golden(ours.detach(), self.tensors[name], self.noise[f"{self.name}.{name}"])


@pytest.fixture(params=CASES, ids=lambda case: "-".join(case))
def case(request: pytest.FixtureRequest) -> Case:
    return Case(*request.param)


def test_assignment_costs_agree(case: Case) -> None:
    for index, layer in enumerate(case.prediction.layers):
        for clip, target in enumerate(case.targets):
            cost = sequence_cost(
                layer,
                clip,
                target,
                case.criterion.costs,
                is_real=case.is_real[clip],
                absent_label=case.absent_label,
            )
            case.check(f"cost.{case.clips * index + clip}", cost)


def test_matched_rows_are_the_same(case: Case) -> None:
    matches = case.matches()
    for layer, clips in enumerate(matches):
        for clip, found in enumerate(clips):
            kept = supervised_frames(found, case.targets[clip], legacy_valid_index=case.is_legacy)
            frame = torch.arange(case.t).expand_as(kept)
            query = found.query[:, None]
            rows = frame * case.queries + query if case.system == "vistr" else query * case.t + frame
            wanted = found.target[:, None] * case.t + frame
            pairs = sorted(zip(rows[kept].tolist(), wanted[kept].tolist(), strict=True))
            recorded = [case.tensors[f"match.{layer}.{clip}.{side}"].tolist() for side in ("src", "tgt")]
            assert pairs == sorted(zip(*recorded, strict=True))


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


def test_the_corrected_matcher_keeps_the_frames_of_the_assigned_object() -> None:
    case = Case("vistr", "d_swap")
    (match,) = case.matches()[-1]
    target = case.targets[0]
    assert match.target.tolist() != sorted(match.target.tolist()), "the recorded case swaps objects"
    legacy = supervised_frames(match, target, legacy_valid_index=True)
    fixed = supervised_frames(match, target, legacy_valid_index=False)
    assert not torch.equal(legacy, fixed)
    assert torch.equal(fixed, torch.stack([target.is_visible[n] for n in match.target]))
