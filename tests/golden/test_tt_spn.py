"""Parts of TT-SPN against recorded runs; the published model cannot be built, and its own extractor is no Twins-SVT."""

import math

import pytest
import torch
from einops import rearrange
from torch import Tensor

from maskreel.checkpoints.dialects.vistr import vistr_name
from maskreel.nn.decoders.frame_queries import FrameQueryDecoder
from maskreel.nn.encoders.full import FullEncoder
from maskreel.nn.heads.attention_masks import MapFusion
from maskreel.nn.layers.sine_network import SineLayer, SineNetwork
from maskreel.structures import FeatureMap
from tests.builders import assert_golden, golden, golden_noise

pytestmark = pytest.mark.golden


class Recorded:
    """Weights, inputs and outputs of the recorded parts."""

    def __init__(self) -> None:
        self.inputs, self.outputs = golden("ttspn/inputs.safetensors"), golden("ttspn/outputs.safetensors")
        self.weights, self.noise = golden("ttspn/weights.safetensors"), golden_noise("ttspn")

    def check(self, name: str, ours: Tensor) -> None:
        assert_golden(ours.detach(), self.outputs[name], self.noise[name])


@pytest.fixture(scope="module")
def run() -> Recorded:
    return Recorded()


@pytest.mark.parametrize(("head", "out", "sine_layers"), [("class_embed", 42, 1), ("bbox_embed", 4, 2)])
def test_sine_heads_agree(run: Recorded, head: str, out: int, sine_layers: int) -> None:
    network = SineNetwork(48, out, hidden=32, sine_layers=sine_layers).eval()
    names = [f"sines.{index}" for index in range(sine_layers)] + ["linear", "out"]
    state = {
        f"{name}.{kind}": run.weights[f"{head}.net.{2 * index}.{kind}"]
        for index, name in enumerate(names)
        for kind in ("weight", "bias")
    }
    network.load_state_dict(state, strict=True)
    run.check(f"{head}.y", network(run.inputs[f"{head}.x"]))


@pytest.mark.parametrize(
    ("name", "first", "w0"),
    [("first1.w0_30", True, 30.0), ("first0.w0_30", False, 30.0), ("first0.w0_1", False, 1.0)],
)
def test_the_law_of_the_initialisation_agrees(run: Recorded, name: str, first: bool, w0: float) -> None:
    torch.manual_seed(0)
    largest_weight, largest_bias, deviation = run.outputs[f"siren_bound.{name}"].tolist()
    layer = SineLayer(64, 2000, w0=w0, first=first)
    bound = 1 / 64 if first else math.sqrt(6 / 64) / w0
    for ours, theirs in ((layer.weight.abs().max(), largest_weight), (layer.bias.abs().max(), largest_bias)):
        assert theirs <= bound * 1.0001
        assert bound * 0.98 < ours <= bound * 1.0001
    assert layer.weight.std().item() == pytest.approx(deviation, rel=0.05)
    assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)


@pytest.mark.parametrize("layer", ["class_embed.net.0", "bbox_embed.net.0", "bbox_embed.net.2"])
def test_the_recorded_heads_start_inside_the_same_bounds(run: Recorded, layer: str) -> None:
    weight, bias = run.outputs[f"init.{layer}.weight"], run.outputs[f"init.{layer}.bias"]
    own = SineLayer(weight.shape[1], weight.shape[0])
    bound = math.sqrt(6 / weight.shape[1])
    for values in (weight, bias, own.weight, own.bias):
        assert values.abs().max() <= bound * 1.0001
    assert own.weight.std().item() == pytest.approx(weight.std().item(), rel=0.15)


def test_the_transformer_with_gelu_agrees(run: Recorded) -> None:
    sizes = {"hidden": 64, "num_layers": 2, "dropout": 0.0, "attention_dropout": 0.0}
    encoder = FullEncoder(48, activation="gelu", **sizes)
    decoder = FrameQueryDecoder(48, num_frames=3, num_queries=4, activation="gelu", **sizes)
    for prefix, module in (("encoder", encoder), ("decoder", decoder)):
        state = {}
        for name in module.state_dict():
            published = vistr_name(f"{prefix}.{name}").removeprefix("vistr.")
            is_query = published == "query_embed.weight"
            state[name] = run.inputs["transformer.query"] if is_query else run.weights[published]
        module.load_state_dict(state, strict=True)
        module.eval()
    level = FeatureMap(
        values=rearrange(run.inputs["transformer.src"], "1 c t (h w) -> 1 t c h w", h=2),
        is_padding=rearrange(run.inputs["transformer.mask"], "1 t (h w) -> 1 t h w", h=2),
        stride=32,
    )
    position = rearrange(run.inputs["transformer.pos"], "1 c t (h w) -> 1 t c h w", h=2)
    with torch.no_grad():
        memory = encoder(level, position)
        states = decoder(memory, position)
    run.check("transformer.memory", rearrange(memory.tokens, "1 t s c -> 1 c t s"))
    run.check("transformer.hs", torch.stack([rearrange(state, "1 t q c -> 1 (t q) c") for state in states]))


def test_the_mask_head_with_gelu_agrees(run: Recorded) -> None:
    weights = golden("vistr/weights.safetensors")
    inputs, outputs = golden("vistr/inputs.safetensors"), golden("vistr/outputs.safetensors")
    head = MapFusion(384, 8, (256, 512, 1024), "gelu").eval()
    head.load_state_dict(
        {name: weights[vistr_name(f"mask_head.fuse.{name}")] for name in head.state_dict()}, strict=True
    )
    memory = rearrange(outputs["memory"], "1 c t (h w) -> t c h w", h=2)[:1]
    with torch.no_grad():
        context = head.context(memory, [inputs[f"feat.{level}"][:1] for level in range(3)])
        features = head(outputs["bbox_attention.0"][0, :3], torch.zeros(3, dtype=torch.long), context)
    run.check("mask_head.y", features[..., ::2, ::2])
    run.check("mask_head.mean", features.mean((-2, -1)))
