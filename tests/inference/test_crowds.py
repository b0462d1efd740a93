"""More objects than the ten best pairs of a clip, and two tracks of one object."""

from itertools import product

import numpy as np
import pytest
import torch

from maskreel.inference.doubles import Doubles
from maskreel.inference.options import PredictorOptions
from maskreel.inference.postprocess import ClipDetections
from maskreel.inference.predictor import VideoPredictor
from tests.inference.colour_model import CLASSES, ColourModel
from tests.video.videos import COLOURS, moving_blocks

MANY = np.array([c for c in product((0, 128, 255), repeat=3) if set(c) != {128} and set(c) != {0}], dtype=np.uint8)[:20]
"""Twenty colours that the model can tell from each other and from black."""


def crowd(index: int) -> np.ndarray:
    """Twenty blocks on black that move a little."""
    picture = np.zeros((96, 160, 3), np.uint8)
    for n, colour in enumerate(MANY):
        top, left = 24 * (n // 5) + 2 + index % 3, 32 * (n % 5) + 4 + index % 5
        picture[top : top + 16, left : left + 20] = colour
    return picture


def predictor(model: ColourModel, **options: float | str | None) -> VideoPredictor:
    chosen = {"short_side": 96, "clip_frames": 12, "clip_overlap": 3, **options}
    return VideoPredictor(model, CLASSES, PredictorOptions(**chosen))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("latency", [None, 1])
def test_twenty_objects_are_twenty_masklets(latency: int | None) -> None:
    session = predictor(ColourModel(MANY)).session(latency=latency)
    for index in range(20):
        session.push(crowd(index))
    session.finish()
    masklets = session.result()
    assert len(masklets) == 20
    assert all(None not in masklet.segmentations for masklet in masklets)


def test_the_best_pairs_are_followed_as_without_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """The ten objects of the published rule have the same masks, whatever else is followed; pairs are theirs alone."""
    frames = [crowd(index) for index in range(20)]
    few, all_of_them, five = (predictor(ColourModel(MANY), max_objects=number)(frames) for number in (None, 100, 5))
    assert (len(few), len(all_of_them), len(five)) == (10, 20, 5)
    masks = [list(masklet.segmentations) for masklet in all_of_them]
    assert all(list(masklet.segmentations) in masks for masklet in (*few, *five))
    assert [record.message for record in caplog.records] == [
        "frames 0 to 11 show more than 5 objects; the best are followed: raise max_objects (--max-objects)"
    ]
    session = predictor(ColourModel(MANY)).session()
    for frame in frames:
        session.push(frame)
    session.finish()
    assert len(session.video().pairs(0.5)) == 10


def test_objects_below_the_score_do_not_join() -> None:
    masklets = predictor(ColourModel(MANY), top_k=3, min_score=0.96)([crowd(index) for index in range(5)])
    assert len(masklets) == 0


TWICE = np.concatenate((COLOURS, COLOURS))
"""Every colour is found by two queries of one class."""


@pytest.mark.parametrize("latency", [None, 2])
def test_one_object_under_two_ids_is_one_masklet_unless_both_are_kept(latency: int | None) -> None:
    frames = [moving_blocks(index, count=6) for index in range(200 if latency is None else 40)]
    for duplicates, count in (("merge", 6), ("keep", 12)):
        session = predictor(ColourModel(TWICE), short_side=48, duplicates=duplicates, top_k=12).session(latency=latency)
        seen = [final for frame in frames for final in session.push(frame)] + session.finish()
        assert len(session.result()) == count
        assert len(session.video().pairs(0.5)) == 12
        assert {len(frame.objects) for frame in seen} == {count}
        assert {one.track_id for frame in seen for one in frame.objects} == set(session.result().track_id.tolist())


@pytest.mark.parametrize("keep", [True, False])
def test_no_frame_shows_an_object_twice_though_its_tracks_end_with_the_window(keep: bool) -> None:
    """Windows that share no frame: the last frame of one is handed out when the next one has come."""
    options = PredictorOptions(short_side=48, clip_frames=7, clip_overlap=0, top_k=12)
    session = VideoPredictor(ColourModel(TWICE), CLASSES, options).session(keep=keep)
    frames = [moving_blocks(index, count=6) for index in range(20)]
    seen = [final for frame in frames for final in session.push(frame)] + session.finish()
    assert {len(frame.objects) for frame in seen} == {6}


def detections(*objects: list[int | None], pixels: int = 20) -> ClipDetections:
    """Bars of ten pixels from the given columns on, None where an object is absent."""
    coarse = torch.zeros(len(objects), len(objects[0]), 1, 100, dtype=torch.bool)
    for n, columns in enumerate(objects):
        for frame, column in enumerate(columns):
            if column is not None:
                coarse[n, frame, 0, column : column + pixels] = True
    count = len(objects)
    return ClipDetections(
        probability=np.ones((count, 1)), is_chosen=np.ones((count, 1), bool), masks=[[]] * count, coarse=coarse
    )


@pytest.mark.parametrize(
    ("first", "second", "is_double"),
    [
        ([0, 0, 0, 0], [0, 0, 0, 0], True),
        ([0, 0, 0, 0], [2, 2, 2, 2], True),  # 18 of 22 pixels
        ([0, 0, 0, 0], [3, 3, 3, 3], False),  # 17 of 23 pixels
        ([0, 0, 0, 0], [0, 0, 0, 40], False),
        ([0, 0, None, None], [0, 0, 40, 40], True),
        ([0, 0, None, None], [None, None, 0, 0], False),
    ],
)
@pytest.mark.parametrize("labels", [{1: 0, 2: 0}, {1: 0, 2: 1}])
def test_doubles_agree_in_more_than_four_fifths_of_their_common_frames(
    first: list[int | None], second: list[int | None], is_double: bool, labels: dict[int, int]
) -> None:
    """Counted over all windows, each frame once."""
    doubles = Doubles()
    doubles.add(0, [1, 2], detections(first[:3], second[:3]), lambda track: True)
    doubles.add(1, [1, 2], detections(first[1:], second[1:]), lambda track: True)
    assert doubles.merged(labels) == ({2: 1} if is_double and labels[2] == 0 else {})


def test_three_tracks_of_one_object_are_shown_under_the_first() -> None:
    doubles = Doubles()
    doubles.add(0, [4, 2, 9], detections([0, 0], [0, 0], [0, 0]), lambda track: True)
    assert doubles.merged({2: 0, 4: 0, 9: 0}) == {4: 2, 9: 2}
    assert doubles.merged({4: 0, 9: 0}) == {9: 4}


@pytest.mark.parametrize(("keep", "count"), [(True, 1), (False, 0)])
def test_pairs_that_no_window_can_show_again_are_forgotten_unless_a_result_needs_them(keep: bool, count: int) -> None:
    doubles = Doubles(keep=keep)
    doubles.add(0, [1, 2, 3], detections([0, 0], [0, 0], [40, 40]), lambda track: True)
    doubles.add(2, [4], detections([0, 0]), lambda track: track == 4)
    assert len(doubles._overlap) == count


def test_a_double_that_goes_on_alone_lends_its_masks_to_the_first() -> None:
    """The second query of a colour sees it in all frames, the first one only up to the tenth."""

    class Tired(ColourModel):
        def clip(self, features):
            prediction = super().clip(features)
            prediction.final.masks._logits[:, :6, 10:] = -5.0
            return prediction

    frames = [moving_blocks(index, count=6) for index in range(12)]
    masklets = predictor(Tired(TWICE), short_side=48, top_k=12)(frames)
    assert len(masklets) == 6
    assert all(None not in list(masklet.segmentations) for masklet in masklets)
    assert [masklet.segmentations[11] for masklet in masklets] == [list(m.segmentations)[11] for m in masklets]
