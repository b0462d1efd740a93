"""Deformable attention modules against recorded runs of Deformable DETR and of both of SeqFormer's variants."""

import pytest
import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from maskreel.nn.decoders.box_queries import BoxQueryDecoderLayer
from maskreel.nn.layers.deformable import DeformableAttention, sampling_locations
from maskreel.structures import ClipMemory
from tests.builders import assert_golden, golden, golden_noise

pytestmark = [pytest.mark.golden, pytest.mark.usefixtures("each_backend")]


class Recording:
    """One case of a file: its tensors by their names within the case."""

    def __init__(self, file: str, case: str) -> None:
        prefix, noise = f"{case}.", golden_noise("msda", file)
        self.tensors = golden(f"msda/{file}.safetensors", case)
        self.noise = {name.removeprefix(prefix): x for name, x in noise.items() if name.startswith(prefix)}
        self.level_sizes = tuple((h, w) for h, w in self.tensors["shapes"].tolist())

    def leaf(self, name: str) -> Tensor:
        return self.tensors[name].clone().requires_grad_()

    def memory(self, tokens: Tensor) -> ClipMemory:
        """Recorded tokens, one frame per clip where the recording has no frames."""
        is_padding = self.tensors["padding_mask"]
        if is_padding.dim() == 2:
            tokens, is_padding = tokens[:, None], is_padding[:, None]
        b, l = len(tokens), len(self.level_sizes)
        return ClipMemory(
            tokens=tokens, is_padding=is_padding, level_sizes=self.level_sizes, valid_ratios=torch.ones(b, l, 2)
        )

    def load(self, attention: DeformableAttention, output_proj: str = "output_proj") -> None:
        """`output_proj` is the name of the recorded projection that ours stands for."""
        names = {
            name: name.replace("output_proj", output_proj) if name.startswith("output_proj") else name
            for name in attention.state_dict()
        }
        attention.load_state_dict({ours: self.tensors[f"w.{theirs}"] for ours, theirs in names.items()})

    def check(self, name: str, ours: Tensor | None) -> None:
        assert ours is not None, name
        assert_golden(ours.detach(), self.tensors[name], self.noise[name])


@pytest.mark.parametrize(
    ("case", "width", "num_levels", "num_heads", "num_points"),
    [("m0_ref2", 64, 4, 8, 4), ("m1_ref4_mask", 32, 3, 4, 2)],
)
def test_the_module_of_deformable_detr_agrees(
    case: str, width: int, num_levels: int, num_heads: int, num_points: int
) -> None:
    recorded = Recording("module_ddetr", case)
    module = DeformableAttention(width, num_levels=num_levels, num_heads=num_heads, num_points=num_points)
    recorded.check("init.sampling_offsets.bias", module.sampling_offsets.bias)
    recorded.load(module)
    query, reference, tokens = (recorded.leaf(name) for name in ("query", "ref", "input"))
    out = module(query[:, None], reference[:, None], recorded.memory(tokens))[:, 0]
    recorded.check("out", out)
    (out * recorded.tensors["grad_out"]).sum().backward()
    recorded.check("grad_query", query.grad)
    recorded.check("grad_ref", reference.grad)
    recorded.check("grad_input", tokens.grad)
    for name, parameter in module.named_parameters():
        recorded.check(f"gradw.{name}", parameter.grad)


def test_the_encoder_variant_of_seqformer_agrees() -> None:
    recorded = Recording("module_seqformer", "s_enc")
    module = DeformableAttention(64, num_levels=4)
    recorded.load(module)
    query, reference, tokens = (recorded.leaf(name) for name in ("query", "ref", "input"))
    out = module(query, repeat(reference, "b s l r -> b t s l r", t=3), recorded.memory(tokens))
    recorded.check("out", out)
    out.square().sum().backward()
    recorded.check("grad_query", query.grad)
    recorded.check("grad_ref", reference.grad)
    recorded.check("grad_input", tokens.grad)


@pytest.mark.parametrize("case", ["s_dec_first", "s_dec_later", "s_dec_later_ref4"])
def test_the_decoder_variant_of_seqformer_agrees(case: str) -> None:
    recorded = Recording("module_seqformer", case)
    layer = BoxQueryDecoderLayer(64, hidden=64, num_levels=4, num_heads=8, num_points=4, dropout=0.0)
    attention = layer.cross_attention
    recorded.load(attention, "output_proj_box")
    load_linear(layer.instance_proj, recorded.tensors, "w.output_proj")
    box_query, reference, tokens = (recorded.leaf(name) for name in ("query_box", "ref", "input"))
    per_frame = box_query if box_query.dim() == 4 else repeat(box_query, "b q c -> b t q c", t=3)
    sampled = attention.sample(per_frame, reference, recorded.memory(tokens))
    out, out_box = layer.instance_proj(sampled), attention.output_proj(sampled)
    recorded.check("out", out)
    recorded.check("out_box", out_box)
    (out.square().sum() + out_box.sin().sum()).backward()
    recorded.check("grad_query_box", box_query.grad)
    recorded.check("grad_ref", reference.grad)
    recorded.check("grad_input", tokens.grad)
    check_points(recorded, attention, box_query, reference)


def check_points(recorded: Recording, attention: DeformableAttention, query: Tensor, reference: Tensor) -> None:
    """Where the queries look: recorded locations are those of the last frame."""
    last = query if query.dim() == 3 else query[:, -1]
    offsets = rearrange(attention.sampling_offsets(last), "b q (m l p r) -> b 1 q m l p r", m=8, l=4, p=4)
    locations = sampling_locations(reference[:, -1:], offsets, recorded.level_sizes)
    recorded.check("last_sampling_locations", locations[:, 0])
    weights = attention.attention_weights(query).unflatten(-1, (8, 16)).softmax(-1)
    recorded.check("attention_weights", weights.unflatten(-1, (4, 4)))


def load_linear(layer: nn.Linear, tensors: dict[str, Tensor], name: str) -> None:
    layer.load_state_dict({kind: tensors[f"{name}.{kind}"] for kind in ("weight", "bias")})
