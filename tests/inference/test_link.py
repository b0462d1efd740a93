"""Identities through overlapping windows."""

import dataclasses

import numpy as np
import pytest
import torch

from maskreel.geometry import rle
from maskreel.inference.agreement import class_agreement
from maskreel.inference.link import Linker
from maskreel.inference.postprocess import ClipDetections

LENGTH, OVERLAP = 6, 2


def detections(*objects: tuple[int, list[float]], hidden: tuple[int, ...] = (), length: int = LENGTH) -> ClipDetections:
    """Objects of (column of a 4 pixels wide block, class probabilities), at rest; `hidden` frames show nothing."""
    masks = torch.zeros(len(objects), length, 8, 40, dtype=torch.bool)
    for n, (column, _) in enumerate(objects):
        masks[n, :, 2:6, column : column + 4] = True
    masks[:, list(hidden)] = False
    probability = np.array([values for _, values in objects], dtype=np.float32).reshape(len(objects), 2)
    return ClipDetections(
        probability=probability,
        is_chosen=probability == probability.max(axis=1, keepdims=True, initial=0),
        masks=[[rle.encode(mask) if mask.any() else None for mask in frames.numpy()] for frames in masks],
        coarse=masks,
    )


CAT, DOG = [0.9, 0.1], [0.1, 0.9]


def test_ids_follow_objects_though_their_order_changes() -> None:
    linker = Linker()
    assert linker.link(0, detections((0, CAT), (10, DOG), (20, CAT))) == [1, 2, 3]
    assert linker.link(4, detections((20, CAT), (0, CAT), (10, DOG))) == [3, 1, 2]
    assert linker.link(8, detections((10, DOG), (20, CAT))) == [2, 3]


def test_a_new_object_gets_a_new_id_and_an_old_id_never_returns() -> None:
    linker = Linker()
    assert linker.link(0, detections((0, CAT), (10, DOG))) == [1, 2]
    assert linker.link(4, detections((10, DOG))) == [2]
    assert linker.link(8, detections((10, DOG), (0, CAT))) == [2, 3]
    assert linker.link(12, detections((0, CAT), (10, DOG))) == [3, 2]


def test_an_object_unseen_where_windows_meet_is_a_new_object() -> None:
    linker = Linker()
    assert linker.link(0, detections((0, CAT), hidden=(4, 5))) == [1]
    assert linker.link(4, detections((0, CAT), hidden=(0, 1))) == [2]


def test_of_two_overlapping_objects_the_one_of_the_same_class_is_the_same() -> None:
    linker = Linker()
    assert linker.link(0, detections((0, CAT), (1, DOG))) == [1, 2]
    assert linker.link(4, detections((1, CAT), (0, DOG))) == [1, 2]


def test_a_confident_object_is_not_swapped_with_its_faint_double() -> None:
    linker = Linker()
    assert linker.link(0, detections((0, [0.9, 0.1]), (0, [0.2, 0.0]))) == [1, 2]
    assert linker.link(4, detections((0, [0.2, 0.0]), (0, [0.9, 0.1]))) == [2, 1]


@pytest.mark.parametrize(("second", "expected"), [((1, CAT), [1]), ((3, CAT), [2]), ((0, DOG), [1]), ((2, DOG), [2])])
def test_less_overlap_is_needed_where_the_classes_agree(second: tuple[int, list[float]], expected: list[int]) -> None:
    linker = Linker()
    linker.link(0, detections((0, CAT)))
    assert linker.link(4, detections(second)) == expected


def test_windows_that_share_more_frames_are_linked_too() -> None:
    linker = Linker()
    linker.link(0, detections((0, CAT), (10, DOG)))
    assert linker.link(1, detections((10, DOG), (0, CAT))) == [2, 1]


@pytest.mark.parametrize("windows", [[(), ((0, CAT),)], [((0, CAT),), (), ((0, CAT),)]])
def test_a_window_without_objects_starts_afresh(windows: list[tuple[tuple[int, list[float]], ...]]) -> None:
    linker = Linker()
    ids = [linker.link(4 * number, detections(*objects)) for number, objects in enumerate(windows)]
    assert [len(window) for window in ids] == [len(objects) for objects in windows]
    used = [track_id for window in ids for track_id in window]
    assert used == list(range(1, len(used) + 1))


def test_windows_that_do_not_meet_share_no_id() -> None:
    linker = Linker()
    assert linker.link(0, detections((0, CAT))) == [1]
    assert linker.link(LENGTH, detections((0, CAT))) == [2]


def test_agreement_is_one_for_equal_and_zero_for_foreign_probabilities() -> None:
    a, b = np.array([[0.5, 0.0], [0.0, 0.8]]), np.array([[0.5, 0.0], [0.0, 0.4]])
    np.testing.assert_allclose(class_agreement(a, b), [[1, 0], [0, 0.5]])


def moving(*columns: tuple[int, ...]) -> ClipDetections:
    """Objects of equal class, each given by the column of its block in every frame."""
    still = detections(*((path[0], CAT) for path in columns), length=len(columns[0]))
    masks = torch.zeros_like(still.coarse)
    for n, path in enumerate(columns):
        for frame, column in enumerate(path):
            masks[n, frame, 2:6, column : column + 4] = True
    return dataclasses.replace(still, coarse=masks)


def test_objects_are_compared_frame_by_frame_in_the_frames_that_the_windows_share() -> None:
    """Elsewhere, and one frame before or after, each is where the other is in the shared frames."""
    linker = Linker()
    assert linker.link(0, moving((30, 20, 30, 20, 20, 30), (20, 30, 20, 30, 30, 20))) == [1, 2]
    assert linker.link(4, moving((20, 30, 30, 20, 30, 20), (30, 20, 20, 30, 20, 30))) == [1, 2]


def test_a_similarity_of_exactly_the_threshold_is_a_match() -> None:
    """Seen in one of two shared frames and no class in common: 1/2 x (1 + 0) / 2."""
    linker = Linker()
    assert linker.link(0, detections((0, [1.0, 0.0]))) == [1]
    assert linker.link(4, detections((0, [0.0, 1.0]), hidden=(1,))) == [1]
    assert linker.link(8, detections((0, [1.0, 0.0]), hidden=(1,))) == [1]


def test_classes_are_compared_with_the_mean_of_all_windows_of_a_track() -> None:
    linker = Linker()
    for start, values in ((0, [1.0, 0.0]), (4, [1.0, 0.0]), (8, [0.0, 1.0])):
        assert linker.link(start, detections((0, values))) == [1]
    assert linker.link(12, detections((0, [0.0, 1.0]), (0, [0.7, 0.3]))) == [2, 1]


def test_a_track_that_ends_leaves_nothing_behind() -> None:
    linker = Linker()
    for start in range(0, 400, 4):
        assert linker.link(start, detections((start // 4 % 2 * 20, CAT))) == [start // 4 + 1]
        assert len(linker._mean) == 1
