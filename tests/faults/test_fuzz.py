"""Every parser with bytes that hypothesis chooses: 100 inputs each in `make test`, far more in `make nightly`."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.subjects import SUBJECTS
from tests.faults.test_matrix import made, outcome

PARSERS = [name for name, subject in SUBJECTS.items() if subject.main and subject.kind not in ("cache", "record")]

EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 8), st.binary(max_size=8)), max_size=4)
"""Where, as a share of the file; how many bytes go; which come in their place."""


def edited(content: bytes, edits: list[tuple[float, int, bytes]], kept: float) -> bytes:
    for share, gone, new in edits:
        place = int(share * len(content))
        content = content[:place] + new + content[place + gone :]
    return content[: int(kept * len(content))]


@pytest.fixture(scope="module")
def sound() -> dict[str, Path]:
    return {}


@pytest.mark.parametrize("name", PARSERS)
def test_whatever_the_bytes_are_it_is_one_sentence(
    name: str, sound: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    subject = SUBJECTS[name]
    root = tmp_path_factory.mktemp("fuzz") / "it"
    path = made(subject, sound, root)
    content = path.read_bytes()

    @settings(deadline=None, suppress_health_check=list(HealthCheck))
    @given(EDITS, st.one_of(st.just(1.0), st.floats(0, 1)))
    def check(edits: list[tuple[float, int, bytes]], kept: float) -> None:
        path.write_bytes(edited(content, edits, kept))
        outcome(subject, root)

    try:
        check()
    finally:
        shutil.rmtree(root)
