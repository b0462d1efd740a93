"""Swin transformers: the official classifiers, and those of timm in its old and its present layout."""

from collections.abc import Sequence

from maskreel.checkpoints.dialects.resnet import NEW
from maskreel.checkpoints.dialects.table import Dialect, Drop, Fresh, State, layers, named_classes
from maskreel.checkpoints.layout import Rules
from maskreel.errors import DataError
from maskreel.models.parts.backbones import SwinConfig
from maskreel.models.seqformer import SeqFormerConfig
from maskreel.nn.backbones.swin import BLOCKS, HEAD_WIDTH, Depth

DROP_PATHS = {(12, 96): 0.2}
"""By (depth, width); 0.3 for all others."""


def swin_config(state: State, prefix: str = "") -> SwinConfig:
    """Depth, width and window of the Swin under `prefix`; DataError for another kind."""
    blocks = tuple(layers(state, f"{prefix}layers.{stage}.blocks.") for stage in range(4))
    found: list[Depth] = [depth for depth, known in BLOCKS.items() if known == blocks]
    if not found:
        known = " or ".join(str(known) for known in BLOCKS.values())
        raise DataError(f"its Swin has {blocks} blocks in the four stages, where Maskreel has {known}")
    positions, heads = state[f"{prefix}layers.0.blocks.0.attn.relative_position_bias_table"].shape
    width = state[f"{prefix}patch_embed.proj.weight"].shape[0]
    if heads * HEAD_WIDTH != width:
        raise DataError(f"its Swin has {heads} heads in {width} channels, where Maskreel has {HEAD_WIDTH} per head")
    window = (round(positions**0.5) + 1) // 2
    drop_path = DROP_PATHS.get((found[0], width), 0.3)
    return SwinConfig(depth=found[0], width=width, window=window, drop_path=drop_path)


def _config(state: State, heads: int, num_classes: int | None) -> SeqFormerConfig:
    return SeqFormerConfig(backbone=swin_config(state), **named_classes(num_classes))


def _classifier(*, name: str, title: str, rules: Rules, only: str, absent: Sequence[str], head: str) -> Dialect:
    """A Swin classifier; `only` is a key that its layout alone has."""
    return Dialect(
        name=name,
        title=title,
        keys=("patch_embed.proj.weight", "layers.0.blocks.0.attn.relative_position_bias_table", only),
        absent=tuple(absent),
        config=_config,
        rules=rules,
        drops=(
            Drop(
                keys=("norm.weight", "norm.bias", f"{head}.weight", f"{head}.bias"),
                reason="classifier of ImageNet and the norm in front of it",
            ),
            Drop(keys=("layers.#.blocks.#.attn_mask",), reason="mask of shifted windows, made for every map anew"),
        ),
        fresh=(
            Fresh(
                pattern=r"backbone\.norm[123]\.",
                reason="norm of a map that a classifier does not hand over: starts as the identity",
            ),
            Fresh(
                pattern=r"backbone\.layers\.\d+\.blocks\.\d+\.attn\.relative_position_index",
                reason="follows from the window's size: computed",
            ),
            Fresh(pattern=r"(?!backbone\.)", reason=NEW),
        ),
    )


SWIN = _classifier(
    name="swin",
    title="an official Swin classifier (also timm before 0.9)",
    rules=((r"^backbone\.", ""),),
    only="layers.0.downsample.reduction.weight",
    absent=("layers.3.downsample.reduction.weight",),
    head="head",
)
SWIN_TIMM = _classifier(
    name="swin-timm",
    title="a Swin classifier of timm",
    # Its stages begin with the step down to their resolution, where ours end with the step to the next.
    rules=(
        *((rf"^backbone\.layers\.{stage}\.downsample\.", f"layers.{stage + 1}.downsample.") for stage in range(3)),
        (r"^backbone\.", ""),
    ),
    only="layers.3.downsample.reduction.weight",
    absent=("layers.0.downsample.reduction.weight",),
    head="head.fc",
)
