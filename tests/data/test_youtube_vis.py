"""The reader against the files that it reads, and against every fault that a file can have."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco

from maskreel.data.tracks import Category
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.errors import DataError, UsageError
from maskreel.geometry import rle
from tests.builders import OBJECT_COLOUR, shared_path, write_youtube_vis


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_youtube_vis(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_youtube_vis(tmp_path_factory.mktemp("document"))


def test_categories_are_sorted_by_id_and_labels_are_positions(root):
    dataset = YouTubeVIS.load(root, "train")
    assert dataset.categories == (Category(id=3, name="line"), Category(id=7, name="block"))
    assert [track.label for track in dataset.tracks(0)] == [1, 0]


def test_videos_keep_ids_sizes_and_order(root):
    dataset = YouTubeVIS.load(root, "train")
    assert [(video.id, video.height, video.width, video.length) for video in dataset.videos] == [
        (11, 24, 40, 6),
        (12, 24, 40, 6),
    ]
    assert dataset.frame_path(1, 4) == root / "train/JPEGImages/video1/00004.png"
    assert dataset.has_annotations


def test_frames_are_decoded_in_the_order_asked_for(root):
    frames = YouTubeVIS.load(root, "train").decode_frames(1, [5, 0, 5, 2])
    assert frames.dtype == torch.uint8
    assert frames.shape == (4, 3, 24, 40)
    assert frames[:, :, 0, 0].tolist() == [[20 + t] * 3 for t in (5, 0, 5, 2)]


def test_masks_cover_the_objects_of_their_frames(root):
    dataset = YouTubeVIS.load(root, "train")
    frame_index = [0, 2, 3, 5, 5]
    frames, target = dataset.decode_frames(0, frame_index), dataset.clip_target(0, frame_index)
    is_object = (frames == torch.tensor(OBJECT_COLOUR)[:, None, None]).all(dim=1)
    assert torch.equal(target.masks.any(dim=0), is_object)
    assert target.is_visible.tolist() == [[True] * 5, [True, True, False, False, False]]
    assert target.labels.tolist() == [1, 0]
    assert target.track_id.tolist() == [1, 2]


def test_masks_come_in_the_order_of_the_frames_asked_for(root):
    dataset = YouTubeVIS.load(root, "train")
    target = dataset.clip_target(0, [5, 0, 5, 2])
    for place, frame in enumerate([5, 0, 5, 2]):
        alone = dataset.clip_target(0, [frame])
        assert torch.equal(target.masks[:, place], alone.masks[:, 0])
        assert torch.equal(target.boxes[:, place], alone.boxes[:, 0])


def test_boxes_are_drawn_around_the_masks_and_zero_where_an_object_is_absent(root):
    target = YouTubeVIS.load(root, "train").clip_target(0, [0, 5])
    line, absent = target.boxes[1]
    torch.testing.assert_close(line, torch.tensor([35.5 / 40, 18 / 24, 1 / 40, 8 / 24]))
    assert absent.tolist() == [0, 0, 0, 0]


def test_crowds_are_tracks_but_no_targets(tmp_path, document):
    changed = copy.deepcopy(document)
    changed["annotations"][0]["iscrowd"] = 1
    dataset = rewritten(tmp_path, changed)
    assert [track.is_crowd for track in dataset.tracks(0)] == [True, False]
    assert dataset.clip_target(0, [0]).track_id.tolist() == [2]


def test_a_video_without_objects_has_an_empty_target(tmp_path, document):
    dataset = rewritten(tmp_path, {**document, "annotations": []})
    target = dataset.clip_target(0, [1, 2])
    assert dataset.has_annotations
    assert target.masks.shape == (0, 2, 24, 40)
    assert target.boxes.shape == (0, 2, 4)


def test_null_annotations_mean_that_the_truth_is_unknown(tmp_path, document):
    dataset = rewritten(tmp_path, {**document, "annotations": None})
    assert not dataset.has_annotations
    assert dataset.tracks(1) == []
    assert dataset.decode_frames(0, [0]).shape == (1, 3, 24, 40)


def test_dials_of_a_video_are_kept(tmp_path, document):
    changed = copy.deepcopy(document)
    changed["videos"][1]["dials"] = ["occlusion", "look-alike"]
    assert [video.dials for video in rewritten(tmp_path, changed).videos] == [(), ("occlusion", "look-alike")]


def test_a_missing_length_is_the_number_of_files(tmp_path, document):
    changed = copy.deepcopy(document)
    del changed["videos"][0]["length"]
    assert rewritten(tmp_path, changed).videos[0].length == 6


def test_the_fingerprint_counts_and_follows_the_file(tmp_path, document):
    first = rewritten(tmp_path, document).fingerprint()
    assert (first.num_videos, first.num_frames, first.num_tracks, first.num_masks) == (2, 12, 4, 18)
    assert first.categories == ("line", "block")
    changed = copy.deepcopy(document)
    changed["videos"][0]["dials"] = ["blur"]
    assert rewritten(tmp_path, changed).fingerprint().sha256 != first.sha256


@pytest.mark.parametrize(
    ("annotations", "frames"),
    [
        ("train.json", "train/JPEGImages"),  # YouTube-VIS 2019 as downloaded
        ("train/instances.json", "train/JPEGImages"),  # 2021 and 2022 as downloaded
        ("train/instance.json", "train/JPEGImages"),
        ("train/train.json", "train/JPEGImages"),
        ("annotations_train.json", "train"),  # OVIS as downloaded
        ("annotations_train.json", "Images/train"),
        ("annotations/annotations_train.json", "train"),
        ("annotations/train.json", "train/JPEGImages"),
        ("annotations/instances_train.json", "JPEGImages"),
        ("annotations/instances_train_sub.json", "train/JPEGImages"),
        ("instances_train_sub.json", "train/JPEGImages"),
        ("instances_train.json", "train_all_frames/JPEGImages"),
        ("train.json", "all/JPEGImages"),
    ],
)
def test_every_layout_is_found(tmp_path, annotations, frames):
    write_youtube_vis(tmp_path / "written")
    root = tmp_path / "data"
    for source, target in (("train.json", annotations), ("train/JPEGImages", frames)):
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        if (root / target).is_dir():
            for video in (tmp_path / "written" / source).iterdir():
                shutil.move(video, root / target)
        else:
            shutil.move(tmp_path / "written" / source, root / target)
    assert YouTubeVIS.load(root, "train").decode_frames(0, [1])[0, 0, 0, 0] == 1
    with pytest.raises(UsageError, match=r"Splits found: train\."):
        YouTubeVIS.load(root, "test")


def test_frames_are_taken_from_the_folder_that_has_them(root):
    (root / "JPEGImages").mkdir()
    shutil.move(root / "train/JPEGImages", root / "valid/JPEGImages")
    (root / "train/JPEGImages").mkdir()
    assert YouTubeVIS.load(root, "train").frames_folder == root / "valid/JPEGImages"


def test_a_split_of_the_same_frames_finds_them_in_the_other_splits_folder(root):
    shutil.copy(root / "train.json", root / "half.json")
    assert YouTubeVIS.load(root, "half").frames_folder == root / "train/JPEGImages"


def test_a_missing_root_is_named():
    with pytest.raises(UsageError, match=r"nowhere: no such folder; --data\.root"):
        YouTubeVIS.load(Path("nowhere"), "train")


@pytest.mark.parametrize("split", ["test", "../train", "", "/etc/passwd"])
def test_a_missing_split_is_answered_with_what_was_looked_for_and_what_there_is(root, split):
    (root / "annotations").mkdir()
    (root / "annotations/instances_extra.json").write_text("{}")
    with pytest.raises(UsageError, match=r"annotations/instances_.*Splits found: extra, train\."):
        YouTubeVIS.load(root, split)


def test_missing_frame_folders_are_named(root):
    shutil.rmtree(root / "train")
    with pytest.raises(UsageError, match=r"looked in train/JPEGImages, JPEGImages, .* each for video0/00000\.png"):
        YouTubeVIS.load(root, "train")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"{", b"[" * 100_000, b'{"videos": [' + b"1" * 5000 + b"]}"])
def test_a_file_that_is_not_json_is_refused(root, content):
    (root / "train.json").write_bytes(content)
    with pytest.raises(DataError, match=r"train\.json: not a JSON file"):
        YouTubeVIS.load(root, "train")


@pytest.mark.parametrize(
    ("content", "what"),
    [("[]", "something else"), ("3", "something else"), ('{"images": [], "annotations": []}', "COCO images")],
)
def test_json_of_another_kind_is_refused(root, content, what):
    (root / "train.json").write_text(content)
    with pytest.raises(DataError, match=rf"train\.json: not a YouTube-VIS file but {what}"):
        YouTubeVIS.load(root, "train")


def rewritten(root: Path, document: Any) -> YouTubeVIS:
    write_youtube_vis(root)
    (root / "train.json").write_text(json.dumps(document))
    return YouTubeVIS.load(root, "train")


def put(*path: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    """A change to a document: the place, and what is put there."""

    def change(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return change


def drop(*path: str | int) -> Callable[[dict[str, Any]], None]:
    def change(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        del document[path[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("categories"), r'"categories" is missing; expected a list'),
        (drop("annotations"), r'"annotations" is missing; expected a list'),
        (put("videos", value={"1": 2}), r"\"videos\" is {'1': 2}; expected a list"),
        (put("videos", 1, value=[3]), r"video at position 1 is \[3\]; expected an object"),
        (put("categories", value=[]), r'"categories" is empty'),
        (drop("categories", 1, "id"), r'category at position 1: "id" is missing'),
        (drop("categories", 1, "name"), r'category 3: "name" is missing'),
        (put("categories", 1, "id", value=7), "category 7 stands twice"),
        (drop("videos", 0, "id"), r'video at position 0: "id" is missing'),
        (put("videos", 0, "id", value=True), r'video at position 0: "id" is True; expected a whole number'),
        (put("videos", 0, "id", value="v11"), r"video at position 0: \"id\" is 'v11'; expected a whole number"),
        (put("videos", 0, "id", value=12), "video 12 stands twice"),
        (drop("videos", 0, "file_names"), r'video 11: "file_names" is missing'),
        (put("videos", 0, "length", value=5), r'video 11: 6 "file_names" but "length" 5'),
        (put("videos", 0, "file_names", value=[]), r'video 11: 0 "file_names" but "length" 6'),
        (drop("videos", 0, "width"), r'video 11: "width" is missing'),
        (put("videos", 0, "height", value=0), "video 11: size 40x0"),
        (put("videos", 0, "width", value=10**12), "video 11: size 1000000000000x24"),
        (put("videos", 0, "dials", value="fast"), r"video 11: \"dials\" is 'fast'; expected a list"),
        (drop("annotations", 2, "id"), r'annotation at position 2: "id" is missing'),
        (put("annotations", 2, "id", value=1), "annotation 1 stands twice"),
        (drop("annotations", 2, "video_id"), r'annotation 3: "video_id" is missing'),
        (put("annotations", 2, "video_id", value=99), r'annotation 3: "video_id" 99 is not among the 2 videos'),
        (drop("annotations", 2, "category_id"), r'video 12, annotation 3: "category_id" is missing'),
        (put("annotations", 2, "category_id", value=1), r'annotation 3: "category_id" 1 is not .* \(3, 7\)'),
        (put("annotations", 2, "iscrowd", value=2), r'annotation 3: "iscrowd" is 2; expected 0 or 1'),
        (drop("annotations", 2, "segmentations"), r'annotation 3: "segmentations" is missing'),
        (put("annotations", 2, "segmentations", value=None), r'annotation 3: "segmentations" is None'),
        (drop("annotations", 2, "segmentations", 0), r'annotation 3: 5 "segmentations" for 6 frames'),
        (drop("annotations", 2, "bboxes", 0), r'annotation 3: 5 "bboxes" for 6 frames'),
        (put("annotations", 2, "areas", value=[1]), r'annotation 3: 1 "areas" for 6 frames'),
        (put("annotations", 2, "segmentations", 4, value="abc"), r"annotation 3, frame 4: mask is 'abc'"),
    ],
)
def test_a_fault_in_the_file_is_named_with_its_place(tmp_path, document, change, message):
    changed = copy.deepcopy(document)
    change(changed)
    with pytest.raises(DataError, match=rf"train\.json: .*{message}") as caught:
        rewritten(tmp_path, changed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "a/../../secret.png",
        "/etc/passwd",
        "..",
        "C:\\secret.png",
        "a\\..\\..\\b",
        "",
        "a\0b",
        "\ud800",
        3,
    ],
)
def test_file_names_that_leave_the_root_are_refused(tmp_path, document, name):
    changed = copy.deepcopy(document)
    changed["videos"][1]["file_names"][2] = name
    with pytest.raises(DataError, match=r"train\.json: video 12: file name .* leaves the folder of frames"):
        rewritten(tmp_path, changed)


def test_file_names_with_dots_inside_are_fine(tmp_path, document):
    changed = copy.deepcopy(document)
    changed["videos"][0]["file_names"][0] = "./video..0/a..b.png"
    assert rewritten(tmp_path, changed).videos[0].file_names[0] == "./video..0/a..b.png"


def test_a_link_out_of_the_data_set_is_refused(root, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "frame.png"
    shutil.copy(root / "train/JPEGImages/video0/00002.png", outside)
    frame = root / "train/JPEGImages/video0/00002.png"
    frame.unlink()
    frame.symlink_to(outside)
    with pytest.raises(DataError, match=r"video 11: frame 2 \(.*00002\.png\) is a link out of the data set"):
        YouTubeVIS.load(root, "train").decode_frames(0, [1, 2])


def test_a_link_to_the_folder_of_frames_is_followed(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "frames"
    shutil.move(root / "train/JPEGImages", elsewhere)
    (root / "train/JPEGImages").symlink_to(elsewhere, target_is_directory=True)
    assert YouTubeVIS.load(root, "train").decode_frames(0, [3])[0, 0, 0, 0] == 3


def test_links_in_a_circle_are_an_error(root):
    frame = root / "train/JPEGImages/video0/00002.png"
    frame.unlink()
    frame.symlink_to(frame)
    with pytest.raises(DataError, match=r"00002\.png: frame 2 of video 11 cannot be decoded"):
        YouTubeVIS.load(root, "train").decode_frames(0, [2])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"size": [24, 41], "counts": "abc"}, r"mask size \[24, 41\] differs"),
        ({"size": [40, 24], "counts": "abc"}, "rows and columns look swapped"),
        ({"size": [24, 40], "counts": [5, 10]}, "15"),
        ({"size": [24, 40], "counts": [961]}, "961"),
        ({"size": [24, 40], "counts": ""}, "counts"),
        ({"size": [24, 40], "counts": "\u00e9"}, "ASCII"),
        ({"size": [24, 40]}, "counts"),
        ({"counts": "abc"}, "size"),
        ({"size": [10**6, 10**6], "counts": "abc"}, "size"),
    ],
)
def test_a_malformed_mask_is_named_when_it_is_decoded(tmp_path, document, value, message):
    changed = copy.deepcopy(document)
    changed["annotations"][3]["segmentations"][1] = value
    dataset = rewritten(tmp_path, changed)
    assert dataset.clip_target(1, [0, 2]).is_visible.all()
    with pytest.raises(DataError, match=rf"train\.json: video 12, annotation 4, frame 1: .*{message}"):
        dataset.clip_target(1, [0, 1])


def test_short_counts_are_named_when_they_are_decoded(tmp_path, document):
    changed = copy.deepcopy(document)
    segmentation = changed["annotations"][0]["segmentations"][3]
    short = coco.frPyObjects({"size": [24, 40], "counts": [100, 20, 100]}, 24, 40)
    segmentation["counts"] = short["counts"].decode()
    with pytest.raises(DataError, match=r"annotation 1, frame 3: .*220"):
        rewritten(tmp_path, changed).clip_target(0, [3])


def test_masks_may_be_polygons_or_lists_of_runs(tmp_path, document):
    changed = copy.deepcopy(document)
    changed["annotations"][0]["segmentations"][0] = [[4, 4, 12, 4, 12, 10, 4, 10]]
    changed["annotations"][0]["segmentations"][1] = {"size": [24, 40], "counts": [24, 24, 24 * 38]}
    masks = rewritten(tmp_path, changed).clip_target(0, [0, 1]).masks[0]
    assert masks[0].nonzero().aminmax(dim=0).min.tolist() == [4, 4]
    assert masks[1].nonzero()[:, 1].unique().tolist() == [1]


def test_a_missing_frame_is_named(root):
    (root / "train/JPEGImages/video1/00003.png").unlink()
    dataset = YouTubeVIS.load(root, "train")
    assert dataset.available_frames(1) == (0, 1, 2, 4, 5)
    with pytest.raises(DataError, match=r"video1/00003\.png: frame 3 of video 12 is missing.* skip"):
        dataset.decode_frames(1, [2, 3])


@pytest.mark.parametrize("content", [b"", b"not an image", None])
def test_a_damaged_frame_is_named(root, content):
    path = root / "train/JPEGImages/video0/00001.png"
    path.write_bytes(path.read_bytes()[:60] if content is None else content)
    with pytest.raises(DataError, match=r"00001\.png: frame 1 of video 11 cannot be decoded"):
        YouTubeVIS.load(root, "train").decode_frames(0, [1])


def test_a_frame_of_another_size_is_refused(root):
    Image.new("RGB", (41, 24)).save(root / "train/JPEGImages/video0/00001.png")
    with pytest.raises(DataError, match=r"00001\.png: frame 1 of video 11 has 41x24 pixels .* states 40x24"):
        YouTubeVIS.load(root, "train").decode_frames(0, [1])


@pytest.mark.parametrize("mode", ["L", "P", "RGBA"])
def test_frames_of_other_colour_modes_become_rgb(root, mode):
    Image.new("RGB", (40, 24), (51, 51, 51)).convert(mode).save(root / "train/JPEGImages/video0/00001.png")
    assert YouTubeVIS.load(root, "train").decode_frames(0, [1])[0, :, 5, 5].tolist() == [51, 51, 51]


@pytest.mark.parametrize(
    ("split", "num_videos", "num_frames", "num_masks"),
    [pytest.param("train", 21, 365, 543, marks=pytest.mark.slow), ("valid", 6, 86, 105)],
)
def test_every_frame_and_mask_of_real_video_is_read(split, num_videos, num_frames, num_masks):
    dataset = YouTubeVIS.load(shared_path("data/realvis"), split)
    fingerprint = dataset.fingerprint()
    assert (fingerprint.num_videos, fingerprint.num_frames, fingerprint.num_masks) == (
        num_videos,
        num_frames,
        num_masks,
    )
    visible = 0
    for video_index, video in enumerate(dataset.videos):
        target = dataset.clip_target(video_index, range(video.length))
        visible += int(target.is_visible.sum())
        for n, track in enumerate(dataset.tracks(video_index)):
            expected = [0 if area is None else area for area in track.areas or []]
            assert target.masks[n].flatten(1).sum(dim=1).tolist() == expected
        assert dataset.decode_frames(video_index, [0, video.length - 1]).shape[1:] == (3, video.height, video.width)
    assert visible == num_masks


def test_masks_of_real_video_equal_those_of_pycocotools():
    dataset = YouTubeVIS.load(shared_path("data/realvis"), "valid")
    for video_index in range(len(dataset.videos)):
        target = dataset.clip_target(video_index, [0, 1, 2])
        for n, track in enumerate(dataset.tracks(video_index)):
            for t, segmentation in enumerate(track.segmentations[:3]):
                if segmentation is not None:
                    assert np.array_equal(target.masks[n, t].numpy(), coco.decode(segmentation).astype(bool))


def test_the_public_form_without_truth_is_read():
    dataset = YouTubeVIS.load(shared_path("data/realvis"), "valid_no_gt")
    assert not dataset.has_annotations
    assert dataset.decode_frames(0, [0]).shape[0] == 1


@pytest.mark.slow
def test_a_file_of_a_hundred_megabytes_is_read_without_decoding_a_mask(tmp_path, document):
    """Masks stay as the file has them: the load visits each entry once, and a broken mask is not noticed."""
    noise = np.random.default_rng(0).random((60, 100)) < 0.5
    segmentation = {"size": [24, 40], "counts": rle.encode(noise).counts.decode()}
    changed = copy.deepcopy(document)
    track = changed["annotations"][0]
    num_tracks = 100_000_000 // (len(track["segmentations"]) * len(json.dumps(segmentation)))
    track.update(segmentations=[segmentation] * 6, bboxes=None, areas=None)
    changed["annotations"] = [{**track, "id": place} for place in range(num_tracks)]
    dataset = rewritten(tmp_path, changed)
    assert (tmp_path / "train.json").stat().st_size > 100_000_000
    assert dataset.fingerprint().num_masks == 6 * num_tracks
    with pytest.raises(DataError, match="frame 0: "):
        dataset.clip_target(0, [0])
