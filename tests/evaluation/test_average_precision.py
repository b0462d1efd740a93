"""AP and AR on scenes that can be worked out by hand."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskreel.data.annotation_file import read_ground_truth
from maskreel.data.tracks import AnnotatedTrack, Category, GroundTruth, Video
from maskreel.evaluation.average_precision import AveragePrecision, average_precision
from maskreel.evaluation.results import Predictions, read_predictions
from maskreel.geometry.masklets import Masklet
from maskreel.geometry.rle import encode
from tests.evaluation.scenes import annotation, box, entry, scene, write

MASK, OTHER = box(2, 3, 10, 8), box(15, 3, 10, 8)


def score(folder: Path, truth: Any, results: Any) -> AveragePrecision:
    ground_truth = read_ground_truth(write(folder, "gt.json", truth))
    return average_precision(ground_truth, read_predictions(write(folder, "pred.json", results), ground_truth))


def test_perfect_output_scores_1_though_ar1_cannot(tmp_path: Path) -> None:
    truth = scene([annotation(1, [MASK]), annotation(2, [OTHER])])
    stats = score(tmp_path, truth, [entry(0.9, [MASK]), entry(0.8, [OTHER])]).stats
    assert stats["AP"] == stats["AP50"] == stats["AP75"] == stats["APs"] == stats["AR10"] == stats["ARs"] == 1.0
    assert stats["AR1"] == 0.5
    assert stats["APm"] is None


def test_iou_sums_over_frames_so_that_a_missed_frame_costs_its_share(tmp_path: Path) -> None:
    truth = scene([annotation(1, [MASK, MASK, MASK, None])], frames=4)
    metrics = score(tmp_path, truth, [entry(0.9, [MASK, MASK, None, None])])
    # 160 of 240 pixels: right at the thresholds .50, .55, .60 and .65.
    assert metrics.ap_per_iou == pytest.approx([1.0] * 4 + [0.0] * 6)
    assert metrics.stats["AP"] == pytest.approx(0.4)


def test_an_iou_exactly_on_a_threshold_matches(tmp_path: Path) -> None:
    half = box(2, 3, 5, 8)
    assert score(tmp_path, scene([annotation(1, [MASK])]), [entry(0.9, [half])]).ap_per_iou[:2] == (1.0, 0.0)


def test_each_threshold_has_the_name_of_its_figure(tmp_path: Path) -> None:
    truth = scene([annotation(1, [box(2, 3, 10, 10)])])
    seven, eight = ([entry(0.9, [box(2, 3, 10, rows)])] for rows in (7, 8))
    assert [score(tmp_path, truth, seven).stats[name] for name in ("AP50", "AP75")] == [1.0, 0.0]
    assert [score(tmp_path, truth, eight).stats[name] for name in ("AP50", "AP75")] == [1.0, 1.0]


def test_a_prediction_takes_the_track_that_it_overlaps_most(tmp_path: Path) -> None:
    left, right = box(2, 3, 10, 8), box(4, 3, 10, 8)
    truth = scene([annotation(1, [left]), annotation(2, [right])])
    # The first one would do for either, the second for the left one alone.
    assert score(tmp_path, truth, [entry(0.9, [right]), entry(0.8, [box(2, 3, 6, 8)])]).stats["AP50"] == 1.0


def test_a_false_positive_above_the_hit_halves_the_precision(tmp_path: Path) -> None:
    truth = scene([annotation(1, [MASK])])
    assert score(tmp_path, truth, [entry(0.9, [OTHER]), entry(0.8, [MASK])]).stats["AP"] == pytest.approx(0.5)
    assert score(tmp_path, truth, [entry(0.8, [OTHER]), entry(0.9, [MASK])]).stats["AP"] == 1.0


def test_a_second_prediction_of_the_same_object_is_false(tmp_path: Path) -> None:
    truth = scene([annotation(1, [MASK]), annotation(2, [OTHER])])
    results = [entry(0.9, [MASK]), entry(0.8, [MASK]), entry(0.7, [OTHER])]
    # Recall 0.5 at precision 1, then recall 1 at precision 2/3: 51 levels and 50 levels.
    assert score(tmp_path, truth, results).stats["AP"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_recall_levels_that_are_never_reached_count_0(tmp_path: Path) -> None:
    truth = scene([annotation(1, [MASK]), annotation(2, [OTHER])])
    wrong = entry(0.8, [box(0, 15, 5, 4)])
    # Half of the objects are found, at precision 1 where the wrong one comes after, at 1/2 where it comes before.
    assert score(tmp_path, truth, [entry(0.9, [MASK]), wrong]).stats["AP"] == pytest.approx(51 / 101)
    assert score(tmp_path, truth, [wrong, entry(0.7, [MASK])]).stats["AP"] == pytest.approx(51 / 2 / 101)


def test_a_crowd_absorbs_any_number_of_predictions(tmp_path: Path) -> None:
    truth = scene([annotation(1, [MASK]), annotation(2, [OTHER], iscrowd=1)])
    results = [entry(0.9, [OTHER]), entry(0.8, [OTHER]), entry(0.7, [MASK])]
    assert score(tmp_path, truth, results).stats["AP"] == 1.0


def test_the_wrong_class_is_wrong_unless_classes_are_ignored(tmp_path: Path) -> None:
    truth = scene([annotation(1, [MASK])])
    metrics = score(tmp_path, truth, [entry(0.9, [MASK], category_id=2)])
    assert metrics.stats["AP"] == 0.0
    assert metrics.class_agnostic["AP"] == 1.0
    assert metrics.per_category[2]["AP"] is None


def test_a_class_with_objects_and_no_predictions_counts_0_in_the_mean(tmp_path: Path) -> None:
    truth = scene([annotation(1, [MASK]), annotation(2, [OTHER], category_id=2)])
    assert score(tmp_path, truth, [entry(0.9, [MASK])]).stats["AP"] == 0.5


def test_only_the_hundred_best_predictions_of_a_video_and_class_count(tmp_path: Path) -> None:
    truth = scene([annotation(1, [MASK])])
    results = [*(entry(0.9, [OTHER]) for _ in range(99)), entry(0.5, [MASK])]
    assert score(tmp_path, truth, results).stats["AR100"] == 1.0
    assert score(tmp_path, truth, [entry(0.9, [OTHER]), *results]).stats["AR100"] == 0.0


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_ties_follow_the_order_of_the_file(tmp_path: Path, order: tuple[int, ...]) -> None:
    truth = scene([annotation(1, [MASK])])
    masks = [MASK, OTHER, box(0, 15, 5, 4)]
    metrics = score(tmp_path, truth, [entry(0.5, [masks[index]]) for index in order])
    assert metrics.stats["AP"] == pytest.approx(1 / (order.index(0) + 1))


def test_areas_of_the_file_decide_the_size_and_both_ends_belong(tmp_path: Path) -> None:
    truth = scene([annotation(1, [MASK], areas=[128**2])])
    stats = score(tmp_path, truth, [entry(0.9, [MASK])]).stats
    assert (stats["APs"], stats["APm"], stats["APl"]) == (1.0, 1.0, None)


def large_scene(*annotations: dict[str, Any], frames: int = 1) -> dict[str, Any]:
    """A video of 400 x 400 pixels, in which tracks of every size class have room."""
    truth = scene(list(annotations), frames=frames)
    truth["videos"][0] |= {"height": 400, "width": 400}
    return truth


def square(side: int, left: int = 0, height: int | None = None) -> dict[str, Any]:
    """A filled square, or a rectangle, at the top of such a frame."""
    mask = np.zeros((400, 400), dtype=bool)
    mask[: height or side, left : left + side] = True
    return encode(mask).to_json()


def test_a_crowd_that_nobody_finds_costs_no_recall(tmp_path: Path) -> None:
    truth = scene([annotation(1, [MASK]), annotation(2, [OTHER], iscrowd=1)])
    stats = score(tmp_path, truth, [entry(0.9, [MASK])]).stats
    assert (stats["AP"], stats["AR100"], stats["ARs"]) == (1.0, 1.0, 1.0)


def test_a_prediction_of_a_crowd_is_neither_right_nor_wrong(tmp_path: Path) -> None:
    truth = scene([annotation(1, [MASK]), annotation(2, [OTHER], iscrowd=1)])
    figures = score(tmp_path, truth, [entry(0.9, [OTHER]), entry(0.8, [box(0, 15, 5, 4)]), entry(0.7, [MASK])])
    assert figures.stats["AP"] == pytest.approx(0.5)
    assert figures.class_agnostic["AP"] == pytest.approx(0.5)
    assert score(tmp_path, truth, [entry(0.9, [OTHER])]).stats["AR100"] == 0.0


def test_an_object_goes_before_a_crowd_that_fits_better(tmp_path: Path) -> None:
    truth = scene([annotation(1, [MASK]), annotation(2, [box(2, 3, 10, 6)], iscrowd=1)])
    # The prediction is the crowd's to the pixel, and covers three quarters of the object.
    assert score(tmp_path, truth, [entry(0.9, [box(2, 3, 10, 6)])]).ap_per_iou[:6] == (1.0,) * 6


def test_the_mean_area_is_that_of_frames_with_the_object(tmp_path: Path) -> None:
    # 150 x 150 pixels are of medium size, half of them small; 300 x 300 large, half of them medium.
    for side, name in ((150, "m"), (300, "l")):
        masks = [square(side), None, None, square(side)]
        for stated in (None, [side**2, None, 0, side**2]):
            truth = large_scene(annotation(1, masks, areas=stated), frames=4)
            stats = score(tmp_path, truth, [entry(0.9, masks)]).stats
            assert [key for key in "sml" if stats[f"AP{key}"] is not None] == [name]
            assert (stats[f"AP{name}"], stats[f"AR{name}"]) == (1.0, 1.0)


def test_a_wrong_prediction_counts_only_among_tracks_of_its_own_size(tmp_path: Path) -> None:
    small, medium = square(100), square(150, left=200)
    truth = large_scene(annotation(1, [small, small]), annotation(2, [medium, medium]), frames=2)
    # Wrong and of medium size where it is seen: with the frame in which it is not, it would be small.
    wrong = [None, square(150, left=25)]
    stats = score(tmp_path, truth, [entry(0.9, wrong), entry(0.8, [small] * 2), entry(0.7, [medium] * 2)]).stats
    assert (stats["APs"], stats["APm"]) == (1.0, pytest.approx(0.5))


@pytest.mark.parametrize(
    ("width", "height", "sizes"),
    [(128, 128, "sm"), (128, 127, "s"), (128, 129, "m"), (256, 256, "ml"), (256, 255, "m"), (256, 257, "l")],
)
def test_both_ends_belong_to_a_range_of_sizes(tmp_path: Path, width: int, height: int, sizes: str) -> None:
    mask = square(width, height=height)
    stats = score(tmp_path, large_scene(annotation(1, [mask])), [entry(0.9, [mask])]).stats
    assert "".join(size for size in "sml" if stats[f"AP{size}"] == 1.0) == sizes


def test_a_track_of_another_size_absorbs_one_prediction_only(tmp_path: Path) -> None:
    small, medium = square(100), square(150, left=200)
    truth = large_scene(annotation(1, [small]), annotation(2, [medium]))
    results = [entry(0.9, [medium]), entry(0.8, [medium]), entry(0.7, [small])]
    stats = score(tmp_path, truth, results).stats
    # Neither counts among the small: one takes the medium track, the other is of medium size itself.
    assert (stats["APs"], stats["APm"]) == (1.0, 1.0)
    # Here it is small itself, and the track that it would take is taken.
    shrunk = square(120, left=200, height=130)
    results = [entry(0.9, [medium]), entry(0.8, [shrunk]), entry(0.7, [small])]
    assert score(tmp_path, truth, results).stats["APs"] == pytest.approx(0.5)


def test_limits_are_per_video_and_class(tmp_path: Path) -> None:
    places = [(1, 1), (1, 2), (2, 1)]
    truth = scene(
        [annotation(n, [MASK], video_id=video, category_id=label) for n, (video, label) in enumerate(places, 1)],
        videos=2,
    )
    results = [entry(0.9 - n / 10, [MASK], video_id=v, category_id=label) for n, (v, label) in enumerate(places)]
    assert score(tmp_path, truth, results).stats["AR1"] == 1.0


def test_of_two_tracks_that_overlap_equally_the_later_is_taken(tmp_path: Path) -> None:
    truth = scene([annotation(1, [MASK]), annotation(2, [MASK], iscrowd=1), annotation(3, [MASK])])
    assert score(tmp_path, truth, [entry(0.9, [MASK]), entry(0.8, [MASK])]).stats["AR100"] == 1.0
    # The later one has more in common with the second prediction as well, which then finds it taken.
    truth = scene([annotation(1, [box(0, 0, 10, 10)]), annotation(2, [box(0, 0, 10, 10)])])
    assert score(tmp_path, truth, [entry(0.9, [box(0, 0, 10, 10)])]).stats["AR100"] == 0.5


def random_scene(seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Jittered boxes with distinct scores over four videos and two classes."""
    rng = np.random.default_rng(seed)
    annotations, results = [], []
    for index in range(12):
        left, top, width, height = (int(n) for n in rng.integers((0, 0, 8, 6), (15, 10, 14, 10)))
        place = {"video_id": int(rng.integers(1, 5)), "category_id": int(rng.integers(1, 3))}
        annotations.append(annotation(index + 1, [box(left, top, width, height)] * 2, **place))
        for _ in range(rng.integers(0, 3)):
            shift = rng.integers(-2, 3, 2)
            moved = box(max(left + int(shift[0]), 0), max(top + int(shift[1]), 0), width, height)
            results.append(entry(float(rng.random()), [moved, None if rng.random() < 0.2 else moved], **place))
    return annotations, results


@pytest.mark.parametrize("seed", range(5))
def test_without_ties_the_order_of_a_file_changes_nothing(tmp_path: Path, seed: int) -> None:
    annotations, results = random_scene(seed)
    truth = scene(annotations, frames=2, videos=4)
    before = score(tmp_path, truth, results).to_json()
    rng = np.random.default_rng(seed)
    shuffled = {**truth, "annotations": [annotations[i] for i in rng.permutation(len(annotations))]}
    shuffled["videos"] = truth["videos"][::-1]
    shuffled["categories"] = truth["categories"][::-1]
    assert score(tmp_path, shuffled, [results[i] for i in rng.permutation(len(results))]).to_json() == before


def test_tracks_held_in_memory_are_measured_like_files() -> None:
    mask = encode(np.eye(4, dtype=bool))
    ground_truth = GroundTruth(
        videos=(Video(id=7, height=4, width=4, length=2),),
        categories=(Category(id=3, name="thing"),),
        tracks=((AnnotatedTrack(id=1, category_id=3, segmentations=(mask, None)),),),
    )
    found = Masklet(track_id=5, label=0, category_id=3, score=0.5, segmentations=(mask, None))
    assert average_precision(ground_truth, Predictions(tracks={7: (found,)})).stats["AP"] == 1.0
    strange = replace(found, category_id=4)
    with pytest.raises(ValueError, match="entry 5: category_id 4 is not in ground truth"):
        average_precision(ground_truth, Predictions(tracks={7: (strange,)}))
