"""What `maskreel inspect` writes: four pictures, each with the numbers that it was drawn from."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from maskreel.geometry import rle
from maskreel.inference.inspection import Inspection
from maskreel.outputs import Outputs
from maskreel.structures import Looks
from maskreel.video.files import Frame
from maskreel.visualize.draw import DrawnObject, draw_objects
from maskreel.visualize.inspection import QueryMap, Row, draw_features, draw_looks, draw_queries
from maskreel.visualize.plane import in_the_plane

FILES = {
    "token.png": "what the encoder's token at the place reads",
    "token.npz": "its weights",
    "object.png": "what the decoder's queries of the object there read",
    "object.npz": "their weights",
    "features.png": "the encoder's finest map",
    "features.npz": "its values",
    "queries.png": "queries of all objects in the plane",
    "queries.csv": "their places",
}

SHOWN = 330
"""Columns of pixels of a frame with names in it, so that they can be read on a sheet."""


@dataclass(frozen=True, kw_only=True, eq=False)
class InspectedModel:
    """A model and what was seen in it."""

    name: str
    """As it was typed."""
    classes: Sequence[str]
    seen: Inspection


def write_files(
    folder: Path, models: Sequence[InspectedModel], frames: Sequence[Frame], columns: Sequence[int], outputs: Outputs
) -> None:
    """Write every one of `FILES` into a folder, where they were claimed; `columns` are the frames of the sheets."""
    place, numbers = models[0].seen.place, [frames[t].index for t in columns]
    mark = (place.frame, place.x, place.y)
    looks = {
        "token": [one.seen.token_looks for one in models],
        "object": [one.seen.object_looks for one in models],
    }
    for what, tables in looks.items():
        rows = [row for one, table in zip(models, tables, strict=True) for row in _rows(one, table, frames, columns)]
        with outputs.writing(folder / f"{what}.png") as new:
            draw_looks(new, rows, columns, numbers, mark, frames[0].pixels.shape[:2])
        with outputs.writing(folder / f"{what}.npz") as new:
            _save_arrays(new, models, [_arrays(table) for table in tables])
    with outputs.writing(folder / "features.png") as new:
        maps = [(f"{one.name}: mean over channels of the finest map", one.seen.features[columns]) for one in models]
        draw_features(new, [frames[t].pixels for t in columns], maps, numbers)
    with outputs.writing(folder / "features.npz") as new:
        _save_arrays(new, models, [{"mean": one.seen.features} for one in models])
    queries = [_query_map(one) for one in models]
    with outputs.writing(folder / "queries.png") as new:
        draw_queries(new, queries)
    with outputs.writing(folder / "queries.csv") as new:
        _save_queries(new, models, queries)


def _rows(
    model: InspectedModel, looks: Mapping[str, Looks], frames: Sequence[Frame], columns: Sequence[int]
) -> list[Row]:
    """What the model finds, and below it a row for each kind of attention."""
    seen, pictures = model.seen, [frames[t].pixels for t in columns]
    found = f"{model.name}: objects found: {len(seen.objects)}"
    rows = [Row(caption=found, frames=[_overlay(model, frames[t], t) for t in columns])]
    return rows + [
        Row(caption=f"{model.name}: {kind}", frames=pictures, looks=table, levels=seen.levels)
        for kind, table in looks.items()
    ]


def _overlay(model: InspectedModel, frame: Frame, t: int) -> UInt8[np.ndarray, "_ _ 3"]:
    """A frame at the size of a sheet, with the objects found in it; the one that was chosen has a star."""
    drawn, size = [], (SHOWN, max(1, round(SHOWN * frame.pixels.shape[0] / frame.pixels.shape[1])))
    for number, one in enumerate(model.seen.objects):
        mask = one.masks[t]
        if mask is not None:
            caption = f"{'*' if number == model.seen.chosen else ''}{number + 1} {model.classes[one.label]}"
            pixels = np.asarray(Image.fromarray(rle.decode(mask)).resize(size))
            drawn.append(DrawnObject(mask=pixels, track_id=number + 1, caption=caption))
    picture = Image.fromarray(frame.pixels).resize(
        size, Image.Resampling.BOX if size[0] < frame.pixels.shape[1] else None
    )
    return draw_objects(np.asarray(picture), drawn)


def _arrays(looks: Mapping[str, Looks]) -> dict[str, np.ndarray]:
    """Columns of every table, by the kind of attention and the name of the column."""
    names = ("head", "frame", "level", "place", "weight")
    return {
        f"{re.sub(r'[^a-z]+', '_', kind)}.{name}": getattr(table, name).numpy()
        for kind, table in looks.items()
        for name in names
    }


def _save_arrays(path: Path, models: Sequence[InspectedModel], arrays: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Arrays of the models behind `a.` and `b.`, and the numbers of the clip's frames in the video."""
    named: dict[str, Any] = {
        f"{letter}.{name}": array for letter, one in zip("ab", arrays, strict=False) for name, array in one.items()
    }
    with path.open("wb") as file:
        np.savez_compressed(file, frames=np.array(models[0].seen.frames), **named)


def _query_map(model: InspectedModel) -> QueryMap:
    """A point for each object and frame in which it is seen."""
    seen = [
        (number, one.label, one.states[t], t)
        for number, one in enumerate(model.seen.objects, start=1)
        for t, mask in enumerate(one.masks)
        if mask is not None
    ]
    vectors = np.stack([entry[2] for entry in seen]) if seen else np.zeros((0, 2), np.float32)
    method, place = in_the_plane(vectors)
    return QueryMap(
        caption=f"{model.name}: {f'{method} of {len(seen)} queries' if seen else 'no object is found'}",
        place=place,
        number=np.array([entry[0] for entry in seen], dtype=np.int64),
        label=np.array([entry[1] for entry in seen], dtype=np.int64),
        frame=np.array([entry[3] for entry in seen], dtype=np.int64),
        names=model.classes,
    )


def _save_queries(path: Path, models: Sequence[InspectedModel], maps: Sequence[QueryMap]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("run", "object", "class", "score", "query", "frame", "x", "y"))
        for model, one in zip(models, maps, strict=True):
            for number, label, frame, (x, y) in zip(one.number, one.label, one.frame, one.place, strict=True):
                found = model.seen.objects[number - 1]
                words = (model.name, number, model.classes[label], f"{found.score:.6g}", found.query)
                table.writerow((*words, model.seen.frames[frame], f"{x:.6g}", f"{y:.6g}"))
