"""The session for a GPU: every line of it on a CPU, and that it survives being cut off."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.conftest import BENCHMARKS

SYSTEMS = ("seqformer", "vistr", "deformable-vistr", "ms-sts", "taformer", "tt-spn")


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform != "linux", reason="Triton has no wheel for other systems")
def test_every_line_runs_on_a_cpu(tmp_path: Path) -> None:
    out = tmp_path / "session.jsonl"
    command = [sys.executable, str(BENCHMARKS / "gpu_session.py"), "--out", str(out), "--dry-run"]
    environment = os.environ | {"JAXTYPING_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    rows = {row["item"]: row for row in map(json.loads, out.read_text().splitlines())}
    for use in ("spatial", "neighbours", "space-time"):
        assert 0 < rows[f"agreement, {use}"]["location, float32"] < 1e-5
    forms = [f"{system}-tiny, float32, as it is" for system in SYSTEMS]
    forms += [f"seqformer-tiny, {form}" for form in ("tf32, as it is", "bf16, as it is", "bf16, compiled")]
    for form in forms:
        assert rows[form]["end to end"]["frames per second"] > 0
    assert rows["training step, seqformer-tiny, bf16"]["ms"] > 0
    assert rows["ladder, 2 steps"]["steps"] == 2


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_session_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    out, measured = tmp_path / "session.jsonl", []

    def item(name: str) -> tuple[str, float, Any]:
        return name, 0.0, lambda: measured.append(name) or {"ms": 1.0}

    session = import_module("gpu_session").Session
    session(out, seconds=60).measure([item("first")])
    with out.open("a") as file:
        file.write('{"item": "second", "ms"')
    session(out, seconds=60).measure([item("first"), item("second")])
    assert measured == ["first", "second"]
    assert [row["item"] for row in read(out)] == ["first", "second"]


def test_what_fails_is_named_and_tried_again(tmp_path: Path) -> None:
    out, session = tmp_path / "session.jsonl", import_module("gpu_session").Session
    first = session(out, seconds=60)
    first.measure([("one", 0.0, lambda: {}["absent"]), ("two", 0.0, lambda: {"ms": 2.0})])
    assert first.failed == ["one"]
    assert read(out)[0]["failed"] == "KeyError: 'absent'"
    assert read(out)[1]["ms"] == 2.0
    again = session(out, seconds=60)
    again.measure([("one", 0.0, lambda: {"ms": 1.0}), ("two", 0.0, lambda: {"ms": 3.0})])
    assert again.failed == []
    assert [row["ms"] for row in read(out) if "ms" in row] == [2.0, 1.0]


def test_an_item_is_begun_only_where_its_time_is_left(tmp_path: Path) -> None:
    session = import_module("gpu_session").Session(tmp_path / "session.jsonl", seconds=60)
    session.measure([("long", 61.0, lambda: {"ms": 1.0}), ("short", 1.0, lambda: {"ms": 1.0})])
    assert session.left_out == ["long"]
    assert [row["item"] for row in read(session.out)] == ["short"]
