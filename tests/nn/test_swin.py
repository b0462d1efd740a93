"""Swin transformer: sizes, names, and windows against a loop over cells."""

import math

import pytest
import torch
from torch import Tensor

from maskreel.nn.backbones.swin import DropPath, Swin, SwinBlock
from tests.builders import clip_batch


def small(**options: object) -> Swin:
    torch.manual_seed(0)
    return Swin(12, width=32, window=4, drop_path=0.0, **options).eval()


@pytest.mark.parametrize("size", [(64, 96), (50, 71), (33, 34), (5, 7)])
def test_maps_of_any_input_size(size: tuple[int, int]) -> None:
    with torch.no_grad():
        maps = small(stages=(0, 1, 2, 3)).maps(torch.randn(1, 3, *size))
    for stage, values in enumerate(maps):
        expected = tuple(-(side // -(4 << stage)) for side in size)
        assert values.shape == (1, 32 << stage, *expected)
        assert values.isfinite().all()


def test_chosen_stages_are_the_same_maps() -> None:
    clip = clip_batch([(64, 96)], num_frames=2)
    every, chosen = small(stages=(0, 1, 2, 3)), small(stages=(1, 3))
    chosen.load_state_dict({name: x for name, x in every.state_dict().items() if name in chosen.state_dict()})
    with torch.no_grad():
        ours, theirs = chosen(clip), every(clip)
    assert chosen.channels == (64, 256)
    assert [level.stride for level in ours] == [8, 32]
    assert torch.equal(ours[0].values, theirs[1].values)
    assert torch.equal(ours[1].values, theirs[3].values)
    assert {name.split(".")[0] for name in chosen.state_dict()} == {"patch_embed", "layers", "norm1", "norm3"}


def cell_attention(block: SwinBlock, x: Tensor, y: int, x_place: int) -> Tensor:
    """What one cell of a map "h w c" gets from its window, in the shifted frame of the map."""
    height, width, channels = x.shape
    size, shift = block.window, block.shift
    rows, columns = -(height // -size) * size, -(width // -size) * size
    padded = torch.zeros(rows, columns, channels)
    padded[:height, :width] = block.norm1(x)
    heads = channels // 32

    def place(row: int, column: int) -> tuple[int, int, int, int]:
        """(window row, window column, row and column inside it) of a cell after the shift."""
        row, column = (row - shift) % rows, (column - shift) % columns
        return row // size, column // size, row % size, column % size

    window_row, window_column, inside_row, inside_column = place(y, x_place)
    query, keys, values, biases = None, [], [], []
    for row in range(rows):
        for column in range(columns):
            other = place(row, column)
            if other[:2] != (window_row, window_column):
                continue
            # Cells that the shift brought around from the other side stay among themselves.
            if (row < shift) != (y < shift) or (column < shift) != (x_place < shift):
                continue
            q, k, v = block.attn.qkv(padded[row, column]).view(3, heads, 32)
            if (row, column) == (y, x_place):
                query = q
            down, right = inside_row - other[2] + size - 1, inside_column - other[3] + size - 1
            biases.append(block.attn.relative_position_bias_table[down * (2 * size - 1) + right])
            keys.append(k)
            values.append(v)
    assert query is not None
    logits = torch.stack([(query * key).sum(-1) / math.sqrt(32) + bias for key, bias in zip(keys, biases, strict=True)])
    shares = logits.softmax(0)
    out = (shares[..., None] * torch.stack(values)).sum(0).flatten()
    y_out = x[y, x_place] + block.attn.proj(out)
    return y_out + block.mlp(block.norm2(y_out))


@pytest.mark.parametrize("shift", [0, 2])
def test_a_block_equals_a_loop_over_the_cells_of_each_window(shift: int) -> None:
    torch.manual_seed(1)
    block = SwinBlock(64, window=4, shift=shift, drop_path=0.0)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_(std=0.3)
        x = torch.randn(2, 7, 10, 64)
        ours = block(x)
        for y, column in ((0, 0), (0, 9), (1, 3), (3, 5), (6, 0), (6, 9)):
            torch.testing.assert_close(ours[1, y, column], cell_attention(block, x[1], y, column), rtol=1e-4, atol=1e-4)


def test_names_are_the_official_ones() -> None:
    names = set(small().state_dict())
    for name in (
        "patch_embed.proj.weight",
        "patch_embed.norm.bias",
        "layers.0.blocks.1.norm1.weight",
        "layers.2.blocks.5.attn.relative_position_bias_table",
        "layers.2.blocks.5.attn.relative_position_index",
        "layers.3.blocks.0.attn.qkv.bias",
        "layers.3.blocks.1.attn.proj.weight",
        "layers.1.blocks.0.mlp.fc1.weight",
        "layers.1.blocks.0.mlp.fc2.bias",
        "layers.0.downsample.reduction.weight",
        "layers.2.downsample.norm.weight",
        "norm1.weight",
        "norm3.bias",
    ):
        assert name in names
    assert not any(name.startswith(("layers.3.downsample", "norm0", "norm.")) for name in names)


def test_branches_are_left_out_in_training_alone_and_in_proportion() -> None:
    torch.manual_seed(0)
    drop, x = DropPath(0.25), torch.ones(4000, 1, 1, 1)
    kept = drop(x)
    assert set(kept.flatten().tolist()) == {0.0, torch.tensor(4 / 3).item()}
    assert kept.mean().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(drop.eval()(x), x)


def test_the_chance_of_being_left_out_rises_from_block_to_block() -> None:
    model = Swin(12, width=32, window=4, drop_path=0.22)
    chances = [block.drop_path.chance for stage in model.layers for block in stage.blocks]
    assert chances == pytest.approx([0.02 * index for index in range(12)])


def test_a_width_without_whole_heads_is_refused() -> None:
    with pytest.raises(ValueError, match="width 48"):
        Swin(12, width=48)
