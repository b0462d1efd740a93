"""Findings about the machine, each from figures that stand for one."""

from pathlib import Path

import pytest

from maskreel.doctor import machine
from maskreel.doctor.machine import GIB, disk, kept_code, memory, threads
from maskreel.kernels import code_cache


@pytest.mark.parametrize(
    ("number", "cores", "state", "advice"),
    [
        (2, 2.0, "ok", ""),
        (1, 0.5, "ok", ""),
        (8, 2.5, "note", "export OMP_NUM_THREADS=2"),
        (2, 1.0, "note", "export OMP_NUM_THREADS=1"),
        (1, 16.0, "note", "unset OMP_NUM_THREADS"),
        (8, 16.0, "ok", ""),
    ],
)
def test_threads_are_compared_with_the_cores_that_may_be_used(
    number: int, cores: float, state: str, advice: str
) -> None:
    found = threads(number, cores)
    assert found.state == state
    assert advice in found.advice


def test_little_memory_is_noted_with_what_needs_less() -> None:
    assert memory(2 * GIB).state == "note"
    assert "--clip-frames" in memory(2 * GIB).advice
    assert memory(8 * GIB).state == "ok"
    assert memory(None).state == "ok"


@pytest.mark.parametrize(("free", "state"), [(0.1, "problem"), (2, "note"), (50, "ok")])
def test_room_on_disk_is_judged(free: float, state: str, tmp_path: Path) -> None:
    found = disk("disk", tmp_path, int(free * GIB))
    assert found.state == state
    assert str(tmp_path) in found.found


def test_kernels_are_compared_with_their_reference() -> None:
    assert machine.compiled_kernels().state == "ok"


def test_the_slow_reference_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKREEL_BACKEND", "reference")
    found = machine.compiled_kernels()
    assert found.state == "note"
    assert "unset MASKREEL_BACKEND" in found.advice


def test_a_kernel_that_computes_something_else_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    true, calls = machine.sample, []
    monkeypatch.setattr(machine, "sample", lambda *a, maps: calls.append(1) or true(*a, maps=maps) + len(calls))
    assert machine.compiled_kernels().state == "problem"


def test_a_cache_that_others_can_write_is_noted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert code_cache.obstacle() is None
    assert kept_code(None).state == "ok"
    (tmp_path / "maskreel/compiled").chmod(0o777)
    obstacle = code_cache.obstacle()
    assert "can be written by others" in (obstacle or "")
    assert kept_code(obstacle).state == "note"


def test_a_cache_that_cannot_be_made_is_noted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert "cannot be written" in (code_cache.obstacle() or "")


def test_without_a_home_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_cache, "folder", lambda: None)
    assert "no home folder" in (code_cache.obstacle() or "")
