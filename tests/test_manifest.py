"""The manifest of a folder: whole lines, of one run, that know which files are ours."""

import json
from pathlib import Path

import pytest

from maskreel.errors import UsageError
from maskreel.files import file_sum
from maskreel.manifest import Manifest, UnitLine
from maskreel.outputs import Outputs
from maskreel.written import Record


def line(unit: str, **more: object) -> UnitLine:
    return UnitLine(**{"unit": unit, "source": f"{unit}.mp4", "state": "done", **more})  # type: ignore[arg-type]


def test_lines_are_read_as_they_were_added_and_a_cut_one_is_none(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    manifest.begin({"short_side": 360}, iter([line("a", sums={"a.json": "0"})]))
    with manifest:
        manifest.add(line("b", state="failed", error="no frames", worker="2", seconds=1.5))
    with manifest.path.open("ab") as file:
        file.write(b'{"unit":"c","source"')
    found = list(manifest.lines())
    assert [(one.unit, one.state, one.error, one.worker, one.seconds) for one in found] == [
        ("a", "done", None, "", 0.0),
        ("b", "failed", "no frames", "2", 1.5),
    ]
    assert manifest.sums() == {"a.json": "0"}


def test_a_line_that_is_damaged_is_told_and_the_others_count(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    manifest = Manifest(tmp_path)
    manifest.begin({}, iter([line("a"), line("b")]))
    first, second = manifest.path.read_text().splitlines()
    manifest.path.write_text(f"{first[:-3]}\n{second}\n")
    assert [one.unit for one in manifest.lines()] == ["b"]
    assert "line 1 is damaged" in caplog.text


@pytest.mark.parametrize("other", [{"short_side": 240}, {"short_side": 360, "further": 1}, {}])
def test_a_manifest_of_other_settings_is_refused_with_what_differs(tmp_path: Path, other: dict[str, int]) -> None:
    manifest = Manifest(tmp_path)
    manifest.begin({"short_side": 360}, iter(()))
    manifest.require_settings({"short_side": 360})
    with pytest.raises(UsageError, match=r"another run \((short_side|further) was"):
        manifest.require_settings(other)


def test_files_that_a_line_lists_are_ours_until_they_change(tmp_path: Path) -> None:
    result = tmp_path / "a.json"
    result.write_text("{}")
    Manifest(tmp_path).begin({}, iter([line("a", sums={"a.json": file_sum(result)})]))
    assert Record(tmp_path).is_ours(result)
    Outputs().check(result)
    result.write_text("{ }")
    assert not Record(tmp_path).is_ours(result)
    with pytest.raises(UsageError, match="not as maskreel wrote it"):
        Outputs().check(result)


def test_a_file_of_a_unit_is_pending_until_it_is_settled(tmp_path: Path) -> None:
    outputs = Outputs(of_unit=True)
    path = outputs.claim(tmp_path / "a.json")
    with outputs.writing(path) as new:
        new.write_text("{}")
    assert outputs.sums == {"a.json": file_sum(path)}
    record = json.loads((tmp_path / "written.json").read_text())
    assert (list(record["files"]), list(record["pending"])) == ([], ["a.json"])
    assert Record(tmp_path).is_ours(path)
    Record(tmp_path).settle(outputs.sums)
    assert json.loads((tmp_path / "written.json").read_text()) == {"files": {}, "pending": {}}


def test_a_manifest_that_begins_anew_leaves_its_files_to_the_record(tmp_path: Path) -> None:
    kept, changed = tmp_path / "a.json", tmp_path / "b.json"
    kept.write_text("{}")
    changed.write_text("[]")
    sums = {path.name: file_sum(path) for path in (kept, changed)}
    Manifest(tmp_path).begin({}, iter([line("a", sums=sums)]))
    changed.write_text("[1]")
    Record(tmp_path).absorb()
    Manifest(tmp_path).begin({}, iter(()))
    assert Record(tmp_path).is_ours(kept)
    assert not Record(tmp_path).is_ours(changed)
