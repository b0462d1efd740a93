"""Checkpoints that are recognised, and need what Maskreel does not have."""

from maskreel.checkpoints.dialects.table import Refusal

DEFVIS = Refusal(
    name="defvis",
    keys=("vistr.transformer.instance_encoders.weight",),
    needs="is DefVIS, the released code of Deformable VisTR, which needs a level of learned identity tokens that every "
    "query shares; Maskreel's Deformable VisTR does not have it",
)
PCPVT = Refusal(
    name="twins-pcpvt",
    keys=("patch_embeds.0.proj.weight", "pos_block.0.proj.0.weight", "blocks.0.0.attn.q.weight"),
    needs="is a Twins-PCPVT, which needs a backbone of global attention in every block; Maskreel has Twins-SVT alone",
)
TTSPN_PARTS = Refusal(
    name="tt-spn-parts",
    keys=("class_embed.net.0.weight", "bbox_embed.net.0.weight", "transformer.decoder.norm.weight"),
    needs="holds parts of TT-SPN's released code, which need that code's own feature extractor and a mask head for it; "
    "Maskreel's TT-SPN stands on the official Twins-SVT",
)
TTSPN_TWINS = Refusal(
    name="tt-spn-twins",
    keys=("layers.0.0.proj.weight", "layers.0.1.layers.0.2.fn.fn.to_kv.weight"),
    needs="is the feature extractor of TT-SPN's released code, which needs attention over dense 7x7 convolutions with "
    "8 heads of 64 channels at every stage; Maskreel has the official Twins-SVT alone",
)
