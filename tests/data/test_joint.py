"""Several sets as one: classes united by name, labels translated, every frame of every set once per epoch."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from maskreel.data.joint import JointSets, load_sets, unite_classes
from maskreel.data.loading import TrainingSet
from maskreel.data.sampling import ClipToken
from maskreel.data.tracks import Category
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.errors import DataError, UsageError
from tests.builders import write_youtube_vis


def categories(**names: int) -> tuple[Category, ...]:
    return tuple(Category(id=number, name=name) for name, number in names.items())


@pytest.mark.parametrize("spelled", ["Tennis Racket", "tennis-racket", " tennis  racket ", "TENNIS_RACKET"])
def test_classes_of_one_name_are_one_class_however_it_is_spelled(spelled: str) -> None:
    first = categories(person=1, tennis_racket=40)
    second = (Category(id=2, name=spelled), Category(id=9, name="person"))
    union = unite_classes([first, second])
    assert [united.category for united in union] == list(first)
    assert [[member.id if member else None for member in united.members] for united in union] == [[1, 9], [40, 2]]


def test_classes_of_further_sets_follow_with_their_id_or_the_next_free_one() -> None:
    union = unite_classes([categories(dog=1, cat=5), categories(bear=1, cow=3)])
    assert {united.category.name: united.category.id for united in union} == {"dog": 1, "cat": 5, "bear": 6, "cow": 3}


def test_one_set_with_two_classes_of_one_name_is_refused() -> None:
    with pytest.raises(DataError, match="have the same name"):
        unite_classes([categories(dog=1), (Category(id=1, name="Dog"), Category(id=2, name="dog"))])


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, Path]:
    """Two videos of six frames (line 3, block 7), and three stills (block 2, bear 7)."""
    write_youtube_vis(tmp_path / "videos")
    document: dict[str, Any] = write_youtube_vis(tmp_path / "stills", num_videos=3, num_frames=1)
    document["categories"] = [{"id": 7, "name": "bear"}, {"id": 2, "name": "Block"}]
    for number, annotation in enumerate(document["annotations"]):
        annotation["category_id"] = (2, 7)[number % 2]
        annotation["segmentations"] = [annotation["segmentations"][0] or document["annotations"][0]["segmentations"][0]]
    (tmp_path / "stills/train.json").write_text(json.dumps(document))
    return tmp_path / "videos", tmp_path / "stills"


@pytest.fixture
def joint(roots: tuple[Path, Path]) -> JointSets:
    return JointSets([YouTubeVIS.load(root, "train") for root in roots])


def test_labels_are_those_of_the_union(joint: JointSets) -> None:
    assert [category.name for category in joint.categories] == ["line", "block", "bear"]
    assert joint.clip_target(0, [0]).labels.tolist() == [1, 0]
    assert joint.clip_target(2, [0]).labels.tolist() == [1, 2]
    assert [track.label for track in joint.tracks(4)] == [1, 2]


def test_labels_follow_names_where_a_set_has_its_classes_in_another_order(tmp_path: Path) -> None:
    document = write_youtube_vis(tmp_path / "one")
    document = write_youtube_vis(tmp_path / "other", num_videos=1)
    # The union is line 3, block 7, bear; by its ids this set has bear, block and line, with gaps.
    document["categories"] = [{"id": 90, "name": "line"}, {"id": 5, "name": "bear"}, {"id": 40, "name": "block"}]
    for annotation, category_id in zip(document["annotations"], (40, 5), strict=True):
        annotation["category_id"] = category_id
    (tmp_path / "other/train.json").write_text(json.dumps(document))
    joint = JointSets([YouTubeVIS.load(tmp_path / name, "train") for name in ("one", "other")])
    names = [category.name for category in joint.categories]
    assert names == ["line", "block", "bear"]
    assert [names[label] for label in joint.clip_target(2, [0]).labels.tolist()] == ["block", "bear"]
    assert [names[track.label] for track in joint.tracks(2)] == ["block", "bear"]


def test_videos_and_frames_are_those_of_their_sets(joint: JointSets, roots: tuple[Path, Path]) -> None:
    stills = YouTubeVIS.load(roots[1], "train")
    assert [video.length for video in joint.videos] == [6, 6, 1, 1, 1]
    assert torch.equal(joint.decode_frames(3, [0]), stills.decode_frames(1, [0]))
    assert joint.available_frames(4) == (0,)


def test_an_epoch_goes_through_all_frames_and_twice_through_a_set_named_twice(roots: tuple[Path, Path]) -> None:
    def clips(further: tuple[Path, ...]) -> int:
        data = load_sets(roots[0], further, "train")
        return len(TrainingSet(data, num_frames=2, augmentation=None, seed=0))

    assert clips(()) == 12
    assert clips((roots[1],)) == 15
    assert clips((roots[1], roots[1])) == 18


def test_clips_of_all_sets_are_drawn(joint: JointSets) -> None:
    dataset = TrainingSet(joint, num_frames=3, augmentation=None, seed=0)
    labels = [set(dataset[ClipToken(epoch=0, index=index)][1].labels.tolist()) for index in (0, 12, 14)]
    assert labels[0] <= {0, 1}
    assert labels[1] <= {1, 2}
    assert 2 in labels[2]


def test_the_union_is_told(roots: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    load_sets(roots[0], (roots[1],), "train")
    assert "3 videos of 3 frames, 3 of them stills" in caplog.text
    assert [line.split() for line in caplog.text.splitlines()[-3:]] == [
        ["3", "line", "3", "-"],
        ["7", "block", "7", "2"],
        ["8", "bear", "-", "7"],
    ]


def test_folders_that_a_recipe_needs_are_asked_for(roots: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match=r"--data\.root"):
        load_sets(None, (), "train")
    with pytest.raises(UsageError, match=r"--data\.joint DIR"):
        load_sets(roots[0], None, "train")
    with pytest.raises(UsageError, match="nowhere: no such folder"):
        load_sets(roots[0], (Path("nowhere"),), "train")
