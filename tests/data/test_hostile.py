"""Small files that claim enormous things: they are read or refused, and memory does not follow the claim."""

import base64
import io
import json
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from maskreel.data.annotation_file import read_ground_truth
from maskreel.data.check.other_formats import check_format
from maskreel.data.check.splits import check_dataset
from maskreel.data.formats.annotations import ReadOptions
from maskreel.data.formats.catalog import FORMATS
from maskreel.data.formats.convert import convert
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.errors import DataError, UsageError
from maskreel.evaluation.report import ScoreOptions, score
from maskreel.evaluation.results import read_predictions
from maskreel.geometry import rle
from maskreel.rendered.synthetic import dataset_hash
from maskreel.video.sources import open_video
from tests.builders import write_youtube_vis
from tests.memory import LIMIT_MB, peak_mb

HIGH, WIDE = 8192, 16384
"""The largest frame that annotations may state."""
FULL = {"size": [HIGH, WIDE], "counts": rle.compress(np.array([5, HIGH * WIDE - 5])).decode()}
SMALL = {"size": [HIGH, WIDE], "counts": rle.compress(np.array([5, 7, HIGH * WIDE - 12])).decode()}
DOTS = {"size": [HIGH, WIDE], "counts": rle.compress(np.array([5, 7, HIGH * WIDE - 24, 7, 5])).decode()}
"""In the first and the last corner."""
CORNERS = [10.0, 10.0, WIDE - 10.0, 20.0, WIDE - 20.0, HIGH - 10.0, 30.0, HIGH - 30.0]


def youtube_vis(root: Path, *, mask: Any = FULL, frames: int = 1, tracks: int = 3, **video: Any) -> None:
    names = [f"a/{t}.png" for t in range(frames)]
    track = {"video_id": 1, "category_id": 1, "iscrowd": 0, "segmentations": [mask] * frames}
    document = {
        "videos": [{"id": 1, "width": WIDE, "height": HIGH, "file_names": names, **video}],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [{"id": n + 1, **track} for n in range(tracks)],
    }
    (root / "train.json").write_text(json.dumps(document))
    results = [{**track, "score": 0.5} for _ in range(tracks)]
    (root / "results.json").write_text(json.dumps(results))


def png(width: int, height: int, mode: str = "L") -> bytes:
    """A few bytes that declare an image."""
    file = io.BytesIO()
    Image.new(mode, (1, 1)).save(file, format="PNG")
    content = bytearray(file.getvalue())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def black(width: int, height: int, mode: str = "L") -> bytes:
    """An image that is as large as it says, in as few bytes as can be."""
    file = io.BytesIO()
    image = Image.new(mode, (width, height))
    image.putpixel((3, 3), (1, 0, 0) if mode == "RGB" else 1)
    image.save(file, format="PNG", compress_level=1)
    return file.getvalue()


def large_gif(root: Path) -> None:
    """As long as one of a pixel."""
    file = io.BytesIO()
    Image.new("P", (1, 1)).save(file, format="GIF")
    content = bytearray(file.getvalue())
    content[6:10] = struct.pack("<HH", 8192, 8192)
    (root / "a.gif").write_bytes(content)


def metrics_of_runs(root: Path) -> None:
    all_metrics(root, ("ap", "hota", "clear", "identity", "trackmap"))


def all_metrics(root: Path, words: tuple[str, ...] = ("ap", "hota", "clear", "identity", "trackmap", "jf")) -> None:
    truth = read_ground_truth(root / "train.json")
    score(truth, read_predictions(root / "results.json", truth), ScoreOptions(metrics=words))


def reader(name: str) -> Callable[[Path], object]:
    return lambda root: FORMATS[name].read(root, ReadOptions())


def to(name: str) -> Callable[[Path], object]:
    def run(root: Path) -> None:
        options = ReadOptions()
        convert(
            root,
            root / "out",
            read_as="youtube-vis",
            write_as=name,
            options=options,
            images="none",
            is_loss_allowed=True,
        )

    return run


def changed(root: Path, **changes: Any) -> None:
    document = write_youtube_vis(root, num_videos=1, num_frames=1)
    for section, change in changes.items():
        document[section][0] |= change
    (root / "train.json").write_text(json.dumps(document))
    (root / "results.json").write_text("[]")


def decode_all(root: Path) -> None:
    dataset = YouTubeVIS.load(root, "train")
    dataset.clip_target(0, [0])
    dataset.decode_frames(0, [0])


def largest_frames(root: Path) -> None:
    """Its frames are there, and declare what the annotations state."""
    youtube_vis(root)
    (root / "train/JPEGImages/a").mkdir(parents=True)
    (root / "train/JPEGImages/a/0.png").write_bytes(png(WIDE, HIGH, "RGB"))


def davis(root: Path, content: bytes) -> None:
    (root / "Annotations/clip").mkdir(parents=True)
    (root / "Annotations/clip/00000.png").write_bytes(content)


def mots_png(root: Path, content: bytes) -> None:
    (root / "instances/clip").mkdir(parents=True)
    (root / "instances/clip/000000.png").write_bytes(content)


def mots_txt(root: Path, line: str) -> None:
    (root / "clip.txt").write_text(line)


def labelme(root: Path, shapes: list[dict[str, Any]], frames: int = 3) -> None:
    for t in range(frames):
        document = {"shapes": shapes, "imagePath": "a.png", "imageHeight": HIGH, "imageWidth": WIDE}
        (root / f"{t}.json").write_text(json.dumps(document))


def labelme_shape(kind: str, number: int, **more: Any) -> dict[str, Any]:
    points = [CORNERS[at : at + 2] for at in range(0, 8, 2)] if kind == "polygon" else [[0, 0], [WIDE - 1, HIGH - 1]]
    return {"label": "a", "group_id": number, "shape_type": kind, "points": points, **more}


def cvat(root: Path, shapes: str, frames: int = 3) -> None:
    sides = f"<original_size><width>{WIDE}</width><height>{HIGH}</height></original_size>"
    meta = f"<meta><task><id>1</id><name>a</name><size>{frames}</size><labels><label><name>a</name></label></labels>"
    (root / "annotations.xml").write_text(
        f'<annotations>{meta}{sides}</task></meta><track id="0" label="a">{shapes}</track></annotations>'
    )


def coco(root: Path, mask: Any, **image: Any) -> None:
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": WIDE, "height": HIGH, **image}],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [{"id": n, "image_id": 1, "category_id": 1, "segmentation": mask} for n in range(1, 4)],
    }
    (root / "instances.json").write_text(json.dumps(document))


def burst(root: Path, **sizes: int) -> None:
    sequence = {
        "dataset": "a", "seq_name": "b", "width": WIDE, "height": HIGH, **sizes, "annotated_image_paths": ["0.jpg"],
        "track_category_ids": {"1": 1}, "segmentations": [{"1": {"rle": FULL["counts"]}}],
    }  # fmt: skip
    (root / "a.json").write_text(json.dumps({"sequences": [sequence], "categories": [{"id": 1, "name": "a"}]}))


def vipseg(root: Path, content: bytes) -> None:
    (root / "panomasksRGB/clip").mkdir(parents=True)
    (root / "panomasksRGB/clip/0.png").write_bytes(content)
    segments = [{"id": 1, "category_id": 1, "iscrowd": 0}]
    document = {
        "videos": [{"video_id": "clip", "images": [{"id": "0", "file_name": "0.jpg", "width": 8192, "height": 8192}]}],
        "annotations": [{"video_id": "clip", "annotations": [{"image_id": "0", "segments_info": segments}]}],
        "categories": [{"id": 1, "name": "a", "isthing": 1}],
    }
    (root / "panoptic_gt_VIPSeg.json").write_text(json.dumps(document))


HUGE = {"size": [60000, 60000], "counts": "0"}
POLYGONS = "".join(f'<polygon frame="{t}" points="10,10;{WIDE - 10},20;{WIDE - 20},{HIGH - 10}"/>' for t in (0, 2))
MASK = f'<mask frame="0" left="0" top="0" width="{WIDE}" height="{HIGH}" rle="7, 9, {WIDE * HIGH - 16}"/>'

WIDE_MASK = f'<mask frame="0" left="0" top="0" width="{2 * WIDE}" height="{HIGH}" rle="7, 9, {2 * WIDE * HIGH - 16}"/>'

CASES: dict[str, tuple[Callable[[Path], object], Callable[[Path], object]]] = {
    # claims that are refused, or cost nothing
    "category id, check": (lambda r: changed(r, categories={"id": 10**12}), check_dataset),
    "category id, read": (
        lambda r: changed(r, categories={"id": 10**12}, annotations={"category_id": 10**12}),
        decode_all,
    ),
    "category id, score": (
        lambda r: changed(r, categories={"id": 10**12}, annotations={"category_id": 10**12}),
        all_metrics,
    ),
    "video id, score": (lambda r: changed(r, videos={"id": 10**15}, annotations={"video_id": 10**15}), all_metrics),
    "length, check": (lambda r: changed(r, videos={"length": 10**9}), check_dataset),
    "length, read": (lambda r: changed(r, videos={"length": 10**9}), decode_all),
    "length without names, score": (lambda r: youtube_vis(r, tracks=0, file_names=None, length=10**9), all_metrics),
    "RLE of 60000 x 60000, check": (lambda r: youtube_vis(r, mask=HUGE, width=60000, height=60000), check_dataset),
    "RLE of 60000 x 60000, score": (lambda r: youtube_vis(r, mask=HUGE, width=60000, height=60000), all_metrics),
    "RLE of 60000 x 60000, read": (lambda r: youtube_vis(r, mask=HUGE, width=60000, height=60000), decode_all),
    "COCO image of 60000 x 60000": (lambda r: coco(r, HUGE, width=60000, height=60000), reader("coco")),
    "COCO polygon of 60000 x 60000": (lambda r: coco(r, [CORNERS], width=60000, height=60000), reader("coco")),
    "BURST of 60000 x 60000": (lambda r: burst(r, width=60000, height=60000), reader("burst")),
    "MOTS text of 60000 x 60000": (lambda r: mots_txt(r, "0 1 2 60000 60000 0"), reader("mots-txt")),
    "MOTS text, frames": (lambda r: mots_txt(r, "0 1 2 9 9 `2\n999999999999999 1 2 9 9 `2"), reader("mots-txt")),
    "DAVIS PNG of 30000 x 30000": (lambda r: davis(r, png(30000, 30000)), reader("davis")),
    "DAVIS PNG of 8000 x 8000": (lambda r: davis(r, png(8000, 8000)), reader("davis")),
    "DAVIS RGBA PNG of 8000 x 8000": (lambda r: davis(r, png(8000, 8000, "RGBA")), reader("davis")),
    "MOTS PNG of 8000 x 8000": (lambda r: mots_png(r, png(8000, 8000, "I;16")), reader("mots-png")),
    # the largest frame that is read
    "largest, check": (youtube_vis, check_dataset),
    "largest, score": (youtube_vis, metrics_of_runs),
    "largest, boundaries": (lambda r: youtube_vis(r, mask=DOTS, tracks=1), lambda r: all_metrics(r, ("jf",))),
    "largest with small masks, score": (lambda r: youtube_vis(r, mask=SMALL), all_metrics),
    "largest, training": (largest_frames, decode_all),
    "largest, polygons": (lambda r: youtube_vis(r, mask=[CORNERS]), check_dataset),
    "largest, COCO": (lambda r: coco(r, [CORNERS]), reader("coco")),
    "largest, BURST": (burst, reader("burst")),
    "largest, MOTS text": (lambda r: mots_txt(r, f"0 1 2 {HIGH} {WIDE} {FULL['counts']}"), reader("mots-txt")),
    "largest, CVAT polygons": (lambda r: cvat(r, POLYGONS), reader("cvat")),
    "largest, LabelMe polygons": (
        lambda r: labelme(r, [labelme_shape("polygon", n) for n in (1, 2, 2)]),
        reader("labelme"),
    ),
    "largest, CVAT mask": (lambda r: cvat(r, MASK), reader("cvat")),
    "beyond the largest, CVAT mask": (lambda r: cvat(r, WIDE_MASK), reader("cvat")),
    "largest, LabelMe mask": (
        lambda r: labelme(r, [labelme_shape("mask", 1, mask=base64.b64encode(black(8192, 8192, "1")).decode())], 1),
        reader("labelme"),
    ),
    "largest PNG, VIPSeg": (lambda r: vipseg(r, black(8192, 8192, "RGB")), reader("vipseg")),
    "large PNG, VIPSeg": (lambda r: vipseg(r, black(4096, 4096, "RGB")), reader("vipseg")),
    "largest PNG, DAVIS": (lambda r: davis(r, black(8192, 8192)), reader("davis")),
    "largest PNG, MOTS": (lambda r: mots_png(r, black(8192, 8192, "I;16")), reader("mots-png")),
    "a GIF of a few bytes": (large_gif, lambda r: open_video(r / "a.gif")),
    "largest PNG as a frame": (
        lambda r: (r / "a.png").write_bytes(black(8192, 8192)),
        lambda r: open_video(r / "a.png"),
    ),
    **{f"largest to {name}": (youtube_vis, to(name)) for name, one in FORMATS.items() if one.write is not None},
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.nightly] * bool(index % 4)) for index, name in enumerate(CASES)]
)
def test_memory_does_not_follow_what_a_small_file_claims(tmp_path: Path, name: str) -> None:
    plant, work = CASES[name]
    plant(tmp_path)
    peak, words = peak_mb(lambda: work(tmp_path))
    assert peak < LIMIT_MB, words


# Programs that a file would have run

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 24\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a stand-in for Ghostscript leaves where it is run."""
    program = tmp_path / "bin/gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch '{tmp_path}/was_run'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    return tmp_path / "was_run"


def a_frame(root: Path) -> None:
    write_youtube_vis(root)
    (root / "train/JPEGImages/video0/00001.png").write_bytes(POSTSCRIPT)


def beside_labels(root: Path) -> None:
    labelme(root, [labelme_shape("polygon", 1)], frames=1)
    (root / "0.png").write_bytes(POSTSCRIPT)


def in_a_shape(root: Path) -> None:
    labelme(root, [labelme_shape("mask", 1, mask=base64.b64encode(POSTSCRIPT).decode())], frames=1)


def before_mots(root: Path) -> None:
    mots_txt(root, "")
    (root / "images/clip").mkdir(parents=True)
    (root / "images/clip/000000.png").write_bytes(POSTSCRIPT)


def among_images(root: Path) -> None:
    write_youtube_vis(root)
    (root / "train/JPEGImages/video0/00001.eps").write_bytes(POSTSCRIPT)
    a_frame(root)


PLACES: dict[str, tuple[Callable[[Path], object], Callable[[Path], object]]] = {
    "frame, check": (a_frame, check_dataset),
    "frame, training": (a_frame, lambda root: YouTubeVIS.load(root, "train").decode_frames(0, [1])),
    "frame, predict": (among_images, lambda root: list(open_video(root / "train/JPEGImages/video0"))),
    "image named, predict": (a_frame, lambda root: list(open_video(root / "train/JPEGImages/video0/00001.png"))),
    "pattern, predict": (among_images, lambda root: list(open_video(f"{root}/train/JPEGImages/video0/*"))),
    "DAVIS mask": (lambda root: davis(root, POSTSCRIPT), reader("davis")),
    "DAVIS mask, check": (
        lambda root: davis(root, POSTSCRIPT),
        lambda root: check_format(root, "davis", ReadOptions()),
    ),
    "MOTS mask": (lambda root: mots_png(root, POSTSCRIPT), reader("mots-png")),
    "size of a MOTS sequence": (before_mots, reader("mots-txt")),
    "LabelMe image, check": (beside_labels, lambda root: check_format(root, "labelme", ReadOptions())),
    "LabelMe mask": (in_a_shape, reader("labelme")),
    "hash of a rendered set": (a_frame, lambda root: dataset_hash(root, "train")),
}


def test_the_stand_in_is_run_by_pillow_where_it_may_choose(tmp_path: Path, mark: Path) -> None:
    (tmp_path / "a.png").write_bytes(POSTSCRIPT)
    with suppress(Exception), Image.open(tmp_path / "a.png") as image:
        image.load()
    assert mark.exists()


@pytest.mark.parametrize("place", PLACES)
def test_postscript_starts_no_program_wherever_it_lies(tmp_path: Path, mark: Path, place: str) -> None:
    plant, work = PLACES[place]
    root = tmp_path / "set"
    root.mkdir()
    plant(root)
    with suppress(DataError, UsageError):
        work(root)
    assert not mark.exists()


# Names that would lead out of the folder


ESCAPES = ("../up", "/tmp/up", "a/../../up", "..\\up", "C:\\up", "a\0b", "\\\\host\\up")


@pytest.mark.parametrize("name", [*ESCAPES, "fine"])
@pytest.mark.parametrize("place", ["youtube-vis", "coco", "coco-tracks", "burst", "vipseg"])
def test_names_of_files_do_not_leave_the_folder(tmp_path: Path, place: str, name: str) -> None:
    """What is written lies in the target, whether such a name is refused or made harmless."""
    root = tmp_path / "inner/set"
    root.mkdir(parents=True)
    if place == "youtube-vis":
        youtube_vis(root, width=8, height=8, mask=None, file_names=[f"{name}/0.png"])
    elif place == "burst":
        burst(root)
        text = (root / "a.json").read_text().replace('"b"', json.dumps(name))
        (root / "a.json").write_text(text)
    elif place == "vipseg":
        vipseg(root, black(16, 16, "RGB"))
        path = root / "panoptic_gt_VIPSeg.json"
        (root / "panomasksRGB/clip").rename(root / "panomasksRGB" / (name if name == "fine" else "clip"))
        path.write_text(path.read_text().replace('"clip"', json.dumps(name)).replace("8192", "16"))
    else:
        coco(root, [[1.0, 1.0, 5.0, 1.0, 5.0, 5.0]], file_name=f"{name}.png", width=8, height=8, video_id=1, frame_id=0)
        document = json.loads((root / "instances.json").read_text())
        document["videos"] = [{"id": 1, "name": name}]
        document["annotations"] = [one | {"instance_id": one["id"]} for one in document["annotations"]]
        (root / "instances.json").write_text(json.dumps(document))
    before = set(tmp_path.rglob("*"))
    for target in ("labelme", "davis", "cvat", "youtube-vis"):
        with suppress(DataError, UsageError):
            out = tmp_path / f"inner/{target}"
            convert(
                root, out, read_as=place, write_as=target, options=ReadOptions(), images="none", is_loss_allowed=True
            )
    made = set(tmp_path.rglob("*")) - before
    targets = [tmp_path / f"inner/{target}" for target in ("labelme", "davis", "cvat", "youtube-vis")]
    assert all(any(path.is_relative_to(target) for target in targets) for path in made)
    assert made or name != "fine"
    assert not Path("/tmp/up").exists()
