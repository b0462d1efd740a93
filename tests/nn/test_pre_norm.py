"""Transformers that normalise what a layer reads (pre-norm), against PyTorch's own and a spelt-out layer."""

import torch
from torch import Tensor, nn

from maskreel.nn.decoders.frame_queries import FrameQueryDecoder
from maskreel.nn.encoders.full import FullEncoder
from maskreel.nn.encoders.space_time import SpaceTimeEncoder
from maskreel.structures import ClipMemory, FeatureMap
from tests.builders import clip_batch

WIDTH, HEADS = 32, 4
SIZES = {"hidden": 24, "num_heads": HEADS, "num_layers": 2, "dropout": 0.0}


def drawn(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape))
    return module.eval()


def level() -> FeatureMap:
    torch.manual_seed(1)
    is_padding = torch.zeros(2, 3, 2, 4, dtype=torch.bool)
    is_padding[1, :, :, 3] = True
    return FeatureMap(values=torch.randn(2, 3, WIDTH, 2, 4), is_padding=is_padding, stride=32)


def in_torch(layer: nn.Module, theirs: nn.Module, names: dict[str, str]) -> None:
    """Weights of a layer of ours in one of PyTorch's."""
    state = {}
    for name, values in layer.state_dict().items():
        ours = next(ours for ours in sorted(names, key=len, reverse=True) if name.startswith(f"{ours}."))
        state[names[ours] + name.removeprefix(ours)] = values
    theirs.load_state_dict(state)


def test_the_encoder_is_pytorchs_with_norms_first_and_a_norm_at_the_end() -> None:
    encoder = drawn(FullEncoder(WIDTH, norm="pre", attention_dropout=0.0, **SIZES))
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 24, 0.0, batch_first=True, norm_first=True)
    reference = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(WIDTH), enable_nested_tensor=False).eval()
    names = {
        "attention": "self_attn",
        "norm": "norm1",
        "feedforward.norm": "norm2",
        "feedforward.linear1": "linear1",
        "feedforward.linear2": "linear2",
    }
    for ours, theirs in zip(encoder.layers, reference.layers, strict=True):
        in_torch(ours, theirs, names)
    assert reference.norm is not None
    reference.norm.load_state_dict(encoder.norm.state_dict())
    source = level()
    tokens = source.values.permute(0, 1, 3, 4, 2).flatten(1, 3)
    with torch.no_grad():
        memory = encoder(source, torch.zeros_like(source.values))
        wanted = reference(tokens, src_key_padding_mask=source.is_padding.flatten(1))
    seen = ~source.is_padding.flatten(1)
    torch.testing.assert_close(memory.tokens.flatten(1, 2)[seen], wanted[seen], rtol=1e-4, atol=1e-5)


def test_the_decoder_is_pytorchs_with_norms_first() -> None:
    decoder = drawn(FrameQueryDecoder(WIDTH, num_frames=3, num_queries=2, norm="pre", attention_dropout=0.0, **SIZES))
    layer = nn.TransformerDecoderLayer(WIDTH, HEADS, 24, 0.0, batch_first=True, norm_first=True)
    reference = nn.TransformerDecoder(layer, 2).eval()
    names = {
        "self_attention": "self_attn",
        "self_norm": "norm1",
        "cross_attention": "multihead_attn",
        "cross_norm": "norm2",
        "feedforward.norm": "norm3",
        "feedforward.linear1": "linear1",
        "feedforward.linear2": "linear2",
    }
    for ours, theirs in zip(decoder.layers, reference.layers, strict=True):
        in_torch(ours, theirs, names)
    with torch.no_grad():
        # Without a position in queries, states of the start are all alike; what they become is PyTorch's all the same.
        decoder.queries.weight.zero_()
    clip = clip_batch([(64, 64)])
    memory = ClipMemory(
        tokens=torch.randn(1, 3, 4, WIDTH),
        is_padding=torch.zeros(1, 3, 4, dtype=torch.bool),
        level_sizes=((2, 2),),
        valid_ratios=torch.ones(1, 1, 2),
    )
    with torch.no_grad():
        states = decoder(memory, torch.zeros(1, 3, WIDTH, 2, 2))
        wanted = decoder.norm(reference(torch.zeros(1, 6, WIDTH), memory.tokens.flatten(1, 2)))
    assert clip.frames.shape[1] == 3
    torch.testing.assert_close(states[-1].flatten(1, 2), wanted, rtol=1e-4, atol=1e-5)


def test_positions_are_added_behind_the_norm() -> None:
    """As the published layers do: to queries and keys of what was normalised, never to values."""
    encoder = drawn(FullEncoder(WIDTH, norm="pre", attention_dropout=0.0, **SIZES | {"num_layers": 1}))
    (layer,) = encoder.layers
    x, place = torch.randn(1, 5, WIDTH), torch.randn(1, 5, WIDTH)
    no_padding = torch.zeros(1, 5, dtype=torch.bool)
    with torch.no_grad():
        read = layer.norm(x)
        wanted = x + layer.attention(read + place, read + place, read, no_padding)
        feed = layer.feedforward
        wanted = wanted + feed.linear2(feed.linear1(feed.norm(wanted)).relu())
        torch.testing.assert_close(layer(x, place, no_padding), wanted, rtol=1e-5, atol=1e-5)


def test_a_deformable_encoder_samples_what_was_normalised() -> None:
    """Tokens of any scale and shift look the same to a layer that normalises what it reads."""
    encoder = drawn(SpaceTimeEncoder(WIDTH, norm="pre", num_points=4, **SIZES | {"num_layers": 1}))
    source = level()
    scaled = FeatureMap(values=7 * source.values + 3, is_padding=source.is_padding, stride=32)
    position = torch.randn(2, 3, WIDTH, 2, 4)

    def added(given: FeatureMap) -> Tensor:
        """What attention adds to the tokens, with a feed-forward half that adds nothing and no norm at the end."""
        with torch.no_grad():
            layer = encoder.layers[0]
            layer.feedforward.linear2.weight.zero_(), layer.feedforward.linear2.bias.zero_()
            encoder.norm = nn.Identity()
            tokens = given.values.permute(0, 1, 3, 4, 2).flatten(2, 3)
            return encoder(given, position).tokens - tokens

    torch.testing.assert_close(added(scaled), added(source), rtol=1e-3, atol=1e-3)
    assert added(source).abs().max() > 0.1


def test_without_pre_norm_there_is_no_norm_at_the_end() -> None:
    assert not [name for name in FullEncoder(WIDTH).state_dict() if name.startswith("norm")]
    assert not [name for name in SpaceTimeEncoder(WIDTH).state_dict() if name.startswith("norm")]
