"""The run-length codec against pycocotools, and against damaged input."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from maskreel.geometry import rle
from maskreel.geometry.rle import Rle, RleError

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))


def random_mask(rng: np.random.Generator) -> np.ndarray:
    """Noise, a smooth blob, a single pixel, an empty or a full mask."""
    height, width = (int(n) for n in rng.integers(1, 64, 2))
    kind = rng.integers(5)
    if kind == 0:
        return rng.random((height, width)) < rng.random()
    if kind == 1:
        rows, columns = np.mgrid[:height, :width]
        centre, radius = rng.random(2) * (height, width), rng.random() * width
        return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2
    mask = np.zeros((height, width), dtype=bool)
    if kind == 2:
        mask[rng.integers(height), rng.integers(width)] = True
    return mask if kind <= 3 else ~mask


def by_coco(mask: np.ndarray) -> Any:
    return coco.encode(np.asfortranarray(mask.astype(np.uint8)))


@pytest.mark.slow
def test_strings_boxes_and_areas_equal_those_of_pycocotools_on_ten_thousand_masks() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10_000):
        mask = random_mask(rng)
        ours, theirs = rle.encode(mask), by_coco(mask)
        assert ours.counts == theirs["counts"]
        assert np.array_equal(rle.decode(ours), mask)
        assert rle.area(ours) == coco.area(theirs)
        assert rle.bounding_box(ours) == tuple(coco.toBbox(theirs))


@pytest.mark.parametrize("kind", ["empty", "full", "pixel", "disc", "noise"])
def test_strings_equal_those_of_pycocotools_at_1080p(kind: str) -> None:
    rows, columns = np.mgrid[:1080, :1920]
    mask = {
        "empty": np.zeros((1080, 1920), dtype=bool),
        "full": np.ones((1080, 1920), dtype=bool),
        "pixel": (rows == 1079) & (columns == 1919),
        "disc": (rows - 500) ** 2 + (columns - 900) ** 2 < 300**2,
        "noise": np.random.default_rng(1).random((1080, 1920)) < 0.01,
    }[kind]
    ours = rle.encode(mask)
    assert ours.counts == by_coco(mask)["counts"]
    assert np.array_equal(rle.decode(ours), mask)


@settings(deadline=None)
@given(masks)
def test_every_mask_survives_the_round_trip(mask: np.ndarray) -> None:
    encoded = rle.encode(mask)
    assert np.array_equal(rle.decode(encoded), mask)
    assert rle.parse(encoded.to_json(), height=mask.shape[0], width=mask.shape[1], where="here") == encoded


@settings(deadline=None)
@given(masks, st.randoms(use_true_random=False))
def test_intersections_on_runs_equal_those_of_dense_masks(mask: np.ndarray, random) -> None:
    other = np.random.default_rng(random.randrange(2**32)).random(mask.shape) < 0.4
    ours = rle.intersection(rle.encode(mask), rle.encode(other))
    assert ours == (mask & other).sum()
    union = (mask | other).sum()
    assert rle.iou(rle.encode(mask), rle.encode(other)) == (ours / union if union else 0.0)


def test_run_lists_and_strings_hold_the_same_mask() -> None:
    mask = np.array([[True, False, True], [True, True, False]])
    parsed = rle.parse({"size": [2, 3], "counts": [0, 2, 1, 2, 1]}, height=2, width=3, where="here")
    assert parsed == rle.encode(mask)


def test_null_and_an_empty_list_are_no_mask() -> None:
    assert rle.parse(None, height=2, width=3, where="here") is None
    assert rle.parse([], height=2, width=3, where="here") is None


def test_zero_runs_inside_a_mask_change_nothing() -> None:
    plain = rle.parse({"size": [2, 3], "counts": [2, 2, 2]}, height=2, width=3, where="here")
    split = rle.parse({"size": [2, 3], "counts": [0, 0, 2, 1, 0, 1, 2, 0]}, height=2, width=3, where="here")
    assert plain is not None
    assert split is not None
    assert np.array_equal(rle.decode(plain), rle.decode(split))
    assert rle.area(plain) == rle.area(split)
    assert rle.bounding_box(plain) == rle.bounding_box(split)
    assert rle.intersection(plain, split) == 2


def text(counts: object, size: object = (4, 5)) -> dict:
    return {"size": list(size) if isinstance(size, tuple) else size, "counts": counts}


GOOD = rle.encode(np.eye(4, 5, dtype=bool)).counts.decode()
FAULTS = {
    "short": (text("5"), "cover 5 pixels, only the frame's 20"),
    "long": (text([10, 15]), "cover 25 pixels, more than the frame's 20"),
    "short list": (text([10, 5]), "cover 15 pixels"),
    "negative": (text("5O"), "run 1 has the negative length -1"),
    "negative list": (text([10, -5, 15]), "run 1 has the negative length -5"),
    "not ascii": (text("5\u00e9"), "not ASCII"),
    "outside the alphabet": (text("5 "), "not part of an RLE string"),
    "bytes outside the alphabet": (text(b"5\xff"), "not part of an RLE string"),
    "unterminated": (text(GOOD[:-1] + "o"), "unterminated"),
    "endless run": (text("o" * 12 + "0"), "run 0 takes 13 characters"),
    "huge size": (text(GOOD, (10**6, 10**6)), "mask size"),
    "huge run": (text([2**80]), "run 0 has the length"),
    "fraction": (text([10.5, 9.5]), "not a whole number"),
    "truth value": (text([True, 19]), "not a whole number"),
    "swapped": (text(GOOD, (5, 4)), "rows and columns look swapped"),
    "empty string": (text(""), "counts are empty"),
    "empty run list": (text([]), "counts are empty"),
    "no size": ({"counts": GOOD}, "'size' and 'counts'"),
    "size of another kind": (text(GOOD, "4x5"), "mask size '4x5'"),
    "counts of another kind": (text(7), "counts must be"),
    "a number": (3, "a mask must be null"),
    "a flat polygon": ([1, 2, 3, 4, 5, 6], "polygon 0"),
    "two corners": ([[1, 1, 2, 2]], "at least three"),
    "odd polygon": ([[1, 1, 2, 2, 3, 3, 4]], "at least three"),
    "words in a polygon": ([["a", "b", 1, 2, 3, 4]], "not a list of numbers"),
    "far polygon": ([[1e9, 1e9, 0, 0, 1, 1]], "far outside the frame"),
    "polygon a frame to the right": ([[10.5, 1, 0, 0, 1, 1]], "far outside the frame"),
    "polygon a frame above": ([[1, -4.5, 0, 0, 1, 1]], "far outside the frame"),
    "nan polygon": ([[float("nan"), 1, 0, 0, 1, 1]], "far outside the frame"),
    "long junk": (text("1" * 1_000_000), "more than 20 pixels can need"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_malformed_masks_are_refused_naming_the_place(name: str) -> None:
    obj, reason = FAULTS[name]
    with pytest.raises(RleError, match=reason) as caught:
        rle.parse(obj, height=4, width=5, where="gt.json: annotation 7, frame 3")
    assert str(caught.value).startswith("gt.json: annotation 7, frame 3: ")


def test_a_huge_declared_frame_is_refused_without_allocating_it() -> None:
    tracemalloc.start()
    with pytest.raises(RleError, match="at most"):
        rle.decode(Rle(10**6, 10**6, b"PPPPY_Qn0"))
    with pytest.raises(RleError, match="at most"):
        rle.parse([[0, 0, 1, 0, 1, 1]], height=10**6, width=10**6, where="here")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6


NOISE = rle.encode(np.random.default_rng(0).random((1080, 1920)) < 0.3).counts.decode()


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        (NOISE[:-2], "only the frame's"),
        (NOISE + "5", "more than the frame's"),
        (NOISE[:-1] + "o", "unterminated"),
        (NOISE[:-1] + "\u00e9", "not ASCII"),
        (NOISE[:-3] + " 00", "not part of an RLE string"),
        ("5O" + NOISE, "negative length"),
        ("0" * 20_000_000, "more than 2073600 pixels can need"),
        ([1] * 5_000_000, "more than 2073600 pixels can need"),
    ],
    ids=["short", "long", "unterminated", "not ascii", "stranger", "negative", "endless", "endless list"],
)
def test_a_malformed_mask_of_ragged_1080p_is_refused_in_little_memory(counts: Any, reason: str) -> None:
    mask = {"size": [1080, 1920], "counts": counts}
    tracemalloc.start()
    with pytest.raises(RleError, match=reason):
        rle.parse(mask, height=1080, width=1920, where="here")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6


def test_masks_of_different_size_do_not_intersect() -> None:
    with pytest.raises(RleError, match="4x5 and 5x4"):
        rle.intersection(rle.encode(np.ones((4, 5), dtype=bool)), rle.encode(np.ones((5, 4), dtype=bool)))


@pytest.mark.slow
def test_polygons_cover_the_pixels_that_pycocotools_gives_them() -> None:
    rng = np.random.default_rng(3)
    for _ in range(2_000):
        height, width = (int(n) for n in rng.integers(1, 80, 2))
        polygons = []
        for _ in range(rng.integers(1, 4)):
            corners = (rng.random((rng.integers(3, 9), 2)) * 1.6 - 0.3) * (width, height)
            if rng.random() < 0.4:
                corners = np.round(corners)
            if rng.random() < 0.2:
                corners[1] = corners[0]
            polygons.append(corners.reshape(-1).tolist())
        theirs = coco.merge(coco.frPyObjects(polygons, height, width))
        ours = rle.parse(polygons, height=height, width=width, where="here")
        assert ours is not None
        assert ours.counts == theirs["counts"]


@given(st.data())
def test_a_box_in_a_frame_is_encoded_as_the_frame_would_be(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    rows, columns = data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left))
    bits = data.draw(st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns))
    box = np.array(bits).reshape(rows, columns)
    frame = np.zeros((height, width), dtype=bool)
    frame[top : top + rows, left : left + columns] = box
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rle, "_STRIP", data.draw(st.sampled_from([1, 5, 2**20])))
        found = rle.encode_box(box, left=left, top=top, height=height, width=width)
    assert found == rle.encode(frame)


@given(st.lists(st.lists(st.booleans(), min_size=12, max_size=12), min_size=1, max_size=4))
def test_the_union_of_runs_is_that_of_the_pixels(masks: list[list[bool]]) -> None:
    dense = [np.array(mask).reshape(3, 4) for mask in masks]
    assert rle.union([rle.encode(mask) for mask in dense]) == rle.encode(np.any(dense, axis=0))
