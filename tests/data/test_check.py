"""Every kind of fault is planted into a sound data set and found; what can be repaired safely is."""

import copy
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskreel.data.annotation_file import parse_annotations
from maskreel.data.check.annotations import check_document
from maskreel.data.check.problems import KINDS, Problems
from maskreel.data.check.splits import CheckedSplit, check_dataset, fix_split
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.errors import UsageError
from maskreel.geometry import rle
from maskreel.outputs import Outputs
from maskreel.rendered.synthetic import SyntheticDials, write_dataset
from tests.builders import shared_path, write_youtube_vis

Document = dict[str, Any]


def sound(root: Path, **sizes: Any) -> Document:
    """Two videos of two tracks, with boxes and ids 1 and 2 of the classes: nothing to find."""
    document = write_youtube_vis(root, **sizes)
    for category in document["categories"]:
        category["id"] = {7: 1, 3: 2}[category["id"]]
    for track in document["annotations"]:
        track["category_id"] = {7: 1, 3: 2}[track["category_id"]]
        masks = [
            mask and rle.parse(mask, height=24, width=40, where="a mask of ours") for mask in track["segmentations"]
        ]
        track["bboxes"] = [mask and list(rle.bounding_box(mask)) for mask in masks]
    return document


def found(root: Path, document: Document | str) -> list[CheckedSplit]:
    (root / "train.json").write_text(document if isinstance(document, str) else json.dumps(document))
    return check_dataset(root)


def kinds(checked: list[CheckedSplit]) -> set[str]:
    return {problem.kind for split in checked for problem in split.problems}


def frame(root: Path, name: str) -> Path:
    return root / "train" / "JPEGImages" / name


def test_a_sound_data_set_has_nothing_wrong(tmp_path: Path) -> None:
    (checked,) = found(tmp_path, sound(tmp_path))
    assert list(checked.problems) == []
    assert checked.counts == {"videos": 2, "frames": 12, "tracks": 4, "masks": 18}


EMPTY = rle.encode(np.zeros((24, 40), dtype=bool)).to_json()


def set_mask(document: Document, mask: Any) -> None:
    document["annotations"][0]["segmentations"][2] = mask


def swap_size(document: Document, root: Path) -> None:
    mask = document["annotations"][0]["segmentations"][2]
    set_mask(document, {**mask, "size": mask["size"][::-1]})


def empty_mask(document: Document, root: Path) -> None:
    set_mask(document, EMPTY)
    document["annotations"][0]["bboxes"][2], document["annotations"][0]["areas"][2] = [0.0, 0.0, 0.0, 0.0], 0


def empty_track(document: Document, root: Path) -> None:
    document["annotations"][1] |= {key: [None] * 6 for key in ("segmentations", "bboxes", "areas")}


def rename_frames(document: Document, root: Path) -> None:
    for path in frame(root, "video0").iterdir():
        path.rename(path.with_name(f"{int(path.stem)}.png"))


def damage_frame(document: Document, root: Path) -> None:
    path = frame(root, "video0/00001.png")
    path.write_bytes(path.read_bytes()[:60])


def link_frame(document: Document, root: Path) -> None:
    path = frame(root, "video0/00001.png")
    outside = root.parent / "outside.png"
    path.rename(outside)
    path.symlink_to(outside)


def move_frames_away(document: Document, root: Path) -> None:
    os.rename(root / "train" / "JPEGImages", root / "images")


def swap_listed(names: list[str]) -> None:
    names[1], names[2] = names[2], names[1]


PLANTS: dict[str, Callable[[Document, Path], object]] = {
    "section": lambda d, root: d.pop("categories"),
    "no-objects": lambda d, root: [track.update(iscrowd=1) for track in d["annotations"]],
    "held-back": lambda d, root: d.update(annotations=None),
    "category-record": lambda d, root: d["categories"].append({"id": 3}),
    "category-id-repeated": lambda d, root: d["categories"].append({"id": 1, "name": "other"}),
    "category-name-repeated": lambda d, root: d["categories"].append({"id": 3, "name": "line"}),
    "category-id-gap": lambda d, root: d["categories"].append({"id": 9, "name": "far"}),
    "category-unused": lambda d, root: d["categories"].append({"id": 3, "name": "nobody"}),
    "video-record": lambda d, root: d["videos"][0].pop("width"),
    "video-id-repeated": lambda d, root: d["videos"].append(d["videos"][0]),
    "video-length": lambda d, root: d["videos"][0].update(length=5),
    "video-unlabelled": lambda d, root: d.update(annotations=d["annotations"][:2]),
    "path-leaves-root": lambda d, root: d["videos"][0]["file_names"].__setitem__(1, "../../secret.png"),
    "frame-repeated": lambda d, root: d["videos"][0]["file_names"].__setitem__(1, d["videos"][0]["file_names"][0]),
    "frame-order": lambda d, root: swap_listed(d["videos"][0]["file_names"]),
    "frames-folder": move_frames_away,
    "frame-missing": lambda d, root: frame(root, "video0/00003.png").unlink(),
    "frame-renamed": rename_frames,
    "frame-unreadable": damage_frame,
    "frame-size": lambda d, root: Image.new("RGB", (24, 40)).save(frame(root, "video0/00003.png")),
    "frame-link": link_frame,
    "frame-unlisted": lambda d, root: Image.new("RGB", (40, 24)).save(frame(root, "video0/00099.png")),
    "annotation-record": lambda d, root: d["annotations"][0].update(id="1"),
    "annotation-id-repeated": lambda d, root: d["annotations"][0].update(id=2),
    "annotation-id-zero": lambda d, root: d["annotations"][0].update(id=0),
    "annotation-video": lambda d, root: d["annotations"][0].update(video_id=99),
    "annotation-category": lambda d, root: d["annotations"][0].update(category_id=99),
    "crowd-missing": lambda d, root: d["annotations"][0].pop("iscrowd"),
    "crowd-flag": lambda d, root: d["annotations"][0].update(iscrowd=2),
    "crowd-type": lambda d, root: d["annotations"][0].update(iscrowd="0"),
    "list-length": lambda d, root: d["annotations"][0]["segmentations"].append(None),
    "track-empty": empty_track,
    "track-repeated": lambda d, root: d["annotations"].append({**copy.deepcopy(d["annotations"][0]), "id": 77}),
    "mask-size": swap_size,
    "mask-content": lambda d, root: set_mask(d, {"size": [24, 40], "counts": "5"}),
    "mask-empty": empty_mask,
    "box-missing": lambda d, root: d["annotations"][0].pop("bboxes"),
    "box-mismatch": lambda d, root: d["annotations"][0]["bboxes"].__setitem__(2, [0, 0, 39, 23]),
    "area-missing": lambda d, root: d["annotations"][0].update(areas=None),
    "area-mismatch": lambda d, root: d["annotations"][0]["areas"].__setitem__(2, 700),
    "box-without-mask": lambda d, root: d["annotations"][1]["bboxes"].__setitem__(5, [1, 1, 5, 5]),
}


@pytest.mark.parametrize("kind", PLANTS)
def test_a_planted_fault_is_found_under_its_name(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "set"
    document = sound(root)
    PLANTS[kind](document, root)
    (checked,) = found(root, document)
    assert kind in kinds([checked])
    assert bool(checked.problems.faults) == any(not problem.is_note for problem in checked.problems)


def test_every_kind_of_problem_is_planted_somewhere() -> None:
    elsewhere = {"file", "other-format", "split-shared"}
    of_other_formats = {"content", "doubt", "frame-gap", "frame-hole"}
    assert set(KINDS) == set(PLANTS) | elsewhere | of_other_formats


TOGETHER = (
    *("category-id-repeated", "category-name-repeated", "category-unused", "video-length", "path-leaves-root"),
    *("frame-missing", "frame-unreadable", "frame-size", "frame-unlisted", "annotation-id-repeated"),
    *("annotation-video", "annotation-category", "crowd-missing", "crowd-flag", "list-length", "track-repeated"),
    *("mask-size", "mask-content", "mask-empty", "box-mismatch", "area-mismatch", "box-without-mask"),
)


def test_all_faults_are_found_at_once(tmp_path: Path) -> None:
    document = sound(tmp_path)
    tracks, videos = document["annotations"], document["videos"]
    damage_frame(document, tmp_path)
    document["categories"] += [{"id": 1, "name": "again"}, {"id": 3, "name": "line"}, {"id": 4, "name": "nobody"}]
    videos[0]["length"] = 5
    videos[1]["file_names"][0] = "/etc/passwd"
    frame(tmp_path, "video0/00003.png").unlink()
    for kind in ("frame-size", "frame-unlisted"):
        frame(tmp_path, "video0/00003.png").unlink(missing_ok=True) if kind == "frame-unlisted" else None
        Image.new("RGB", (9, 9)).save(
            frame(tmp_path, "video0/00099.png" if kind == "frame-unlisted" else "video0/00004.png")
        )
    swap_size(document, tmp_path)
    tracks[0]["segmentations"][3] = {"size": [24, 40], "counts": "5"}
    tracks[0]["segmentations"][4] = EMPTY
    tracks[0]["bboxes"][5], tracks[0]["areas"][5] = [0, 0, 1, 1], 900
    tracks[1]["bboxes"][5] = [1, 1, 5, 5]
    del tracks[1]["iscrowd"]
    tracks[2]["iscrowd"] = 3
    tracks.append({**copy.deepcopy(tracks[3]), "id": 77})
    tracks.append({**copy.deepcopy(tracks[3]), "id": 1, "areas": [1]})
    tracks.append({**copy.deepcopy(tracks[3]), "id": 78, "video_id": 99, "category_id": 98})
    assert len(TOGETHER) >= 20
    assert set(TOGETHER) <= kinds(found(tmp_path, document))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value in a JSON document."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


JUNK: tuple[Any, ...] = (None, [], {}, "x", "a" * 300, -1, 0, 2.5, float("nan"), True, [[1]], {"id": [1]}, 10**30, "\0")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_no_value_anywhere_stops_the_check_or_the_repair(tmp_path: Path, seed: int) -> None:
    document, rng = sound(tmp_path), np.random.default_rng(seed)
    ways = [way for way in places(document) if way]
    for number in range(40):
        broken = copy.deepcopy(document)
        *way, last = ways[int(rng.integers(len(ways)))]
        parent: Any = broken
        for key in way:
            parent = parent[key]
        parent[last] = JUNK[int(rng.integers(len(JUNK)))]
        (checked,) = (split for split in found(tmp_path, broken) if split.split == "train")
        fixed = fix_split(tmp_path, checked, Outputs())
        if fixed is not None:
            assert not any(problem.is_repaired for problem in fixed[1].problems) or fixed[1].problems.faults, number
            fixed[0].unlink()


@pytest.mark.parametrize("content", ["{", "", "[" * 100_000])
def test_a_broken_file_is_a_fault(tmp_path: Path, content: str) -> None:
    sound(tmp_path)
    assert kinds(found(tmp_path, content)) == {"file"}


def test_other_json_files_are_noted_unless_they_are_asked_for(tmp_path: Path) -> None:
    found(tmp_path, sound(tmp_path))
    (tmp_path / "results.json").write_text("[]")
    (tmp_path / "coco.json").write_text('{"images": [], "annotations": [], "categories": []}')
    checked = check_dataset(tmp_path)
    assert {split.split: kinds([split]) for split in checked} == {
        "train": set(),
        "results": {"other-format"},
        "coco": {"other-format"},
    }
    assert kinds(check_dataset(tmp_path, "coco")) == {"section"}


@pytest.mark.parametrize("is_copied", [False, True])
def test_a_video_that_two_splits_share_is_noted_in_the_later(tmp_path: Path, is_copied: bool) -> None:
    document = sound(tmp_path)
    (tmp_path / "valid.json").write_text(
        json.dumps({**document, "videos": document["videos"][1:], "annotations": document["annotations"][2:]})
    )
    if is_copied:
        shutil.copytree(frame(tmp_path, "video1"), tmp_path / "valid/JPEGImages/video1")
    train, valid = found(tmp_path, document)
    assert kinds([train]) == set()
    (problem,) = [one for one in valid.problems if one.kind == "split-shared"]
    assert (problem.where, problem.message) == ("splits train and valid", "1 videos are in both: 12 (video1)")
    assert valid.problems.faults == []


def test_splits_of_other_frames_under_the_same_names_share_nothing(tmp_path: Path) -> None:
    document = sound(tmp_path)
    (tmp_path / "valid.json").write_text(json.dumps(document))
    shutil.copytree(tmp_path / "train", tmp_path / "valid")
    for path in (tmp_path / "valid").rglob("*.png"):
        Image.fromarray(np.asarray(Image.open(path)) ^ 1).save(path)
    assert kinds(found(tmp_path, document)) == set()


def test_what_passes_is_read_by_training_whatever_value_stands_anywhere(tmp_path: Path) -> None:
    """Every value of a small file gives way to every sort of junk, or is left out."""
    document = sound(tmp_path, num_videos=1, num_frames=2)
    document["videos"][0] |= {"fps": 5, "frame_numbers": [0, 1], "dials": []}
    document["annotations"] = [document["annotations"][0] | {"track_id": 4, "occlusion": [None, None]}]
    text, num_passed = json.dumps(document), 0
    for way in [way for way in places(document) if way]:
        for junk in (*JUNK, "left out"):
            broken = json.loads(text)
            parent: Any = broken
            for key in way[:-1]:
                parent = parent[key]
            if junk == "left out":
                del parent[way[-1]]
            else:
                parent[way[-1]] = junk
            problems = Problems()
            check_document(broken, problems)
            if not problems.faults:
                num_passed += 1
                read_as_training_does(broken, tmp_path)
    assert num_passed > 20


def read_as_training_does(document: Document, root: Path) -> None:
    truth = parse_annotations(document, root / "train.json", faults="refuse")
    dataset = YouTubeVIS(truth, annotation_path=root / "train.json", frames_folder=root, sha256="")
    for index, video in enumerate(dataset.videos):
        dataset.clip_target(index, range(video.length))


def test_a_folder_without_annotations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no split"):
        check_dataset(tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        check_dataset(tmp_path / "gone")


REPAIRED = [kind for kind, about in KINDS.items() if about.is_repaired]


@pytest.mark.parametrize("kind", REPAIRED)
def test_a_repair_leaves_nothing_of_its_kind_and_keeps_every_sound_mask(tmp_path: Path, kind: str) -> None:
    document = sound(tmp_path)
    PLANTS[kind](document, tmp_path)
    (checked,) = found(tmp_path, document)
    before = (tmp_path / "train.json").read_bytes()
    fixed = fix_split(tmp_path, checked, Outputs())
    assert fixed is not None
    path, again = fixed
    assert path == tmp_path / "train.fixed.json"
    assert again.problems.faults == []
    assert (tmp_path / "train.json").read_bytes() == before
    masks = [mask for track in document["annotations"] for mask in track["segmentations"] if mask not in (None, EMPTY)]
    dataset = YouTubeVIS.load(tmp_path, "train.fixed")
    kept = [mask for index in (0, 1) for track in dataset.tracks(index) for mask in track.segmentations if mask]
    assert kept == masks
    assert dataset.decode_frames(0, range(6)).shape == (6, 3, 24, 40)


def test_what_cannot_be_repaired_safely_stays_as_it_is(tmp_path: Path) -> None:
    document = sound(tmp_path)
    swap_size(document, tmp_path)
    del document["annotations"][0]["iscrowd"]
    (checked,) = found(tmp_path, document)
    fixed = fix_split(tmp_path, checked, Outputs())
    assert fixed is not None
    assert {problem.kind for problem in fixed[1].problems.faults} == {"mask-size"}
    assert (
        json.loads(fixed[0].read_text())["annotations"][0]["segmentations"]
        == document["annotations"][0]["segmentations"]
    )


def test_a_repair_overwrites_nothing_that_was_edited_and_is_not_made_without_need(tmp_path: Path) -> None:
    document = sound(tmp_path)
    (checked,) = found(tmp_path, document)
    assert fix_split(tmp_path, checked, Outputs()) is None
    del document["annotations"][0]["iscrowd"]
    (checked,) = found(tmp_path, document)
    assert fix_split(tmp_path, checked, Outputs()) is not None
    fixed = tmp_path / "train.fixed.json"
    first = fixed.read_bytes()
    assert fix_split(tmp_path, checked, Outputs()) is not None
    assert fixed.read_bytes() == first
    fixed.write_bytes(first + b" ")
    with pytest.raises(UsageError, match=r"train\.fixed\.json: exists, and is not as maskreel wrote it"):
        fix_split(tmp_path, checked, Outputs())
    assert fixed.read_bytes() == first + b" "


def test_the_rendered_set_passes(tmp_path: Path) -> None:
    write_dataset(
        tmp_path, "train", num_videos=2, seed=3, dials=SyntheticDials(frames=4, height=48, width=64), workers=1
    )
    (checked,) = check_dataset(tmp_path)
    assert checked.problems.faults == []


@pytest.mark.golden
def test_real_tracks_pass_and_so_does_a_file_whose_truth_is_held_back() -> None:
    checked = {split.split: split for split in check_dataset(shared_path("data/realvis"))}
    assert {"train", "valid", "valid_no_gt", "coco"} <= set(checked)
    assert [problem for split in checked.values() for problem in split.problems.faults] == []
    assert checked["train"].counts == {"videos": 21, "frames": 365, "tracks": 51, "masks": 543}
