"""`maskreel data stats`: what a split holds, as a table, JSON and a picture."""

from dataclasses import asdict

from maskreel.cli.options import outputs_for, report_json
from maskreel.cli.records.data import Stats
from maskreel.cli.tables import table
from maskreel.data.layouts import find_annotations
from maskreel.data.statistics import ClassCounts, Statistics, statistics
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.errors import UsageError

COLUMNS = ("videos", "tracks", "crowds", "masks", "small", "medium", "large")
PICTURES = (".png", ".jpg", ".jpeg", ".pdf", ".svg")


def run(args: Stats) -> None:
    """Count and print.

    Raises UsageError for a data set or split that is not there and a picture of unknown format, DataError for a file
    that is wrong.
    """
    if args.picture is not None and args.picture.suffix.lower() not in PICTURES:
        raise UsageError(f"--picture {args.picture}: the name must end in {', '.join(PICTURES)}")
    dataset = YouTubeVIS.read_file(find_annotations(args.root, args.split))
    outputs = outputs_for(args, dataset.annotation_path, dataset.frames_folder)
    if args.picture is not None:
        outputs.claim(args.picture, "--picture")
    counted = statistics(dataset)
    if args.picture is not None:
        from maskreel.visualize.statistics import labels

        with outputs.writing(args.picture) as new:
            labels(new, dataset)
    if report_json(args.json, asdict(counted), outputs):
        print(_text(counted))
        if args.picture is not None:
            print(f"drawn in {args.picture}")


def _text(counted: Statistics) -> str:
    least, median, most = counted.frames_per_video
    fewest, middle, crowded = counted.tracks_per_video
    sizes = [f"{size} ({count})" for size, count in counted.sizes.items()]
    shown = ", ".join(sizes[:5]) + (f" and {len(sizes) - 5} more sizes" if len(sizes) > 5 else "")
    visible = "-" if counted.visible is None else f"{100 * counted.visible:.0f} % of the frames"
    lines = [
        f"{counted.annotations}: {counted.videos} videos, {counted.frames} frames",
        f"frames per video  {least} to {most}, median {median:g}",
        f"tracks per video  {fewest} to {crowded}, median {middle:g}",
        f"a track is seen in {visible}",
        f"width x height    {shown}",
        "",
        table(["class", *COLUMNS], [_row(one) for one in (*counted.classes, counted.total)]),
    ]
    return "\n".join(lines)


def _row(counts: ClassCounts) -> list[str]:
    return [counts.name, *(str(getattr(counts, column)) for column in COLUMNS)]
