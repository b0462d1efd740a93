"""Files beside annotations: frames by name, PNG files whose pixel values name objects, lists of names."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int
from PIL import Image

from maskreel.errors import DataError, UsageError
from maskreel.video.images import MAX_PIXELS, UNREADABLE, is_image


def first_folder(candidates: Iterable[Path]) -> Path | None:
    """The first that exists."""
    return next((folder for folder in candidates if folder.is_dir()), None)


def images_by_stem(folder: Path | None) -> dict[str, Path]:
    """Images of a folder by their names without ending; none where there is no folder."""
    if folder is None or not folder.is_dir():
        return {}
    return {path.stem: path for path in sorted(folder.iterdir()) if is_image(path) and path.is_file()}


def frame_names(video: str, stems: Iterable[str], images: Sequence[Path | None]) -> tuple[str, ...]:
    """Names of frames below their video's, with the endings of their images; .jpg where there is none."""
    return tuple(f"{video}/{stem}{path.suffix if path else '.jpg'}" for stem, path in zip(stems, images, strict=True))


def video_folders(root: Path) -> list[Path]:
    """The folders in a folder that holds one per video."""
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def check_folder(given: Path, what: str) -> Path:
    """Raise UsageError unless the folder is there."""
    if not given.is_dir():
        raise UsageError(f"{given}: no such folder; expected {what}")
    return given


def read_lines(path: Path) -> list[str]:
    """Lines of a text file; DataError for one that is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file ({error.reason} at byte {error.start}).") from error


def read_indices(path: Path, modes: tuple[str, ...], what: str) -> Int[np.ndarray, "h w"]:
    """Pixel values of a PNG in one of Pillow's `modes`; DataError for any other image."""
    try:
        with Image.open(path) as image:
            if image.mode not in modes:
                raise DataError(f"{path}: an image of mode {image.mode}; expected {what}")
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"{path}: {image.width}x{image.height} pixels, more than {MAX_PIXELS}")
            return np.asarray(image).astype(np.int64)
    except DataError:
        raise
    except UNREADABLE as error:
        raise DataError(f"{path}: cannot be decoded ({error}); export it again") from error


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) of an image."""
    try:
        with Image.open(path) as image:
            return image.size
    except UNREADABLE as error:
        raise DataError(f"{path}: cannot be decoded ({error})") from error
