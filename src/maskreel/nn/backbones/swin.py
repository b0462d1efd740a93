"""Swin transformer with the official parameter names, for maps of any size (arXiv 2103.14030)."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from maskreel.errors import OptionError
from maskreel.nn.layers.position import shrink_padding
from maskreel.structures import ClipBatch, FeatureMap

Depth = Literal[12, 24]
BLOCKS: dict[Depth, tuple[int, int, int, int]] = {12: (2, 2, 6, 2), 24: (2, 2, 18, 2)}
HEAD_WIDTH = 32
PATCH = 4
"""Pixels per cell of the first stage."""


class DropPath(nn.Module):
    """Leaves a whole branch out for single frames in training (stochastic depth)."""

    def __init__(self, chance: float) -> None:
        super().__init__()
        self.chance = chance

    def forward(self, x: Float[Tensor, "n h w c"]) -> Float[Tensor, "n h w c"]:
        if not self.training or self.chance == 0:
            return x
        keep = 1 - self.chance
        return x * (x.new_empty(len(x), 1, 1, 1).bernoulli_(keep) / keep)


def relative_positions(window: int) -> Int[Tensor, "p p"]:
    """Row of the bias table for every pair of cells of a window."""
    y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    down, right = (axis.flatten()[:, None] - axis.flatten()[None] + window - 1 for axis in (y, x))
    return down * (2 * window - 1) + right


class WindowAttention(nn.Module):
    """Attention inside windows, with a learned bias per head and relative position."""

    relative_position_index: Tensor

    def __init__(self, width: int, window: int) -> None:
        super().__init__()
        self.num_heads = width // HEAD_WIDTH
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * window - 1) ** 2, self.num_heads))
        self.register_buffer("relative_position_index", relative_positions(window))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, x: Float[Tensor, "n g p c"], apart: Bool[Tensor, "g p p"] | None) -> Float[Tensor, "n g p c"]:
        """Cells p of the windows g of n maps; `apart` marks pairs of cells that must not see each other."""
        n, groups = x.shape[:2]
        bias = rearrange(self.relative_position_bias_table[self.relative_position_index], "p r m -> 1 m p r")
        layout = "(n g) m p d" if apart is None else "n (g m) p d"
        if apart is not None:
            # As in the official code: far below every logit, yet finite.
            bias = rearrange(bias - 100.0 * apart[:, None], "g m p r -> 1 (g m) p r")
        heads = rearrange(self.qkv(x), f"n g p (three m d) -> three {layout}", three=3, m=self.num_heads)
        out = F.scaled_dot_product_attention(heads[0], heads[1], heads[2], attn_mask=bias.to(heads.dtype))
        return self.proj(rearrange(out, f"{layout} -> n g p (m d)", n=n, g=groups))


class Perceptron(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Float[Tensor, "*n c"]) -> Float[Tensor, "*n c"]:
        return self.fc2(F.gelu(self.fc1(x)))


class SwinBlock(nn.Module):
    """Attention in windows of a map that may be shifted by half a window, then a perceptron; pre-norm."""

    def __init__(self, width: int, *, window: int, shift: int, drop_path: float) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, window)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Perceptron(width)

    def forward(self, x: Float[Tensor, "n h w c"]) -> Float[Tensor, "n h w c"]:
        x = x + self.drop_path(self._attend(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def _attend(self, x: Float[Tensor, "n h w c"]) -> Float[Tensor, "n h w c"]:
        """Maps are padded with zeros to whole windows on the right and bottom; padding takes part in attention."""
        _, h, w, _ = x.shape
        size, shift = self.window, self.shift
        x = F.pad(x, (0, 0, 0, -w % size, 0, -h % size))
        rows, columns = x.shape[1] // size, x.shape[2] // size
        apart = None
        if shift:
            x = x.roll((-shift, -shift), (1, 2))
            apart = wrapped_pairs(rows, columns, size, shift, x.device)
        cells = rearrange(x, "n (r i) (k j) c -> n (r k) (i j) c", i=size, j=size)
        x = rearrange(self.attn(cells, apart), "n (r k) (i j) c -> n (r i) (k j) c", r=rows, i=size)
        if shift:
            x = x.roll((shift, shift), (1, 2))
        return x[:, :h, :w]


def wrapped_pairs(rows: int, columns: int, size: int, shift: int, device: torch.device) -> Bool[Tensor, "g p p"]:
    """Pairs of cells of the windows of a shifted map that lie together only because the shift wraps around."""

    def region(count: int) -> Int[Tensor, " cells"]:
        cell = torch.arange(count * size, device=device)
        return (cell >= (count - 1) * size).long() + (cell >= count * size - shift).long()

    regions = 3 * region(rows)[:, None] + region(columns)[None]
    cells = rearrange(regions, "(r i) (k j) -> (r k) (i j)", i=size, j=size)
    return cells[:, :, None] != cells[:, None, :]


class PatchEmbedding(nn.Module):
    """Cells of 4x4 pixels; frames are padded with zeros on the right and bottom to whole cells."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, stride=PATCH)
        self.norm = nn.LayerNorm(width)

    def forward(self, frames: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n i j c"]:
        h, w = frames.shape[-2:]
        x = self.proj(F.pad(frames, (0, -w % PATCH, 0, -h % PATCH)))
        return self.norm(rearrange(x, "n c h w -> n h w c"))


class PatchMerging(nn.Module):
    """Four neighbouring cells become one of twice the channels; odd maps are padded with zeros."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)
        self.norm = nn.LayerNorm(4 * width)

    def forward(self, x: Float[Tensor, "n h w c"]) -> Float[Tensor, "n i j d"]:
        _, h, w, _ = x.shape
        x = F.pad(x, (0, 0, 0, w % 2, 0, h % 2))
        return self.reduction(self.norm(rearrange(x, "n (h i) (w j) c -> n h w (j i c)", i=2, j=2)))


class SwinStage(nn.Module):
    """Blocks at one resolution, every second one shifted, then the way to the next resolution."""

    def __init__(self, width: int, *, window: int, drop_path: Sequence[float], is_last: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            SwinBlock(width, window=window, shift=window // 2 * (index % 2), drop_path=chance)
            for index, chance in enumerate(drop_path)
        )
        self.downsample = None if is_last else PatchMerging(width)

    def forward(self, x: Float[Tensor, "n h w c"]) -> Float[Tensor, "n h w c"]:
        for block in self.blocks:
            x = block(x)
        return x


class Swin(nn.Module):
    """Feature maps of the chosen stages 0 to 3 (strides 4, 8, 16, 32), each with a norm of its own."""

    def __init__(
        self,
        depth: Depth,
        *,
        width: int = 192,
        window: int = 12,
        drop_path: float = 0.3,
        stages: Sequence[int] = (1, 2, 3),
    ) -> None:
        super().__init__()
        if width % HEAD_WIDTH:
            raise OptionError(f"width {width} does not divide into heads of {HEAD_WIDTH} channels")
        self.stages = tuple(stages)
        self.channels = tuple(width << stage for stage in self.stages)
        blocks = BLOCKS[depth]
        chances = [drop_path * index / (sum(blocks) - 1) for index in range(sum(blocks))]
        self.patch_embed = PatchEmbedding(width)
        self.layers = nn.ModuleList(
            SwinStage(
                width << stage,
                window=window,
                drop_path=chances[sum(blocks[:stage]) : sum(blocks[: stage + 1])],
                is_last=stage == len(blocks) - 1,
            )
            for stage in range(len(blocks))
        )
        for stage in self.stages:
            self.add_module(f"norm{stage}", nn.LayerNorm(width << stage))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def maps(self, frames: Float[Tensor, "n 3 h w"]) -> tuple[Float[Tensor, "n _ _ _"], ...]:
        """Maps of the chosen stages for single images, channels first."""
        x, maps = self.patch_embed(frames), []
        for index, stage in enumerate(self.layers):
            assert isinstance(stage, SwinStage)
            x = stage(x)
            if index in self.stages:
                maps.append(rearrange(self.get_submodule(f"norm{index}")(x), "n h w c -> n c h w"))
            if stage.downsample is not None:
                x = stage.downsample(x)
        return tuple(maps)

    def forward(self, clip: ClipBatch) -> tuple[FeatureMap, ...]:
        b, t = clip.frames.shape[:2]
        maps = self.maps(rearrange(clip.frames, "b t c h w -> (b t) c h w"))
        return tuple(
            FeatureMap(
                values=rearrange(x, "(b t) c h w -> b t c h w", b=b, t=t),
                is_padding=shrink_padding(clip.is_padding, (x.shape[-2], x.shape[-1])),
                stride=PATCH << stage,
            )
            for x, stage in zip(maps, self.stages, strict=True)
        )
