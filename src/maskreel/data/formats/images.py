"""Files beside annotations: images of frames, PNG files whose pixel values name objects, lists of names.

The one place that says which image belongs to which annotated frame. Files come in the order of their frames, as
`video.frame_order` reads it from the numbers in their names, never in the order of letters (10 before 2).
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Int, Integer, Shaped
from PIL import Image

from maskreel.data.formats.annotations import AnnotatedVideo, numbers_of
from maskreel.data.tracks import AnnotatedTrack
from maskreel.errors import DataError, UsageError
from maskreel.video.frame_order import in_frame_order, natural_key
from maskreel.video.images import UNREADABLE, is_image, open_image, turned
from maskreel.video.images import image_size as size_of_image

logger = logging.getLogger(__name__)

MOST_OBJECTS = 1000
"""Of one image; more are a photograph."""
_ROWS = 256
"""Rows of an image that are looked at together."""
_STRIP = 2**20
"""Pixels of an image that are taken at once."""

MOST_COLOURED = 2**24
"""Pixels of a mask that is stored in colour, for which much more memory is needed."""


def first_folder(candidates: Iterable[Path]) -> Path | None:
    """The first that exists."""
    return next((folder for folder in candidates if folder.is_dir()), None)


def in_order(names: Iterable[str]) -> list[str]:
    """Names of frames, without endings, in the order of the frames."""
    by_path = {Path(f"{name}.png"): name for name in names}
    return [by_path[path] for path in in_frame_order(list(by_path)).paths]


def images_by_stem(folder: Path | None) -> dict[str, Path]:
    """Images of a folder by their names without ending, in the order of frames; none where there is no folder.

    Of two that differ in the ending alone the first is taken (.jpg before .png), and a warning says so.
    """
    if folder is None or not folder.is_dir():
        return {}
    found: dict[str, Path] = {}
    for path in sorted(path for path in folder.iterdir() if is_image(path) and path.is_file()):
        if found.setdefault(path.stem, path) != path:
            logger.warning(
                "%s: %s and %s are one frame by their names; %s is taken",
                folder,
                found[path.stem].name,
                path.name,
                found[path.stem].name,
            )
    return {stem: found[stem] for stem in in_order(found)}


def images_by_number(folder: Path | None) -> dict[int, Path]:
    """Images of a folder by the numbers of their frames, which rise; none where there is no folder.

    DataError where the names do not tell one number for each.
    """
    files = images_by_stem(folder)
    order = in_frame_order(list(files.values()))
    if files and order.numbers is None:
        first = next(iter(files.values())).name
        raise DataError(f"{folder}: {first} and others do not tell their frame numbers; name them by number.")
    found: dict[int, Path] = {}
    for number, path in zip(order.numbers or (), order.paths, strict=True):
        if found.setdefault(number, path) != path:
            raise DataError(f"{folder}: {found[number].name} and {path.name} are both frame {number}; keep one.")
    return found


def paired_images(frames: Sequence[str], images: Mapping[str, Path], where: Path) -> tuple[Path | None, ...]:
    """The image of each frame, whose annotations have these names: that of the same name, else of the same number.

    Numbers count only where no name is shared at all and both sides tell one for each; a warning says so. None for a
    frame without an image.
    """
    if not images or not set(frames).isdisjoint(images):
        return tuple(images.get(name) for name in frames)
    sides = [in_frame_order([Path(f"{name}.png") for name in names]) for names in (frames, images)]
    numbered = [dict(zip((path.stem for path in side.paths), side.numbers or (), strict=False)) for side in sides]
    by_number = {number: images[name] for name, number in numbered[1].items()}
    if not numbered[0] or len(by_number) < len(images) or len(set(numbered[0].values())) < len(frames):
        return (None,) * len(frames)
    found = tuple(by_number.get(numbered[0][name]) for name in frames)
    logger.warning(
        "%s: annotations and images share no name and are paired by number, such as %s with %s",
        where,
        *next(((name, path.name) for name, path in zip(frames, found, strict=True) if path), (frames[0], "none")),
    )
    return found


def frame_names(video: str, stems: Iterable[str], images: Sequence[Path | None]) -> tuple[str, ...]:
    """Names of frames below their video's, with the endings of their images; .jpg where there is none."""
    return tuple(f"{video}/{stem}{path.suffix if path else '.jpg'}" for stem, path in zip(stems, images, strict=True))


def video_of_files(
    number: int,
    name: str,
    size: tuple[int, int],
    stems: Iterable[str],
    images: Sequence[Path | None],
    tracks: Iterable[AnnotatedTrack],
) -> AnnotatedVideo:
    """A video that has a file of annotations per frame: its id, height and width, the names of its frames and files."""
    stems = tuple(stems)
    height, width = size
    return AnnotatedVideo(
        id=number,
        name=name,
        width=width,
        height=height,
        frame_numbers=numbers_of(stems),
        file_names=frame_names(name, stems, images),
        images=tuple(images),
        tracks=tuple(tracks),
    )


def video_folders(root: Path) -> list[Path]:
    """The folders in a folder that holds one per video."""
    folders = (path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "__MACOSX")))
    return sorted(folders, key=lambda path: natural_key(path.name))


def check_folder(given: Path, what: str) -> Path:
    """Raise UsageError unless the folder is there."""
    if not given.is_dir():
        raise UsageError(f"{given}: no such folder; expected {what}")
    return given


def read_lines(path: Path) -> list[str]:
    """Lines of a text file; DataError for one that is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file ({error.reason} at byte {error.start}).") from error


def read_indices(path: Path, modes: tuple[str, ...], what: str) -> Integer[np.ndarray, "h w"]:
    """Object numbers of a PNG in one of Pillow's `modes`, upright; DataError for any other image.

    Of grey with alpha the grey is read; grey and palette images that an editor has saved as RGB are read as what they
    were.
    """
    with _opened(path) as image:
        if image.mode not in modes:
            raise DataError(f"{path}: an image of mode {image.mode}; expected {what}")
        is_coloured = image.mode in ("RGB", "RGBA")
        if is_coloured and image.width * image.height > MOST_COLOURED:
            raise DataError(f"{path}: {image.width}x{image.height} pixels in colour; save object numbers as grey")
        values = pixels_of(turned(image))
    if is_coloured:
        return _from_colours(values[..., :3], path, what)
    return values if values.ndim == 2 else values[..., 0]


def pixels_of(image: Image.Image) -> Integer[np.ndarray, "h w *channels"]:
    """What an image holds, taken in strips: Pillow needs twice the memory of what it hands out at once."""
    rows = max(_STRIP // max(image.width, 1), 1)
    strips = (image.crop((0, top, image.width, min(top + rows, image.height))) for top in range(0, image.height, rows))
    values: np.ndarray | None = None
    for number, strip in enumerate(strips):
        part = np.asarray(strip).astype(np.uint8) if image.mode == "1" else np.asarray(strip)
        if values is None:
            values = np.empty((image.height, *part.shape[1:]), part.dtype)
        values[number * rows : number * rows + len(part)] = part
    assert values is not None, "no image is without a row"
    return values


def numbers_in(values: Integer[np.ndarray, "h w"], path: Path) -> list[int]:
    """The object numbers in an image but 0, ascending; DataError where there are as many as in a photograph."""
    found = set[int]()
    for top in range(0, len(values), _ROWS):
        found.update(np.unique(values[top : top + _ROWS]).tolist())
    if len(found) > MOST_OBJECTS:
        raise DataError(f"{path}: {len(found)} different values; an image of object numbers has {MOST_OBJECTS} at most")
    return sorted(found - {0})


def one_size(sizes: Iterable[tuple[int, ...]], sequence: Path) -> tuple[int, int]:
    """(height, width) of the PNG files of a sequence; DataError where they differ, and where none could be read."""
    found = set(sizes)
    if len(found) != 1:
        what = f"PNG files of {len(found)} sizes; expected one" if found else "none of its PNG files can be read"
        raise DataError(f"{sequence}: {what}.")
    height, width = found.pop()
    return height, width


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) of an image as it is shown; DataError for a file that is none."""
    try:
        return size_of_image(path)
    except UNREADABLE as error:
        raise DataError(f"{path}: cannot be decoded ({error})") from error


def mode_of(path: Path) -> str:
    """Pillow's mode of an image; empty for a file that is none."""
    try:
        with open_image(path) as image:
            return image.mode
    except (DataError, *UNREADABLE):
        return ""


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with open_image(path) as image:
            yield image
    except DataError:
        raise
    except UNREADABLE as error:
        raise DataError(f"{path}: cannot be decoded ({error}); export it again") from error


def voc_palette() -> Int[np.ndarray, "256 3"]:
    """The colours of PASCAL VOC, which DAVIS uses: bits of the number, dealt to red, green and blue from the top."""
    numbers = np.arange(256)
    colours = np.zeros((256, 3), dtype=np.int64)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (numbers >> (3 * bit + channel) & 1) << (7 - bit)
    return colours


def _from_colours(values: Shaped[np.ndarray, "h w 3"], path: Path, what: str) -> Int[np.ndarray, "h w"]:
    """Grey values where all three channels agree, else numbers of the palette's colours."""
    channels = values.astype(np.int64)
    if (channels == channels[..., :1]).all():
        return channels[..., 0]
    keys = channels @ (65536, 256, 1)
    palette = voc_palette() @ (65536, 256, 1)
    order = np.argsort(palette)
    places = order[np.searchsorted(palette[order], keys).clip(max=255)]
    if (palette[places] != keys).any():
        raise DataError(f"{path}: colours that are not of the DAVIS palette; expected {what}")
    return places
