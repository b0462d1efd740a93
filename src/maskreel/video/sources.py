"""From what a user names (files, folders, patterns) or holds (arrays, frames) to the videos that are read."""

import glob
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, SupportsFloat

from PIL.Image import Image

from maskreel.errors import OptionError, UsageError, VideoReadError
from maskreel.storage import is_stored
from maskreel.video.animations import AnimatedImage, num_images
from maskreel.video.arrays import GivenFrames
from maskreel.video.files import FrameSource, VideoFile
from maskreel.video.frame_folders import FRAME_RATE, FrameImages, numbered_frames
from maskreel.video.frame_order import in_frame_order, natural_key
from maskreel.video.images import is_image
from maskreel.video.pipes import STDIN, is_pipe, open_pipe
from maskreel.video.stored import open_stored, stored_videos
from maskreel.video.streams import (
    ADDRESSES,
    camera_device,
    is_address,
    is_live_address,
    open_address,
    open_camera,
    stem_of_address,
    without_password,
)
from maskreel.video.unlisted import unread
from maskreel.written import without_outputs

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = frozenset(
    {
        *(".mp4", ".m4v", ".mov", ".qt", ".webm", ".mkv", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".vob"),
        *(".wmv", ".asf", ".flv", ".f4v", ".ogv", ".ogg", ".gif", ".apng", ".3gp", ".3g2", ".y4m", ".mxf", ".dv"),
        *(".h264", ".264", ".hevc", ".h265", ".265", ".ivf", ".obu", ".mjpeg", ".mjpg", ".nut"),
    }
)
"""What is taken for a video where a folder is searched; a file that is named is opened whatever its name."""

MAX_DENOMINATOR = 1001
"""Of frame rates: 30000/1001 is the finest that is in use."""


@dataclass(frozen=True, kw_only=True)
class NamedSource:
    """A video that was named; `open` reads its beginning and raises DataError for a file that is none.

    It can be sent to another process.
    """

    name: str
    stem: str
    """Name for files made from it."""
    open: Callable[[], FrameSource]
    paths: tuple[Path, ...] = ()
    """The files that it reads."""
    video_id: int | None = None
    """Of a video in a data set."""
    is_missing: bool = False
    """Nothing of that name exists; `open` raises UsageError."""
    is_live: bool = False
    """Frames come at their own pace, whoever reads them, as far as the name tells; `StreamedVideo.is_live` knows."""


def open_video(source: str | Path | Iterable[Any], *, frame_rate: SupportsFloat = FRAME_RATE) -> FrameSource:
    """Open one video: a path, frames that a program holds already, or a source that is open.

    A path is a video file, a folder of frames, or a pattern of frames. Frames are an array `t h w 3` (torch: `t 3 h w`)
    of uint8, or an iterable of what `video.arrays` takes; an iterator can be read once. `frame_rate` is that of
    images and arrays, which know no time, in frames per second.

    Raises UsageError for what does not exist, OptionError for what is no video, DataError (VideoReadError) for what
    cannot be read.
    """
    if not 0.001 <= float(frame_rate) <= 1000:
        raise OptionError(f"frame rate {frame_rate}: must lie between 0.001 and 1000")
    rate = frame_rate
    if not isinstance(rate, Fraction):
        rate = Fraction(float(rate)).limit_denominator(MAX_DENOMINATOR)
    if isinstance(source, str | Path):
        found = find_sources([str(source)], frame_rate=rate)
        if len(found) != 1:
            raise UsageError(f"{source}: names {len(found)} videos; give one of them")
        return found[0].open()
    if isinstance(source, FrameSource):
        return source
    if isinstance(source, Iterable) and not isinstance(source, bytes | Mapping):
        return GivenFrames(source, frame_rate=rate)
    way_out = "; give a list of images" if isinstance(source, Image) else ""
    raise OptionError(f"{type(source).__name__}: not a video; give a path, an array t h w 3, or frames{way_out}")


def find_sources(words: Sequence[str], *, frame_rate: Fraction = FRAME_RATE) -> list[NamedSource]:
    """The videos that the words name, in their order, nothing opened yet.

    A word is a video file, a folder of frames, a folder of videos, a folder of such folders, a glob pattern, an
    address, a camera by its number or device, or "-" for a video on the standard input. Images that come from one
    pattern, or stand one after the other and lie in one folder (a pattern that the shell has replaced), are the frames
    of one video; an image of several frames is a video of its own. `frame_rate` is that of images, which know no time.
    """
    sources: list[NamedSource] = []
    loose: list[Path] = []
    if len(words) > 1:
        words = _named_alone(words)
    for word in words:
        path = Path(word)
        is_loose = is_image(path) and path.is_file()
        if loose and not (is_loose and path.parent == loose[0].parent):
            sources.extend(_images(loose, frame_rate))
            loose = []
        if is_loose:
            loose.append(path)
        else:
            sources.extend(_from_word(word, path, frame_rate))
    return [*sources, *_images(loose, frame_rate)] if loose else sources


def _from_word(word: str, path: Path, frame_rate: Fraction) -> list[NamedSource]:
    camera = camera_device(word)
    if camera is not None and not path.is_file() and not path.is_dir():
        stem = f"camera-{word.rpartition('/')[2]}"
        return [NamedSource(name=word, stem=stem, open=partial(open_camera, word, camera), is_live=True)]
    if word == STDIN or is_pipe(path):
        stem = "stdin" if word == STDIN else f"pipe-{path.name}"
        return [NamedSource(name=word, stem=stem, open=partial(open_pipe, word))]
    if path.exists():
        return _from_path(path, frame_rate)
    if is_address(word):
        shown = without_password(word)
        stem = stem_of_address(word)
        return [NamedSource(name=shown, stem=stem, open=partial(open_address, word), is_live=is_live_address(word))]
    if is_stored(word):
        return _from_store(word, frame_rate)
    scheme, is_scheme, _ = word.partition("://")
    if is_scheme and scheme.isalnum():
        return [_missing(word, f"no such file or folder, and {scheme} is not read; there are {', '.join(ADDRESSES)}")]
    if glob.has_magic(word):
        return _from_pattern(word, frame_rate)
    return [_missing(word, "no such file or folder")]


def _from_store(address: str, frame_rate: Fraction) -> list[NamedSource]:
    try:
        found = stored_videos(address, VIDEO_SUFFIXES)
    except UsageError as error:
        return [replace(_refused(address, error), stem="", is_missing=True)]
    return [
        NamedSource(name=one, stem=PurePosixPath(one).stem, open=partial(open_stored, one, is_folder, frame_rate))
        for one, is_folder in found
    ]


def _from_path(path: Path, frame_rate: Fraction, *, is_inner: bool = False) -> list[NamedSource]:
    """Videos of a path; a folder that stands in one that is read (`is_inner`) is not searched for further folders."""
    if not path.is_dir():
        return [_video(path)]
    entries = _sources_alone([entry for entry in sorted(path.iterdir()) if not entry.name.startswith(".")], str(path))
    videos = [entry for entry in entries if _is_video(entry)]
    images = [entry for entry in entries if is_image(entry) and not entry.is_dir()]
    folders = [] if is_inner else [entry for entry in entries if _is_folder_below(entry, path)]
    known = {*videos, *images}
    if unlisted := unread(entry for entry in entries if entry not in known):
        logger.warning(
            "%s: %s left out; convert images to PNG or JPEG, and name videos, to have them read", path, unlisted
        )
    if videos and len(videos) >= len(images):
        _warn_of_rest(path, "videos", {"image": images, "folder": folders})
        return [_video(entry) for entry in videos]
    if len(folders) > len(images):
        # One folder of frames, or of videos, for each video or camera, as DAVIS and YouTube-VIS have them.
        _warn_of_rest(path, "folders", {"image": images, "video": videos})
        inner = [_from_path(folder, frame_rate, is_inner=True) for folder in sorted(folders, key=_natural)]
        return [source for sources in inner for source in sources]
    if not images:
        return [_refused(path, VideoReadError(path, _nothing_in(path, entries)))]
    _warn_of_rest(path, "frames", {"video": videos, "folder": folders})
    if all(num_images(entry) > 1 for entry in images):
        return _images(images, frame_rate)
    stem = path.resolve().name or "frames"
    open_frames = partial(_open_frames, path, images, frame_rate)
    return [NamedSource(name=str(path), stem=stem, open=open_frames, paths=tuple(images))]


def _open_frames(path: Path, images: Sequence[Path], frame_rate: Fraction) -> FrameSource:
    return FrameImages(numbered_frames(path, images), name=str(path), frame_rate=frame_rate)


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _is_folder_below(entry: Path, path: Path) -> bool:
    """Whether it is a folder with images or videos in it, and no link to where we come from."""
    if not entry.is_dir() or path.resolve().is_relative_to(entry.resolve()):
        return False
    return any((is_image(inner) and inner.is_file()) or _is_video(inner) for inner in entry.iterdir())


def _nothing_in(path: Path, entries: Sequence[Path]) -> str:
    """Why a folder is no source, and where a person may have meant to point."""
    deeper = next((folder for entry in entries if entry.is_dir() for folder in _folders_below(entry)), None)
    if deeper is not None:
        return f"no images or videos in the folder; {deeper} has some: name {deeper.parent}, or a pattern in quotes"
    return "no images or videos in the folder (endings such as .png, .jpg, .mp4 and .mkv are expected)"


def _folders_below(path: Path) -> Iterator[Path]:
    """Folders with images or videos, one or two steps below."""
    for entry in sorted(path.iterdir()):
        if _is_folder_below(entry, path):
            yield entry
        elif entry.is_dir() and not entry.is_symlink():
            yield from (inner for inner in sorted(entry.iterdir()) if _is_folder_below(inner, entry))


def _warn_of_rest(path: Path, what: str, others: dict[str, Sequence[Path]]) -> None:
    for kind, found in others.items():
        if found:
            logger.warning("%s: holds %s; %s", path, what, _left_out(found, kind))


def _named_alone(words: Sequence[str]) -> Sequence[str]:
    """The words but those of files that commands wrote, which a pattern of the shell brings; not where all are such."""
    kept = set(without_outputs([Path(word) for word in words]))
    ours = [Path(word) for word in words if Path(word) not in kept]
    if kept and ours:
        logger.warning("%s", _left_out(ours, "file", OURS))
    return [word for word in words if Path(word) in kept] if kept else words


def _sources_alone(paths: list[Path], name: str) -> list[Path]:
    """The paths without what an earlier command wrote there."""
    kept = without_outputs(paths)
    known = set(kept)
    ours = [path for path in paths if path not in known and path.suffix.lower() != ".json"]
    if ours:
        logger.warning("%s: %s", name, _left_out(ours, "file", OURS))
    return kept


def _natural(path: Path) -> list[tuple[int, int, str]]:
    return natural_key(path.name)


OURS = "written by an earlier command; name it alone to have it read"


def _left_out(paths: Sequence[Path], what: str, why: str = "name it to have it read") -> str:
    names = paths[0].name if len(paths) == 1 else f"{len(paths)} {what}s such as {paths[0].name}"
    return f"{names} left out ({why})"


def _from_pattern(pattern: str, frame_rate: Fraction) -> list[NamedSource]:
    # A link may lead to the same file once more, or to a folder above.
    real = {path.resolve(): path for path in map(Path, sorted(glob.glob(pattern, recursive=True), reverse=True))}
    paths = _sources_alone(sorted(real.values(), key=lambda path: natural_key(str(path))), pattern)
    if not paths:
        return [_missing(pattern, "no file matches this pattern")]
    is_frame = [is_image(path) and path.is_file() for path in paths]
    if all(is_frame):
        return _images(paths, frame_rate, name=pattern)
    if any(is_frame):
        other = paths[is_frame.index(False)]
        return [_missing(pattern, f"matches images and other things, such as {other}; use a narrower pattern")]
    return [source for path in paths for source in _from_path(path, frame_rate)]


def _video(path: Path) -> NamedSource:
    return NamedSource(name=str(path), stem=path.stem, open=partial(VideoFile, path), paths=(path,))


def _images(paths: Sequence[Path], frame_rate: Fraction, name: str | None = None) -> list[NamedSource]:
    """One video of single images, or as many videos as there are animated ones."""
    if all(num_images(path) > 1 for path in paths):
        return [
            NamedSource(
                name=str(path),
                stem=path.stem,
                open=partial(AnimatedImage, path, frame_rate=frame_rate),
                paths=(path,),
            )
            for path in paths
        ]
    paths = in_frame_order(paths).paths
    name = name or (str(paths[0]) if len(paths) == 1 else f"{paths[0]} ... {paths[-1].name}")
    stem = paths[0].stem if len(paths) == 1 else paths[0].resolve().parent.name or "frames"
    open_images = partial(FrameImages, paths, name=name, frame_rate=frame_rate)
    return [NamedSource(name=name, stem=stem, open=open_images, paths=tuple(paths))]


def _missing(name: str, reason: str) -> NamedSource:
    return replace(_refused(name, UsageError(f"{name}: {reason}")), stem="", is_missing=True)


def _refused(name: str | Path, error: UsageError | VideoReadError) -> NamedSource:
    """A source whose opening fails, so that others that were named with it are read."""
    return NamedSource(name=str(name), stem=Path(name).name, open=partial(_refuse, error))


def _refuse(error: UsageError | VideoReadError) -> FrameSource:
    raise error
