"""SeqFormer's port to detectron2 (github.com/wjf5203/VNext): other prefixes, detectron2's ResNet, 40 logits."""

import re

from maskreel.checkpoints.dialects.seqformer import (
    CLASS_PART,
    QUERY_PARTS,
    RULES,
    backbone_config,
    detector_aliases,
    detector_drops,
    seqformer_config,
)
from maskreel.checkpoints.dialects.table import Dialect, State
from maskreel.models.seqformer import SeqFormerConfig

_DETECTOR = "detr.detr."
_BODY = f"{_DETECTOR}backbone.0.backbone."
_BACKBONE = (
    (r"^backbone\.conv1\.", f"{_BODY}stem.conv1."),
    (r"^backbone\.bn1\.", f"{_BODY}stem.conv1.norm."),
    *(
        rule
        for stage in (1, 2, 3, 4)
        for rule in (
            (rf"^backbone\.layer{stage}\.(\d+)\.bn(\d)\.", rf"{_BODY}res{stage + 1}.\1.conv\2.norm."),
            (rf"^backbone\.layer{stage}\.(\d+)\.downsample\.0\.", rf"{_BODY}res{stage + 1}.\1.shortcut."),
            (rf"^backbone\.layer{stage}\.(\d+)\.downsample\.1\.", rf"{_BODY}res{stage + 1}.\1.shortcut.norm."),
            (rf"^backbone\.layer{stage}\.", f"{_BODY}res{stage + 1}."),
        )
    ),
    (r"^backbone\.", _BODY),
)
_STAGE = re.compile(r"^res(\d)\.")


def _config(state: State, heads: int, num_classes: int | None) -> SeqFormerConfig:
    body = {name.removeprefix(_BODY).removeprefix("stem."): values for name, values in state.items() if _BODY in name}
    body = {_STAGE.sub(lambda found: f"layer{int(found[1]) - 1}.", name): values for name, values in body.items()}
    return seqformer_config(state, heads, num_classes, prefix=_DETECTOR, backbone=backbone_config(body, ""))


SEQFORMER_DETECTRON2 = Dialect(
    name="seqformer-detectron2",
    title="SeqFormer, the port to detectron2",
    keys=("detr.detr.query_embed.weight", "detr.controller.layers.2.weight", "detr.mask_head.lay2.weight"),
    config=_config,
    # The backbone's own rules come first, so that of the official prefix is never reached.
    rules=(*_BACKBONE, *((ours, f"detr.{theirs}") for ours, theirs in RULES)),
    parts=(*QUERY_PARTS, CLASS_PART),
    aliases=detector_aliases(_DETECTOR),
    drops=detector_drops(_DETECTOR, _BODY),
)
