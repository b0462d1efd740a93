"""Data that there is nothing to learn from is refused before anything is written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskreel.data.joint import load_sets
from maskreel.errors import DataError
from maskreel.geometry import rle
from maskreel.training.run_data import check_objects
from tests.builders import write_youtube_vis

EMPTY = rle.encode(np.zeros((24, 40), dtype=bool)).to_json()


def write(root: Path, **changes: Any) -> None:
    document = write_youtube_vis(root)
    for track in document["annotations"]:
        track |= changes
    (root / "train.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"iscrowd": 1}, "4 crowds, which are not learnt"),
        ({"iscrowd": "true"}, "4 crowds, which are not learnt"),
        ({"segmentations": [None] * 6}, "4 tracks without a single pixel"),
        ({"segmentations": [EMPTY] * 6}, "4 tracks without a single pixel"),
        ({"segmentations": [[[1, 1, 5, 1]]] * 6}, "4 tracks without a single pixel that can be read"),
    ],
)
def test_data_without_an_object_to_learn_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    write(tmp_path, **changes)
    with pytest.raises(DataError, match=rf"train\.json: no object to learn from: it holds {words}"):
        check_objects(load_sets(tmp_path, (), "train"))


def test_data_without_annotations_is_refused(tmp_path: Path) -> None:
    document = write_youtube_vis(tmp_path)
    (tmp_path / "train.json").write_text(json.dumps(document | {"annotations": []}))
    with pytest.raises(DataError, match="it holds no annotation"):
        check_objects(load_sets(tmp_path, (), "train"))


def test_one_object_of_one_of_several_sets_is_enough(tmp_path: Path) -> None:
    write(tmp_path / "crowds", iscrowd=1)
    write(tmp_path / "objects")
    check_objects(load_sets(tmp_path / "crowds", (tmp_path / "objects",), "train"))
