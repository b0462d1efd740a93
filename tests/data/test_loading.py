"""From a split to batches: padding, redraws, resuming, and the same result for any number of workers."""

import itertools
import json
import logging
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from maskreel.config import from_dict, to_dict
from maskreel.data.augment import Augmentation
from maskreel.data.config import DataConfig
from maskreel.data.loading import ClipLoader, TrainingBatch, TrainingSet, build_loader, collate, load_clip
from maskreel.data.sampling import ClipSampler, ClipToken
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.errors import DataError
from maskreel.geometry import drawn_runs, rle
from maskreel.left_out import OnBad
from maskreel.structures import Clip
from maskreel.video.prepare import IMAGENET_MEAN, IMAGENET_STD, normalise, pad_clips, pad_frames
from tests.builders import shared_path, write_youtube_vis

SMALL = Augmentation(scales=(20, 28), max_size=60, crop_scales=(24, 30), crop_sides=(16, 30))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_youtube_vis(tmp_path)
    return tmp_path


def training_set(
    root: Path,
    *,
    seed: int = 0,
    num_frames: int = 5,
    augmentation: Augmentation | None = SMALL,
    on_bad: OnBad | None = None,
):
    dataset = YouTubeVIS.load(root, "train")
    return TrainingSet(dataset, num_frames=num_frames, augmentation=augmentation, seed=seed, on_bad=on_bad)


def loader(dataset: TrainingSet, *, workers: int = 0, batch_size: int = 3, seed: int = 0) -> ClipLoader:
    return build_loader(dataset, ClipSampler(len(dataset), batch_size=batch_size, seed=seed), workers=workers)


def take(batches: ClipLoader, count: int) -> list[TrainingBatch]:
    return list(itertools.islice(batches, count))


def assert_same(first: list[TrainingBatch], second: list[TrainingBatch]) -> None:
    for a, b in zip(first, second, strict=True):
        assert (a.video_id, a.frame_index) == (b.video_id, b.frame_index)
        assert torch.equal(a.clips.frames, b.clips.frames)
        assert torch.equal(a.clips.is_padding, b.clips.is_padding)
        for x, y in zip(a.targets, b.targets, strict=True):
            assert all(torch.equal(getattr(x, name), getattr(y, name)) for name in vars(x))


def clip_of(frames: Tensor) -> Clip:
    return Clip(frames=frames, frame_index=torch.arange(len(frames)), video_id=1, size=tuple(frames.shape[-2:]))


def test_normalised_frames_have_the_mean_off_in_units_of_the_deviation():
    frames = torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    expected = [(x / 255 - m) / d for x, m, d in zip((0, 128, 255), IMAGENET_MEAN, IMAGENET_STD, strict=True)]
    torch.testing.assert_close(normalise(frames).flatten(), torch.tensor(expected))


def test_padding_is_zero_after_normalisation_and_marked():
    clips = [clip_of(torch.zeros(2, 3, 20, 33, dtype=torch.uint8)), clip_of(torch.ones(2, 3, 40, 5, dtype=torch.uint8))]
    batch = pad_clips(clips)
    assert batch.frames.shape == (2, 2, 3, 64, 64)
    for b, (rows, columns) in enumerate([(20, 33), (40, 5)]):
        torch.testing.assert_close(batch.frames[b, :, :, :rows, :columns], normalise(clips[b].frames))
        assert not batch.is_padding[b, :, :rows, :columns].any()
        assert batch.is_padding[b].sum() == 2 * (64 * 64 - rows * columns)
        assert batch.frames[b][batch.is_padding[b][:, None].expand(-1, 3, -1, -1)].abs().sum() == 0


@pytest.mark.parametrize(("multiple", "size"), [(1, (20, 33)), (8, (24, 40)), (32, (32, 64))])
def test_sides_become_multiples(multiple, size):
    assert pad_clips([clip_of(torch.zeros(1, 3, 20, 33, dtype=torch.uint8))], multiple).frames.shape[-2:] == size


@pytest.mark.parametrize("lengths", [(2, 3), ()])
def test_clips_of_unequal_length_make_no_batch(lengths):
    with pytest.raises(ValueError, match="clips of equal length"):
        pad_frames([torch.zeros(length, 3, 4, 4) for length in lengths])


def test_a_loaded_clip_is_as_in_the_file(root):
    dataset = YouTubeVIS.load(root, "train")
    clip, target = load_clip(dataset, 1, [0, 4])
    assert (clip.video_id, clip.size, clip.frame_index.tolist()) == (12, (24, 40), [0, 4])
    assert torch.equal(clip.frames, dataset.decode_frames(1, [0, 4]))
    assert target.track_id.tolist() == [3, 4]


def test_every_frame_of_every_video_is_an_anchor(root):
    dataset = training_set(root, num_frames=1, augmentation=None)
    clips = [dataset[ClipToken(epoch=0, index=index)][0] for index in range(len(dataset))]
    assert [(clip.video_id, *clip.frame_index.tolist()) for clip in clips] == [
        (video_id, frame) for video_id in (11, 12) for frame in range(6)
    ]


def test_objects_that_no_frame_of_the_clip_shows_are_no_targets(root):
    _, target = training_set(root, num_frames=1, augmentation=None)[ClipToken(epoch=0, index=5)]
    assert target.track_id.tolist() == [1]


def test_a_clip_differs_between_epochs_and_seeds_but_not_between_calls(root):
    dataset = training_set(root)
    first, again = dataset[ClipToken(epoch=0, index=3)], dataset[ClipToken(epoch=0, index=3)]
    assert torch.equal(first[0].frames, again[0].frames)
    others = [dataset[ClipToken(epoch=1, index=3)], training_set(root, seed=1)[ClipToken(epoch=0, index=3)]]
    assert all(not np.array_equal(first[0].frames.numpy(), other[0].frames.numpy()) for other in others)


def test_global_random_state_has_no_influence_and_is_left_alone(root):
    dataset = training_set(root)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 (the state under test)
    first = take(loader(dataset), 2)
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002
    state = torch.get_rng_state()
    second = take(loader(dataset), 2)
    assert_same(first, second)
    assert torch.equal(state, torch.get_rng_state())


def without_objects(root: Path, videos: set[int]) -> None:
    document = json.loads((root / "train.json").read_text())
    document["annotations"] = [track for track in document["annotations"] if track["video_id"] not in videos]
    (root / "train.json").write_text(json.dumps(document))


def test_a_clip_without_objects_is_drawn_elsewhere(root):
    without_objects(root, {11})
    dataset = training_set(root)
    for index in range(len(dataset)):
        clip, target = dataset[ClipToken(epoch=0, index=index)]
        assert clip.video_id == 12
        assert len(target.labels)


def test_a_split_without_objects_still_gives_clips(root):
    without_objects(root, {11, 12})
    batch = next(iter(loader(training_set(root))))
    assert all(target.masks.shape[0] == 0 for target in batch.targets)


def test_augmentations_that_lose_every_object_are_drawn_again(root):
    settings = replace(SMALL, crop_probability=0.9, crop_scales=(24,), crop_sides=(6, 6), scales=(16,))
    dataset = training_set(root, num_frames=1, augmentation=settings)
    targets = [dataset[ClipToken(epoch=epoch, index=3)][1] for epoch in range(30)]
    assert all(len(target.labels) for target in targets)


def test_a_split_without_truth_cannot_be_trained_on(root):
    document = json.loads((root / "train.json").read_text())
    (root / "train.json").write_text(json.dumps({**document, "annotations": None}))
    with pytest.raises(DataError, match=r'train\.json: "annotations" is null'):
        training_set(root)


def test_collated_targets_have_the_size_of_their_own_clip(root):
    dataset = training_set(root)
    samples = [dataset[ClipToken(epoch=0, index=index)] for index in (0, 5, 9)]
    batch = collate(samples)
    assert batch.clips.frames.shape[:3] == (3, 5, 3)
    assert batch.video_id == tuple(clip.video_id for clip, _ in samples)
    for b, (clip, target) in enumerate(samples):
        assert batch.targets[b] is target
        assert (~batch.clips.is_padding[b, 0]).sum() == clip.frames.shape[-2] * clip.frames.shape[-1]


def test_a_batch_moves_as_a_whole(root):
    batch = next(iter(loader(training_set(root)))).to("meta")
    assert batch.clips.frames.is_meta
    assert all(target.masks.is_meta for target in batch.targets)


@pytest.mark.slow
def test_the_number_of_workers_does_not_change_the_batches(root):
    dataset = training_set(root)
    assert_same(take(loader(dataset, workers=0), 6), take(loader(dataset, workers=2), 6))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_loader_continues_with_the_next_batch(root, workers):
    dataset = training_set(root)
    expected = take(loader(dataset), 8)
    interrupted = loader(dataset, workers=workers)
    assert_same(take(interrupted, 5), expected[:5])
    state = json.loads(json.dumps(interrupted.state_dict()))
    assert (state["epoch"], state["position"]) == divmod(5 * 3, len(dataset))
    resumed = loader(dataset, workers=workers)
    resumed.load_state_dict(state)
    assert_same(take(resumed, 3), expected[5:])


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_frame_is_one_sentence_for_any_number_of_workers(root, workers):
    missing = root / "train/JPEGImages/video0/00003.png"
    missing.unlink()
    with pytest.raises(DataError, match=r"00003\.png: frame 3 of video 11 is missing") as caught:
        take(loader(training_set(root), workers=workers), 12)
    assert "\n" not in str(caught.value)


def test_missing_frames_can_be_skipped_and_are_counted(root, caplog):
    for frame in (0, 3):
        (root / f"train/JPEGImages/video1/0000{frame}.png").unlink()
    with caplog.at_level(logging.WARNING):
        dataset = TrainingSet(YouTubeVIS.load(root, "train"), num_frames=5, augmentation=SMALL, seed=0, on_bad="skip")
        build_loader(dataset, ClipSampler(10, batch_size=1, seed=0), workers=0)
    assert "train.json: video 12, frame 3: no file video1/00003.png; left out" in caplog.text
    assert dataset.left_out.counts == {"image": 2}
    assert len(dataset) == 10
    used = {
        frame
        for batch in take(loader(dataset), 12)
        for video_id, frames in zip(batch.video_id, batch.frame_index, strict=True)
        for frame in frames
        if video_id == 12
    }
    assert used == {1, 2, 4, 5}


@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_frames_can_be_skipped_and_are_counted_whoever_meets_them(root, workers):
    (root / "train/JPEGImages/video0/00003.png").write_bytes(b"no picture")
    batches = loader(training_set(root, on_bad="skip"), workers=workers)
    seen = take(batches, 12)
    assert 3 not in {t for b in seen for v, f in zip(b.video_id, b.frame_index, strict=True) if v == 11 for t in f}
    assert [(one.loss, Path(one.file).name) for one in batches.left_out.omissions] == [("image", "00003.png")]
    again = take(loader(training_set(root, on_bad="skip"), workers=0), 12)
    assert [batch.frame_index for batch in seen] == [batch.frame_index for batch in again]
    with pytest.raises(DataError, match=r"00003\.png: frame 3 of video 11 cannot be decoded .* --on-bad skip"):
        take(loader(training_set(root), workers=workers), 12)


def test_where_nothing_can_be_read_skipping_ends_with_the_error(root):
    for path in root.rglob("*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="cannot be decoded"):
        take(loader(training_set(root, on_bad="skip")), 1)


def test_an_odd_mask_is_absent_unless_it_is_to_stop(root):
    document = json.loads((root / "train.json").read_text())
    document["annotations"][0]["segmentations"][2] = {"size": [1, 1], "counts": "odd"}
    (root / "train.json").write_text(json.dumps(document))
    batches = loader(training_set(root))
    take(batches, 12)
    assert batches.left_out.counts == {"shape": 1}
    with pytest.raises(DataError, match="frame 2"):
        take(loader(training_set(root, on_bad="stop")), 12)


def test_an_epoch_may_have_one_clip_of_every_video_at_a_frame_drawn_anew(root):
    options = {"num_frames": 1, "augmentation": None, "seed": 0}
    per_frame = TrainingSet(YouTubeVIS.load(root, "train"), **options)
    dataset = TrainingSet(YouTubeVIS.load(root, "train"), anchors="per_video", **options)
    videos = len(dataset.dataset.videos)
    assert (len(dataset), len(per_frame)) == (videos, sum(video.length for video in dataset.dataset.videos))
    batches = take(loader(dataset, batch_size=videos), 20)
    assert all(sorted(batch.video_id) == sorted({*batch.video_id}) for batch in batches)
    frames = {}
    for batch in batches:
        for video_id, (frame,) in zip(batch.video_id, batch.frame_index, strict=True):
            frames.setdefault(video_id, set()).add(frame)
    assert all(len(drawn) > 2 for drawn in frames.values())
    assert_same(batches, take(loader(dataset, batch_size=videos), 20))


def test_a_sampler_of_other_data_is_refused(root):
    dataset = training_set(root)
    with pytest.raises(ValueError, match="counts 13 clips, the data set 12"):
        build_loader(dataset, ClipSampler(13, batch_size=1, seed=0), workers=0)


@pytest.mark.parametrize("fields", [{"num_frames": 0}, {"batch_size": 0}, {"workers": -1}])
def test_impossible_settings_are_refused(fields):
    ((name, value),) = fields.items()
    with pytest.raises(ValueError, match=f"{name} {value}: must be at least"):
        DataConfig(**fields)


def test_settings_survive_a_config_file():
    config = DataConfig(root=Path("videos"), num_frames=3, augmentation=SMALL)
    assert from_dict(DataConfig, json.loads(json.dumps(to_dict(config)))) == config
    plain = DataConfig(augmentation=None)
    assert from_dict(DataConfig, json.loads(json.dumps(to_dict(plain)))) == plain


@pytest.mark.slow
def test_real_video_becomes_batches():
    dataset = TrainingSet(
        YouTubeVIS.load(shared_path("data/realvis"), "train"),
        num_frames=5,
        augmentation=Augmentation(scales=(96, 128), max_size=224, crop_scales=(120, 160), crop_sides=(96, 160)),
        seed=0,
    )
    batches = take(loader(dataset, workers=2, batch_size=4), 5)
    for batch in batches:
        assert batch.clips.frames.shape[:3] == (4, 5, 3)
        assert all(side % 32 == 0 for side in batch.clips.frames.shape[-2:])
        for target in batch.targets:
            assert target.is_visible.any(dim=1).all()
            assert 0 <= target.labels.min() <= target.labels.max() < 22


def test_a_clip_decodes_each_frame_once_and_holds_no_mask_and_no_two_frames_at_full_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hot path of reading: what it does is counted, for its time cannot be."""
    write_youtube_vis(tmp_path, size=(96, 160))
    dataset, decoded, alive = YouTubeVIS.load(tmp_path, "train"), [], []
    decode = dataset._decode_frame

    def counted(video_index: int, frame: int, at_least: tuple[int, int] | None = None) -> np.ndarray:
        assert sum(reference() is not None for reference in alive) == 0
        pixels = decode(video_index, frame, at_least)
        decoded.append((video_index, frame))
        alive.append(weakref.ref(pixels))
        return pixels

    drawn = []
    draw = drawn_runs.draw

    def watched(*given: Any, **named: Any) -> Any:
        masks, edges = draw(*given, **named)
        drawn.append(masks.shape)
        return masks, edges

    monkeypatch.setattr(dataset, "_decode_frame", counted)
    monkeypatch.setattr(drawn_runs, "draw", watched)
    monkeypatch.setattr(rle, "decode", lambda mask: pytest.fail("a whole mask was decoded"))
    settings = Augmentation(scales=(24,), max_size=40, crop_probability=0.0)
    clips = TrainingSet(dataset, num_frames=5, augmentation=settings, seed=0)
    clip, target = clips[ClipToken(epoch=0, index=0)]
    assert len(decoded) == len(set(decoded)) == len(set(clip.frame_index.tolist()))
    assert drawn == [(len(dataset.tracks(0)), 5, 24, 40)]
    assert target.masks.shape[1:] == (5, 24, 40)
