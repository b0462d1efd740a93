"""Frames of a split in few large files: tar archives in the layout of WebDataset, with a table of where each one lies.

`DIR/SPLIT/shards` holds `SPLIT-000000.tar` ..., `index.npy` (a row per frame in the order of the annotation file: its
shard, first byte, number of bytes) and `shards.json` (size and SHA-256 of every shard and of the table). The annotation
file lies where it lies without shards. In an archive a frame has its name of the annotation file.
"""

import io
import json
import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from maskreel.data.tracks import Video
from maskreel.errors import DataError
from maskreel.files import file_sum, read_json

INDEX, SHARDS = "index.npy", "shards.json"


def packed_folder(root: Path, split: str) -> Path:
    """Where the shards of a split are, if it has any."""
    return root / split / "shards"


def is_packed(root: Path, split: str) -> bool:
    return (packed_folder(root, split) / SHARDS).is_file()


class PackedFrames:
    """The frames of a split in its shards; any frame is read at once, whatever lies before it."""

    def __init__(self, folder: Path, videos: Sequence[Video]) -> None:
        """DataError where the table is not that of these videos."""
        self._folder = folder
        described = read_json(folder / SHARDS)
        try:
            self._shards = [(str(one["name"]), int(one["size"]), str(one["sha256"])) for one in described["shards"]]
            self._sum_of_index = str(described["index"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{folder / SHARDS}: damaged; pack the data again (maskreel data pack)") from error
        self._first = np.cumsum([0, *(video.length for video in videos)])
        num_frames = int(self._first[-1])
        if self._index.shape != (num_frames, 3):
            raise DataError(
                f"{folder / INDEX}: lists {len(self._index)} frames, the annotation file has {num_frames}; "
                "pack the data again"
            )

    def place(self, video_index: int, frame: int) -> Path:
        """The shard of a frame, for messages."""
        return self._folder / self._shards[int(self._index[self._first[video_index] + frame, 0])][0]

    def read(self, video_index: int, frame: int) -> bytes:
        """The file of a frame, as it was packed; DataError where the shard is too short or gone."""
        shard, start, size = map(int, self._index[self._first[video_index] + frame])
        content = os.pread(self._open(shard), size, start)
        if len(content) != size:
            raise DataError(f"{self._folder / self._shards[shard][0]}: ends too early: the file is damaged")
        return content

    def check(self, *, part: int = 0, of: int = 1) -> None:
        """DataError that names the first shard, or the table, that is not as it was packed.

        Every `of`-th shard from `part` on is read whole, sizes are compared of all.
        """
        advice = "the file is damaged; copy it again, or pack the data again (maskreel data pack)"
        if file_sum(self._folder / INDEX) != self._sum_of_index:
            raise DataError(f"{self._folder / INDEX}: its SHA-256 differs from {SHARDS}: {advice}")
        for name, size, _ in self._shards:
            path = self._folder / name
            if not path.is_file():
                raise DataError(f"{path}: the shard is missing; copy it again, or pack the data again")
            if path.stat().st_size != size:
                raise DataError(f"{path}: has {path.stat().st_size} bytes where {SHARDS} has {size}: {advice}")
        for name, _, expected in self._shards[part::of]:
            if file_sum(self._folder / name) != expected:
                raise DataError(f"{self._folder / name}: its SHA-256 differs from {SHARDS}: {advice}")

    @cached_property
    def _index(self) -> np.ndarray:
        try:
            return np.load(self._folder / INDEX, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"{self._folder / INDEX}: cannot be read ({error}); pack the data again") from error

    @cached_property
    def _files(self) -> dict[int, int]:
        """Descriptors of open shards; processes may share them, for reading by place moves nothing."""
        return {}

    def _open(self, shard: int) -> int:
        if shard not in self._files:
            path = self._folder / self._shards[shard][0]
            try:
                self._files[shard] = os.open(path, os.O_RDONLY)
            except OSError as error:
                raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        return self._files[shard]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_files", "_index")}


def write_shards(folder: Path, split: str, frames: Iterable[tuple[str, Path]], *, shard_bytes: int) -> list[str]:
    """Write shards, table and sums of frames, (name, file) each, into a folder; returns the names of the shards.

    A shard ends when it has reached `shard_bytes`. The same frames give the same bytes.
    """
    rows: list[tuple[int, int, int]] = []
    shards: list[dict[str, Any]] = []
    for number, members in enumerate(_divided(frames, shard_bytes)):
        name = f"{split}-{number:06d}.tar"
        with tarfile.open(folder / name, "w", format=tarfile.PAX_FORMAT) as archive:
            for member, path in members:
                content = path.read_bytes()
                head = tarfile.TarInfo(member)
                head.size = len(content)
                start = archive.offset + len(head.tobuf(archive.format, "utf-8", "surrogateescape"))
                archive.addfile(head, io.BytesIO(content))
                rows.append((number, start, len(content)))
        path = folder / name
        shards.append({"name": name, "size": path.stat().st_size, "sha256": file_sum(path)})
    np.save(folder / INDEX, np.array(rows, dtype=np.int64).reshape(-1, 3))
    (folder / SHARDS).write_text(json.dumps({"index": file_sum(folder / INDEX), "shards": shards}, indent=1) + "\n")
    return [one["name"] for one in shards]


def _divided(frames: Iterable[tuple[str, Path]], shard_bytes: int) -> Iterator[list[tuple[str, Path]]]:
    part: list[tuple[str, Path]] = []
    size = 0
    for name, path in frames:
        part.append((name, path))
        size += path.stat().st_size
        if size >= shard_bytes:
            yield part
            part, size = [], 0
    if part:
        yield part
