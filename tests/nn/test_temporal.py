"""Attention of box queries across frames, and its places in the decoder."""

import pytest
import torch
from torch import Tensor

from maskreel.nn.decoders.box_queries import BoxQueryDecoder, QueryState
from maskreel.nn.layers.position import frame_code, sine_code
from maskreel.nn.layers.temporal import TemporalAttention
from maskreel.structures import ClipMemory


def test_instances_do_not_mix() -> None:
    torch.manual_seed(0)
    attention = TemporalAttention(8, place="before_self", num_heads=2, dropout=0.0)
    queries, position = torch.randn(2, 3, 4, 8), torch.randn(2, 4, 8)
    ours = attention(queries, position)
    for clip, query in ((0, 1), (1, 3)):
        x = queries[clip, :, query]
        keys = (x + position[clip, query])[None]
        y, _ = attention.frames.attention(keys, keys, x[None])
        torch.testing.assert_close(ours[clip, :, query], attention.frames.norm(x + y[0]))


def test_without_a_code_the_order_of_frames_does_not_matter() -> None:
    torch.manual_seed(0)
    queries, position, order = torch.randn(1, 4, 2, 8), torch.randn(1, 2, 8), [2, 0, 3, 1]
    for code, is_alike in (("none", True), ("normalised", False), ("raw", False)):
        attention = TemporalAttention(8, place="before_self", code=code, num_heads=2, dropout=0.0)
        moved = attention(queries[:, order], position)
        assert torch.allclose(moved, attention(queries, position)[:, order], atol=1e-6) == is_alike


def test_frame_codes() -> None:
    assert not frame_code(3, 8, "none").any()
    assert torch.equal(frame_code(3, 8, "raw"), sine_code(torch.tensor([0.0, 1.0, 2.0]), 8))
    times = torch.tensor([0.5, 1.5, 2.5]) / 3 * 2 * torch.pi
    torch.testing.assert_close(frame_code(3, 8, "normalised"), sine_code(times, 8))
    # The middle of a clip has the same code, however many frames there are.
    torch.testing.assert_close(frame_code(3, 8, "normalised")[1], frame_code(7, 8, "normalised")[3])


def memory(frames: int = 3) -> ClipMemory:
    generator = torch.Generator().manual_seed(2)
    return ClipMemory(
        tokens=torch.randn(1, frames, 20, 16, generator=generator),
        is_padding=torch.zeros(1, frames, 20, dtype=torch.bool),
        level_sizes=((4, 4), (2, 2)),
        valid_ratios=torch.ones(1, 2, 2),
    )


def decoder(temporal: list[TemporalAttention]) -> BoxQueryDecoder:
    torch.manual_seed(1)
    return BoxQueryDecoder(
        16,
        num_queries=5,
        num_layers=3,
        num_levels=2,
        hidden=16,
        num_heads=2,
        num_points=2,
        dropout=0.0,
        temporal=temporal,
    )


class Spy(TemporalAttention):
    """Adds nothing, and remembers what it was given."""

    def __init__(self, place: str) -> None:
        super().__init__(16, place=place, num_heads=2)
        self.seen: list[Tensor] = []

    def forward(self, box_queries: Tensor, position: Tensor) -> Tensor:
        self.seen.append(box_queries.detach())
        return box_queries


@pytest.mark.parametrize("place", ["before_self", "after_self"])
def test_each_place_is_where_it_says(place: str) -> None:
    """Before the self-attention the first layer sees the queries' contents; after it, normalised sums."""
    spy = Spy(place)
    model = decoder([spy])
    states = model(memory())
    plain = decoder([])(memory())
    assert len(spy.seen) == 3
    contents = model.query_content.weight.expand(1, 3, 5, 16)
    assert torch.equal(spy.seen[0], contents) == (place == "before_self")
    for ours, theirs in zip(states, plain, strict=True):
        assert torch.equal(ours.boxes, theirs.boxes)


@pytest.mark.parametrize(("count", "parameters"), [(1, 1), (3, 3)])
def test_one_attention_serves_all_layers_or_each_has_its_own(count: int, parameters: int) -> None:
    model = decoder([TemporalAttention(16, place="after_self", num_heads=2) for _ in range(count)])
    assert len({name.split(".")[1] for name in model.state_dict() if name.startswith("temporal.")}) == parameters
    total(model(memory())).backward()
    assert all(p.grad is not None and p.grad.any() for p in model.temporal.parameters())


def total(states: tuple[QueryState, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.stack(
        [(state.boxes * torch.rand(state.boxes.shape, generator=generator)).sum() for state in states]
        + [(state.box_queries * torch.rand(state.box_queries.shape, generator=generator)).sum() for state in states]
    ).sum()


def test_any_other_number_of_attentions_is_refused() -> None:
    with pytest.raises(ValueError, match="2 temporal attentions for 3 layers"):
        decoder([TemporalAttention(16, place="after_self", num_heads=2) for _ in range(2)])


def test_box_queries_of_a_frame_see_other_frames_only_through_temporal_attention() -> None:
    for temporal, is_seen in (([], False), ([TemporalAttention(16, place="before_self", num_heads=2)], True)):
        model = decoder(list(temporal)).eval()
        clip = memory()
        changed = clip.tokens.clone()
        changed[:, 2] += 1
        other = ClipMemory(**{**vars(clip), "tokens": changed})
        with torch.no_grad():
            before, after = model(clip)[-1].box_queries[:, 0], model(other)[-1].box_queries[:, 0]
        assert torch.equal(before, after) != is_seen
