"""One odd thing among many: what it costs by default, and what `--on-bad skip` and `stop` make of it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maskreel.cli.main import main
from tests.data.formats import exports
from tests.field.makers import cut

Build = Callable[[Path], None]


def edited(path: str, edit: Callable[[Any], object]) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        document = json.loads((root / path).read_text())
        edit(document)
        (root / path).write_text(json.dumps(document))

    return change


def replaced(path: str, old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        text = (root / path).read_text()
        assert old in text
        (root / path).write_text(text.replace(old, new, 1))

    return change


def cut_short(path: str) -> Callable[[Path], None]:
    return lambda root: cut(root / path, 0.6).replace(root / path) and None


def converted(to: str) -> Build:
    def build(root: Path) -> None:
        exports.lv_vis(root.with_name("source"))
        words = ["data", "convert", str(root.with_name("source")), str(root), "--to", to, "--allow-loss"]
        assert main(words) == 0

    return build


COCO = "annotations/instances_default.json"
BAD_RLE = {"size": [exports.HEIGHT, exports.WIDTH], "counts": "??"}
POINT = {"label": "tip", "points": [[3, 3]], "group_id": None, "shape_type": "point", "flags": {}}


def first_mask(mask: Any) -> Callable[[Path], None]:
    return edited(
        "train_instances.json", lambda document: document["annotations"][0]["segmentations"].__setitem__(0, mask)
    )


def labelme_points(root: Path) -> None:
    for t in range(exports.FRAMES):
        edited(f"clip/{t}.json", lambda document: document["shapes"].extend([POINT, POINT]))(root)


SHAPES: dict[str, tuple[Build, Callable[[Path], None], int, str]] = {
    "an image that is not listed": (
        exports.cvat_coco,
        edited(COCO, lambda document: document["annotations"][0].update(image_id=99)),
        6,
        r"annotation 1: \"image_id\" 99 is used but not listed",
    ),
    "a class that is not listed": (
        exports.cvat_coco,
        edited(COCO, lambda document: document["annotations"][0].update(category_id=99)),
        6,
        r"annotation 1: \"category_id\" 99 is used but not listed",
    ),
    "another class than the track's": (
        exports.cvat_coco,
        edited(COCO, lambda document: document["annotations"][2].update(category_id=1)),
        6,
        "annotation 3: track 3 has class 1 here and 2 elsewhere",
    ),
    "an odd mask of YouTube-VIS": (
        exports.lv_vis,
        first_mask(BAD_RLE),
        6,
        "video 1, annotation 3, frame 0: runs cover",
    ),
    "a polygon of two points in YouTube-VIS": (
        exports.lv_vis,
        first_mask([[4, 4, 20, 4]]),
        6,
        "video 1, annotation 3, frame 0: polygon 0 has 4 coordinates",
    ),
    "an odd mask of BURST": (
        converted("burst"),
        edited("train.json", lambda document: document["sequences"][0]["segmentations"][0]["3"].update(rle="??")),
        6,
        "frame 0, track 3: runs cover",
    ),
    "a line of MOTS of another size, the first": (
        converted("mots-txt"),
        replaced("instances_txt/clip.txt", " 48 80 ", " 48 81 "),
        6,
        r"line 1: mask size \[48, 81\] differs",
    ),
    "a line of MOTS that is cut": (
        converted("mots-txt"),
        replaced("instances_txt/clip.txt", "\n", "\n3 9 1 48\n"),
        7,
        "is '3 9 1 48'; expected FRAME ID CLASS HEIGHT WIDTH RLE",
    ),
    "a frame beyond the task": (
        exports.cvat_video,
        replaced("annotations.xml", 'frame="3"', 'frame="9"'),
        6,
        "track 0, frame 9: no frame of the task",
    ),
    "a label that the task does not have": (
        exports.cvat_video,
        replaced(
            "annotations.xml",
            "</annotations>",
            '<track id="7" label="zebra"><box frame="0" outside="0" xtl="1" ytl="1" xbr="9" ybr="9"/></track>'
            "</annotations>",
        ),
        7,
        "track 7: label 'zebra' is not among the labels",
    ),
    "a track of points": (
        exports.cvat_video,
        replaced(
            "annotations.xml",
            "</annotations>",
            '<track id="7" label="dog"><points frame="0" outside="0" points="1,1;2,2"/></track></annotations>',
        ),
        7,
        "track 7, frame 0: a points has no mask",
    ),
    "points without groups in LabelMe": (exports.labelme, labelme_points, 7, "a point has no mask"),
    "another label than the group's": (
        exports.labelme,
        edited("clip/1.json", lambda document: document["shapes"][0].update(label="cat")),
        6,
        "group_id 3 is 'cat' here and 'dog' elsewhere",
    ),
    "a label of Datumaro that is not listed": (
        exports.datumaro,
        edited("annotations/default.json", lambda document: document["items"][0]["annotations"][0].update(label_id=7)),
        6,
        "label_id 7 is none of the 2 labels",
    ),
    "a segment of an unknown class": (
        exports.vipseg_converted,
        edited(
            "panoptic_gt_VIPSeg_train.json",
            lambda document: document["annotations"][0]["annotations"][1]["segments_info"][1].update(category_id=999),
        ),
        6,
        "category_id 999 is not among the categories",
    ),
}  # fmt: skip


def convert(root: Path, *words: str) -> int:
    return main(["data", "convert", str(root / "set"), str(root / "new"), *words])


def masks(folder: Path) -> int:
    tracks = json.loads((folder / "train.json").read_text())["annotations"]
    found = [sum(mask is not None for mask in track["segmentations"]) for track in tracks]
    assert 0 not in found, "a track without a mask"
    return sum(found)


@pytest.mark.parametrize("kind", SHAPES)
def test_an_odd_shape_is_left_out_and_named(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build, damage, left, reason = SHAPES[kind]
    build(tmp_path / "set")
    damage(tmp_path / "set")
    assert convert(tmp_path) == 0, capsys.readouterr().err
    said = capsys.readouterr().err
    assert re.search(rf"maskreel: warning: .*{reason}.*; left out", said)
    assert masks(tmp_path / "new") == left
    listed = json.loads((tmp_path / "new" / "left_out.train.json").read_text())
    assert re.search(reason.partition(": ")[2] or reason, listed["left_out"][0]["reason"])
    assert convert(tmp_path, "--on-bad", "stop") == 1
    assert re.search(reason, capsys.readouterr().err)


FILES: dict[str, tuple[Build, str]] = {
    "a mask of DAVIS": (exports.davis, "Annotations/480p/clip/00001.png"),
    "a file of LabelMe": (exports.labelme, "clip/1.json"),
    "a mask of a MOTS export": (exports.cvat_mots, "default/instances/frame_000001.png"),
    "a mask of VIPSeg": (exports.vipseg, "panomasks/12_clip/00000001.png"),
    "a coloured mask of a panoptic set": (exports.vipseg_converted, "panomasksRGB/12_clip/00000001.png"),
    "a picture of DAVIS": (exports.davis, "JPEGImages/480p/clip/00001.jpg"),
    "a picture of a YouTube-VIS set": (exports.lv_vis, "train/JPEGImages/clip/00001.jpg"),
    "a picture of a YOLO set": (exports.yolo, "images/2.jpg"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_of_a_frame_that_cannot_be_read_stops_or_takes_its_frame_along(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build, name = FILES[kind]
    build(tmp_path / "set")
    cut_short(name)(tmp_path / "set")
    assert convert(tmp_path) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path / 'set' / name}: " in said
    assert "; --on-bad skip leaves it out" in said
    assert not (tmp_path / "new").exists()
    assert convert(tmp_path, "--on-bad", "skip") == 0
    (video,) = json.loads((tmp_path / "new" / "train.json").read_text())["videos"]
    assert len(video["file_names"]) == exports.FRAMES - 1
    assert masks(tmp_path / "new") == 5
    (omission,) = json.loads((tmp_path / "new" / "left_out.train.json").read_text())["left_out"]
    assert omission["file"] == str(tmp_path / "set" / name)
    assert main(["data", "check", str(tmp_path / "new")]) == 0


def test_one_of_several_files_of_cvat_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        exports.cvat_video(tmp_path / "set" / name)
    cut_short("b/annotations.xml")(tmp_path / "set")
    assert convert(tmp_path) == 1
    assert "--on-bad skip leaves it out" in capsys.readouterr().err
    assert convert(tmp_path, "--on-bad", "skip") == 0
    assert masks(tmp_path / "new") == 7


def test_the_only_file_is_not_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exports.cvat_video(tmp_path / "set")
    cut_short("annotations.xml")(tmp_path / "set")
    assert convert(tmp_path, "--on-bad", "skip") == 1
    assert "not an XML file" in capsys.readouterr().err


def test_a_picture_that_is_not_there_is_left_out_where_that_is_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exports.davis(tmp_path / "set")
    (tmp_path / "set/JPEGImages/480p/clip/00001.jpg").unlink()
    assert convert(tmp_path) == 2
    assert "--frames none" in capsys.readouterr().err
    assert convert(tmp_path, "--on-bad", "skip") == 0
    assert masks(tmp_path / "new") == 5


def test_shapes_none_of_which_can_be_used_are_not_odd_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exports.cvat_coco(tmp_path / "set")
    edited(COCO, lambda document: [one.update(image_id=99) for one in document["annotations"]])(tmp_path / "set")
    assert convert(tmp_path) == 1
    assert 'none of its 7 shapes can be used, the first: annotation 1: "image_id" 99' in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_annotations_of_two_files_put_together_share_ids_and_all_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exports.cvat_coco(tmp_path / "set")
    edited(COCO, lambda document: [one.update(id=1) for one in document["annotations"]])(tmp_path / "set")
    assert convert(tmp_path) == 0
    assert "6 annotations without an id of their own; they are numbered anew" in capsys.readouterr().err
    assert masks(tmp_path / "new") == 7


def test_groups_of_labelme_may_be_words(tmp_path: Path) -> None:
    exports.labelme(tmp_path / "set")
    for t in range(exports.FRAMES):
        edited(
            f"clip/{t}.json",
            lambda document: [one.update(group_id=f"cow {one['group_id']}") for one in document["shapes"]],
        )(tmp_path / "set")
    assert convert(tmp_path) == 0
    assert masks(tmp_path / "new") == 7
    assert len(json.loads((tmp_path / "new" / "train.json").read_text())["annotations"]) == 2
