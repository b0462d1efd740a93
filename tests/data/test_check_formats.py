"""Faults planted into a sound data set of every format are found, and clean sets of many makes have none."""

import json
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskreel.data.check.other_formats import check_format
from maskreel.data.check.splits import CheckedSplit, check_dataset
from maskreel.data.formats.annotations import ReadOptions
from maskreel.data.formats.catalog import FORMATS, FormatName
from maskreel.data.formats.convert import convert
from maskreel.data.joint import load_sets
from maskreel.geometry import rle
from maskreel.training.run_data import check_objects
from tests.builders import write_youtube_vis

OTHERS = [name for name, one in FORMATS.items() if one.write is not None and name != "youtube-vis"]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[FormatName, Path]:
    """A sound set of two videos, each of 12 frames, in every format."""
    root = tmp_path_factory.mktemp("sets")
    document = write_youtube_vis(root / "own", num_frames=12)
    ids = {7: 1, 3: 2}
    for record in (*document["categories"], *document["annotations"]):
        key = "category_id" if "category_id" in record else "id"
        record[key] = ids[record[key]]
    (root / "own/train.json").write_text(json.dumps(document))
    for name in OTHERS:
        convert(
            root / "own", root / name, read_as="youtube-vis", write_as=name, options=ReadOptions(), is_loss_allowed=True
        )
    return {name: root / name for name in OTHERS}


def checked(root: Path, name: FormatName) -> CheckedSplit:
    return check_format(root, name, ReadOptions())


def kinds(split: CheckedSplit) -> set[str]:
    return {problem.kind for problem in split.problems}


def images_of(root: Path) -> list[Path]:
    """Of the first video; masks are no images."""
    found = sorted(path for path in root.rglob("*.png") if not {"Annotations", "instances"} & set(path.parts))
    return [path for path in found if path.parent == found[0].parent]


def masks_of(root: Path) -> list[Path]:
    found = sorted(path for path in root.rglob("*.png") if {"Annotations", "instances"} & set(path.parts))
    return [path for path in found if path.parent == found[0].parent]


def text_of(root: Path) -> Path:
    """The main file of annotations, or the first of several."""
    return next(
        path
        for path in sorted(root.rglob("*"))
        if path.suffix in (".json", ".xml", ".txt")
        and path.name not in ("labels.txt", "seqmap.txt")
        and "ImageSets" not in path.parts
    )


# Faults of the images, the same in every format


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:70])


def postscript(path: Path) -> None:
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")


def lying(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(path).save(path, exif=exif)


IMAGE_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut short": (cut, "frame-unreadable"),
    "empty": (lambda path: path.write_bytes(b""), "frame-unreadable"),
    "PostScript": (postscript, "frame-unreadable"),
    "text": (lambda path: path.write_text("<html>"), "frame-unreadable"),
    "another size": (lambda path: Image.new("RGB", (9, 7)).save(path), "frame-size"),
    "on its side": (lying, "frame-size"),
    "gone": (lambda path: path.unlink(), "frame-missing"),
    "one more": (lambda path: shutil.copy(path, path.with_name("00099.png")), "frame-unlisted"),
}


@pytest.mark.parametrize("fault", IMAGE_FAULTS)
@pytest.mark.parametrize("name", OTHERS)
def test_a_fault_of_an_image_is_found_in_every_format(
    sets: dict[FormatName, Path], tmp_path: Path, name: FormatName, fault: str
) -> None:
    plant, kind = IMAGE_FAULTS[fault]
    root = tmp_path / "set"
    shutil.copytree(sets[name], root)
    plant(images_of(root)[3])
    found = checked(root, name)
    if fault in ("gone", "one more") and name in ("labelme", "mots-txt"):
        # There every image is a frame: one more is one without objects.
        kind = "frame-gap" if fault == "one more" else kind
    assert kinds(found) & {kind, "content"}, found.problems


# Faults of the annotations


def replaced(before: str, after: str, count: int = 1) -> Callable[[Path], None]:
    def plant(root: Path) -> None:
        path = text_of(root)
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after, count))

    return plant


def edited(change: Callable[[Any], object]) -> Callable[[Path], None]:
    def plant(root: Path) -> None:
        path = text_of(root)
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return plant


def mask_file(values: Callable[[np.ndarray], np.ndarray], number: int = 3) -> Callable[[Path], None]:
    def plant(root: Path) -> None:
        path = masks_of(root)[number]
        Image.fromarray(values(np.asarray(Image.open(path)))).save(path)

    return plant


def every_mask(values: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def plant(root: Path) -> None:
        for path in root.rglob("*.png"):
            if {"Annotations", "instances"} & set(path.parts):
                Image.fromarray(values(np.asarray(Image.open(path)))).save(path)

    return plant


def without_frame_5(root: Path) -> None:
    tree = ET.parse(text_of(root))
    for track in tree.iterfind("track"):
        for shape in [shape for shape in track if shape.get("frame") == "5"]:
            track.remove(shape)
    tree.write(text_of(root))


def swapped_names(images: list[dict[str, Any]]) -> None:
    images[2]["file_name"], images[3]["file_name"] = images[3]["file_name"], images[2]["file_name"]


FAULTS: dict[FormatName, dict[str, tuple[Callable[[Path], object], str]]] = {
    "coco-tracks": {
        "cut short": (lambda r: cut(text_of(r)), "content"),
        "unknown class": (edited(lambda d: d["annotations"][0].update(category_id=99)), "content"),
        "unknown image": (edited(lambda d: d["annotations"][0].update(image_id=999)), "content"),
        "image of an unknown video": (edited(lambda d: d["images"][0].update(video_id=99)), "content"),
        "a class that changes": (edited(lambda d: d["annotations"][0].update(category_id=2)), "content"),
        "crowd mark": (edited(lambda d: d["annotations"][0].update(iscrowd=7)), "content"),
        "mask of another size": (edited(lambda d: d["annotations"][0]["segmentation"].update(size=[9, 9])), "content"),
        "mask cut short": (edited(lambda d: d["annotations"][0]["segmentation"].update(counts="5")), "content"),
        "polygon of two points": (edited(lambda d: d["annotations"][0].update(segmentation=[[1, 1, 5, 5]])), "content"),
        "two masks": (edited(lambda d: d["annotations"].append({**d["annotations"][0], "id": 900})), "content"),
        "id twice": (edited(lambda d: d["annotations"].append(d["annotations"][0])), "content"),
        "names against their numbers": (edited(lambda d: swapped_names(d["images"])), "frame-order"),
        "a name out of the folder": (edited(lambda d: d["images"][0].update(file_name="../../a.png")), "content"),
        "no object": (edited(lambda d: d.update(annotations=[], tracks=[])), "no-objects"),
        "all crowds": (edited(lambda d: [one.update(iscrowd=1) for one in d["annotations"]]), "no-objects"),
        "a class that nobody has": (
            edited(lambda d: d["categories"].append({"id": 9, "name": "far"})),
            "category-unused",
        ),
        "an empty track": (
            edited(lambda d: d["tracks"].append({"id": 77, "video_id": 11, "category_id": 1})),
            "track-empty",
        ),
    },
    "mots-txt": {
        "a line too short": (replaced("0 1 ", "0 "), "content"),
        "no number": (replaced("0 1 ", "x 1 "), "content"),
        "a mask cut short": (lambda r: text_of(r).write_text(text_of(r).read_text()[:-3]), "content"),
        "a frame without an image": (replaced("0 1 ", "40 1 "), "content"),
        "no lines": (lambda r: [path.write_text("") for path in r.rglob("video*.txt")], "no-objects"),
        "not text": (lambda r: text_of(r).write_bytes(b"\xff\xfe\x00"), "content"),
    },
    "mots-png": {
        "cut short": (lambda r: cut(masks_of(r)[3]), "content"),
        "PostScript": (lambda r: postscript(masks_of(r)[3]), "content"),
        "a mask gone": (lambda r: masks_of(r)[3].unlink(), "frame-hole"),
        "another size": (mask_file(lambda values: values[:5]), "content"),
        "8 bits": (mask_file(lambda values: values.astype(np.uint8)), "content"),
        "no object": (every_mask(np.zeros_like), "no-objects"),
        "all to be ignored": (every_mask(lambda values: (values > 0).astype(np.uint16) * 10000), "no-objects"),
    },
    "davis": {
        "cut short": (lambda r: cut(masks_of(r)[3]), "content"),
        "PostScript": (lambda r: postscript(masks_of(r)[3]), "content"),
        "a mask gone": (lambda r: masks_of(r)[3].unlink(), "frame-hole"),
        "another size": (mask_file(lambda values: values[:5]), "content"),
        "strange colours": (mask_file(lambda v: np.stack([v * 3 + 1, v * 5, v], axis=-1).astype(np.uint8)), "content"),
        "soft edges": (
            every_mask(lambda v: (np.arange(v.size) * 3 % 256).astype(np.uint8).reshape(v.shape)),
            "content",
        ),
        "no object": (every_mask(np.zeros_like), "no-objects"),
        "a listed sequence gone": (lambda r: shutil.rmtree(masks_of(r)[0].parent), "content"),
        "names in two widths": (lambda r: masks_of(r)[3].rename(masks_of(r)[3].with_name("3.png")), "frame-missing"),
    },
    "burst": {
        "cut short": (lambda r: cut(text_of(r)), "content"),
        "unknown class": (edited(lambda d: d["sequences"][0]["track_category_ids"].update({"1": 99})), "content"),
        "unknown track": (
            edited(lambda d: d["sequences"][0]["segmentations"][0].update({"88": {"rle": "5"}})),
            "content",
        ),
        "unequal lists": (edited(lambda d: d["sequences"][0]["segmentations"].pop()), "content"),
        "mask cut short": (
            edited(lambda d: d["sequences"][0]["segmentations"][0].update({"1": {"rle": "5"}})),
            "content",
        ),
        "a name out of the folder": (edited(lambda d: d["sequences"][0].update(seq_name="../up")), "content"),
        "names against their numbers": (
            edited(
                lambda d: d["sequences"][0]["annotated_image_paths"].insert(
                    0, d["sequences"][0]["annotated_image_paths"].pop(5)
                )
            ),
            "frame-order",
        ),
        "no object": (
            edited(lambda d: [one.update(track_category_ids={}, segmentations=[{}] * 12) for one in d["sequences"]]),
            "no-objects",
        ),
    },
    "cvat": {
        "cut short": (lambda r: cut(text_of(r)), "content"),
        "unknown label": (replaced('label="', 'label="other '), "content"),
        "a frame beyond the end": (replaced('frame="11"', 'frame="77"'), "content"),
        "two shapes in a frame": (replaced(' frame="1"', ' frame="0"'), "content"),
        "runs that do not fit": (replaced('rle="', 'rle="9, '), "content"),
        "a document type": (replaced("<annotations>", "<!DOCTYPE a><annotations>"), "content"),
        "keyframes alone": (without_frame_5, "doubt"),
        "crowd mark": (
            lambda r: text_of(r).write_text(
                text_of(r).read_text().replace("</track>", '<attribute name="iscrowd">maybe</attribute></track>', 1)
            ),
            "content",
        ),
    },
    "labelme": {
        "cut short": (lambda r: cut(text_of(r)), "content"),
        "a polygon of two points": (
            edited(lambda d: d["shapes"][0].update(shape_type="polygon", points=[[1, 1], [2, 2]])),
            "content",
        ),
        "a point": (edited(lambda d: d["shapes"][0].update(shape_type="point", points=[[1, 1]])), "content"),
        "another size": (edited(lambda d: d.update(imageWidth=99)), "content"),
        "a label that changes": (edited(lambda d: d["shapes"][0].update(label=d["shapes"][1]["label"])), "content"),
        "an unlisted label": (edited(lambda d: d["shapes"][0].update(label="other", group_id=99)), "content"),
        "crowd mark": (edited(lambda d: d["shapes"][0].update(flags={"iscrowd": 7})), "content"),
        "a mask that is no PNG": (edited(lambda d: d["shapes"][0].update(mask="abcd")), "content"),
    },
}


@pytest.mark.parametrize(("name", "fault"), [(name, fault) for name, faults in FAULTS.items() for fault in faults])
def test_a_fault_of_the_annotations_is_found(
    sets: dict[FormatName, Path], tmp_path: Path, name: FormatName, fault: str
) -> None:
    plant, kind = FAULTS[name][fault]
    root = tmp_path / "set"
    shutil.copytree(sets[name], root)
    plant(root)
    found = checked(root, name)
    assert kind in kinds(found), found.problems


def test_there_are_enough_faults_and_some_of_every_format() -> None:
    assert set(FAULTS) == set(OTHERS)
    assert sum(map(len, FAULTS.values())) + len(OTHERS) * len(IMAGE_FAULTS) >= 100


# Clean sets


@pytest.mark.parametrize("name", OTHERS)
def test_a_sound_set_has_nothing_wrong_in_any_format(sets: dict[FormatName, Path], name: FormatName) -> None:
    found = checked(sets[name], name)
    assert list(found.problems) == []
    assert found.counts == {"videos": 2, "frames": 24, "tracks": 4, "masks": 36}


def as_jpeg(root: Path, document: dict[str, Any]) -> None:
    for video in document["videos"]:
        for t, name in enumerate(video["file_names"]):
            path = root / "train/JPEGImages" / name
            Image.open(path).save(path.with_suffix(".jpg"))
            path.unlink()
            video["file_names"][t] = name.replace(".png", ".jpg")


def each_image(change: Callable[[Path], object]) -> Callable[[Path, dict[str, Any]], object]:
    return lambda root, document: [change(path) for path in sorted((root / "train/JPEGImages").rglob("*.png"))]


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(path).rotate(90, expand=True).save(path, exif=exif)


def renamed(word: str) -> Callable[[Path, dict[str, Any]], None]:
    def change(root: Path, document: dict[str, Any]) -> None:
        for video in document["videos"]:
            for t, name in enumerate(video["file_names"]):
                path = root / "train/JPEGImages" / name
                new = path.with_name(word.format(t=t))
                path.rename(new)
                video["file_names"][t] = f"{Path(name).parent}/{new.name}"

    return change


def each(section: str, **changes: Any) -> Callable[[Path, dict[str, Any]], object]:
    return lambda root, document: [record.update(changes) for record in document[section]]


def one_crowd(root: Path, document: dict[str, Any]) -> None:
    document["annotations"][0]["iscrowd"] = 1


def runs_as_lists(root: Path, document: dict[str, Any]) -> None:
    for track in document["annotations"]:
        for mask in filter(None, track["segmentations"]):
            mask["counts"] = rle.run_lengths(rle.Rle(24, 40, mask["counts"].encode())).tolist()


def as_stills(root: Path, document: dict[str, Any]) -> None:
    for video in document["videos"]:
        for name in video["file_names"][1:]:
            (root / "train/JPEGImages" / name).unlink()
        video |= {"file_names": video["file_names"][:1], "length": 1}
    for track in document["annotations"]:
        for key in ("segmentations", "areas"):
            track[key] = track[key][:1]


def moved(*places: str) -> Callable[[Path, dict[str, Any]], None]:
    def change(root: Path, document: dict[str, Any]) -> None:
        (root / "train.json").unlink()
        target = root / places[0]
        target.parent.mkdir(parents=True, exist_ok=True)
        document["_place"] = str(target)
        if len(places) > 1:
            (root / places[1]).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(root / "train/JPEGImages", root / places[1])

    return change


CLEAN: dict[str, Callable[[Path, dict[str, Any]], object]] = {
    "as it is": lambda root, document: None,
    "JPEG": as_jpeg,
    "16-bit grey": each_image(
        lambda p: Image.fromarray(np.asarray(Image.open(p).convert("L")).astype(np.uint16) * 257).save(p)
    ),
    "8-bit grey": each_image(lambda path: Image.open(path).convert("L").save(path)),
    "palette": each_image(lambda path: Image.open(path).quantize(16).save(path)),
    "alpha": each_image(lambda path: Image.open(path).convert("RGBA").save(path)),
    "upright by EXIF": each_image(turned),
    "no leading zeros": renamed("{t}.png"),
    "sizes in names": renamed("frame_{t}_640x480.png"),
    "one crowd": one_crowd,
    "runs as lists": runs_as_lists,
    "stills": as_stills,
    "no class is missing": each("categories", supercategory="object"),
    "frame rates": each("videos", fps=25),
    "keys of others": each("annotations", height=24, width=40, length=1, keypoints=[]),
    "2021 layout": moved("train/instances.json"),
    "OVIS layout": moved("annotations_train.json"),
    "renamed layout": moved("annotations/instances_train_sub.json"),
    "frames in the root": moved("train.json", "JPEGImages"),
    "frames of all": moved("train.json", "train_all_frames/JPEGImages"),
}


@pytest.mark.parametrize("make", CLEAN)
def test_a_clean_set_has_nothing_wrong_and_can_be_trained_on(tmp_path: Path, make: str) -> None:
    document = write_youtube_vis(tmp_path)
    ids = {7: 1, 3: 2}
    for record in (*document["categories"], *document["annotations"]):
        key = "category_id" if "category_id" in record else "id"
        record[key] = ids[record[key]]
    for track in document["annotations"]:
        track.pop("bboxes")
    CLEAN[make](tmp_path, document)
    Path(document.pop("_place", tmp_path / "train.json")).write_text(json.dumps(document))
    (found,) = check_dataset(tmp_path)
    assert [problem for problem in found.problems if problem.kind != "box-missing"] == []
    training = load_sets(tmp_path, (), "train")
    check_objects(training)
    for index, video in enumerate(training.videos):
        assert training.decode_frames(index, range(video.length)).shape[0] == video.length
        training.clip_target(index, range(video.length))


def test_there_are_twenty_clean_sets() -> None:
    assert len(CLEAN) + len(OTHERS) >= 20
