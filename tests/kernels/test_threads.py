"""Threads for compiled kernels."""

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
