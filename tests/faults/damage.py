"""What can be wrong with a file or a folder, as a table: each fault says what it does, and where it makes no sense."""

import json
import os
import re
import shutil
import struct
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.faults.subjects import Subject

FLIPS = 100
"""Places of one cell."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One kind of damage to a path."""

    name: str
    apply: Callable[[Path, Subject], None]
    meaningless: dict[str, str]
    """Why it makes no sense, by kind of subject."""
    fails: bool = False
    """Whether no reader may pass over it in a main file."""


def _absent(path: Path, subject: Subject) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _empty(path: Path, subject: Subject) -> None:
    if not path.is_dir():
        path.write_bytes(b"")
        return
    for entry in path.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _cut(share: float) -> Callable[[Path, Subject], None]:
    def apply(path: Path, subject: Subject) -> None:
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file())
            for file in files[int(share * len(files)) :]:
                file.unlink()
        else:
            content = path.read_bytes()
            path.write_bytes(content[: int(share * len(content))])

    return apply


def flip(path: Path, place: int) -> None:
    """Change one byte of a file, or of one of a folder's files; `place` chooses which and how."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    generator = np.random.default_rng(place)
    file = files[int(generator.integers(len(files)))]
    content = bytearray(file.read_bytes())
    if content:
        content[int(generator.integers(len(content)))] ^= int(generator.integers(1, 256))
        file.write_bytes(content)


def _wrong_type(path: Path, subject: Subject) -> None:
    is_folder = path.is_dir()
    _absent(path, subject)
    if is_folder:
        path.write_text("a file")
    else:
        path.mkdir()


def _foreign(path: Path, subject: Subject) -> None:
    """Another version says so; a folder holds what another tool wrote."""
    if path.is_dir():
        (path / "README.html").write_text("<!doctype html><title>not this</title>")
        (path / "meta.json").write_text('{"version": 99, "dataset": {"samples": []}}')
        (path / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" * 20)
    elif subject.kind in ("json", "record"):
        document = json.loads(path.read_text())
        changed = {"version": 99, "format": 99, "payload": document}
        path.write_text(json.dumps(changed))
    else:
        path.write_text("<!doctype html><html><body>Sign in to download</body></html>")


def _too_large(path: Path, subject: Subject) -> None:
    content = path.read_bytes()
    if subject.kind == "json":
        words = re.sub(
            rb'("(?:width|height|length|id|size|imageHeight|imageWidth)": ?\[?)\d+', rb"\g<1>1000000000", content
        )
        path.write_bytes(words)
    elif subject.kind == "text":
        path.write_bytes(re.sub(rb"\b\d+\b", b"1000000000", content))
    elif content.startswith(b"\x89PNG"):
        header = content[12:16] + struct.pack(">II", 60_000, 60_000) + content[24:29]
        path.write_bytes(content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:])
    elif subject.kind == "weights" and content[8:9] == b"{":
        length = int.from_bytes(content[:8], "little")
        header = re.sub(rb'"shape":\[\d+', b'"shape":[1000000000', content[8 : 8 + length])
        path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])
    else:
        # Sizes of most containers are words of 2 or 4 bytes near the beginning.
        for place in (6, 8, 16, 20, 24):
            content = content[:place] + b"\xff\xff" + content[place + 2 :]
        path.write_bytes(content)


def _odd_name(path: Path, subject: Subject) -> None:
    """Bytes that are no letters, the longest name there may be, and one of blanks and line ends."""
    folder = path if path.is_dir() else path.parent
    for name in (
        b"\xff\xfe" + os.fsencode(path.suffix),
        b"n" * (255 - len(path.suffix)) + os.fsencode(path.suffix),
        b" \n ",
    ):
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(path.read_bytes() if path.is_file() else b"odd")


def _read_only(path: Path, subject: Subject) -> None:
    """Neither to be read nor written; the cell is run without the rights of root."""
    path.chmod(0)


class Vanishing:
    """Removes a path as soon as it, or a file in it, is about to be opened for reading."""

    def __init__(self) -> None:
        self._armed: Path | None = None
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[object, ...]) -> None:
        armed = self._armed
        if event != "open" or armed is None or not isinstance(arguments[0], str | bytes):
            return
        opened = os.fsdecode(arguments[0])
        if opened == str(armed) or opened.startswith(f"{armed}{os.sep}"):
            self._armed = None
            _absent(armed, None) if armed.exists() else None  # type: ignore[arg-type]

    def arm(self, path: Path | None) -> None:
        self._armed = path


VANISHING = Vanishing()


def _vanishes(path: Path, subject: Subject) -> None:
    VANISHING.arm(path)


FAULTS = {
    fault.name: fault
    for fault in (
        Fault(
            name="absent", apply=_absent, meaningless={"record": "a folder without one is every new folder"}, fails=True
        ),
        Fault(name="empty", apply=_empty, meaningless={}),
        Fault(name="cut at 10 %", apply=_cut(0.1), meaningless={}),
        Fault(name="cut at 50 %", apply=_cut(0.5), meaningless={}),
        Fault(name="cut at 90 %", apply=_cut(0.9), meaningless={}),
        Fault(name="one byte flipped", apply=lambda path, subject: None, meaningless={}),
        Fault(name="wrong type", apply=_wrong_type, meaningless={}),
        Fault(name="foreign version", apply=_foreign, meaningless={"cache": "its name holds the version"}),
        Fault(
            name="too large",
            apply=_too_large,
            meaningless={
                "folder": "a folder claims no size",
                "cache": "it claims no size",
                "record": "its sizes are only compared",
            },
        ),
        Fault(name="unreadable name", apply=_odd_name, meaningless={}),
        Fault(name="read-only", apply=_read_only, meaningless={}),
        Fault(name="vanishes midway", apply=_vanishes, meaningless={}),
    )
}
