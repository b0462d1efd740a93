"""`maskreel data convert`: annotations of one format into another."""

from maskreel.cli.options import outputs_for, report_json
from maskreel.cli.records.data import Convert
from maskreel.data.formats.annotations import ReadOptions
from maskreel.data.formats.convert import convert
from maskreel.errors import UsageError
from maskreel.left_out import LeftOut


def run(args: Convert) -> None:
    """Convert and say what was written. Raises UsageError and DataError as `convert` does."""
    if args.classes is not None and args.read_as != "coco":
        raise UsageError(f"--classes {args.classes} maps COCO classes; it needs --from coco")
    if args.images is not None and not args.images.is_dir():
        raise UsageError(f"--images {args.images}: no such folder")
    outputs = outputs_for(args, args.source, args.images)
    left_out = LeftOut(args.on_bad)
    written = convert(
        args.source,
        args.target,
        read_as=args.read_as,
        write_as=args.write_as,
        options=ReadOptions(split=args.split, images=args.images, classes=args.classes, left_out=left_out),
        images=args.frames,
        is_loss_allowed=args.allow_loss,
        outputs=outputs,
    )
    left_out.warn_of_rest()
    used = {track.category_id for video in written.videos for track in video.tracks}
    report = {
        "target": str(args.target),
        "format": args.write_as,
        "videos": len(written.videos),
        "frames": sum(len(video.frame_numbers) for video in written.videos),
        "tracks": sum(len(video.tracks) for video in written.videos),
        "classes": [category.name for category in written.categories],
        "classes_with_tracks": sum(category.id in used for category in written.categories),
        "left_out": left_out.counts,
    }
    if report_json(args.json, report, outputs):
        print(
            f"{args.target}: {args.write_as}, videos: {report['videos']}, frames: {report['frames']}, tracks: "
            f"{report['tracks']}, classes: {len(written.categories)} ({report['classes_with_tracks']} with tracks)"
        )
