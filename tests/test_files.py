"""Files and folders that are whole or not there at all, and sums that show damage."""

import json
from pathlib import Path

import pytest

from maskreel.errors import DataError
from maskreel.files import check_sums, complete_file, complete_folder, read_json, write_sums


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
