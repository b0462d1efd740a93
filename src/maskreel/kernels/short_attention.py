"""Attention within many small groups of tokens, such as the tokens of one position in the frames of a clip."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from maskreel.kernels.backend import choose, inference_forms
from maskreel.kernels.compiled import Compiled
from maskreel.kernels.cpu import numbers, strided
from maskreel.kernels.jit.records import GROUPS, Extents, Tokens
from maskreel.kernels.threads import run

_ATTEND = Compiled(
    "maskreel.kernels.jit.short_attention", "attend", f"{'float32* int64 int64 int64 ' * 4}int64* int64* -> int64"
)  # fmt: skip


def attend_short(
    query: Float[Tensor, "b t s e"],
    key: Float[Tensor, "b u s e"],
    value: Float[Tensor, "b u s e"],
    num_heads: int,
    is_seen: Bool[Tensor, "b s u"] | None = None,
) -> Float[Tensor, "b t s e"]:
    """Softmax attention of t tokens to u tokens, for each of the s groups on its own; heads divide e.

    `is_seen` marks the tokens that count; without it all do. PyTorch's fused attention, which is made for thousands of
    keys; where all count, without gradients, on the CPU in float32, a kernel of ours that is four times as fast with
    ten.
    """
    inputs = (query, key, value)
    forms = inference_forms(*inputs) if is_seen is None else ()
    if all(x.numel() for x in inputs) and choose("short attention", *inputs, forms=forms) == "cpu":
        return _attend_on_cpu(query, key, value, num_heads)
    b, s = query.shape[0], query.shape[2]
    heads = [rearrange(x, "b t s (m d) -> (b s) m t d", m=num_heads) for x in inputs]
    mask = None if is_seen is None else rearrange(is_seen, "b s u -> (b s) 1 1 u")
    attended = F.scaled_dot_product_attention(heads[0], heads[1], heads[2], attn_mask=mask)
    return rearrange(attended, "(b s) m t d -> b t s (m d)", b=b, s=s)


def _attend_on_cpu(query: Tensor, key: Tensor, value: Tensor, num_heads: int) -> Tensor:
    b, t, s, e = query.shape
    output = torch.empty(query.shape)
    # Channels of a token stand side by side in every projection and in every part of one.
    tokens = [x if x.stride(3) == 1 else x.contiguous() for x in (query, key, value)]
    extents = Extents(clips=b, queries=t, keys=key.shape[1], groups=s, channels=e, heads=num_heads)
    flattened = [part for x in (*tokens, output) for part in Tokens(*strided(x))]
    run(_ATTEND, b * -(-s // GROUPS), *flattened, numbers(extents))
    return output
