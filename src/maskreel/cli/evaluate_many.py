"""The videos of a split shared by processes; what they find is measured as in one process."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from maskreel.cli.crew import crew_of
from maskreel.cli.progress import unit_progress
from maskreel.cli.records.video import Evaluate
from maskreel.data.dataset_video import load_split
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.device import choose_device
from maskreel.errors import DataError
from maskreel.evaluation.evaluate import Evaluation, Tracks, evaluated_predictor, find_tracks, measure_tracks
from maskreel.evaluation.options import EvaluationConfig
from maskreel.inference.predictor import VideoPredictor
from maskreel.left_out import LeftOut
from maskreel.runtimes.folder import load_runnable
from maskreel.spread.work import work_through

Found = Tracks | DataError


class WorkerOfSplit:
    """What a worker calls once, and then for every video, by its place in the split."""

    def __init__(self, args: Evaluate, config: EvaluationConfig) -> None:
        self._run, self._device, self._config = args.run, args.device, config
        self._root, self._split = args.data.root or Path(), args.data.split
        self._threads = torch.get_num_threads()

    def __call__(self) -> Callable[[int], Found]:
        torch.set_num_threads(self._threads)
        device = choose_device(self._device)
        loaded = load_runnable(self._run, device)
        # The network is prepared once, not for every video.
        predictor = evaluated_predictor(loaded.model, loaded.classes, self._config, device)
        return partial(_find, predictor, load_split(self._root, self._split))


def _find(predictor: VideoPredictor, dataset: YouTubeVIS, index: int) -> Found:
    try:
        return find_tracks(predictor, dataset, [index])
    except DataError as error:
        return error


def evaluate_shared(
    args: Evaluate,
    dataset: YouTubeVIS,
    config: EvaluationConfig,
    *,
    left_out: LeftOut,
) -> Evaluation:
    """As `evaluation.evaluate.evaluate`; a video that kills two workers counts as one that cannot be read."""
    tracks: Tracks = {}
    failed: dict[int, str] = {}
    units = range(len(dataset.videos))
    with (
        crew_of(args, WorkerOfSplit(args, config)) as (crew, workers),
        unit_progress(len(units), quiet=args.quiet) as advance,
    ):
        for one in work_through(units, crew, workers=workers, tick=lambda: advance(0.0)):
            if isinstance(one.value, dict):
                tracks |= one.value
            else:
                failed[one.unit] = str(one.value or f"killed {len(one.deaths)} workers (the last {one.deaths[-1]})")
            advance(1.0)
    for index, reason in sorted(failed.items()):
        left_out.leave_out("video", dataset.annotation_path, f"video {dataset.videos[index].id}", reason)
    return measure_tracks(dataset, tracks)
