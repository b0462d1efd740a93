"""Twins-SVT: windows and sub-sampled global attention in turn (arXiv 2104.13840), with the official parameter names."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from maskreel.errors import OptionError
from maskreel.nn.backbones.pyramid import LastStride
from maskreel.nn.layers.checkpointing import Checkpointed
from maskreel.nn.layers.padding import Padding
from maskreel.structures import ClipBatch, FeatureMap

Edges = Literal["filled", "cut"]
"""Cells that the patches of the next map, or of a summary, do not fill: zeros are added to them and they stay, or they
are left out, as published."""

StageNorm = Literal["none", "carried"]
"""`carried` normalises the map of every stage, which the next stage then reads, as in the published detectors."""


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Zeros (or False) at the right and bottom of the last two axes, so that no row is lost."""
    height, width = x.shape[-2:]
    return F.pad(x, (0, -width % multiple, 0, -height % multiple))


def whole_patches(valid: Bool[Tensor, "n h w"], patch: int, edges: Edges) -> Bool[Tensor, "n _ _"]:
    """Which patches of a map are read: those with any valid cell, or with nothing else."""
    if edges == "cut":
        return valid[:, patch - 1 :: patch, patch - 1 :: patch]
    return pad_to_multiple(valid, patch)[:, ::patch, ::patch]


def attend(q: Tensor, k: Tensor, v: Tensor, readable: Bool[Tensor, "_ s"] | None) -> Tensor:
    """Attention with heads next to the batch; where a row could read nothing at all, it reads everything."""
    mask = None
    if readable is not None:
        mask = rearrange(readable | ~readable.any(-1, keepdim=True), "n s -> n 1 1 s")
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


class PatchEmbedding(nn.Module):
    """Patches of a map as tokens."""

    def __init__(self, channels: int, width: int, patch: int, edges: Edges) -> None:
        super().__init__()
        self.patch: int = patch
        self.edges: Edges = edges
        self.proj = nn.Conv2d(channels, width, patch, stride=patch)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n i j d"]:
        if self.edges == "filled":
            x = pad_to_multiple(x, self.patch)
        return self.norm(rearrange(self.proj(x), "n d i j -> n i j d"))


class WindowAttention(nn.Module):
    """Attention inside windows of `window` x `window` cells, counted from the upper left."""

    def __init__(self, width: int, num_heads: int, window: int, edges: Edges) -> None:
        super().__init__()
        self.num_heads, self.window = num_heads, window
        self.edges: Edges = edges
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "n h w c"], valid: Bool[Tensor, "n h w"] | None) -> Float[Tensor, "n h w c"]:
        """Cells that are not `valid` are not read.

        Without `valid`, and where edges are cut, cells beyond the map take part as zeros, as in the published
        detectors.
        """
        n, height, width, _ = x.shape
        side = self.window
        if self.edges == "cut":
            x, valid = _blank(x, valid), None
        x = rearrange(pad_to_multiple(rearrange(x, "n h w c -> n c h w"), side), "n c h w -> n h w c")
        rows = x.shape[1] // side
        windows = rearrange(x, "n (a i) (b j) c -> (n a b) (i j) c", i=side, j=side)
        readable = None
        if valid is not None:
            valid = pad_to_multiple(valid, side)
            readable = rearrange(valid, "n (a i) (b j) -> (n a b) (i j)", i=side, j=side)
        q, k, v = rearrange(self.qkv(windows), "w s (three m d) -> three w m s d", three=3, m=self.num_heads)
        out = self.proj(rearrange(attend(q, k, v, readable), "w m s d -> w s (m d)"))
        out = rearrange(out, "(n a b) (i j) c -> n (a i) (b j) c", n=n, a=rows, i=side)
        return out[:, :height, :width]


class GlobalAttention(nn.Module):
    """Every token reads a summary of the whole map, one key per `reduction` x `reduction` cells."""

    def __init__(self, width: int, num_heads: int, reduction: int, edges: Edges) -> None:
        super().__init__()
        self.num_heads, self.reduction = num_heads, reduction
        self.edges: Edges = edges
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)
        if reduction > 1:
            self.sr = nn.Conv2d(width, width, reduction, stride=reduction)
            self.norm = nn.LayerNorm(width)

    def forward(self, x: Float[Tensor, "n h w c"], valid: Bool[Tensor, "n h w"] | None) -> Float[Tensor, "n h w c"]:
        """Cells that are not `valid` are read as zeros, and summaries of nothing else are not read."""
        height = x.shape[1]
        q = rearrange(self.q(x), "n h w (m d) -> n m (h w) d", m=self.num_heads)
        summary, readable = x, valid
        if self.reduction > 1:
            cells = rearrange(_blank(x, valid), "n h w c -> n c h w")
            if self.edges == "filled":
                cells = pad_to_multiple(cells, self.reduction)
            summary = self.norm(rearrange(self.sr(cells), "n c h w -> n h w c"))
            if valid is not None:
                readable = whole_patches(valid, self.reduction, self.edges)
        k, v = rearrange(self.kv(summary), "n h w (two m d) -> two n m (h w) d", two=2, m=self.num_heads)
        out = attend(q, k, v, None if readable is None else readable.flatten(1))
        return self.proj(rearrange(out, "n m (h w) d -> n h w (m d)", h=height))


class Mlp(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Float[Tensor, "*n c"]) -> Float[Tensor, "*n c"]:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm attention and perceptron, each left out of an image's path with a chance of `drop_path` in training."""

    def __init__(
        self, width: int, attention: WindowAttention | GlobalAttention, *, mlp_ratio: int, drop_path: float
    ) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = attention
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, mlp_ratio * width)

    def forward(self, x: Float[Tensor, "n h w c"], valid: Bool[Tensor, "n h w"] | None) -> Float[Tensor, "n h w c"]:
        x = x + self._drop(self.attn(self.norm1(x), valid))
        return x + self._drop(self.mlp(self.norm2(x)))

    def _drop(self, x: Float[Tensor, "n h w c"]) -> Float[Tensor, "n h w c"]:
        if not self.training or self.drop_path == 0:
            return x
        keep = 1 - self.drop_path
        return x * (torch.rand(len(x), 1, 1, 1, device=x.device) < keep).to(x.dtype) / keep


class PositionGenerator(nn.Module):
    """Adds a depth-wise 3x3 convolution of the tokens, which tells them where they are."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, groups=width))

    def forward(self, x: Float[Tensor, "n h w c"], valid: Bool[Tensor, "n h w"] | None) -> Float[Tensor, "n h w c"]:
        return x + rearrange(self.proj(rearrange(_blank(x, valid), "n h w c -> n c h w")), "n c h w -> n h w c")


class TwinsSVT(Checkpointed):
    """Feature maps of the four stages, strides 4, 8, 16 and 32, or 16 twice; any frame size.

    Blocks alternate between window and global attention; a window of one cell is global attention, too. With `padding`
    "masked" a map is that of the frame at its own size, however far it is padded; with "seen" padding is part of the
    frame. With `edges` "filled" no row is lost, and cells beyond the frame are not read; "cut" are the maps of the
    published detector. Final norm and classifier of the official classifier are no part of it.
    """

    has_stages = True

    def __init__(
        self,
        widths: Sequence[int] = (64, 128, 256, 512),
        num_heads: Sequence[int] = (2, 4, 8, 16),
        depths: Sequence[int] = (2, 2, 10, 4),
        *,
        mlp_ratios: Sequence[int] = (4, 4, 4, 4),
        windows: Sequence[int] = (7, 7, 7, 7),
        reductions: Sequence[int] = (8, 4, 2, 1),
        drop_path: float = 0.2,
        padding: Padding = "masked",
        edges: Edges = "filled",
        stage_norm: StageNorm = "none",
        last_stride: LastStride = 32,
    ) -> None:
        """`windows` are sides of the attention windows in cells, `reductions` cells along a side that become one key
        of global attention, per stage."""
        super().__init__()
        self.edges: Edges = edges
        self.strides = (4, 8, 16, last_stride)
        self.patches = (4, 2, 2, last_stride // 16)
        """Cells of the map before that become one token, per stage."""
        self.least = max(stride * cells for stride, cells in zip(self.strides, reductions, strict=True))
        """Pixels along a side that a frame must have for a whole key in every stage."""
        self.channels = tuple(widths)
        self.is_masking = padding == "masked"
        drops = torch.linspace(0, drop_path, sum(depths), device="cpu").tolist()
        self.patch_embeds, self.blocks, self.pos_block = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        inputs = 3
        for stage, (width, heads, depth) in enumerate(zip(widths, num_heads, depths, strict=True)):
            if width % heads:
                raise OptionError(f"width {width} of stage {stage + 1} does not divide into {heads} attention heads")
            self.patch_embeds.append(PatchEmbedding(inputs, width, self.patches[stage], edges))
            blocks = []
            for index in range(depth):
                is_window = index % 2 == 0 and windows[stage] > 1
                attention = (
                    WindowAttention(width, heads, windows[stage], edges)
                    if is_window
                    else GlobalAttention(width, heads, reductions[stage], edges)
                )
                drop = drops[sum(depths[:stage]) + index]
                blocks.append(Block(width, attention, mlp_ratio=mlp_ratios[stage], drop_path=drop))
            self.blocks.append(nn.ModuleList(blocks))
            self.pos_block.append(PositionGenerator(width))
            inputs = width
        self.norm_list = nn.ModuleList(nn.LayerNorm(width) for width in widths if stage_norm == "carried")
        self.apply(_initialise)

    def stages(
        self, x: Float[Tensor, "n 3 h w"], valid: Bool[Tensor, "n h w"]
    ) -> list[tuple[Float[Tensor, "n _ _ _"], Bool[Tensor, "n _ _"]]]:
        """Map of every stage, with its cells that are no padding."""
        maps = []
        if self.edges == "cut":
            x, valid = _at_least(x, valid, self.least)
        for stage, (embed, blocks, position) in enumerate(
            zip(self.patch_embeds, self.blocks, self.pos_block, strict=True)
        ):
            if self.is_masking:
                x = x * valid[:, None]
            patch = self.patches[stage]
            x, valid = embed(x), whole_patches(valid, patch, self.edges)
            mask = valid if self.is_masking else None
            x = self.run_stage(self._through, blocks, position, x, mask)
            if len(self.norm_list):
                x = self.norm_list[stage](x)
            x = rearrange(x, "n h w c -> n c h w")
            maps.append((x, valid))
        return maps

    def _through(self, blocks: nn.ModuleList, position: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
        for index, block in enumerate(blocks):
            x = self.run(block, x, mask)
            if index == 0:
                x = position(x, mask)
        return x

    def forward(self, clip: ClipBatch) -> tuple[FeatureMap, ...]:
        b = clip.frames.shape[0]
        maps = self.stages(
            rearrange(clip.frames, "b t c h w -> (b t) c h w"), rearrange(~clip.is_padding, "b t h w -> (b t) h w")
        )
        return tuple(
            FeatureMap(
                values=rearrange(values, "(b t) c h w -> b t c h w", b=b),
                is_padding=rearrange(~valid, "(b t) h w -> b t h w", b=b),
                stride=stride,
            )
            for (values, valid), stride in zip(maps, self.strides, strict=True)
        )


def _blank(x: Float[Tensor, "n h w c"], valid: Bool[Tensor, "n h w"] | None) -> Float[Tensor, "n h w c"]:
    return x if valid is None else x * valid[..., None]


def _at_least(
    x: Float[Tensor, "n 3 h w"], valid: Bool[Tensor, "n h w"], least: int
) -> tuple[Float[Tensor, "n 3 _ _"], Bool[Tensor, "n _ _"]]:
    """Frames of `least` pixels along a side or more; smaller ones are filled with zeros, which count as their own."""
    height, width = x.shape[-2:]
    grown = (0, max(0, least - width), 0, max(0, least - height))
    x, valid = F.pad(x * valid[:, None], grown), F.pad(valid, grown)
    rows, columns = valid.any(2), valid.any(1)
    rows[:, :least] |= rows.any(1, keepdim=True)
    columns[:, :least] |= columns.any(1, keepdim=True)
    return x, rows[:, :, None] & columns[:, None]


def _initialise(module: nn.Module) -> None:
    """The official start: truncated normal for linear layers, He for convolutions."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.Conv2d):
        fan_out = module.weight[0, 0].numel() * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        assert module.bias is not None
        nn.init.zeros_(module.bias)
