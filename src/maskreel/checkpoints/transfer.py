"""Starting a model from the weights of another one, above all MS-STS VIS and TAFormer from those of SeqFormer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn

from maskreel.models.taformer import TAFormer
from maskreel.nn.decoders.frame_queries import FrameQueryDecoder
from maskreel.nn.decoders.placed_queries import grown_queries
from maskreel.nn.layers.deformable import DeformableAttention

QUERIES = "decoder.queries.weight"
"""Query table of the models with a query per object and frame."""


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """What became of the tensors of a model."""

    taken: tuple[str, ...]
    """Names of tensors that were taken over."""
    new: tuple[str, ...]
    """Names of tensors that the other weights lack, or have in another shape; they stay as they were drawn."""
    unused: tuple[str, ...]
    """Names of the other weights that the model has no place for."""


@torch.no_grad()
def start_from(model: nn.Module, state: Mapping[str, Tensor]) -> Transfer:
    """Fill a model with the tensors of `state` (our names) that it has too.

    Where the model samples fewer levels, the rows of the levels that it keeps are taken; queries of single frames grow
    into those of a clip. A head for another number of classes stays new.
    """
    own, taken = model.state_dict(), []
    kept = kept_levels(model)
    decoder = getattr(model, "decoder", None)
    for name, tensor in own.items():
        values = state.get(name)
        if values is not None and name in kept:
            values = _rows_of_levels(values, *kept[name], known=len(state["encoder.level_embedding"]))
        if values is not None and name == QUERIES and isinstance(decoder, FrameQueryDecoder):
            is_of_one_frame = len(values) == decoder.num_queries
            values = grown_queries(values, decoder.num_frames) if is_of_one_frame else values
        if values is not None and values.shape == tensor.shape:
            tensor.copy_(values)
            taken.append(name)
    return Transfer(
        taken=tuple(taken),
        new=tuple(name for name in own if name not in set(taken)),
        unused=tuple(name for name in state if name not in own),
    )


def kept_levels(model: nn.Module) -> dict[str, tuple[int, Sequence[int]]]:
    """(attention heads, levels of the pyramid) of every tensor with rows per level, in a model that may sample fewer.

    Heads are 0 where a level has a single row.
    """
    if not isinstance(model, TAFormer):
        return {}
    found: dict[str, tuple[int, Sequence[int]]] = {"encoder.level_embedding": (0, model.tokens)}
    for name, module in model.named_modules():
        if isinstance(module, DeformableAttention):
            levels = [model.tokens[level] for level in module.levels] or model.tokens
            for part in ("sampling_offsets", "attention_weights"):
                found |= {f"{name}.{part}.{kind}": (module.num_heads, levels) for kind in ("weight", "bias")}
    return found


def _rows_of_levels(values: Tensor, heads: int, levels: Sequence[int], *, known: int) -> Tensor:
    """The rows of some of the `known` levels."""
    if max(levels) >= known:
        return values
    if heads == 0:
        return values[list(levels)]
    per_level = rearrange(values, "(m l p) ... -> m l p ...", m=heads, l=known)
    return rearrange(per_level[:, list(levels)], "m l p ... -> (m l p) ...")
