"""Sine networks and the heads made of them."""

import math

import pytest
import torch

from maskreel.nn.heads.sine import SineBoxHead, SineClassHead
from maskreel.nn.layers.sine_network import SineLayer, SineNetwork


def test_a_layer_is_the_sine_of_an_affine_map() -> None:
    torch.manual_seed(0)
    layer, x = SineLayer(5, 3, w0=2.0), torch.randn(4, 5)
    torch.testing.assert_close(layer(x), torch.sin(2 * (x @ layer.weight.T + layer.bias)))


@pytest.mark.parametrize(("first", "w0", "bound"), [(True, 30.0, 1 / 50), (False, 30.0, math.sqrt(6 / 50) / 30)])
def test_weights_and_biases_start_uniform_within_the_bound(first: bool, w0: float, bound: float) -> None:
    torch.manual_seed(0)
    layer = SineLayer(50, 4000, w0=w0, first=first)
    for values in (layer.weight, layer.bias):
        assert 0.99 * bound < values.abs().max() <= bound
        assert values.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)


def test_a_deep_stack_keeps_the_distribution_of_its_outputs() -> None:
    """What the initialisation is for (arXiv 2006.09661, theorem 1.8): no layer dies, none saturates."""
    torch.manual_seed(0)
    layers = [SineLayer(256, 256, w0=30.0, first=index == 0) for index in range(6)]
    x, deviations = 2 * torch.rand(2000, 256) - 1, []
    with torch.no_grad():
        for layer in layers:
            x = layer(x)
            deviations.append(x.std().item())
    # The sine of a standard normal variable.
    expected = math.sqrt((1 - math.exp(-2)) / 2)
    assert deviations[2:] == pytest.approx([expected] * 4, rel=0.1)


@pytest.mark.parametrize(
    ("sine_layers", "widths"), [(1, [(128, 24), (64, 128), (5, 64)]), (2, [(128, 24), (64, 128), (32, 64), (5, 32)])]
)
def test_widths_halve_layer_by_layer(sine_layers: int, widths: list[tuple[int, int]]) -> None:
    network = SineNetwork(24, 5, sine_layers=sine_layers)
    assert [tuple(p.shape) for p in network.parameters() if p.dim() == 2] == widths


def test_dropout_is_off_in_evaluation() -> None:
    torch.manual_seed(0)
    head, x = SineClassHead(24, 3), torch.randn(1, 2, 4, 24)
    assert not torch.equal(head(x), head(x))
    head.eval()
    assert torch.equal(head(x), head(x))
    assert head(x).shape == (1, 4, 2, 4)


def test_boxes_lie_inside_the_frame() -> None:
    torch.manual_seed(0)
    boxes = SineBoxHead(24)(3 * torch.randn(2, 3, 5, 24))
    assert boxes.shape == (2, 5, 3, 4)
    assert ((boxes > 0) & (boxes < 1)).all()
