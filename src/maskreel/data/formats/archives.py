"""Annotations as they are downloaded, in a zip archive: unpacked into a private folder for as long as they are read.

Nothing leaves that folder: entries with absolute names or `..`, links and other special entries are refused, and what
is unpacked is counted while it is written, since an archive can claim any size.
"""

import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath, PurePosixPath

from maskreel.data.layouts import LEAVES_ROOT
from maskreel.errors import DataError
from maskreel.files import content_words

MAX_ENTRIES = 1_000_000
MAX_BYTES = 64 * 2**30
"""Of all entries unpacked."""
MAX_RATIO = 200
"""Unpacked bytes per packed byte, beyond `FREE_BYTES`; run lengths as text shrink to a thirtieth."""
FREE_BYTES = 256 * 2**20
CHUNK = 2**20

NOT_OURS = ("__MACOSX",)
"""Folders that macOS adds to archives."""


def is_of_mac(path: PurePath) -> bool:
    """Whether a name is that of a file that macOS keeps beside the real ones."""
    return path.name.startswith("._") or path.name == ".DS_Store" or any(part in NOT_OURS for part in path.parts)


@contextmanager
def unpacked(given: Path) -> Iterator[Path]:
    """The folder of what is in a zip archive, under the archive's name; `given` itself where it is none.

    Raises DataError for an archive that is damaged, locked or asks for more than the limits, and for archives of other
    kinds, which are to be unpacked first.
    """
    words = content_words(given) if given.is_file() else ""
    if not words.endswith(" archive"):
        yield given
        return
    if words != "a zip archive":
        raise DataError(f"{given}: {words}, of which only zip archives are read; unpack it first and name the folder")
    with tempfile.TemporaryDirectory(prefix="maskreel-unpacked-") as private:
        folder = Path(private) / (given.stem or "archive")
        folder.mkdir()
        try:
            with zipfile.ZipFile(given) as archive:
                _unpack(archive, folder, given)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise DataError(f"{given}: a damaged zip archive ({error}); download or export it again") from error
        except OSError as error:
            raise DataError(
                f"{given}: cannot be unpacked ({error.strerror or error}); unpack it and name the folder"
            ) from error
        yield folder


def _unpack(archive: zipfile.ZipFile, folder: Path, given: Path) -> None:
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise DataError(f"{given}: a zip archive of {len(entries)} entries; at most {MAX_ENTRIES} are unpacked")
    packed = given.stat().st_size
    limit = min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * packed))
    claimed = sum(entry.file_size for entry in entries)
    if claimed > limit:
        raise DataError(_too_large(given, claimed, limit))
    if claimed > shutil.disk_usage(folder).free:
        raise DataError(f"{given}: {claimed} bytes unpacked are more than {folder.parent.parent} has room for")
    written = 0
    for entry in entries:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if entry.is_dir() or is_of_mac(path):
            continue
        target = _target(entry, path, folder, given)
        with archive.open(entry) as source, target.open("xb") as file:
            while chunk := source.read(CHUNK):
                written += len(chunk)
                if written > limit:
                    raise DataError(_too_large(given, written, limit))
                file.write(chunk)


def _target(entry: zipfile.ZipInfo, path: PurePosixPath, folder: Path, given: Path) -> Path:
    """Where an entry goes; DataError for one that is no plain file, or is meant for a place outside."""
    kind = stat.S_IFMT(entry.external_attr >> 16)
    where = f"{given}: the entry {entry.filename[:80]!r}"
    if LEAVES_ROOT.search(str(path)) or not path.parts:
        raise DataError(f"{where} leaves the folder; the archive is not unpacked")
    if kind not in (0, stat.S_IFREG):
        raise DataError(f"{where} is a link or a device, not a file; unpack the archive yourself, if you trust it")
    if entry.flag_bits & 1:
        raise DataError(f"{where} is locked with a password; unpack the archive and name the folder")
    target = folder.joinpath(*path.parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(target):
        raise DataError(f"{where} stands twice in the archive; unpack it yourself and name the folder")
    return target


def _too_large(given: Path, size: int, limit: int) -> str:
    return (
        f"{given}: unpacks to {size} bytes or more, {limit} are allowed for an archive of its size; "
        "unpack it yourself, if you trust it, and name the folder"
    )
