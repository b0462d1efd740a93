"""What the contract tests know about every model: a small config, and another value for each of its options.

A new model adds one entry to each table; a new option adds one line, and the tests fail until it is there. A record
that stands for another choice (a second backbone, say) gets an entry of its own, so that its options are turned too.
"""

import dataclasses
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, Union

from maskreel.models.catalog import ModelConfig
from maskreel.models.ms_sts import Adversary, MSSTSConfig
from maskreel.models.parts.backbones import ResNetConfig, SwinConfig
from maskreel.models.parts.box_queries import BoxQueries, DeformableTransformer
from maskreel.models.parts.neighbours import Neighbours
from maskreel.models.parts.split_scale import Colocated, SplitScale, Window
from maskreel.models.seqformer import SeqFormerConfig
from maskreel.models.taformer import TAFormerConfig
from tests.checkpoints import frame_query_tables

RESNET_TINY = ResNetConfig(depth=18, width=8, norm="group", frozen_stages=0)
SWIN_TINY = SwinConfig(depth=12, width=32, window=4, drop_path=0.0)
TRANSFORMER_TINY = DeformableTransformer(
    width=32, hidden=24, num_heads=4, num_points=2, encoder_layers=2, decoder_layers=2, dropout=0.0
)
BOX_QUERIES_TINY: dict[str, Any] = {
    "num_classes": 3,
    "transformer": TRANSFORMER_TINY,
    "queries": BoxQueries(count=10),
}

TINY: dict[str, ModelConfig] = {
    "seqformer": SeqFormerConfig(
        backbone=RESNET_TINY,
        num_classes=3,
        transformer=dataclasses.replace(TRANSFORMER_TINY, encoder_layers=1, decoder_layers=3),
        queries=BoxQueries(count=10),
    ),
    "ms_sts": MSSTSConfig(
        backbone=RESNET_TINY,
        split=SplitScale(width=16, hidden=16, num_heads=4),
        adversary=Adversary(warmup=0),
        **BOX_QUERIES_TINY,
    ),
    "ms_sts_window": MSSTSConfig(
        backbone=SWIN_TINY,
        split=SplitScale(inter=Window(), width=16, hidden=16, num_heads=4),
        adversary=Adversary(warmup=0),
        **BOX_QUERIES_TINY,
    ),
    "taformer": TAFormerConfig(
        backbone=RESNET_TINY,
        spatial_levels=(1, 2),
        neighbours=Neighbours(num_points=2, temporal_levels=(1, 2)),
        **BOX_QUERIES_TINY,
    ),
    **frame_query_tables.TINY,
}
"""The smallest form of every model, by a name; every parameter is trained."""

RESNET = {
    "depth": (34, 50, 101),
    "width": (16,),
    "norm": ("frozen", "batch"),
    "frozen_stages": (2,),
    "padding": ("masked",),
    "last_stride": (16,),
}
SWIN = {"depth": (24,), "width": (64,), "window": (3,), "drop_path": (0.5,)}
TRANSFORMER = {
    "width": (64,),
    "hidden": (32,),
    "num_heads": (2,),
    "num_levels": (5,),
    "num_points": (3,),
    "decoder_points": (3,),
    "encoder_layers": (3,),
    "decoder_layers": (4,),
    "dropout": (0.1,),
}
COSTS = {"label": (50.0,), "box": (100.0,), "giou": (100.0,), "box_distance": ("l1_mean",)}
LOSSES = {"label": (3.0,), "box": (3.0,), "giou": (3.0,), "mask": (3.0,), "dice": (3.0,)}
TEMPORAL = {"sharing": ("per_layer",), "code": ("normalised", "raw")}


def _prefixed(prefix: str, values: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    return {f"{prefix}.{name}": others for name, others in values.items()}


BOX_QUERIES: dict[str, tuple[Any, ...]] = {
    "num_classes": (4,),
    **_prefixed("transformer", TRANSFORMER),
    "queries.count": (11,),
    "queries.refinement": ("none",),
    "mask_head.channels": (12,),
    "mask_head.coordinates": ("none",),
    "loss.absent_boxes": ("ignore",),
    **_prefixed("loss.costs", COSTS),
    **_prefixed("loss.weights", LOSSES),
}
"""Options of SeqFormer and of the models that grew from it."""

SPLIT: dict[str, tuple[Any, ...]] = {
    "encoder_variant": ("baseline", "attention_after", "attention_before", "encoder_after", "encoder_before"),
    "split.intra": ("paired", "window", None),
    "split.width": (32,),
    "split.hidden": (24,),
    "split.num_heads": (2,),
    "split.residual": ("none",),
    "split.sharing": ("shared",),
    "split.code": ("normalised", "raw"),
    "temporal_decoder": (None,),
    "temporal_decoder.place": ("before_self",),
    **_prefixed("temporal_decoder", TEMPORAL),
    "adversary": (None,),
    "adversary.form": ("l1",),
    "adversary.weight": (1.0,),
    "adversary.learning_rate": (0.01,),
    "adversary.warmup": (1,),
}

OTHER_VALUES: dict[str, dict[str, tuple[Any, ...]]] = {
    "seqformer": {**_prefixed("backbone", RESNET), "backbone": (SWIN_TINY,), **BOX_QUERIES},
    "ms_sts": {
        **_prefixed("backbone", RESNET),
        "backbone": (SWIN_TINY,),
        **BOX_QUERIES,
        **SPLIT,
        "split.inter": (Window(), "cross", "full", None),
        "split.inter.upsampling": ("nearest",),
        "split.inter.concat": ("channel",),
    },
    "ms_sts_window": {
        **_prefixed("backbone", SWIN),
        "backbone": (RESNET_TINY,),
        **BOX_QUERIES,
        **SPLIT,
        "split.inter": (Colocated(), "cross", "full", None),
        "split.inter.size": (5,),
    },
    "taformer": {
        **_prefixed("backbone", RESNET),
        "backbone": (SWIN_TINY,),
        **BOX_QUERIES,
        "spatial_levels": ((), (2,)),
        "encoded_levels": ("sampled",),
        "neighbours": (None,),
        "neighbours.num_points": (1,),
        "neighbours.radius": (1,),
        "neighbours.border": ("reflect", "shift", "mask"),
        "neighbours.temporal_levels": ((), (2,)),
        "neighbours.fusion": ("add", "concat"),
        "neighbours.fusion.hidden": (16,),
        "neighbours.fusion.pooling": ("level", "frame"),
        "neighbours.fusion.spatial_bias": (20.0,),
        "code": ("none", "raw"),
        "temporal_decoder": (None,),
        "temporal_decoder.place": ("after_self",),
        **_prefixed("temporal_decoder", TEMPORAL),
        "contrast": (None,),
        "contrast.layers": ("last",),
        "contrast.reduction": ("sum",),
        "contrast.temperature": (0.5,),
        "contrast.weight": (2.0,),
    },
    **frame_query_tables.OTHER_VALUES,
}
"""By name and option (a dotted path); a choice lists all its values but the one in `TINY`."""

UNTRAINABLE = {
    **dict.fromkeys(TINY, r"decoder\.layers\.\d+\.frame_weight\.bias"),
    **frame_query_tables.UNTRAINABLE,
}
"""Parameters without a gradient by construction: a softmax over frames does not see what all frames share."""

START_ONLY = {("taformer", "neighbours.fusion.spatial_bias"): r".*fusion.*", **frame_query_tables.START_ONLY}
"""By (name, option) of what decides the first values of parameters and nothing else: the names of their tensors."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Option:
    """One option of a config."""

    path: str
    value: Any
    choices: tuple[Any, ...]
    """All allowed values where they can be listed, otherwise empty. A record is listed by its type."""


def options(config: object, prefix: str = "") -> Iterator[Option]:
    """Every option of a config and of the records inside it, read from the dataclasses."""
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(typing.cast(Any, config)):
        value, hint, path = getattr(config, field.name), hints[field.name], prefix + field.name
        if field.name == "kind":
            continue
        if dataclasses.is_dataclass(value):
            yield from options(value, f"{path}.")
            if hint is type(value):
                continue
        yield Option(path=path, value=value, choices=tuple(_choices(hint)))


def _choices(hint: Any) -> Iterator[Any]:
    if typing.get_origin(hint) is Literal:
        yield from typing.get_args(hint)
    if typing.get_origin(hint) in (Union, types.UnionType) and int not in typing.get_args(hint):
        for member in typing.get_args(hint):
            yield from (member,) if dataclasses.is_dataclass(member) else _choices(member)
            if member is types.NoneType:
                yield None


def replaced(config: Any, path: str, value: Any) -> Any:
    """The config with one option changed."""
    name, _, rest = path.partition(".")
    return dataclasses.replace(config, **{name: replaced(getattr(config, name), rest, value) if rest else value})


def turns() -> Iterator[tuple[str, str, Any]]:
    """(name, option, value): every option of every record turned once, in the first small config that has the record.

    A record means the same wherever it stands, and so do the options that models have in common.
    """
    turned = set()
    for name, config in TINY.items():
        for path, others in OTHER_VALUES[name].items():
            for value in others:
                key = (owner(config, path), path.rpartition(".")[2], repr(value))
                if key not in turned:
                    turned.add(key)
                    yield name, path, value


def owner(config: object, path: str) -> type:
    """Type of the record that an option belongs to."""
    for name in path.split(".")[:-1]:
        config = getattr(config, name)
    return type(config)


def rows() -> Iterator[tuple[str, str, ModelConfig]]:
    """(name, row, config): every small model as it is, then with each option changed once that shapes the network."""
    for name, config in TINY.items():
        yield name, "as it is", config
    for name, path, value in turns():
        if not path.startswith(("loss.costs.", "loss.weights.")):
            yield name, f"{path}={value}", replaced(TINY[name], path, value)
