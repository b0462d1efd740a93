"""Queries that start at places: where they are, what they read first, how a table grows from one frame to a clip."""

import math

import pytest
import torch

from maskreel.nn.decoders.frame_queries import FrameQueryDecoder
from maskreel.nn.decoders.placed_queries import STRENGTH, grown_queries, place_queries
from maskreel.nn.layers.position import axis_channels, sine_code, space_time_position
from maskreel.structures import ClipMemory

WIDTH = 96


def decoder(num_frames: int, cross_attention: str = "dense", num_queries: int = 6) -> FrameQueryDecoder:
    torch.manual_seed(0)
    return FrameQueryDecoder(
        WIDTH,
        num_frames=num_frames,
        num_queries=num_queries,
        num_layers=2,
        hidden=64,
        num_heads=4,
        dropout=0.0,
        attention_dropout=0.0,
        cross_attention=cross_attention,  # type: ignore[arg-type]
        num_points=4,
    )


def test_rows_are_codes_of_frames_and_places_less_their_mean() -> None:
    placed = decoder(3)
    place_queries(placed, rows=2, columns=3)
    code = placed.queries.weight.detach() / STRENGTH
    expected = []
    for t in range(3):
        for q in range(6):
            place = ((t + 1) / 3, ((q // 3) + 0.5) / 2, ((q % 3) + 0.5) / 3)
            axes = zip(place, axis_channels(WIDTH), strict=True)
            expected.append(torch.cat([sine_code(torch.tensor(2 * math.pi * value), c) for value, c in axes]))
    table = torch.stack(expected)
    torch.testing.assert_close(code, table - table.mean(0), atol=1e-5, rtol=0)


@pytest.mark.parametrize("cross_attention", ["dense", "space_time"])
def test_placed_queries_add_no_parameter_and_change_only_the_start(cross_attention: str) -> None:
    drawn, placed = decoder(3, cross_attention), decoder(3, cross_attention)
    place_queries(placed, rows=2, columns=3)
    before, after = drawn.state_dict(), placed.state_dict()
    assert {name: value.shape for name, value in before.items()} == {n: v.shape for n, v in after.items()}
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    expected = {"queries.weight", "layers.0.self_attention.out_proj.bias"}
    if cross_attention == "dense":
        expected |= {f"layers.{k}.cross_attention.in_proj_weight" for k in range(2)}
    assert changed == expected


def test_every_query_reads_first_near_its_own_frame_and_place() -> None:
    placed = decoder(4)
    place_queries(placed, rows=2, columns=3)
    is_padding = torch.zeros(1, 4, 6, 9, dtype=torch.bool)
    keys = space_time_position(is_padding, WIDTH)[0].permute(0, 2, 3, 1).reshape(-1, WIDTH)
    weight = placed.layers[0].cross_attention.in_proj_weight
    query, key = placed.queries.weight @ weight[:WIDTH].T, keys @ weight[WIDTH : 2 * WIDTH].T
    best = (query @ key.T).argmax(1)
    frame, row, column = best // 54, best % 54 // 9, best % 9
    wanted = torch.arange(24)
    q = wanted % 6
    assert (frame == wanted // 6).float().mean() > 0.9
    assert (row // 3 == q // 3).float().mean() > 0.9
    assert (column // 3 == q % 3).float().mean() > 0.9


def test_the_first_layer_no_longer_takes_all_of_the_gradient() -> None:
    """From zeros, the first norm multiplies gradients by 1 / sqrt(1e-5) = 316."""
    torch.manual_seed(1)
    is_padding = torch.zeros(1, 2, 6, 9, dtype=torch.bool)
    position = space_time_position(is_padding, WIDTH)
    memory = ClipMemory(
        tokens=torch.randn(1, 2, 54, WIDTH),
        is_padding=is_padding.flatten(2),
        level_sizes=((6, 9),),
        valid_ratios=torch.ones(1, 1, 2),
    )
    goal = torch.randn(1, 2, 6, WIDTH)
    norms = []
    for is_placed in (False, True):
        model = decoder(2)
        if is_placed:
            place_queries(model, rows=2, columns=3)
        (model(memory, position)[-1] * goal).sum().backward()
        gradient = model.layers[0].self_attention.out_proj.bias.grad
        assert gradient is not None
        norms.append(float(gradient.norm()))
    assert norms[1] < norms[0] / 50


def test_a_table_of_one_frame_grows_by_the_time_of_each_frame() -> None:
    table = torch.randn(5, WIDTH)
    grown = grown_queries(table, 4).reshape(4, 5, WIDTH)
    torch.testing.assert_close(grown[-1], table)
    channels = axis_channels(WIDTH)[0]
    for t in range(4):
        assert torch.equal(grown[t, :, channels:], table[:, channels:])
    moved = grown[0, :, :channels] - table[:, :channels]
    code = [sine_code(torch.tensor(2 * math.pi * time), channels) for time in (0.25, 1.0)]
    torch.testing.assert_close(moved, (STRENGTH * (code[0] - code[1])).expand(5, -1))
    assert torch.equal(grown_queries(table, 1), table)
