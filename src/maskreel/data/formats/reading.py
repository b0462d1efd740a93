"""Annotations of any format from what a person has: a file, a folder, a folder around it, or a zip archive."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from maskreel.data.formats.annotations import Annotations, ReadOptions
from maskreel.data.formats.archives import unpacked
from maskreel.data.formats.catalog import FORMATS, FormatName
from maskreel.data.formats.recognise import recognise
from maskreel.errors import DataError, UsageError

logger = logging.getLogger(__name__)


@contextmanager
def read_annotations(
    given: Path, read_as: FormatName | None, options: ReadOptions, *, wants_images: bool
) -> Iterator[tuple[Annotations, FormatName]]:
    """What it says, and its format; without `read_as` that is recognised. DataError or UsageError.

    Images that lie in an archive or in another file are there for as long as the block lasts.
    """
    if not given.exists():
        raise UsageError(f"{given}: no such file or folder")
    with unpacked(given) as place, ExitStack() as stack:
        if wants_images:
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="maskreel-frames-"))
            options = replace(options, scratch=Path(scratch))
        try:
            name = read_as or recognise(place, options.split)
            if read_as is None:
                logger.info("%s: read as %s", given, name)
            annotations = _read(place, name, options)
        except (DataError, UsageError) as error:
            hint = _other_format(place, read_as, options.split)
            if place == given and not hint:
                raise
            # What was unpacked is gone by the time that the message is read.
            kind = UsageError if isinstance(error, UsageError) else DataError
            raise kind(f"{str(error).replace(str(place), str(given))}{hint}") from error
        options.left_out.rename(str(place), str(given))
        _require_shapes(annotations, given, options)
        if not annotations.videos:
            raise DataError(f"{given}: there is no video in it to convert.")
        yield annotations, name


def _require_shapes(annotations: Annotations, given: Path, options: ReadOptions) -> None:
    """DataError where not one shape could be used: that is no odd one among others."""
    odd = [one for one in options.left_out.omissions if one.loss == "shape"]
    masks = (mask for video in annotations.videos for track in video.tracks for mask in track.segmentations)
    if odd and all(mask is None for mask in masks):
        raise DataError(
            f"{given}: none of its {len(odd)} shapes can be used, the first: {odd[0].item}: {odd[0].reason}"
        )


def _other_format(place: Path, read_as: FormatName | None, split: str) -> str:
    """Words about the format that it seems to be in, where another was named."""
    if read_as is None:
        return ""
    try:
        found = recognise(place, split)
    except (DataError, UsageError):
        return ""
    return "" if found == read_as else f" (it looks like {found}: leave --from out)"


def _read(place: Path, name: FormatName, options: ReadOptions) -> Annotations:
    """What the folder holds; or, where that is nothing, what the only folder in it holds."""
    try:
        return FORMATS[name].read(place, options)
    except (DataError, UsageError) as error:
        inner = _only_folder(place)
        if inner is None:
            raise
        try:
            return _read(inner, name, options)
        except (DataError, UsageError):
            if isinstance(error, UsageError):
                # There was nothing to read, and there is something inside.
                raise
            raise error from None


def _only_folder(place: Path) -> Path | None:
    if not place.is_dir():
        return None
    folders = [entry for entry in place.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__MACOSX"))]
    return folders[0] if len(folders) == 1 else None
