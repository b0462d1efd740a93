"""The result of a video: its file, its views, and what it refuses."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from pycocotools.coco import COCO

from maskreel.data.formats import coco_tracks
from maskreel.data.formats.annotations import ReadOptions
from maskreel.errors import DataError, OptionError
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


def test_a_label_and_a_category_that_name_two_classes_are_refused(tmp_path: Path) -> None:
    document = masklets().to_dict()
    document["masklets"][0]["category_id"] = 2
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match="label 1 and category id 2 name no class of the file"):
        Masklets.load(path)


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


def test_coco_has_a_picture_per_frame_and_annotations_with_track_ids() -> None:
    document = json.loads(json.dumps(masklets().to_coco()))
    assert [image["id"] for image in document["images"]] == [1, 2, 3]
    assert {(image["width"], image["height"]) for image in document["images"]} == {(10, 6)}
    assert len({image["file_name"] for image in document["images"]}) == 3
    assert document["categories"] == [{"id": 2, "name": "cat"}, {"id": 7, "name": "dog"}]
    facts = [
        (one["id"], one["image_id"], one["track_id"], one["category_id"], one["score"], one["iscrowd"])
        for one in document["annotations"]
    ]
    assert facts == [(1, 1, 1, 7, 0.75, 0), (2, 2, 3, 2, 0.5, 0), (3, 3, 1, 7, 0.75, 0), (4, 3, 3, 2, 0.5, 0)]
    third = document["annotations"][2]
    assert third["segmentation"] == {"size": [6, 10], "counts": block(4).counts.decode()}
    assert (third["area"], third["bbox"]) == (6, [4.0, 1.0, 2.0, 3.0])


def test_coco_is_read_by_the_reference_tools_and_by_our_converter(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(masklets().to_coco()))
    api = COCO(str(path))
    assert sorted(api.getAnnIds(imgIds=[3])) == [3, 4]
    np.testing.assert_array_equal(api.annToMask(api.anns[3]), rle.decode(block(4)))
    (video,) = coco_tracks.read(path, ReadOptions()).videos
    assert [(track.id, track.category_id) for track in video.tracks] == [(1, 7), (3, 2)]
    assert [mask is not None for mask in video.tracks[0].segmentations] == [True, False, True]


def test_arrays_hold_masks_boxes_scores_labels_and_track_ids() -> None:
    result = masklets()
    masks, boxes, scores, labels, track_id = result.to_arrays()
    assert (masks.shape, masks.dtype, boxes.shape) == ((2, 3, 6, 10), np.bool_, (2, 3, 4))
    for frame in range(3):
        np.testing.assert_array_equal(masks[:, frame], result.masks(frame))
    np.testing.assert_array_equal(boxes[0], [[0, 1, 2, 3], [0, 0, 0, 0], [4, 1, 2, 3]])
    assert (scores.tolist(), labels.tolist(), track_id.tolist()) == ([0.75, 0.5], [1, 0], [1, 3])


@pytest.mark.parametrize("frames", [[2, 0], (1,), range(2), np.array([2]), []])
def test_arrays_hold_the_chosen_frames_in_their_order(frames: Sequence[int]) -> None:
    chosen, whole = masklets().to_arrays(frames), masklets().to_arrays()
    for part, all_frames in ((chosen.masks, whole.masks), (chosen.boxes, whole.boxes)):
        np.testing.assert_array_equal(part, all_frames[:, list(frames)])


@pytest.mark.parametrize("frame", [-1, 3])
def test_arrays_of_a_frame_that_there_is_not_are_refused(frame: int) -> None:
    with pytest.raises(OptionError, match=f"there is no frame {frame}; 3 were decoded"):
        masklets().to_arrays([frame])


def test_arrays_above_two_gigabytes_are_refused_with_their_size() -> None:
    long = dataclasses.replace(
        masklets(),
        width=1000,
        height=1000,
        timestamps=tuple(map(float, range(1001))),
        masklets=tuple(dataclasses.replace(one, segmentations=(None,) * 1001) for one in masklets()),
    )
    with pytest.raises(OptionError, match=r"2 x 1001 x 1000 x 1000 .* take 2\.0 GB, more than 2 GB; choose fewer"):
        long.to_arrays()
    assert long.to_arrays(range(3)).masks.shape == (2, 3, 1000, 1000)


def test_a_video_without_objects_has_empty_forms() -> None:
    empty = dataclasses.replace(masklets(), masklets=())
    assert empty.to_arrays().masks.shape == (0, 3, 6, 10)
    assert empty.to_arrays().boxes.shape == (0, 3, 4)
    assert empty.to_coco()["annotations"] == []
    assert len(empty.to_coco()["images"]) == 3
