"""What the MS-STS repository really holds: a SeqFormer with an attention that is never called, and a discriminator."""

from dataclasses import dataclass, replace
from typing import Literal

from maskreel.checkpoints.dialects.seqformer import SEQFORMER
from maskreel.checkpoints.dialects.table import Dialect, Drop, State

_ATTENTION = "detr.transformer.decoder.layers.#.temp_attn_box"

MSSTS = replace(
    SEQFORMER,
    name="mssts",
    title="the MS-STS repository's model (a SeqFormer with an attention that is never called)",
    keys=(*SEQFORMER.keys, *SEQFORMER.absent),
    absent=(),
    drops=(
        *SEQFORMER.drops,
        Drop(
            keys=tuple(f"{_ATTENTION}.{name}" for name in ("qkv.weight", "proj.weight", "proj.bias")),
            reason="temporal attention that the released code builds and never calls",
        ),
    ),
)


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """The adversary of MS-STS VIS, which is part of its loss."""

    kind: Literal["discriminator"] = "discriminator"
    width: int = 256
    """Channels of the encoder's tokens."""


def _config(state: State, heads: int, num_classes: int | None) -> DiscriminatorConfig:
    return DiscriminatorConfig(width=state["conv2.weight"].shape[0])


_BLOCKS = "discriminator_blocks"
_PLACES = {0: "0.conv", 2: "1.conv", 3: "1.norm", 5: "2.conv", 6: "2.norm", 8: "3.conv", 9: "3.norm", 11: "4.conv"}
"""Our places in the last part, to their block and the layer in it."""

DISCRIMINATOR = Dialect(
    name="mssts-discriminator",
    title="the MS-STS repository's discriminator",
    keys=("conv1.weight", "conv2.weight", "discriminator_blocks.4.conv.weight"),
    config=_config,
    rules=(
        (r"^fine\.", "conv1."),
        (r"^middle\.", "conv2."),
        *((rf"^coarse\.{place}\.", f"{_BLOCKS}.{layer}.") for place, layer in _PLACES.items()),
    ),
)
