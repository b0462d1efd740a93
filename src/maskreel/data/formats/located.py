"""Images by the names that annotations give them: with folders, backslashes, or a path of another machine."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from maskreel.data.formats.annotations import check_name
from maskreel.data.formats.images import image_size
from maskreel.data.records import shortened, whole
from maskreel.errors import DataError
from maskreel.geometry.rle import MAX_PIXELS
from maskreel.video.images import is_image

MOST_FILES = 1_000_000
"""That are looked at for a name that is not where it says."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://[^/]*/+")
_ROOT = re.compile(r"^(?:[A-Za-z][A-Za-z0-9+.-]+://[^/]*/+|[A-Za-z]:/+|/+|(?:\./+)+)")
_STRANGE = re.compile(r'[<>:"|?*\x00-\x1f]')
"""Characters that not every file system has in names."""


def plain_path(name: str, where: str) -> str:
    """The name of a file as a relative path with slashes; a drive, a root or a host before it, and what an address has
    behind it, are dropped.

    DataError for a name with `..`, and for an empty one.
    """
    address = _ADDRESS.match(name)
    name = unquote(re.split("[?#]", name[address.end() :])[0]) if address else name
    return check_name(_ROOT.sub("", name.replace("\\", "/")), where)


def plain_name(name: str) -> str:
    """The name of a video as one that every file system can have; slashes separate folders."""
    parts = _ROOT.sub("", name.replace("\\", "/")).split("/")
    return "/".join(_STRANGE.sub("_", part).strip().rstrip(".") or "_" if part != ".." else part for part in parts)


def _ends(name: str) -> list[str]:
    """The name, and what is left of it without its first folder, its second, and so on."""
    parts = PurePosixPath(name).parts
    return ["/".join(parts[start:]) for start in range(len(parts))]


def size_of(height: Any, width: Any, image: Path | None, where: str) -> tuple[int, int]:
    """(height, width) as a file states it or, where it states none (nothing, 0, -1), as the image has it.

    DataError where neither tells it, and for more pixels than a mask may have.
    """
    sides = [whole(height), whole(width)]
    if any(side is None or side < 1 for side in sides):
        if image is None:
            raise DataError(
                f"{where}: its size is given as {shortened(width)}x{shortened(height)}, and no image tells it; "
                "name the folder of the images with --images"
            )
        sides = list(image_size(image)[::-1])
    rows, columns = (int(side or 0) for side in sides)
    if rows * columns > MAX_PIXELS:
        raise DataError(f"{where}: a frame of {columns}x{rows} pixels; at most {MAX_PIXELS} are supported")
    return rows, columns


class ImageFinder:
    """The images in some folders, by the names that annotations give them."""

    def __init__(self, folders: Sequence[Path], names: Iterable[str]) -> None:
        """`names` are all that are going to be asked for, as relative paths."""
        self.folders = [folder for folder in folders if folder.is_dir()]
        self._ends = Counter(end for name in set(names) for end in _ends(name))

    def find(self, name: str) -> Path | None:
        """The file of a relative name, in the first folder that has it.

        Folders at the head of the name, as on another machine, need not be there, as long as no other name ends alike;
        nor need any, where a single image of that name lies below.
        """
        for end in _ends(name):
            if self._ends[end] > 1 and end != name:
                return None
            for folder in self.folders:
                path = folder / end
                if path.is_file():
                    return path
        found = self._by_name.get(name.rpartition("/")[2], [])
        return found[0] if len(found) == 1 else None

    def find_stem(self, stem: str) -> Path | None:
        """The single image of a name without ending."""
        found = self._by_stem.get(PurePosixPath(stem).name, [])
        below = [path for path in found if path.with_suffix("").as_posix().endswith(f"/{stem}")]
        return below[0] if len(below) == 1 else found[0] if len(found) == 1 else None

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        return self._grouped("name")

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        return self._grouped("stem")

    def _grouped(self, part: str) -> dict[str, list[Path]]:
        groups: dict[str, list[Path]] = {}
        for path in self._every:
            groups.setdefault(getattr(path, part), []).append(path)
        return groups

    @cached_property
    def _every(self) -> list[Path]:
        found: dict[Path, None] = {}
        for folder in self.folders:
            for base, folders, files in os.walk(folder):
                folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
                for name in sorted(files):
                    if is_image(Path(name)) and len(found) < MOST_FILES:
                        found[Path(base, name)] = None
        return list(found)
