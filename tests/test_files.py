"""Files and folders that are whole or not there at all, and sums that show damage."""

import gc
import hashlib
import json
from pathlib import Path

import pytest

from maskreel.errors import DataError
from maskreel.files import (
    UNFINISHED,
    check_sums,
    collector_paused,
    complete_file,
    complete_folder,
    model_places,
    numbered_folder,
    read_json,
    remove_unfinished,
    write_json,
    write_sums,
)


class Stopped(Exception):
    """Stands for whatever stops a writer half-way."""


def write_half(path: Path) -> None:
    path.write_text("half")
    raise Stopped


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_takes_its_name_when_it_is_complete(tmp_path: Path) -> None:
    with complete_folder(tmp_path / "deep" / "model") as new:
        (new / "a.txt").write_text("a")
        assert not (tmp_path / "deep" / "model").exists()
        assert new.parent == tmp_path / "deep"
    assert names(tmp_path / "deep") == ["model"]
    assert (tmp_path / "deep" / "model" / "a.txt").read_text() == "a"


def test_an_older_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with complete_folder(tmp_path / "model") as new:
            (new / f"{content}.txt").write_text(content)
    assert names(tmp_path) == ["model"]
    assert names(tmp_path / "model") == ["new.txt"]


def test_an_older_folder_survives_a_failure(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old.txt").write_text("old")
    with pytest.raises(Stopped), complete_folder(tmp_path / "model") as new:
        write_half(new / "half.txt")
    assert names(tmp_path) == ["model"]
    assert names(tmp_path / "model") == ["old.txt"]


def test_a_file_takes_its_name_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "film.mp4"
    with complete_file(path) as new:
        assert new.suffix == ".mp4"
        new.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert names(path.parent) == ["film.mp4"]


def test_an_older_file_survives_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("old")
    with pytest.raises(Stopped), complete_file(path) as new:
        write_half(new)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["results.json"]


def test_a_writer_that_wrote_nothing_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), complete_file(tmp_path / "results.json"):
        pass
    assert names(tmp_path) == []


def test_sums_accept_what_was_written_and_tell_what_changed(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"a" * 1000)
    (tmp_path / "b.bin").write_bytes(b"b")
    write_sums(tmp_path)
    assert set(json.loads((tmp_path / "sums.json").read_text())) == {"a.bin", "b.bin"}
    check_sums(tmp_path, required=("a.bin", "b.bin"))
    (tmp_path / "a.bin").write_bytes(b"a" * 999 + b"c")
    with pytest.raises(DataError, match=r"a\.bin: its SHA-256 differs from sums\.json"):
        check_sums(tmp_path)
    (tmp_path / "a.bin").unlink()
    with pytest.raises(DataError, match=r"a\.bin: the file is missing, though sums\.json lists it"):
        check_sums(tmp_path)


def test_a_required_file_must_have_a_sum(tmp_path: Path) -> None:
    write_sums(tmp_path)
    with pytest.raises(DataError, match=r"sums\.json: has no sum of a\.bin"):
        check_sums(tmp_path, required=("a.bin",))


def test_a_required_file_that_was_put_there_later_has_no_sum(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"a")
    write_sums(tmp_path)
    (tmp_path / "b.bin").write_bytes(b"b")
    check_sums(tmp_path)
    with pytest.raises(DataError, match=r"sums\.json: has no sum of b\.bin"):
        check_sums(tmp_path, required=("a.bin", "b.bin"))


def test_every_file_has_a_sum_whatever_its_ending(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors", "README"):
        (tmp_path / name).write_text(name)
    write_sums(tmp_path)
    sums = json.loads((tmp_path / "sums.json").read_text())
    assert sums == {name: hashlib.sha256(name.encode()).hexdigest() for name in sorted(sums)}
    assert set(sums) == {"config.json", "model.safetensors", "README"}


def test_every_sum_is_looked_at(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_text(name)
    write_sums(tmp_path)
    for name in "abc":
        (tmp_path / name).write_text("damaged")
        with pytest.raises(DataError, match=f"{name}: its SHA-256 differs"):
            check_sums(tmp_path)
        (tmp_path / name).write_text(name)


def test_an_older_folder_stays_in_place_until_the_new_one_is_complete(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old.txt").write_text("old")
    with complete_folder(tmp_path / "model") as new:
        assert names(tmp_path / "model") == ["old.txt"]
        (new / "new.txt").write_text("new")
    assert names(tmp_path) == ["model"]
    assert names(tmp_path / "model") == ["new.txt"]


def test_folders_of_the_same_name_are_numbered(tmp_path: Path) -> None:
    made = [numbered_folder(tmp_path / "deep" / "run") for _ in range(3)]
    assert [folder.name for folder in made] == ["run", "run-2", "run-3"]
    assert all(folder.is_dir() for folder in made)


def test_what_killed_processes_were_writing_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    kept = [".hidden", ".git", ".film.0123456.mp4", ".film.0123456g.mp4", "film.01234567.mp4", "results.json"]
    for name in (*kept, ".film.01234567.mp4", ".results.89abcdef"):
        (tmp_path / name).touch()
    (tmp_path / ".model.fedcba98").mkdir()
    (tmp_path / ".model.fedcba98" / "half.txt").touch()
    remove_unfinished(tmp_path)
    assert names(tmp_path) == sorted(kept)
    remove_unfinished(tmp_path / "nothing")


def test_unfinished_names_are_those_that_are_cleared(tmp_path: Path) -> None:
    with complete_file(tmp_path / "film.mp4") as new:
        assert UNFINISHED.fullmatch(new.name)
        new.touch()
    with complete_folder(tmp_path / "model") as new:
        assert UNFINISHED.fullmatch(new.name)


@pytest.mark.parametrize("was_enabled", [True, False])
def test_the_collector_rests_and_is_afterwards_as_it_was(was_enabled: bool) -> None:
    (gc.enable if was_enabled else gc.disable)()
    try:
        with collector_paused():
            assert not gc.isenabled()
        assert gc.isenabled() == was_enabled
    finally:
        gc.enable()


def test_json_is_written_whole_and_read_back(tmp_path: Path) -> None:
    content = {"a": [1, 2.5, None], "b": {"c": "ü"}}
    write_json(tmp_path / "deep" / "a.json", content)
    assert read_json(tmp_path / "deep" / "a.json") == content
    assert names(tmp_path / "deep") == ["a.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"", "not JSON"),
        (b"[1]", "holds a list where an object is expected"),
        (b"null", "holds a NoneType where an object is expected"),
    ],
)
def test_json_that_is_no_object_is_one_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"config\.json: {message}") as caught:
        read_json(path)
    assert "\n" not in str(caught.value)


def test_json_that_is_missing_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"config\.json: the file is missing"):
        read_json(tmp_path / "config.json")


def test_the_best_weights_of_a_run_go_before_the_last_and_these_before_its_own_folder() -> None:
    run = Path("run")
    assert model_places(run) == (run / "weights/best", run / "weights/last", run)
