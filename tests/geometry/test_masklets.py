"""The result of a video: its file, its views, and what it refuses."""

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from maskreel.errors import DataError
from maskreel.geometry import rle
from maskreel.geometry.masklets import Masklet, Masklets, SkippedFrame


def block(left: int, size: tuple[int, int] = (6, 10)) -> rle.Rle:
    mask = np.zeros(size, dtype=bool)
    mask[1:4, left : left + 2] = True
    return rle.encode(mask)


def masklets(*, score: float = 0.75, frames: int = 3) -> Masklets:
    first = Masklet(track_id=1, label=1, category_id=7, score=score, segmentations=(block(0), None, block(4))[:frames])
    second = Masklet(track_id=3, label=0, category_id=2, score=0.5, segmentations=(None, block(6), block(6)))
    return Masklets(
        source="a.mp4",
        width=10,
        height=6,
        classes=((2, "cat"), (7, "dog")),
        declared=4,
        skipped=(SkippedFrame(index=3, reason="cannot be decoded"),),
        timestamps=(0.0, 0.04, 0.08),
        masklets=(first, second),
    )


def test_the_file_has_the_agreed_fields(tmp_path: Path) -> None:
    masklets().save(tmp_path / "a.json")
    data = json.loads((tmp_path / "a.json").read_text())
    assert list(data) == ["version", "source", "width", "height", "classes", "frames", "timestamps", "masklets"]
    assert data["classes"] == [{"id": 2, "name": "cat"}, {"id": 7, "name": "dog"}]
    assert data["frames"] == {
        "declared": 4,
        "decoded": 3,
        "skipped": [{"index": 3, "reason": "cannot be decoded"}],
    }
    entry = data["masklets"][0]
    assert list(entry) == ["track_id", "category_id", "label", "score", "segmentations", "boxes"]
    assert (entry["track_id"], entry["category_id"], entry["label"], entry["score"]) == (1, 7, 1, 0.75)
    assert entry["segmentations"][0] == {"size": [6, 10], "counts": block(0).counts.decode()}
    assert entry["segmentations"][1] is entry["boxes"][1] is None
    assert entry["boxes"][2] == [4.0, 1.0, 2.0, 3.0]
    assert data == masklets().to_dict()


def test_what_is_saved_loads_again_and_saves_to_the_same_bytes(tmp_path: Path) -> None:
    masklets().save(tmp_path / "a.json")
    loaded = Masklets.load(tmp_path / "a.json")
    assert loaded == masklets()
    loaded.save(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json"]


def test_a_result_is_a_sequence_with_array_views() -> None:
    result = masklets()
    assert len(result) == 2
    assert [masklet.track_id for masklet in result] == [1, 3]
    assert result[1].track_id == 3
    np.testing.assert_array_equal(result.scores, [0.75, 0.5])
    np.testing.assert_array_equal(result.labels, [1, 0])
    np.testing.assert_array_equal(result.track_id, [1, 3])
    assert [result.name(masklet) for masklet in result] == ["dog", "cat"]
    assert (result.decoded, result.declared) == (3, 4)


def test_dense_masks_of_a_frame_are_empty_where_an_object_is_not_seen() -> None:
    masks = masklets().masks(1)
    assert masks.shape == (2, 6, 10)
    assert not masks[0].any()
    np.testing.assert_array_equal(masks[1], rle.decode(block(6)))


def test_entries_for_a_leaderboard_have_nulls_and_category_ids() -> None:
    first, second = masklets().to_youtube_vis(video_id=12)
    assert list(first) == ["video_id", "category_id", "score", "segmentations"]
    assert (first["video_id"], first["category_id"], first["score"]) == (12, 7, 0.75)
    assert second["segmentations"] == [None, block(6).to_json(), block(6).to_json()]


def test_nothing_is_written_when_a_number_is_none(tmp_path: Path) -> None:
    result = masklets()
    object.__setattr__(result, "timestamps", (0.0, float("nan"), 1.0))
    with pytest.raises(ValueError, match="not JSON compliant"):
        result.save(tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("score", [float("nan"), -0.1, 1.5])
def test_a_score_outside_zero_to_one_is_refused(score: float) -> None:
    with pytest.raises(DataError, match=f"masklet 1 has score {score}"):
        masklets(score=score)


def test_a_masklet_needs_one_entry_per_frame() -> None:
    with pytest.raises(DataError, match="masklet 1 has 2 masks, but 3 frames were decoded"):
        masklets(frames=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 9}, "not a masklet file of format 1"),
        ({"timestamps": None}, "not a masklet file"),
        ({"classes": []}, "label 1 and category id 7 name no class"),
        ({"width": 11}, r"masklet 1, frame 0.*mask size \[6, 10\]"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_its_path(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(masklets().to_dict() | change))
    with pytest.raises(DataError, match=message) as caught:
        Masklets.load(path)
    assert str(caught.value).startswith(str(path))


def test_supervision_gets_the_objects_seen_in_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our side of the exchange alone: the package is optional, so a record stands in for its class."""
    module = ModuleType("supervision")
    module.Detections = dict  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "supervision", module)
    detections = masklets().to_supervision(1)
    np.testing.assert_array_equal(detections["xyxy"], [[6, 1, 8, 4]])
    np.testing.assert_array_equal(detections["mask"], masklets().masks(1)[1:])
    assert detections["tracker_id"].tolist() == [3]
    assert detections["class_id"].tolist() == [0]
    assert detections["confidence"].tolist() == [0.5]


def test_without_supervision_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match="pip install supervision"):
        masklets().to_supervision(0)
