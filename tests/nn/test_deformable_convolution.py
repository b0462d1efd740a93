"""Deformable 3x3 convolution on the sampling primitive."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from maskreel.nn.layers.deformable_convolution import DeformableConvolution

pytestmark = pytest.mark.usefixtures("each_backend")


def case(
    n: int = 2, channels: int = 3, out: int = 2, height: int = 5, width: int = 4
) -> tuple[DeformableConvolution, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    module = DeformableConvolution(channels, out).double()
    with torch.no_grad():
        module.weight.copy_(torch.randn(module.weight.shape, generator=generator, dtype=torch.float64))
    x = torch.randn(n, channels, height, width, generator=generator, dtype=torch.float64)
    offsets = 1.5 * torch.randn(n, 18, height, width, generator=generator, dtype=torch.float64)
    return module, x, offsets


def cell(x: Tensor, y: float, column: float) -> Tensor:
    """Bilinear value of a map (c h w) at a position in cells; zero outside."""
    total = torch.zeros(x.shape[0], dtype=x.dtype)
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            total += max(0.0, 1 - abs(y - i)) * max(0.0, 1 - abs(column - j)) * x[:, i, j]
    return total


def test_it_equals_a_loop_over_the_formula() -> None:
    module, x, offsets = case()
    with torch.no_grad():
        ours = module(x, offsets)
        for n in range(2):
            for i in range(5):
                for j in range(4):
                    expected = torch.zeros(2, dtype=torch.float64)
                    for tap in range(9):
                        down, right = offsets[n, 2 * tap, i, j].item(), offsets[n, 2 * tap + 1, i, j].item()
                        value = cell(x[n], i + tap // 3 - 1 + down, j + tap % 3 - 1 + right)
                        expected += module.weight[:, :, tap // 3, tap % 3] @ value
                    torch.testing.assert_close(ours[n, :, i, j], expected, rtol=0, atol=1e-12)


def test_without_offsets_it_is_a_convolution() -> None:
    module, x, offsets = case()
    torch.testing.assert_close(module(x, torch.zeros_like(offsets)), F.conv2d(x, module.weight, padding=1))


@pytest.mark.slow
def test_gradients_are_right() -> None:
    module, x, offsets = case(n=1, height=3, width=3)
    inputs = (x.requires_grad_(), offsets.requires_grad_(), module.weight)

    def run(x: Tensor, offsets: Tensor, weight: Tensor) -> Tensor:
        return torch.func.functional_call(module, {"weight": weight}, (x, offsets))

    assert torch.autograd.gradcheck(run, inputs)


def test_float32_gradients_agree_with_double_precision() -> None:
    """Through the fast kernel, whatever the layout of the input."""
    module, x, offsets = case(height=7, width=6)
    gradients = []
    for dtype in (torch.float64, torch.float32):
        own = module.to(dtype)
        values = x.to(dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
        moved = offsets.to(dtype).requires_grad_()
        gradients.append(torch.autograd.grad(own(values, moved).square().sum(), (values, moved, own.weight)))
    for exact, fast in zip(*gradients, strict=True):
        torch.testing.assert_close(fast.double(), exact, rtol=1e-4, atol=1e-4)
