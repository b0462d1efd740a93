"""Tracks of a video and the store of their masks."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest

from maskreel.geometry import rle
from maskreel.geometry.masklet import Masklet
from maskreel.inference.pending import PendingFrames, SeenObject
from maskreel.inference.postprocess import ClipDetections, FrameVotes
from maskreel.inference.tracks import MaskStore, StoredMasks, VideoTracks, handover_frame
from tests.inference.test_link import CAT, DOG, detections

CLASSES = ((3, "cat"), (7, "dog"))


def columns(masks: StoredMasks) -> list[int | None]:
    """First column of the mask in every frame."""
    return [None if mask is None else int(rle.bounding_box(mask)[0]) for mask in masks]


def test_masks_of_shared_frames_come_from_the_window_whose_border_is_farther() -> None:
    tracks = VideoTracks(8, 40, CLASSES)
    tracks.add(0, [1], detections((0, CAT)))
    tracks.add(2, [1], detections((10, CAT)))
    (masklet,) = tracks.masklets(8, 0.3)
    assert columns(masklet.segmentations) == [0, 0, 0, 0, 10, 10, 10, 10]


@pytest.mark.parametrize(("start", "end", "expected"), [(30, 36, 33), (30, 37, 34), (31, 36, 34), (5, 5, 5), (9, 4, 9)])
def test_the_later_window_takes_over_in_the_middle(start: int, end: int, expected: int) -> None:
    assert handover_frame(start, end) == expected


def test_a_track_has_the_mean_score_of_its_windows_and_their_best_class() -> None:
    tracks = VideoTracks(8, 40, CLASSES)
    tracks.add(0, [1, 2], detections((0, [0.75, 0.25]), (10, DOG)))
    tracks.add(4, [1], detections((0, [0.25, 0.875])))
    first, second = tracks.masklets(10, 0.3)
    assert (first.track_id, first.label, first.category_id, first.score) == (1, 1, 7, 0.5625)
    assert (second.track_id, second.label, second.score) == (2, 1, pytest.approx(0.9))
    assert columns(second.segmentations) == [10] * 6 + [None] * 4
    assert [masklet.track_id for masklet in tracks.masklets(10, 0.6)] == [2]


def test_pairs_hold_an_object_under_every_class_that_was_chosen() -> None:
    tracks = VideoTracks(8, 40, CLASSES)
    found = detections((0, [0.5, 0.75]), (10, [0.25, 0.0]))
    found.is_chosen[0] = True
    tracks.add(0, [1, 2], found)
    pairs = tracks.pairs(6)
    facts = [(pair.track_id, pair.category_id, pair.score) for pair in pairs]
    assert facts == [(1, 7, 0.75), (1, 3, 0.5), (2, 3, 0.25)]
    assert list(pairs[0].segmentations) == list(pairs[1].segmentations)
    assert len(tracks.masklets(6, 0.0)) == 2


def test_masks_beyond_the_memory_limit_read_the_same() -> None:
    store = MaskStore(8, 40, memory_limit=50)
    masks = [rle.encode(np.random.default_rng(n).random((8, 40)) < 0.5) for n in range(20)]
    places = [store.append(mask) for mask in masks]
    assert store._file._rolled  # pyright: ignore[reportAttributeAccessIssue]
    assert [store.read(*place) for place in places] == masks
    assert store.append(masks[0])[0] == sum(len(mask.counts) for mask in masks)


def test_stored_masks_are_a_sequence_that_can_be_copied() -> None:
    tracks = VideoTracks(8, 40, CLASSES)
    tracks.add(2, [1], detections((0, CAT), hidden=(1,)))
    (masklet,) = tracks.masklets(10, 0.3)
    masks = masklet.segmentations
    assert [mask is not None for mask in masks] == [frame in (2, 4, 5, 6, 7) for frame in range(10)]
    assert masks[-1] is None
    assert masks[2:4] == [masks[2], None]
    with pytest.raises(IndexError):
        masks[10]
    assert copy.deepcopy(masklet).to_dict() == pickle.loads(pickle.dumps(masklet)).to_dict() == masklet.to_dict()


def all_return(track_id: int) -> bool:
    """A later window can show every track."""
    return True


def voting(label: int, score: float, column: int = 0, length: int = 6) -> ClipDetections:
    """One object at rest whose frames all vote for one class with one score."""
    found = detections((column, [0.5, 0.5]), length=length)
    votes = FrameVotes(label=np.full((1, length), label), score=np.full((1, length), score))
    return dataclasses.replace(found, votes=votes)


def both(windows: list[tuple[int, ClipDetections]], end: int) -> tuple[Masklet, SeenObject]:
    """The only track of windows as the whole video and as the last frame of a stream know it."""
    tracks, pending = VideoTracks(8, 40, CLASSES), PendingFrames()
    for frame in range(end):
        pending.push(float(frame))
    for start, found in windows:
        tracks.add(start, [1], found)
        pending.add(start, [1], found, all_return)
    (masklet,) = tracks.pairs(end)
    return masklet, pending.hand_out(end, {})[-1].objects[0]


def test_a_frame_that_two_windows_show_votes_once_by_the_first() -> None:
    """Six frames by the first window, three by the second, two by the third, which was moved back."""
    windows = [(0, voting(1, 0.75)), (3, voting(0, 0.25)), (5, voting(0, 0.5))]
    for known in both(windows, 11):
        assert known.label == 1
        assert known.score == (6 * 0.75 + 3 * 0.25 + 2 * 0.5) / 11


def test_the_majority_of_frames_says_the_class() -> None:
    windows = [(0, voting(1, 0.9)), (4, voting(0, 0.4)), (8, voting(0, 0.4))]
    assert [known.label for known in both(windows, 14)] == [0, 0]
    assert [known.label for known in both(windows[:2], 10)] == [1, 1]


def test_an_object_is_listed_under_the_classes_of_all_windows() -> None:
    tracks = VideoTracks(8, 40, CLASSES)
    tracks.add(0, [1], detections((0, [0.75, 0.25])))
    tracks.add(4, [1], detections((0, [0.25, 0.5])))
    assert [(pair.label, pair.score) for pair in tracks.pairs(10)] == [(0, 0.5), (1, 0.375)]


def test_a_score_of_exactly_the_threshold_is_kept() -> None:
    tracks = VideoTracks(8, 40, CLASSES)
    tracks.add(0, [1], detections((0, [0.5, 0.25])))
    above = float(np.nextafter(0.5, 1))
    for found in (tracks.masklets, tracks.pairs):
        assert [len(found(6, score)) for score in (0.5, above)] == [1, 0]


def test_a_stream_gives_the_score_that_is_known_when_the_mask_is_final() -> None:
    pending = PendingFrames()
    for frame in range(10):
        pending.push(0.1 * frame)
    pending.add(0, [1], detections((0, [0.75, 0.0])), all_return)
    pending.add(4, [1, 2], detections((0, [0.25, 0.0]), (20, DOG)), all_return)
    frames = pending.hand_out(10, {})
    assert [[(seen.track_id, seen.score) for seen in frame.objects] for frame in (frames[4], frames[5])] == [
        [(1, 0.75), (2, pytest.approx(0.9))],
        [(1, 0.5), (2, pytest.approx(0.9))],
    ]
    assert [len(frame.objects) for frame in frames] == [1] * 4 + [2] * 6


def test_a_track_absent_where_windows_meet_has_no_old_mask_there() -> None:
    """Frame 5 belongs to the later window, which does not see the object in it."""
    tracks, pending = VideoTracks(8, 40, CLASSES), PendingFrames()
    for frame in range(10):
        pending.push(float(frame))
    for start, hidden in ((0, ()), (4, (1,))):
        found = detections((0, CAT), hidden=hidden)
        tracks.add(start, [1], found)
        pending.add(start, [1], found, all_return)
    (masklet,) = tracks.masklets(10, 0.3)
    expected = [frame != 5 for frame in range(10)]
    assert [mask is not None for mask in masklet.segmentations] == expected
    assert [bool(frame.objects) for frame in pending.hand_out(10, {})] == expected
