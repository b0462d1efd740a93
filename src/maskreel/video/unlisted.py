"""Files of a folder that hold images or videos, or look like it, and are not read: each is accounted for in a line."""

import mimetypes
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

OTHER_SUFFIXES = frozenset(
    {
        *(".heic", ".heif", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".exr", ".hdr"),
        *(".psd", ".svg", ".tga", ".jxl", ".ico", ".npy", ".npz", ".eps", ".pcx", ".dds", ".fits", ".mpo", ".cur"),
        *(".divx", ".xvid", ".rm", ".rmvb", ".m2v", ".m1v", ".mod", ".tod", ".trp", ".m2t", ".amv", ".insv", ".lrv"),
        *(".bik", ".smk", ".braw", ".r3d", ".ari", ".mjp2", ".wtv", ".fli", ".flc", ".yuv", ".av1", ".vp9", ".part"),
    }
)
"""Endings that a person takes for images or videos, beside those that the operating system knows."""

_STARTS = (
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"II*\x00",
    b"MM\x00*",
    b"\x1aE\xdf\xa3",
    b"OggS",
    b"FLV\x01",
    b"YUV4MPEG2",
)
"""First bytes of images and videos."""


def unread(paths: Iterable[Path]) -> str:
    """How many of the files, none of which is read, hold images or videos, by their endings; empty where none does."""
    endings = Counter(path.suffix.lower() or f"{path.name} without an ending" for path in paths if _is_media(path))
    return ", ".join(f"{count} {ending}" if ending[0] == "." else ending for ending, count in sorted(endings.items()))


def _is_media(path: Path) -> bool:
    if path.name.startswith(".") or not path.is_file():
        return False
    kind = mimetypes.guess_type(path.name)[0] or ""
    if path.suffix.lower() in OTHER_SUFFIXES or kind.startswith(("image/", "video/")):
        return True
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        return False
    is_riff = start[:4] == b"RIFF" and start[8:12] in (b"AVI ", b"WEBP")
    return is_riff or start[4:8] == b"ftyp" or start.startswith(_STARTS)
