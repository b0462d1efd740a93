"""Machine code that is kept between processes, and everything that may be wrong with the folder that keeps it."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import no_type_check

import numpy as np
import pytest

from maskreel.kernels import code_cache
from maskreel.kernels.compiled import Compiled, compiled

NOBODY = 65534


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
    return tmp_path / "maskreel" / "compiled"


def assert_counts(function: Compiled) -> None:
    values, doubled = np.array([1, 2, 3], dtype=np.int32), np.zeros(3)
    assert function(values, 3, doubled) == 6
    assert doubled.tolist() == [2.0, 4.0, 6.0]


def test_code_is_kept_and_loaded_by_the_next_process(folder: Path) -> None:
    assert_counts(compiled(TYPES)(_total))
    (kept,) = folder.iterdir()
    before = kept.stat().st_mtime_ns
    assert_counts(compiled(TYPES)(_total))
    assert kept.stat().st_mtime_ns == before


def test_folder_and_file_are_the_users_alone_whatever_the_umask(folder: Path) -> None:
    before = os.umask(0)
    try:
        code_cache.write("name.bin", b"content")
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "name.bin").stat().st_mode & 0o777 == 0o600
    assert code_cache.read("name.bin") == b"content"


@pytest.mark.parametrize("damage", ["cut short", "changed", "empty", "a folder", "gone", "a link to nowhere"])
def test_a_damaged_file_is_compiled_again(folder: Path, damage: str) -> None:
    assert_counts(compiled(TYPES)(_total))
    (kept,) = folder.iterdir()
    content = kept.read_bytes()
    kept.unlink()
    if damage == "a folder":
        kept.mkdir()
    elif damage == "a link to nowhere":
        kept.symlink_to(folder / "nowhere")
    elif damage != "gone":
        kept.write_bytes({"cut short": content[:-10], "changed": content[:-10] + b"0123456789", "empty": b""}[damage])
    assert code_cache.read(kept.name) is None
    assert_counts(compiled(TYPES)(_total))
    assert damage == "a folder" or code_cache.read(kept.name) is not None


def test_a_folder_that_cannot_be_made_is_no_obstacle(folder: Path) -> None:
    folder.parent.parent.mkdir(exist_ok=True)
    folder.parent.write_text("a file where a folder belongs")
    assert_counts(compiled(TYPES)(_total))


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777, 0o702])
def test_a_folder_that_others_can_write_is_neither_read_nor_written(folder: Path, mode: int) -> None:
    code_cache.write("name.bin", b"content")
    folder.chmod(mode)
    code_cache.write("other.bin", b"content")
    assert code_cache.read("name.bin") is None
    assert_counts(compiled(TYPES)(_total))
    assert [path.name for path in folder.iterdir()] == ["name.bin"]


@pytest.mark.parametrize("mode", [0o666, 0o660, 0o602])
def test_a_file_that_others_can_write_is_not_read(folder: Path, mode: int) -> None:
    code_cache.write("name.bin", b"content")
    (folder / "name.bin").chmod(mode)
    assert code_cache.read("name.bin") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_belongs_to_another_user_is_not_read(folder: Path, what: str) -> None:
    code_cache.write("name.bin", b"content")
    os.chown(folder if what == "folder" else folder / "name.bin", NOBODY, NOBODY)
    assert code_cache.read("name.bin") is None
    code_cache.write("other.bin", b"content")
    assert (folder / "other.bin").exists() == (what == "file")


@pytest.mark.parametrize(
    "environment",
    [{"XDG_CACHE_HOME": "cache"}, {"XDG_CACHE_HOME": ""}, {"XDG_CACHE_HOME": "."}, {"HOME": "home"}],
)
def test_nothing_is_read_from_or_written_to_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    monkeypatch.setenv("HOME", environment.get("HOME", str(tmp_path / "elsewhere")))
    monkeypatch.setenv("XDG_CACHE_HOME", environment.get("XDG_CACHE_HOME", ""))
    here = tmp_path / "here"
    places = [here / place / "maskreel" / "compiled" for place in ("cache", "", "home/.cache", ".cache")]
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    code_cache.write("name.bin", b"poison")
    for place in places[1:]:
        shutil.copytree(places[0], place)
        assert place.stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("XDG_CACHE_HOME", environment.get("XDG_CACHE_HOME", ""))
    monkeypatch.chdir(here)
    before = sorted(here.rglob("*"))
    assert code_cache.read("name.bin") is None
    assert_counts(compiled(TYPES)(_total))
    assert sorted(here.rglob("*")) == before


def test_code_compiles_while_its_folder_keeps_vanishing(folder: Path) -> None:
    is_done = threading.Event()

    def remove() -> None:
        while not is_done.is_set():
            shutil.rmtree(folder, ignore_errors=True)

    thread = threading.Thread(target=remove)
    thread.start()
    try:
        for number in range(300):
            code_cache.write(f"{number}.bin", b"content")
            assert code_cache.read(f"{number}.bin") in (None, b"content")
        assert_counts(compiled(TYPES)(_total))
    finally:
        is_done.set()
        thread.join()
    shutil.rmtree(folder, ignore_errors=True)
    assert_counts(compiled(TYPES)(_total))
    assert len(list(folder.iterdir())) == 1


def test_arrays_of_another_type_or_with_gaps_are_refused() -> None:
    function = compiled(TYPES)(_total)
    with pytest.raises(AssertionError, match="int32"):
        function(np.zeros(3), 3, np.zeros(3))
    with pytest.raises(AssertionError, match="gaps"):
        function(np.zeros(6, dtype=np.int32)[::2], 3, np.zeros(3))


AS_NOBODY = """
import os, sys
import numpy as np
from maskreel.kernels import compiled
from maskreel.geometry import runs

def count():
    runs._compress.call = None
    text = np.zeros(14, np.uint8)
    assert runs._compress(np.array([3, 4]), 2, text) == 2 and text[:2].tobytes() == b"34"
    return type(compiled._LOADED[-1]).__name__

os.environ["XDG_CACHE_HOME"] = "/dev/null"
count()  # imports what may lie where only root can read
os.environ.update(XDG_CACHE_HOME=sys.argv[1], HOME="/nonexistent")
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
os.chdir("/")
print(count(), count())
"""
COMPILED, LOADED = "JITCodeLibrary", "ExecutionEngine"


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that every user can reach; pytest's own are root's alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def as_nobody(cache: Path) -> list[str]:
    """Where the code comes from, twice, in a process without root's rights, for which permissions mean something."""
    command = [sys.executable, "-c", AS_NOBODY, str(cache)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_read_only_folder_serves_what_it_holds_and_is_no_obstacle_empty(shared: Path) -> None:
    cache = shared / "maskreel" / "compiled"
    cache.mkdir(parents=True, mode=0o700)
    if os.geteuid() == 0:
        os.chown(cache, NOBODY, NOBODY)
    cache.chmod(0o500)
    assert as_nobody(shared) == [COMPILED, COMPILED]
    assert list(cache.iterdir()) == []
    cache.chmod(0o700)
    assert as_nobody(shared) == [COMPILED, LOADED]
    (kept,) = cache.iterdir()
    kept.chmod(0o400)
    cache.chmod(0o500)
    assert as_nobody(shared) == [LOADED, LOADED]
    cache.chmod(0o000)
    assert as_nobody(shared) == [COMPILED, COMPILED]
    cache.chmod(0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="the folder has to belong to somebody else: to root")
def test_a_folder_of_another_user_is_no_obstacle_and_lends_no_code(shared: Path) -> None:
    command = [sys.executable, "-c", AS_NOBODY.replace("os.geteuid() == 0", "False"), str(shared)]
    assert subprocess.run(command, capture_output=True, text=True).stdout.split() == [COMPILED, LOADED]
    cache = shared / "maskreel" / "compiled"
    (kept,) = cache.iterdir()
    cache.chmod(0o755)
    kept.chmod(0o644)
    assert as_nobody(shared) == [COMPILED, COMPILED]
    assert list(cache.iterdir()) == [kept]


def test_without_a_home_code_is_compiled_in_memory() -> None:
    assert as_nobody(Path("relative")) == [COMPILED, COMPILED]


EVERY_KERNEL = """
import sys, numpy as np, torch
from maskreel.evaluation import j_and_f, matching, precision
from maskreel.geometry import drawn_runs, runs
from maskreel.geometry.enlarge import Axis, encode_enlarged
from maskreel.geometry.masks import PixelPlaces
from maskreel.geometry.rle import encode
from maskreel.kernels import dynamic_layers, short_attention
from maskreel.kernels.compiled import Compiled
from maskreel.kernels.cpu import _BACKWARD, _FORWARD
from maskreel.kernels.maps import Maps
from maskreel.kernels.sampling import sample

leaves = [x.requires_grad_() for x in (torch.randn(1, 12, 2, 8), torch.rand(1, 6, 2, 4, 2), torch.rand(1, 6, 2, 4))]
sample(*leaves, maps=Maps.own_frame(((3, 4),), num_frames=1)).sum().backward()
shapes = (1, 3, 9), (2, 8, 3), (2, 8, 8), (2, 1, 8), (1, 2, 8), (2, 8), (2, 1)
inputs, *weights, bias1, bias2, bias3 = (torch.randn(shape) for shape in shapes)
print(dynamic_layers.dynamic_layers(inputs, weights, bias1, bias2, bias3).shape)
print(short_attention.attend_short(*torch.randn(3, 1, 2, 5, 8), 2).shape)
axis = Axis.spanning(cells=4, outputs=9, scale=4 / 9)
mask = encode(np.eye(9, dtype=bool))
assert encode_enlarged(np.eye(4, dtype=np.float32), axis, axis) is not None
packed = runs.pack_tracks([[{"size": [9, 9], "counts": [40, 2, 39]}]] * 2, height=9, width=9, place=lambda a, b: "")
packed.overlaps(np.array([[0, 1]]))
drawn_runs.draw(packed, np.array([0]), PixelPlaces.whole(9, 9), height=9)
j_and_f.boundary_accuracy(packed, 0, 1, height=9, width=9)
table = dict(scores=np.ones(1), predicted_label=np.ones(1, int), truth_label=np.ones(1, int), iou=np.ones((1, 1)))
no = np.zeros((1, 1), bool)
table = matching.VideoTable(
    video=0, **table, is_crowd=no[0], truth_ignored=no, predicted_outside=no, truth_is_unseen=no[0],
    predicted_is_unseen=no[0],
)
rules = matching.MatchingRules(thresholds=(0.5,))
matched = precision.join([matching.match_class(table, rules, 1)], num_videos=1, num_areas=1, rules=rules)
assert precision.metrics_of(matched).precision.item() == 1
called = {
    id(value): value.call for name, module in sys.modules.items() if name.startswith("maskreel")
    for value in vars(module).values() if isinstance(value, Compiled)
}
assert None not in called.values() and len(called) >= 12, called
print("numba:", "numba" in sys.modules)
"""


def test_the_code_of_every_kernel_and_loop_is_kept_so_that_the_next_process_imports_no_numba(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": "numba", "JAXTYPING_DISABLE": "1"}
    command = [sys.executable, "-c", EVERY_KERNEL]
    for _ in range(2):
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "False"
    assert list(tmp_path.iterdir()) == []
    package = Path(code_cache.__file__).parents[1]
    assert not [path for path in package.rglob("*") if path.suffix in (".nbi", ".nbc")]


AREA = """
import sys, numpy as np
from maskreel.geometry.runs import pack_tracks
mask = {"size": [4, 4], "counts": [3, 4, 9]}
packed = pack_tracks([[mask]], height=4, width=4, place=lambda track, frame: "")
print(packed.areas.item(), "numba" in sys.modules, "torch" in sys.modules)
"""


def test_processes_that_compile_at_the_same_time_do_not_disturb_each_other(folder: Path) -> None:
    def start() -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", AREA], stdout=subprocess.PIPE, text=True)

    both = [start(), start()]
    assert [process.communicate(timeout=300)[0].split() for process in both] == [["4", "True", "False"]] * 2
    assert start().communicate(timeout=300)[0].split() == ["4", "False", "False"]
    assert {path.suffix for path in folder.iterdir()} == {".bin"}
    assert not any(path.name.startswith(".") for path in folder.iterdir())
