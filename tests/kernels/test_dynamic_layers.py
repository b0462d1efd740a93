"""The dynamic mask head's layers, against the formula in float64."""

import pytest
import torch
from torch import Tensor

from maskreel.kernels.dynamic_layers import dynamic_layers
from tests.counting import CountedOperators

pytestmark = pytest.mark.usefixtures("each_backend")


def tensors(*, frames: int, channels: int, cells: int, instances: int, hidden: int = 8) -> list[Tensor]:
    """Inputs, three weights, three biases."""
    torch.manual_seed(0)
    shapes = [(frames, channels, cells), (instances, hidden, channels), (instances, hidden, hidden)]
    shapes += [(instances, 1, hidden), (frames, instances, hidden), (instances, hidden), (instances, 1)]
    return [torch.randn(shape) for shape in shapes]


def ours(inputs: Tensor, weight1: Tensor, weight2: Tensor, weight3: Tensor, *biases: Tensor) -> Tensor:
    return dynamic_layers(inputs, (weight1, weight2, weight3), *biases)


def by_formula(*arguments: Tensor) -> Tensor:
    inputs, weight1, weight2, weight3, bias1, bias2, bias3 = (x.double() for x in arguments)
    x = (torch.einsum("nci,tis->tncs", weight1, inputs) + bias1[..., None]).relu()
    x = (torch.einsum("nco,tnos->tncs", weight2, x) + bias2[..., None]).relu()
    return torch.einsum("no,tnos->nts", weight3[:, 0], x) + bias3[:, :, None]


@pytest.mark.parametrize("has_gradient", [False, True])
@pytest.mark.parametrize(
    ("frames", "channels", "cells", "instances", "hidden"),
    [(5, 10, 2000, 7, 8), (1, 1, 1, 1, 8), (2, 8, 1023, 3, 8), (3, 10, 81, 2, 5), (2, 10, 50, 0, 8)],
)
def test_it_is_three_layers_for_every_instance(
    frames: int, channels: int, cells: int, instances: int, hidden: int, has_gradient: bool
) -> None:
    arguments = tensors(frames=frames, channels=channels, cells=cells, instances=instances, hidden=hidden)
    expected = by_formula(*arguments)
    arguments[1].requires_grad_(has_gradient)
    masks = ours(*arguments)
    assert masks.requires_grad == has_gradient
    torch.testing.assert_close(masks.detach().double(), expected, rtol=1e-5, atol=1e-4)


def test_what_is_not_a_number_stays_visible() -> None:
    arguments = tensors(frames=1, channels=2, cells=100, instances=2)
    arguments[1][1, 0, 0] = torch.nan
    masks = ours(*arguments)
    assert masks[1].isnan().all()
    assert not masks[0].isnan().any()


def test_without_numba_the_masks_come_from_products_of_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = tensors(frames=2, channels=3, cells=70, instances=2)
    expected = by_formula(*arguments)
    monkeypatch.setattr("maskreel.kernels.backend._is_installed", lambda package: False)
    monkeypatch.setattr("maskreel.kernels.dynamic_layers._on_cpu", None)
    torch.testing.assert_close(ours(*arguments).double(), expected, rtol=1e-5, atol=1e-4)


def test_the_result_does_not_depend_on_the_number_of_threads() -> None:
    arguments = tensors(frames=3, channels=10, cells=5000, instances=4)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = ours(*arguments)
        torch.set_num_threads(3)
        assert torch.equal(ours(*arguments), alone)
    finally:
        torch.set_num_threads(threads)


def test_with_gradients_more_frames_take_no_more_operators() -> None:
    counts = []
    for frames in (1, 4):
        arguments = tensors(frames=frames, channels=4, cells=50, instances=3)
        arguments[1].requires_grad_()
        with CountedOperators() as counted:
            ours(*arguments)
        counts.append(counted.calls["baddbmm"])
    assert counts == [3, 3]
