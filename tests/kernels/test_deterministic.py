"""The gradient of the value table without atomics against that of the reference."""

import pytest
import torch

from maskreel.kernels.deterministic import value_gradient
from tests.kernels.test_sampling import USES, inputs, run


@pytest.mark.parametrize("use", USES)
def test_sorted_segments_give_the_gradient_of_the_reference(use):
    maps, coordinates = USES[use]
    value, locations, weights = inputs(maps, coordinates, queries=5, channels=3)
    locations[0, 0] = 1e30
    output, expected, _, _ = run([value, locations, weights], maps, "reference")
    upstream = torch.cos(torch.arange(output.numel(), dtype=torch.float64)).view_as(output)
    found = value_gradient(upstream, locations, weights, maps, value.shape[1])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
