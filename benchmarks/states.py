"""Measurements in both states of the allocator: a process for each, since tuning cannot be undone."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

import torch

from maskreel.kernels.allocator import tune_allocator

State = Literal["stock", "tuned"]
STATES: tuple[State, ...] = get_args(State)
"""As the C library is, and tuned as the command line does it."""


def enter(state: State, *, threads: int) -> None:
    """Bring this process into a state; exits with a sentence where there is nothing to tune."""
    if state == "tuned" and not tune_allocator():
        sys.exit("no glibc here: there is nothing to tune")
    torch.set_num_threads(threads)


def in_each_state(script: str, options: Sequence[str], *, threads: int) -> Iterator[tuple[State, Any]]:
    """What a script prints as JSON when it is run with `--state STATE --threads N` and the options, state by state."""
    for state in STATES:
        command = [sys.executable, script, "--state", state, "--threads", str(threads), *options]
        done = subprocess.run(command, env=environment(threads), check=True, stdout=subprocess.PIPE, text=True)
        yield state, json.loads(done.stdout)


def environment(threads: int) -> dict[str, str]:
    """Of a measured process: every library keeps to the number of threads."""
    return os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
