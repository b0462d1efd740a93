"""Where options and tensors of the models went: from their names in folders of format 1 to those of today.

Model folders and runs written before are read through these tables, and the command line knows the old names by them.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from maskreel.config import in_new_places

Value = TypeVar("Value")

_TRANSFORMER = ("width", "hidden", "num_heads", "encoder_layers", "decoder_layers", "dropout")
_LOSS = {"costs": "loss.costs", "losses": "loss.weights"}
_BOX_QUERIES = {
    **{name: f"transformer.{name}" for name in (*_TRANSFORMER, "num_levels", "num_points")},
    "num_queries": "queries.count",
    "box_refinement": "queries.refinement",
    "mask_channels": "mask_head.channels",
    "mask_coordinates": "mask_head.coordinates",
    "absent_box_loss": "loss.absent_boxes",
    **_LOSS,
}
_FRAME_QUERIES = {
    **{name: f"transformer.{name}" for name in (*_TRANSFORMER, "attention_dropout")},
    "num_queries": "queries.count",
    "num_frames": "queries.frames",
    "mask_area": "mask_head.area",
    "mask_resize": "loss.mask_resize",
    "legacy_valid_index": "loss.legacy_valid_index",
    **_LOSS,
}

MOVED: dict[str, dict[str, str]] = {
    **dict.fromkeys(("seqformer", "ms_sts", "taformer"), _BOX_QUERIES),
    **dict.fromkeys(("vistr", "deformable_vistr", "tt_spn"), _FRAME_QUERIES),
}
"""By kind of model: old path to new path. A path stands for everything below it; what is not listed has not moved."""


def moved(description: Any) -> Any:
    """A model's config with every option in its place of today; what stands there already stays. Nothing is checked."""
    kind = description.get("kind") if isinstance(description, dict) else None
    return in_new_places(description, MOVED.get(str(kind), {}))


def renamed(state: Mapping[str, Value]) -> dict[str, Value]:
    """Tensors of a model of format 1, or what is known about them, under their names of today."""
    return {re.sub(r"^masks\.", "mask_head.", name): value for name, value in state.items()}
