"""Fields of files that others wrote."""

from typing import Any

import pytest

from maskreel.data.records import crowd_mark
from maskreel.errors import DataError


@pytest.mark.parametrize(
    ("mark", "is_crowd"),
    [
        *((mark, False) for mark in (0, 0.0, False, "0", "false", "False", " 0 ", None)),
        *((mark, True) for mark in (1, 1.0, True, "1", "true", "TRUE")),
    ],
)
def test_crowd_marks_are_read_as_they_are_meant(mark: Any, is_crowd: bool) -> None:
    assert crowd_mark({"iscrowd": mark}, "here") is is_crowd


@pytest.mark.parametrize("mark", [2, -1, 7, 0.5, "", "2", "yes", [0], [1], {}, float("nan")])
def test_crowd_marks_that_mean_nothing_are_refused_with_place_and_value(mark: Any) -> None:
    with pytest.raises(DataError, match=r'file: annotation 3: "iscrowd" is .*; expected 0 or 1'):
        crowd_mark({"iscrowd": mark}, "file: annotation 3")


def test_an_annotation_without_a_mark_is_no_crowd() -> None:
    assert crowd_mark({}, "here") is False
