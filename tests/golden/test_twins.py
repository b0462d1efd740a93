"""Twins-SVT against recorded feature maps of the official detection variant, and its classifier."""

import pytest
import torch
from einops import rearrange
from torch import Tensor, nn

from maskreel.nn.backbones.twins import TwinsSVT
from tests.builders import assert_golden, golden, golden_noise

pytestmark = pytest.mark.golden

STAGE_NORMS = {"det": "carried", "det_nonorm": "none"}


class Recorded:
    """Weights, images and maps of the recorded runs."""

    def __init__(self) -> None:
        self.inputs, self.outputs = golden("twins/inputs.safetensors"), golden("twins/outputs.safetensors")
        self.weights, self.noise = golden("twins/weights.safetensors"), golden_noise("twins")

    def model(self, stage_norm: str, padding: str = "seen", edges: str = "filled") -> TwinsSVT:
        model = TwinsSVT(
            *((16, 32, 48, 64), (1, 2, 3, 4), (2, 2, 3, 2)),
            mlp_ratios=(4, 4, 2, 2),
            padding=padding,
            edges=edges,
            stage_norm=stage_norm,
        )
        model.load_state_dict({name: self.weights[name] for name in model.state_dict()}, strict=True)
        return model.eval()

    def maps(self, model: TwinsSVT, image: str, beyond: int = 0) -> list[Tensor]:
        """Maps of images that have as many rows and columns of padding, which are cut off again."""
        pixels = torch.nn.functional.pad(self.inputs[image], (0, beyond, 0, beyond), value=5.0 if beyond else 0.0)
        valid = torch.ones(len(pixels), *pixels.shape[-2:], dtype=torch.bool)
        if beyond:
            valid[:, -beyond:], valid[:, :, -beyond:] = False, False
        with torch.no_grad():
            return [
                values[..., : 96 // stride, : 160 // stride] if beyond else values
                for (values, _), stride in zip(model.stages(pixels, valid), model.strides, strict=True)
            ]

    def check(self, name: str, ours: Tensor) -> None:
        assert_golden(ours, self.outputs[name], self.noise[name])


@pytest.fixture(scope="module")
def run() -> Recorded:
    return Recorded()


def test_parameter_names_are_the_official_ones(run: Recorded) -> None:
    own = set(run.model("carried").state_dict())
    assert set(run.weights) - own == {"norm.weight", "norm.bias", "head.weight", "head.bias"}
    assert own - set(run.weights) == set()


@pytest.mark.parametrize("variant", ["det", "det_nonorm"])
def test_maps_of_the_published_detector_agree(run: Recorded, variant: str) -> None:
    maps = run.maps(run.model(STAGE_NORMS[variant]), "image")
    for stage, values in enumerate(maps):
        run.check(f"{variant}.out{stage}", values)


@pytest.mark.parametrize(("padding", "beyond"), [("seen", 0), ("masked", 0), ("masked", 32), ("masked", 21)])
def test_maps_with_cut_edges_agree_also_in_padded_images(run: Recorded, padding: str, beyond: int) -> None:
    """Windows at the border hold zeros, which the published detector reads, but nothing of the padding."""
    maps = run.maps(run.model("carried", padding, "cut"), "image", beyond)
    for stage, values in enumerate(maps):
        run.check(f"det.out{stage}", values)


def test_window_and_global_blocks_agree(run: Recorded) -> None:
    model, seen = run.model("carried"), {}
    for index, block in enumerate(model.blocks[0]):
        block.register_forward_hook(
            lambda module, args, output, index=index: seen.__setitem__(
                f"det.stage0.block{index}", rearrange(output, "n h w c -> n (h w) c")
            )
        )
    run.maps(model, "image")
    assert len(seen) == 2
    for name, tokens in seen.items():
        run.check(name, tokens)


def test_the_classifier_agrees(run: Recorded) -> None:
    tokens = rearrange(run.maps(run.model("none"), "image224")[-1], "n c h w -> n (h w) c")
    norm, head = nn.LayerNorm(64), nn.Linear(64, 7)
    for name, module in (("norm", norm), ("head", head)):
        module.load_state_dict({kind: run.weights[f"{name}.{kind}"] for kind in ("weight", "bias")})
    norm.eps = 1e-6
    with torch.no_grad():
        run.check("cls.logits", head(norm(tokens).mean(1)))
