"""Ways to fuse a spatial and a temporal feature."""

import torch
from torch import Tensor

from maskreel.nn.layers.fusion import AddFusion, ConcatFusion, DynamicFusion

SIZES = ((2, 3), (1, 2))


def features() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    is_padding = torch.zeros(2, 3, 8, dtype=torch.bool)
    is_padding[1, :, [2, 5, 7]] = True
    return torch.randn(2, 3, 8, 4), torch.randn(2, 3, 8, 4), is_padding


def drawn(pooling: str) -> DynamicFusion:
    torch.manual_seed(3)
    fusion = DynamicFusion(4, hidden=5, pooling=pooling)
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.normal_()
    return fusion


def shares(fusion: DynamicFusion, both: Tensor) -> tuple[Tensor, Tensor]:
    """Equations 3 and 4: a softmax over the two branches, channel by channel."""
    hidden = fusion.squeeze(both).relu()
    gates = torch.stack((fusion.spatial_gate(hidden), fusion.temporal_gate(hidden)))
    spatial, temporal = gates.exp() / gates.exp().sum(0)
    return spatial, temporal


def test_dynamic_fusion_is_the_formula() -> None:
    spatial, temporal, is_padding = features()
    fusion = drawn("none")
    first, second = shares(fusion, spatial + temporal)
    torch.testing.assert_close((first + second), torch.ones_like(first))
    torch.testing.assert_close(
        fusion(spatial, temporal, is_padding, SIZES), first * spatial + second * temporal, rtol=1e-5, atol=1e-5
    )


def test_pooled_shares_come_from_the_mean_of_unpadded_tokens() -> None:
    spatial, temporal, is_padding = features()
    for pooling, parts in (("frame", [range(8)]), ("level", [range(6), range(6, 8)])):
        fusion = drawn(pooling)
        ours = fusion(spatial, temporal, is_padding, SIZES)
        for clip in range(2):
            for part in parts:
                kept = [token for token in part if not is_padding[clip, 0, token]]
                mean = (spatial + temporal)[clip, :, kept].mean(1, keepdim=True)
                first, second = shares(fusion, mean)
                tokens = list(part)
                expected = first * spatial[clip, :, tokens] + second * temporal[clip, :, tokens]
                torch.testing.assert_close(ours[clip, :, tokens], expected, rtol=1e-5, atol=1e-5)


def test_shares_start_equal_or_all_spatial() -> None:
    spatial, temporal, is_padding = features()
    fusion = DynamicFusion(4)
    torch.testing.assert_close(fusion(spatial, temporal, is_padding, SIZES), (spatial + temporal) / 2)
    fusion = DynamicFusion(4, spatial_bias=20.0)
    torch.testing.assert_close(fusion(spatial, temporal, is_padding, SIZES), spatial)


def test_sum_and_linear_layer_are_the_alternatives() -> None:
    spatial, temporal, is_padding = features()
    assert torch.equal(AddFusion()(spatial, temporal, is_padding, SIZES), spatial + temporal)
    concat = ConcatFusion(4)
    weight_spatial, weight_temporal = concat.linear.weight.chunk(2, 1)
    expected = spatial @ weight_spatial.T + temporal @ weight_temporal.T + concat.linear.bias
    torch.testing.assert_close(concat(spatial, temporal, is_padding, SIZES), expected)
