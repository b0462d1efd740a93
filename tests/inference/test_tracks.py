"""Tracks of a video and the store of their masks."""

import copy
import pickle

import numpy as np
import pytest

from maskreel.geometry import rle
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
