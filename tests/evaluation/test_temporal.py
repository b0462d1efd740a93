"""AP by length and by speed of tracks: classes by hand, and figures against a loop that knows no arrays of runs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskreel.cli.main import main
from maskreel.data.annotation_file import read_ground_truth
from maskreel.evaluation.overlap import measure
from maskreel.evaluation.report import ScoreOptions, score
from maskreel.evaluation.results import read_predictions
from maskreel.evaluation.temporal import CLASSES, boxes_of, classes_of, overlap_with_itself
from maskreel.geometry.rle import encode
from maskreel.geometry.runs import pack_tracks
from tests.evaluation.scenes import HEIGHT, WIDTH, annotation, box, entry, scene, write

Track = list[np.ndarray]
"""Dense masks, one per frame."""


def measured(folder: Path, truth: Any, results: Any, **options: Any) -> dict[str, Any]:
    ground_truth = read_ground_truth(write(folder, "gt.json", truth))
    predictions = read_predictions(write(folder, "pred.json", results), ground_truth)
    return score(ground_truth, predictions, ScoreOptions(metrics=("temporal",), **options))["temporal"]


def classes(*tracks: list[Any]) -> list[set[str]]:
    """The classes of tracks of one video, beside `all`."""
    packed = pack_tracks(tracks, height=HEIGHT, width=WIDTH, place=lambda track, frame: f"{track}, {frame}")
    found = classes_of(packed, num_frames=len(tracks[0]), height=HEIGHT)
    assert found[0].all()
    return [{name for name, is_in in zip(CLASSES, column, strict=True) if is_in} - {"all"} for column in found.T]


STILL = [box(2, 3, 10, 8)] * 4
SLIDING = [box(left, 3, 10, 8) for left in (2, 3, 4, 5)]
FLYING = [box(left, 3, 5, 8) for left in (0, 8, 16, 24)]


def test_three_tracks_by_hand() -> None:
    # A step of 1 leaves 9 of 11 columns, of 2 leaves 8 of 12, of 3 leaves 7 of 13. The outer frames have all three
    # steps, the inner ones two of 1 and one of 2.
    outer, inner = (9 / 11 + 8 / 12 + 7 / 13) / 3, (9 / 11 + 9 / 11 + 8 / 12) / 3
    packed = pack_tracks([STILL, SLIDING, FLYING], height=HEIGHT, width=WIDTH, place=lambda track, frame: "")
    own = overlap_with_itself(boxes_of(packed, HEIGHT), packed.areas > 0)
    assert own == pytest.approx([1.0, (2 * outer + 2 * inner) / 4, 0.0])
    assert classes(STILL, SLIDING, FLYING) == [{"long", "slow"}, {"long", "medium_speed"}, {"long", "fast"}]


def test_three_tracks_have_their_figures(tmp_path: Path) -> None:
    truth = scene([annotation(place, masks) for place, masks in enumerate((STILL, SLIDING, FLYING), 1)], frames=4)
    moved = [box(left, 12, 5, 8) for left in (0, 8, 16, 24)]
    results = [entry(0.9, moved), entry(0.8, STILL), entry(0.7, SLIDING)]
    figures = measured(tmp_path, truth, results)
    # The best score is wrong, and fast: it counts there and over all, not among slow tracks and those between.
    assert (figures["AP_slow"], figures["AP_medium_speed"], figures["AP_fast"]) == (1.0, 1.0, 0.0)
    assert (figures["AR_slow"], figures["AR_medium_speed"], figures["AR_fast"]) == (1.0, 1.0, 0.0)
    # Precision 1/2, then 2/3 up to a recall of 2/3, which 67 of 101 levels reach.
    assert figures["AP_all"] == figures["AP_long"] == pytest.approx(67 * (2 / 3) / 101)
    assert (figures["AP_short"], figures["AP_medium_length"]) == (None, None)
    assert figures["per_class"]["class 1"]["AP_slow"] == 1.0
    assert figures["per_class"]["class 2"]["AP_slow"] is None


@pytest.mark.parametrize(
    ("num_seen", "name"), [(1, "short"), (2, "short"), (3, "medium_length"), (5, "medium_length"), (6, "long")]
)
def test_a_quarter_is_short_and_three_quarters_are_long(num_seen: int, name: str) -> None:
    assert name in classes([box(2, 3, 4, 4)] * num_seen + [None] * (8 - num_seen))[0]


def test_frames_where_a_mask_is_empty_are_not_seen() -> None:
    assert "short" in classes([box(2, 3, 4, 4), *([box(0, 0, 0, 0)] * 3)])[0]


def test_a_track_without_a_frame_near_does_not_move() -> None:
    alone = [box(2, 3, 4, 4), *([None] * 11)]
    far = [box(0, 3, 4, 4), *([None] * 10), box(20, 3, 4, 4)]
    near = [box(0, 3, 4, 4), *([None] * 9), box(20, 3, 4, 4), None]
    assert [("slow" in found, "fast" in found) for found in classes(alone, far, near)] == [
        (True, False),
        (True, False),
        (False, True),
    ]


def test_bounds_of_speed_lie_between() -> None:
    # Two frames whose boxes share 9 of 10 columns, and 7 of 10.
    nine, seven = [box(2, 3, 10, 8), box(2, 3, 9, 8)], [box(2, 3, 10, 8), box(2, 3, 7, 8)]
    assert ["medium_speed" in found for found in classes(nine, seven)] == [True, True]


def naive_boxes(track: Track) -> list[tuple[int, int, int, int] | None]:
    found = []
    for mask in track:
        rows, columns = np.nonzero(mask)
        found.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if rows.size else None)
    return found


def naive_iou(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = max(width, 0) * max(height, 0)
    areas = [(side[2] - side[0]) * (side[3] - side[1]) for side in (one, other)]
    return common / (sum(areas) - common)


def naive_speed(track: Track) -> float:
    boxes = naive_boxes(track)
    means = []
    for t, own in enumerate(boxes):
        around = [boxes[u] for u in range(max(0, t - 10), min(len(boxes), t + 11)) if u != t]
        ious = [naive_iou(own, other) for other in around if own is not None and other is not None]
        if ious:
            means.append(sum(ious) / len(ious))
    return sum(means) / len(means) if means else 1.0


def naive_classes(track: Track) -> dict[str, bool]:
    share, speed = sum(mask.any() for mask in track) / len(track), naive_speed(track)
    return {
        "all": True,
        "short": share <= 0.25,
        "medium_length": 0.25 < share < 0.75,
        "long": share >= 0.75,
        "slow": speed > 0.9,
        "medium_speed": 0.7 <= speed <= 0.9,
        "fast": speed < 0.7,
    }


def random_track(rng: np.random.Generator, frames: int) -> Track:
    """A rectangle, or two, that go at some speed and are not always seen."""
    left, top = rng.integers(0, WIDTH - 8), rng.integers(0, HEIGHT - 8)
    step, size = rng.choice([0.0, 0.3, 1.0, 3.0]) * rng.choice([-1, 1], 2), rng.integers(3, 9, 2)
    seen = rng.random(frames) < rng.choice([0.1, 0.5, 1.0])
    track = []
    for t in range(frames):
        mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
        x, y = int(np.clip(left + step[0] * t, 0, WIDTH - 3)), int(np.clip(top + step[1] * t, 0, HEIGHT - 3))
        if seen[t]:
            mask[y : y + size[0], x : x + size[1]] = True
            mask[min(y + 12, HEIGHT - 1), x] |= rng.random() < 0.3
        track.append(mask)
    return track


def to_file(track: Track) -> list[Any]:
    return [encode(mask).to_json() if mask.any() else None for mask in track]


@pytest.mark.parametrize("seed", range(10))
def test_classes_are_those_of_a_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tracks = [random_track(rng, int(rng.integers(1, 30))) for _ in range(6)]
    for track in tracks:
        assert classes(to_file(track))[0] | {"all"} == {name for name, is_in in naive_classes(track).items() if is_in}


def naive_ap(
    truth: list[tuple[int, Track, bool]], found: list[tuple[int, float, Track]], name: str
) -> tuple[float, float] | None:
    """AP and AR of one category and class of tracks; (video, masks, is crowd), (video, score, masks)."""
    is_counted = [naive_classes(track)[name] and not is_crowd for _, track, is_crowd in truth]
    if not any(is_counted):
        return None
    found = sorted(found, key=lambda one: -one[1])
    precision, recall = [], []
    for threshold in np.linspace(0.5, 0.95, 10):
        taken: set[int] = set()
        outcome = []
        for video, _, masks in found:
            best, best_iou = None, threshold
            for wanted in (True, False):
                for place, (other, track, is_crowd) in enumerate(truth):
                    if other != video or is_counted[place] != wanted or (place in taken and not is_crowd):
                        continue
                    iou = sum((a & b).sum() for a, b in zip(masks, track, strict=True)) / max(
                        1, sum((a | b).sum() for a, b in zip(masks, track, strict=True))
                    )
                    if iou >= best_iou:
                        best, best_iou = place, iou
                if best is not None:
                    break
            if best is not None:
                taken.add(best)
            if is_counted[best] if best is not None else naive_classes(masks)[name]:
                outcome.append(best is not None)
        hits = np.cumsum(outcome) if outcome else np.zeros(0)
        recalls, precisions = hits / sum(is_counted), hits / np.arange(1, len(hits) + 1)
        levels = np.linspace(0, 1, 101)
        precision.append(np.mean([max(precisions[recalls >= level], default=0.0) for level in levels]))
        recall.append(recalls[-1] if len(recalls) else 0.0)
    return float(np.mean(precision)), float(np.mean(recall))


@pytest.mark.parametrize("seed", range(6))
def test_figures_are_those_of_a_loop(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    truth, found = [], []
    for video in range(1, 4):
        for _ in range(6):
            track = random_track(rng, 12)
            if not any(mask.any() for mask in track):
                continue
            truth.append((video, track, bool(rng.random() < 0.15)))
            if rng.random() < 0.7:
                blurred = [np.roll(mask, int(rng.integers(0, 2)), axis=1) for mask in track]
                found.append((video, float(rng.random()), blurred))
        found += [(video, float(rng.random()), random_track(rng, 12)) for _ in range(3)]
    figures = measured(
        tmp_path,
        scene(
            [annotation(n, to_file(t), video_id=v, iscrowd=int(c)) for n, (v, t, c) in enumerate(truth, 1)],
            frames=12,
            videos=3,
        ),
        [entry(score, to_file(track), video_id=video) for video, score, track in found],
    )
    for name in CLASSES:
        expected = naive_ap(truth, found, name)
        ours = (figures[f"AP_{name}"], figures[f"AR_{name}"])
        assert ours == ((None, None) if expected is None else pytest.approx(expected, abs=1e-12)), name


def test_it_is_a_metric_like_any_other_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    truth = scene([annotation(1, STILL), annotation(2, FLYING)], frames=4)
    files = [str(write(tmp_path, "gt.json", truth)), str(write(tmp_path, "pred.json", [entry(0.9, STILL)]))]
    scores = [str(tmp_path / name) for name in ("a.json", "b.json")]
    options = ["--metrics", "temporal", "--per-class", "--per-video", "--bootstrap", "5"]
    assert main(["score", *files, *options, "--json", scores[0], "--csv", str(tmp_path / "a.csv")]) == 0
    printed = capsys.readouterr().out
    assert "AP_slow" in printed
    assert "95 % from" in printed
    assert "1 v1" in printed
    report = json.loads(Path(scores[0]).read_text())["temporal"]
    assert report["confidence"]["AP_slow"] == [1.0, 1.0]
    assert report["per_video"]["1"]["AP_fast"] == 0.0
    assert "temporal,all,,AP_slow,1.0,1.0,1.0" in (tmp_path / "a.csv").read_text().splitlines()
    write(tmp_path, "pred.json", [entry(0.9, FLYING)])
    assert main(["score", *files, *options, "--json", scores[1]]) == 0
    assert main(["compare", *scores]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["AP_slow", "100.00", "0.00", "-100.00"] in lines
    assert ["AP_fast", "0.00", "100.00", "+100.00"] in lines
    assert main(["score", "--help"]) == 0
    assert "temporal" in capsys.readouterr().out


def test_the_reference_cannot_see_id_0_here_either(tmp_path: Path) -> None:
    truth = scene([annotation(0, STILL, areas=[80] * 4)], frames=4)
    ground_truth = read_ground_truth(write(tmp_path, "gt.json", truth), strict_reference=True)
    predictions = read_predictions(write(tmp_path, "pred.json", [entry(0.5, STILL)]), ground_truth)
    overlaps = measure(ground_truth, predictions)
    assert next(overlaps).iou.tolist() == [[1.0]]
    options = ScoreOptions(metrics=("temporal",), strict_reference=True)
    assert score(ground_truth, predictions, options)["temporal"]["AP_slow"] == 0.0
