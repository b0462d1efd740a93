"""What can be typed after data.

These modules import nothing heavy, so that help and mistyped options are answered at once.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from maskreel.cli.records.overwrite import Overwrite
from maskreel.cli.records.rate import Rate
from maskreel.data.formats.catalog import FormatName, ImageTransfer
from maskreel.errors import OptionError
from maskreel.left_out import OnBad
from maskreel.rendered.dials import SyntheticDials


@dataclass(frozen=True, kw_only=True)
class Synth:
    """Render videos with known truth, in YouTube-VIS layout; the same seed gives the same pixels on every machine."""

    root: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")] = None
    """Folder to write DIR/SPLIT.json and DIR/SPLIT/JPEGImages into."""
    set_name: Annotated[str | None, tyro.conf.arg(name="set", metavar="NAME")] = None
    """A named set: its dials, its seeds and its sizes (see --list); dials typed beside it replace its own."""
    list_sets: Annotated[bool, tyro.conf.arg(name="list"), tyro.conf.FlagCreatePairsOff] = False
    """List the named sets and render nothing."""
    videos: int | None = None
    """Number of videos; 200, or as many as the named set has in the split."""
    seed: int | None = None
    """Names the set; 0, or that of the named set's split. Train with seeds below 10000; seeds from 10000 on are for
    tests."""
    split: Literal["train", "valid", "test"] | None = None
    """Name of the split; train, or train and valid of a named set. Only named sets have a test split."""
    workers: int = field(default_factory=lambda: min(os.cpu_count() or 1, 8))
    """Processes that render; the result does not depend on it."""
    quiet: bool = False
    """No progress bar."""
    overwrite: Overwrite = False
    json: str | None = None
    """Also write what was rendered as JSON here; without a path, JSON alone on stdout."""
    dials: Annotated[SyntheticDials, tyro.conf.OmitArgPrefixes] = SyntheticDials()


@dataclass(frozen=True, kw_only=True)
class Pack:
    """Put the frames of a split into tar files (WebDataset's layout), so that millions of frames need few files;
    TARGET is a data set as any other, with the same clips in the same order."""

    root: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """Folder of the data set, in one of the YouTube-VIS layouts."""
    target: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="TARGET")]
    """Folder to write TARGET/SPLIT.json and TARGET/SPLIT/shards into."""
    split: str = "train"
    """Split to pack."""
    shard_size: float = 512.0
    """Size in MiB from which a file is full."""
    overwrite: Overwrite = False
    json: str | None = None
    """Also write what was packed as JSON here; without a path, JSON alone on stdout."""

    def __post_init__(self) -> None:
        if not self.shard_size > 0:
            raise OptionError(f"shard_size {self.shard_size:g}: must be above 0")


@dataclass(frozen=True, kw_only=True)
class Check:
    """Look for everything that can be wrong with a data set: records, ids, lists, masks, boxes, frames on disk. Exit
    code 1 when something is wrong; notes are no faults."""

    root: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """Folder of the data set; in other formats than YouTube-VIS also an annotation file or a zip archive."""
    split: str | None = None
    """Check this split alone; default all that are found."""
    read_as: Annotated[FormatName | None, tyro.conf.arg(name="from")] = None
    """Format of DIR; recognised where it is not given."""
    images: Path | None = None
    """Folder of the images, where they do not lie beside the annotations in the usual way; not for youtube-vis."""
    fix: bool = False
    """Repair what is safe into a new file, the split NAME.fixed; exit code 1 when something remains."""
    overwrite: Overwrite = False
    json: str | None = None
    """Also write the findings as JSON here; without a path, JSON alone on stdout."""


@dataclass(frozen=True, kw_only=True)
class Stats:
    """Count videos, frames, tracks and masks of a split, by class and size (mean area below 128 x 128 pixels, up to
    256 x 256, above)."""

    root: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """Folder of the data set."""
    split: str = "train"
    """Name of the split."""
    picture: Path | None = None
    """Also draw objects per class, objects per video, lengths and sizes here (PNG, JPEG, PDF, SVG)."""
    overwrite: Overwrite = False
    json: str | None = None
    """Also write the counts as JSON here; without a path, JSON alone on stdout."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """Divide a split into two, with every class in both by its share: DIR/SPLIT_fit.json to train on and
    DIR/SPLIT_held.json to score against. The same file and seed give the same division; frames stay where they are."""

    root: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """Folder of the data set."""
    split: str = "train"
    """Split to divide."""
    share: float = 0.1
    """Share of the videos to hold out."""
    seed: int = 0
    """Names the division."""
    names: tuple[str, str] | None = None
    """Names of the two new splits; default SPLIT_fit SPLIT_held."""
    overwrite: Overwrite = False
    json: str | None = None
    """Also write what was divided as JSON here; without a path, JSON alone on stdout."""


@dataclass(frozen=True, kw_only=True)
class View:
    """Draw the tracks of videos: NAME.jpg, a filmstrip with truth above results, and one overlay video of each,
    NAME_truth.mp4 and NAME_results.mp4. For a data set or, with the JSON that predict wrote, for any video."""

    root: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """Folder of the data set; or a video file or folder of frames, with --results."""
    split: str = "train"
    """Name of the split."""
    videos: str | None = None
    """Ids or folder names of videos, comma-separated, or all; default the first four."""
    results: tuple[Path, ...] = ()
    """Results files in the YouTube-VIS layout, whose predictions are drawn too, a row per file below the truth; or of
    one video the <stem>.json of predict."""
    min_score: float = 0.3
    """Leave out predictions below this score."""
    frames: int = 8
    """Frames in a filmstrip."""
    frame_rate: Rate | None = None
    """Frames per second of the videos; default the times in the JSON of predict, and 6 for a data set, which knows
    none."""
    video: bool = True
    """Write overlay videos beside the filmstrips."""
    gif: bool = False
    """Write animated GIFs, too; at most 480 pixels and 600 frames each."""
    sheet: bool = False
    """Also write sheet_KIND.jpg, of truth and of each results file: a row per video, all on one page."""
    out: Path | None = None
    """Folder for the pictures; default runs/view/SPLIT, then SPLIT-2 and so on."""
    overwrite: Overwrite = False
    json: str | None = None
    """Also write the names of the files as JSON here; without a path, JSON alone on stdout."""


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Convert annotations between YouTube-VIS and other formats; refuses what the target cannot keep."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SRC")]
    """Annotation file, folder of annotations, or a zip archive of either."""
    target: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DST")]
    """Folder to write into."""
    read_as: Annotated[FormatName | None, tyro.conf.arg(name="from")] = None
    """Format of SRC; default the one that is recognised."""
    write_as: Annotated[FormatName, tyro.conf.arg(name="to")] = "youtube-vis"
    """Format of DST."""
    split: str = "train"
    """Split to read from a YouTube-VIS folder, and the name of the one written."""
    images: Path | None = None
    """Folder of the pictures (of a folder per video, except for coco and youtube-vis), where they do not lie beside the
    annotations in the usual way."""
    frames: ImageTransfer = "link"
    """Put the pictures of the frames into DST as hard links (copies where DST is on another disk), as copies, or not at
    all. Hard links take no room; editing one changes the other."""
    classes: Literal["ytvis19", "ytvis21"] | None = None
    """Only with --from coco: keep the classes that YouTube-VIS 2019 (2021 and 2022) has, under its names and ids, and
    the pictures that show one."""
    allow_loss: bool = False
    """Write what the target can keep, and name the rest in a warning."""
    on_bad: OnBad | None = None
    """What cannot be used is left out (skip) or an error (stop); default: odd shapes of objects are left out, pictures
    that cannot be read and whole annotation files stop. What was left out is listed in DST/left_out.SPLIT.json."""
    overwrite: Overwrite = False
    json: str | None = None
    """Also write what was converted as JSON here; without a path, JSON alone on stdout."""
