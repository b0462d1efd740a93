"""The discriminator against a recorded run of the one in the MS-STS repository, which nothing there uses."""

import re

import pytest
import torch
from torch import Tensor

from maskreel.criteria.adversarial import Discriminator
from tests.builders import assert_golden, golden
from tests.golden.test_units import convolution_exponent, integers

pytestmark = pytest.mark.golden

SEED = 8001
PLACES = {0: ("0", "conv"), 2: ("1", "conv"), 3: ("1", "norm"), 5: ("2", "conv"), 6: ("2", "norm"), 8: ("3", "conv")}
PLACES |= {9: ("3", "norm"), 11: ("4", "conv")}
"""Our place in the last part, to their block and the layer in it."""


def published_name(name: str) -> str:
    name = name.replace("fine.", "conv1.").replace("middle.", "conv2.")
    if found := re.fullmatch(r"coarse\.(\d+)\.(\w+)", name):
        block, layer = PLACES[int(found[1])]
        return f"discriminator_blocks.{block}.{layer}.{found[2]}"
    return name


def recipe_weight(name: str, like: Tensor) -> Tensor:
    if like.dim() == 1:
        return integers(name, like.shape, 9, SEED) + (1.0 if name.endswith("weight") else 0.0)
    return integers(name, like.shape, convolution_exponent(like), SEED)


def test_the_discriminator_agrees() -> None:
    recorded = golden("mssts/extra.safetensors")
    model = Discriminator(256)
    state = {name: recipe_weight(published_name(name), tensor) for name, tensor in model.state_dict().items()}
    total = sum(tensor.double().abs().sum().item() for tensor in state.values())
    assert total == pytest.approx(recorded["disc.abs_sum"].item(), rel=1e-12)
    model.load_state_dict(state, strict=True)
    image = integers("img", torch.Size((1, 3, 16, 24)), 6, SEED)
    assert torch.equal(image.flatten()[:6], recorded["disc.img_head"])
    mask = integers("mask", torch.Size((1, 1, 16, 24)), 7, SEED).abs()
    sizes = ((16, 24), (8, 12), (4, 6))
    features = [integers(f"bb{i}", torch.Size((1, 256, *size)), 6, SEED) for i, size in enumerate(sizes)]
    with torch.no_grad():
        scores = model(image, features, mask)
    assert_golden(scores.sigmoid(), recorded["disc.out"], 4.9e-7)
