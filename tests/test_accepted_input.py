"""docs/accepted-input.md says what the code does."""

import json
import re
from pathlib import Path

import pytest

from maskreel.checkpoints.dialects.catalog import DIALECTS
from maskreel.data.check.problems import KINDS
from maskreel.data.formats.annotations import MAX_FRAMES
from maskreel.data.formats.catalog import FORMATS
from maskreel.data.formats.images import MOST_COLOURED, MOST_OBJECTS
from maskreel.data.records import crowd_mark
from maskreel.errors import DataError
from maskreel.geometry import rle
from maskreel.video.images import FORMATS as IMAGE_FORMATS
from maskreel.video.images import IMAGE_SUFFIXES, MAX_PIXELS
from maskreel.video.sources import VIDEO_SUFFIXES

PAGE = (Path(__file__).parents[1] / "docs/accepted-input.md").read_text(encoding="utf-8")


def rows(section: str) -> dict[str, str]:
    """First cell and the rest of the rows of the table under a heading."""
    text = PAGE.split(f"{section}\n", 1)[1].split("\n#")[0]
    found = re.findall(r"^\| (.*?) \| (.*) \|$", text, re.M)
    return {first: rest for first, rest in found if first not in ("what", "kind", "format")}


def words(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_every_format_has_its_row() -> None:
    assert list(rows("## Annotations")) == [f"`{name}`" for name in FORMATS]


@pytest.mark.parametrize(
    ("section", "row", "known"),
    [
        ("## Images", "endings that a folder is searched for", IMAGE_SUFFIXES),
        ("## Images", "formats that are opened, whatever the name", IMAGE_FORMATS),
        ("## Videos", "endings that a folder is searched for", VIDEO_SUFFIXES),
    ],
)
def test_endings_and_formats_are_those_of_the_code(section: str, row: str, known: frozenset[str]) -> None:
    assert words(rows(section)[row]) == sorted(known)


def test_dialects_are_those_of_the_code() -> None:
    listed = PAGE.split("Dialects:")[1].split(". ")[0]
    assert words(listed) == list(DIALECTS)


@pytest.mark.parametrize(
    ("section", "row", "number"),
    [
        ("### Rules of all formats", "size of a frame", rle.MAX_PIXELS),
        ("### Rules of all formats", "frames of a video that a file claims in a few bytes", MAX_FRAMES),
        ("## Images", "size", MAX_PIXELS),
        ("## Images", "object numbers", MOST_COLOURED),
        ("## Images", "object numbers", MOST_OBJECTS),
    ],
)
def test_limits_are_those_of_the_code(section: str, row: str, number: int) -> None:
    assert str(number) in re.findall(r"\d+", rows(section)[row])


def test_crowd_marks_are_read_as_the_page_says() -> None:
    plain, crowd, refused = (words(part) for part in rows("### Rules of all formats")["`iscrowd`"].split(";"))
    for marks, expected in ((plain, False), (crowd, True)):
        assert [crowd_mark({"iscrowd": json.loads(mark)}, "") for mark in marks] == [expected] * len(marks)
    for mark in refused:
        with pytest.raises(DataError, match="expected 0 or 1"):
            crowd_mark({"iscrowd": json.loads(mark)}, "")


def test_kinds_of_faults_are_those_of_the_code() -> None:
    marks = {
        f"`{name}`": kind.about + " (note)" * kind.is_note + " (repaired)" * kind.is_repaired
        for name, kind in KINDS.items()
    }
    assert rows("## What `maskreel data check` looks for") == marks
