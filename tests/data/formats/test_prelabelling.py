"""The round of pre-labelling: predict, convert for a tool, correct by hand, import under the same ids, train."""

import copy
import json
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from maskreel.cli.main import main
from maskreel.data.formats.annotations import ReadOptions
from maskreel.data.formats.catalog import FORMATS
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.geometry import rle
from maskreel.geometry.masklet import Masklet
from maskreel.geometry.masklets import Masklets, SkippedFrame

WIDTH, HEIGHT, FRAMES = 64, 48, 5
IDS = (2, 7)
"""Track ids that are neither counted from 0 nor without a gap."""


def mask(track: int, frame: int) -> np.ndarray:
    pixels = np.zeros((HEIGHT, WIDTH), dtype=bool)
    left = 4 + 3 * frame if track == IDS[0] else 40 - 3 * frame
    pixels[6 + track : 18 + track, left : left + 14] = True
    return pixels


def frame_pixels(frame: int) -> np.ndarray:
    values = np.full((HEIGHT, WIDTH), 40, dtype=np.uint8)
    for track in IDS:
        values[mask(track, frame)] = 220
    return np.repeat(values[..., None], 3, axis=2)


def predicted(source: str) -> Masklets:
    """As predict finds them: the second object is not seen in the third frame."""
    masklets = tuple(
        Masklet(
            track_id=track,
            label=label,
            category_id=label + 1,
            score=0.6,
            segmentations=tuple(
                None if (label, frame) == (1, 2) else rle.encode(mask(track, frame)) for frame in range(FRAMES)
            ),
        )
        for label, track in enumerate(IDS)
    )
    return Masklets(
        source=source,
        width=WIDTH,
        height=HEIGHT,
        classes=((1, "disc"), (2, "box"), (3, "star")),
        declared=FRAMES,
        timestamps=tuple(0.1 * frame for frame in range(FRAMES)),
        masklets=masklets,
    )


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """What predict left behind for a folder of frames."""
    frames = tmp_path / "street"
    frames.mkdir()
    for frame in range(FRAMES):
        Image.fromarray(frame_pixels(frame)).save(frames / f"{frame:03d}.png")
    predicted(str(frames)).save(tmp_path / "out/street.json")
    return tmp_path / "out/street.json"


def correct_in_cvat(folder: Path) -> None:
    """Import, correct and export again, as CVAT does it.

    Of a track of masks it imports the first, as a shape without a track. Exported are tracks, then such shapes, each as
    a track that ends in the next frame, be there one or not; all are counted anew.
    """
    path = folder / "street/annotations.xml"
    tree = ET.parse(path)
    root = tree.getroot()
    shapes = []
    for track in root.findall("track"):
        root.remove(track)
        first = next(iter(track))
        assert first.tag == "mask", "nothing else is written"
        shapes.append((track.get("label", ""), first))
    redrawn = next(shape for label, shape in shapes if label == "box" and shape.get("frame") == "0")
    for key in ("rle", "left", "top", "width", "height"):
        del redrawn.attrib[key]
    redrawn.tag = "polygon"
    redrawn.set("points", "20,20;40,20;40,30;20,30")
    new = ET.Element("polygon", frame="1", outside="0", occluded="0", keyframe="1", points="2,40;12,40;12,46;2,46")
    ET.SubElement(new, "attribute", name="track_id").text = ""
    for number, (label, shape) in enumerate([("star", new), *reversed(shapes)]):
        track = ET.SubElement(root, "track", id=str(number), label=label, source="manual")
        end = copy.deepcopy(shape)
        end.set("outside", "1")
        end.set("frame", str(int(shape.get("frame", "")) + 1))
        track.extend([shape, end])
    tree.write(path)


def correct_in_labelme(folder: Path) -> None:
    """A shape redrawn as a polygon, a new object that has no group yet."""
    path = folder / "street/00000.json"
    document = json.loads(path.read_text())
    shape = next(one for one in document["shapes"] if one["group_id"] == IDS[1])
    shape.update(shape_type="polygon", points=[[20, 20], [40, 20], [40, 30], [20, 30]], mask=None)
    path.write_text(json.dumps(document))
    path = folder / "street/00001.json"
    document = json.loads(path.read_text())
    new = {"label": "star", "points": [[2, 40], [12, 46]], "group_id": None, "shape_type": "rectangle", "flags": {}}
    document["shapes"].append(new)
    path.write_text(json.dumps(document))


def correct_coco(folder: Path) -> None:
    path = folder / "train.json"
    document = json.loads(path.read_text())
    first = document["images"][0]["id"]
    for record in document["annotations"]:
        if record["image_id"] == first and record["track_id"] == IDS[1]:
            record["segmentation"] = [[20, 20, 40, 20, 40, 30, 20, 30]]
    new = {"id": 99, "image_id": first + 1, "category_id": 3, "track_id": 8, "iscrowd": 0}
    document["annotations"].append({**new, "segmentation": [[2, 40, 12, 40, 12, 46, 2, 46]]})
    path.write_text(json.dumps(document))


TOOLS: dict[str, Callable[[Path], None]] = {
    "cvat": correct_in_cvat,
    "labelme": correct_in_labelme,
    "coco-tracks": correct_coco,
}


@pytest.mark.parametrize("tool", TOOLS)
def test_predictions_come_back_corrected_under_the_same_ids(results: Path, tmp_path: Path, tool: str) -> None:
    assert main(["data", "convert", str(results), str(tmp_path / "tool"), "--to", tool]) == 0
    TOOLS[tool](tmp_path / "tool")
    archive = shutil.make_archive(str(tmp_path / "export"), "zip", tmp_path / "tool")
    assert main(["data", "convert", archive, str(tmp_path / "set")]) == 0
    dataset = YouTubeVIS.load(tmp_path / "set", "train")
    assert [category.name for category in dataset.categories] == ["disc", "box", "star"]
    tracks = {track.track_id or track.id: track for track in dataset.tracks(0)}
    assert sorted(tracks) == [*IDS, 8]
    assert [tracks[number].category_id for number in sorted(tracks)] == [1, 2, 3]
    target = dataset.clip_target(0, range(FRAMES))
    found = {int(number): masks.numpy() for number, masks in zip(target.track_id, target.masks, strict=True)}
    assert np.array_equal(found[tracks[2].id], np.stack([mask(2, frame) for frame in range(FRAMES)]))
    redrawn = np.zeros((HEIGHT, WIDTH), dtype=bool)
    redrawn[20:30, 20:40] = True
    assert np.array_equal(found[tracks[7].id][0], redrawn)
    assert not found[tracks[7].id][2].any()
    assert np.array_equal(found[tracks[7].id][3], mask(7, 3))
    assert [masks.sum() for masks in found[tracks[8].id]] == [0, 60, 0, 0, 0]
    frames = dataset.decode_frames(0, range(FRAMES)).numpy()
    assert np.array_equal(frames[3], frame_pixels(3).transpose(2, 0, 1))


def test_the_corrected_set_is_trained_on(results: Path, tmp_path: Path) -> None:
    assert main(["data", "convert", str(results), str(tmp_path / "tool"), "--to", "cvat"]) == 0
    assert main(["data", "convert", str(tmp_path / "tool"), str(tmp_path / "set")]) == 0
    words = ["--data.root", str(tmp_path / "set"), "--out", str(tmp_path / "run"), "--training.steps", "1"]
    assert main(["train", "seqformer-tiny", *words, "--data.workers", "0", "--data.batch-size", "1"]) == 0
    assert (tmp_path / "run/weights/last/model.safetensors").is_file()


def write_video(path: Path) -> None:
    """Lossless, so that frames can be told by their pixels."""
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "bgr0"
        for frame in range(FRAMES):
            made = av.VideoFrame.from_ndarray(frame_pixels(frame), format="rgb24")
            container.mux(stream.encode(made))
        container.mux(stream.encode())


def read(path: Path, **options: object) -> tuple[tuple[int, ...], list[Path | None]]:
    (video,) = FORMATS["predict"].read(path, replace(ReadOptions(), **options)).videos
    return video.frame_numbers, list(video.images)


def test_frames_of_a_video_file_are_written_out(tmp_path: Path) -> None:
    write_video(tmp_path / "street.mkv")
    path = tmp_path / "out/street.json"
    predicted(str(tmp_path / "street.mkv")).save(path)
    assert main(["data", "convert", str(path.parent), str(tmp_path / "tool"), "--to", "labelme"]) == 0
    for frame in range(FRAMES):
        with Image.open(tmp_path / f"tool/street/{frame:05d}.png") as image:
            assert np.array_equal(np.asarray(image), frame_pixels(frame))
    assert read(path) == (tuple(range(FRAMES)), [None] * FRAMES)


def test_a_video_that_is_another_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "street.mkv")
    path = tmp_path / "out/street.json"
    found = predicted(str(tmp_path / "street.mkv"))
    short = tuple(replace(one, segmentations=one.segmentations[:3]) for one in found.masklets)
    replace(found, timestamps=found.timestamps[:3], masklets=short).save(path)
    assert main(["data", "convert", str(path), str(tmp_path / "tool"), "--to", "labelme"]) == 1
    assert "has more than the 3 frames that were predicted" in capsys.readouterr().err


def test_images_of_a_video_that_is_gone_are_named(results: Path, tmp_path: Path) -> None:
    frames = (tmp_path / "street").rename(tmp_path / "elsewhere")
    assert read(results) == (tuple(range(FRAMES)), [None] * FRAMES)
    numbers, images = read(results, images=frames)
    assert numbers == tuple(range(FRAMES))
    assert images == [frames / f"{frame:03d}.png" for frame in range(FRAMES)]


def test_a_frame_that_was_not_read_keeps_the_others_at_their_images(results: Path, tmp_path: Path) -> None:
    found = predicted(str(tmp_path / "street"))
    fewer = tuple(replace(one, segmentations=(one.segmentations[0], *one.segmentations[2:])) for one in found.masklets)
    skipped = (SkippedFrame(index=1, reason="001.png is damaged"),)
    replace(found, timestamps=found.timestamps[1:], masklets=fewer, skipped=skipped).save(results)
    numbers, images = read(results)
    assert numbers == (0, 2, 3, 4)
    assert [image.name for image in images if image is not None] == ["000.png", "002.png", "003.png", "004.png"]


def test_cvat_is_told_of_the_attribute_that_keeps_ids(results: Path, tmp_path: Path) -> None:
    assert main(["data", "convert", str(results), str(tmp_path / "tool"), "--to", "cvat"]) == 0
    labels = json.loads((tmp_path / "tool/street/labels.json").read_text())
    assert [label["name"] for label in labels] == ["disc", "box", "star"]
    assert labels[0]["attributes"] == [
        {"name": "track_id", "mutable": False, "input_type": "text", "default_value": "", "values": [""]}
    ]


def test_copies_under_one_id_are_other_objects(results: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As when an object is copied in CVAT, to another label or within its own."""
    assert main(["data", "convert", str(results), str(tmp_path / "tool"), "--to", "cvat"]) == 0
    path = tmp_path / "tool/street/annotations.xml"
    path.write_text(path.read_text().replace('name="track_id">7<', 'name="track_id">2<'))
    (video,) = FORMATS["cvat"].read(tmp_path / "tool", ReadOptions()).videos
    assert [(track.id, track.category_id) for track in video.tracks] == [(2, 1), (3, 2)]
    assert "track_id 2 stands for more than one object" in caplog.text
    path.write_text(path.read_text().replace('label="box"', 'label="disc"'))
    (video,) = FORMATS["cvat"].read(tmp_path / "tool", ReadOptions()).videos
    assert [(track.id, track.category_id) for track in video.tracks] == [(2, 1), (3, 1)]
    assert [mask is None for mask in video.tracks[1].segmentations] == [False, False, True, False, False]


def test_an_object_that_is_never_seen_is_refused_by_name(results: Path, tmp_path: Path) -> None:
    """A track without shapes stops the import in CVAT."""
    found = Masklets.load(results)
    empty = replace(found.masklets[0], segmentations=(None,) * FRAMES)
    replace(found, masklets=(empty, found.masklets[1])).save(results)
    assert main(["data", "convert", str(results), str(tmp_path / "tool"), "--to", "cvat"]) == 1
    assert main(["data", "convert", str(results), str(tmp_path / "tool"), "--to", "cvat", "--allow-loss"]) == 0
