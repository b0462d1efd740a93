"""Attention over neighbouring frames against the recorded operator, one neighbour at a time."""

import pytest
import torch
from einops import repeat

from maskreel.nn.layers.deformable import DeformableAttention
from maskreel.nn.layers.neighbours import NeighbourSampling
from maskreel.structures import ClipMemory
from tests.builders import assert_golden, golden, golden_noise

pytestmark = [pytest.mark.golden, pytest.mark.usefixtures("each_backend")]

STEPS = (-2, -1, 1, 2)


@pytest.mark.parametrize("slot", range(4))
def test_a_neighbour_is_read_as_the_recorded_operator_reads_the_own_frame(slot: int) -> None:
    """All weight goes to one neighbour, and the queries of a frame are those recorded for that neighbour."""
    recorded = golden("msda/module_seqformer.safetensors", "s_enc")
    noise = golden_noise("msda", "module_seqformer")["s_enc.out"]
    sizes = tuple((h, w) for h, w in recorded["shapes"].tolist())
    attention = DeformableAttention(64, num_levels=4)
    attention.load_state_dict({name: recorded[f"w.{name}"] for name in attention.state_dict()})
    neighbours = NeighbourSampling(64, num_levels=4, border="clamp")
    with torch.no_grad():
        neighbours.attention_weights.weight.zero_()
        neighbours.attention_weights.bias.fill_(-1e9)
        for name, per_point in (("sampling_offsets", 2), ("attention_weights", 1)):
            for kind in ("weight", "bias"):
                ours = getattr(getattr(neighbours, name), kind).view(8, 4, 16 * per_point, -1)
                ours[:, slot] = recorded[f"w.{name}.{kind}"].view(8, 16 * per_point, -1)
        memory = ClipMemory(
            tokens=recorded["input"],
            is_padding=recorded["padding_mask"],
            level_sizes=sizes,
            valid_ratios=torch.ones(2, 4, 2),
        )
        frames = [min(max(t + STEPS[slot], 0), 2) for t in range(3)]
        sampled = neighbours.read(
            recorded["query"][:, frames],
            repeat(recorded["ref"], "b q l r -> b t q l r", t=3),
            attention.project(memory),
            sizes,
        )
        assert_golden(attention.output_proj(sampled), recorded["out"][:, frames], noise)
