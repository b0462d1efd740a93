"""Allocator tuning: in a process of its own, since it cannot be undone."""

import platform
import subprocess
import sys

import pytest

REUSES_PAGES = """
import resource, sys
from maskreel.kernels.allocator import tune_allocator
import torch

tuned = tune_allocator() if sys.argv[1] == "tuned" else False

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(8 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

# The first tensors lay out the heap; what counts is the steady state.
print(tuned, min(faults() for _ in range(30)))
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc only")
def test_a_large_tensor_reuses_its_pages_after_tuning():
    def run(state):
        done = subprocess.run([sys.executable, "-c", REUSES_PAGES, state], capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    assert run("tuned")[0] == "True"
    assert int(run("tuned")[1]) < 100
    assert int(run("stock")[1]) > 500
