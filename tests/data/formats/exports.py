"""One small scene as tools and data sets write it: two objects over four frames, the first away in frame 2."""

import base64
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

WIDTH, HEIGHT, FRAMES = 80, 48, 4
CLASSES = ("cart", "dog")
Box = tuple[int, int, int, int]
"""left, top, right, bottom; the latter two outside."""

OBJECTS: dict[int, tuple[str, tuple[Box | None, ...]]] = {
    3: ("dog", ((4, 4, 20, 16), (8, 4, 24, 16), None, (16, 4, 32, 16))),
    8: ("cart", tuple((40 - 4 * t, 24, 60 - 4 * t, 40) for t in range(FRAMES))),
}
"""Class and boxes by track id."""

Seen = dict[int, tuple[str, tuple[Box | None, ...]]]


def pixels(track: int, frame: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    box = OBJECTS[track][1][frame]
    if box is not None:
        mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


def picture(frame: int) -> Image.Image:
    values = np.full((HEIGHT, WIDTH), 40, dtype=np.uint8)
    for track in OBJECTS:
        values[pixels(track, frame)] = 220
    return Image.fromarray(np.repeat(values[..., None], 3, axis=2))


def corners(box: Box) -> list[float]:
    left, top, right, bottom = map(float, box)
    return [left, top, right, top, right, bottom, left, bottom]


def rle_of(mask: np.ndarray) -> dict[str, Any]:
    found = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": found["counts"].decode()}


def shapes() -> list[tuple[int, str, int, Box]]:
    """(track, class, frame, box) of everything that is seen, frame by frame."""
    return [
        (track, name, t, box)
        for t in range(FRAMES)
        for track, (name, boxes) in OBJECTS.items()
        if (box := boxes[t]) is not None
    ]


def save_pictures(folder: Path, names: list[str]) -> None:
    for frame, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(frame).save(path)


def put(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


# CVAT


def cvat_track(number: int, track: int, *, task: int | None = None, kind: str = "polygon", extra: str = "") -> str:
    name, boxes = OBJECTS[track]
    text = ""
    for t, box in enumerate(boxes):
        state = f'frame="{t}" keyframe="1" outside="{int(box is None)}" occluded="0"'
        left, top, right, bottom = box or (0, 0, 2, 2)
        if kind == "polygon":
            points = ";".join(
                f"{x:.2f},{y:.2f}" for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))
            )
            text += f'<polygon {state} points="{points}" z_order="0">{extra}</polygon>'
        elif kind == "box":
            text += f'<box {state} xtl="{left}" ytl="{top}" xbr="{right}" ybr="{bottom}" z_order="0">{extra}</box>'
        else:
            size = f'left="{left}" top="{top}" width="{right - left}" height="{bottom - top}"'
            text += f'<mask {state} rle="0, {(right - left) * (bottom - top)}" {size} z_order="0">{extra}</mask>'
    owner = "" if task is None else f' task_id="{task}" subset="default"'
    return f'<track id="{number}" label={quoteattr(name)} source="manual"{owner}>{text}</track>'


def cvat_labels() -> str:
    labels = "".join(f"<label><name>{name}</name><type>any</type><attributes/></label>" for name in CLASSES)
    return f"<labels>{labels}</labels>"


def cvat_size() -> str:
    return f"<original_size><width>{WIDTH}</width><height>{HEIGHT}</height></original_size>"


def cvat_task(number: int, name: str) -> str:
    frames = f"<size>{FRAMES}</size><mode>interpolation</mode><start_frame>0</start_frame><stop_frame>{FRAMES - 1}"
    return f"<id>{number}</id><name>{name}</name>{frames}</stop_frame><frame_filter></frame_filter>"


def cvat_document(meta: str, tracks: str) -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>'
        f"<meta>{meta}<dumped>2024</dumped></meta>{tracks}</annotations>"
    )


def cvat_video(root: Path) -> None:
    tracks = "".join(
        cvat_track(at, track, kind=kind) for at, (track, kind) in enumerate({3: "polygon", 8: "mask"}.items())
    )
    meta = f"<task>{cvat_task(7, 'clip')}{cvat_labels()}{cvat_size()}</task>"
    put(root / "annotations.xml", cvat_document(meta, tracks))
    save_pictures(root / "images", [f"frame_{t:06d}.PNG" for t in range(FRAMES)])


def cvat_project(root: Path) -> None:
    """The first track in one task, the second in the other."""
    tasks = "".join(
        f"<task>{cvat_task(number, name)}<subset>default</subset>{cvat_size()}</task>"
        for number, name in ((7, "day"), (9, "night"))
    )
    meta = f"<project><id>4</id><name>yard</name>{cvat_labels()}<tasks>{tasks}</tasks></project>"
    tracks = cvat_track(0, 3, task=7, kind="box") + cvat_track(1, 8, task=9)
    put(root / "annotations.xml", cvat_document(meta, tracks))


def cvat_coco(root: Path) -> None:
    images = [
        {"id": t + 1, "file_name": f"frame_{t:06d}.png", "width": WIDTH, "height": HEIGHT, "license": 0}
        for t in range(FRAMES)
    ]
    annotations = [
        {
            "id": number,
            "image_id": t + 1,
            "category_id": CLASSES.index(name) + 1,
            "segmentation": [corners(box)],
            "area": 1.0,
            "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
            "iscrowd": 0,
            "attributes": {"occluded": False, "rotation": 0.0, "track_id": track, "keyframe": True},
        }
        for number, (track, name, t, box) in enumerate(shapes(), start=1)
    ]
    document = {"licenses": [], "info": {}, "categories": coco_categories(), "images": images}
    put(root / "annotations/instances_default.json", {**document, "annotations": annotations})
    save_pictures(root / "images/default", [f"frame_{t:06d}.png" for t in range(FRAMES)])


def coco_categories() -> list[dict[str, Any]]:
    return [{"id": at, "name": name, "supercategory": ""} for at, name in enumerate(CLASSES, start=1)]


def cvat_mots(root: Path) -> None:
    for t in range(FRAMES):
        values = np.zeros((HEIGHT, WIDTH), dtype=np.uint16)
        for track, (name, _) in OBJECTS.items():
            values[pixels(track, t)] = (CLASSES.index(name) + 1) * 1000 + track
        path = root / f"default/instances/frame_{t:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(path)
    put(root / "default/instances/labels.txt", "".join(f"{name}\r\n" for name in CLASSES))
    save_pictures(root / "default/images", [f"frame_{t:06d}.png" for t in range(FRAMES)])


def datumaro(root: Path) -> None:
    items = []
    for t in range(FRAMES):
        annotations = []
        for track, name, frame, box in shapes():
            if frame != t:
                continue
            own = {
                "id": len(annotations),
                "attributes": {"occluded": False, "track_id": track, "keyframe": True},
                "group": 0,
                "label_id": CLASSES.index(name),
                "z_order": 0,
            }
            if track == 3:
                annotations.append({**own, "type": "polygon", "points": corners(box)})
            else:
                annotations.append({**own, "type": "mask", "rle": rle_of(pixels(track, t))})
        media = {"path": f"frame_{t:06d}.png", "size": [HEIGHT, WIDTH]}
        items.append({"id": f"frame_{t:06d}", "annotations": annotations, "attr": {"frame": t}, "image": media})
    labels = [{"name": name, "parent": "", "attributes": []} for name in CLASSES]
    categories = {"label": {"labels": labels, "attributes": ["occluded"]}, "points": {"items": []}}
    document = {"dm_format_version": "1.0", "media_type": 2, "info": {}, "categories": categories, "items": items[::-1]}
    put(root / "annotations/default.json", document)
    save_pictures(root / "images/default", [f"frame_{t:06d}.png" for t in range(FRAMES)])


# LabelMe


def labelme_shape(track: int, name: str, box: Box, *, has_group: bool = True) -> dict[str, Any]:
    points = [[corners(box)[at], corners(box)[at + 1]] for at in range(0, 8, 2)]
    if track == 3:
        points = [points[2], points[0]]
    return {
        "label": name,
        "points": points,
        "group_id": track if has_group else None,
        "description": "",
        "shape_type": "rectangle" if track == 3 else "polygon",
        "flags": {},
        "mask": None,
    }


def labelme(root: Path, *, path: str = "{}.png", has_group: bool = True, is_embedded: bool = False) -> None:
    for t in range(FRAMES):
        found = [labelme_shape(track, name, box, has_group=has_group) for track, name, at, box in shapes() if at == t]
        image = root / f"clip/{t}.png"
        save_pictures(image.parent, [f"{at}.png" for at in range(t + 1)])
        document = {
            "version": "5.4.1",
            "flags": {},
            "shapes": found,
            "imagePath": path.format(t),
            "imageData": base64.b64encode(image.read_bytes()).decode() if is_embedded else None,
            "imageHeight": None if is_embedded else HEIGHT,
            "imageWidth": None if is_embedded else WIDTH,
        }
        put(root / f"clip/{t}.json", document)
    if is_embedded:
        for path_ in (root / "clip").glob("*.png"):
            path_.unlink()


def labelme_windows(root: Path) -> None:
    labelme(root, path="C:\\Users\\me\\frames\\{}.png", has_group=False)


def labelme_embedded(root: Path) -> None:
    labelme(root, is_embedded=True)


# COCO with videos, as MMTracking and others have them


def cocovid(root: Path, *, ids: Callable[[int], Any] = int) -> None:
    images = [
        {
            "id": ids(t + 1),
            "file_name": f"clip\\{t}.png",
            "height": HEIGHT,
            "width": WIDTH,
            "video_id": ids(1),
            "frame_id": t,
            "is_vid_train_frame": True,
        }
        for t in (2, 0, 3, 1)
    ]
    annotations = [
        {
            "id": ids(number),
            "image_id": ids(t + 1),
            "video_id": ids(1),
            "category_id": ids(CLASSES.index(name) + 1),
            "instance_id": track,
            "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
            "area": 1,
            "iscrowd": False,
            "segmentation": {"size": [HEIGHT, WIDTH], "counts": f"{rle_of(pixels(track, t))['counts'].encode()!r}"},
        }
        for number, (track, name, t, box) in enumerate(shapes(), start=1)
    ]
    categories = [{**one, "id": ids(one["id"])} for one in coco_categories()]
    videos = [{"id": ids(1), "name": "clip"}]
    document = {"categories": categories, "videos": videos, "images": images, "annotations": annotations}
    put(root / "annotations/train.json", document)
    save_pictures(root / "data", [f"clip/{t}.png" for t in range(FRAMES)])


def cocovid_text_ids(root: Path) -> None:
    cocovid(root, ids=str)


def cocovid_float_ids(root: Path) -> None:
    cocovid(root, ids=float)


# Folders of PNG files


def davis(
    root: Path, *, resolution: str = "480p/", listed: str | None = "clip\n", values: dict[int, int] | None = None
) -> None:
    for t in range(FRAMES):
        indices = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
        for track in OBJECTS:
            indices[pixels(track, t)] = track if values is None else values[track]
        image = Image.fromarray(indices)
        image.putpalette([(at * 37) % 256 for at in range(768)])
        path = root / f"Annotations/{resolution}clip/{t:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    save_pictures(root / f"JPEGImages/{resolution}clip", [f"{t:05d}.jpg" for t in range(FRAMES)])
    if listed is not None:
        shutil.copytree(root / f"Annotations/{resolution}clip", root / f"Annotations/{resolution}other")
        put(root / "ImageSets/2017/train.txt", listed)
        put(root / "ImageSets/2017/val.txt", "other\n")


def youtube_vos(root: Path) -> None:
    davis(root / "train", resolution="", listed=None)
    objects = {
        str(track): {"category": name, "frames": [f"{t:05d}" for t, box in enumerate(boxes) if box is not None]}
        for track, (name, boxes) in OBJECTS.items()
    }
    put(root / "train/meta.json", {"videos": {"clip": {"objects": objects}}})


def vipseg(root: Path) -> None:
    """As downloaded: cart is class 61 of the masks and 60 of the list, dog 70 and 69; the rest is stuff 5."""
    for t in range(FRAMES):
        values = np.full((HEIGHT, WIDTH), 5, dtype=np.uint16)
        values[:, :2] = 0
        for track, (name, _) in OBJECTS.items():
            values[pixels(track, t)] = (61 if name == "cart" else 70) * 100 + track
        path = root / f"panomasks/12_clip/{t:08d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(path)
    save_pictures(root / "imgs/12_clip", [f"{t:08d}.jpg" for t in range(FRAMES)])
    put(root / "panoVIPSeg_categories.json", vipseg_categories())
    put(root / "train.txt", "12_clip\n13_elsewhere\n")
    put(root / "val.txt", "14_elsewhere\n")


def vipseg_categories() -> list[dict[str, Any]]:
    return [
        {"id": 4, "name": "sky", "isthing": 0, "color": [1, 2, 3]},
        {"id": 60, "name": "cart", "isthing": 1, "color": [4, 5, 6]},
        {"id": 69, "name": "dog", "isthing": 1, "color": [7, 8, 9]},
    ]


def vipseg_converted(root: Path) -> None:
    """In COCO's way: colours for segments, and the frames of each video in a list."""
    annotations = []
    for t in range(FRAMES):
        ids = np.full((HEIGHT, WIDTH), 70_000, dtype=np.int64)
        segments = [{"id": 70_000, "category_id": 4, "iscrowd": 0, "area": 1}]
        for track, name, at, _ in shapes():
            if at == t:
                ids[pixels(track, t)] = track
                segments.append({"id": track, "category_id": 60 if name == "cart" else 69, "iscrowd": 0, "area": 1})
        colours = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
        path = root / f"panomasksRGB/12_clip/{t:08d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(colours).save(path)
        annotations.append({"image_id": f"{t:08d}", "file_name": f"{t:08d}.png", "segments_info": segments})
    images = [{"id": f"{t:08d}", "file_name": f"{t:08d}.png", "width": WIDTH, "height": HEIGHT} for t in range(FRAMES)]
    document = {
        "videos": [{"video_id": "12_clip", "images": images}],
        "annotations": [{"video_id": "12_clip", "annotations": annotations}],
        "categories": vipseg_categories(),
    }
    put(root / "panoptic_gt_VIPSeg_train.json", document)
    save_pictures(root / "images/12_clip", [f"{t:08d}.jpg" for t in range(FRAMES)])


def panoptic_with_video_ids(root: Path) -> None:
    """All images of all videos in one list, out of order."""
    vipseg_converted(root)
    path = root / "panoptic_gt_VIPSeg_train.json"
    document = json.loads(path.read_text())
    images = [
        {**image, "id": t + 10, "file_name": f"12_clip/{image['file_name']}", "video_id": 4, "frame_id": t}
        for t, image in enumerate(document["videos"][0]["images"])
    ]
    annotations = [
        {**one, "image_id": t + 10, "file_name": f"12_clip/{one['file_name']}"}
        for t, one in enumerate(document["annotations"][0]["annotations"])
    ]
    put(root / "panoptic_train.json", {**document, "videos": [], "images": images[::-1], "annotations": annotations})
    path.unlink()


def yolo(root: Path, *, confidence: str = "", has_ids: bool = True, video: str = "") -> None:
    """As `track(..., save_txt=True)` writes it; frames count from 1, and one without objects has no file."""
    for track, name, t, box in shapes():
        shares = (f"{value / side:.6f}" for value, side in zip(corners(box), (WIDTH, HEIGHT) * 4, strict=True))
        path = root / f"labels/{video}{t + 1}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        words = [str(CLASSES.index(name)), *shares, *([confidence] if confidence else []), *([str(track)] * has_ids)]
        with path.open("a") as file:
            file.write(" ".join(words) + "\n")
    save_pictures(root / "images", [f"{video}{t + 1}.jpg" for t in range(FRAMES)])
    put(root / "data.yaml", "path: .\ntrain: images\nnc: 2\nnames:\n  0: cart\n  1: 'dog'  # the second\n")


def yolo_confident(root: Path) -> None:
    yolo(root, confidence="0.81", video="clip_")


# YouTube-VIS and its relatives as they are downloaded


def youtube_vis(root: Path, *, annotations: str, frames: str, name: str = "clip/{:05d}.jpg") -> None:
    tracks = [
        {
            "id": track,
            "video_id": 1,
            "category_id": CLASSES.index(class_name) + 1,
            "iscrowd": 0,
            "width": WIDTH,
            "height": HEIGHT,
            "length": 1,
            "segmentations": [None if box is None else rle_of(pixels(track, t)) for t, box in enumerate(boxes)],
            "bboxes": [None if box is None else [*box[:2], box[2] - box[0], box[3] - box[1]] for box in boxes],
            "areas": [None if box is None else int(pixels(track, t).sum()) for t, box in enumerate(boxes)],
        }
        for track, (class_name, boxes) in OBJECTS.items()
    ]
    video = {
        "id": 1,
        "width": WIDTH,
        "height": HEIGHT,
        "length": FRAMES,
        "file_names": list(map(name.format, range(FRAMES))),
    }
    document = {"info": {}, "licenses": [], "videos": [video], "categories": coco_categories(), "annotations": tracks}
    put(root / annotations, document)
    save_pictures(root / frames, list(map(name.format, range(FRAMES))))


def ovis(root: Path) -> None:
    youtube_vis(root, annotations="annotations_train.json", frames="train", name="clip/img_{:07d}.jpg")


def lv_vis(root: Path) -> None:
    youtube_vis(root, annotations="train_instances.json", frames="train/JPEGImages")


EXPORTS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "cvat video": ("cvat", cvat_video),
    "cvat coco": ("coco-tracks", cvat_coco),
    "cvat mots png": ("mots-png", cvat_mots),
    "datumaro": ("datumaro", datumaro),
    "labelme": ("labelme", labelme),
    "labelme from windows": ("labelme", labelme_windows),
    "labelme embedded": ("labelme", labelme_embedded),
    "cocovid": ("coco-tracks", cocovid),
    "cocovid text ids": ("coco-tracks", cocovid_text_ids),
    "cocovid float ids": ("coco-tracks", cocovid_float_ids),
    "davis": ("davis", davis),
    "youtube-vos": ("davis", youtube_vos),
    "vipseg": ("vipseg", vipseg),
    "vipseg converted": ("vipseg", vipseg_converted),
    "panoptic with video ids": ("vipseg", panoptic_with_video_ids),
    "yolo": ("yolo", yolo),
    "yolo with confidences": ("yolo", yolo_confident),
    "ovis": ("youtube-vis", ovis),
    "lv-vis": ("youtube-vis", lv_vis),
}
"""Format and builder by the name of the export; all hold the scene."""


def add_mac_files(root: Path) -> None:
    """What macOS leaves beside the files and in archives, and byte-order marks as Windows editors write them."""
    for path in [path for path in root.rglob("*") if path.is_file()]:
        fork = b"\0\5\x16\7\0\2\0\0Mac OS X        "
        path.with_name(f"._{path.name}").write_bytes(fork)
        twin = root / "__MACOSX" / path.relative_to(root).with_name(f"._{path.name}")
        twin.parent.mkdir(parents=True, exist_ok=True)
        twin.write_bytes(fork)
        path.with_name(".DS_Store").write_bytes(fork)
        if path.suffix in (".json", ".txt", ".xml", ".yaml"):
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


def zipped(root: Path, target: Path, *, below: str = "") -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(root.rglob("*")):
            archive.write(path, below + path.relative_to(root).as_posix())
    return target
