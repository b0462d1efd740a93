"""The one reader of annotations: what it refuses, what it repairs and what the reference evaluator does."""

import logging
from pathlib import Path
from typing import Any

import pytest

from maskreel.data.annotation_file import read_ground_truth
from maskreel.errors import DataError
from tests.evaluation.scenes import annotation, box, scene, write

MASK, OTHER = box(2, 3, 10, 8), box(15, 3, 10, 8)


def stray(**changes: Any) -> dict[str, Any]:
    return scene([annotation(1, [MASK], areas=[80]), annotation(2, [OTHER], **{"areas": [80], **changes})])


@pytest.mark.parametrize(
    ("key", "among"), [("video_id", "among the 1 videos"), ("category_id", "among the categories")]
)
def test_a_track_of_something_that_the_file_lacks_is_refused_and_passed_over_by_the_reference(
    tmp_path: Path, key: str, among: str
) -> None:
    path = write(tmp_path, "gt.json", stray(**{key: 9}))
    with pytest.raises(DataError, match=f"{key}.*9 is not {among}"):
        read_ground_truth(path)
    (tracks,) = read_ground_truth(path, strict_reference=True).tracks or ()
    assert [track.id for track in tracks] == [1]


def test_the_reference_takes_the_last_of_several_annotations_of_one_id_for_all(tmp_path: Path) -> None:
    path = write(tmp_path, "gt.json", stray(id=1, category_id=2))
    (tracks,) = read_ground_truth(path, strict_reference=True).tracks or ()
    assert [(track.id, track.category_id) for track in tracks] == [(1, 2), (1, 2)]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"areas": None}, "1 without areas (measured from the masks)"),
        ({"id": 0}, "1 with id 0"),
        ({"id": 1}, "1 with an id that stands twice"),
    ],
)
def test_every_repair_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, Any], told: str
) -> None:
    with caplog.at_level(logging.WARNING):
        read_ground_truth(write(tmp_path, "gt.json", stray(**changes)))
    (message,) = caplog.messages
    assert message.endswith(f"gt.json: repaired annotations: {told}")


def test_a_missing_crowd_mark_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    document = stray()
    del document["annotations"][1]["iscrowd"]
    with caplog.at_level(logging.WARNING):
        read_ground_truth(write(tmp_path, "gt.json", document))
    assert "1 without iscrowd (taken as 0)" in caplog.text
