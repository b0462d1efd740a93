"""Packed runs of whole videos against dense masks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskreel.geometry import rle
from maskreel.geometry.rle import RleError
from maskreel.geometry.runs import pack_tracks


def place(track: int, frame: int) -> str:
    return f"track {track}, frame {frame}"


def random_video(seed: int, num_tracks: int = 4, num_frames: int = 3) -> np.ndarray:
    """Masks `n t h w`, a quarter of them empty."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 20, 2)
    masks = rng.random((num_tracks, num_frames, height, width)) < rng.random((num_tracks, num_frames, 1, 1))
    masks[rng.random((num_tracks, num_frames)) < 0.25] = False
    return masks


def in_some_form(mask: np.ndarray, form: int) -> object:
    """Null for an empty mask, else an `Rle`, a compressed string or a run list."""
    encoded = rle.encode(mask)
    if form == 0:
        return encoded if mask.any() else None
    if form == 1:
        return encoded.to_json()
    return {"size": list(mask.shape), "counts": rle.run_lengths(encoded).tolist()}


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 2))
def test_areas_and_overlaps_equal_those_of_dense_masks(seed: int, form: int) -> None:
    dense = random_video(seed)
    num_tracks, _, height, width = dense.shape
    tracks = [[in_some_form(mask, form) for mask in masks] for masks in dense]
    packed = pack_tracks(tracks, height=height, width=width, place=place)
    pairs = np.array([(a, b) for a in range(num_tracks) for b in range(num_tracks)])
    common = dense[pairs[:, 0]] & dense[pairs[:, 1]]
    union = dense[pairs[:, 0]] | dense[pairs[:, 1]]
    assert np.array_equal(packed.areas, dense.sum((2, 3)))
    assert np.array_equal(packed.overlaps_per_frame(pairs), common.sum((2, 3)))
    sums, unions = packed.overlaps(pairs)
    assert np.array_equal(sums, common.sum((1, 2, 3)))
    assert np.array_equal(unions, union.sum((1, 2, 3)))
    assert packed.is_present.all() or form == 0


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_pairs_that_may_stop_are_exact_from_one_half_on_and_0_or_exact_below(seed: int) -> None:
    dense = random_video(seed, num_tracks=5, num_frames=6)
    dense[1] = dense[0]
    dense[1, ::3] = False
    num_tracks, _, height, width = dense.shape
    packed = pack_tracks(
        [[rle.encode(mask) for mask in masks] for masks in dense], height=height, width=width, place=place
    )
    pairs = np.array([(a, b) for a in range(num_tracks) for b in range(num_tracks)])
    common, union = packed.overlaps(pairs)
    stopped, stopped_union = packed.overlaps(pairs, may_stop=np.ones(len(pairs), dtype=bool))
    reaches = 2 * common >= union
    assert np.array_equal(stopped[reaches], common[reaches])
    assert np.array_equal(stopped_union[reaches], union[reaches])
    assert set(np.flatnonzero(stopped != common)) <= set(np.flatnonzero(stopped == 0))


def test_frames_beyond_the_shorter_of_two_tracks_do_not_count() -> None:
    full = rle.encode(np.ones((2, 3), dtype=bool))
    packed = pack_tracks([[full], [full, full]], height=2, width=3, place=place)
    common, union = packed.overlaps(np.array([[0, 1]]))
    assert (common.item(), union.item()) == (6, 6)
    assert packed.lengths.tolist() == [1, 2]


def test_masks_of_a_foreign_size_overlap_only_with_their_kind_when_they_are_allowed() -> None:
    ours, foreign = rle.encode(np.ones((2, 3), dtype=bool)), rle.encode(np.ones((3, 2), dtype=bool)).to_json()
    packed = pack_tracks([[ours], [foreign], [foreign], [None]], height=2, width=3, place=place, any_size=True)
    common, union = packed.overlaps(np.array([[0, 1], [1, 2], [1, 3]]))
    assert common.tolist() == [0, 6, 0]
    assert union.tolist() == [0, 6, 6]


def test_no_tracks_and_no_frames_pack_to_nothing() -> None:
    assert pack_tracks([], height=2, width=3, place=place).areas.shape == (0, 0)
    assert pack_tracks([[], []], height=2, width=3, place=place).areas.shape == (2, 0)


GOOD = rle.encode(np.eye(4, 5, dtype=bool)).counts.decode()


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ("5", "cover 5 pixels"),
        (GOOD + "1", "more than the frame's 20"),
        ("5O", "negative length"),
        ("5é", "not ASCII"),
        ("5 ", "not part of an RLE string"),
        (GOOD[:-1] + "o", "unterminated"),
        ("o" * 12 + "0", "takes 13 characters"),
        ("", "counts are empty"),
        ([10, -5, 15], "negative length"),
        ([10, 2.5, 7.5], "not a whole number"),
        ([2**70], "run 0 has the length"),
        ([19], "cover 19 pixels"),
        ([], "counts are empty"),
    ],
)
def test_a_malformed_mask_is_refused_naming_its_track_and_frame(counts: object, reason: str) -> None:
    sound = {"size": [4, 5], "counts": GOOD}
    with pytest.raises(RleError, match=f"track 1, frame 2: .*{reason}"):
        pack_tracks([[sound] * 3, [sound, None, {"size": [4, 5], "counts": counts}]], height=4, width=5, place=place)


def test_a_mask_of_another_size_is_refused() -> None:
    swapped = {"size": [5, 4], "counts": GOOD}
    with pytest.raises(RleError, match=r"track 0, frame 0: mask size \[5, 4\].*swapped"):
        pack_tracks([[swapped]], height=4, width=5, place=place)
