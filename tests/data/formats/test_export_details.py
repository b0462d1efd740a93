"""What differs from export to export: groups of frames, shapes, classes and ids that are only sometimes there."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskreel.cli.main import main
from maskreel.data.formats import archives, shapes
from maskreel.data.formats.annotations import AnnotatedVideo, Annotations, ReadOptions
from maskreel.data.formats.archives import unpacked
from maskreel.data.formats.catalog import FORMATS
from maskreel.data.formats.labelme_shapes import mask_text
from maskreel.data.formats.reading import read_annotations
from maskreel.data.layouts import find_splits
from maskreel.errors import DataError, UsageError
from maskreel.geometry import rle
from maskreel.left_out import LeftOut
from tests.data.formats import exports
from tests.data.formats.exports import CLASSES, EXPORTS, FRAMES, HEIGHT, OBJECTS, WIDTH


def read(name: str, given: Path, **options: Any) -> Annotations:
    return FORMATS[name].read(given, replace(ReadOptions(), **options))


def boxes(video: AnnotatedVideo, track: int = 0) -> list[tuple[float, ...] | None]:
    return [None if mask is None else rle.bounding_box(mask) for mask in video.tracks[track].segmentations]


def changed(path: Path, change: Callable[[Any], None]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_shapes_turn_with_the_clock() -> None:
    """The right end of a long box, and of an ellipse, goes down."""
    box = shapes.box_corners(20.0, 22.0, 60.0, 26.0, rotation=30.0)
    ellipse = shapes.ellipse_corners(40.0, 24.0, 20.0, 3.0, rotation=30.0)
    for corners in (box, ellipse):
        mask = rle.decode(shapes.polygon_mask(corners, height=HEIGHT, width=WIDTH, where="here"))
        assert mask[31, 54]
        assert not mask[16, 54]


# CVAT


def test_a_job_has_the_name_of_its_folder(tmp_path: Path) -> None:
    meta = f"<job><id>3</id><size>{FRAMES}</size><start_frame>0</start_frame>{exports.cvat_labels()}"
    text = exports.cvat_document(f"{meta}{exports.cvat_size()}</job>", exports.cvat_track(0, 3))
    exports.put(tmp_path / "day/annotations.xml", text)
    (video,) = read("cvat", tmp_path).videos
    assert (video.id, video.name, len(video.frame_numbers)) == (3, "day", FRAMES)


def test_a_task_of_images_has_their_size_and_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    exports.cvat_video(tmp_path)
    path = tmp_path / "annotations.xml"
    path.write_text(path.read_text().replace(exports.cvat_size(), ""))
    for t in range(FRAMES):
        (tmp_path / f"images/frame_{t:06d}.PNG").rename(tmp_path / f"images/IMG_{t + 101}.png")
    (video,) = read("cvat", tmp_path).videos
    assert (video.width, video.height) == (WIDTH, HEIGHT)
    assert [image.name for image in video.images if image is not None] == [f"IMG_{t + 101}.png" for t in range(FRAMES)]
    assert "images are taken in their order" in caplog.text


# Datumaro


def datumaro_shapes(root: Path, *drawn: dict[str, Any]) -> Path:
    """One item with these shapes, of the label dog and without a track."""
    exports.datumaro(root)
    path = root / "annotations/default.json"

    def change(document: dict[str, Any]) -> None:
        item = document["items"][-1]
        item["annotations"] = [{"attributes": {}, "label_id": 1, **shape} for shape in drawn]
        document["items"] = [item]

    changed(path, change)
    return path


def test_boxes_and_ellipses_of_datumaro(tmp_path: Path) -> None:
    path = datumaro_shapes(
        tmp_path,
        {"type": "bbox", "bbox": [10, 10, 20, 10]},
        {"type": "bbox", "bbox": [10, 10, 20, 10], "attributes": {"rotation": 90.0}},
        {"type": "rotated_bbox", "points": [20, 15, 20, 10, 90]},
        {"type": "ellipse", "points": [20, 10, 60, 30]},
        {"type": "label"},
        {"type": "polyline", "points": [1, 1, 2, 2]},
    )
    left_out = LeftOut()
    (video,) = read("datumaro", path, left_out=left_out).videos
    assert [boxes(video, track)[0] for track in range(4)] == [
        (10.0, 10.0, 20.0, 10.0),
        (15.0, 5.0, 10.0, 20.0),
        (15.0, 5.0, 10.0, 20.0),
        (20.0, 10.0, 40.0, 20.0),
    ]
    assert [track.id for track in video.tracks] == [1, 2, 3, 4], "each without a track id is an object of its own"
    assert {track.category_id for track in video.tracks} == {2}
    assert [one.reason for one in left_out.omissions] == ["a 'polyline' has no mask"]


def test_items_in_folders_are_the_frames_of_several_videos(tmp_path: Path) -> None:
    exports.datumaro(tmp_path)

    def change(document: dict[str, Any]) -> None:
        for item in document["items"]:
            place = "a" if item["attr"]["frame"] < 2 else "b"
            item["id"] = f"{place}/{item['id']}"
            del item["image"], item["attr"]

    changed(tmp_path / "annotations/default.json", change)
    for t in range(FRAMES):
        place = tmp_path / "images/default" / ("a" if t < 2 else "b")
        place.mkdir(exist_ok=True)
        (tmp_path / f"images/default/frame_{t:06d}.png").rename(place / f"frame_{t:06d}.png")
    first, second = sorted(read("datumaro", tmp_path).videos, key=lambda video: video.name)
    assert (first.name, second.name) == ("a", "b")
    assert [image.name for image in second.images if image is not None] == ["frame_000002.png", "frame_000003.png"]
    assert second.frame_numbers == (2, 3)


def test_labels_of_a_track_that_differ_are_left_out(tmp_path: Path) -> None:
    exports.datumaro(tmp_path)
    changed(
        tmp_path / "annotations/default.json",
        lambda document: document["items"][-1]["annotations"][0].update(label_id=0),
    )
    left_out = LeftOut()
    read("datumaro", tmp_path, left_out=left_out)
    assert {one.reason for one in left_out.omissions} == {"track 3 has another label than in frames before"}


# LabelMe


def labelme_shapes(root: Path, *drawn: dict[str, Any]) -> AnnotatedVideo:
    exports.labelme(root)
    for path in (root / "clip").glob("*.json"):
        found = list(drawn) if path.stem == "0" else []
        changed(path, partial(dict.update, shapes=found))
    (video,) = read("labelme", root, left_out=LeftOut("stop")).videos
    return video


@pytest.mark.parametrize(
    ("kind", "points", "box"),
    [
        ("circle", [[40, 24], [40, 34]], (30.0, 14.0, 20.0, 20.0)),
        ("rectangle", [[30, 20], [10, 12]], (10.0, 12.0, 20.0, 8.0)),
        ("rectangle", [[10, 12], [30, 12], [30, 20], [10, 20]], (10.0, 12.0, 20.0, 8.0)),
        ("rotation", [[10, 12], [30, 12], [30, 20], [10, 20]], (10.0, 12.0, 20.0, 8.0)),
        (None, [[10, 12], [30, 12], [30, 20], [10, 20]], (10.0, 12.0, 20.0, 8.0)),
    ],
)
def test_shapes_of_labelme(tmp_path: Path, kind: str | None, points: Any, box: tuple[float, ...]) -> None:
    shape = {"label": "dog", "points": points, "group_id": "5", "shape_type": kind, "flags": {"iscrowd": True}}
    video = labelme_shapes(tmp_path, shape)
    assert boxes(video) == [box, None, None, None]
    assert [(track.id, track.is_crowd) for track in video.tracks] == [(5, True)]
    if kind == "circle":
        mask = video.tracks[0].segmentations[0]
        assert mask is not None
        assert rle.area(mask) == pytest.approx(np.pi * 100, rel=0.03)


def test_a_mask_that_declares_far_more_than_the_frame_is_not_decoded(tmp_path: Path) -> None:
    text = mask_text(np.zeros((2000, 2000), dtype=bool))
    shape = {"label": "dog", "points": [[0, 0], [1999, 1999]], "group_id": 5, "shape_type": "mask", "mask": text}
    with pytest.raises(DataError, match="a mask of 2000x2000 pixels"):
        labelme_shapes(tmp_path, shape)


# COCO with videos


def test_without_videos_the_folders_of_images_are_some(tmp_path: Path) -> None:
    exports.cvat_coco(tmp_path)
    path = tmp_path / "annotations/instances_default.json"

    def change(document: dict[str, Any]) -> None:
        for t, image in enumerate(document["images"]):
            image["file_name"] = f"{'a' if t < 2 else 'b'}/{image['file_name']}"

    changed(path, change)
    (video,) = read("coco-tracks", path).videos
    assert len(video.frame_numbers) == FRAMES, "tracks go from folder to folder"

    def apart(document: dict[str, Any]) -> None:
        for record in document["annotations"]:
            if record["image_id"] > 2:
                record["attributes"]["track_id"] += 100

    changed(path, apart)
    videos = read("coco-tracks", path).videos
    assert [(video.name, len(video.frame_numbers)) for video in videos] == [("a", 2), ("b", 2)]
    assert [[track.id for track in video.tracks] for video in videos] == [[3, 8], [108, 103]]


def test_tracks_with_names_are_numbered(tmp_path: Path) -> None:
    exports.cocovid(tmp_path)
    path = tmp_path / "annotations/train.json"

    def change(document: dict[str, Any]) -> None:
        for record in document["annotations"]:
            record["instance_id"] = "dog-1" if record["instance_id"] == 3 else "8"

    changed(path, change)
    (video,) = read("coco-tracks", path).videos
    assert [(track.id, track.category_id) for track in video.tracks] == [(9, 2), (8, 1)]


def test_a_second_mask_of_a_track_in_an_image_is_left_out(tmp_path: Path) -> None:
    exports.cocovid(tmp_path)
    path = tmp_path / "annotations/train.json"
    changed(path, lambda document: document["annotations"].append({**document["annotations"][0], "id": 99}))
    left_out = LeftOut()
    (video,) = read("coco-tracks", path, left_out=left_out).videos
    assert [one.item for one in left_out.omissions] == ["annotation 99"]
    assert sorted(track.id for track in video.tracks) == [3, 8]


def test_of_several_polygons_the_one_that_cannot_be_drawn_is_left_out(tmp_path: Path) -> None:
    exports.cvat_coco(tmp_path)
    path = tmp_path / "annotations/instances_default.json"
    changed(path, lambda document: document["annotations"][0]["segmentation"].append([1, 1, 3, 3]))
    left_out = LeftOut()
    videos = read("coco", path, left_out=left_out).videos
    assert boxes(videos[0]) == [(4.0, 4.0, 16.0, 12.0)]
    assert [one.item for one in left_out.omissions] == ["annotation 1, part 1"]


def test_frames_without_numbers_of_their_own_follow_their_names(tmp_path: Path) -> None:
    exports.cocovid(tmp_path)
    path = tmp_path / "annotations/train.json"

    def change(document: dict[str, Any]) -> None:
        for image in document["images"]:
            del image["frame_id"]

    changed(path, change)
    (video,) = read("coco-tracks", path).videos
    assert video.file_names == tuple(f"clip/{t}.png" for t in range(FRAMES))


# Sets of PNG files


def test_subsets_of_a_mots_export_are_sequences(tmp_path: Path) -> None:
    exports.cvat_mots(tmp_path)
    (tmp_path / "default").rename(tmp_path / "train")
    exports.cvat_mots(tmp_path)
    annotations = read("mots-png", tmp_path)
    assert [video.name for video in annotations.videos] == ["default", "train"]
    images = [image for video in annotations.videos for image in video.images if image is not None]
    assert {image.parent.parent.name for image in images} == {"default", "train"}


def test_things_without_a_list_of_classes_have_numbers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    exports.vipseg(tmp_path)
    (tmp_path / "panoVIPSeg_categories.json").unlink()
    assert [category.name for category in read("vipseg", tmp_path).categories] == ["class_60", "class_69"]
    assert "classes have numbers for names" in caplog.text


def test_a_segment_that_is_a_crowd_is_one(tmp_path: Path) -> None:
    exports.vipseg_converted(tmp_path)
    path = tmp_path / "panoptic_gt_VIPSeg_train.json"

    def change(document: dict[str, Any]) -> None:
        for image in document["annotations"][0]["annotations"]:
            for segment in image["segments_info"]:
                segment["iscrowd"] = int(segment["id"] == 8)

    changed(path, change)
    (video,) = read("vipseg", tmp_path).videos
    assert [(track.id, track.is_crowd) for track in video.tracks] == [(3, False), (8, True)]


def test_masks_of_two_sizes_are_refused(tmp_path: Path) -> None:
    exports.vipseg(tmp_path)
    Image.fromarray(np.zeros((4, 4), dtype=np.uint16)).save(tmp_path / "panomasks/12_clip/00000000.png")
    with pytest.raises(DataError, match="12_clip: PNG files of 2 sizes"):
        read("vipseg", tmp_path)


# YOLO


def test_the_split_of_a_yolo_set_is_read(tmp_path: Path) -> None:
    exports.yolo(tmp_path, video="train/")
    exports.yolo(tmp_path, video="val/")
    (tmp_path / "labels/val/1.txt").unlink()
    for split, missing in (("train", False), ("val", True)):
        (video,) = read("yolo", tmp_path, split=split).videos
        assert video.images[1] == tmp_path / f"images/{split}/2.jpg"
        assert (boxes(video)[0] is None) is missing
    with pytest.raises(UsageError, match="no split 'test'; --split names one of train, val"):
        read("yolo", tmp_path, split="test")


def test_a_track_has_the_class_that_most_of_its_frames_say(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    exports.yolo(tmp_path)
    path = tmp_path / "labels/2.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], f"1{lines[1][1:]}"]))
    (video,) = read("yolo", tmp_path).videos
    assert [(track.id, track.category_id) for track in video.tracks] == [(3, 2), (8, 1)]
    assert "track 8 has class 0 in 3 frames and others in 1" in caplog.text


def test_a_class_of_a_great_number_is_one_class(tmp_path: Path) -> None:
    exports.yolo(tmp_path)
    path = tmp_path / "labels/1.txt"
    path.write_text(path.read_text() + f"{10**17} 0.1 0.1 0.3 0.1 0.3 0.3 5\n")
    categories = read("yolo", tmp_path).categories
    assert [category.id for category in categories] == [1, 2, 10**17 + 1]


def test_shares_of_a_frame_need_an_image(tmp_path: Path) -> None:
    exports.yolo(tmp_path / "set")
    (tmp_path / "set/images").rename(tmp_path / "frames")
    with pytest.raises(UsageError, match="whose size only images tell; name their folder with --images"):
        read("yolo", tmp_path / "set")
    (video,) = read("yolo", tmp_path / "set", images=tmp_path / "frames").videos
    assert (video.width, video.height) == (WIDTH, HEIGHT)


# Folders and archives


def test_splits_are_found_beside_files_of_macos(tmp_path: Path) -> None:
    exports.lv_vis(tmp_path)
    (tmp_path / "._val_instances.json").write_bytes(b"\0")
    (tmp_path / "._train.json").write_bytes(b"\0")
    assert list(find_splits(tmp_path)) == ["train"]


def test_what_is_left_out_of_an_archive_is_named_by_the_archive(tmp_path: Path) -> None:
    exports.cvat_coco(tmp_path / "set")
    path = tmp_path / "set/annotations/instances_default.json"
    changed(path, lambda document: document["annotations"][0].update(segmentation=[[1, 1]]))
    archive = exports.zipped(tmp_path / "set", tmp_path / "set.zip")
    left_out = LeftOut()
    with read_annotations(archive, None, ReadOptions(left_out=left_out), wants_images=False):
        pass
    assert [one.file for one in left_out.omissions] == [f"{archive}/annotations/instances_default.json"]
    with (
        pytest.raises(DataError, match=rf"^{archive}/annotations/instances_default\.json: annotation 1: "),
        read_annotations(archive, None, ReadOptions(left_out=LeftOut("stop")), wants_images=False),
    ):
        pass


def test_an_archive_of_too_many_entries_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_ENTRIES", 3)
    exports.cvat_video(tmp_path / "set")
    with (
        pytest.raises(DataError, match="a zip archive of 6 entries; at most 3"),
        unpacked(exports.zipped(tmp_path / "set", tmp_path / "set.zip")),
    ):
        pass


def test_classes_keep_their_order_and_ids(tmp_path: Path) -> None:
    exports.datumaro(tmp_path)
    categories = read("datumaro", tmp_path).categories
    assert [(category.id, category.name) for category in categories] == list(enumerate(CLASSES, start=1))
    assert sorted(OBJECTS) == [3, 8]


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_passes_data_check(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    EXPORTS[name][1](tmp_path / "clip")
    assert main(["data", "check", str(tmp_path / "clip")]) == 0
    assert "1 videos, 4 frames, 2 tracks, 7 masks: nothing wrong" in capsys.readouterr().out
