"""Each format as its own tools write it, and what is said of files that do not hold what is needed."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from maskreel.data.formats.annotations import AnnotatedVideo, ReadOptions
from maskreel.data.formats.catalog import FORMATS, FormatName
from maskreel.data.formats.cvat import parse_xml
from maskreel.data.formats.cvat_shapes import decode_runs, encode_runs
from maskreel.errors import DataError, UsageError
from maskreel.geometry import rle
from maskreel.left_out import LeftOut

SQUARE = np.zeros((4, 6), dtype=bool)
SQUARE[1:3, 2:5] = True
"""Rows 1 and 2, columns 2 to 4."""


def read(name: FormatName, source: Path, **options: Any) -> list[AnnotatedVideo]:
    """Odd shapes are errors here."""
    return list(FORMATS[name].read(source, ReadOptions(left_out=LeftOut("stop"), **options)).videos)


def dense(video: AnnotatedVideo, track: int = 0, frame: int = 0) -> np.ndarray | None:
    mask = video.tracks[track].segmentations[frame]
    return None if mask is None else rle.decode(mask)


def counts(mask: np.ndarray) -> str:
    return coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()


# CVAT


def cvat_xml(shapes: str, *, meta: str = "", frames: int = 3) -> str:
    return f"""<?xml version="1.0" encoding="utf-8"?>
    <annotations><version>1.1</version><meta><task><id>12</id><name>crossing</name><size>{frames}</size>{meta}
    <labels><label><name>car</name></label><label><name>dog</name></label></labels>
    <original_size><width>6</width><height>4</height></original_size></task></meta>
    <track id="0" label="dog" source="manual">{shapes}</track></annotations>"""


def test_runs_of_cvat_go_along_the_rows_of_a_box(tmp_path: Path) -> None:
    """A box of 3x2 at (2, 1) whose first row is full and whose second starts with a hole."""
    box = np.array([[True, True, True], [False, True, True]])
    assert encode_runs(box) == "0, 3, 1, 2"
    assert np.array_equal(decode_runs("0, 3, 1, 2", width=3, height=2, where="here"), box)
    shapes = (
        '<mask frame="0" outside="0" keyframe="1" occluded="0" rle="0, 3, 1, 2" left="2" top="1" width="3" height="2" '
        'z_order="0"></mask><mask frame="1" outside="1" rle="0, 3, 1, 2" left="2" top="1" width="3" height="2"></mask>'
        '<polygon frame="2" outside="0" points="0.0,0.0;3.0,0.0;3.0,2.0;0.0,2.0"></polygon>'
    )
    (tmp_path / "annotations.xml").write_text(cvat_xml(shapes))
    (video,) = read("cvat", tmp_path)
    expected = np.zeros((4, 6), dtype=bool)
    expected[1:3, 2:5] = box
    first, last = dense(video), dense(video, frame=2)
    assert first is not None
    assert last is not None
    assert np.array_equal(first, expected)
    assert video.tracks[0].segmentations[1] is None
    assert last.sum() == 6
    assert last[:2, :3].all()
    assert (video.id, video.name, video.tracks[0].id, video.tracks[0].category_id) == (12, "crossing", 0, 2)


def test_frames_that_cvat_left_out_are_counted(tmp_path: Path) -> None:
    meta = "<start_frame>10</start_frame><stop_frame>20</stop_frame><frame_filter>step=5</frame_filter>"
    (tmp_path / "one.xml").write_text(cvat_xml("", meta=meta))
    assert read("cvat", tmp_path / "one.xml")[0].frame_numbers == (10, 15, 20)


MOVING = '<polygon frame="{frame}" outside="{outside}" points="{x},0;{right},0;{right},2;{x},2"/>'


def left_edges(video: AnnotatedVideo) -> list[int | None]:
    return [mask and int(rle.bounding_box(mask)[0]) for mask in video.tracks[0].segmentations]


@pytest.mark.parametrize(
    ("shapes", "expected", "words"),
    [
        (((0, 0, 0), (3, 3, 0)), [0, 1, 2, 3, 3], "frames 1 to 4: filled as CVAT shows them"),
        (((0, 1, 0), (3, 1, 1)), [1, 1, 1, None, None], "frames 1 to 2: filled"),
        (((1, 1, 0), (2, 1, 1)), [None, 1, None, None, None], None),
        (((0, 0, 0), (1, 1, 0), (2, 2, 0), (3, 3, 0), (4, 2, 0)), [0, 1, 2, 3, 2], None),
    ],
)
def test_shapes_between_keyframes_are_those_that_cvat_shows(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    shapes: tuple[tuple[int, int, int], ...],
    expected: list[int | None],
    words: str | None,
) -> None:
    text = "".join(MOVING.format(frame=t, x=x, right=x + 2, outside=outside) for t, x, outside in shapes)
    (tmp_path / "annotations.xml").write_text(cvat_xml(text, frames=5))
    assert left_edges(read("cvat", tmp_path)[0]) == expected
    assert ("keyframes" in caplog.text) == (words is not None)
    assert words is None or words in caplog.text


def test_polygons_of_other_numbers_of_corners_leave_a_hole_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = MOVING.format(frame=0, x=0, right=2, outside=0) + '<polygon frame="3" points="0,0;3,0;3,3"/>'
    (tmp_path / "annotations.xml").write_text(cvat_xml(text, frames=4))
    assert [edge is None for edge in left_edges(read("cvat", tmp_path)[0])] == [False, True, True, False]
    assert "track 0, frames 1 to 2: left empty: export all frames" in caplog.text


BOMB = '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;">]>'
MASK = '<mask frame="{frame}" rle="{rle}" left="{left}" top="1" width="3" height="2"/>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"one\.xml: not an XML file"),
        (cvat_xml("")[:300], r"one\.xml: not an XML file"),
        (BOMB + "<annotations>&c;</annotations>", "line 1: a document type is declared"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotations/>', "a document type is declared"),
        ("<a>" * 100_000, "not an XML file"),
        ("<catalog/>", "not a CVAT file"),
        ("<annotations><meta/><image id='0'/></annotations>", "exported 'for images'"),
        ("<annotations><meta><project/></meta></annotations>", "a project without tasks"),
        (cvat_xml("", frames=10**9), "expected 1 to 100000"),
        (cvat_xml(MASK.format(frame=7, rle="6", left=2)), "track 0, frame 7: no frame of the task"),
        (cvat_xml(MASK.format(frame=1, rle="6", left=2) * 2), "two shapes in one frame"),
        (cvat_xml(MASK.format(frame=1, rle="5", left=2)), "runs cover 5 pixels of a box of 3x2"),
        (cvat_xml(MASK.format(frame=1, rle="7, -1", left=2)), r"rle is '7, -1'"),
        (cvat_xml(MASK.format(frame=1, rle="6", left=6)), "lies outside the frame of 6x4"),
        (cvat_xml(MASK.format(frame="x", rle="6", left=2)), "frame is 'x'; expected a whole number"),
        (cvat_xml('<points frame="0" points="1,1"/>'), "a points has no mask"),
        (cvat_xml('<polygon frame="0" points="1,nan;2,2;3,1"/>'), "track 0, frame 0: polygon 0 has the corner"),
        (cvat_xml('<polygon frame="0" points="one"/>'), "points are 'one'"),
        (cvat_xml("").replace("crossing", "../../up"), "leaves the folder"),
        (cvat_xml("").replace('label="dog"', 'label="cat"'), "label 'cat' is not among the labels"),
        (cvat_xml("").replace("<width>6<", "<width>600000000<"), "a frame of 600000000x4 pixels"),
    ],
)
def test_faults_of_cvat_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "one.xml").write_text(text)
    with pytest.raises(DataError, match=message):
        read("cvat", tmp_path)


def test_entities_are_never_resolved(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    text = f'<!DOCTYPE a [<!ENTITY x SYSTEM "{tmp_path / "secret"}">]><annotations>&x;</annotations>'
    (tmp_path / "one.xml").write_text(text)
    with pytest.raises(DataError, match="a document type is declared") as caught:
        parse_xml(tmp_path / "one.xml")
    assert "secret" not in str(caught.value)


# MOTS


def test_a_line_of_a_mots_file(tmp_path: Path) -> None:
    lines = [f"{frame} {number} {number // 1000} 4 6 {counts(SQUARE)}" for frame, number in ((2, 2005), (4, 1001))]
    (tmp_path / "0002.txt").write_text("\n".join([*lines, f"3 10000 10 4 6 {counts(~SQUARE)}", ""]))
    (video,) = read("mots-txt", tmp_path)
    assert (video.name, video.height, video.width, video.frame_numbers) == ("0002", 4, 6, (2, 3, 4))
    assert [(track.id, track.category_id, track.is_crowd) for track in video.tracks] == [
        (1001, 1, False),
        (2005, 2, False),
        (10_000, 10, True),
    ]
    found = dense(video, track=1)
    assert found is not None
    assert np.array_equal(found, SQUARE)


def test_frames_of_a_sequence_come_from_its_map_or_its_pictures(tmp_path: Path) -> None:
    labels = tmp_path / "instances_txt"
    labels.mkdir()
    (labels / "0002.txt").write_text(f"2 2005 2 4 6 {counts(SQUARE)}\n")
    (labels / "0001.txt").write_text(f"1 1001 1 4 6 {counts(SQUARE)}\n")
    (labels / "seqmap.txt").write_text("0002 empty 000000 000005\n")
    videos = read("mots-txt", tmp_path)
    assert [(video.name, video.frame_numbers) for video in videos] == [("0002", (0, 1, 2, 3, 4)), ("0001", (1,))]
    for frame in (1, 2, 9):
        path = tmp_path / f"images/0001/{frame:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 4)).save(path)
    assert read("mots-txt", tmp_path)[1].file_names == ("0001/000001.png", "0001/000002.png", "0001/000009.png")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3", r"0002\.txt: line 1: is '1 2 3'; expected FRAME ID CLASS"),
        (f"0 1 1 4 6 {counts(SQUARE)}\n0 1 1 4 6 {counts(SQUARE)}", "line 2: track 1 stands twice in frame 0"),
        (f"0 1 1 4 6 {counts(SQUARE)}\n1 1 2 4 6 {counts(SQUARE)}", "line 2: track 1 has class 2 here and 1 before"),
        (f"0 1 1 6 4 {counts(SQUARE)}\n1 2 1 4 6 {counts(SQUARE)}", "line 2: mask size"),
        ("0 1 1 4 6 zzz", "line 1: counts hold"),
        (f"0 1 1 4 6 {counts(SQUARE)}\n9999999999 1 1 4 6 {counts(SQUARE)}", "at most 100000"),
        ("", "the size is unknown"),
        (b"\xff\xfe", "not a text file"),
    ],
)
def test_faults_of_mots_files_are_named(tmp_path: Path, text: str | bytes, message: str) -> None:
    (tmp_path / "0002.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message):
        read("mots-txt", tmp_path)


def test_values_of_a_mots_png_are_class_and_instance(tmp_path: Path) -> None:
    folder = tmp_path / "instances/0002"
    folder.mkdir(parents=True)
    for frame, values in enumerate([(2005, 1001), (2005, 10_000)]):
        pixels = np.where(SQUARE, values[0], 0)
        pixels[0] = values[1]
        Image.fromarray(pixels.astype(np.uint16)).save(folder / f"{frame:06d}.png")
    (video,) = read("mots-png", tmp_path)
    assert [(track.id, track.category_id, track.is_crowd) for track in video.tracks] == [
        (1, 1, False),
        (5, 2, False),
        (10_000, 10, True),
    ]
    Image.fromarray(np.full((4, 6), 1005, dtype=np.uint16)).save(folder / "000002.png")
    assert [track.id for track in read("mots-png", tmp_path)[0].tracks] == [1001, 1005, 2005, 10_000]


@pytest.mark.parametrize(
    ("values", "crowds"),
    [
        ([0, 255], {255: False}),
        ([0, 1, 255], {1: False, 255: True}),
        ([0, 127, 255], {127: False, 255: False}),
        ([0, 85, 170, 255], {85: False, 170: False, 255: False}),
        ([0, 3, 200, 255], {3: False, 200: False, 255: True}),
    ],
)
def test_255_is_an_object_where_it_is_alone_or_ends_a_ramp_of_grey(
    tmp_path: Path, values: list[int], crowds: dict[int, bool]
) -> None:
    (tmp_path / "clip").mkdir()
    Image.fromarray(np.array([values], dtype=np.uint8)).save(tmp_path / "clip/00000.png")
    (video,) = read("davis", tmp_path)
    assert {track.id: track.is_crowd for track in video.tracks} == crowds


def test_soft_edges_are_not_taken_for_objects(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    Image.fromarray(np.arange(0, 256, 3, dtype=np.uint8)[None]).save(tmp_path / "clip/00000.png")
    with pytest.raises(DataError, match="clip: 85 different values, as in masks with soft edges"):
        read("davis", tmp_path)


@pytest.mark.parametrize("name", ["davis", "labelme", "mots-txt", "mots-png"])
def test_frames_without_leading_zeros_keep_their_masks(tmp_path: Path, name: FormatName) -> None:
    """Frame t has its object in column t, of an image of brightness t."""
    masks = [np.arange(12)[None].repeat(4, 0) == t for t in range(12)]
    folders = {"davis": "JPEGImages/clip", "labelme": "clip", "mots-txt": "images/clip", "mots-png": "images/clip"}
    (tmp_path / folders[name]).mkdir(parents=True)
    for t in range(12):
        Image.new("L", (12, 4), t).save(tmp_path / folders[name] / f"{t}.bmp")
    annotated = {
        "davis": "Annotations/clip",
        "labelme": "clip",
        "mots-txt": "instances_txt",
        "mots-png": "instances/clip",
    }
    (tmp_path / annotated[name]).mkdir(parents=True, exist_ok=True)
    if name == "mots-txt":
        lines = [f"{t} 1 2 4 12 {counts(mask)}" for t, mask in enumerate(masks)]
        (tmp_path / "instances_txt/clip.txt").write_text("\n".join(lines))
    for t, mask in enumerate(masks):
        place = tmp_path / annotated[name] / f"{t}"
        if name == "labelme":
            shape = {"label": "a", "group_id": 1, "points": [[t, 0], [t + 1, 0], [t + 1, 4], [t, 4]]}
            document = {"shapes": [shape], "imagePath": f"{t}.bmp", "imageHeight": 4, "imageWidth": 12}
            place.with_suffix(".json").write_text(json.dumps(document))
        elif name != "mots-txt":
            numbers = mask.astype(np.uint8 if name == "davis" else np.uint16) * (1 if name == "davis" else 2001)
            Image.fromarray(numbers).save(place.with_suffix(".png"))
    (video,) = read(name, tmp_path)
    assert video.frame_numbers == tuple(range(12))
    for t in range(12):
        image, mask = video.images[t], dense(video, frame=t)
        assert image is not None
        assert np.array_equal(mask, masks[t])
        assert np.asarray(Image.open(image))[0, 0] == t


def test_a_coloured_picture_is_no_mots_file(tmp_path: Path) -> None:
    (tmp_path / "0002").mkdir()
    Image.new("RGB", (6, 4)).save(tmp_path / "0002/000000.png")
    with pytest.raises(DataError, match=r"000000\.png: an image of mode RGB; expected 16-bit grey"):
        read("mots-png", tmp_path)
    (tmp_path / "0002/000000.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(DataError, match=r"000000\.png: cannot be read: it begins as a PNG image and is damaged"):
        read("mots-png", tmp_path)


# DAVIS


def davis_folder(root: Path, *, names: tuple[str, ...] = ("bear",)) -> Path:
    for name in names:
        for place in ("Annotations/480p", "JPEGImages/480p"):
            (root / place / name).mkdir(parents=True)
        for frame, values in enumerate([(1, 2), (1, 255)]):
            pixels = np.where(SQUARE, values[0], 0).astype(np.uint8)
            pixels[0] = values[1]
            image = Image.fromarray(pixels)
            image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, *[7] * 759])
            image.save(root / f"Annotations/480p/{name}/{frame:05d}.png")
            Image.new("RGB", (6, 4)).save(root / f"JPEGImages/480p/{name}/{frame:05d}.jpg")
    return root


def test_indices_of_a_davis_png_are_objects(tmp_path: Path) -> None:
    (video,) = read("davis", davis_folder(tmp_path))
    assert [(track.id, track.category_id, track.is_crowd) for track in video.tracks] == [
        (1, 1, False),
        (2, 1, False),
        (255, 1, True),
    ]
    found = dense(video, frame=1)
    assert found is not None
    assert np.array_equal(found, SQUARE)
    assert video.file_names == ("bear/00000.jpg", "bear/00001.jpg")
    assert video.images[1] == tmp_path / "JPEGImages/480p/bear/00001.jpg"


def test_the_list_of_a_split_chooses_and_orders_sequences(tmp_path: Path) -> None:
    davis_folder(tmp_path, names=("bear", "cow", "dog"))
    (tmp_path / "ImageSets/2017").mkdir(parents=True)
    (tmp_path / "ImageSets/2017/val.txt").write_text("dog\nbear\n")
    assert [video.name for video in read("davis", tmp_path, split="val")] == ["dog", "bear"]
    assert [video.name for video in read("davis", tmp_path)] == ["bear", "cow", "dog"]
    (tmp_path / "ImageSets/2017/val.txt").write_text("../..\n")
    with pytest.raises(DataError, match="leaves the folder"):
        read("davis", tmp_path, split="val")
    (tmp_path / "ImageSets/2017/val.txt").write_text("emu\n")
    with pytest.raises(DataError, match="the sequence 'emu' is not in"):
        read("davis", tmp_path, split="val")


def test_a_sequence_of_pictures_of_two_sizes_is_refused(tmp_path: Path) -> None:
    davis_folder(tmp_path)
    Image.new("P", (5, 5)).save(tmp_path / "Annotations/480p/bear/00001.png")
    with pytest.raises(DataError, match="bear: PNG files of 2 sizes"):
        read("davis", tmp_path)


# BURST


def burst_document() -> dict[str, Any]:
    masks = [{"7": {"rle": counts(SQUARE), "is_gt": True, "score": 1.0}}, {}]
    sequence = {
        "id": 3,
        "dataset": "LaSOT",
        "seq_name": "bird-1",
        "width": 6,
        "height": 4,
        "fps": 30,
        "all_image_paths": ["00000001.jpg", "00000016.jpg", "00000031.jpg"],
        "annotated_image_paths": ["00000001.jpg", "00000031.jpg"],
        "neg_category_ids": [4],
        "not_exhaustive_category_ids": [],
        "track_category_ids": {"7": 99},
        "segmentations": masks,
    }
    return {"sequences": [sequence], "categories": [{"id": 99, "name": "bird", "synset": "bird.n.01"}], "split": "val"}


def test_annotated_frames_of_a_burst_sequence(tmp_path: Path) -> None:
    (tmp_path / "val.json").write_text(json.dumps(burst_document()))
    image = tmp_path / "frames/LaSOT/bird-1/00000031.jpg"
    image.parent.mkdir(parents=True)
    image.touch()
    (video,) = read("burst", tmp_path)
    assert (video.id, video.name, video.fps, video.frame_numbers) == (3, "LaSOT/bird-1", 30, (1, 31))
    assert video.images == (None, image)
    assert [(track.id, track.category_id) for track in video.tracks] == [(7, 99)]
    found = dense(video)
    assert found is not None
    assert np.array_equal(found, SQUARE)
    assert video.tracks[0].segmentations[1] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"segmentations": [{}]}, "1 segmentations for 2 annotated images"),
        ({"segmentations": [{"8": {"rle": "0"}}, {}]}, "frame 0, track 8: not among track_category_ids"),
        ({"segmentations": [{"7": {"rle": "01"}}, {}]}, "frame 0, track 7: runs cover"),
        ({"segmentations": [3, {}]}, "frame 0: segmentations are 3"),
        ({"track_category_ids": {"7": 5}}, "track '7' of class 5"),
        ({"seq_name": "../bird"}, "leaves the folder"),
        ({"annotated_image_paths": ["/etc/passwd", "2.jpg"]}, "annotated image: the name '/etc/passwd' leaves"),
        ({"width": "6"}, "\"width\" is '6'; expected a whole number"),
    ],
)
def test_faults_of_burst_files_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    document = burst_document()
    document["sequences"][0].update(change)
    (tmp_path / "val.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=message):
        read("burst", tmp_path / "val.json")


# LabelMe


def png(mask: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(mask).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


def labelme_document(*shapes: dict[str, Any], path: str = "frame_003.jpg") -> str:
    return json.dumps(
        {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": path, "imageData": None}
        | {"imageHeight": 4, "imageWidth": 6}
    )


POLYGON = {"label": "dog", "group_id": 4, "shape_type": "polygon", "points": [[0, 0], [3, 0], [3, 2], [0, 2]]}
PIECE = {**POLYGON, "shape_type": "mask", "points": [[2, 1], [4, 2]], "mask": png(np.ones((2, 3), dtype=bool))}


def test_shapes_of_one_group_are_one_object(tmp_path: Path) -> None:
    (tmp_path / "frame_003.json").write_text(labelme_document(POLYGON, PIECE))
    (tmp_path / "frame_007.json").write_text(labelme_document(PIECE, {**PIECE, "label": "cat", "group_id": 9}))
    Image.new("RGB", (6, 4)).save(tmp_path / "frame_005.jpg")
    (video,) = read("labelme", tmp_path)
    assert video.frame_numbers == (3, 5, 7)
    assert [(track.id, track.category_id) for track in video.tracks] == [(4, 2), (9, 1)]
    first, last = dense(video), dense(video, frame=2)
    assert first is not None
    assert last is not None
    assert first.sum() == 6 + 6 - 1
    assert np.array_equal(last, SQUARE)
    assert video.tracks[0].segmentations[1] is None


def test_the_list_of_labels_gives_the_classes_their_order(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\nzebra\ndog\n")
    (tmp_path / "video").mkdir()
    (tmp_path / "video/1.json").write_text(labelme_document(POLYGON))
    found = FORMATS["labelme"].read(tmp_path, ReadOptions())
    assert [(category.id, category.name) for category in found.categories] == [(1, "zebra"), (2, "dog")]
    (tmp_path / "labels.txt").write_text("zebra\n")
    with pytest.raises(DataError, match="the label 'dog' is used but not listed"):
        read("labelme", tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "not a LabelMe file"),
        ("[1", "not a JSON file"),
        (
            labelme_document(*[{**POLYGON, "group_id": None}] * 2),
            "shape at position 0: 2 shapes 'dog' have no group_id",
        ),
        (labelme_document(POLYGON, {**POLYGON, "label": "cat"}), "group_id 4 is 'cat' here and 'dog' elsewhere"),
        (labelme_document({**POLYGON, "shape_type": "line"}), "a line has no mask"),
        (labelme_document({**POLYGON, "points": [[0, 0]]}), "polygon 0 has 2 coordinates"),
        (labelme_document({**POLYGON, "points": [1, 2]}), "expected pairs of numbers"),
        (labelme_document({**PIECE, "points": [[1e999, 1]]}), "expected pairs of numbers"),
        (labelme_document({**PIECE, "points": [[2**31, 1], [3, 4]]}), "expected pairs of numbers"),
        (labelme_document({**PIECE, "points": [[6, 1], [8, 2]]}), "a mask of 3x2 at 6,1 lies outside the frame"),
        (labelme_document({**PIECE, "mask": "no"}), "not a PNG image in base64"),
        (labelme_document().replace('"imageHeight": 4', '"imageHeight": 400000000'), "a frame of 6x400000000 pixels"),
    ],
)
def test_faults_of_labelme_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "frame_003.json").write_text(text)
    with pytest.raises(DataError, match=rf"frame_003\.json.*{message}"):
        read("labelme", tmp_path)


# Folders


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_an_empty_folder_and_a_missing_one_are_said_to_be(tmp_path: Path, name: FormatName) -> None:
    for source in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises((DataError, UsageError), match=f"{tmp_path}"):
            read(name, source)
