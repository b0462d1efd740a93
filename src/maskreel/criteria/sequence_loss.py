"""Training loss of the VisTR family: match instances to objects over the clip, then compare them frame by frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from maskreel.criteria.losses import dice_loss, mask_focal_loss
from maskreel.criteria.processes import mean_over_processes, share_of
from maskreel.criteria.sequence_matching import SequenceCosts, match_sequences, supervised_frames
from maskreel.geometry.boxes import cxcywh_to_xyxy, giou
from maskreel.structures import ClipBatch, ClipPrediction, ClipTarget, LayerPrediction, MaskDecoder, Match

MASK_STRIDE = 4
MaskResize = Literal["aligned", "stretched"]
"""How predicted masks meet those of the target: enlarged by their stride and cut, or stretched over the target's size
whatever their padding, as published."""


@dataclass(frozen=True, kw_only=True)
class SequenceLossWeights:
    """Factors of the five losses (VisTR, section 3.4), and the weight of "no object" among the classes."""

    label: float = 1.0
    box: float = 5.0
    giou: float = 2.0
    mask: float = 1.0
    dice: float = 1.0
    no_object: float = 0.1


class SequenceLoss(nn.Module):
    """Weighted losses by name: the last layer's five, and `auxiliary`, the sum over all other layers.

    An instance answers for its object in the frames in which the object is seen, and for "no object" in all others.
    Losses are divided by the number of (object, frame) pairs, absent ones included, as published.
    """

    def __init__(
        self,
        weights: SequenceLossWeights,
        costs: SequenceCosts,
        *,
        legacy_valid_index: bool = False,
        mask_resize: MaskResize = "aligned",
    ) -> None:
        super().__init__()
        self.weights, self.costs = weights, costs
        self.legacy_valid_index = legacy_valid_index
        self.mask_resize: MaskResize = mask_resize

    def forward(
        self, prediction: ClipPrediction, targets: Sequence[ClipTarget], clip: ClipBatch
    ) -> dict[str, Float[Tensor, ""]]:
        is_real = ~clip.is_padding.flatten(2).all(-1)
        num_frames = is_real.sum(1).tolist()
        rows = sum(len(target.labels) * t for target, t in zip(targets, num_frames, strict=True))
        num_rows = mean_over_processes(rows, clip.frames.device)
        matches = self.match(prediction, targets, is_real)
        divisor = {"label": 1.0}
        weighted = [
            {
                name: value * (getattr(self.weights, name) / divisor.get(name, num_rows))
                for name, value in self.layer_losses(layer, matched, targets, is_real).items()
            }
            for layer, matched in zip(prediction.layers, matches, strict=True)
        ]
        auxiliary = [value for losses in weighted[:-1] for value in losses.values()]
        return weighted[-1] | ({"auxiliary": torch.stack(auxiliary).sum()} if auxiliary else {})

    def match(
        self, prediction: ClipPrediction, targets: Sequence[ClipTarget], is_real: Bool[Tensor, "b t"]
    ) -> list[list[Match]]:
        """Matches [layer][clip]."""
        return match_sequences(prediction, targets, self.costs, is_real=is_real, absent_label=self._absent_label)

    @property
    def _absent_label(self) -> int | None:
        """The published targets call an absent object class 0, which no object of the published data has."""
        return 0 if self.legacy_valid_index else None

    def layer_losses(
        self,
        layer: LayerPrediction,
        matches: Sequence[Match],
        targets: Sequence[ClipTarget],
        is_real: Bool[Tensor, "b t"],
    ) -> dict[str, Float[Tensor, ""]]:
        """The class loss is a mean, the others are sums over (object, frame) pairs still to be divided; unweighted."""
        pairs = list(zip(matches, targets, strict=True))
        frames = [supervised_frames(m, target, legacy_valid_index=self.legacy_valid_index) for m, target in pairs]
        boxes = torch.cat([layer.boxes[clip, m.query][frames[clip]] for clip, m in enumerate(matches)])
        wanted = torch.cat([target.boxes[m.target][own] for (m, target), own in zip(pairs, frames, strict=True)])
        overlap = giou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(wanted), epsilon=self.costs.epsilon)
        losses = {
            "label": self._label_loss(layer.class_logits, pairs, frames, is_real),
            "box": (boxes - wanted).abs().sum(),
            "giou": (1 - overlap).sum(),
        }
        if layer.masks is not None:
            losses |= self._mask_losses(layer.masks, pairs, frames)
        return losses

    def _label_loss(
        self,
        logits: Float[Tensor, "b q t k"],
        pairs: Sequence[tuple[Match, ClipTarget]],
        frames: Sequence[Bool[Tensor, "_ t"]],
        is_real: Bool[Tensor, "b t"],
    ) -> Float[Tensor, ""]:
        """Cross-entropy over all queries of real frames; a mean in which "no object" weighs less."""
        none = logits.shape[-1] - 1
        labels = torch.full(logits.shape[:-1], none, device=logits.device)
        for clip, ((m, target), own) in enumerate(zip(pairs, frames, strict=True)):
            seen = target.labels[m.target][:, None].expand_as(own)
            named = torch.where(target.is_visible[m.target], seen, self._absent_label or 0)
            labels[clip, m.query] = torch.where(own, named, none)
        weight = torch.ones(none + 1, dtype=logits.dtype, device=logits.device)
        weight[none] = self.weights.no_object
        counted = weight[labels] * is_real[:, None]
        entropy = F.cross_entropy(logits.flatten(0, 2), labels.flatten(), reduction="none")
        number = counted.sum()
        return (entropy * counted.flatten()).sum() / number * share_of(number)

    def _mask_losses(
        self,
        source: MaskDecoder,
        pairs: Sequence[tuple[Match, ClipTarget]],
        frames: Sequence[Bool[Tensor, "_ t"]],
    ) -> dict[str, Float[Tensor, ""]]:
        """Focal and dice loss of every supervised frame at the target's resolution; decodes matched queries only."""
        focal, dice = [], []
        for clip, ((m, target), own) in enumerate(zip(pairs, frames, strict=True)):
            logits = source.select(clip, m.query)[own][:, None]
            wanted = target.masks[m.target][own][:, None].to(logits.dtype)
            height, width = wanted.shape[-2:]
            if self.mask_resize == "stretched":
                logits = F.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)
            else:
                logits = F.interpolate(logits, scale_factor=MASK_STRIDE, mode="bilinear", align_corners=False)
                logits = logits[..., :height, :width]
            focal.append(mask_focal_loss(logits, wanted))
            dice.append(dice_loss(logits, wanted))
        return {"mask": torch.stack(focal).sum(), "dice": torch.stack(dice).sum()}
