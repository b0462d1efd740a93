"""Where single tensors of published checkpoints must arrive, written down by hand: ours, theirs, and their rows.

One line for every group of tensors (a name without its numbers and its last word); backbones stand apart.
"""

from collections.abc import Callable

from torch import Tensor

Rows = Callable[[Tensor], Tensor]


def _table(text: str) -> dict[str, str]:
    """`@` stands for the official decoder's layers."""
    return dict(line.replace("@", "detr.transformer.decoder.layers.").split() for line in text.splitlines() if line)


_PYRAMID_AND_ENCODER = """
pyramid.levels.1.0.weight  detr.input_proj.1.0.weight
pyramid.levels.3.1.bias  detr.input_proj.3.1.bias
encoder.level_embedding  detr.transformer.level_embed
encoder.layers.2.attention.sampling_offsets.bias  detr.transformer.encoder.layers.2.self_attn.sampling_offsets.bias
encoder.layers.1.attention.attention_weights.weight detr.transformer.encoder.layers.1.self_attn.attention_weights.weight
encoder.layers.0.attention.value_proj.weight  detr.transformer.encoder.layers.0.self_attn.value_proj.weight
encoder.layers.2.attention.output_proj.bias  detr.transformer.encoder.layers.2.self_attn.output_proj.bias
encoder.layers.1.norm.weight  detr.transformer.encoder.layers.1.norm1.weight
encoder.layers.1.feedforward.norm.weight  detr.transformer.encoder.layers.1.norm2.weight
encoder.layers.0.feedforward.linear1.weight  detr.transformer.encoder.layers.0.linear1.weight
encoder.layers.2.feedforward.linear2.bias  detr.transformer.encoder.layers.2.linear2.bias
decoder.reference_points.weight  detr.transformer.reference_points.weight
"""
_DECODER = """
decoder.layers.0.instance_attention.attention.in_proj_weight @0.self_attn.in_proj_weight
decoder.layers.0.instance_attention.attention.out_proj.bias  @0.self_attn.out_proj.bias
decoder.layers.1.instance_attention.norm.bias  @1.norm2.bias
decoder.layers.2.box_attention.attention.in_proj_bias  @2.self_attn_box.in_proj_bias
decoder.layers.2.box_attention.attention.out_proj.weight  @2.self_attn_box.out_proj.weight
decoder.layers.1.box_attention.norm.bias  @1.norm2_box.bias
decoder.layers.0.cross_attention.sampling_offsets.weight  @0.cross_attn.sampling_offsets.weight
decoder.layers.1.cross_attention.attention_weights.bias  @1.cross_attn.attention_weights.bias
decoder.layers.2.cross_attention.value_proj.weight  @2.cross_attn.value_proj.weight
decoder.layers.2.cross_attention.output_proj.weight  @2.cross_attn.output_proj_box.weight
decoder.layers.2.instance_proj.weight  @2.cross_attn.output_proj.weight
decoder.layers.1.box_norm.weight  @1.norm1_box.weight
decoder.layers.1.box_feedforward.norm.weight  @1.norm3_box.weight
decoder.layers.0.box_feedforward.linear1.weight  @0.linear1_box.weight
decoder.layers.0.box_feedforward.linear2.weight  @0.linear2_box.weight
decoder.layers.1.instance_norm.weight  @1.norm1.weight
decoder.layers.1.instance_feedforward.norm.bias  @1.norm3.bias
decoder.layers.2.instance_feedforward.linear1.bias  @2.linear1.bias
decoder.layers.2.instance_feedforward.linear2.weight  @2.linear2.weight
"""
_VIDEO = """
decoder.box_heads.2.layers.0.weight detr.bbox_embed.2.layers.0.weight
decoder.box_heads.1.layers.2.bias  detr.transformer.decoder.bbox_embed.1.layers.2.bias
decoder.layers.2.frame_weight.weight @2.time_attention_weights.weight
mask_head.controller.layers.0.weight  controller.layers.0.weight
mask_head.controller.layers.2.bias  controller.layers.2.bias
mask_head.branch.reduce.weight  mask_head.lay1.weight
mask_head.branch.out.weight  mask_head.lay2.weight
mask_head.branch.coarse.weight  mask_head.lay3.weight
mask_head.branch.middle.bias  mask_head.lay4.bias
mask_head.branch.fine.weight  mask_head.dcn.weight
"""
SEQFORMER = _table(_PYRAMID_AND_ENCODER + _DECODER + _VIDEO)
DEFORMABLE_DETR = {
    ours: theirs.removeprefix("detr.").replace("_box.", ".")
    for ours, theirs in _table(_PYRAMID_AND_ENCODER + _DECODER).items()
} | {"decoder.box_heads.0.layers.1.weight": "bbox_embed.0.layers.1.weight"}

_TRANSFORMER = """
project.weight  vistr.input_proj.weight
encoder.layers.3.attention.in_proj_weight  vistr.transformer.encoder.layers.3.self_attn.in_proj_weight
encoder.layers.2.attention.out_proj.bias  vistr.transformer.encoder.layers.2.self_attn.out_proj.bias
encoder.layers.1.norm.weight  vistr.transformer.encoder.layers.1.norm1.weight
encoder.layers.0.feedforward.norm.bias  vistr.transformer.encoder.layers.0.norm2.bias
encoder.layers.5.feedforward.linear1.weight  vistr.transformer.encoder.layers.5.linear1.weight
encoder.layers.4.feedforward.linear2.weight  vistr.transformer.encoder.layers.4.linear2.weight
decoder.norm.weight  vistr.transformer.decoder.norm.weight
decoder.layers.1.self_attention.in_proj_weight  vistr.transformer.decoder.layers.1.self_attn.in_proj_weight
decoder.layers.1.self_attention.out_proj.weight  vistr.transformer.decoder.layers.1.self_attn.out_proj.weight
decoder.layers.0.self_norm.weight  vistr.transformer.decoder.layers.0.norm1.weight
decoder.layers.5.cross_attention.in_proj_bias  vistr.transformer.decoder.layers.5.multihead_attn.in_proj_bias
decoder.layers.5.cross_attention.out_proj.weight  vistr.transformer.decoder.layers.5.multihead_attn.out_proj.weight
decoder.layers.4.cross_norm.bias  vistr.transformer.decoder.layers.4.norm2.bias
decoder.layers.3.feedforward.norm.weight  vistr.transformer.decoder.layers.3.norm3.weight
decoder.layers.2.feedforward.linear1.weight  vistr.transformer.decoder.layers.2.linear1.weight
decoder.layers.2.feedforward.linear2.bias  vistr.transformer.decoder.layers.2.linear2.bias
boxes.layers.1.weight  vistr.bbox_embed.layers.1.weight
"""
_MASKS = """
decoder.queries.weight  vistr.query_embed.weight
mask_head.attend.query.weight  bbox_attention.q_linear.weight
mask_head.attend.key.weight  bbox_attention.k_linear.weight
mask_head.fuse.mix.weight  mask_head.lay1.weight
mask_head.fuse.mix_norm.weight  mask_head.gn1.weight
mask_head.fuse.reduce.0.weight  mask_head.lay2.weight
mask_head.fuse.reduce.2.bias  mask_head.lay4.bias
mask_head.fuse.reduce_norms.1.bias  mask_head.gn3.bias
mask_head.fuse.adapters.0.weight  mask_head.adapter1.weight
mask_head.fuse.adapters.2.weight  mask_head.adapter3.weight
mask_head.fuse.offsets.weight  mask_head.conv_offset.weight
mask_head.fuse.deform.weight  mask_head.dcn.weight
mask_head.fuse.deform_norm.weight  mask_head.gn5.weight
mask_head.volume.3.weight  insmask_head.3.weight
mask_head.volume.9.bias  insmask_head.9.bias
"""
VISTR = _table(_TRANSFORMER + _MASKS)
DETR = {ours: theirs.removeprefix("vistr.") for ours, theirs in _table(_TRANSFORMER).items()}
DISCRIMINATOR = _table("""
fine.weight  conv1.weight
middle.weight  conv2.weight
coarse.0.weight  discriminator_blocks.0.conv.weight
coarse.2.weight  discriminator_blocks.1.conv.weight
coarse.3.bias  discriminator_blocks.1.norm.bias
coarse.5.weight  discriminator_blocks.2.conv.weight
coarse.6.weight  discriminator_blocks.2.norm.weight
coarse.8.weight  discriminator_blocks.3.conv.weight
coarse.9.bias  discriminator_blocks.3.norm.bias
coarse.11.weight discriminator_blocks.4.conv.weight
""")

SEQFORMER_PARTS: dict[str, tuple[str, Rows]] = {
    "decoder.query_position.weight": ("detr.query_embed.weight", lambda table: table[:, :256]),
    "decoder.query_content.weight": ("detr.query_embed.weight", lambda table: table[:, 256:]),
    "classify.1.weight": ("detr.class_embed.1.weight", lambda rows: rows[1:41]),
    "classify.2.bias": ("detr.class_embed.2.bias", lambda rows: rows[1:41]),
}
DEFORMABLE_DETR_PARTS: dict[str, tuple[str, Rows]] = {
    "decoder.query_position.weight": ("query_embed.weight", lambda table: table[:, :256]),
    "decoder.query_content.weight": ("query_embed.weight", lambda table: table[:, 256:]),
}
VISTR_PARTS: dict[str, tuple[str, Rows]] = {
    "classify.weight": ("vistr.class_embed.weight", lambda rows: rows[1:]),
    "classify.bias": ("vistr.class_embed.bias", lambda rows: rows[1:]),
}
