"""Pseudo clips: where pixels and objects go, what stays, and which classes COCO images get."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from maskreel.data import coco_clips
from maskreel.data.augment import Augmentation
from maskreel.data.coco_clips import CLASS_MAPS, YTVIS_2019, YTVIS_2021, pseudo_clip
from maskreel.data.config import StillMotion
from maskreel.data.formats.annotations import ReadOptions
from maskreel.data.formats.convert import convert
from maskreel.data.loading import TrainingSet
from maskreel.data.sampling import ClipToken
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.geometry.masks import boxes_from_masks
from maskreel.structures import Clip, ClipTarget
from tests.builders import shared_path, write_youtube_vis

PUBLISHED_2019 = (
    "1:1 2:21 3:6 4:21 5:28 7:17 8:29 9:34 17:14 18:8 19:18 21:15 22:32 23:20 24:30 25:22 36:33 41:5 42:27 43:40"
)
PUBLISHED_2021 = (
    "1:26 2:23 3:5 4:23 5:1 7:36 8:37 9:4 16:3 17:6 18:9 19:19 21:7 22:12 23:2 24:40 25:18 36:31 41:29 42:33 43:34 "
    "74:24"
)
COCO_IDS = {
    "person": 1,
    "bicycle": 2,
    "car": 3,
    "motorcycle": 4,
    "airplane": 5,
    "train": 7,
    "truck": 8,
    "boat": 9,
    "bird": 16,
    "cat": 17,
    "dog": 18,
    "horse": 19,
    "cow": 21,
    "elephant": 22,
    "bear": 23,
    "zebra": 24,
    "giraffe": 25,
    "snowboard": 36,
    "skateboard": 41,
    "surfboard": 42,
    "tennis racket": 43,
    "mouse": 74,
}


@pytest.mark.parametrize(("name", "published"), [("ytvis19", PUBLISHED_2019), ("ytvis21", PUBLISHED_2021)])
def test_the_class_tables_are_the_published_ones(name: str, published: str) -> None:
    table = CLASS_MAPS[name]
    ids = {COCO_IDS[coco]: table.names.index(target) + 1 for coco, target in table.renamed.items()}
    assert ids == {int(pair.split(":")[0]): int(pair.split(":")[1]) for pair in published.split()}


def test_both_years_have_forty_classes() -> None:
    assert len(set(YTVIS_2019)) == len(set(YTVIS_2021)) == 40


SIZE = (48, 64)


def still(masks: Tensor, num_frames: int = 5) -> tuple[Clip, ClipTarget]:
    """A image whose objects are red, as a clip that repeats it."""
    image = torch.full((3, *SIZE), 90, dtype=torch.uint8)
    image[0, masks.any(dim=0)] = 250
    repeated = masks[:, None].repeat(1, num_frames, 1, 1)
    boxes = boxes_from_masks(repeated)
    clip = Clip(
        frames=image.repeat(num_frames, 1, 1, 1),
        frame_index=torch.zeros(num_frames, dtype=torch.int64),
        video_id=1,
        size=SIZE,
    )
    number = len(masks)
    return clip, ClipTarget(
        labels=torch.arange(number),
        boxes=boxes,
        masks=repeated,
        is_visible=boxes[..., 2] > 0,
        track_id=torch.arange(number) + 1,
    )


def block(top: int, left: int, height: int, width: int) -> Tensor:
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[top : top + height, left : left + width] = True
    return mask


@pytest.mark.parametrize("motion", ["warp", "rotate"])
def test_masks_follow_the_pixels_of_their_objects(motion: StillMotion) -> None:
    clip, target = still(torch.stack([block(15, 20, 18, 24)]))
    moved, moved_target = pseudo_clip(clip, target, motion, np.random.default_rng(3))
    # Half way between the two reds; smeared frames have wide borders, which are left out.
    red = moved.frames[:, 0].int() - moved.frames[:, 1].int()
    mask = moved_target.masks[0]
    assert (red[mask] > 60).float().mean() > 0.9
    assert (red[~mask] > 100).float().mean() < 0.05
    assert not torch.equal(mask[0], mask[1])


def test_a_turned_picture_is_turned_by_at_most_twenty_degrees_in_every_frame() -> None:
    line = block(23, 8, 2, 48)
    angles = []
    for seed in range(12):
        _, target = pseudo_clip(*still(line[None]), "rotate", np.random.default_rng(seed))
        for mask in target.masks[0]:
            y, x = np.nonzero(mask.numpy())
            angles.append(np.degrees(np.arctan(np.polyfit(x, y, 1)[0])))
    assert max(np.abs(angles)) < 20.5
    assert max(angles) > 15
    assert min(angles) < -15
    assert len({round(angle, 3) for angle in angles}) > 30


def test_a_picture_is_turned_about_its_centre() -> None:
    for seed in range(12):
        _, target = pseudo_clip(*still(block(20, 28, 8, 8)[None]), "rotate", np.random.default_rng(seed))
        for mask in target.masks[0]:
            y, x = np.nonzero(mask.numpy())
            assert abs(y.mean() - 23.5) < 1
            assert abs(x.mean() - 31.5) < 1


def test_a_warped_clip_holds_the_still_itself_once_at_any_place() -> None:
    places = set()
    for seed in range(40):
        clip, target = still(torch.stack([block(15, 20, 18, 24)]))
        moved, _ = pseudo_clip(clip, target, "warp", np.random.default_rng(seed))
        same = [t for t in range(5) if torch.equal(moved.frames[t], clip.frames[t])]
        assert len(same) == 1
        places.add(same[0])
    assert places == set(range(5))


def test_of_overlapping_objects_the_later_one_covers_the_earlier() -> None:
    masks = torch.stack([block(10, 10, 20, 20), block(20, 20, 20, 20), block(22, 22, 4, 4)])
    _, target = pseudo_clip(*still(masks), "warp", np.random.default_rng(0))
    assert target.masks.sum(dim=0).max() == 1
    assert target.track_id.tolist() == [1, 2, 3]


def test_an_object_that_another_covers_wholly_is_dropped() -> None:
    masks = torch.stack([block(22, 22, 4, 4), block(10, 10, 30, 30)])
    _, target = pseudo_clip(*still(masks), "warp", np.random.default_rng(0))
    assert target.track_id.tolist() == [2]
    assert target.labels.tolist() == [1]


def test_boxes_are_drawn_around_the_moved_masks() -> None:
    _, target = pseudo_clip(*still(torch.stack([block(15, 20, 18, 24)])), "warp", np.random.default_rng(1))
    torch.testing.assert_close(target.boxes, boxes_from_masks(target.masks))


def test_a_repeated_still_and_a_single_frame_stay_as_they_are() -> None:
    clip, target = still(torch.stack([block(15, 20, 18, 24)]))
    assert pseudo_clip(clip, target, "repeat", np.random.default_rng(0)) == (clip, target)
    single = still(torch.stack([block(15, 20, 18, 24)]), num_frames=1)
    assert pseudo_clip(*single, "warp", np.random.default_rng(0)) == single


def training_set(root: Path, **options) -> TrainingSet:
    return TrainingSet(YouTubeVIS.load(root, "train"), num_frames=4, augmentation=None, seed=0, **options)


def test_stills_of_a_training_set_move_and_the_same_token_gives_the_same_clip(tmp_path: Path) -> None:
    write_youtube_vis(tmp_path, num_frames=1)
    dataset = training_set(tmp_path)
    clip, target = dataset[ClipToken(epoch=0, index=1)]
    again, _ = dataset[ClipToken(epoch=0, index=1)]
    later, _ = dataset[ClipToken(epoch=1, index=1)]
    assert torch.equal(clip.frames, again.frames)
    assert not torch.equal(clip.frames, later.frames)
    assert not torch.equal(target.masks[:, 0], target.masks[:, 1]) or not torch.equal(
        target.masks[:, 1], target.masks[:, 2]
    )
    same, _ = training_set(tmp_path, stills="repeat")[ClipToken(epoch=0, index=1)]
    assert all(torch.equal(frame, same.frames[0]) for frame in same.frames)


def test_videos_are_not_touched(tmp_path: Path) -> None:
    write_youtube_vis(tmp_path, num_frames=3)
    one, other = (training_set(tmp_path, stills=motion) for motion in ("warp", "repeat"))
    token = ClipToken(epoch=0, index=2)
    assert torch.equal(one[token][0].frames, other[token][0].frames)


def test_a_still_with_too_many_objects_gives_way_to_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = write_youtube_vis(tmp_path, num_frames=1)
    crowded = document["annotations"][0]
    document["annotations"] += [{**crowded, "id": 100 + n} for n in range(3)]
    (tmp_path / "train.json").write_text(json.dumps(document))
    monkeypatch.setattr(coco_clips, "MAX_OBJECTS", 3)
    dataset = training_set(tmp_path)
    assert {dataset[ClipToken(epoch=epoch, index=0)][0].video_id for epoch in range(5)} == {12}


@pytest.mark.golden
@pytest.mark.parametrize("motion", ["warp", "rotate"])
def test_real_pictures_become_augmented_clips(tmp_path: Path, motion: StillMotion) -> None:
    source, options = shared_path("data/realvis/coco/instances.json"), ReadOptions(classes="ytvis21")
    convert(source, tmp_path, read_as="coco", write_as="youtube-vis", options=options)
    clips = TrainingSet(
        YouTubeVIS.load(tmp_path, "train"), num_frames=5, augmentation=Augmentation(), seed=0, stills=motion
    )
    for index in (0, 3):
        clip, target = clips[ClipToken(epoch=0, index=index)]
        assert clip.frames.shape[0] == target.masks.shape[1] == 5
        assert clip.frames.shape[-2:] == target.masks.shape[-2:]
        assert 0 < len(target.labels) <= coco_clips.MAX_OBJECTS
        assert target.masks.sum(dim=0).max() == 1
        assert target.is_visible.any(dim=1).all()
