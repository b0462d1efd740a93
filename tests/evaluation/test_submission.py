"""What a results file for a benchmark server may not hold, and the archive."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from maskreel.data.annotation_file import read_videos
from maskreel.errors import DataError, UsageError
from maskreel.evaluation.submission import BENCHMARKS, check_results, write_archive
from tests.evaluation.scenes import box, entry, scene, write

MASK = box(2, 3, 10, 8)
GOOD = [entry(0.9, [MASK, None]), entry(0.8, [None, MASK], video_id=2)]


def faults(folder: Path, results: Any, benchmark: str = "ytvis21", truth: Any = None) -> tuple[str, ...]:
    videos = None if truth is None else read_videos(write(folder, "gt.json", truth))
    return check_results(write(folder, "results.json", results), BENCHMARKS[benchmark], videos).faults


def test_a_sound_file_has_no_faults_with_and_without_the_videos(tmp_path: Path) -> None:
    truth = {**scene([], frames=2, videos=2), "annotations": None}
    assert faults(tmp_path, GOOD) == ()
    assert faults(tmp_path, GOOD, truth=truth) == ()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (7, "entry 2: '7' is no object"),
        ({**GOOD[0], "video_id": "1"}, "entry 2: video_id is '1', not a whole number"),
        ({**GOOD[0], "video_id": 0}, "entry 2: video_id is 0; ids of YouTube-VIS 2021 start at 1"),
        ({**GOOD[0], "category_id": 41}, "entry 2: category_id is 41; YouTube-VIS 2021 has classes 1 to 40"),
        ({**GOOD[0], "category_id": 0}, "entry 2: category_id is 0"),
        ({**GOOD[0], "score": None}, "entry 2: score is None, not a number"),
        ({**GOOD[0], "score": float("nan")}, "entry 2: score is nan"),
        ({**GOOD[0], "segmentations": MASK}, "entry 2: segmentations are no list"),
        (entry(0.5, [MASK] * 3), "entry 2: 3 segmentations where most entries of video 1 have 2"),
        (entry(0.5, [None, None]), "entry 2, all frames: no mask in any of them"),
        (entry(0.5, [[[1, 1, 9, 1, 9, 9]], None]), "entry 2, frame 0: not a compressed mask"),
        (entry(0.5, [{"size": [20, 30], "counts": [600]}, None]), "entry 2, frame 0: not a compressed mask"),
        (entry(0.5, [{**MASK, "size": [30, 20]}, None]), "entry 2, frame 0: mask size [30, 20]"),
        (entry(0.5, [None, {**MASK, "counts": "5"}]), "entry 2, frame 1: runs cover 5 pixels"),
    ],
)
def test_each_fault_is_named_with_its_entry(tmp_path: Path, wrong: Any, reason: str) -> None:
    found = faults(tmp_path, [*GOOD, wrong, entry(0.7, [MASK, MASK])])
    assert any(fault.startswith(reason) for fault in found), found


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    results = [{**GOOD[0], "category_id": 26, "score": "1"}, {**GOOD[1], "segmentations": [None, "x"]}]
    assert len(faults(tmp_path, results, "ovis")) == 3


def test_videos_of_the_split_are_held_against_the_entries(tmp_path: Path) -> None:
    truth = scene([], frames=2, videos=1)
    assert faults(tmp_path, [entry(0.5, [MASK])], truth=truth) == ("entry 0: 1 segmentations where video 1 has 2",)
    (fault,) = faults(tmp_path, [entry(0.5, [MASK, MASK], video_id=9)], truth=truth)
    assert fault.startswith("entry 0: video_id 9 is not in")


def test_an_empty_list_and_too_many_videos_are_faults(tmp_path: Path) -> None:
    assert "empty" in faults(tmp_path, [])[0]
    crowded = [entry(0.5, [MASK], video_id=video) for video in range(1, 157)]
    assert faults(tmp_path, crowded, "ovis") == ("predictions for 156 videos; of OVIS valid has 140, test has 154",)
    assert faults(tmp_path, crowded, "ytvis22") == ()


def test_what_is_no_results_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a results file is a list"):
        faults(tmp_path, scene([]))
    with pytest.raises(DataError, match="cut short"):
        faults(tmp_path, "[{")
    with pytest.raises(UsageError, match="cannot be read"):
        check_results(tmp_path / "gone.json", BENCHMARKS["ovis"])


def test_the_archive_holds_the_file_at_top_level_and_is_always_the_same(tmp_path: Path) -> None:
    path = write(tmp_path, "my predictions.json", GOOD)
    for name in ("a.zip", "b.zip"):
        write_archive(path, tmp_path / name)
    with zipfile.ZipFile(tmp_path / "a.zip") as bundle:
        assert bundle.namelist() == ["results.json"]
        assert json.loads(bundle.read("results.json")) == GOOD
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
