"""Files that do not lie in a file system: object stores and what else fsspec opens (s3://, gs:// ...)."""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maskreel.errors import DataError, UsageError

NOT_STORED = frozenset({"http", "https", "file", "local", "data", "cached", "simplecache", "filecache"})
"""Schemes that fsspec knows and that are read otherwise, or hold nothing for another process."""


def is_stored(word: str) -> bool:
    """Whether a word is the address of a file or a folder in a store."""
    scheme, is_address, _ = word.partition("://")
    if not is_address or not scheme.isalnum() or scheme.lower() in NOT_STORED:
        return False
    import fsspec

    return scheme.lower() in fsspec.available_protocols()


@contextmanager
def told_of(address: str) -> Iterator[None]:
    """Failures of a store in one sentence: UsageError for what cannot be reached, DataError for what fails later."""
    try:
        yield
    except (UsageError, DataError):
        raise
    except ImportError as error:
        raise UsageError(f"{address}: the package for this kind of storage is missing ({error})") from error
    except FileNotFoundError as error:
        raise UsageError(f"{address}: no such file or folder in the storage") from error
    except PermissionError as error:
        raise UsageError(f"{address}: the storage refuses ({_line(error)}); see to its credentials") from error
    except Exception as error:
        raise DataError(f"{address}: the storage does not do it ({_line(error)})") from error


class Store:
    """A folder in a store."""

    def __init__(self, address: str) -> None:
        """UsageError where the package for it is missing."""
        self.address = address.rstrip("/")
        with told_of(self.address):
            from fsspec.core import url_to_fs

            self._fs, self._root = url_to_fs(self.address)

    def names(self, below: str = "") -> set[str]:
        """Of all files in a folder below, by their paths in it; none where it does not exist."""
        place = self._place(below).rstrip("/")
        with told_of(self.address):
            self._fs.invalidate_cache()
            try:
                found: Sequence[Any] = self._fs.find(place)
            except FileNotFoundError:
                return set()
        return {str(path).removeprefix(place).lstrip("/") for path in found}

    def put(self, name: str, path: Path) -> None:
        """Write a file, whole or not at all."""
        with told_of(self._at(name)):
            self._fs.put_file(str(path), self._place(name))

    def get(self, name: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with told_of(self._at(name)):
            self._fs.get_file(self._place(name), str(path))

    def sum_of(self, name: str) -> str | None:
        """SHA-256 of a file in hexadecimal, None where it is not there."""
        sums = hashlib.sha256()
        with told_of(self._at(name)):
            try:
                with self._fs.open(self._place(name), "rb") as file:
                    while block := file.read(2**22):
                        sums.update(block)
            except FileNotFoundError:
                return None
        return sums.hexdigest()

    def rename(self, name: str, other: str) -> None:
        with told_of(self._at(name)):
            self._fs.mv(self._place(name), self._place(other))

    def remove(self, folder: str) -> None:
        """A folder and all in it, where it is there."""
        with told_of(self._at(folder)):
            self._fs.invalidate_cache()
            if self._fs.exists(self._place(folder)):
                self._fs.rm(self._place(folder), recursive=True)

    def require_writable(self) -> None:
        """UsageError unless files can be made there."""
        mark = self._place(".maskreel")
        try:
            with told_of(self.address):
                self._fs.pipe_file(mark, b"")
                self._fs.rm_file(mark)
        except DataError as error:
            raise UsageError(f"{error}; choose another --out") from error

    def _place(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _at(self, name: str) -> str:
        return f"{self.address}/{name}"


class Fetched:
    """Files of a store on this machine, as long as this is kept."""

    def __init__(self, address: str, folder: Path) -> None:
        """Fetch a file, or all files of a folder, into a folder that goes with this."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        with told_of(address):
            from fsspec.core import url_to_fs

            fs, path = url_to_fs(address)
            for one in [path] if fs.isfile(path) else fs.find(path, maxdepth=1):
                fs.get_file(one, str(folder / Path(str(one)).name))

    def __del__(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def listed(address: str) -> tuple[list[str], list[str]]:
    """Files and folders that an address names, as addresses: itself, what it holds, or what it is a pattern for."""
    with told_of(address):
        from fsspec.core import url_to_fs

        fs, path = url_to_fs(address)
        if any(letter in path for letter in "*?["):
            found = {str(one["name"]): one for one in fs.glob(path, detail=True).values()}
        elif fs.isfile(path):
            return [address], []
        else:
            found = {str(one["name"]): one for one in fs.ls(path, detail=True)}
        found.pop(path.rstrip("/"), None)
        kinds: dict[str, list[str]] = {"file": [], "directory": []}
        for name in sorted(found):
            kinds.setdefault(found[name]["type"], []).append(fs.unstrip_protocol(name))
    return kinds["file"], kinds["directory"]


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
