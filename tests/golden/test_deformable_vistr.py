"""The space-time encoder with frames as levels, against the recorded encoder of the public Deformable VisTR.

That code appends one more level of learned tokens to the frames; here it is fed as one more frame-like level. Its
decoder (identities that do not see each other) belongs to another, unpublished task and has no counterpart.
"""

import pytest
import torch
from einops import rearrange
from torch import Tensor

from maskreel.checkpoints.dialects.vistr import vistr_name
from maskreel.geometry.grids import encoder_reference_points
from maskreel.nn.encoders.space_time import SpaceTimeEncoder
from maskreel.nn.layers.position import valid_ratio
from maskreel.structures import ClipMemory
from tests.builders import assert_golden, golden, golden_noise

pytestmark = [pytest.mark.golden, pytest.mark.usefixtures("each_backend")]

T, WIDTH = 3, 48
LEVEL_SIZES = ((4, 7),) * T + ((2, 20),)
"""Three frames, then the level of tokens."""


class Recorded:
    """The recorded encoder, and what it was fed."""

    def __init__(self) -> None:
        self.inputs = golden("defvis/transformer_inputs.safetensors")
        self.outputs = golden("defvis/transformer_outputs.safetensors")
        self.noise = golden_noise("defvis", "transformer_outputs")
        weights = golden("defvis/transformer_weights.safetensors")
        self.encoder = SpaceTimeEncoder(
            WIDTH,
            reading="frames_as_levels",
            num_frames=T + 1,
            num_layers=2,
            hidden=64,
            num_points=6,
            dropout=0.0,
        ).eval()
        self.first_offsets = self.encoder.layers[0].attention.sampling_offsets.bias.detach().clone()
        names = {
            name: vistr_name(f"encoder.{name}").removeprefix("vistr.transformer.") for name in self.encoder.state_dict()
        }
        self.encoder.load_state_dict({name: weights[source] for name, source in names.items()}, strict=True)
        frame = valid_ratio(self.inputs["mask"][None])
        self.memory = ClipMemory(
            tokens=self.outputs["enc_src"][:, None],
            is_padding=self.outputs["enc_padding"][:, None],
            level_sizes=LEVEL_SIZES,
            valid_ratios=torch.cat((frame[:, None].expand(-1, T, -1), torch.ones(1, 1, 2)), 1),
        )

    def check(self, name: str, ours: Tensor) -> None:
        assert_golden(ours.detach(), self.outputs[name], self.noise[name])


@pytest.fixture(scope="module")
def run() -> Recorded:
    return Recorded()


def test_offsets_start_as_recorded(run: Recorded) -> None:
    assert_golden(run.first_offsets, run.inputs["init.sampling_offsets.bias"])


def test_reference_points_agree(run: Recorded) -> None:
    run.check("valid_ratios", run.memory.valid_ratios)
    run.check("reference_points", encoder_reference_points(LEVEL_SIZES, run.memory.valid_ratios))


def test_the_recorded_tokens_are_the_frames_in_order(run: Recorded) -> None:
    tokens = rearrange(run.inputs["src"], "1 c t s -> 1 (t s) c")
    assert torch.equal(run.memory.tokens[:, 0, : T * 28], tokens)
    assert torch.equal(run.memory.is_padding[0, 0, : T * 28], run.inputs["mask"].flatten())


def test_attention_and_layers_agree(run: Recorded) -> None:
    memory, position = run.memory, run.outputs["enc_pos"]
    reference_points = encoder_reference_points(LEVEL_SIZES, memory.valid_ratios)
    with torch.no_grad():
        for index, layer in enumerate(run.encoder.layers):
            query = memory.tokens[:, 0] + position
            run.check(f"enc.{index}.attn", layer.attention(query, reference_points, memory))
            memory = layer(memory, position, reference_points)
            run.check(f"enc.{index}", memory.tokens[:, 0])
    run.check("memory", rearrange(memory.tokens[:, 0, : T * 28], "1 (t s) c -> 1 c t s", t=T))
