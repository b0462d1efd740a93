"""What a run learns from and is measured on."""

import contextlib
import logging
from dataclasses import dataclass

from maskreel.data.config import DataConfig
from maskreel.data.joint import JointSets, TrainingData, load_sets
from maskreel.data.loading import ClipLoader, TrainingSet, build_loader
from maskreel.data.sampling import ClipSampler
from maskreel.data.tracks import AnnotatedTrack, Video
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.errors import DataError, UsageError
from maskreel.geometry import rle
from maskreel.geometry.rle import RleError
from maskreel.training.distributed import BatchShare, Processes
from maskreel.training.recipe import Recipe

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class RunData:
    """Both splits of a run; `validation` is None where it is absent, has no truth, or is not wanted."""

    training: TrainingData
    validation: YouTubeVIS | None

    @property
    def classes(self) -> tuple[tuple[int, str], ...]:
        """(category id of the data, name) per class index."""
        return tuple((category.id, category.name) for category in self.training.categories)


def load_run_data(recipe: Recipe, group: Processes | None = None) -> RunData:
    """Read the splits that a recipe names; shards are read whole, shared out among the processes of a group.

    Raises UsageError when the training split is not there, DataError when the two splits have different classes, and
    for a damaged shard.
    """
    data = recipe.data
    training = load_sets(data.root, data.joint, data.train_split)
    for one in training.sets if isinstance(training, JointSets) else (training,):
        if one.packed is not None:
            one.packed.check(part=group.rank if group else 0, of=group.world_size if group else 1)
    check_objects(training)
    return RunData(training=training, validation=_load_validation(recipe, training))


def check_objects(training: TrainingData) -> None:
    """Raise DataError where there is no object to learn from, but crowds and tracks without a pixel at most."""
    crowds = empty = 0
    for video_index in range(len(training.videos)):
        for track in training.tracks(video_index):
            if not track.is_crowd and _has_pixel(training.videos[video_index], track):
                return
            crowds, empty = crowds + track.is_crowd, empty + (not track.is_crowd)
    found = [f"{crowds} crowds, which are not learnt"] * (crowds > 0)
    found += [f"{empty} tracks without a single pixel that can be read"] * (empty > 0)
    raise DataError(
        f"{training.annotation_path}: no object to learn from: it holds {' and '.join(found) or 'no annotation'}; "
        "train on a split with annotated objects"
    )


def _has_pixel(video: Video, track: AnnotatedTrack) -> bool:
    for stored in track.segmentations:
        # One that is malformed is left out, and named, where it is used.
        with contextlib.suppress(RleError):
            mask = rle.parse(stored, height=video.height, width=video.width, where="")
            if mask is not None and rle.area(mask) > 0:
                return True
    return False


def _load_validation(recipe: Recipe, training: TrainingData) -> YouTubeVIS | None:
    data = recipe.data
    if recipe.training.validate_every == 0:
        return None
    assert data.root is not None, "the training split was loaded from it"
    try:
        validation = YouTubeVIS.load(data.root, data.valid_split)
    except UsageError as error:
        logger.info("training without validation: %s", error)
        return None
    if not validation.has_annotations:
        logger.info("training without validation: %s has no annotations", validation.annotation_path)
        return None
    if all(track.is_crowd for index in range(len(validation.videos)) for track in validation.tracks(index)):
        logger.warning("training without validation: %s holds no object to measure", validation.annotation_path)
        return None
    own = training.sets[0] if isinstance(training, JointSets) else training
    if validation.categories != own.categories:
        raise DataError(
            f"{validation.annotation_path}: its categories differ from those of {training.annotation_path}; "
            "both splits need the same classes, or pass --training.validate-every 0"
        )
    return validation


def training_loader(
    training: TrainingData, data: DataConfig, group: Processes, share: BatchShare | None = None, *, seed: int
) -> ClipLoader:
    """This process's share of the batches of a run, in the order that `seed` gives; by default whole batches."""
    share = share or BatchShare(batch_size=data.batch_size, accumulate=1, sharers=group.world_size)
    clips = TrainingSet(
        training,
        num_frames=data.num_frames,
        augmentation=data.augmentation,
        seed=seed,
        on_bad=data.on_bad,
        anchors=data.anchors,
        frames=data.frames,
        stills=data.stills,
        decode=data.decode,
    )
    sampler = ClipSampler(
        len(clips),
        batch_size=share.batch_size,
        seed=seed,
        rank=group.rank,
        world_size=group.world_size,
        sharers=share.sharers,
        sets=clips.clips_of_sets,
        weights=data.weights,
    )
    return build_loader(clips, sampler, workers=data.workers, pin_memory=group.device.type == "cuda")
