"""Results files for benchmark servers: every fault is named before a server would fail on it without a word."""

import math
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskreel.data.records import read_document
from maskreel.data.tracks import GroundTruth
from maskreel.errors import DataError, UsageError
from maskreel.files import complete_file
from maskreel.geometry import rle
from maskreel.geometry.rle import RleError

MEMBER = "results.json"
"""What servers look for at the top of the archive."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What the server of a data set expects; class ids are 1 to `num_classes`."""

    title: str
    num_classes: int
    num_videos: dict[str, int]
    """Videos of the splits whose truth is held back; empty where we know no sure number."""


BENCHMARKS = {
    "ytvis19": Benchmark(title="YouTube-VIS 2019", num_classes=40, num_videos={"valid": 302, "test": 343}),
    "ytvis21": Benchmark(title="YouTube-VIS 2021", num_classes=40, num_videos={"valid": 421, "test": 453}),
    "ytvis22": Benchmark(title="YouTube-VIS 2022", num_classes=40, num_videos={}),
    "ovis": Benchmark(title="OVIS", num_classes=25, num_videos={"valid": 140, "test": 154}),
}


@dataclass(frozen=True, kw_only=True)
class CheckedResults:
    """What was found in a results file."""

    faults: tuple[str, ...]
    """One sentence each, with the entry that it is about; empty for a file that can be sent."""
    num_predictions: int
    num_videos: int


def check_results(path: Path, benchmark: Benchmark, videos: GroundTruth | None = None) -> CheckedResults:
    """Look for every fault of a results file; `videos` adds the ids, lengths and sizes of the split's videos.

    Raises UsageError for a file that cannot be read, DataError for one that is not a list in JSON.
    """
    entries, _ = read_document(path, unreadable=UsageError)
    if not isinstance(entries, list):
        raise DataError(f"{path}: a results file is a list of entries with video_id, category_id, score, segmentations")
    faults = [] if entries else ["the list is empty; the evaluator fails on that"]
    sound: dict[int, list[tuple[int, Sequence[Any]]]] = defaultdict(list)
    for place, entry in enumerate(entries):
        found = list(_entry_faults(entry, benchmark))
        faults += [f"entry {place}: {fault}" for fault in found]
        if (
            isinstance(entry, dict)
            and type(entry.get("video_id")) is int
            and isinstance(entry.get("segmentations"), list)
        ):
            sound[entry["video_id"]].append((place, entry["segmentations"]))
    for video_id, tracks in sound.items():
        faults += _video_faults(video_id, tracks, videos)
    if benchmark.num_videos and len(sound) > max(benchmark.num_videos.values()):
        splits = ", ".join(f"{split} has {count}" for split, count in benchmark.num_videos.items())
        faults.append(f"predictions for {len(sound)} videos; of {benchmark.title} {splits}")
    return CheckedResults(faults=tuple(faults), num_predictions=len(entries), num_videos=len(sound))


def write_archive(results: Path, archive: Path) -> None:
    """Zip the results file as `results.json` at top level; the same file gives the same bytes."""
    with complete_file(archive) as new, zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as bundle:
        info = zipfile.ZipInfo(MEMBER, date_time=(1980, 1, 1, 0, 0, 0))
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o644 << 16
        with bundle.open(info, "w", force_zip64=True) as member, results.open("rb") as source:
            while block := source.read(1 << 20):
                member.write(block)


def _entry_faults(entry: Any, benchmark: Benchmark) -> Iterator[str]:
    """What is wrong with one entry without looking at its masks."""
    if not isinstance(entry, dict):
        yield f"{str(entry)[:40]!r} is no object"
        return
    for key in ("video_id", "category_id"):
        if type(entry.get(key)) is not int:
            yield f"{key} is {entry.get(key)!r:.40}, not a whole number"
    video_id, label = entry.get("video_id"), entry.get("category_id")
    score: Any = entry.get("score")
    if type(video_id) is int and video_id < 1:
        yield f"video_id is {video_id}; ids of {benchmark.title} start at 1"
    if type(label) is int and not 1 <= label <= benchmark.num_classes:
        yield f"category_id is {label}; {benchmark.title} has classes 1 to {benchmark.num_classes}"
    if type(score) not in (int, float):
        yield f"score is {score!r:.40}, not a number"
    elif not math.isfinite(score):
        yield f"score is {score}, which sorts anywhere"
    if not isinstance(entry.get("segmentations"), list):
        yield "segmentations are no list; they hold one mask or null per frame"


def _video_faults(video_id: int, tracks: Sequence[tuple[int, Sequence[Any]]], videos: GroundTruth | None) -> list[str]:
    """What is wrong with the masks of one video; without its record, most of its entries say how it should be."""
    known = {video.id: video for video in videos.videos} if videos is not None else {}
    if videos is not None and video_id not in known:
        return [f"entry {place}: video_id {video_id} is not in {videos.source}" for place, _ in tracks]
    video = known.get(video_id)
    length = video.length if video else _most_frequent([len(masks) for _, masks in tracks])
    size = [video.height, video.width] if video else _declared_size(tracks)
    whose = f"video {video_id} has" if video else f"most entries of video {video_id} have"
    faults = []
    for place, masks in tracks:
        if len(masks) != length:
            faults.append(f"entry {place}: {len(masks)} segmentations where {whose} {length}")
        faults += [f"entry {place}, {fault}" for fault in _mask_faults(masks, size)]
    return faults


def _mask_faults(masks: Sequence[Any], size: Sequence[int] | None) -> Iterator[str]:
    is_seen = False
    for frame, mask in enumerate(masks):
        if mask is None or mask == []:
            continue
        is_seen = True
        if not (isinstance(mask, dict) and isinstance(mask.get("counts"), str) and size is not None):
            yield f"frame {frame}: not a compressed mask (size and a string of counts), which is all that servers read"
            continue
        try:
            rle.parse(mask, height=size[0], width=size[1], where=f"frame {frame}")
        except RleError as error:
            yield str(error)
    if not is_seen:
        yield "all frames: no mask in any of them; drop the entry"


def _declared_size(tracks: Sequence[tuple[int, Sequence[Any]]]) -> Sequence[int] | None:
    sizes = [
        tuple(mask["size"])
        for _, masks in tracks
        for mask in masks
        if isinstance(mask, dict) and isinstance(mask.get("size"), list) and list(map(type, mask["size"])) == [int, int]
    ]
    return _most_frequent(sizes) if sizes else None


def _most_frequent(values: Sequence[Any]) -> Any:
    return max(dict.fromkeys(values), key=values.count)
