"""Classes and regions."""

import pytest

from maskreel.errors import OptionError
from maskreel.geometry import rle
from maskreel.geometry.selection import Region, chosen_labels, select
from tests.visualize.takeaways.results import CLASSES, box, result


def test_classes_are_chosen_by_name_or_id() -> None:
    assert chosen_labels(CLASSES, "Block") == {0}
    assert chosen_labels(CLASSES, "3") == {1}
    assert chosen_labels(CLASSES, "block, 3") == {0, 1}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("blok", "classes 'blok': did you mean 'block'?"),
        ("9", "classes '9': the model knows block, a, b"),
        (" , ", "names no class"),
    ],
)
def test_a_class_that_the_model_does_not_know_is_refused(words: str, sentence: str) -> None:
    with pytest.raises(OptionError) as error:
        chosen_labels(CLASSES, words)
    assert sentence in str(error.value)


def test_a_region_is_a_box_or_a_polygon() -> None:
    assert Region.parse("1,2,10,20").corners == ((1, 2), (11, 2), (11, 22), (1, 22))
    assert Region.parse("0,0,10,0,0,10").corners == ((0, 0), (10, 0), (0, 10))


@pytest.mark.parametrize("text", ["", "a,b,c,d", "1,2", "1,2,3", "1,2,3,4,5", "1,2,0,4", "1,2,3,-4", "nan,0,1,1"])
def test_a_region_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match=r"^region "):
        Region.parse(text)


@pytest.mark.parametrize(
    ("x", "y", "is_inside"),
    [(1.0, 1.0, True), (8.0, 8.0, False), (4.9, 4.9, True), (-1.0, 3.0, False), (0.0, 0.0, True), (3.0, 10.0, False)],
)
def test_points_are_inside_by_the_edges_around_them(x: float, y: float, is_inside: bool) -> None:
    assert Region.parse("0,0,10,0,0,10").contains(x, y) is is_inside


def test_neighbouring_regions_share_no_point() -> None:
    left, right = Region.parse("0,0,10,10"), Region.parse("10,0,10,10")
    assert [left.contains(10.0, 5.0), right.contains(10.0, 5.0)] == [False, True]


def test_a_mask_is_held_by_the_centre_of_its_box() -> None:
    region = Region.parse("0,0,10,33")
    assert region.holds(rle.encode(box(4, 4, 15, 9)))
    assert not region.holds(rle.encode(box(6, 4, 15, 9)))
    assert not region.holds(rle.encode(box(0, 0, 0, 0)))


def test_objects_are_seen_in_the_frames_in_which_the_region_holds_them() -> None:
    kept = select(result(), region=Region.parse("0,0,25,25"))
    seen = {one.track_id: [mask is not None for mask in one.segmentations] for one in kept}
    assert seen == {1: [True, True, False], 2: [True, False, False]}
    assert kept[0].segmentations[1] == result()[0].segmentations[1]
    assert kept[1].segmentations[1:] == [None, None]
    assert kept.decoded == 3


def test_classes_and_region_are_both_asked() -> None:
    assert [one.track_id for one in select(result(), labels=frozenset({0}))] == [1, 5]
    whole = Region.parse("0,0,100,100")
    assert [one.track_id for one in select(result(), labels=frozenset({1}), region=whole)] == [2]
    assert [one.track_id for one in select(result())] == [1, 2, 5]


def test_a_selection_is_saved_as_any_result(tmp_path: object) -> None:
    kept = select(result(), region=Region.parse("0,0,25,25"))
    assert kept.to_dict()["masklets"][1]["boxes"] == [[8.0, 8.0, 12.0, 12.0], None, None]
