"""From what attention layers recorded to where one query looks, whatever kind of attention it is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from maskreel.kernels.maps import ABSENT
from maskreel.nn.layers.deformable import DeformableAttention
from maskreel.nn.layers.dense_attention import Attention
from maskreel.nn.layers.neighbours import NeighbourSampling
from maskreel.nn.layers.recording import Read, SampledPoints
from maskreel.nn.layers.space_time import FrameLevelAttention, SpaceTimeAttention
from maskreel.nn.layers.split_attention import InterScaleBlock, IntraScaleBlock
from maskreel.structures import ClipMemory, Looks

KINDS: dict[type[nn.Module], str] = {
    DeformableAttention: "points of a frame",
    NeighbourSampling: "points of neighbouring frames",
    SpaceTimeAttention: "points of the clip",
    FrameLevelAttention: "points of every frame",
    Attention: "all tokens of the clip",
    IntraScaleBlock: "tokens of one level, over time",
    InterScaleBlock: "tokens of two levels, over time",
}
"""What can be looked at, and what it reads."""


@dataclass(frozen=True, kw_only=True)
class Token:
    """A cell of the encoder's maps, in one frame."""

    frame: int
    level: int
    row: int
    column: int

    def place(self, sizes: Sequence[tuple[int, int]]) -> int:
        """Its number among the tokens of a frame."""
        return sum(h * w for h, w in sizes[: self.level]) + self.row * sizes[self.level][1] + self.column


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """Cells of one level that a frame shows to a query, in the order of its keys."""

    level: int
    row: Int[Tensor, " n"]
    column: Int[Tensor, " n"]
    is_there: Bool[Tensor, " n"]
    """False beyond the edges of a map."""

    @staticmethod
    def whole(sizes: Sequence[tuple[int, int]], level: int) -> "Cells":
        """All cells of a level, row by row."""
        height, width = sizes[level]
        index = torch.arange(height * width)
        return Cells(level=level, row=index // width, column=index % width, is_there=torch.ones_like(index) > 0)

    @staticmethod
    def around(sizes: Sequence[tuple[int, int]], level: int, row: int, column: int, window: int) -> "Cells":
        """The `window` x `window` cells around one, row by row."""
        step = torch.arange(window) - window // 2
        rows, columns = row + step.repeat_interleave(window), column + step.repeat(window)
        height, width = sizes[level]
        is_there = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        return Cells(level=level, row=rows, column=columns, is_there=is_there)


def attention_layers(module: nn.Module) -> dict[nn.Module, str]:
    """Layers inside a module (itself included) that can be looked at, and what they read."""
    layers = {layer: KINDS[type(layer)] for layer in module.modules() if type(layer) in KINDS}
    paired = {layer for layer in layers if isinstance(layer, InterScaleBlock) and layer.is_paired}
    return {layer: KINDS[IntraScaleBlock] if layer in paired else kind for layer, kind in layers.items()}


def looks_of_token(layer: nn.Module, reads: Sequence[Read], token: Token, memory: ClipMemory) -> Looks:
    """Where a token of the encoder looks in one pass through a layer, whose reads these are: one, or one per level."""
    sizes = memory.level_sizes
    row = token.frame * sum(h * w for h, w in sizes) + token.place(sizes)
    if isinstance(layer, IntraScaleBlock | InterScaleBlock):
        return _looks_of_split(layer, reads, token, memory)
    return _looks_of_row(layer, reads[0], row, memory)


def looks_of_queries(layer: nn.Module, read: Read, rows: Sequence[int], memory: ClipMemory) -> Looks:
    """Where queries of a decoder look, by their rows, taken together: the mean of their weights."""
    tables = [_looks_of_row(layer, read, row, memory) for row in rows]
    if isinstance(read, SampledPoints):
        return Looks.join(tables, share=1 / len(rows))
    # All of them read the same keys.
    return replace(tables[0], weight=torch.stack([table.weight for table in tables]).mean(0))


def cells_across(memory: ClipMemory) -> Float[Tensor, "l 2"]:
    """Cells (x, y) of every level over the un-padded frame."""
    sizes = torch.tensor([(w, h) for h, w in memory.level_sizes], dtype=torch.float32)
    return sizes * memory.valid_ratios[0].float().cpu()


def _looks_of_row(layer: nn.Module, read: Read, row: int, memory: ClipMemory) -> Looks:
    """Of one query of a layer that takes all of them in one row."""
    if isinstance(read, SampledPoints):
        return _points(read, row, memory, are_levels_frames=isinstance(layer, FrameLevelAttention))
    cells = [Cells.whole(memory.level_sizes, level) for level in range(len(memory.level_sizes))]
    return _keys(read.weights(0, row), cells, memory)


def _looks_of_split(
    layer: IntraScaleBlock | InterScaleBlock, reads: Sequence[Read], token: Token, memory: ClipMemory
) -> Looks:
    """Of a block of split attention."""
    sizes, level = memory.level_sizes, token.level
    coarser = min(level + 1, len(sizes) - 1)
    read = reads[level if len(reads) > 1 else 0]
    assert not isinstance(read, SampledPoints), "split attention reads keys"
    if isinstance(layer, InterScaleBlock) and layer.reach in ("cross", "full"):
        row = (token.frame * sizes[level][0] + token.row) * sizes[level][1] + token.column
        levels = [coarser, level] if layer.reach == "full" else [coarser]
        return _keys(read.weights(0, row), [Cells.whole(sizes, each) for each in levels], memory)
    weights = read.weights(token.place(sizes), token.frame)
    own = Cells.around(sizes, level, token.row, token.column, layer.window)
    if isinstance(layer, IntraScaleBlock) or layer.concat == "channel":
        return _keys(weights, [own], memory)
    partner = own
    if coarser != level and not layer.is_paired:
        partner = Cells.around(sizes, coarser, token.row // 2, token.column // 2, layer.window)
    # All frames of one level come before all frames of the other.
    halves = zip(weights.chunk(2, -1), (own, partner), strict=True)
    return Looks.join([_keys(half, [cells], memory) for half, cells in halves])


def _points(read: SampledPoints, row: int, memory: ClipMemory, *, are_levels_frames: bool) -> Looks:
    """Of one query; points in frames that there are not are left out."""
    locations, weights, maps = read.locations[row], read.weights[row], read.maps
    heads, points = weights.shape
    frames = torch.tensor(maps.frames[row // (len(read.weights) // maps.num_groups)])
    levels = torch.tensor(maps.levels or tuple(range(len(maps.level_sizes))))
    if locations.shape[-1] == 3:
        frame = locations[..., 2] * len(frames) - 0.5
        level, is_there = torch.zeros_like(frame, dtype=torch.int64), torch.ones_like(frame) > 0
    else:
        slot = (torch.arange(points) // (points // maps.num_slots)).expand(heads, -1)
        frame, level = frames[slot // len(levels)].float(), levels[slot % len(levels)]
        is_there = frame > ABSENT
        if are_levels_frames:
            frame, level = level.float(), torch.zeros_like(level)
    place = locations[..., :2] / memory.valid_ratios[0].float().cpu()[level]
    head = torch.arange(heads)[:, None].expand(-1, points)
    head, frame, level, place, weight = (x[is_there] for x in (head, frame, level, place, weights))
    return Looks(head=head, frame=frame, level=level, place=place, weight=weight)


def _keys(weights: Float[Tensor, "m k"], cells: Sequence[Cells], memory: ClipMemory) -> Looks:
    """Of keys that stand frame by frame, in each the cells of one level after those of the other."""
    heads, frames, across = len(weights), memory.tokens.shape[1], cells_across(memory)
    level = torch.cat([torch.full_like(one.row, one.level) for one in cells])
    place = torch.cat([torch.stack((one.column, one.row), -1) + 0.5 for one in cells]) / across[level]
    shape = (heads, frames, len(level))
    is_there = torch.cat([one.is_there for one in cells]).expand(shape)
    head, frame = torch.arange(heads).view(-1, 1, 1).expand(shape), torch.arange(frames).view(-1, 1).expand(shape)
    return Looks(
        head=head[is_there],
        frame=frame[is_there].float(),
        level=level.expand(shape)[is_there],
        place=place.expand(*shape, 2)[is_there],
        weight=weights.reshape(shape)[is_there],
        cells=across,
    )
