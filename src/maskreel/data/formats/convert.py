"""From one annotation format to another; what the target cannot keep is found by reading it back."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maskreel.data.formats.annotations import Annotations, ReadOptions, differences
from maskreel.data.formats.catalog import FORMATS, Format, FormatName, PictureTransfer
from maskreel.data.layouts import LEAVES_ROOT
from maskreel.errors import DataError, UsageError

logger = logging.getLogger(__name__)


def convert(
    source: Path,
    target: Path,
    *,
    read_as: FormatName,
    write_as: FormatName,
    options: ReadOptions,
    pictures: PictureTransfer = "link",
    is_loss_allowed: bool = False,
) -> Annotations:
    """Write the annotations of `source` into the folder `target` and return them as they stand there.

    Nothing gets its final name before everything is written and read back. What comes back changed (masks, ids,
    classes, frame times) is refused by name, DataError, or with `is_loss_allowed` a warning. Raises UsageError where
    `target` holds something of the same name, or pictures are missing.
    """
    reader, writer = FORMATS[read_as], FORMATS[write_as]
    if writer.write is None:
        raise UsageError(f"{write_as} is read but not written; write one of {', '.join(_written())}")
    if not source.exists():
        raise UsageError(f"{source}: no such file or folder")
    if LEAVES_ROOT.search(options.split) or Path(options.split).name != options.split:
        raise UsageError(f"--split is {options.split!r}; give a plain word such as train or valid.")
    annotations = reader.read(source, options)
    if not annotations.videos:
        raise DataError(f"{source}: there is no video in it to convert.")
    with _into(target) as folder:
        writer.write(annotations, folder, options.split)
        if pictures != "none":
            _transfer(annotations, folder, writer, options, is_copy=pictures == "copy")
        try:
            written = writer.read(folder, ReadOptions(split=options.split))
        except DataError as error:
            raise DataError(f"{write_as} cannot keep this: {str(error).replace(str(folder), str(target))}") from error
        lost = differences(annotations, written)
        if lost and not is_loss_allowed:
            raise DataError(
                f"{write_as} cannot keep {'; '.join(lost)}. Nothing was written; pass --allow-loss to go without."
            )
    if lost:
        logger.warning("%s: lost on the way: %s", target, "; ".join(lost))
    return written


def _written() -> list[str]:
    return [name for name, one in FORMATS.items() if one.write is not None]


def _transfer(annotations: Annotations, folder: Path, writer: Format, options: ReadOptions, *, is_copy: bool) -> None:
    """Put every frame's picture where the format has it."""
    for video in annotations.videos:
        for t, source in enumerate(video.pictures):
            if source is None:
                raise UsageError(
                    f"the picture of frame {video.frame_numbers[t]} of video {video.name!r} was not found; name the "
                    "folder of the pictures with --images DIR, or pass --frames none to convert annotations alone"
                )
            place = folder / writer.picture(video, t, options.split)
            if place.exists():
                raise DataError(f"video {video.name!r}: its picture {place.name} has the name of another; rename one.")
            place.parent.mkdir(parents=True, exist_ok=True)
            _put(source.resolve(), place, is_copy=is_copy)


def _put(source: Path, place: Path, *, is_copy: bool) -> None:
    if not is_copy:
        try:
            os.link(source, place)
        except OSError:
            # Another disk, or a file system without hard links.
            pass
        else:
            return
    shutil.copyfile(source, place)


@contextmanager
def _into(target: Path) -> Iterator[Path]:
    """A folder to fill, whose entries move into `target` when the block has finished; on an error nothing changes."""
    existed = target.exists()
    try:
        target.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=target))
    except OSError as error:
        raise UsageError(f"{target}: cannot be written ({error.strerror}); choose another folder") from error
    try:
        yield folder
        entries = sorted(folder.iterdir())
        taken = [entry.name for entry in entries if (target / entry.name).exists()]
        if taken:
            raise UsageError(f"{target / taken[0]} exists already; choose another folder or --split, or remove it.")
        for entry in entries:
            os.replace(entry, target / entry.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if not existed and not any(target.iterdir()):
            target.rmdir()
