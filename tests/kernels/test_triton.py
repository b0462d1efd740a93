"""The Triton kernels: in Triton's interpreter wherever triton is installed, on a GPU where there is one."""

import importlib.util
import os
import subprocess
import sys

import pytest
import torch

from tests.kernels.test_sampling import USES, assert_close_to_largest, inputs, run

INTERPRETED = """
import sys
import torch
from maskreel.kernels import triton
from tests.kernels.test_sampling import USES, assert_close_to_largest, inputs, run

for use, (maps, coordinates) in USES.items():
    for heads, channels in ((2, 5), (1, 32)):
        tensors = inputs(maps, coordinates, heads=heads, channels=channels, queries=5)
        tensors[1][0, 0] = 1e30
        expected = run(tensors, maps, "reference")
        single = [x.float() for x in tensors]
        output = triton.forward(*single, maps)
        upstream = torch.cos(torch.arange(output.numel(), dtype=torch.float64)).view_as(output).float()
        for exact in (False, True):
            torch.use_deterministic_algorithms(exact)
            found = [output, *triton.backward(upstream, *single, maps)]
            assert_close_to_largest(found, expected, 1e-5)
        torch.use_deterministic_algorithms(False)
        print(use, heads, channels, file=sys.stderr)
"""


@pytest.mark.nightly
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
def test_interpreted_kernels_agree_with_the_reference():
    environment = os.environ | {"TRITON_INTERPRET": "1", "JAXTYPING_DISABLE": "1"}
    done = subprocess.run([sys.executable, "-c", INTERPRETED], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
class TestOnCuda:
    @pytest.mark.parametrize("use", USES)
    @pytest.mark.parametrize(("heads", "channels"), [(2, 5), (8, 32), (8, 48)])
    def test_agrees_with_the_reference_in_float64(self, use, heads, channels):
        maps, coordinates = USES[use]
        tensors = [x.cuda() for x in inputs(maps, coordinates, heads=heads, channels=channels, queries=70)]
        expected = run(tensors, maps, "reference")
        assert_close_to_largest(run([x.float() for x in tensors], maps, "triton"), expected, 1e-5)

    def test_deterministic_mode_repeats_bit_for_bit(self):
        maps, coordinates = USES["spatial"]
        tensors = [x.float().cuda() for x in inputs(maps, coordinates, heads=8, channels=32, queries=700)]
        torch.use_deterministic_algorithms(True)
        try:
            once, again = run(tensors, maps, "triton"), run(tensors, maps, "triton")
        finally:
            torch.use_deterministic_algorithms(False)
        for one, other in zip(once, again, strict=True):
            assert torch.equal(one, other)

    def test_a_bfloat16_table_is_summed_in_float32(self):
        maps, coordinates = USES["spatial"]
        value, locations, weights = [x.float().cuda() for x in inputs(maps, coordinates, channels=32, queries=70)]
        expected = run([value.bfloat16().double(), locations.double(), weights.double()], maps, "reference")
        found = run([value.bfloat16(), locations, weights], maps, "triton")
        assert_close_to_largest([x.double() for x in found], expected, 2 * torch.finfo(torch.bfloat16).eps)
