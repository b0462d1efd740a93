"""Everything that is read x everything that can be wrong with it: one sentence and a documented exit code, soon and in
little memory. A tenth that has every subject and every fault is part of `make test`, all of it of `make nightly`."""

import logging
import resource
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from maskreel.cli.main import explain
from tests.faults.damage import FAULTS, FLIPS, VANISHING, flip
from tests.faults.subjects import SUBJECTS, Subject
from tests.other_user import as_nobody, open_folder

SECONDS, MEMORY = 30, 1 << 20
"""Of a cell; KiB."""

OPTIONAL = ("mots-txt", "labelme", "yolo")
"""Formats of a file per video or frame, which may have none."""

CELLS = [
    (subject.name, fault.name)
    for subject in SUBJECTS.values()
    for fault in FAULTS.values()
    if subject.kind not in fault.meaningless
]


def cells() -> Iterator[object]:
    """Those of the night are marked; the others are spread evenly over subjects and faults."""
    faults = list(FAULTS)
    for number, subject in enumerate(SUBJECTS):
        for name, fault in CELLS:
            if name == subject:
                is_sampled = (number + 3 * faults.index(fault)) % 10 == 0
                yield pytest.param(name, fault, marks=[] if is_sampled else pytest.mark.nightly, id=f"{name}-{fault}")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Sound subjects that were made, by the function that makes them."""
    return {}


def made(subject: Subject, sound: dict[str, Path], target: Path) -> Path:
    """A copy of a sound subject; what is damaged of it."""
    key = repr(subject.make)
    if key not in sound:
        sound[key] = Path(tempfile.mkdtemp(prefix="sound-"))
        subject.make(sound[key])
    shutil.copytree(sound[key], target, dirs_exist_ok=True)
    if not subject.main:
        entries = [entry for entry in sorted(target.iterdir()) if entry.name != "source"]
        return entries[0] if len(entries) == 1 and entries[0].is_dir() else target
    return sorted(target.glob(subject.main))[0]


def too_late(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


def outcome(subject: Subject, root: Path) -> tuple[int, str]:
    """Exit code and sentence with which a command would end."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    previous = signal.signal(signal.SIGALRM, too_late)
    signal.alarm(SECONDS)
    try:
        subject.read(root)
        found = 0, ""
    except (TimeoutError, AssertionError):
        raise
    except Exception as error:
        found = explain(error)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
        VANISHING.arm(None)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY
    assert found[0] in (0, 1, 2)
    assert "run again with --debug" not in found[1], found[1]
    return found


def test_the_matrix_is_as_large_as_promised() -> None:
    assert len(CELLS) >= 300
    sampled = [cell for cell in cells() if not cell.marks]  # type: ignore[attr-defined]
    assert {cell.values[1] for cell in sampled} == set(FAULTS)  # type: ignore[attr-defined]
    assert len(sampled) >= len(CELLS) // 12


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_sound_subject_is_read(name: str, sound: dict[str, Path], tmp_path: Path) -> None:
    subject = SUBJECTS[name]
    made(subject, sound, tmp_path)
    code, sentence = outcome(subject, tmp_path)
    assert code == (1 if name == "sound" else 0), sentence


@pytest.mark.parametrize(("name", "fault"), list(cells()))
def test_a_fault_is_one_sentence_and_an_exit_code(
    name: str, fault: str, sound: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    subject, damage = SUBJECTS[name], FAULTS[fault]
    caplog.set_level(logging.ERROR)
    if fault == "read-only":
        code = without_rights(subject, sound)
        assert code in (0, 1, 2)
        return
    path = made(subject, sound, tmp_path / "it")
    if fault == "one byte flipped":
        for place in range(FLIPS):
            shutil.rmtree(tmp_path / "it")
            flip(made(subject, sound, tmp_path / "it"), place)
            outcome(subject, tmp_path / "it")
        return
    if path == tmp_path / "it" and fault == "wrong type":
        pytest.skip("the folder itself is what was typed")
    damage.apply(path, subject)
    code, sentence = outcome(subject, tmp_path / "it")
    if damage.fails and subject.main and subject.kind not in ("picture", "cache") and name not in OPTIONAL:
        assert code in (1, 2), sentence


def without_rights(subject: Subject, sound: dict[str, Path]) -> int:
    with open_folder() as folder:
        path = made(subject, sound, folder / "it")
        for one in (folder / "it", *(folder / "it").rglob("*")):
            one.chmod(0o755 if one.is_dir() else 0o644)
        FAULTS["read-only"].apply(path, subject)
        code, written = as_nobody(lambda: outcome(subject, folder / "it")[0])
        path.chmod(0o755)
        assert code != 70, written
        return code
