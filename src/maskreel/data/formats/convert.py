"""From one annotation format to another; what the target cannot keep is found by reading it back."""

import logging
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from maskreel.data.formats.annotations import Annotations, ReadOptions, differences, with_distinct_names
from maskreel.data.formats.catalog import FORMATS, Format, FormatName, ImageTransfer
from maskreel.data.formats.reading import read_annotations
from maskreel.data.formats.usable import with_usable_images
from maskreel.data.layouts import LEAVES_ROOT
from maskreel.errors import DataError, UsageError
from maskreel.files import discard
from maskreel.left_out import LeftOut
from maskreel.outputs import FULL, Outputs, not_written
from maskreel.video.images import MAX_PIXELS
from maskreel.written import Record

logger = logging.getLogger(__name__)


def convert(
    given: Path,
    target: Path,
    *,
    read_as: FormatName | None,
    write_as: FormatName,
    options: ReadOptions,
    images: ImageTransfer = "link",
    is_loss_allowed: bool = False,
    outputs: Outputs | None = None,
) -> Annotations:
    """Write the annotations of `given` into the folder `target` and return them as they stand there.

    Without `read_as` the format is recognised. A zip archive is unpacked for as long as it is read.
    Nothing gets its final name before everything is written and read back. What comes back changed (masks, ids,
    classes, frame times) is refused by name, DataError, or with `is_loss_allowed` a warning. Raises UsageError where
    `target` holds something of the same name that `outputs` may not replace, or images are
    missing. Images that cannot be decoded, or are of another size, are left out or a DataError, as the options say.
    """
    writer = FORMATS[write_as]
    if writer.write is None:
        raise UsageError(f"{write_as} is read but not written; write one of {', '.join(_written())}")
    if LEAVES_ROOT.search(options.split) or Path(options.split).name != options.split:
        raise UsageError(f"--split is {options.split!r}; give a plain word such as train or valid.")
    outputs = Outputs() if outputs is None else outputs
    outputs.add_inputs([given, *([] if options.images is None else [options.images])])
    with read_annotations(given, read_as, options, wants_images=images != "none") as (annotations, _):
        if images != "none":
            annotations = with_usable_images(annotations, options.left_out)
        annotations = replace(annotations, videos=with_distinct_names(annotations.videos, folders=writer.folders))
        return _write(annotations, target, write_as, options, outputs, images=images, is_loss_allowed=is_loss_allowed)


def _write(
    annotations: Annotations,
    target: Path,
    write_as: FormatName,
    options: ReadOptions,
    outputs: Outputs,
    *,
    images: ImageTransfer,
    is_loss_allowed: bool,
) -> Annotations:
    writer = FORMATS[write_as]
    assert writer.write is not None, "looked at before"
    if writer.is_drawn:
        _refuse_large(annotations, write_as)
    with _into(target, outputs) as folder:
        writer.write(annotations, folder, options.split)
        if images != "none":
            _transfer(annotations, folder, writer, options, is_copy=images == "copy")
        if options.left_out.omissions:
            options.left_out.write(folder / f"left_out.{options.split}.json")
        try:
            written = writer.read(folder, ReadOptions(split=options.split, left_out=LeftOut("stop")))
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


def _refuse_large(annotations: Annotations, write_as: FormatName) -> None:
    for video in annotations.videos:
        if video.width * video.height > MAX_PIXELS:
            raise DataError(
                f"{write_as} cannot keep video {video.name!r}: its frames of {video.width}x{video.height} pixels are "
                f"more than the {MAX_PIXELS} of the largest image; convert to youtube-vis, coco-tracks or burst"
            )


def _written() -> list[str]:
    return [name for name, one in FORMATS.items() if one.write is not None]


def _transfer(annotations: Annotations, folder: Path, writer: Format, options: ReadOptions, *, is_copy: bool) -> None:
    """Put every frame's image where the format has it."""
    for video in annotations.videos:
        for t, image in enumerate(video.images):
            if image is None:
                raise UsageError(
                    f"the image of frame {video.frame_numbers[t]} of video {video.name!r} was not found; name the "
                    "folder of the images with --images DIR, or pass --frames none to convert annotations alone"
                )
            place = folder / writer.image_path(video, t, options.split)
            if place.exists():
                raise DataError(f"video {video.name!r}: its image {place.name} has the name of another; rename one.")
            place.parent.mkdir(parents=True, exist_ok=True)
            _put(image.resolve(), place, is_copy=is_copy)


def _put(image: Path, place: Path, *, is_copy: bool) -> None:
    if not is_copy:
        try:
            os.link(image, place)
        except OSError:
            # Another disk, or a file system without hard links.
            pass
        else:
            return
    shutil.copyfile(image, place)


@contextmanager
def _into(target: Path, outputs: Outputs) -> Iterator[Path]:
    """A folder to fill, whose files move into `target` when the block has finished; on an error nothing changes."""
    existed = target.exists()
    folder = target / f".unfinished-{uuid.uuid4().hex[:8]}"
    try:
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise UsageError(f"{target}: cannot be written ({error.strerror}); choose another folder") from error
        try:
            yield folder
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise not_written(target, error, "folder") from error
        files = _claimed(folder, target, outputs)
        # Hard links are known by the file that they lead to, which may be large.
        own = {name: folder / name for name in files if (folder / name).stat().st_nlink == 1}
        with Record(target).taking(own):
            for name in files:
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(folder / name, target / name)
    finally:
        discard(folder)
        if not existed and target.is_dir() and not any(target.iterdir()):
            target.rmdir()


def _claimed(folder: Path, target: Path, outputs: Outputs) -> list[str]:
    """The files that move, those in folders first; UsageError where something is in the way that is not ours."""
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    for entry in sorted({target / Path(name).parts[0] for name in names if "/" in name}):
        other = next(
            (path for path in sorted(entry.rglob("*")) if not (folder / path.relative_to(target)).exists()), None
        )
        if other is not None:
            raise UsageError(f"{other}: exists and is no part of this conversion; choose another folder or --split")
    moved = [name for name in names if not _is_same(folder / name, target / name)]
    for name in moved:
        outputs.claim(target / name, "folder or --split", root=target)
    return sorted(moved, key=lambda name: "/" not in name)


def _is_same(one: Path, other: Path) -> bool:
    return other.is_file() and one.samefile(other)
