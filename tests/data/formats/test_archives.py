"""Zip archives: nothing leaves the private folder, sizes are counted, and what is no zip archive is named."""

import gzip
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from maskreel.data.formats import archives
from maskreel.data.formats.archives import unpacked
from maskreel.errors import DataError


def archive(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries:
            file.writestr(name, content)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_entries_lie_below_the_name_of_the_archive(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "task.zip", ("a/b.txt", b"1"), ("a\\c.txt", b"2"), ("__MACOSX/a/._b.txt", b""), ("d/", b"")
    )
    with unpacked(path) as folder:
        assert folder.name == "task"
        assert names(folder) == ["a/b.txt", "a/c.txt"]
        assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert not folder.exists()


@pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "C:\\out.txt", "a/../../out.txt", "..\\out.txt"])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / "task.zip", ("fine.txt", b"1"), (name, b"2"))
    with pytest.raises(DataError, match=r"task\.zip: the entry .* leaves the folder"), unpacked(path):
        pass
    assert names(tmp_path) == ["task.zip"]


def test_links_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = archive(tmp_path / "task.zip", (link, b"/etc/passwd"))
    with pytest.raises(DataError, match="the entry 'link' is a link or a device"), unpacked(path):
        pass


def test_an_archive_that_unpacks_to_much_more_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 1000)
    path = archive(tmp_path / "task.zip", ("zeros", bytes(2**22)))
    allowed = 200 * path.stat().st_size
    with pytest.raises(DataError, match=rf"unpacks to 4194304 bytes or more, {allowed} are allowed"), unpacked(path):
        pass


def test_a_size_that_is_a_lie_is_found_while_unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 1000)
    path = archive(tmp_path / "task.zip", ("zeros", bytes(2**22)))
    # Uncompressed sizes in the entry and in the directory at the end.
    content = path.read_bytes().replace((2**22).to_bytes(4, "little"), (500).to_bytes(4, "little"))
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"task\.zip: (unpacks to|a damaged zip archive)"), unpacked(path):
        pass


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_cut_archive_is_named(tmp_path: Path, share: float) -> None:
    path = archive(tmp_path / "task.zip", ("a.txt", bytes(range(256)) * 20))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match=r"task\.zip: a damaged zip archive"), unpacked(path):
        pass


def test_an_entry_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = archive(tmp_path / "task.zip", ("a.txt", b"1"), ("a.txt", b"2"))
    with pytest.raises(DataError, match=r"'a\.txt' stands twice"), unpacked(path):
        pass


@pytest.mark.parametrize("words", ["a gzip archive", "a tar archive"])
def test_other_archives_are_to_be_unpacked(tmp_path: Path, words: str) -> None:
    path = tmp_path / "task.archive"
    with tarfile.open(path, "w") as file:
        file.addfile(tarfile.TarInfo("a"), io.BytesIO())
    if words == "a gzip archive":
        path.write_bytes(gzip.compress(path.read_bytes()))
    with (
        pytest.raises(DataError, match=f"{words}, of which only zip archives are read; unpack it first"),
        unpacked(path),
    ):
        pass


def test_a_folder_is_left_as_it_is(tmp_path: Path) -> None:
    with unpacked(tmp_path) as folder:
        assert folder == tmp_path
