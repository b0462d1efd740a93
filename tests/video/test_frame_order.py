"""The order of frames by the numbers in their names."""

import random
from pathlib import Path

import pytest

from maskreel.errors import DataError
from maskreel.video.frame_order import check_holes, in_frame_order, misplaced, natural_key


@pytest.mark.parametrize(
    "names",
    [
        ["0.png", "1.png", "2.png", "10.png", "11.png"],
        ["0000_160x96.png", "0001_160x96.png", "0010_160x96.png"],
        ["shot_v2_1.png", "shot_v2_9.png", "shot_v2_10.png"],
        ["cam2_frame_8.png", "cam2_frame_9.png", "cam2_frame_100.png"],
        ["1305031102.811214.png", "1305031102.911214.png", "1305031103.011214.png"],
        ["12.5.png", "12.75.png", "13.0.png", "13.05.png"],
        ["2024-01-05_09-59-58.png", "2024-01-05_09-59-59.png", "2024-01-05_10-00-00.png"],
        ["clip3_1.png", "clip3_2.png", "clip12_1.png", "clip12_10.png"],
        ["frame2.png", "frame10.png", "frame10b11.png"],
        ["left.png", "right.png", "top.png"],
    ],
)
def test_numbers_that_differ_order_the_frames(names: list[str]) -> None:
    shuffled = [Path("folder") / name for name in names]
    random.Random(0).shuffle(shuffled)
    assert [path.name for path in in_frame_order(shuffled).paths] == names


def test_folders_come_before_names() -> None:
    paths = [Path("b/1.png"), Path("a/2.png"), Path("a/10.png"), Path("b/2.png")]
    assert [str(path) for path in in_frame_order(paths).paths] == ["a/2.png", "a/10.png", "b/1.png", "b/2.png"]


def test_only_a_single_whole_number_counts_frames() -> None:
    assert in_frame_order([Path("3_16.png"), Path("1_16.png")]).numbers == (1, 3)
    assert in_frame_order([Path("1_16.png"), Path("3_17.png")]).numbers is None
    assert in_frame_order([Path("a.png"), Path("b.png")]).numbers is None


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1.png", "2.png", "4.png", "5.png"], "frame 3 is missing after 2.png"),
        (["10_96.png", "20_96.png", "40_96.png", "50_96.png"], "frame 30 is missing after 20_96.png"),
        (["1.png", "01.png", "2.png"], r"(1.png and 01|01.png and 1).png have the same frame number"),
    ],
)
def test_holes_and_doubles_are_named(names: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_holes(in_frame_order([Path(name) for name in names]), Path("folder"))


def test_equal_steps_are_no_holes() -> None:
    check_holes(in_frame_order([Path(f"{number}_v2.png") for number in (5, 10, 15)]), Path("folder"))


def test_natural_order_counts() -> None:
    assert sorted(["v10", "v9", "v", "w1"], key=natural_key) == ["v", "v9", "v10", "w1"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a/0.png", "a/1.png", "a/10.png", "a/2.png"], ("a/10.png", "a/2.png")),
        (["a/2.png", "a/1.png"], ("a/2.png", "a/1.png")),
        (["a/0.png", "a/2.png", "a/10.png"], None),
        (["a/v2_1.png", "a/v2_10.png", "a/v2_9.png"], ("a/v2_10.png", "a/v2_9.png")),
        (["b/1.png", "a/1.png"], None),
        (["z.png", "a.png"], None),
        ([], None),
    ],
)
def test_a_list_that_leaves_the_order_of_its_numbers_is_told(
    names: list[str], expected: tuple[str, str] | None
) -> None:
    assert misplaced(names) == expected
