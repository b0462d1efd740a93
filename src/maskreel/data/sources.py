"""From what a user names (files, folders, patterns) to the videos that are read."""

import glob
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from maskreel.data.frame_folders import FRAME_RATE, FramePictures, in_frame_order, is_image, numbered_frames
from maskreel.data.video_files import FrameSource, VideoFile
from maskreel.errors import UsageError

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".ts", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv", ".gif", ".3gp"}
)
"""What is taken for a video where a folder is searched; a file that is named is opened whatever its name."""


@dataclass(frozen=True, kw_only=True)
class NamedSource:
    """A video that exists by name; `open` reads its beginning and raises VideoReadError or DataError."""

    name: str
    open: Callable[[], FrameSource]


def open_source(path: str | Path, *, frame_rate: Fraction = FRAME_RATE) -> FrameSource:
    """The one video that `path` names: a video file, a folder of frames, or a pattern of frames."""
    found = find_sources([str(path)], frame_rate=frame_rate)
    if len(found) != 1:
        raise UsageError(f"{path}: names {len(found)} videos; give one of them")
    return found[0].open()


def find_sources(words: Sequence[str], *, frame_rate: Fraction = FRAME_RATE) -> list[NamedSource]:
    """The videos that the words name, in their order, nothing opened yet.

    A word is a video file, a folder of frames, a folder of videos, or a glob pattern. Pictures that come from one
    pattern, or stand one after the other and lie in one folder (a pattern that the shell has replaced), are the frames
    of one video. Raises UsageError for a path that does not exist and a pattern that matches nothing.
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
            sources.extend(_from_path(path, word, frame_rate))
        elif glob.has_magic(word):
            sources.extend(_from_pattern(word, frame_rate))
        else:
            raise UsageError(f"{word}: no such file or folder")
    return [*sources, _pictures(loose, frame_rate)] if loose else sources


def _from_path(path: Path, word: str, frame_rate: Fraction) -> list[NamedSource]:
    if not path.is_dir():
        return [NamedSource(name=word, open=lambda: VideoFile(word))]
    videos = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in VIDEO_SUFFIXES and entry.is_file())
    if videos and not any(is_image(entry) for entry in path.iterdir()):
        return [NamedSource(name=str(video), open=_opener(video)) for video in videos]
    return [
        NamedSource(
            name=word,
            open=lambda: FramePictures(
                numbered_frames(path), name=word, stem=path.resolve().name or "frames", frame_rate=frame_rate
            ),
        )
    ]


def _from_pattern(pattern: str, frame_rate: Fraction) -> list[NamedSource]:
    paths = [Path(match) for match in sorted(glob.glob(pattern, recursive=True))]
    if not paths:
        raise UsageError(f"{pattern}: no file matches this pattern")
    is_picture = [is_image(path) and path.is_file() for path in paths]
    if all(is_picture):
        return [_pictures(paths, frame_rate, name=pattern)]
    if any(is_picture):
        other = paths[is_picture.index(False)]
        raise UsageError(f"{pattern}: matches pictures and other files, such as {other}; use a narrower pattern")
    return [source for path in paths for source in _from_path(path, str(path), frame_rate)]


def _pictures(paths: Sequence[Path], frame_rate: Fraction, name: str | None = None) -> NamedSource:
    paths = in_frame_order(paths)
    name = name or (str(paths[0]) if len(paths) == 1 else f"{paths[0]} ... {paths[-1].name}")
    stem = paths[0].stem if len(paths) == 1 else paths[0].resolve().parent.name or "frames"
    return NamedSource(name=name, open=lambda: FramePictures(paths, name=name, stem=stem, frame_rate=frame_rate))


def _opener(path: Path) -> Callable[[], FrameSource]:
    return lambda: VideoFile(path)
