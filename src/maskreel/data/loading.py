"""From a split on disk to batches: clips by token, padding and normalisation, and a loader that can be resumed.

The result depends on the seed and the sampler's position alone, not on the number of workers.
"""

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from maskreel.data.augment import Augmentation, augment, draw_changes, drop_absent
from maskreel.data.clip_runs import ClipRuns
from maskreel.data.coco_clips import is_crowded, pseudo_clip
from maskreel.data.config import Anchors, Decode, FrameChoice, StillMotion
from maskreel.data.joint import JointSets, TrainingData
from maskreel.data.sampling import (
    ClipSampler,
    ClipToken,
    clip_generator,
    consecutive_clip,
    sample_clip,
)
from maskreel.data.youtube_vis import FrameChange, YouTubeVIS
from maskreel.errors import DataError
from maskreel.geometry import drawn_runs
from maskreel.left_out import CanBeLeftOut, LeftOut, Omission, OnBad
from maskreel.structures import Clip, ClipBatch, ClipTarget
from maskreel.video.prepare import pad_clips

MAX_DRAWS = 20
"""Clips tried in search of one with an object, before a clip without any is trained on."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingBatch:
    """One step's clips with their objects, and where they come from."""

    clips: ClipBatch
    targets: tuple[ClipTarget, ...]
    video_id: tuple[int, ...]
    frame_index: tuple[tuple[int, ...], ...]
    left_out: tuple[Omission, ...] = ()
    """What was met for the first time, by the process that made the batch, and left out."""

    def to(self, device: torch.device | str) -> "TrainingBatch":
        targets = tuple(target.to(device) for target in self.targets)
        return replace(self, clips=self.clips.to(device), targets=targets)

    def pin_memory(self) -> "TrainingBatch":
        """Pin the frames; the objects are small."""
        return replace(self, clips=self.clips.pin_memory())


def load_clip(dataset: YouTubeVIS, video_index: int, frame_index: Sequence[int]) -> tuple[Clip, ClipTarget]:
    """Chosen frames of a video as they are in the file, with all its objects but crowds."""
    return _with_frames(dataset, video_index, frame_index), dataset.clip_target(video_index, frame_index)


def collate(samples: Sequence[tuple[Clip, ClipTarget]]) -> TrainingBatch:
    """One batch of clips of equal length; sizes may differ."""
    clips = [clip for clip, _ in samples]
    return TrainingBatch(
        clips=pad_clips(clips),
        targets=tuple(target for _, target in samples),
        video_id=tuple(clip.video_id for clip in clips),
        frame_index=tuple(tuple(clip.frame_index.tolist()) for clip in clips),
    )


class TrainingSet(Dataset[tuple[Clip, ClipTarget]]):
    """Clips of a split by token: every frame of every video, or one of them, is the anchor of a clip per epoch."""

    def __init__(
        self,
        dataset: TrainingData,
        *,
        num_frames: int,
        augmentation: Augmentation | None,
        seed: int,
        on_bad: OnBad | None = None,
        frames: FrameChoice = "spread",
        anchors: Anchors = "per_frame",
        stills: StillMotion = "warp",
        decode: Decode = "exact",
    ) -> None:
        if not dataset.has_annotations:
            raise DataError(
                f'{dataset.annotation_path}: "annotations" is null, so there is nothing to train on; '
                "choose a split with annotations (--data.train-split)."
            )
        self.dataset = dataset
        self.num_frames = num_frames
        self.augmentation = augmentation
        self.seed = seed
        self.stills: StillMotion = stills
        self._is_scaled = decode == "scaled"
        self._choose = sample_clip if frames == "spread" else consecutive_clip
        self.left_out = LeftOut(on_bad, quiet=True)
        self._frames = _usable_frames(dataset, self.left_out)
        self._anchors: list[tuple[int, int | None]] = [
            (video, place)
            for video, frames in enumerate(self._frames)
            for place in (range(len(frames)) if anchors == "per_frame" else [None] * bool(frames))
        ]

    def __len__(self) -> int:
        return len(self._anchors)

    @property
    def clips_of_sets(self) -> tuple[int, ...]:
        """Clips of an epoch by the sets that they come from."""
        if not isinstance(self.dataset, JointSets):
            return (len(self),)
        of_video = np.bincount([video for video, _ in self._anchors], minlength=len(self.dataset.videos))
        ends = np.cumsum([len(one.videos) for one in self.dataset.sets])[:-1]
        return tuple(int(part.sum()) for part in np.split(of_video, ends))

    def __getitem__(self, token: ClipToken) -> tuple[Clip, ClipTarget]:
        """The clip of a token, with the objects that it shows.

        While it shows none, another anchor is drawn, and while the augmentation leaves none, another augmentation:
        at most `MAX_DRAWS` times each, then the clip comes without objects. So it is for a frame that cannot be read,
        where that is to be left out; after as many of them the last is the error.
        """
        generator, index = clip_generator(self.seed, token), token.index
        for draws_left in reversed(range(MAX_DRAWS)):
            try:
                return self._sample(index, generator)
            except CanBeLeftOut as error:
                if not draws_left or not self.left_out.is_skipped(error.omission.loss):
                    raise
                self.left_out.add([error.omission])
                index = int(generator.integers(len(self)))
        raise AssertionError("the last draw returns or raises")

    def _sample(self, index: int, generator: np.random.Generator) -> tuple[Clip, ClipTarget]:
        video_index, frame_index, objects = self._find_objects(index, generator)
        if self._is_animated(video_index):
            return self._pseudo_clip(video_index, frame_index, objects, generator)
        if self.augmentation is None:
            return _with_frames(self.dataset, video_index, frame_index), drop_absent(objects.target())
        return self._changed_while_decoded(video_index, frame_index, objects, self.augmentation, generator)

    def _pseudo_clip(
        self, video_index: int, frame_index: Sequence[int], objects: ClipRuns, generator: np.random.Generator
    ) -> tuple[Clip, ClipTarget]:
        still = _with_frames(self.dataset, video_index, frame_index)
        clip, target = pseudo_clip(still, objects.target(), self.stills, generator)
        if self.augmentation is None:
            return clip, drop_absent(target)
        # Pseudo clips have colours changed already, where they have them changed at all.
        settings = replace(self.augmentation, photometric="none")
        sample = augment(clip, target, settings, generator)
        for _ in range(MAX_DRAWS if bool(target.is_visible.any()) else 0):
            if len(sample[1].labels):
                break
            sample = augment(clip, target, settings, generator)
        return sample

    def _changed_while_decoded(
        self,
        video_index: int,
        frame_index: Sequence[int],
        objects: ClipRuns,
        settings: Augmentation,
        generator: np.random.Generator,
    ) -> tuple[Clip, ClipTarget]:
        """The clip under the first changes that leave an object; each frame is changed as soon as it is decoded.

        Decoding draws nothing: where a frame cannot be read, the generator stands where it stood before.
        """
        before = generator.bit_generator.state
        draws_left = MAX_DRAWS if bool(objects.is_visible.any()) else 0
        while True:
            changes = draw_changes(objects.size, settings, generator, num_frames=len(frame_index))
            target = drop_absent(objects.target(changes.places))
            if len(target.labels) or not draws_left:
                break
            draws_left -= 1
        try:
            clip = _with_frames(
                self.dataset,
                video_index,
                frame_index,
                at_least=changes.resized if self._is_scaled else None,
                change=changes.moved,
            )
        except CanBeLeftOut:
            generator.bit_generator.state = before
            raise
        return replace(clip, frames=changes.recoloured(clip.frames)), target

    def _is_animated(self, video_index: int) -> bool:
        """Whether the video is a still that becomes a pseudo clip."""
        return self.stills != "repeat" and self.num_frames > 1 and self.dataset.videos[video_index].length == 1

    def _find_objects(self, index: int, generator: np.random.Generator) -> tuple[int, list[int], ClipRuns]:
        """Video, frames and objects of a clip anchored at `index`, or elsewhere if no object is seen there.

        A still with too many objects counts as one without any.
        """
        draw = self._draw(index, generator)
        for _ in range(MAX_DRAWS):
            video_index, _, objects = draw
            is_too_full = self._is_animated(video_index) and is_crowded(objects)
            if bool(objects.is_visible.any()) and not is_too_full:
                break
            draw = self._draw(int(generator.integers(len(self))), generator)
        return draw

    def _draw(self, index: int, generator: np.random.Generator) -> tuple[int, list[int], ClipRuns]:
        video_index, anchor = self._anchors[index]
        frames = self._frames[video_index]
        if anchor is None:
            anchor = int(generator.integers(len(frames)))
        frame_index = [frames[place] for place in self._choose(len(frames), anchor, self.num_frames, generator)]
        return video_index, frame_index, self.dataset.clip_runs(video_index, frame_index, self.left_out)


class ClipLoader:
    """Endless training batches; `state_dict` names the first clip that has not been handed out.

    `left_out` is told of everything that the batches go without.
    """

    def __init__(self, batches: DataLoader, sampler: ClipSampler, left_out: LeftOut) -> None:
        self._batches = batches
        self.sampler = sampler
        self.left_out = left_out

    def __iter__(self) -> Iterator[TrainingBatch]:
        """Raises DataError where a clip cannot be read."""
        for batch in self._batches:
            if isinstance(batch, DataError):
                raise batch
            self.left_out.add(batch.left_out)
            # The batch counts as taken once it is handed out, however far the workers have read ahead.
            self.sampler.advance()
            yield batch

    def state_dict(self) -> dict[str, int]:
        return self.sampler.state_dict()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue where `state` was taken; takes effect for iterators made afterwards."""
        self.sampler.load_state_dict(state)


def build_loader(dataset: TrainingSet, sampler: ClipSampler, *, workers: int, pin_memory: bool = False) -> ClipLoader:
    """Batches of `sampler`, prepared by `workers` processes ahead of time; 0 prepares them when asked for."""
    if len(dataset) != sampler.num_clips:
        raise ValueError(f"the sampler counts {sampler.num_clips} clips, the data set {len(dataset)}")
    # Workers run neither numba nor torch kernels on several threads, so forking is safe; spawning would send every
    # worker a copy of the annotations.
    start_method = "fork" if workers and "fork" in multiprocessing.get_all_start_methods() else None
    if workers:
        drawn_runs.load_code()
    batches = DataLoader(
        _ErrorsAsValues(dataset),
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=_collate_or_error,
        pin_memory=pin_memory,
        multiprocessing_context=start_method,
        # Without a generator of its own, every iterator would take a number out of the global stream.
        generator=torch.Generator(),
    )
    left_out = LeftOut(dataset.left_out.on_bad)
    left_out.add(dataset.left_out.omissions)
    return ClipLoader(batches, sampler, left_out)


Sample = tuple[Clip, ClipTarget, tuple[Omission, ...]]
"""With what was left out for the first time on the way to it."""


class _ErrorsAsValues(Dataset[Sample | DataError]):
    """Hands errors to the consumer as they are: a worker's exception would arrive wrapped in its traceback."""

    def __init__(self, dataset: TrainingSet) -> None:
        self._dataset = dataset

    def __getitem__(self, token: ClipToken) -> Sample | DataError:
        known = len(self._dataset.left_out.omissions)
        try:
            clip, target = self._dataset[token]
        except DataError as error:
            return error
        return clip, target, self._dataset.left_out.omissions[known:]


def _collate_or_error(samples: Sequence[Sample | DataError]) -> TrainingBatch | DataError:
    good: list[Sample] = []
    for sample in samples:
        if isinstance(sample, DataError):
            return sample
        good.append(sample)
    batch = collate([(clip, target) for clip, target, _ in good])
    return replace(batch, left_out=tuple(omission for _, _, omissions in good for omission in omissions))


def _with_frames(
    dataset: TrainingData,
    video_index: int,
    frame_index: Sequence[int],
    *,
    at_least: tuple[int, int] | None = None,
    change: FrameChange | None = None,
) -> Clip:
    video = dataset.videos[video_index]
    return Clip(
        frames=dataset.decode_frames(video_index, frame_index, at_least=at_least, change=change),
        frame_index=torch.tensor(list(frame_index), dtype=torch.int64),
        video_id=video.id,
        size=(video.height, video.width),
    )


def _usable_frames(dataset: TrainingData, left_out: LeftOut) -> list[tuple[int, ...]]:
    """Per video the frames that clips may be drawn from: all, or those that have a file where others are left out."""
    every = [tuple(range(video.length)) for video in dataset.videos]
    if not left_out.is_skipped("image"):
        return every
    usable = [dataset.available_frames(video_index) for video_index in range(len(dataset.videos))]
    for video, frames, kept in zip(dataset.videos, every, usable, strict=True):
        for frame in sorted(set(frames) - set(kept)):
            name = video.file_names[frame]
            left_out.leave_out("image", dataset.annotation_path, f"video {video.id}, frame {frame}", f"no file {name}")
    return usable
