"""The bare sampling operator against recorded runs: forward and all gradients."""

import pytest
import torch

from maskreel.kernels.maps import Maps
from maskreel.kernels.sampling import sample
from tests import backends
from tests.builders import assert_golden, golden


@pytest.mark.golden
@pytest.mark.parametrize(
    ("backend", "dtype"), [("reference", torch.float64), *((backend, torch.float32) for backend in backends.ALL)]
)
@pytest.mark.parametrize("case", ["c0_tiny", "c1_4levels", "c2_oddhead", "c3_onelevel", "c4_border"])
def test_sampling_and_its_gradients_agree_with_the_recorded_operator(case, backend, dtype):
    recorded = golden("msda/core.safetensors", case)
    maps = Maps.own_frame(tuple((h, w) for h, w in recorded["shapes"].tolist()), num_frames=1)
    inputs = [recorded["value"], recorded["loc"].flatten(3, 4), recorded["attn"].flatten(3, 4)]
    device = backends.device_of(backend)
    inputs = [x.to(device, dtype).requires_grad_() for x in inputs]
    output = sample(*inputs, maps=maps, backend=backend)
    gradients = torch.autograd.grad(output, inputs, recorded["grad_out"].to(device, dtype).view_as(output))
    output, gradients = output.detach().cpu(), [gradient.cpu() for gradient in gradients]
    assert_golden(output.flatten(2), recorded["out"])
    assert_golden(gradients[0], recorded["grad_value"])
    assert_golden(gradients[2], recorded["grad_attn"].flatten(3, 4))
    # Every location of the border case lies on a kink, where the slope is a matter of choice.
    assert_golden(gradients[1], recorded["grad_loc"].flatten(3, 4))
