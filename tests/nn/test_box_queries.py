"""Encoder and decoder of SeqFormer: what depends on what."""

import pytest
import torch
from torch import Tensor, nn

from maskreel.nn.decoders.box_queries import BoxQueryDecoder, BoxQueryDecoderLayer
from maskreel.nn.encoders.framewise import FramewiseEncoder
from maskreel.structures import ClipMemory, FeatureMap

pytestmark = pytest.mark.usefixtures("each_backend")

SIZES = ((4, 6), (2, 3))


def redrawn(module: nn.Module) -> nn.Module:
    torch.manual_seed(3)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.2)
    return module.eval()


def memory(num_frames: int = 3) -> ClipMemory:
    return ClipMemory(
        tokens=torch.randn(2, num_frames, 30, 32, generator=torch.Generator().manual_seed(0)),
        is_padding=torch.zeros(2, num_frames, 30, dtype=torch.bool),
        level_sizes=SIZES,
        valid_ratios=torch.ones(2, 2, 2),
    )


def decoder(refinement: str = "iterative") -> BoxQueryDecoder:
    return redrawn(
        BoxQueryDecoder(
            32,
            num_queries=5,
            num_layers=3,
            num_levels=2,
            hidden=16,
            num_heads=4,
            num_points=2,
            dropout=0.0,
            refinement=refinement,
        )
    )


def test_the_encoder_treats_every_frame_on_its_own() -> None:
    encoder = redrawn(
        FramewiseEncoder(32, num_layers=2, num_levels=2, hidden=16, num_heads=4, num_points=2, dropout=0.0)
    )
    levels = [
        FeatureMap(values=torch.randn(1, 3, 32, h, w), is_padding=torch.zeros(1, 3, h, w).bool(), stride=8)
        for h, w in SIZES
    ]
    with torch.no_grad():
        together = encoder(levels).tokens
        for t in range(3):
            alone = encoder(
                [
                    FeatureMap(values=l.values[:, t : t + 1], is_padding=l.is_padding[:, t : t + 1], stride=8)
                    for l in levels
                ]
            )
            torch.testing.assert_close(together[:, t], alone.tokens[:, 0], rtol=1e-4, atol=1e-5)


def test_boxes_do_not_depend_on_the_instance_query() -> None:
    model, clip = decoder(), memory()
    with torch.no_grad():
        before = model(clip)
        for layer in model.layers:
            for part in (layer.instance_attention, layer.instance_proj, layer.instance_feedforward):
                redrawn(part)
        after = model(clip)
    assert torch.equal(before[-1].boxes, after[-1].boxes)
    assert not torch.allclose(before[-1].instance, after[-1].instance)


def test_the_order_of_frames_does_not_matter() -> None:
    model, clip = decoder(), memory()
    order = torch.tensor([2, 0, 1])
    shuffled = ClipMemory(
        tokens=clip.tokens[:, order],
        is_padding=clip.is_padding,
        level_sizes=SIZES,
        valid_ratios=clip.valid_ratios,
    )
    with torch.no_grad():
        a, b = model(clip)[-1], model(shuffled)[-1]
    torch.testing.assert_close(a.boxes[:, order], b.boxes, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(a.instance, b.instance, rtol=1e-4, atol=1e-5)


def test_instance_queries_gather_frames_by_softmax_weights() -> None:
    layer = redrawn(BoxQueryDecoderLayer(32, hidden=16, num_levels=2, num_heads=4, num_points=2, dropout=0.0))
    seen: dict[str, Tensor] = {}

    def remember(name: str, value: Tensor) -> None:
        seen[name] = value

    layer.instance_proj.register_forward_hook(lambda module, args, out: remember("read", out))
    layer.frame_weight.register_forward_hook(lambda module, args, out: remember("weight", out))
    layer.instance_attention.register_forward_hook(lambda module, args, out: remember("instance", out))
    position, content = torch.randn(2, 5, 32), torch.randn(2, 5, 32)
    points = torch.rand(2, 3, 5, 2, 2)
    with torch.no_grad():
        instance, _ = layer(content, torch.randn(2, 3, 5, 32), position, points, memory())
        share = seen["weight"].exp() / seen["weight"].exp().sum(1, keepdim=True)
        gathered = sum(share[:, t] * seen["read"][:, t] for t in range(3))
        expected = layer.instance_feedforward(layer.instance_norm(seen["instance"] + gathered))
    torch.testing.assert_close(instance, expected, rtol=1e-4, atol=1e-5)


def test_refined_boxes_are_the_next_references_without_their_gradient() -> None:
    model = decoder()
    states = model(memory())
    assert [state.reference.shape[-1] for state in states] == [2, 4, 4]
    assert torch.equal(states[1].reference, states[0].boxes)
    assert torch.equal(states[2].reference, states[1].boxes)
    states[1].boxes.sum().backward()
    assert model.box_heads[0].layers[-1].weight.grad is None
    assert model.box_heads[1].layers[-1].weight.grad is not None


def test_without_refinement_every_layer_starts_from_the_learned_points() -> None:
    model = decoder("none")
    states = model(memory())
    assert len(model.box_heads) == 1
    assert all(torch.equal(state.reference, states[0].reference) for state in states)
    assert states[-1].reference.shape[-1] == 2


@pytest.mark.parametrize("refinement", ["iterative", "none"])
def test_fresh_decoders_start_with_small_boxes_on_their_points(refinement: str) -> None:
    model = BoxQueryDecoder(32, num_queries=5, num_layers=2, num_levels=2, num_heads=4, refinement=refinement)
    states = model.eval()(memory())
    size = torch.sigmoid(torch.tensor(-2.0))
    for state in states:
        torch.testing.assert_close(state.boxes[..., :2], states[0].reference[..., :2], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(state.boxes[..., 2:], size.expand(2, 3, 5, 2), rtol=1e-4, atol=1e-5)
