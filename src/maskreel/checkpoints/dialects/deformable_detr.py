"""Deformable DETR, with box refinement or without: a start for SeqFormer and the models that grew from it."""

from maskreel.checkpoints.dialects.seqformer import (
    QUERY_PARTS,
    RULES,
    backbone_config,
    box_queries,
    detector_aliases,
    transformer_sizes,
)
from maskreel.checkpoints.dialects.table import Dialect, Drop, Fresh, Refusal, State, named_classes
from maskreel.models.seqformer import SeqFormerConfig

_VIDEO_ONLY = ("classify", "frame_weight", "mask_head")


def _config(state: State, heads: int, num_classes: int | None) -> SeqFormerConfig:
    return SeqFormerConfig(
        backbone=backbone_config(state, "backbone.0.body."),
        queries=box_queries(state, ""),
        transformer=transformer_sizes(state, "transformer.", heads),
        **named_classes(num_classes),
    )


DEFORMABLE_DETR = Dialect(
    name="deformable-detr",
    title="Deformable DETR",
    keys=(
        "query_embed.weight",
        "transformer.level_embed",
        "transformer.reference_points.weight",
        "input_proj.0.0.weight",
    ),
    absent=("transformer.enc_output.weight",),
    config=_config,
    # SeqFormer's names without its prefix; its decoder does everything twice, for instances and for boxes, and both
    # start from the one layer that there is here.
    rules=tuple(
        (ours, theirs.removeprefix("detr.").replace("_box.", "."))
        for ours, theirs in RULES
        if not any(word in ours for word in _VIDEO_ONLY)
    ),
    parts=QUERY_PARTS,
    aliases=detector_aliases(""),
    drops=(Drop(keys=("class_embed.#.weight", "class_embed.#.bias"), reason="class head of COCO's categories"),),
    fresh=(
        Fresh(pattern=r"classify\.", reason="class head of other categories: drawn as in a new model"),
        Fresh(pattern=r"decoder\.layers\.\d+\.frame_weight\.", reason="images have no frames: drawn as in a new model"),
        Fresh(pattern=r"mask_head\.", reason="a detector has no masks: drawn as in a new model"),
    ),
)
TWO_STAGE = Refusal(
    name="deformable-detr-two-stage",
    keys=("transformer.enc_output.weight", "transformer.level_embed"),
    needs="is a two-stage Deformable DETR, which needs queries proposed by the encoder; Maskreel learns them",
)
