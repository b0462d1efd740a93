"""Faults of the frames on disk: missing, renamed, damaged, of another size, or links out of the data set."""

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from maskreel.data.check.annotations import CheckedVideo
from maskreel.data.check.problems import Problems
from maskreel.data.layouts import LEAVES_ROOT
from maskreel.errors import VideoReadError
from maskreel.video.images import UNREADABLE, check_pixels, is_image, open_image, size_words, upright_size

Renamed = dict[tuple[int, int], str]
"""Name under which (video id, frame) was found."""


def check_frames(root: Path, folder: Path, videos: Sequence[CheckedVideo], problems: Problems) -> Renamed:
    """Decode every frame that the videos list; notes what is wrong and returns the frames that bear another name."""
    allowed = (folder.resolve(), root.resolve())
    listed = {name for video in videos for name in video.file_names}
    renamed: Renamed = {}
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for video in videos:
            names = [name for name in video.file_names if not LEAVES_ROOT.search(name)]
            is_present = [os.path.isfile(folder / name) for name in names]
            present = [name for name, there in zip(names, is_present, strict=True) if there]
            absent = [name for name, there in zip(names, is_present, strict=True) if not there]
            found = _other_names(folder, absent, listed)
            for name, other in found.items():
                renamed |= {(video.id, t): other for t, own in enumerate(video.file_names) if own == name}
            _note_absent(video, names, absent, found, problems)
            states = pool.map(partial(_fault, folder, allowed, (video.width, video.height)), present)
            for name, fault in zip(present, states, strict=True):
                if fault is not None:
                    problems.note(fault[0], f"video {video.id}, frame {name}", fault[1])
    _note_unlisted(folder, listed, set(renamed.values()), problems)
    return renamed


def _note_absent(
    video: CheckedVideo, names: Sequence[str], absent: Sequence[str], found: dict[str, str], problems: Problems
) -> None:
    """One line per video, however many of its frames are gone."""
    where = f"video {video.id}"
    if found:
        name, other = next(iter(found.items()))
        problems.note("frame-renamed", where, f"{len(found)} of {len(names)} frames: {name} is there as {other}")
    if gone := [name for name in absent if name not in found]:
        shown = ", ".join(gone[:3]) + (", ..." if len(gone) > 3 else "")
        problems.note("frame-missing", where, f"{len(gone)} of {len(names)} frames do not exist: {shown}")


def _other_names(folder: Path, absent: Sequence[str], listed: set[str]) -> dict[str, str]:
    """Files of the same folder and number as frames that are absent, where there is exactly one and nobody lists it."""
    found: dict[str, str] = {}
    for parent in {Path(name).parent for name in absent}:
        by_number: dict[object, list[str]] = {}
        for path in _images(folder / parent):
            name = (parent / path.name).as_posix()
            if name not in listed:
                by_number.setdefault(_number(path.stem), []).append(name)
        for name in absent:
            candidates = by_number.get(_number(Path(name).stem), []) if Path(name).parent == parent else []
            if len(candidates) == 1:
                found[name] = candidates[0]
    # Two frames that would be one file are no renaming.
    return {name: other for name, other in found.items() if list(found.values()).count(other) == 1}


def _number(stem: str) -> object:
    """The last number in a name, else the name in lower case."""
    numbers = re.findall(r"\d+", stem)
    return int(numbers[-1]) if numbers else stem.lower()


def _images(folder: Path) -> Iterator[Path]:
    if os.path.isdir(folder):
        yield from sorted(path for path in folder.iterdir() if is_image(path))


def _fault(folder: Path, allowed: Sequence[Path], size: tuple[int, int], name: str) -> tuple[str, str] | None:
    """Kind and words of what is wrong with one file, if anything is."""
    path = folder / name
    target = Path(os.path.realpath(path))
    if not any(target.is_relative_to(parent) for parent in allowed):
        return "frame-link", "is a link out of the data set"
    return image_fault(path, size)


def image_fault(path: Path, size: tuple[int, int]) -> tuple[str, str] | None:
    """Kind and words of what is wrong with an image that is to be of a size (width, height)."""
    try:
        with open_image(path) as image:
            shown = upright_size(image)
            if shown != size:
                return "frame-size", f"{size_words(shown, image.size)} where the video has {size[0]}x{size[1]}"
            check_pixels(image)
    except VideoReadError as error:
        return "frame-unreadable", error.reason
    except UNREADABLE as error:
        return "frame-unreadable", f"cannot be decoded ({error})"
    return None


def _note_unlisted(folder: Path, listed: set[str], renamed: set[str], problems: Problems) -> None:
    for parent in sorted({Path(name).parent for name in listed if not LEAVES_ROOT.search(name)}):
        names = [(parent / path.name).as_posix() for path in _images(folder / parent)]
        surplus = [name for name in names if name not in listed and name not in renamed]
        if surplus:
            problems.note("frame-unlisted", f"folder {parent}", f"{len(surplus)} images more, such as {surplus[0]}")
