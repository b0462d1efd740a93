"""What a run counts, and the random numbers that it draws."""

import random

import numpy as np
import pytest
import torch

from maskreel.training.progress import Best, Progress
from maskreel.training.random_state import capture_random, restore_random, seed_random


def test_the_best_validation_is_the_first_of_the_highest_ap() -> None:
    progress = Progress()
    found = []
    for step, ap in enumerate((None, 0.2, 0.2, 0.1, 0.3, 0.3, None), start=1):
        progress.step = step
        found.append(progress.improves(ap))
    assert found == [False, True, False, False, True, False, False]
    assert progress.best == Best(ap=0.3, step=5)


def test_an_ap_of_zero_is_better_than_none_at_all() -> None:
    progress = Progress(step=4)
    assert progress.improves(0.0)
    assert progress.best == Best(ap=0.0, step=4)


def test_a_step_counts_its_time_and_losses_and_is_yet_to_be_reported() -> None:
    progress = Progress()
    progress.advance({"total": 3.0}, 0.5)
    progress.advance({"total": 5.0}, 0.25)
    assert (progress.step, progress.seconds, progress.is_reported) == (2, 0.75, False)
    assert progress.means.take() == {"total": 4.0}


def draws() -> tuple[float, float, float]:
    return torch.rand(1).item(), np.random.rand(), random.random()  # noqa: NPY002


def test_generators_go_on_where_they_were_captured() -> None:
    """The type checker of the test run draws from python's own generator, which is compared by its state."""
    seed_random(3)
    state = capture_random()
    first = draws()[:2]
    assert draws()[:2] != first
    random.seed(99)
    restore_random(state)
    assert random.getstate()[1] == state.python
    assert draws()[:2] == first


@pytest.mark.parametrize("generator", [0, 1, 2], ids=["torch", "numpy", "python"])
def test_every_process_draws_numbers_of_its_own(generator: int) -> None:
    found = []
    for seed, rank in ((3, 0), (3, 1), (4, 0), (3, 0)):
        seed_random(seed, rank)
        found.append(draws()[generator])
    assert found[0] == found[3]
    assert found[0] != found[1]
    assert found[0] != found[2]
