"""Everything that is read, as a table: how a sound one is made, its main file, and how it is read."""

import json
import os
import pickle
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from maskreel.checkpoints.foreign import read_foreign
from maskreel.data.annotation_file import read_ground_truth
from maskreel.data.formats.annotations import ReadOptions
from maskreel.data.formats.catalog import FORMATS
from maskreel.data.formats.convert import convert
from maskreel.data.formats.reading import read_annotations
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.evaluation.comparison import read_scores
from maskreel.evaluation.results import read_predictions
from maskreel.evaluation.submission import BENCHMARKS, check_results
from maskreel.files import write_sums
from maskreel.geometry.masklets import Masklets
from maskreel.kernels import code_cache
from maskreel.models.folder import build_model, load_model, save_model
from maskreel.outputs import Outputs
from maskreel.recipes.catalog import find_recipe
from maskreel.training.checkpoint import newest_checkpoint
from maskreel.training.run_folder import read_recipe, write_recipe
from maskreel.video.sources import open_video
from maskreel.visualize.video import TimedImage, write_video
from tests.builders import write_youtube_vis
from tests.checkpoints.tables import TINY
from tests.data.formats import exports


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Something that is read. `main` is the file that is damaged, empty for the folder as a whole."""

    name: str
    make: Callable[[Path], None]
    """Into an empty folder."""
    read: Callable[[Path], Any]
    main: str = ""
    kind: str = "folder"
    """video, picture, json, text, weights, folder ...: decides which faults make sense."""


def _picture(t: int) -> np.ndarray:
    pixels = np.full((24, 32, 3), 40, np.uint8)
    pixels[4:14, 2 + t : 12 + t] = (220, 30, 30)
    return pixels


def _mp4(root: Path) -> None:
    frames = (TimedImage(t / 10, _picture(t)) for t in range(6))
    write_video(root / "clip.mp4", frames, frame_rate=Fraction(10))


def _y4m(root: Path) -> None:
    plane = bytes(16 * 16 * 3 // 2)
    (root / "clip.y4m").write_bytes(b"YUV4MPEG2 W16 H16 F10:1 C420\n" + (b"FRAME\n" + plane) * 4)


def _animation(name: str, **options: Any) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        first, *rest = (Image.fromarray(_picture(t)) for t in range(4))
        first.save(root / name, save_all=True, append_images=rest, **options)

    return make


def _frames(ending: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        (root / "frames").mkdir()
        for t in range(4):
            Image.fromarray(_picture(t)).save(root / "frames" / f"{t:04d}{ending}")

    return make


def _all_frames(name: str) -> Callable[[Path], int]:
    return lambda root: sum(1 for _ in open_video(root / name))


def _coco(root: Path) -> None:
    (root / "train2017").mkdir(parents=True)
    Image.fromarray(_picture(0)).save(root / "train2017" / "a.png")
    polygon = [[2.0, 2.0, 20.0, 2.0, 20.0, 12.0]]
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": 32, "height": 24}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": polygon, "iscrowd": 0, "area": 90}],
        "categories": [{"id": 1, "name": "block"}],
    }
    (root / "instances_train2017.json").write_text(json.dumps(document))


WRITTEN_BY_OTHERS: dict[str, Callable[[Path], None]] = {
    "coco": _coco,
    "datumaro": exports.datumaro,
    "vipseg": exports.vipseg,
    "panoptic": exports.vipseg_converted,
    "yolo": exports.yolo,
}
"""Formats that are read and not written."""


def _annotations(name: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        if name in WRITTEN_BY_OTHERS:
            WRITTEN_BY_OTHERS[name](root / "set")
            return
        write_youtube_vis(root / "source", num_videos=1, num_frames=4)
        options = ReadOptions(images=None)
        convert(
            root / "source", root / "set", read_as="youtube-vis", write_as=name, options=options, is_loss_allowed=True
        )

    return make


MAIN = {
    "youtube-vis": "set/train.json",
    "coco": "set/instances_train2017.json",
    "coco-tracks": "set/train.json",
    "mots-txt": "set/*/*.txt",
    "mots-png": "set/instances/*/*.png",
    "davis": "set/Annotations/*/*/*.png",
    "burst": "set/train.json",
    "cvat": "set/*/annotations.xml",
    "labelme": "set/*/*.json",
    "datumaro": "set/annotations/default.json",
    "vipseg": "set/panomasks/*/*.png",
    "panoptic": "set/panoptic_gt_VIPSeg_train.json",
    "yolo": "set/labels/*.txt",
}
"""Patterns of the main file of each format; the first that is found counts."""

KINDS = {
    "mots-txt": "text",
    "mots-png": "picture",
    "davis": "picture",
    "cvat": "text",
    "vipseg": "picture",
    "yolo": "text",
}


FORMAT_OF = {"panoptic": "vipseg"}


def _read_annotations(name: str) -> Callable[[Path], Any]:
    reader = FORMATS[FORMAT_OF.get(name, name)]  # pyright: ignore[reportArgumentType]
    return lambda root: reader.read(root / "set", ReadOptions(split="train"))


def _archive(root: Path) -> None:
    exports.labelme(root / "source")
    exports.zipped(root / "source", root / "set.zip")


def _read_archive(root: Path) -> Any:
    with read_annotations(root / "set.zip", None, ReadOptions(), wants_images=True) as (annotations, _):
        return annotations


def _truth_and_results(root: Path) -> None:
    document = write_youtube_vis(root, num_videos=1, num_frames=3)
    keys = ("video_id", "category_id", "segmentations")
    entries = [{key: track[key] for key in keys} | {"score": 0.5} for track in document["annotations"]]
    (root / "results.json").write_text(json.dumps(entries))
    scores = {"ap": {"AP": 0.5, "AP50": 0.6, "AP75": 0.4, "AR1": 0.3, "AR10": 0.2, "per_category": {}}}
    (root / "scores.json").write_text(json.dumps(scores))
    masklets = Masklets(source="a", width=8, height=8, classes=((1, "x"),), declared=1, timestamps=(0.0,), masklets=())
    masklets.save(root / "clip.json")


def _model(root: Path) -> None:
    config = next(config for config in TINY.values() if config.kind == "seqformer")
    torch.manual_seed(0)
    classes = [(number, f"class {number}") for number in range(1, config.num_classes + 1)]
    save_model(root / "model", build_model(config), config, classes)


def _run(root: Path) -> None:
    write_recipe(root, find_recipe("seqformer-tiny"))
    folder = root / "checkpoints" / "step-00000002"
    folder.mkdir(parents=True)
    for name in ("model.safetensors", "optimizer.safetensors", "state.json"):
        (folder / name).write_bytes(name.encode() * 50)
    write_sums(folder)


def _weights(ending: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        state = {f"layer{k}.weight": torch.arange(24.0).reshape(4, 6) + k for k in range(3)}
        path = root / f"weights{ending}"
        if ending == ".safetensors":
            from safetensors.torch import save_file

            save_file(state, path)
        elif ending == ".pkl":
            path.write_bytes(pickle.dumps({name: tensor.numpy() for name, tensor in state.items()}))
        else:
            torch.save({"model": state}, path, _use_new_zipfile_serialization=ending == ".pth")

    return make


def _sound(root: Path) -> None:
    with wave.open(str(root / "talk.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(4000))


def _cache(root: Path) -> None:
    folder = root / "maskreel" / "compiled"
    folder.mkdir(parents=True, mode=0o700)
    with _cache_at(root):
        code_cache.write("kernel", b"code" * 100)


def _read_cache(root: Path) -> bytes | None:
    with _cache_at(root):
        found = code_cache.read("kernel")
        code_cache.write("other", b"code")
    assert found in (None, b"code" * 100), "damaged code was taken"
    return found


class _cache_at:
    """The environment of a cache folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __enter__(self) -> None:
        self.before = os.environ.get("XDG_CACHE_HOME")
        os.environ["XDG_CACHE_HOME"] = str(self.root)

    def __exit__(self, *failure: object) -> None:
        os.environ.pop("XDG_CACHE_HOME")
        if self.before is not None:
            os.environ["XDG_CACHE_HOME"] = self.before


def _output(root: Path) -> None:
    _write_output(root)


def _write_output(root: Path) -> None:
    outputs = Outputs([root / "input"])
    outputs.claim(root / "out" / "a.json")
    with outputs.writing(root / "out" / "a.json") as new:
        new.write_text("{}")


def _both(
    name: str, make: Callable[[Path], None], read: Callable[[Path], Any], main: str, kind: str
) -> Iterator[Subject]:
    """The folder, and its main file."""
    yield Subject(name=f"{name} folder", make=make, read=read)
    yield Subject(name=name, make=make, read=read, main=main, kind=kind)


def _subjects() -> Iterator[Subject]:
    yield Subject(name="mp4", make=_mp4, read=_all_frames("clip.mp4"), main="clip.mp4", kind="video")
    yield Subject(name="y4m", make=_y4m, read=_all_frames("clip.y4m"), main="clip.y4m", kind="video")
    for name, options in (("a.gif", {}), ("a.webp", {"lossless": True}), ("a.tiff", {}), ("a.apng", {"format": "PNG"})):
        yield Subject(
            name=name[2:], make=_animation(name, **options), read=_all_frames(name), main=name, kind="picture"
        )
    yield from _both("png frames", _frames(".png"), _all_frames("frames"), "frames/0001.png", "picture")
    yield from _both("jpeg frames", _frames(".jpg"), _all_frames("frames"), "frames/0001.jpg", "picture")
    yield Subject(name="sound", make=_sound, read=_all_frames("talk.wav"), main="talk.wav", kind="video")
    for name in MAIN:
        kind = KINDS.get(name, "json")
        yield from _both(name, _annotations(name), _read_annotations(name), MAIN[name], kind)
    yield Subject(name="archive", make=_archive, read=_read_archive, main="set.zip", kind="archive")

    def read_split(root: Path) -> Any:
        return YouTubeVIS.load(root, "train").decode_frames(0, [0, 1])

    yield from _both("data set", _truth_and_results, read_split, "train.json", "json")
    readers: dict[str, tuple[str, Callable[[Path], Any]]] = {
        "ground truth": ("train.json", lambda root: read_ground_truth(root / "train.json")),
        "results": ("results.json", _read_results),
        "submission": ("results.json", lambda root: check_results(root / "results.json", BENCHMARKS["ovis"])),
        "scores": ("scores.json", lambda root: read_scores(root / "scores.json")),
        "masklets": ("clip.json", lambda root: Masklets.load(root / "clip.json")),
    }
    for name, (main, read) in readers.items():
        yield Subject(name=name, make=_truth_and_results, read=read, main=main, kind="json")
    yield Subject(name="model folder", make=_model, read=_load_model)
    for main, kind in (("config.json", "json"), ("model.safetensors", "weights"), ("sums.json", "json")):
        yield Subject(name=f"model {main}", make=_model, read=_load_model, main=f"model/{main}", kind=kind)
    yield from _both("run", _run, lambda root: read_recipe(root), "config.json", "json")
    place = "checkpoints/step-00000002"
    yield from _both("checkpoint", _run, newest_checkpoint, f"{place}/model.safetensors", "weights")
    yield Subject(name="checkpoint sums", make=_run, read=newest_checkpoint, main=f"{place}/sums.json", kind="json")
    for ending in (".pth", ".pt", ".pkl", ".safetensors"):
        name = f"weights{ending}"
        yield Subject(
            name=name,
            make=_weights(ending),
            read=lambda root, name=name: read_foreign(root / name),
            main=name,
            kind="weights",
        )
    yield from _both("cache", _cache, _read_cache, "maskreel/compiled/kernel", "cache")
    yield from _both("output", _output, _write_output, "out/written.json", "record")


def _read_results(root: Path) -> Any:
    return read_predictions(root / "results.json", read_ground_truth(root / "train.json"))


def _load_model(root: Path) -> Any:
    return load_model(root / "model")


SUBJECTS = {subject.name: subject for subject in _subjects()}
