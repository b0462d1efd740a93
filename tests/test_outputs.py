import json
import os
import threading
from pathlib import Path

import pytest

from maskreel.errors import DataError, UsageError
from maskreel.files import RECORD
from maskreel.outputs import Outputs, told_apart
from maskreel.written import Record, digest, without_outputs


def write(outputs: Outputs, path: Path, content: str = "ours") -> Path:
    outputs.claim(path)
    with outputs.writing(path) as new:
        new.write_text(content)
    return path


def fail_in(path: Path) -> None:
    if not path.is_dir():
        path.write_text("half")
    raise DataError(f"{path}: too odd")


def refused(path: Path, match: str, inputs: list[Path], *, overwrite: bool = False) -> None:
    before = path.read_bytes()
    with pytest.raises(UsageError, match=match):
        Outputs(inputs, overwrite=overwrite).claim(path, "--json")
    assert path.read_bytes() == before


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("way", ["itself", "link", "hard link", "link to its folder", "dots", "other case"])
def test_an_input_is_never_written_whatever_the_switches(tmp_path: Path, way: str, overwrite: bool) -> None:
    (tmp_path / "in").mkdir()
    source = tmp_path / "in" / "a.mp4"
    source.write_text("video")
    other = tmp_path / "b.mp4"
    if way == "itself":
        other = source
    elif way == "link":
        other.symlink_to(source)
    elif way == "hard link":
        os.link(source, other)
    elif way == "link to its folder":
        (tmp_path / "out").symlink_to(source.parent)
        other = tmp_path / "out" / "a.mp4"
    elif way == "dots":
        other = tmp_path / "in" / ".." / "in" / "a.mp4"
    else:
        other = tmp_path / "in" / "A.MP4"
        other.write_text("the same file, where names have no case")
    refused(
        other, "is read by this command and would be overwritten; choose another --json", [source], overwrite=overwrite
    )


def test_an_input_given_as_a_link_protects_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real.mp4").write_text("video")
    (tmp_path / "link.mp4").symlink_to("real.mp4")
    refused(tmp_path / "real.mp4", "is read", [tmp_path / "link.mp4"], overwrite=True)


def test_an_input_stays_even_where_it_is_ours(tmp_path: Path) -> None:
    ours = write(Outputs(), tmp_path / "a.json")
    refused(ours, "is read", [ours], overwrite=True)


def test_files_in_a_folder_that_is_read_are_inputs_unless_they_are_ours(tmp_path: Path) -> None:
    (tmp_path / "frame.png").write_text("frame")
    refused(tmp_path / "frame.png", "lies in a folder that is read", [tmp_path], overwrite=True)
    ours = write(Outputs([tmp_path]), tmp_path / "new.json")
    write(Outputs([tmp_path]), ours, "again")
    assert ours.read_text() == "again"


def test_a_file_of_somebody_else_needs_the_switch(tmp_path: Path) -> None:
    theirs = tmp_path / "a.json"
    theirs.write_text("theirs")
    refused(theirs, r"a\.json: exists, and is not as maskreel wrote it; choose another --json, or pass --overwrite", [])
    write(Outputs(overwrite=True), theirs)
    assert theirs.read_text() == "ours"


def test_a_dangling_link_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "a.json").symlink_to("gone")
    with pytest.raises(UsageError, match="not as maskreel wrote it"):
        Outputs().claim(tmp_path / "a.json")


def test_what_is_ours_and_unchanged_is_written_anew(tmp_path: Path) -> None:
    path = write(Outputs(), tmp_path / "a.json", "first")
    write(Outputs(), path, "second")
    assert path.read_text() == "second"
    assert json.loads((tmp_path / RECORD).read_text()) == {"files": {"a.json": digest(path)}, "pending": {}}


@pytest.mark.parametrize("change", ["longer", "others"])
def test_what_was_changed_is_not_ours_any_more(tmp_path: Path, change: str) -> None:
    path = write(Outputs(), tmp_path / "a.json", "first!")
    path.write_text(change)
    refused(path, "not as maskreel wrote it", [])


def test_a_killed_command_goes_on_over_what_it_left(tmp_path: Path) -> None:
    """Before and after the moment in which the new file takes its name."""
    path = write(Outputs(), tmp_path / "a.json", "first")
    new = tmp_path / ".new"
    new.write_text("second")
    record = Record(tmp_path)
    with pytest.raises(KeyboardInterrupt), record.taking({"a.json": new}):
        raise KeyboardInterrupt
    assert Record(tmp_path).is_ours(path)
    os.replace(new, path)
    assert Record(tmp_path).is_ours(path)
    path.write_text("third!")
    assert not Record(tmp_path).is_ours(path)


@pytest.mark.parametrize(
    "content", ["", "{}", "[1]", '{"files": {"a": 1}, "pending": {}}', '{"files": [], "pending": {}}']
)
def test_a_record_that_is_something_else_is_kept(tmp_path: Path, content: str) -> None:
    (tmp_path / RECORD).write_text(content)
    with pytest.raises(UsageError, match=r"written\.json: is no record of what maskreel wrote"):
        Outputs().claim(tmp_path / "a.json")
    assert (tmp_path / RECORD).read_text() == content
    write(Outputs(overwrite=True), tmp_path / "a.json")
    assert Record(tmp_path).is_ours(tmp_path / "a.json")
    with pytest.raises(UsageError, match="is no record"):
        Outputs([tmp_path / RECORD], overwrite=True).claim(tmp_path / "a.json")


def test_one_name_is_given_once(tmp_path: Path) -> None:
    outputs = Outputs()
    outputs.claim(tmp_path / "a.json", "--json")
    with pytest.raises(UsageError, match=r"a\.json: is named twice \(--csv and --json\)"):
        outputs.claim(tmp_path / "." / "a.json", "--csv")


def test_a_folder_and_a_place_that_cannot_be_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a folder; name a file with --json"):
        Outputs().claim(tmp_path, "--json")
    with pytest.raises(UsageError, match=r"cannot write there .*; choose another --out"):
        Outputs().claim(tmp_path / "file" / "a.json")
    with pytest.raises(UsageError, match=r"file: cannot write there"):
        Outputs().claim_folder(tmp_path / "file", Path("unused"))


def test_claims_make_nothing_and_a_new_folder_goes_with_the_failure(tmp_path: Path) -> None:
    Outputs().claim(tmp_path / "new" / "deep" / "a.json")
    assert list(tmp_path.iterdir()) == []
    outputs = Outputs()
    with pytest.raises(DataError), outputs:
        fail_in(outputs.claim_folder(None, tmp_path / "runs"))
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = write(Outputs(), tmp_path / "a.json")
    outputs = Outputs()
    outputs.claim(path)
    with pytest.raises(DataError, match=rf"^{path}: too odd$"), outputs.writing(path) as new:
        fail_in(new)
    assert path.read_text() == "ours"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.json", RECORD]


@pytest.mark.parametrize("number", [28, 27, 122])
def test_a_full_disk_is_one_sentence_with_the_name_that_the_user_knows(tmp_path: Path, number: int) -> None:
    outputs = Outputs()
    path = outputs.claim(tmp_path / "a.mp4")
    sentence = r"a\.mp4: cannot be written \(.*\); make room, or choose another --out"
    with pytest.raises(DataError, match=sentence), outputs.writing(path) as new:
        raise OSError(number, "no", str(new))
    assert list(tmp_path.iterdir()) == []


def test_other_failures_stay_what_they_are(tmp_path: Path) -> None:
    outputs = Outputs()
    path = outputs.claim(tmp_path / "a.mp4")
    with pytest.raises(FileNotFoundError), outputs.writing(path):
        (tmp_path / "gone.mp4").read_bytes()


def test_a_device_is_written_into(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write(Outputs(), pipe, "through")
    reader.join()
    assert read == ["through"]
    assert pipe.is_fifo()


def test_a_whole_folder_holds_its_names_alone(tmp_path: Path) -> None:
    folder = tmp_path / "model"

    def make(outputs: Outputs, content: str) -> None:
        outputs.claim_whole_folder(folder, ["config.json"], "OUT")
        with outputs.writing_folder(folder) as new:
            (new / "config.json").write_text(content)

    make(Outputs(), "first")
    make(Outputs(), "second")
    assert (folder / "config.json").read_text() == "second"
    (folder / "config.json").write_text("edited")
    with pytest.raises(UsageError, match=r"config\.json: exists, and is not as maskreel wrote it; choose another OUT"):
        make(Outputs(), "third")
    make(Outputs(overwrite=True), "third")
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"model: exists already and holds notes\.txt; choose another OUT"):
        make(Outputs(overwrite=True), "fourth")
    assert (folder / "notes.txt").read_text() == "mine"
    with pytest.raises(UsageError, match="a file of that name exists"):
        Outputs().claim_whole_folder(folder / "notes.txt", [], "OUT")


def test_names_that_meet_are_told_apart() -> None:
    assert told_apart(["a", "A", "a-2", "é", "é", "written", "results"], reserved=["results"]) == [
        "a",
        "A-2",
        "a-2-2",
        "é",
        "é-2",
        "written-2",
        "results-2",
    ]
    assert told_apart(["a", "a-2", "a", "b", "a", "A-2"]) == ["a", "a-2", "a-3", "b", "a-4", "A-2-2"]


def test_long_names_are_cut_between_letters_and_stay_apart() -> None:
    first, second = told_apart(["動" * 90 + "a", "動" * 90 + "b"])
    assert first != second
    assert max(len(os.fsencode(name)) for name in (first, second)) <= 210
    assert set(first) == {"動"}


def test_outputs_are_no_sources(tmp_path: Path) -> None:
    ours = write(Outputs(), tmp_path / "a_overlay.mp4")
    (tmp_path / "a.mp4").write_text("video")
    paths = sorted(tmp_path.iterdir())
    assert without_outputs(paths) == [tmp_path / "a.mp4"]
    ours.write_text("cut by hand")
    assert without_outputs(paths) == [tmp_path / "a.mp4", ours]
