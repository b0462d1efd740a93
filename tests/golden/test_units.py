"""Small pieces of SeqFormer against recorded tensors, and a whole ResNet-50 whose weights follow an integer recipe.

The recorded focal loss without alpha has no counterpart here: alpha is a constant of the project.
"""

import math
import zlib

import pytest
import torch
from einops import rearrange
from torch import Tensor

from maskreel.criteria.losses import dice_loss, mask_focal_loss
from maskreel.geometry.grids import cell_positions, inverse_sigmoid
from maskreel.nn.backbones.resnet import ResNet
from maskreel.nn.heads.dynamic_masks import DynamicMaskDecoder, aligned_upsample
from maskreel.nn.layers.position import sine_code, sine_position
from tests.builders import assert_golden, golden, golden_noise

pytestmark = pytest.mark.golden

SEED = 6001
"""Of the ResNet's weights."""


@pytest.fixture(scope="module")
def units() -> dict[str, Tensor]:
    return golden("units/seqformer.safetensors")


def test_mask_losses_agree(units: dict[str, Tensor]) -> None:
    logits, target = (rearrange(units[f"loss.{name}"], "n (h w) -> n 1 h w", h=5) for name in ("x", "t"))
    assert_golden(mask_focal_loss(logits, target) / 3, units["loss.focal"])
    assert_golden(dice_loss(logits, target) / 3, units["loss.dice"])


def test_sine_positions_agree(units: dict[str, Tensor]) -> None:
    is_padding = units["pos.mask"][:, None]
    assert_golden(sine_position(is_padding, 32)[:, 0], units["pos.norm"])


def test_sine_codes_of_cell_counts_agree(units: dict[str, Tensor]) -> None:
    valid = (~units["pos.mask"]).float()
    code = torch.cat((sine_code(valid.cumsum(1), 16), sine_code(valid.cumsum(2), 16)), -1)
    assert_golden(rearrange(code, "n h w c -> n c h w"), units["pos.raw"])


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_aligned_upsampling_agrees(units: dict[str, Tensor], factor: int) -> None:
    ours = aligned_upsample(units[f"aligned_bilinear.{factor}.in"], factor)
    assert_golden(ours, units[f"aligned_bilinear.{factor}.out"])


def test_cell_positions_agree(units: dict[str, Tensor]) -> None:
    ours = cell_positions(3, 5, 8, torch.device("cpu"))
    assert_golden(ours.flatten(0, 1), units["locations"])


def test_inverse_sigmoid_agrees_beyond_its_range(units: dict[str, Tensor]) -> None:
    assert_golden(inverse_sigmoid(units["inverse_sigmoid.in"]), units["inverse_sigmoid.out"])


@pytest.mark.parametrize("coordinates", ["rel1", "rel0"])
def test_dynamic_masks_agree(units: dict[str, Tensor], coordinates: str) -> None:
    part = {name: units[f"dynmask.{coordinates}.{name}"] for name in ("feat", "ref", "params", "out")}
    source = DynamicMaskDecoder(
        features=part["feat"][:, None],
        parameters=part["params"].expand(2, -1, -1),
        centres=part["ref"].expand(2, 1, -1, -1),
        is_relative=coordinates == "rel1",
    )
    masks = [source.select(0, torch.arange(3)), source.select(1, torch.arange(3, 5))]
    assert_golden(torch.cat(masks)[:, 0], part["out"][0])


def test_resnet50_agrees() -> None:
    recorded, noise = golden("units/vistr.safetensors"), golden_noise("units", "vistr")
    model = ResNet(50)
    state = {name: recipe_weight(name, tensor) for name, tensor in model.state_dict().items()}
    assert_golden(state["conv1.weight"].flatten()[:8], recorded["resnet50.first_values"])
    assert_golden(state["conv1.weight"].double().sum(), recorded["resnet50.conv1_sum"])
    total = sum(tensor.double().abs().sum().item() for tensor in state.values())
    assert total == pytest.approx(recorded["resnet50.all_abs_sum"].item(), rel=1e-12)
    model.load_state_dict(state, strict=True)
    image = integers("image", recorded["resnet50.image"].shape, 6)
    assert torch.equal(image, recorded["resnet50.image"])
    with torch.no_grad():
        maps = model.eval().stages(image)
    for index, values in enumerate(maps):
        name = f"resnet50.out{index}"
        assert_golden(values[:, ::8], recorded[name], noise[name])


def integers(name: str, shape: torch.Size, exponent: int, seed: int = SEED) -> Tensor:
    """Random integers of -127 to 127, drawn for a name, times 2 ** -exponent."""
    generator = torch.Generator().manual_seed((seed * 1000003 + zlib.crc32(name.encode())) % 2**63)
    return torch.randint(-127, 128, tuple(shape), generator=generator).float() * 2.0**-exponent


def recipe_weight(name: str, like: Tensor) -> Tensor:
    """One entry of the recorded ResNet's state, by the recipe that its authors give."""
    if name.endswith("running_var"):
        return integers(name, like.shape, 8).abs() + 0.5
    if name.endswith("running_mean"):
        return integers(name, like.shape, 9)
    if like.dim() == 1:
        shift = 0.0 if name.endswith("bias") else 0.25 if "bn3" in name else 0.75
        return integers(name, like.shape, 10) + shift
    return integers(name, like.shape, convolution_exponent(like))


def convolution_exponent(weight: Tensor) -> int:
    """Of the integers of a convolution's weight."""
    return round(math.log2(127 / math.sqrt(3) / math.sqrt(2 / weight[0].numel())))
