"""What the contract tests know about VisTR and its relatives; see `tests.checkpoints.tables`."""

from typing import Any

from maskreel.models.deformable_vistr import DeformableVisTRConfig
from maskreel.models.parts.backbones import ResNetConfig, TwinsConfig
from maskreel.models.parts.frame_queries import ClipTransformer, FrameQueries, PlacedQueries
from maskreel.models.tt_spn import PerceptronHeads, SineHeads, TTSPNConfig
from maskreel.models.vistr import VisTRConfig

# Group norm in the backbone would count padded cells; batch norm is fixed in evaluation.
_RESNET = ResNetConfig(depth=18, width=8, norm="batch", frozen_stages=0, padding="masked")
_SHARED: dict[str, Any] = {
    "num_classes": 3,
    "transformer": ClipTransformer(
        width=32, hidden=24, num_heads=4, encoder_layers=1, decoder_layers=2, dropout=0.0, attention_dropout=0.0
    ),
    "queries": FrameQueries(count=5, frames=3),
}
_TWINS = TwinsConfig(widths=(8, 16, 24, 32), num_heads=(1, 2, 2, 4), depths=(2, 2, 2, 2), drop_path=0.0)

TINY = {
    "vistr": VisTRConfig(backbone=_RESNET, **_SHARED),
    "deformable_vistr": DeformableVisTRConfig(backbone=_RESNET, num_points=8, **_SHARED),
    "tt_spn": TTSPNConfig(backbone=_TWINS, head=SineHeads(dropout=0.0), **_SHARED),
    "tt_spn_mlp": TTSPNConfig(
        backbone=_TWINS,
        head=PerceptronHeads(),
        **_SHARED | {"queries": FrameQueries(count=5, frames=3, placed=PlacedQueries())},
    ),
}
"""The smallest form of every model, by a name; every parameter is trained."""


def _prefixed(prefix: str, values: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    return {f"{prefix}.{name}": others for name, others in values.items()}


_RESNET_VALUES = {
    "depth": (34, 50, 101),
    "width": (16,),
    "norm": ("frozen", "group"),
    "frozen_stages": (2,),
    "padding": ("seen",),
    "last_stride": (16,),
}
_SHARED_VALUES: dict[str, tuple[Any, ...]] = {
    "num_classes": (4,),
    "transformer.width": (64,),
    "transformer.hidden": (32,),
    "transformer.num_heads": (2,),
    "transformer.encoder_layers": (2,),
    "transformer.decoder_layers": (3,),
    "transformer.norm": ("pre",),
    "transformer.dropout": (0.1,),
    "transformer.attention_dropout": (0.1,),
    "queries.frames": (4,),
    "queries.count": (6,),
    "queries.placed": (PlacedQueries(),),
    "mask_head.area": ("padded",),
    "loss.mask_resize": ("stretched",),
    "loss.legacy_valid_index": (True,),
    "loss.costs.label": (50.0,),
    "loss.costs.box": (100.0,),
    "loss.costs.overlap": (100.0,),
    "loss.costs.box_distance": ("l1_sum",),
    "loss.costs.overlap_measure": ("giou",),
    "loss.weights.label": (3.0,),
    "loss.weights.box": (3.0,),
    "loss.weights.giou": (3.0,),
    "loss.weights.mask": (3.0,),
    "loss.weights.dice": (3.0,),
    "loss.weights.no_object": (0.5,),
}
_TWINS_VALUES = {
    "widths": ((16, 16, 24, 32),),
    "num_heads": ((2, 2, 2, 4),),
    "depths": ((2, 2, 3, 2),),
    "drop_path": (0.5,),
    "windows": ((5, 7, 7, 7), (7, 7, 1, 7)),
    "reductions": ((4, 4, 2, 1),),
    "padding": ("seen",),
    "edges": ("cut",),
    "stage_norm": ("carried",),
    "last_stride": (16,),
}

OTHER_VALUES: dict[str, dict[str, tuple[Any, ...]]] = {
    "vistr": {**_prefixed("backbone", _RESNET_VALUES), "backbone": (_TWINS,), **_SHARED_VALUES},
    "deformable_vistr": {
        **_prefixed("backbone", _RESNET_VALUES),
        "backbone": (_TWINS,),
        **_SHARED_VALUES,
        "num_points": (4,),
        "encoder_attention": ("frames_as_levels",),
        "decoder_attention": ("space_time",),
    },
    "tt_spn": {
        **_prefixed("backbone", _TWINS_VALUES),
        "backbone": (_RESNET,),
        **_SHARED_VALUES,
        "head": (PerceptronHeads(),),
        "head.class_layers": (1,),
        "head.w0": (2.0,),
        "head.start": ("siren",),
        "head.dropout": (0.5,),
    },
    "tt_spn_mlp": {
        **_prefixed("backbone", _TWINS_VALUES),
        "backbone": (_RESNET,),
        **_SHARED_VALUES,
        "queries.placed": (None,),
        "queries.placed.rows": (1,),
        "queries.placed.columns": (2,),
        "head": (SineHeads(dropout=0.0),),
    },
}
"""By name and option (a dotted path); a choice lists all its values but the one in `TINY`."""

START_ONLY = {
    ("tt_spn", "head.start"): r"(classify|boxes)\.sines\.0\..*",
    **dict.fromkeys(((name, "queries.placed") for name in TINY), r"(decoder|classify|boxes|mask_head)\..*"),
    **dict.fromkeys(
        (("tt_spn_mlp", f"queries.placed.{name}") for name in ("rows", "columns")), r"decoder\.queries\.weight"
    ),
}
"""By (name, option): tensors that the option changes at the start, and nothing else. Placing draws a bias, so what is
drawn after the decoder comes out differently."""

UNTRAINABLE = dict.fromkeys(TINY, r"decoder\.layers\.0\.(self_attention\.in_proj_weight|self_norm\.weight)")
"""Parameters without a gradient by construction: the first layer's queries start at zero, so their self-attention reads
nothing but a bias, and so does a norm in front of it."""
