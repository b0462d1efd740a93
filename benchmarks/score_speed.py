"""Speed and memory of `maskreel score` against a plain evaluator, each in its own process, one after the other.

    python benchmarks/score_speed.py --folder data/score-speed
    python benchmarks/score_speed.py --folder data/score-speed --sets dense --repeats 5

Two generated sets, kept in the folder: `validation` has the size of YouTube-VIS 2019's validation split (302 videos,
about 10,000 frames of 360x640, 750 tracks, 3,000 predictions, 40 classes); `dense` has few long videos of 720x1280
full of tracks, of 5 classes.

The plain evaluator below does what the field's does, with nothing left out and nothing added: json.load, IoU only for
pairs of equal class, two merges and two areas of pycocotools per frame pair, matching in Python, the twelve figures.
Both must agree on AP. `IoU` is the time from masks as they stand in the JSON to one IoU per pair of tracks. CPU seconds
stand beside those of the clock because other work on the machine stretches the latter.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Dials:
    """Size of a generated set."""

    num_videos: int
    frames: tuple[int, int]
    """Shortest and longest video."""
    size: tuple[int, int]
    """Height and width of the frames."""
    num_tracks: int
    num_predictions: int
    num_classes: int = 40


SETS = {
    "validation": Dials(num_videos=302, frames=(20, 47), size=(360, 640), num_tracks=750, num_predictions=3000),
    "dense": Dials(
        num_videos=6, frames=(300, 500), size=(720, 1280), num_tracks=90, num_predictions=270, num_classes=5
    ),
}


@dataclass(frozen=True, kw_only=True)
class Measurement:
    seconds: float
    cpu_seconds: float
    peak_mib: float
    output: dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and memory of maskreel score against a plain evaluator.")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "maskreel-score-speed")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--part", choices=["plain", "iou"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    for name in args.sets:
        files = (args.folder / f"{name}_truth.json", args.folder / f"{name}_results.json")
        if args.part is not None:
            print(json.dumps({"plain": plain_score, "iou": time_iou}[args.part](*files)))
            continue
        if not all(path.exists() for path in files):
            generate(SETS[name], *files)
        compare(name, files, args)


def compare(name: str, files: tuple[Path, Path], args: argparse.Namespace) -> None:
    """Measure both evaluators in turn, and print medians and ratios."""
    part = [sys.executable, __file__, "--folder", str(args.folder), "--sets", name, "--part"]
    commands = {
        "plain": [*part, "plain"],
        "ours": [sys.executable, "-m", "maskreel.cli.main", "score", *map(str, files), "--json"],
        "iou": [*part, "iou"],
    }
    runs: dict[str, list[Measurement]] = {key: [] for key in commands}
    # The first round warms the disk cache and the compiled loops.
    for turn in range(args.repeats + 1):
        for key, command in commands.items():
            measured = run(command)
            if turn:
                runs[key].append(measured)
    ap = (runs["plain"][0].output["AP"], runs["ours"][0].output["ap"]["AP"])
    if abs(ap[0] - ap[1]) > 1e-9:
        raise SystemExit(f"{name}: the plain evaluator has AP {ap[0]}, maskreel {ap[1]}")
    megabytes = [path.stat().st_size / 1e6 for path in files]
    print(f"{name}: {megabytes[0]:.0f} + {megabytes[1]:.0f} MB of JSON, AP {ap[0]:.6f} by both")
    iou = {key: [one.output["iou_seconds"] for one in runs[key]] for key in ("plain", "iou")}
    print_ratio("IoU, CPU", iou["plain"], iou["iou"])
    print_ratio("command", [one.seconds for one in runs["plain"]], [one.seconds for one in runs["ours"]])
    print_ratio("command, CPU", [one.cpu_seconds for one in runs["plain"]], [one.cpu_seconds for one in runs["ours"]])
    peak = {key: max(one.peak_mib for one in values) for key, values in runs.items()}
    print(f"  {'peak memory':14} plain {peak['plain']:6.0f} MiB  maskreel {peak['ours']:6.0f} MiB", flush=True)


def print_ratio(title: str, plain: Sequence[float], ours: Sequence[float]) -> None:
    """Medians of both, and their ratio."""
    slow, fast = statistics.median(plain), statistics.median(ours)
    print(f"  {title:14} plain {slow:7.3f} s   maskreel {fast:7.3f} s   x{slow / fast:.1f}")


def run(command: Sequence[str]) -> Measurement:
    """Run a process to its end; wall time, peak memory, and the JSON that it printed."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None, "a pipe was asked for"
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with exit code {process.returncode}")
    return Measurement(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mib=usage.ru_maxrss / 1024,
        output=json.loads(output),
    )


def time_iou(truth_path: Path, results_path: Path) -> dict[str, Any]:
    """Seconds that Maskreel takes from masks in the JSON to the IoU of all pairs of tracks, of any class.

    The compiled loops are loaded before, on an empty video: that time is the command's.
    """
    from maskreel.data.annotation_file import read_ground_truth
    from maskreel.evaluation.overlap import measure
    from maskreel.evaluation.results import Predictions, read_predictions
    from maskreel.files import collector_paused

    with collector_paused():
        truth = read_ground_truth(truth_path)
        predictions = read_predictions(results_path, truth)
        first = replace(truth, videos=truth.videos[:1], tracks=None)
        assert len(list(measure(first, Predictions(tracks={})))) == 1, "one video"
        start = time.process_time()
        pairs = sum(overlap.iou.size for overlap in measure(truth, predictions))
        return {"iou_seconds": time.process_time() - start, "pairs": pairs}


# --- generated sets


def generate(dials: Dials, truth_path: Path, results_path: Path) -> None:
    """Write a set: every track is a smooth blob that wanders; predictions are inexact copies and strangers.

    Four of five tracks are of their video's main class, as videos mostly show several of a kind.
    """
    rng = np.random.default_rng(0)
    videos, annotations, results = [], [], []
    lengths = rng.integers(dials.frames[0], dials.frames[1] + 1, dials.num_videos)
    for index, length in enumerate(lengths.tolist(), start=1):
        names = [f"{index:04d}/{frame:05d}.jpg" for frame in range(length)]
        size = {"height": dials.size[0], "width": dials.size[1]}
        videos.append({"id": index, **size, "length": length, "file_names": names})
    main_class = rng.integers(1, dials.num_classes + 1, dials.num_videos)
    for index in range(dials.num_tracks):
        video = videos[index % dials.num_videos]
        blob = draw_blob(rng, dials.size)
        label = int(
            main_class[index % dials.num_videos] if rng.random() < 0.8 else rng.integers(1, dials.num_classes + 1)
        )
        masks, areas = blob_track(blob, video["length"], dials.size)
        record = {"id": index + 1, "video_id": video["id"], "category_id": label, "iscrowd": 0}
        annotations.append({**record, "segmentations": masks, "areas": areas})
        for copy in range(round(dials.num_predictions / dials.num_tracks)):
            is_stranger = copy % 4 == 3
            other = draw_blob(rng, dials.size) if is_stranger else blob + rng.normal(0, 0.02 * copy + 0.01, blob.shape)
            masks, _ = blob_track(other, video["length"], dials.size)
            confused = int(rng.integers(1, dials.num_classes + 1)) if copy % 4 == 2 else label
            record = {"video_id": video["id"], "category_id": confused, "score": round(float(rng.random()), 4)}
            results.append({**record, "segmentations": masks})
    categories = [{"id": label, "name": f"class {label}"} for label in range(1, dials.num_classes + 1)]
    truth_path.parent.mkdir(parents=True, exist_ok=True)
    truth_path.write_text(json.dumps({"videos": videos, "categories": categories, "annotations": annotations}))
    results_path.write_text(json.dumps(results))


def draw_blob(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Centre, speed and half sides as fractions of the frame, then amplitude and phase of three ripples."""
    return np.concatenate(
        (rng.uniform(0.2, 0.8, 2), rng.normal(0, 0.15, 2), rng.uniform(0.06, 0.22, 2), rng.uniform(0, 1, 6))
    )


def blob_track(blob: np.ndarray, length: int, size: tuple[int, int]) -> tuple[list[Any], list[int | None]]:
    """Masks and areas of a blob, null in the frames in which it has left the picture."""
    masks, areas = [], []
    for time_ in np.linspace(-0.5, 0.5, length):
        runs = blob_runs(blob, float(time_), size)
        masks.append(None if runs is None else {"size": list(size), "counts": compressed(runs)})
        areas.append(None if runs is None else int(runs[1::2].sum()))
    return masks, areas


def blob_runs(blob: np.ndarray, moment: float, size: tuple[int, int]) -> np.ndarray | None:
    """Run lengths of an ellipse whose upper and lower edge ripple, one run per column."""
    height, width = size
    centre = (blob[:2] + blob[2:4] * moment) * size
    half = np.maximum(np.abs(blob[4:6]), 0.02) * size
    left, right = max(int(centre[1] - half[1]), 0), min(int(centre[1] + half[1]) + 1, width)
    columns = np.arange(left, right)
    across = np.clip((columns - centre[1]) / half[1], -1, 1)
    profile = half[0] * np.sqrt(1 - across**2)
    waves = np.arange(2, 5)[:, None] * np.pi * across + 2 * np.pi * (blob[9:12, None] + moment)
    ripple = (blob[6:9, None] * np.sin(waves)).sum(axis=0) / 6
    top = np.clip((centre[0] - profile * (1 + ripple)).astype(np.int64), 1, height - 1)
    bottom = np.clip((centre[0] + profile * (1 - ripple)).astype(np.int64), 1, height - 1)
    is_filled = bottom > top
    if not is_filled.any():
        return None
    starts, ends = (columns * height + top)[is_filled], (columns * height + bottom)[is_filled]
    edges = np.stack((starts, ends), axis=1).reshape(-1)
    return np.diff(np.concatenate(([0], edges, [height * width])))


def compressed(runs: np.ndarray) -> str:
    from maskreel.geometry.rle import compress

    return compress(runs).decode("ascii")


# --- the plain evaluator


THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
RANGES = ((0, 1e10), (0, 128**2), (128**2, 256**2), (256**2, 1e10))


def plain_score(truth_path: Path, results_path: Path) -> dict[str, Any]:
    """AP and its relatives, one pair of masks after the other."""
    with truth_path.open() as file:
        truth = json.load(file)
    with results_path.open() as file:
        results = json.load(file)
    for track in results:
        sizes = [_area(mask) for mask in track["segmentations"] if mask is not None]
        track["mean_area"] = float(np.mean(sizes)) if sizes else 0.0
    for track in truth["annotations"]:
        track["mean_area"] = float(np.mean([area for area in track["areas"] if area] or [0.0]))
    groups: dict[tuple[int, int], tuple[list[Any], list[Any]]] = defaultdict(lambda: ([], []))
    for place, tracks in enumerate((truth["annotations"], results)):
        for track in tracks:
            groups[track["category_id"], track["video_id"]][place].append(track)
    seconds = 0.0
    outcomes: dict[int, list[list[Any]]] = defaultdict(list)
    for (label, _), (annotated, predicted) in sorted(groups.items(), key=lambda item: item[0]):
        predicted.sort(key=lambda track: -track["score"])
        start = time.process_time()
        ious = [[_iou(track["segmentations"], other["segmentations"]) for other in annotated] for track in predicted]
        seconds += time.process_time() - start
        outcomes[label].append([_match(annotated, predicted, ious, bounds) for bounds in RANGES])
    labels = [category["id"] for category in truth["categories"]]
    figures = [_figures(outcomes[label], index) for index in range(len(RANGES)) for label in labels]
    precision = np.array([one[0] for one in figures]).reshape(len(RANGES), len(labels), -1)
    recall = np.array([one[1] for one in figures]).reshape(len(RANGES), len(labels), -1)
    return {
        "iou_seconds": seconds,
        "AP": _mean(precision[0]),
        "AP by size": [_mean(one) for one in precision[1:]],
        "AR by size": [_mean(one) for one in recall],
    }


def _mean(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def _area(mask: Any) -> int:
    from pycocotools import mask as coco

    return int(coco.area(mask))


def _iou(predicted: Sequence[Any], annotated: Sequence[Any]) -> float:
    from pycocotools import mask as coco

    common, union = 0, 0
    for one, other in zip(predicted, annotated, strict=True):
        if one is not None and other is not None:
            common += int(coco.area(coco.merge([one, other], True)))
            union += int(coco.area(coco.merge([one, other], False)))
        elif one is not None or other is not None:
            union += _area(one if one is not None else other)
    return common / union if union else 0.0


def _match(
    annotated: Sequence[Any], predicted: Sequence[Any], ious: Sequence[Sequence[float]], bounds: tuple[float, float]
) -> tuple[list[float], np.ndarray, np.ndarray, int]:
    """Scores, whether each prediction is right and whether it is ignored, per threshold, and the number to find."""
    is_outside = [not bounds[0] <= track["mean_area"] <= bounds[1] for track in annotated]
    order = sorted(range(len(annotated)), key=lambda index: is_outside[index])
    shape = (len(THRESHOLDS), len(predicted[:100]))
    is_right, is_ignored = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    for level, threshold in enumerate(THRESHOLDS):
        taken: set[int] = set()
        for place, track in enumerate(predicted[:100]):
            best, bound = -1, min(threshold, 1 - 1e-10)
            for index in order:
                if index in taken:
                    continue
                if best >= 0 and not is_outside[best] and is_outside[index]:
                    break
                if ious[place][index] >= bound:
                    best, bound = index, ious[place][index]
            if best >= 0:
                taken.add(best)
                is_right[level, place], is_ignored[level, place] = True, is_outside[best]
            else:
                is_ignored[level, place] = not bounds[0] <= track["mean_area"] <= bounds[1]
    return [track["score"] for track in predicted[:100]], is_right, is_ignored, is_outside.count(False)


def _figures(outcomes: Sequence[Any], index: int) -> tuple[list[float], list[float]]:
    """AP and recall of one class at each threshold, NaN where there is nothing to find."""
    of_range = [outcome[index] for outcome in outcomes]
    total = sum(one[3] for one in of_range)
    if not total:
        return [np.nan] * len(THRESHOLDS), [np.nan] * len(THRESHOLDS)
    order = np.argsort(-np.concatenate([np.array(one[0]) for one in of_range]), kind="mergesort")
    is_right = np.concatenate([one[1] for one in of_range], axis=1)[:, order]
    counts = ~np.concatenate([one[2] for one in of_range], axis=1)[:, order]
    pairs = list(_curves(is_right & counts, ~is_right & counts, total))
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _curves(right: np.ndarray, wrong: np.ndarray, total: int) -> Iterator[tuple[float, float]]:
    for hits, faults in zip(np.cumsum(right, axis=1), np.cumsum(wrong, axis=1), strict=True):
        recall, precision = hits / total, hits / np.maximum(hits + faults, 1)
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        places = np.searchsorted(recall, RECALLS, side="left")
        reached = np.concatenate((precision, [0.0]))[places]
        yield float(reached.mean()), float(recall[-1]) if recall.size else 0.0


if __name__ == "__main__":
    main()
