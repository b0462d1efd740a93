"""Machine code that is kept between processes."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import no_type_check

import numpy as np
import pytest

from maskreel.geometry.native import Native, native


@no_type_check
def _total(values, count, doubled):
    total = 0
    for index in range(count):
        total += values[index]
        doubled[index] = 2.0 * values[index]
    return total


TYPES = "int32* int64 float64* -> int64"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "maskreel" / "native"


def assert_counts(function: Native) -> None:
    values, doubled = np.array([1, 2, 3], dtype=np.int32), np.zeros(3)
    assert function(values, 3, doubled) == 6
    assert doubled.tolist() == [2.0, 4.0, 6.0]


def test_code_is_kept_and_loaded_by_the_next_process(folder: Path) -> None:
    assert_counts(native(TYPES)(_total))
    (kept,) = folder.iterdir()
    before = kept.stat().st_mtime_ns
    assert_counts(native(TYPES)(_total))
    assert kept.stat().st_mtime_ns == before


def test_a_damaged_file_is_compiled_again(folder: Path) -> None:
    assert_counts(native(TYPES)(_total))
    (kept,) = folder.iterdir()
    content = kept.read_bytes()
    kept.write_bytes(content[:-10] + b"0123456789")
    assert_counts(native(TYPES)(_total))
    repaired = kept.read_bytes()
    assert hashlib.sha256(repaired[32:]).digest() == repaired[:32]


def test_a_folder_that_cannot_be_written_is_no_obstacle(folder: Path) -> None:
    folder.parent.parent.mkdir(exist_ok=True)
    folder.parent.write_text("a file where a folder belongs")
    assert_counts(native(TYPES)(_total))


def test_arrays_of_another_type_or_with_gaps_are_refused() -> None:
    function = native(TYPES)(_total)
    with pytest.raises(AssertionError, match="int32"):
        function(np.zeros(3), 3, np.zeros(3))
    with pytest.raises(AssertionError, match="gaps"):
        function(np.zeros(6, dtype=np.int32)[::2], 3, np.zeros(3))


def test_kept_code_is_used_without_importing_numba() -> None:
    script = (
        "import sys, numpy as np\n"
        "from maskreel.geometry.rle import encode\n"
        "from maskreel.geometry.runs import pack_tracks\n"
        "mask = encode(np.eye(4, dtype=bool))\n"
        "for _ in range(2):\n"
        "    packed = pack_tracks([[mask]], height=4, width=4, place=lambda track, frame: '')\n"
        "print(packed.areas.item(), 'numba' in sys.modules)\n"
    )
    runs = [subprocess.run([sys.executable, "-c", script], capture_output=True, text=True) for _ in range(2)]
    assert runs[-1].stdout.split() == ["4", "False"], runs[-1].stderr
