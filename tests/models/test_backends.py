"""Every model under every backend."""

import os
import subprocess
import sys

import pytest
import torch

from maskreel.kernels.backend import use_backend
from tests import backends
from tests.builders import clip_batch
from tests.checkpoints.tables import TINY
from tests.models.test_contract import SIZES, drawn


@pytest.mark.parametrize("backend", backends.ALL[1:])
@pytest.mark.parametrize("name", sorted(TINY))
def test_a_models_outputs_are_those_of_the_reference(name: str, backend: str) -> None:
    def outputs(chosen: str) -> list[torch.Tensor]:
        device = backends.device_of(backend)
        model, clip = drawn(TINY[name], 0.2).eval().to(device), clip_batch(SIZES).to(device)
        with use_backend(chosen), torch.no_grad():
            final = model(clip).final
            assert final.masks is not None
            masks = final.masks.select(1, torch.tensor([4, 0], device=device))
        return [final.class_logits.cpu(), final.boxes.cpu(), masks.cpu()]

    for found, expected in zip(outputs(backend), outputs("reference"), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


FORWARD = """
import sys
import torch
from maskreel.models.folder import build_model
from tests.builders import clip_batch
from tests.checkpoints.tables import TINY

for config in TINY.values():
    prediction = build_model(config).eval()(clip_batch(((64, 96),)))
    with torch.no_grad():
        prediction = build_model(config).eval()(clip_batch(((64, 96),)))
        prediction.final.masks.select(0, torch.tensor([0]))
print(len(TINY), sorted({"numba", "llvmlite"} & set(sys.modules)))
"""


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_under_the_reference_a_fresh_process_imports_no_compiler(backend: str) -> None:
    environment = os.environ | {"MASKREEL_BACKEND": backend, "JAXTYPING_DISABLE": "1"}
    done = subprocess.run([sys.executable, "-c", FORWARD], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    number, *found = done.stdout.split(maxsplit=1)
    assert int(number) == len(TINY)
    assert ("llvmlite" in found[0]) == (backend == "cpu")
    assert backend == "cpu" or "numba" not in found[0]
