"""Files and folders that are whole or not there at all, and sums that show damage."""

import gc
import hashlib
import json
import os
import re
import shutil
import signal
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maskreel.errors import DataError, UsageError


def model_places(run: Path) -> tuple[Path, Path, Path]:
    """Where the weights of a run folder or of a model folder may stand, the best first."""
    return run / "weights" / "best", run / "weights" / "last", run


@contextmanager
def collector_paused() -> Iterator[None]:
    """Let the cyclic garbage collector rest while many small objects are made, none of which is garbage.

    It would walk over all of them again and again: a third of the time of reading a large JSON file.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise DataError(f"{path}: the file is missing") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not JSON ({error})") from error
    if not isinstance(data, dict):
        raise DataError(f"{path}: holds a {type(data).__name__} where an object is expected")
    return data


@contextmanager
def complete_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill that takes its name only when the block has finished; on an error nothing changes.

    An older folder of that name is replaced.
    """
    new = _beside(folder)
    try:
        new.mkdir(parents=True)
        yield new
        with undisturbed():
            old = _beside(folder)
            if folder.exists():
                os.replace(folder, old)
            os.replace(new, folder)
            discard(old)
    finally:
        discard(new)


@contextmanager
def complete_file(path: Path) -> Iterator[Path]:
    """A file to write that takes its name only when the block has finished; on an error nothing changes.

    The temporary name keeps the ending, which some writers look at.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = _beside(path)
    try:
        yield new
        os.replace(new, path)
    finally:
        discard(new)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ctrl-C and the signals that end a process wait until the block is done: for cleaning up, which is short."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def discard(path: Path) -> None:
    """Remove a temporary file or folder, if it is there, whatever signal comes meanwhile."""
    with undisturbed():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


RECORD = "written.json"
"""What commands have written into a folder (see `outputs.py`)."""
_BESIDE_RESULTS = re.compile(r"written\.json|left_out(\..+)?\.json")


def is_beside_results(path: Path) -> bool:
    """Whether a file says how results came about, so that nobody takes it for annotations."""
    return _BESIDE_RESULTS.fullmatch(path.name) is not None


UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}(\..+)?")


def numbered_folder(base: Path) -> Path:
    """Make `base`, or `base`-2, `base`-3 ... where it exists, and return it."""
    for number in range(1, 1_000_000):
        folder = base if number == 1 else base.with_name(f"{base.name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise UsageError(f"{base}: too many folders of that name; remove some")


def _beside(path: Path) -> Path:
    # A name may have 255 bytes, and a temporary one is written in place of another temporary one.
    stem = path.stem if len(os.fsencode(path.stem)) < 200 else path.stem[:60]
    return path.with_name(f".{stem}.{uuid.uuid4().hex[:8]}{path.suffix}")


def remove_unfinished(folder: Path) -> None:
    """Clear a folder of what killed processes were still writing; only for folders that nobody else writes to."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if UNFINISHED.fullmatch(path.name):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def write_sums(folder: Path) -> None:
    """SHA-256 of every file of a folder, as `sums.json`."""
    sums = {path.name: file_sum(path) for path in sorted(folder.iterdir()) if path.name != "sums.json"}
    (folder / "sums.json").write_text(json.dumps(sums, indent=1) + "\n")


def check_sums(folder: Path, *, required: Iterable[str] = ()) -> None:
    """Raise DataError unless every file that `sums.json` lists is there and unchanged, and it lists the `required`."""
    sums = read_json(folder / "sums.json")
    for name in required:
        if name not in sums:
            raise DataError(f"{folder / 'sums.json'}: has no sum of {name}: the file is damaged or was edited")
    for name, expected in sums.items():
        path = folder / name
        if not path.is_file():
            raise DataError(f"{path}: the file is missing, though sums.json lists it")
        if file_sum(path) != expected:
            raise DataError(f"{path}: its SHA-256 differs from sums.json: the file is damaged or was edited")


def file_sum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: dict[str, Any]) -> None:
    with complete_file(path) as new:
        new.write_text(json.dumps(content, indent=1) + "\n")


UNKNOWN_CONTENT = "a file of an unknown kind"
"""What `content_words` says where it does not know."""

_MAGIC = (
    (b"\x1f\x8b", "a gzip archive"),
    (b"PK\x03\x04", "a zip archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a rar archive"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript document"),
    (b"ID3", "a sound file"),
    (b"\xff\xfb", "a sound file"),
    (b"\xff\xf3", "a sound file"),
    (b"fLaC", "a sound file"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file that it stands for: run `git lfs pull`"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"SIMPLE  =", "a FITS file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
)


def content_words(path: Path) -> str:
    """What a file holds, by its first bytes, in the words of an error message: "a PDF document", "plain text"."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        return f"a file that cannot be read ({error.strerror})"
    if not start:
        return "an empty file"
    if start[4:8] == b"ftyp" and start[8:12] in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"):
        return "a HEIC image (convert it to JPEG or PNG)"
    if start[:4] == b"RIFF" and start[8:12] == b"WAVE":
        return "a sound file"
    if start[257:262] == b"ustar":
        return "a tar archive"
    for magic, words in _MAGIC:
        if start.startswith(magic):
            return words
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head")):
        return "an HTML page (a download that asked for a confirmation or a login?)"
    if text.startswith(b"<svg") or b"<svg" in text[:300]:
        return "an SVG drawing"
    return "plain text" if _is_text(start) else UNKNOWN_CONTENT


def _is_text(start: bytes) -> bool:
    try:
        # The last character may be cut in two.
        words = start.decode("utf-8", errors="strict" if len(start) < 512 else "ignore")
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter in "\t\r\n\f\ufeff" for letter in words)
