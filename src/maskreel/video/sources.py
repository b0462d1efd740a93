"""From what a user names (files, folders, patterns) to the videos that are read."""

import glob
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

from maskreel.errors import UsageError
from maskreel.video.files import FrameSource, VideoFile
from maskreel.video.frame_folders import FRAME_RATE, FramePictures, in_frame_order, numbered_frames
from maskreel.video.pictures import is_image

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".ts", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv", ".gif", ".3gp"}
)
"""What is taken for a video where a folder is searched; a file that is named is opened whatever its name."""


@dataclass(frozen=True, kw_only=True)
class NamedSource:
    """A video that was named; `open` reads its beginning and raises DataError for a file that is none."""

    name: str
    stem: str
    """Name for files made from it."""
    open: Callable[[], FrameSource]
    video_id: int | None = None
    """Of a video in a data set."""
    is_missing: bool = False
    """Nothing of that name exists; `open` raises UsageError."""


def open_source(path: str | Path, *, frame_rate: Fraction = FRAME_RATE) -> FrameSource:
    """The one video that `path` names: a video file, a folder of frames, or a pattern of frames.

    Raises UsageError for what does not exist, DataError (VideoReadError) for what cannot be read.
    """
    found = find_sources([str(path)], frame_rate=frame_rate)
    if len(found) != 1:
        raise UsageError(f"{path}: names {len(found)} videos; give one of them")
    return found[0].open()


def find_sources(words: Sequence[str], *, frame_rate: Fraction = FRAME_RATE) -> list[NamedSource]:
    """The videos that the words name, in their order, nothing opened yet.

    A word is a video file, a folder of frames, a folder of videos, or a glob pattern. Pictures that come from one
    pattern, or stand one after the other and lie in one folder (a pattern that the shell has replaced), are the frames
    of one video. `frame_rate` is that of pictures, which know no time.
    """
    sources: list[NamedSource] = []
    loose: list[Path] = []
    for word in words:
        path = Path(word)
        is_loose = is_image(path) and path.is_file()
        if loose and not (is_loose and path.parent == loose[0].parent):
            sources.append(_pictures(loose, frame_rate))
            loose = []
        if is_loose:
            loose.append(path)
        elif path.exists():
            sources.extend(_from_path(path, frame_rate))
        elif glob.has_magic(word):
            sources.extend(_from_pattern(word, frame_rate))
        else:
            sources.append(_missing(word, "no such file or folder"))
    return [*sources, _pictures(loose, frame_rate)] if loose else sources


def _from_path(path: Path, frame_rate: Fraction) -> list[NamedSource]:
    if not path.is_dir():
        return [_video(path)]
    entries = sorted(entry for entry in path.iterdir() if entry.is_file())
    videos = [entry for entry in entries if entry.suffix.lower() in VIDEO_SUFFIXES]
    if videos and not any(is_image(entry) for entry in entries):
        return [_video(entry) for entry in videos]
    stem = path.resolve().name or "frames"

    def open_frames() -> FrameSource:
        return FramePictures(numbered_frames(path), name=str(path), frame_rate=frame_rate)

    return [NamedSource(name=str(path), stem=stem, open=open_frames)]


def _from_pattern(pattern: str, frame_rate: Fraction) -> list[NamedSource]:
    paths = [Path(match) for match in sorted(glob.glob(pattern, recursive=True))]
    if not paths:
        return [_missing(pattern, "no file matches this pattern")]
    is_picture = [is_image(path) and path.is_file() for path in paths]
    if all(is_picture):
        return [_pictures(paths, frame_rate, name=pattern)]
    if any(is_picture):
        other = paths[is_picture.index(False)]
        return [_missing(pattern, f"matches pictures and other things, such as {other}; use a narrower pattern")]
    return [source for path in paths for source in _from_path(path, frame_rate)]


def _video(path: Path) -> NamedSource:
    return NamedSource(name=str(path), stem=path.stem, open=partial(VideoFile, path))


def _pictures(paths: Sequence[Path], frame_rate: Fraction, name: str | None = None) -> NamedSource:
    paths = in_frame_order(paths)
    name = name or (str(paths[0]) if len(paths) == 1 else f"{paths[0]} ... {paths[-1].name}")
    stem = paths[0].stem if len(paths) == 1 else paths[0].resolve().parent.name or "frames"
    return NamedSource(name=name, stem=stem, open=partial(FramePictures, paths, name=name, frame_rate=frame_rate))


def _missing(name: str, reason: str) -> NamedSource:
    def refuse() -> FrameSource:
        raise UsageError(f"{name}: {reason}")

    return NamedSource(name=name, stem="", open=refuse, is_missing=True)
