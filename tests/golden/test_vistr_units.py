"""Small pieces of VisTR against recorded tensors.

The recorded padding to the largest size has no counterpart here: batches are padded to a multiple of 32.
"""

import math

import pytest
import torch
from einops import rearrange
from torch import Tensor

from maskreel.criteria.losses import dice_loss, mask_focal_loss
from maskreel.criteria.sequence_matching import EPSILON
from maskreel.geometry.boxes import cxcywh_to_xyxy, giou, iou
from maskreel.nn.heads.attention_masks import AttentionMaps
from maskreel.nn.layers.deformable_convolution import DeformableConvolution
from maskreel.nn.layers.position import sine_code, space_time_position
from tests.builders import assert_golden, golden

pytestmark = pytest.mark.golden


@pytest.fixture(scope="module")
def units() -> dict[str, Tensor]:
    return golden("units/vistr.safetensors")


def test_overlaps_with_an_epsilon_agree(units: dict[str, Tensor]) -> None:
    a, b = cxcywh_to_xyxy(units["box.a"]), cxcywh_to_xyxy(units["box.b"])
    assert_golden(giou(a[:, None], b[None], epsilon=EPSILON), units["box.giou"])
    assert_golden(iou(a[:4], b, epsilon=EPSILON), units["box.multi_iou"])


def test_mask_losses_agree(units: dict[str, Tensor]) -> None:
    logits, target = (rearrange(units[f"loss.{name}"], "n (h w) -> n 1 h w", h=5) for name in ("x", "t"))
    assert_golden(mask_focal_loss(logits, target) / 3, units["loss.focal"])
    assert_golden(dice_loss(logits, target) / 3, units["loss.dice"])


def test_space_time_positions_agree(units: dict[str, Tensor]) -> None:
    is_padding = rearrange(units["pos.mask"], "(b t) h w -> b t h w", t=3)
    assert_golden(space_time_position(is_padding, 48), units["pos.norm"])


def test_codes_of_cell_counts_agree(units: dict[str, Tensor]) -> None:
    valid = (~rearrange(units["pos.mask"], "(b t) h w -> b t h w", t=3)).float()
    code = torch.cat([sine_code(valid.cumsum(axis), 16) for axis in (1, 2, 3)], -1)
    assert_golden(rearrange(code, "b t h w c -> b t c h w"), units["pos.raw"])


def test_attention_maps_agree(units: dict[str, Tensor]) -> None:
    module = AttentionMaps(24, 4)
    module.load_state_dict(
        {
            f"{ours}.{kind}": units[f"mhattn.w.{theirs}_linear.{kind}"]
            for ours, theirs in (("query", "q"), ("key", "k"))
            for kind in ("weight", "bias")
        }
    )
    with torch.no_grad():
        maps = module(units["mhattn.q"], units["mhattn.k"], units["mhattn.mask"])
    assert_golden(maps, units["mhattn.out"])


def test_deformable_convolution_agrees(units: dict[str, Tensor]) -> None:
    module = DeformableConvolution(6, 4)
    module.load_state_dict({"weight": units["dcn.weight"]})
    with torch.no_grad():
        assert_golden(module(units["dcn.x"], units["dcn.offset"]), units["dcn.out"])


def test_the_code_of_a_full_clip_ends_at_two_pi() -> None:
    code = space_time_position(torch.zeros(1, 4, 3, 5, dtype=torch.bool), 12)
    last = code[0, -1, :, -1, -1]
    torch.testing.assert_close(last[[0, 4, 8]], torch.full((3,), math.sin(2 * math.pi)), rtol=0, atol=1e-4)
