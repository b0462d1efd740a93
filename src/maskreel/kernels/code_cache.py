"""Object code kept between processes, in a folder of the user's cache that only the user can write.

Whoever can write a file that is loaded as code owns the process, so both the folder and the file must belong to this
user and to nobody else; what is not so is passed over, and the code is compiled in memory. So is everything else that
may be wrong with the folder or a file: nothing here raises.
"""

import hashlib
import os
import tempfile
from pathlib import Path

from maskreel.files import complete_file

_SUM_BYTES = hashlib.sha256().digest_size


def read(name: str) -> bytes | None:
    """What was kept under this name; None where there is nothing, or nothing to rely on."""
    kept = folder()
    try:
        if kept is None or not _is_private(kept.stat()):
            return None
        with (kept / name).open("rb") as file:
            content = file.read() if _is_private(os.fstat(file.fileno())) else b""
    except OSError:
        return None
    return content[_SUM_BYTES:] if _sum(content[_SUM_BYTES:]) == content[:_SUM_BYTES] else None


def write(name: str, content: bytes) -> None:
    """Keep it, if that is possible."""
    kept = folder()
    if kept is None:
        return
    try:
        kept.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _is_private(kept.stat()):
            with complete_file(kept / name) as new, open(new, "xb", opener=_open_private) as file:
                file.write(_sum(content) + content)
    except OSError:
        return


def obstacle() -> str | None:
    """Why nothing can be kept here, as a phrase; None where it can."""
    kept = folder()
    if kept is None:
        return "there is no home folder, and XDG_CACHE_HOME names no absolute path"
    try:
        kept.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=kept):
            return None if _is_private(kept.stat()) else f"{kept} can be written by others, so nothing is read from it"
    except OSError as error:
        return f"{kept} cannot be written ({error.strerror})"


def folder() -> Path | None:
    """Where code is kept; None where no absolute path is known: nothing is read from the current folder."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(cache):
        cache = os.path.expanduser("~/.cache")
    return Path(cache, "maskreel", "compiled") if os.path.isabs(cache) else None


def _is_private(status: os.stat_result) -> bool:
    """Whether a folder or file is this user's and nobody else can write it; where files have no owners, always."""
    return not hasattr(os, "geteuid") or (status.st_uid == os.geteuid() and not status.st_mode & 0o022)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sum(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
