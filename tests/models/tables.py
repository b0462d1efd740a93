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
from maskreel.models.parts import ResNetConfig
from maskreel.models.seqformer import SeqFormerConfig

TINY: dict[str, ModelConfig] = {
    "seqformer": SeqFormerConfig(
        backbone=ResNetConfig(depth=18, width=8, norm="group", frozen_stages=0),
        num_classes=3,
        num_queries=10,
        width=32,
        hidden=24,
        num_heads=4,
        num_points=2,
        encoder_layers=1,
        decoder_layers=3,
        mask_channels=8,
        dropout=0.0,
    ),
}
"""The smallest form of every model, by a name; every parameter is trained."""

RESNET = {
    "depth": (34, 50, 101),
    "width": (16,),
    "norm": ("frozen", "batch"),
    "frozen_stages": (2,),
    "padding": ("masked",),
}
COSTS = {"label": (50.0,), "box": (100.0,), "giou": (100.0,), "box_distance": ("l1_mean",)}
LOSSES = {"label": (3.0,), "box": (3.0,), "giou": (3.0,), "mask": (3.0,), "dice": (3.0,)}


def _prefixed(prefix: str, values: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    return {f"{prefix}.{name}": others for name, others in values.items()}


OTHER_VALUES: dict[str, dict[str, tuple[Any, ...]]] = {
    "seqformer": {
        **_prefixed("backbone", RESNET),
        "num_classes": (4,),
        "num_queries": (11,),
        "width": (64,),
        "hidden": (32,),
        "num_heads": (2,),
        "num_levels": (5,),
        "num_points": (3,),
        "encoder_layers": (2,),
        "decoder_layers": (2,),
        "mask_channels": (12,),
        "dropout": (0.1,),
        "box_refinement": ("none",),
        "mask_coordinates": ("none",),
        "absent_box_loss": ("ignore",),
        **_prefixed("costs", COSTS),
        **_prefixed("losses", LOSSES),
    },
}
"""By name and option (a dotted path); a choice lists all its values but the one in `TINY`."""

UNTRAINABLE = {"seqformer": r"decoder\.layers\.\d+\.frame_weight\.bias"}
"""Parameters without a gradient by construction: a softmax over frames does not see what all frames share."""


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
    if typing.get_origin(hint) in (Union, types.UnionType):
        for member in typing.get_args(hint):
            yield from (member,) if dataclasses.is_dataclass(member) else _choices(member)
            if member is types.NoneType:
                yield None


def replaced(config: Any, path: str, value: Any) -> Any:
    """The config with one option changed."""
    name, _, rest = path.partition(".")
    return dataclasses.replace(config, **{name: replaced(getattr(config, name), rest, value) if rest else value})


def rows() -> Iterator[tuple[str, str, ModelConfig]]:
    """(name, row, config): every small model as it is, then with each option changed once that shapes the network."""
    for name, config in TINY.items():
        yield name, "as it is", config
        for path, others in OTHER_VALUES[name].items():
            for value in () if path.startswith(("costs.", "losses.")) else others:
                yield name, f"{path}={value}", replaced(config, path, value)
