"""`maskreel data convert`: annotations of one format into another."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from maskreel.cli.options import report_json
from maskreel.data.formats.annotations import ReadOptions
from maskreel.data.formats.catalog import FormatName
from maskreel.data.formats.convert import PictureTransfer, convert
from maskreel.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Convert annotations between YouTube-VIS and other formats; refuses what the target cannot keep."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SRC")]
    """Annotation file, or folder of annotations."""
    target: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DST")]
    """Folder to write into."""
    read_as: Annotated[FormatName, tyro.conf.arg(name="from")]
    """Format of SRC."""
    write_as: Annotated[FormatName, tyro.conf.arg(name="to")] = "youtube-vis"
    """Format of DST."""
    split: str = "train"
    """Split to read from a YouTube-VIS folder, and the name of the one written."""
    images: Path | None = None
    """Folder of the pictures (of a folder per video, except for coco and youtube-vis), where they do not lie beside the
    annotations in the usual way."""
    frames: PictureTransfer = "link"
    """Put the pictures of the frames into DST as hard links (copies where DST is on another disk), as copies, or not at
    all. Hard links take no room; editing one changes the other."""
    classes: Literal["ytvis19", "ytvis21"] | None = None
    """Only with --from coco: keep the classes that YouTube-VIS 2019 (2021 and 2022) has, under its names and ids, and
    the pictures that show one."""
    allow_loss: bool = False
    """Write what the target can keep, and name the rest in a warning."""
    json: str | None = None
    """Also write what was converted as JSON here; without a path, JSON alone on stdout."""


def run(args: Convert) -> None:
    """Convert and say what was written. Raises UsageError and DataError as `convert` does."""
    if args.classes is not None and args.read_as != "coco":
        raise UsageError(f"--classes {args.classes} maps COCO classes; it needs --from coco, not {args.read_as}")
    if args.images is not None and not args.images.is_dir():
        raise UsageError(f"--images {args.images}: no such folder")
    written = convert(
        args.source,
        args.target,
        read_as=args.read_as,
        write_as=args.write_as,
        options=ReadOptions(split=args.split, images=args.images, classes=args.classes),
        pictures=args.frames,
        is_loss_allowed=args.allow_loss,
    )
    used = {track.category_id for video in written.videos for track in video.tracks}
    report = {
        "target": str(args.target),
        "format": args.write_as,
        "videos": len(written.videos),
        "frames": sum(len(video.frame_numbers) for video in written.videos),
        "tracks": sum(len(video.tracks) for video in written.videos),
        "classes": [category.name for category in written.categories],
        "classes_with_tracks": sum(category.id in used for category in written.categories),
    }
    if report_json(args.json, report):
        print(
            f"{args.target}: {args.write_as}, videos: {report['videos']}, frames: {report['frames']}, tracks: "
            f"{report['tracks']}, classes: {len(written.categories)} ({report['classes_with_tracks']} with tracks)"
        )
