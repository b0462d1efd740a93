"""`maskreel data pack`: the frames of a split in few large files, from which training reads as from folders."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from maskreel.cli.options import outputs_for, report_json
from maskreel.cli.records.data import Pack
from maskreel.data.packed import is_packed, packed_folder, write_shards
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.errors import UsageError
from maskreel.left_out import CanBeLeftOut


def run(args: Pack) -> None:
    """Pack and say what was written. Raises UsageError for places that cannot be, DataError for a frame that is not."""
    if is_packed(args.root, args.split):
        raise UsageError(f"{args.root}: split {args.split!r} is packed already")
    dataset = YouTubeVIS.load(args.root, args.split)
    outputs = outputs_for(args, dataset.annotation_path, dataset.frames_folder)
    annotations = outputs.claim(args.target / f"{args.split}.json", "TARGET")
    folder = outputs.claim_whole_folder(packed_folder(args.target, args.split), None, "TARGET")
    with outputs.writing_folder(folder) as new:
        shards = write_shards(new, args.split, _frames(dataset), shard_bytes=round(args.shard_size * 2**20))
    with outputs.writing(annotations) as new:
        shutil.copyfile(dataset.annotation_path, new)
    frames = sum(video.length for video in dataset.videos)
    report = {"target": str(args.target), "split": args.split, "frames": frames, "shards": shards}
    if report_json(args.json, report, outputs):
        print(f"{folder}: {frames} frames of {len(dataset.videos)} videos in {len(shards)} shards")


def _frames(dataset: YouTubeVIS) -> Iterator[tuple[str, Path]]:
    for index, video in enumerate(dataset.videos):
        for frame in range(video.length):
            path = dataset.frame_path(index, frame)
            if not path.is_file():
                item = f"frame {frame} of video {video.id}"
                raise CanBeLeftOut("image", path, item, "is missing", "Extract the frames again.")
            yield video.file_names[frame], path
