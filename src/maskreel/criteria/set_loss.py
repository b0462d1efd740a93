"""Training loss of the SeqFormer family: match every layer's queries to the objects, then compare them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from maskreel.criteria.losses import class_loss, dice_loss, mask_focal_loss
from maskreel.criteria.matching import MatchCosts, match
from maskreel.criteria.processes import mean_over_processes
from maskreel.geometry.boxes import cxcywh_to_xyxy, giou
from maskreel.structures import ClipBatch, ClipPrediction, ClipTarget, LayerPrediction, Match


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Factors of the five losses (SeqFormer, section 3.5); the same on every decoder layer."""

    label: float = 2.0
    box: float = 5.0
    giou: float = 2.0
    mask: float = 2.0
    dice: float = 5.0


class SetLoss(nn.Module):
    """Weighted losses by name: the last layer's five, and `auxiliary`, the sum over all other layers.

    `absent_box_loss` says what happens where an object is absent: `official` asks for a zero box there, as the
    published code does; `ignore` leaves such frames out of the box costs and box losses.
    """

    def __init__(
        self,
        weights: LossWeights,
        costs: MatchCosts,
        *,
        absent_box_loss: Literal["official", "ignore"] = "official",
    ) -> None:
        super().__init__()
        self.weights, self.costs = weights, costs
        self.absent_box_loss = absent_box_loss

    def forward(
        self, prediction: ClipPrediction, targets: Sequence[ClipTarget], clip: ClipBatch
    ) -> dict[str, Float[Tensor, ""]]:
        total = sum(len(target.labels) for target in targets)
        num_objects = mean_over_processes(total, clip.frames.device)
        counts = [self.counted_frames(target) for target in targets]
        masks = [stride4_masks(target, (clip.frames.shape[-2], clip.frames.shape[-1])) for target in targets]
        matches = match(prediction, targets, self.costs, counts)
        layers = [
            self.layer_losses(layer, matched, targets, masks, counts)
            for layer, matched in zip(prediction.layers, matches, strict=True)
        ]
        weighted = [
            {name: value * (getattr(self.weights, name) / num_objects) for name, value in losses.items()}
            for losses in layers
        ]
        auxiliary = [value for losses in weighted[:-1] for value in losses.values()]
        return weighted[-1] | ({"auxiliary": torch.stack(auxiliary).sum()} if auxiliary else {})

    def counted_frames(self, target: ClipTarget) -> Float[Tensor, "n t"]:
        """1 in frames that take part in box costs and losses."""
        visible = target.is_visible.to(target.boxes.dtype)
        return visible if self.absent_box_loss == "ignore" else torch.ones_like(visible)

    def layer_losses(
        self,
        layer: LayerPrediction,
        matches: Sequence[Match],
        targets: Sequence[ClipTarget],
        masks: Sequence[Float[Tensor, "_ t h w"]],
        counts: Sequence[Float[Tensor, "_ t"]],
    ) -> dict[str, Float[Tensor, ""]]:
        """Sums over objects, neither weighted nor divided by their number. Masks of matched queries only."""
        pairs = list(zip(matches, targets, strict=True))
        clips = torch.repeat_interleave(torch.tensor([len(m.query) for m in matches])).to(layer.boxes.device)
        boxes = layer.boxes[clips, torch.cat([m.query for m in matches])]
        box_targets = torch.cat([target.boxes[m.target] for m, target in pairs])
        count = torch.cat([counts[clip][m.target] for clip, m in enumerate(matches)])
        frames = count.sum(1).clamp(min=1)
        overlap = giou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(box_targets))
        losses = {
            "label": class_loss(
                layer.class_logits[:, :, 0],
                [m.query for m in matches],
                [target.labels[m.target] for m, target in pairs],
            ),
            "box": (((boxes - box_targets).abs().sum(-1) * count).sum(1) / frames).sum(),
            "giou": (((1 - overlap) * count).sum(1) / frames).sum(),
        }
        if layer.masks is not None:
            logits = torch.cat([layer.masks.select(clip, m.query) for clip, m in enumerate(matches)])
            wanted = torch.cat([masks[clip][m.target] for clip, m in enumerate(matches)])
            losses["mask"], losses["dice"] = mask_focal_loss(logits, wanted), dice_loss(logits, wanted)
        return losses


def stride4_masks(target: ClipTarget, padded: tuple[int, int]) -> Float[Tensor, "n t h w"]:
    """Target masks padded to the batch's frame size, then every fourth pixel, starting at the third."""
    h, w = target.masks.shape[-2:]
    masks = F.pad(target.masks, (0, padded[1] - w, 0, padded[0] - h))
    return masks[:, :, 2::4, 2::4].float()
