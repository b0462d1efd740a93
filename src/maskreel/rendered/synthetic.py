"""The rendered set: videos with known truth, made from a seed, the same bits on every machine; no download.

`render_video` draws one video, `write_dataset` a split in YouTube-VIS 2019 layout (`DIR/SPLIT.json` and
`DIR/SPLIT/JPEGImages/<video>/00000.png`), `dataset_hash` tells whether two splits are the same. Every video of the file
carries a list `dials`: the events that happen in it (`dials.EVENT_NAMES`), for figures per event; where frames are
lost, their positions as `noise_frames` and `frozen_frames`.
"""

import hashlib
import json
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from PIL import Image

from maskreel.errors import DataError, UsageError
from maskreel.files import discard
from maskreel.geometry.rle import encode
from maskreel.rendered.dials import EVENT_NAMES, MOTION_CLASSES, SyntheticDials
from maskreel.rendered.rendering import RenderedVideo, render_video
from maskreel.rendered.silhouettes import CLASS_NAMES
from maskreel.video.images import UNREADABLE, read_image

__all__ = [
    "CLASS_NAMES",
    "DEMO_SEED",
    "EVENT_NAMES",
    "TEST_SEEDS",
    "TRAIN_SEEDS",
    "RenderedVideo",
    "SyntheticDials",
    "changed_dials",
    "dataset_hash",
    "render_video",
    "write_dataset",
]

TRAIN_SEEDS = range(10_000)
TEST_SEEDS = range(10_000, 1_000_000)
"""Never trained on."""
DEMO_SEED = 9_000_000
"""Seed of the demo clip, in neither of the other ranges."""

MAX_VIDEOS = 100_000

Record = dict[str, Any]


def write_dataset(
    root: Path,
    split: str,
    *,
    num_videos: int,
    seed: int,
    dials: SyntheticDials,
    workers: int = 1,
    report: Callable[[int], None] | None = None,
) -> None:
    """Render a split; its content does not depend on the number of worker processes.

    Nothing stands under a final name before everything is written. `report` hears how many videos are done. With more
    than one worker the calling script needs the usual `if __name__ == "__main__"` guard.

    Raises:
        UsageError: for arguments out of range, a split that exists, and a folder that cannot be written.
    """
    _check_range("--videos", num_videos, 1, MAX_VIDEOS)
    _check_range("--seed", seed, 0, 2**63)
    _check_range("--workers", workers, 1, 256)
    with _unfinished_folder(root, split) as folder:
        draw = partial(_write_video, folder / split / "JPEGImages", seed, dials)
        videos, annotations = [], []
        for done, (video, tracks) in enumerate(_in_order(draw, num_videos, workers), start=1):
            videos.append(video)
            annotations.extend(tracks)
            if report is not None:
                report(done)
        content = {
            "info": {"description": "Maskreel rendered set", "seed": seed, "changed_dials": changed_dials(dials)},
            "videos": videos,
            "categories": [{"id": id, "name": name} for id, name in categories(dials)],
            "annotations": [{"id": k + 1, **track} for k, track in enumerate(annotations)],
        }
        (folder / f"{split}.json").write_text(json.dumps(content), encoding="utf-8")


def changed_dials(dials: SyntheticDials) -> Record:
    """Dials with another value than the default."""
    return {d.name: value for d in fields(dials) if (value := type(d.default)(getattr(dials, d.name))) != d.default}


def categories(dials: SyntheticDials) -> list[tuple[int, str]]:
    """(category id, name) of every label."""
    if dials.motion_class:
        return [(len(CLASS_NAMES) + 1 + k, name) for k, name in enumerate(MOTION_CLASSES)]
    return [(k + 1, name) for k, name in enumerate(CLASS_NAMES[: dials.classes])]


def dataset_hash(root: Path, split: str) -> str:
    """SHA-256 over the annotation file's content and all decoded pixels of a split that `write_dataset` made.

    Raises:
        UsageError: when there is no such split.
        DataError: when a frame is missing or damaged.
    """
    path = root / f"{split}.json"
    if not path.is_file():
        raise UsageError(f"{path} does not exist; render it with `maskreel data synth {root} --split {split}`.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names = [name for video in content["videos"] for name in video["file_names"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a rendered split ({error}); render it again.") from error
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())
    for name in names:
        frame = root / split / "JPEGImages" / name
        try:
            pixels = read_image(frame)
        except (DataError, *UNREADABLE) as error:
            raise DataError(f"{frame}: frame cannot be read ({error}); render the split again.") from error
        digest.update(f"{pixels.shape}".encode())
        digest.update(pixels.tobytes())
    return digest.hexdigest()


def _check_range(option: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise UsageError(f"{option} is {value}; allowed is {low} to {high}.")


@contextmanager
def _unfinished_folder(root: Path, split: str) -> Iterator[Path]:
    """A folder beside the target whose split moves into place at the end, and which vanishes after a failure."""
    if split != Path(split).name or split in ("", ".", ".."):
        raise UsageError(f"--split is {split!r}; give a plain word such as train or valid.")
    frames, annotations = root / split, root / f"{split}.json"
    for path in (annotations, frames):
        if path.is_file() or (path.is_dir() and any(path.iterdir())):
            raise UsageError(f"{path} exists already; choose another folder or --split, or remove it first.")
    folder = None
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{split}-unfinished-", dir=root))
        (folder / split / "JPEGImages").mkdir(parents=True)
        yield folder
        if frames.is_dir():
            frames.rmdir()
        os.replace(folder / split, frames)
        os.replace(folder / annotations.name, annotations)
    except OSError as error:
        raise UsageError(
            f"{root} cannot be written ({error.strerror or error}); choose another folder or make room."
        ) from error
    finally:
        if folder is not None:
            discard(folder)


def _in_order(
    draw: Callable[[int], tuple[Record, list[Record]]], count: int, workers: int
) -> Iterator[tuple[Record, list[Record]]]:
    """Results for 0 ... count - 1, computed here or by worker processes."""
    if workers == 1:
        yield from map(draw, range(count))
        return
    # Forking a process that has run parallel numba code kills the child; spawned workers are safe.
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    )
    try:
        yield from pool.map(draw, range(count))
    finally:
        pool.shutdown(cancel_futures=True)


def _write_video(frames_folder: Path, seed: int, dials: SyntheticDials, index: int) -> tuple[Record, list[Record]]:
    """Render and save one video; returns its entry and its tracks for the annotation file."""
    video = render_video(seed, index, dials)
    name = f"{index:05d}"
    folder = frames_folder / name
    folder.mkdir()
    for t, frame in enumerate(video.frames):
        Image.fromarray(frame).save(folder / f"{t:05d}.png", compress_level=3)
    shape = {"height": dials.height, "width": dials.width, "length": dials.frames}
    entry = {
        "id": index + 1,
        **shape,
        "file_names": [f"{name}/{t:05d}.png" for t in range(dials.frames)],
        "dials": list(video.dials),
    }
    if video.noise_frames or video.frozen_frames:
        entry |= {"noise_frames": list(video.noise_frames), "frozen_frames": list(video.frozen_frames)}
    ids = [id for id, _ in categories(dials)]
    tracks = [
        {"video_id": index + 1, "category_id": ids[label], "iscrowd": 0, **shape, "length": 1, **_track(masks)}
        for label, masks in zip(video.labels, video.masks, strict=True)
    ]
    return entry, tracks


def _track(masks: Bool[np.ndarray, "t h w"]) -> Record:
    """Per-frame fields of one annotation, null where nothing shows."""
    segmentations: list[Record | None] = []
    bboxes: list[list[float] | None] = []
    areas: list[int | None] = []
    for mask in masks:
        if not mask.any():
            segmentations.append(None)
            bboxes.append(None)
            areas.append(None)
            continue
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        top, left = int(rows[0]), int(columns[0])
        segmentations.append(encode(mask).to_json())
        bboxes.append([float(left), float(top), float(columns[-1] + 1 - left), float(rows[-1] + 1 - top)])
        areas.append(int(mask.sum()))
    return {"segmentations": segmentations, "bboxes": bboxes, "areas": areas}
