"""Threads for compiled kernels."""

import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from maskreel.kernels import threads


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["openmp", "pool"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "pool":
        monkeypatch.setattr(threads, "_openmp_parallel", lambda: None)
    elif threads._openmp_parallel() is None:
        pytest.skip("this PyTorch has no GNU OpenMP entry")
    return request.param


@pytest.mark.usefixtures("two_threads", "way")
def test_all_threads_of_pytorch_get_the_arguments_and_one_counter() -> None:
    seen: list[tuple[int, str, int]] = []

    def kernel(name: str, counter: np.ndarray) -> None:
        seen.append((threading.get_ident(), name, id(counter)))
        time.sleep(0.05)

    threads.run(kernel, 5, "argument")
    assert len({thread for thread, _, _ in seen}) == 2
    assert threading.get_ident() in {thread for thread, _, _ in seen}
    assert {(name, counter) for _, name, counter in seen} == {("argument", seen[0][2])}
    seen.clear()
    threads.run(kernel, 1, "argument")
    assert [thread for thread, _, _ in seen] == [threading.get_ident()]


@pytest.mark.usefixtures("two_threads", "way")
@pytest.mark.parametrize("fails_in_caller", [True, False])
def test_an_error_of_any_thread_reaches_the_caller(fails_in_caller: bool) -> None:
    caller = threading.get_ident()

    def kernel(counter: np.ndarray) -> None:
        time.sleep(0.05)
        if (threading.get_ident() == caller) == fails_in_caller:
            raise ArithmeticError("in a kernel")

    with pytest.raises(ArithmeticError, match="in a kernel"):
        threads.run(kernel, 2)


@pytest.mark.usefixtures("two_threads", "way")
def test_a_function_is_called_once_for_each_item_by_two_threads_and_results_keep_their_order() -> None:
    seen = []

    def double(item: int) -> int:
        seen.append((threading.get_ident(), item))
        time.sleep(0.01)
        return 2 * item

    assert threads.run_each(double, list(range(9))) == [2 * item for item in range(9)]
    assert sorted(item for _, item in seen) == list(range(9))
    assert len({thread for thread, _ in seen}) == 2
    assert threads.run_each(double, []) == []


@pytest.mark.usefixtures("two_threads", "way")
def test_a_team_inside_a_team_ends() -> None:
    def inner(item: int) -> int:
        time.sleep(0.01)
        return item

    assert threads.run_each(lambda _: sum(threads.run_each(inner, [1, 2, 3])), [0] * 6) == [6] * 6


WITHOUT_TORCH = """
import os, sys, threading, time
from maskreel.kernels import threads

assert threads.num_threads() == len(os.sched_getaffinity(0))
threads.num_threads = lambda: 2
seen = set()
def note(item):
    seen.add(threading.get_ident())
    time.sleep(0.05)
threads.run_each(note, list(range(6)))
print(len(seen), "torch" in sys.modules)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts processors as Linux does")
def test_without_torch_a_pool_works_and_torch_is_not_imported() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, timeout=600)
    assert done.stdout.split() == ["2", "False"], done.stderr
