"""What remembering lost objects is worth: `python benchmarks/identity_memory.py DATA [DATA ...] [--videos 20]`.

DATA are folders of `maskreel data synth DATA --set rendered-return --split valid --seed SEED`. A model is run over each
video once; its detections are linked without a memory and with one. Printed for both: AP (pairs of object and class),
and HOTA, AssA and IDF1 (objects that reach the score of the options) in percent; in how many returns of an object its
old id was kept; and ids that lie on several objects. Then, over the videos of all sets, the mean difference of each
metric per video, on less off, with the 95 % interval of 10,000 resamplings of the videos.
"""

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import maskreel
from maskreel.data.annotation_file import read_ground_truth
from maskreel.data.dataset_video import DatasetVideo
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.geometry import rle
from maskreel.geometry.masklets import Masklets
from maskreel.geometry.rle import Rle
from maskreel.inference.finding import ShownFrame
from maskreel.inference.postprocess import ClipDetections
from maskreel.inference.predictor import VideoPredictor
from maskreel.inference.session import Session, VideoResult
from maskreel.inference.windows import Window

METRICS = {"ap": ("AP",), "hota": ("HOTA", "AssA"), "identity": ("IDF1",)}
SPLIT = "valid"


class Repeated:
    """A finder that finds again what it found before."""

    def __init__(self, find: Callable[[Window[ShownFrame], tuple[int, int]], ClipDetections]) -> None:
        self._find = find
        self._known: list[ClipDetections] = []
        self._next = 0

    def __call__(self, window: Window[ShownFrame], size: tuple[int, int]) -> ClipDetections:
        if self._next == len(self._known):
            self._known.append(self._find(window, size))
        self._next += 1
        return self._known[self._next - 1]

    def rewind(self) -> None:
        self._next = 0


def main() -> None:
    parser = argparse.ArgumentParser(description="Identities with and without a memory.")
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--run", default="bundled")
    parser.add_argument("--videos", type=int, default=20)
    parser.add_argument("--memory", type=int, default=60)
    parser.add_argument("--latency", type=int, default=None)
    parser.add_argument("--window", type=int, default=None)
    args = parser.parse_args()
    predictor = maskreel.load(args.run, device="cpu", max_objects=None)
    differences: dict[str, list[float]] = {}
    for data in args.data:
        report = measure(predictor, data, args.videos, args.memory, args.latency, args.window)
        for name, off in report["off"].pop("per video").items():
            on = report["on"]["per video"][name]
            pairs = ((a, b) for a, b in zip(on, off, strict=True) if a is not None and b is not None)
            differences.setdefault(name, []).extend(a - b for a, b in pairs)
        del report["on"]["per video"]
        print(json.dumps({"data": str(data), "videos": args.videos, **report}), flush=True)
    print(json.dumps({name: interval(values) for name, values in differences.items()}))


def interval(values: Sequence[float]) -> list[float]:
    """Mean, and the bounds of 95 % of its resamplings, in percent."""
    drawn = np.random.default_rng(0).choice(np.array(values), (10_000, len(values))).mean(1)
    return [round(100 * float(one), 2) for one in (np.mean(values), *np.percentile(drawn, [2.5, 97.5]))]


def measure(
    predictor: VideoPredictor, data: Path, videos: int, memory: int, latency: int | None, window: int | None
) -> dict[str, Any]:
    dataset = YouTubeVIS.load(data, SPLIT)
    chosen = dataset.videos[:videos]
    found: dict[str, list[VideoResult]] = {"off": [], "on": []}
    for index, _ in enumerate(chosen):
        again: Repeated | None = None
        for way, frames in (("off", 0), ("on", memory)):
            session = predictor.session(latency=latency, window=window, memory=frames)
            again = again or Repeated(session._find)
            again.rewind()
            session._find = again  # pyright: ignore[reportAttributeAccessIssue]
            found[way].append(run(session, dataset, index))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        document = json.loads(dataset.annotation_path.read_text())
        ids = {video.id for video in chosen}
        document["videos"] = [video for video in document["videos"] if video["id"] in ids]
        document["annotations"] = [one for one in document["annotations"] if one["video_id"] in ids]
        (folder / "truth.json").write_text(json.dumps(document))
        truth = read_ground_truth(folder / "truth.json")
        assert truth.tracks is not None
        numbers = [video.id for video in chosen]
        return {way: figures(folder, numbers, results, truth.tracks, predictor) for way, results in found.items()}


def run(session: Session, dataset: YouTubeVIS, index: int) -> VideoResult:
    source = DatasetVideo(dataset, index)
    for frame in source:
        session.push(frame)
    session.finish()
    return session.video(source)


def figures(
    folder: Path, ids: Sequence[int], results: Sequence[VideoResult], truth: Any, predictor: VideoPredictor
) -> dict[str, Any]:
    report: dict[str, Any] = {}
    shown = [result.masklets(predictor.options.min_score) for result in results]
    for metric, names in METRICS.items():
        masklets = [result.pairs() for result in results] if metric == "ap" else shown
        entries = [entry for number, one in zip(ids, masklets, strict=True) for entry in one.to_youtube_vis(number)]
        (folder / "results.json").write_text(json.dumps(entries))
        scored = maskreel.score(folder / "truth.json", folder / "results.json", metrics=(metric,), per_video=True)
        report |= {name: round(100 * found_in(scored[metric], name)[name], 1) for name in names}
        alone = scored[metric]["per_video"].values()
        report.setdefault("per video", {}).update({name: [one[name] for one in alone] for name in names})
    links = [relinked(one, tracks) for one, tracks in zip(shown, truth, strict=True)]
    report["returns"] = sum(link[0] for link in links)
    report["kept"] = sum(link[1] for link in links)
    report["mixed ids"] = sum(link[2] for link in links)
    return report


def found_in(section: dict[str, Any], name: str) -> dict[str, Any]:
    """The part of a metric's section that has a name."""
    return (
        section if name in section else next(one for one in section.values() if isinstance(one, dict) and name in one)
    )


def relinked(masklets: Masklets, tracks: Sequence[Any]) -> tuple[int, int, int]:
    """(times that an object was found before and after an absence, of which under one id, ids that changed owners)."""
    height, width = masklets.height, masklets.width
    truth = [[mask_of(mask, height, width) for mask in track.segmentations] for track in tracks]
    masks = [list(masklet.segmentations) for masklet in masklets]
    owners = [[owner(mask, truth, frame) for frame, mask in enumerate(track)] for track in masks]
    wrong = sum(max(0, len([n for n in Counter(filter(is_number, one)).values() if n >= 3]) - 1) for one in owners)
    returns = kept = 0
    for number, track in enumerate(truth):
        seen = [frame for frame, mask in enumerate(track) if mask is not None]
        for before, after in zip(seen[:-1], seen[1:], strict=True):
            if after - before < 5:
                continue
            first = ids_around(owners, number, range(max(0, before - 10), before + 1))
            second = ids_around(owners, number, range(after, min(len(track), after + 10)))
            if first and second:
                returns += 1
                kept += bool(first & second)
    return returns, kept, wrong


def mask_of(mask: Any, height: int, width: int) -> Rle | None:
    return mask if mask is None or isinstance(mask, Rle) else rle.parse(mask, height=height, width=width, where="truth")


def is_number(value: int | None) -> bool:
    return value is not None


def ids_around(owners: Sequence[Sequence[int | None]], number: int, frames: range) -> set[int]:
    """Found tracks that lie on a true one in these frames."""
    return {found for found, one in enumerate(owners) if any(one[frame] == number for frame in frames)}


def owner(mask: Rle | None, truth: Sequence[Sequence[Rle | None]], frame: int) -> int | None:
    """The true track that a mask lies on, by more than half; None where there is none."""
    if mask is None:
        return None
    overlaps = [0.0 if (true := track[frame]) is None else rle.iou(mask, true) for track in truth]
    best = max(range(len(overlaps)), key=overlaps.__getitem__, default=None)
    return best if best is not None and overlaps[best] > 0.5 else None


if __name__ == "__main__":
    main()
