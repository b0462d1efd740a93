"""The figures' own rules: which samples count, what a record of the machine holds."""

import subprocess
import sys

import pytest
import torch

from maskreel.bench.protocol import Times, hardware, take_turns


def test_quiet_samples_alone_count_where_there_are_two() -> None:
    times = Times.of([4.0, 2.0, 3.0], [100.0, 4.0, 2.0, 3.0])
    assert (times.p50, times.best, times.samples, times.quiet) == (3.0, 2.0, 3, 3)
    assert times.p95 == pytest.approx(3.9)


def test_all_samples_count_where_quiet_ones_are_wanting() -> None:
    times = Times.of([2.0], [6.0, 2.0])
    assert (times.p50, times.samples, times.quiet) == (4.0, 2, 1)


def test_steps_take_turns_after_one_call_that_does_not_count() -> None:
    calls: list[str] = []
    times = take_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, samples=2)
    assert calls[:4] == ["a", "b", "a", "b"]
    assert len(calls) % 2 == 0
    assert 6 <= len(calls) <= 10
    assert set(times) == {"a", "b"}


def test_peak_memory_counts_what_a_call_holds_for_a_moment() -> None:
    # A process of its own: one that has run other tests may hold freed memory that a call takes without growing.
    code = (
        "import torch; from maskreel.bench.protocol import peak_mebibytes; "
        "low = peak_mebibytes(lambda: None); print(peak_mebibytes(lambda: torch.ones(32 * 2**20)) - low)"
    )
    grown = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert 100 <= float(grown) <= 200


def test_the_record_names_machine_and_versions() -> None:
    record = hardware()
    assert record["device"] == "cpu"
    assert record["threads"] == torch.get_num_threads()
    assert record["packages"]["torch"] == torch.__version__
    assert record["processor"]
