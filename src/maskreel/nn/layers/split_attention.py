"""Multi-scale spatio-temporal split attention (MS-STS VIS, figure 2; supplement S1).

The figure fixes the order of the steps, not the widths: they default to a bottleneck of a quarter of the width, which
gives the published model size.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from maskreel.errors import OptionError
from maskreel.kernels.short_attention import attend_short
from maskreel.nn.layers.feedforward import activate, add
from maskreel.nn.layers.recording import record_dense, record_groups
from maskreel.nn.layers.scale_pairs import ScalePairs, Upsampling

Intra = Literal["temporal", "window", "paired"]
Inter = Literal["colocated", "window", "cross", "full"]
Residual = Literal["inside", "none"]


def require_middle(window: int) -> None:
    if window % 2 == 0 or window < 1:
        raise OptionError(f"window {window} has no middle; use an odd number")


class IntraScaleBlock(nn.Module):
    """Every token looks at the tokens of its own position in all frames; no mixing in space.

    With a `window` above 1 it looks at the `window` x `window` cells around its position in all frames.
    """

    def __init__(
        self,
        width: int,
        *,
        inner: int,
        hidden: int,
        num_heads: int,
        dropout: float,
        residual: Residual,
        is_last: bool,
        window: int = 1,
    ) -> None:
        super().__init__()
        require_middle(window)
        self.window = window
        self.num_heads, self.has_residual, self.is_last = num_heads, residual == "inside", is_last
        self.qkv = nn.Linear(width, 3 * inner)
        self.attention_out = nn.Linear(inner, width)
        self.norm = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, hidden)
        self.out = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "b t s c"], pairs: ScalePairs) -> Float[Tensor, "b t s c"]:
        """With `is_last` only what the module adds: the residual around the feed-forward part is the layer's own."""
        query, key, value = self.qkv(x).chunk(3, -1)
        present = None
        if self.window > 1:
            valid = windows((~pairs.is_padding)[:, None, :, None].to(x.dtype), pairs.sizes, self.window) > 0
            # A padded query may look at everything, so that no softmax is empty.
            present = repeat(valid, "b k s 1 -> b s (t k)", t=x.shape[1]) | pairs.is_padding[..., None]
            key, value = (windows(each, pairs.sizes, self.window) for each in (key, value))
        record_groups(self, query, key, self.num_heads, present)
        y = self.dropout(self.attention_out(attend_short(query, key, value, self.num_heads, present)))
        y = self.norm(add(y, x) if self.has_residual else y)
        added = self.dropout(self.out(activate(self.linear1(y), "relu")))
        return add(added, y) if self.has_residual and not self.is_last else added


class InterScaleBlock(nn.Module):
    """Tokens of a level look at themselves and at the next coarser level, over all frames.

    `reach` says how far: "colocated" at their own position (2 t keys), "window" at `window` x `window` cells of either
    level around it, "cross" at the whole coarser level, "full" at both levels. The last two are quadratic in the size
    of the maps and meant for small ones. With `concat` "channel" the two tokens of a position become one of twice the
    width (colocated only). `is_paired` says that its partners are the tokens of the same level.
    """

    def __init__(
        self,
        width: int,
        *,
        inner: int,
        hidden: int,
        num_heads: int,
        dropout: float,
        residual: Residual,
        reach: Inter,
        window: int = 1,
        upsampling: Upsampling = "bilinear",
        concat: Literal["token", "channel"] = "token",
        is_paired: bool = False,
    ) -> None:
        super().__init__()
        require_middle(window)
        self.num_heads, self.has_residual, self.is_paired = num_heads, residual == "inside", is_paired
        self.reach: Inter = reach
        self.upsampling: Upsampling = upsampling
        self.window, self.concat = window, concat
        inside = inner if concat == "token" else 2 * inner
        self.fine = nn.Linear(width, inner)
        self.coarse = nn.Linear(width, inner)
        self.norm1 = nn.LayerNorm(inside)
        self.qkv = nn.Linear(inside, 3 * inside)
        self.attention_out = nn.Linear(inside, inside)
        self.norm2 = nn.LayerNorm(inside)
        self.linear1 = nn.Linear(inside, hidden)
        self.linear2 = nn.Linear(hidden, inside)
        self.out = nn.Linear(inside, width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "b t s c"], partners: Float[Tensor, "b t r c"], pairs: ScalePairs | None
    ) -> Float[Tensor, "b t s c"]:
        """What the block adds to `x`; without `pairs` the partners lie on the grids of `x`."""
        fine, coarse = self.fine(x), self.coarse(partners)
        if self.reach == "colocated" and pairs is not None:
            coarse = pairs.upsample(coarse, self.upsampling)
        if self.concat == "channel":
            fine = torch.cat((fine, coarse), -1)
            query, key, value = self.qkv(self.norm1(fine)).chunk(3, -1)
            record_groups(self, query, key, self.num_heads, None)
            y = attend_short(query, key, value, self.num_heads)
        else:
            y = self._attend(self.norm1(fine), self.norm1(coarse), pairs)
        y = self.dropout(self.attention_out(y))
        y = add(y, fine) if self.has_residual else y
        added = self.dropout(self.linear2(activate(self.linear1(self.norm2(y)), "relu")))
        return self.out(add(added, y) if self.has_residual else added)

    def _attend(
        self, fine: Float[Tensor, "b t s e"], coarse: Float[Tensor, "b t r e"], pairs: ScalePairs | None
    ) -> Float[Tensor, "b t s e"]:
        width = fine.shape[-1]
        weights, biases = self.qkv.weight.split((width, 2 * width)), self.qkv.bias.split((width, 2 * width))
        query = F.linear(fine, weights[0], biases[0])
        if self.reach == "colocated":
            key, value = F.linear(torch.cat((fine, coarse), 1), weights[1], biases[1]).chunk(2, -1)
            record_groups(self, query, key, self.num_heads, None)
            return attend_short(query, key, value, self.num_heads)
        fine_kv, coarse_kv = (F.linear(x, weights[1], biases[1]).chunk(2, -1) for x in (fine, coarse))
        assert pairs is not None, "only co-located tokens need no grids"
        if self.reach == "window":
            return self._attend_windows(query, fine_kv, coarse_kv, pairs)
        return self._attend_levels(query, fine_kv, coarse_kv, pairs)

    def _attend_windows(
        self, query: Tensor, fine_kv: Sequence[Tensor], coarse_kv: Sequence[Tensor], pairs: ScalePairs
    ) -> Float[Tensor, "b t s e"]:
        """Keys and values of all cells of the two windows, as if they were more frames."""

        def gather(fine: Tensor, coarse: Tensor) -> Tensor:
            near = windows(fine, pairs.sizes, self.window)
            far = pairs.resize(windows(coarse, pairs.partner_sizes, self.window), "nearest")
            return torch.cat((near, far), 1)

        key, value = (gather(*both) for both in zip(fine_kv, coarse_kv, strict=True))
        valid = [~padding[:, None, :, None] for padding in (pairs.is_padding, pairs.partner_padding)]
        present = gather(*(each.to(key.dtype) for each in valid)) > 0
        present = repeat(present, "b (g k) s 1 -> b s (g t k)", g=2, t=query.shape[1])
        # A padded query may look at everything, so that no softmax is empty.
        present = present | pairs.is_padding[..., None]
        record_groups(self, query, key, self.num_heads, present)
        return attend_short(query, key, value, self.num_heads, present)

    def _attend_levels(
        self, query: Tensor, fine_kv: Sequence[Tensor], coarse_kv: Sequence[Tensor], pairs: ScalePairs
    ) -> Float[Tensor, "b t s e"]:
        """Each level looks at the whole of its partner, with "full" at itself too."""
        t, levels = query.shape[1], []
        coarse = [pairs.split_partners(x) for x in (*coarse_kv, pairs.partner_padding[:, None, :, None])]
        fine = [pairs.split(x) for x in (*fine_kv, pairs.is_padding[:, None, :, None])]
        for level, q in enumerate(pairs.split(query)):
            read = [coarse, fine] if self.reach == "full" else [coarse]
            key, value, is_padding = (torch.cat([side[index][level] for side in read], 2) for index in range(3))
            heads = [rearrange(x, "b t n (m d) -> b m (t n) d", m=self.num_heads) for x in (q, key, value)]
            present = repeat(~is_padding, "b 1 n 1 -> b 1 1 (t n)", t=t)
            record_dense(self, heads[0], heads[1], present)
            out = F.scaled_dot_product_attention(heads[0], heads[1], heads[2], attn_mask=present)
            levels.append(rearrange(out, "b m (t n) d -> b t n (m d)", t=t))
        return torch.cat(levels, 2)


def windows(
    tokens: Float[Tensor, "b t n e"], sizes: Sequence[tuple[int, int]], window: int
) -> Float[Tensor, "b u n e"]:
    """The `window` x `window` cells around every cell of every level, frame by frame; zero outside a level."""
    reach, b, around = window // 2, tokens.shape[0], []
    for level, (h, w) in zip(tokens.split([h * w for h, w in sizes], 2), sizes, strict=True):
        maps = F.pad(rearrange(level, "b t (h w) e -> b t e h w", h=h), (reach, reach, reach, reach))
        cells = maps.unfold(-2, h, 1).unfold(-2, w, 1)
        around.append(rearrange(cells, "b t e i j h w -> b (t i j) (h w) e", b=b))
    return torch.cat(around, 2)


class SplitScaleAttention(nn.Module):
    """Intra-scale block, then inter-scale block on the levels that it leaves; either may be missing.

    The last linear layer starts at zero (`start_at_zero`): a model that gains this module starts as it was.
    """

    def __init__(
        self,
        width: int,
        *,
        intra: Intra | None = "temporal",
        inter: Inter | None = "colocated",
        inner: int = 64,
        hidden: int = 64,
        num_heads: int = 8,
        dropout: float = 0.1,
        residual: Residual = "inside",
        intra_window: int = 1,
        window: int = 1,
        upsampling: Upsampling = "bilinear",
        concat: Literal["token", "channel"] = "token",
    ) -> None:
        super().__init__()
        if intra is None and inter is None:
            raise OptionError("split attention needs an intra-scale or an inter-scale block, or both")
        shape = {"inner": inner, "hidden": hidden, "num_heads": num_heads, "dropout": dropout, "residual": residual}
        self.intra: IntraScaleBlock | InterScaleBlock | None = None
        self.inter: InterScaleBlock | None = None
        if intra == "paired":
            self.intra = InterScaleBlock(width, reach="colocated", is_paired=True, **shape)
        elif intra is not None:
            self.intra = IntraScaleBlock(width, is_last=inter is None, window=intra_window, **shape)
        if inter is not None:
            self.inter = InterScaleBlock(
                width, reach=inter, window=window, upsampling=upsampling, concat=concat, **shape
            )

    def start_at_zero(self) -> None:
        last = self.inter if self.inter is not None else self.intra
        assert last is not None, "checked at construction"
        nn.init.zeros_(last.out.weight)
        nn.init.zeros_(last.out.bias)

    def forward(self, x: Float[Tensor, "b t s c"], pairs: ScalePairs) -> Float[Tensor, "b t s c"]:
        """What the module adds to its input, which are tokens with their positions."""
        y = x
        if isinstance(self.intra, InterScaleBlock):
            added = self.intra(x, x, None)
            y = added if self.inter is None else x + added
        elif self.intra is not None:
            y = self.intra(x, pairs)
        return y if self.inter is None else self.inter(y, pairs.partners(y, x), pairs)
