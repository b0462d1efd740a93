"""Exports as tools write them and sets as they are downloaded: recognised, read alike, also from a Mac's archive."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskreel.data.formats.annotations import AnnotatedVideo, Annotations, ReadOptions
from maskreel.data.formats.catalog import FORMATS
from maskreel.data.formats.reading import read_annotations
from maskreel.data.formats.recognise import recognise
from maskreel.errors import DataError, UsageError
from maskreel.geometry import rle
from maskreel.left_out import LeftOut
from tests.data.formats import exports
from tests.data.formats.exports import CLASSES, EXPORTS, HEIGHT, OBJECTS, WIDTH, Seen

OTHER_IDS = {
    "labelme from windows": {1: 8, 2: 3},
    "cvat video": {0: 3, 1: 8},
    "vipseg": {7003: 3, 6108: 8},
}
"""Ids of the scene by those that come out, where the export has others, or none."""


def read(given: Path, read_as: str | None = None, **options: Any) -> tuple[Annotations, str]:
    with read_annotations(given, read_as, ReadOptions(**options), wants_images=True) as (annotations, name):
        for video in annotations.videos:
            for frame, image in enumerate(video.images):
                if image is not None:
                    check_picture(image, frame)
        return annotations, name


def check_picture(path: Path, frame: int) -> None:
    """The picture of the scene's frame, as bright under the objects as it was painted."""
    with Image.open(path) as image:
        found, expected = np.asarray(image.convert("L")).astype(int), np.asarray(exports.picture(frame).convert("L"))
    assert abs(found - expected).mean() < 3, f"{path} is not frame {frame}"


def seen(video: AnnotatedVideo, annotations: Annotations) -> Seen:
    names = {category.id: category.name for category in annotations.categories}
    found = {}
    for track in video.tracks:
        boxes = []
        for mask in track.segmentations:
            if mask is None:
                boxes.append(None)
                continue
            left, top, columns, rows = map(int, rle.bounding_box(mask))
            assert rle.area(mask) == columns * rows, "a box without holes"
            boxes.append((left, top, left + columns, top + rows))
        found[track.id] = (names[track.category_id], tuple(boxes))
        assert not track.is_crowd
    return found


def expected(name: str) -> Seen:
    ids = OTHER_IDS.get(name, {track: track for track in OBJECTS})
    found = {number: OBJECTS[track] for number, track in ids.items()}
    return {number: ("object", boxes) for number, (_, boxes) in found.items()} if name == "davis" else found


def check_scene(annotations: Annotations, name: str) -> None:
    (video,) = annotations.videos
    assert seen(video, annotations) == expected(name)
    assert (video.width, video.height) == (WIDTH, HEIGHT)
    assert None not in video.images


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_is_recognised_and_read(tmp_path: Path, name: str) -> None:
    format_name, build = EXPORTS[name]
    build(tmp_path / "clip")
    annotations, found = read(tmp_path / "clip")
    assert found == format_name
    check_scene(annotations, name)
    again, _ = read(tmp_path / "clip", format_name)
    assert again == annotations


@pytest.mark.parametrize("name", EXPORTS)
def test_files_of_macos_and_byte_order_marks_change_nothing(tmp_path: Path, name: str) -> None:
    format_name, build = EXPORTS[name]
    build(tmp_path / "clip")
    exports.add_mac_files(tmp_path / "clip")
    annotations, found = read(tmp_path / "clip")
    assert found == format_name
    check_scene(annotations, name)


@pytest.mark.parametrize("below", ["", "export/"])
@pytest.mark.parametrize("name", EXPORTS)
def test_an_archive_is_read_like_the_folder_in_it(tmp_path: Path, name: str, below: str) -> None:
    format_name, build = EXPORTS[name]
    build(tmp_path / "clip")
    exports.add_mac_files(tmp_path / "clip")
    archive = exports.zipped(tmp_path / "clip", tmp_path / "clip.zip", below=below)
    with read_annotations(archive, None, ReadOptions(), wants_images=True) as (annotations, found):
        assert found == format_name
        check_scene(annotations, name)
        images = [image for image in annotations.videos[0].images if image is not None]
        assert all(image.is_file() for image in images)
    assert not any(image.exists() for image in images), "what was unpacked is gone"


def test_a_cvat_project_has_a_video_for_each_task(tmp_path: Path) -> None:
    exports.cvat_project(tmp_path)
    annotations, found = read(tmp_path)
    assert found == "cvat"
    day, night = annotations.videos
    assert [(video.id, video.name) for video in (day, night)] == [(7, "day"), (9, "night")]
    assert seen(day, annotations) == {0: OBJECTS[3]}
    assert seen(night, annotations) == {1: OBJECTS[8]}


def test_images_of_a_project_are_taken_only_where_they_are_told_apart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exports.cvat_project(tmp_path)
    names = [f"frame_{t:06d}.png" for t in range(exports.FRAMES)]
    exports.save_pictures(tmp_path / "images", names)
    assert read(tmp_path)[0].videos[0].images == (None,) * exports.FRAMES
    assert "'day' shares the images" in caplog.text
    exports.save_pictures(tmp_path / "images/default/night", names)
    exports.save_pictures(tmp_path / "images/default/day", names)
    assert all(None not in video.images for video in read(tmp_path)[0].videos)


@pytest.mark.parametrize("text", ["A: left camera", "cars\\left", "/srv/cars", 'a<b>|"?*', " spaced . "])
def test_a_task_may_have_any_name(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    exports.cvat_video(tmp_path)
    path = tmp_path / "annotations.xml"
    path.write_text(path.read_text().replace("<name>clip</name>", f"<name>{exports.quoteattr(text)[1:-1]}</name>"))
    (video,) = read(tmp_path)[0].videos
    assert not set(video.name) & set('<>:"|?*\\')
    assert not video.name.startswith("/")
    assert "is named" in caplog.text


def test_shapes_of_cvat_are_boxes_ellipses_and_turned_ones(tmp_path: Path) -> None:
    shapes = (
        '<box frame="0" outside="0" xtl="10" ytl="10" xbr="30" ybr="20" rotation="90"/>'
        '<ellipse frame="1" outside="0" cx="40" cy="24" rx="20" ry="10"/>'
        '<ellipse frame="2" outside="0" cx="40" cy="24" rx="20" ry="10" rotation="90"/>'
        '<points frame="3" outside="0" points="1,1"/>'
    )
    meta = f"<task>{exports.cvat_task(1, 'a')}{exports.cvat_labels()}{exports.cvat_size()}</task>"
    track = f'<track id="0" label="dog">{shapes}</track>'
    exports.put(tmp_path / "a.xml", exports.cvat_document(meta, track))
    left_out = LeftOut()
    (video,) = read(tmp_path, left_out=left_out)[0].videos
    boxes = [None if mask is None else rle.bounding_box(mask) for mask in video.tracks[0].segmentations]
    assert boxes == [(15.0, 5.0, 10.0, 20.0), (20.0, 14.0, 40.0, 20.0), (30.0, 4.0, 20.0, 40.0), None]
    areas = [rle.area(mask) for mask in video.tracks[0].segmentations[:3] if mask is not None]
    assert areas[0] == 200
    assert areas[1:] == pytest.approx([np.pi * 200] * 2, rel=0.02)
    assert [(one.item, one.reason.partition(";")[0]) for one in left_out.omissions] == [
        ("track 0, frame 3", "a points has no mask")
    ]


def test_a_shape_that_ends_behind_the_last_frame_is_whole(tmp_path: Path) -> None:
    """CVAT ends a shape that was drawn without a track one frame later, which may be none."""
    exports.cvat_video(tmp_path)
    path = tmp_path / "annotations.xml"
    end = f'<polygon frame="{exports.FRAMES}" outside="1" points="0,0;1,0;1,1"/></track>'
    path.write_text(path.read_text().replace("</track>", end, 1))
    check_scene(read(tmp_path)[0], "cvat video")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: ['cart', \"dog\"]\n", ["cart", "dog"]),
        ("nc: 2\nnames: [cart, dog]  # two\n", ["cart", "dog"]),
        ("names: {0: cart, 1: dog}\n", ["cart", "dog"]),
        ("names:\n- cart\n- 'dog'\nnc: 2\n", ["cart", "dog"]),
        ("names:\n  1: dog\n  0: cart\n\ntrain: x\n", ["cart", "dog"]),
        ("names: [\n  'cart',\n  'dog',\n]\n", ["cart", "dog"]),
        ("nc: 2\n", ["class_0", "class_1"]),
    ],
)
def test_names_of_yolo_classes(tmp_path: Path, text: str, names: list[str]) -> None:
    exports.yolo(tmp_path)
    (tmp_path / "data.yaml").write_text(text)
    assert [category.name for category in read(tmp_path)[0].categories] == names


def test_text_files_of_several_videos_are_told_apart_by_their_names(tmp_path: Path) -> None:
    exports.yolo(tmp_path, video="day_")
    exports.yolo(tmp_path, video="night_")
    annotations, _ = read(tmp_path)
    assert [video.name for video in annotations.videos] == ["day", "night"]
    for video in annotations.videos:
        assert seen(video, annotations) == OBJECTS


def test_yolo_files_without_ids_and_with_boxes_are_refused_by_name(tmp_path: Path) -> None:
    exports.yolo(tmp_path / "one", has_ids=False)
    with pytest.raises(DataError, match="YOLO segmentation without ids"):
        read(tmp_path / "one", "yolo")
    exports.put(tmp_path / "two/labels/1.txt", "0 0.5 0.5 0.2 0.2 4\n")
    with pytest.raises(DataError, match=r"boxes \(class, centre, size\), which have no masks"):
        read(tmp_path / "two")


def test_a_line_without_an_id_among_others_is_left_out(tmp_path: Path) -> None:
    exports.yolo(tmp_path)
    with (tmp_path / "labels/1.txt").open("a") as file:
        file.write("0 0.1 0.1 0.2 0.1 0.2 0.2\n1 0.1 0.1 nonsense 0.1 0.2 0.2 5\n")
        # Another object, whose only shape is far outside the frame.
        file.write("1 9.1 0.1 0.2 0.1 0.2 0.2 6\n")
    left_out = LeftOut()
    annotations, _ = read(tmp_path, left_out=left_out)
    check_scene(annotations, "yolo")
    assert [one.item for one in left_out.omissions] == ["line 3", "line 4", "line 5"]


def test_the_list_of_a_split_is_kept(tmp_path: Path) -> None:
    exports.davis(tmp_path)
    assert [video.name for video in read(tmp_path, split="train")[0].videos] == ["clip"]
    assert [video.name for video in read(tmp_path, split="val")[0].videos] == ["other"]
    listed = "".join(f"/JPEGImages/480p/other/{t:05d}.jpg /Annotations/480p/other/{t:05d}.png\n" for t in range(4))
    exports.put(tmp_path / "ImageSets/2017/train.txt", listed)
    assert [video.name for video in read(tmp_path, split="train")[0].videos] == ["other"]


def test_stuff_of_a_panoptic_set_is_dropped_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    exports.vipseg(tmp_path)
    annotations, _ = read(tmp_path)
    assert [category.name for category in annotations.categories] == ["cart", "dog"]
    assert "4 segments of stuff (1 classes) are left out" in caplog.text
    assert "1 of its 2 videos are not in" in caplog.text


def panoptic(root: Path) -> Path:
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 8, "height": 8}],
        "categories": [{"id": 1, "name": "cart", "isthing": 1}],
        "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": [{"id": 1, "category_id": 1}]}],
    }
    exports.put(root / "panoptic_val.json", document)
    return root / "panoptic_val.json"


@pytest.mark.parametrize("read_as", [None, "coco", "coco-tracks", "vipseg"])
def test_a_panoptic_file_of_single_images_is_named(tmp_path: Path, read_as: str | None) -> None:
    with pytest.raises(DataError, match=r"panoptic_val.*a panoptic file \(segments_info.*no order of frames"):
        read(panoptic(tmp_path), read_as)


UNSUPPORTED: dict[str, tuple[str, Any, str]] = {
    "results": ("a.json", [{"video_id": 1, "category_id": 1, "score": 1, "segmentations": []}], "results for scoring"),
    "coco results": ("a.json", [{"image_id": 1, "category_id": 1, "score": 1}], "COCO results"),
    "label studio": ("a.json", [{"id": 1, "data": {}, "annotations": []}], "Label Studio"),
    "via": ("a.json", {"_via_settings": {}, "_via_img_metadata": {}}, "VGG Image Annotator"),
    "fiftyone": ("a.json", {"samples": []}, "FiftyOne's own"),
    "voc": ("a.xml", "<annotation><folder>x</folder></annotation>", "Pascal VOC"),
    "mot": ("gt/gt.txt", "1,1,10,10,20,20,1,1,0.9\n", "boxes and no masks"),
    "nothing": ("readme.md", "hello", "not recognised; --from names it"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_is_known_and_not_read_is_named(tmp_path: Path, name: str) -> None:
    file, content, message = UNSUPPORTED[name]
    exports.put(tmp_path / "set" / file, content)
    with pytest.raises((DataError, UsageError), match=message):
        read(tmp_path / "set")


def test_a_folder_of_two_formats_asks_which(tmp_path: Path) -> None:
    exports.cvat_video(tmp_path)
    exports.cvat_coco(tmp_path)
    with pytest.raises(UsageError, match="may be cvat or coco-tracks; say which with --from"):
        read(tmp_path)
    assert read(tmp_path, "cvat")[1] == "cvat"


# Names and sizes of images


def coco(root: Path, file_name: str, *, size: Any = (WIDTH, HEIGHT), place: str = "images/clip/0.png") -> Path:
    document = {
        "images": [{"id": "im", "file_name": file_name, "width": size[0], "height": size[1]}],
        "categories": [{"id": "c-cart", "name": "cart"}],
        "annotations": [
            {
                "id": 1.0,
                "image_id": "im",
                "category_id": "c-cart",
                "iscrowd": 0,
                "segmentation": [[4, 4, 20, 4, 20, 16]],
            }
        ],
    }
    exports.put(root / "labels.json", document)
    exports.save_pictures(root, [place])
    return root / "labels.json"


@pytest.mark.parametrize(
    ("file_name", "place"),
    [
        ("clip/0.png", "images/clip/0.png"),
        ("clip\\0.png", "images/clip/0.png"),
        (".\\clip\\0.png", "images/clip/0.png"),
        ("0.png", "data/0.png"),
        ("C:\\Users\\me\\clip\\0.png", "images/clip/0.png"),
        ("/home/me/set/images/clip/0.png", "images/clip/0.png"),
        ("https://example.org/bucket/clip/0.png", "images/clip/0.png"),
        ("https://example.org/a%20b/0.png?sig=12&x=/..#f", "images/0.png"),
        ("0.png", "images/deep/below/0.png"),
        ("12:30:05 a|b.png", "images/12:30:05 a|b.png"),
    ],
)
def test_an_image_is_found_by_the_name_of_another_machine(tmp_path: Path, file_name: str, place: str) -> None:
    (video,) = read(coco(tmp_path, file_name, place=place))[0].videos
    assert video.images == (tmp_path / place,)


def test_two_names_never_find_one_image(tmp_path: Path) -> None:
    path = coco(tmp_path, "day/0.png", place="images/0.png")
    document = json.loads(path.read_text())
    document["images"].append({**document["images"][0], "id": "other", "file_name": "night/0.png"})
    path.write_text(json.dumps(document))
    assert [video.images for video in read(path)[0].videos] == [(None,), (None,)]


@pytest.mark.parametrize("size", [(-1, -1), (None, None), (0, 0), (float(WIDTH), str(HEIGHT))])
def test_a_size_that_says_nothing_is_that_of_the_image(tmp_path: Path, size: Any) -> None:
    (video,) = read(coco(tmp_path, "clip/0.png", size=size))[0].videos
    assert (video.width, video.height) == (WIDTH, HEIGHT)
    path = coco(tmp_path / "alone", "clip/1.png", size=(-1, -1), place="elsewhere/clip.png")
    with pytest.raises(DataError, match=r"its size is given as -1x-1, and no image tells it; .*--images"):
        read(path)


def test_names_that_lead_elsewhere_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="leaves the folder"):
        read(coco(tmp_path / "set", "../0.png", place="../0.png"))


def test_a_labelme_file_does_not_fetch_images_from_outside(tmp_path: Path) -> None:
    exports.labelme(tmp_path / "set/labels", path="../../frames/{}.png")
    exports.save_pictures(tmp_path / "set/frames", [f"{t}.png" for t in range(4)])
    for image in (tmp_path / "set/labels/clip").glob("*.png"):
        image.unlink()
    assert read(tmp_path / "set/labels")[0].videos[0].images == (None,) * 4
    images, _ = read(tmp_path / "set/labels", images=tmp_path / "set/frames")
    assert None not in images.videos[0].images


def test_annotations_with_boxes_alone_are_named(tmp_path: Path) -> None:
    exports.cocovid(tmp_path)
    path = tmp_path / "annotations/train.json"
    document = json.loads(path.read_text())
    for record in document["annotations"]:
        del record["segmentation"]
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match="7 annotations are boxes without masks"):
        read(tmp_path)


def test_coco_objects_without_a_track_id_get_free_ones(tmp_path: Path) -> None:
    exports.cvat_coco(tmp_path)
    path = tmp_path / "annotations/instances_default.json"
    document = json.loads(path.read_text())
    del document["annotations"][0]["attributes"]["track_id"]
    path.write_text(json.dumps(document))
    (video,) = read(tmp_path)[0].videos
    assert sorted(track.id for track in video.tracks) == [3, 8, 9]
    for record in document["annotations"]:
        record["attributes"].pop("track_id", None)
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match=r'no annotation has a "track_id".*--from coco reads single images'):
        read(tmp_path, "coco-tracks")


def test_labelme_objects_without_a_group_must_be_told_apart(tmp_path: Path) -> None:
    exports.labelme(tmp_path, has_group=False)
    path = tmp_path / "clip/0.json"
    document = json.loads(path.read_text())
    document["shapes"].append(document["shapes"][0])
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"0\.json: shape at position 0: 2 shapes 'dog' have no group_id"):
        read(tmp_path)


def test_class_lists_name_what_the_numbers_mean(tmp_path: Path) -> None:
    exports.cvat_mots(tmp_path)
    annotations, _ = read(tmp_path)
    assert {category.id: category.name for category in annotations.categories} == dict(enumerate(CLASSES, start=1))


def test_a_youtube_vis_video_of_no_size_has_that_of_its_masks(tmp_path: Path) -> None:
    exports.lv_vis(tmp_path)
    path = tmp_path / "train_instances.json"
    document = json.loads(path.read_text())
    document["videos"][0].update(width=-1, height=-1)
    path.write_text(json.dumps(document))
    check_scene(read(tmp_path)[0], "lv-vis")
    document["annotations"] = []
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match="size -1x-1"):
        read(tmp_path)


def test_of_several_files_that_of_the_split_is_read(tmp_path: Path) -> None:
    exports.cocovid(tmp_path)
    (tmp_path / "annotations/valid.json").write_text("{}")
    check_scene(read(tmp_path)[0], "cocovid")
    with pytest.raises(DataError, match=r"valid\.json: not a COCO file"):
        read(tmp_path, "coco-tracks", split="valid")
    with pytest.raises(UsageError, match=r"name the annotation file itself; found train\.json, valid\.json"):
        read(tmp_path, "coco-tracks", split="test")


def test_a_format_that_was_named_wrongly_is_told(tmp_path: Path) -> None:
    exports.cocovid(tmp_path)
    with pytest.raises(DataError, match=r"not a BURST file; .* \(it looks like coco-tracks: leave --from out\)"):
        read(tmp_path, "burst")


def test_videos_read_as_images_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    exports.cvat_coco(tmp_path)
    assert len(FORMATS["coco"].read(tmp_path, ReadOptions()).videos) == exports.FRAMES
    assert "holds videos, read here as single images; --from coco-tracks keeps them" in caplog.text


@pytest.mark.parametrize("mode", ["I;16", "LA", "RGB", "RGBA"])
def test_masks_of_davis_may_be_saved_in_any_depth(tmp_path: Path, mode: str) -> None:
    exports.davis(tmp_path / "set")
    for path in (tmp_path / "set/Annotations/480p/clip").iterdir():
        values = np.asarray(Image.open(path)).astype(np.uint8)
        image = Image.fromarray(values.astype(np.uint16)) if mode == "I;16" else Image.fromarray(values).convert(mode)
        image.save(path)
    assert recognise(tmp_path / "set", "train") == "davis"
    (video,) = FORMATS["davis"].read(tmp_path / "set", ReadOptions()).videos
    assert [track.id for track in video.tracks] == [3, 8]


def test_masks_saved_as_jpeg_are_named(tmp_path: Path) -> None:
    exports.davis(tmp_path / "set")
    for path in (tmp_path / "set/Annotations").rglob("*.png"):
        Image.open(path).convert("RGB").save(path.with_suffix(".jpg"))
        path.unlink()
    with pytest.raises(DataError, match="masks saved as JPEG, which changes their values"):
        recognise(tmp_path / "set", "train")


def test_frames_with_points_in_their_names_keep_their_numbers(tmp_path: Path) -> None:
    exports.labelme(tmp_path / "set")
    for t in range(exports.FRAMES):
        for ending in ("json", "png"):
            (tmp_path / f"set/clip/{t}.{ending}").rename(tmp_path / f"set/clip/clip.{t + 8}.{ending}")
    (video,) = FORMATS["labelme"].read(tmp_path / "set", ReadOptions()).videos
    assert video.frame_numbers == (8, 9, 10, 11)


def test_an_archive_is_known_by_its_content(tmp_path: Path) -> None:
    exports.labelme(tmp_path / "source")
    exports.zipped(tmp_path / "source", tmp_path / "export.json")
    with read_annotations(tmp_path / "export.json", None, ReadOptions(), wants_images=False) as (found, name):
        assert (name, len(found.videos)) == ("labelme", 1)
