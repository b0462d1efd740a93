"""The faults that are planted: each still applies, and random ones change what they are meant to."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.alterations import SOURCE, changes
from tests.mutants.faults import DoesNotApply, Fault, planted
from tests.mutants.rooms import importers, nearest, suites_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def faults() -> list[Fault]:
    return planted()


def test_every_fault_applies_to_the_sources_and_leaves_python(faults: list[Fault]) -> None:
    refused = []
    for fault in faults:
        try:
            ast.parse(fault.applied((SOURCE / fault.file).read_text()))
        except (DoesNotApply, SyntaxError, FileNotFoundError) as error:
            refused.append(str(error))
    assert refused == [], "mend tests/mutants/faults"


def test_faults_are_many_different_and_described(faults: list[Fault]) -> None:
    assert len({fault.key for fault in faults}) == len(faults)
    for fault in faults:
        assert fault.before != fault.after
        assert fault.says[0].isupper(), fault.says
        assert fault.says[-1] != ".", fault.says


def test_the_sample_is_a_tenth_and_takes_every_room_by_its_share(faults: list[Fault]) -> None:
    share = Counter(fault.room for fault in faults if fault.sampled)
    assert share.total() >= len(faults) / 10
    for room, count in Counter(fault.room for fault in faults).items():
        assert abs(share[room] - count / 10) < 1, room


def test_a_text_that_is_missing_or_stands_there_twice_is_refused() -> None:
    fault = Fault(file="files.py", before="a = 1", after="a = 2", says="A constant is another")
    assert fault.applied("a = 1\n") == "a = 2\n"
    for source in ("b = 1\n", "a = 1\na = 1\n"):
        with pytest.raises(DoesNotApply, match=r"files\.py: A constant is another: .* [02] times"):
            fault.applied(source)


def test_a_fault_at_a_place_is_refused_when_the_file_has_moved() -> None:
    fault = Fault(file="files.py", before="1", after="2", says="A constant is another", place=4)
    assert fault.applied("a = 1 + 1") == "a = 2 + 1"
    with pytest.raises(DoesNotApply, match="the text at 4"):
        fault.applied("ab = 1 + 1")


def test_the_suites_of_a_fault_are_those_of_its_room_and_then_of_its_importers() -> None:
    order = importers("geometry")
    assert order[0] == "geometry"
    assert order.index("criteria") < order.index("training") < order.index("recipes")
    assert "kernels" not in order
    folders = suites_of(order, ROOT)
    assert folders[0] == ["tests/geometry"]
    assert "tests/golden" in folders[-1]
    assert "tests/mutants" not in [name for names in folders for name in names]


def test_files_named_after_the_place_of_a_fault_are_asked_first_and_then_those_that_import_it(tmp_path: Path) -> None:
    for name, source in (
        ("criteria/test_losses.py", "from maskreel.criteria import matching"),
        ("criteria/test_matching.py", ""),
        ("criteria/test_sequence.py", "import torch"),
        ("training/test_steps.py", "from maskreel.criteria.matching import match"),
        ("training/test_matching.py", "from maskreel.criteria.matching_costs import costs"),
    ):
        path = tmp_path / "tests" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    assert nearest([["tests/criteria"], ["tests/training"]], "criteria/matching.py", tmp_path) == [
        "tests/criteria/test_matching.py",
        "tests/criteria/test_losses.py",
        "tests/training/test_steps.py",
    ]
    assert nearest([["tests/test_files.py"]], "files.py", ROOT) == ["tests/test_files.py"]


SOURCES = '''
"""A text with 1 number."""
import numpy as np

LIMIT: int = 3

def f(x: int = 2, *, strict: bool = True) -> "3":
    """Another 4."""
    assert x > 0, "5"
    if x > LIMIT and x != 7:
        raise ValueError(f"{x + 1} is more than {LIMIT}")
    logger.warning("%d", 8)
    y = x.sum(-1) + np.stack([x, x], axis=0)[-2]
    return y * 0.5 - -x, [a for a in zip(y, y, strict=True)], not x
'''


def test_random_faults_change_operators_constants_axes_and_comparisons_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "room" / "file.py"
    path.parent.mkdir()
    path.write_text(SOURCES)
    monkeypatch.setattr("tests.mutants.alterations.SOURCE", tmp_path)
    found = Counter((fault.before, fault.after) for fault in changes(path))
    assert found == Counter(
        [
            *[("3", "4"), ("2", "3"), ("True", "False"), (">", "<="), ("and", "or"), ("!=", "=="), ("7", "8")],
            *[("-1", "0"), ("+", "-"), ("0", "1"), ("-2", "-1"), ("*", "/"), ("0.5", "1.0"), ("-", "+"), ("-", "")],
            ("not ", ""),
        ]
    )
    for fault in changes(path):
        ast.parse(fault.applied(SOURCES))


def test_constants_of_performance_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.py"
    path.write_text("BLOCK = 64 * 2\nOTHER = 5\n")
    monkeypatch.setattr("tests.mutants.alterations.SOURCE", tmp_path)
    monkeypatch.setattr("tests.mutants.alterations.PERFORMANCE", {"file.py": {"BLOCK": "how many at a time"}})
    assert [fault.before for fault in changes(path)] == ["5"]


def test_all_random_faults_are_python() -> None:
    for room in ("criteria", "inference"):
        for path in (SOURCE / room).rglob("*.py"):
            source = path.read_text()
            for fault in changes(path):
                ast.parse(fault.applied(source))
