"""Measuring a model between two steps of its training."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.evaluation.evaluate import Tracks, evaluated_predictor, find_tracks, measure_tracks, of_videos
from maskreel.evaluation.options import EvaluationConfig
from maskreel.evaluation.plots import draw_plots, measured_curves
from maskreel.evaluation.results import Predictions
from maskreel.left_out import LeftOut
from maskreel.training import pictures
from maskreel.training.distributed import Processes, decided_by_first, gathered_by_first, take_buffers_of_first
from maskreel.training.interruption import CutOff, Interruption
from maskreel.training.random_state import capture_random, restore_random


class Validation:
    """The validation split of a run and how it is evaluated; pictures of the first videos go into the run's folder.

    `classes` are those that the model knows, (id, name) per class index: of joint sets more than the split has.
    `left_out` is told of videos that cannot be read; they are not measured, or stop the run where it says so.
    """

    def __init__(
        self,
        split: YouTubeVIS,
        classes: Sequence[tuple[int, str]],
        config: EvaluationConfig,
        group: Processes,
        folder: Path,
        left_out: LeftOut,
    ) -> None:
        self._split, self._classes, self._config = split, tuple(classes), config
        self._group, self._folder, self._left_out = group, folder, left_out
        self._found: Predictions | None = None

    def __call__(
        self, model: nn.Module, interruption: Interruption, *, with_pictures: bool = True
    ) -> dict[str, float | None] | None:
        """Metrics over all classes, in every process; None when Ctrl-C cut the validation off.

        Processes share the videos; the first one measures what all have found. Every random number generator stays as
        it was and the model in training mode, so that validating changes nothing in training.
        """
        take_buffers_of_first(model, self._group)
        shares = gathered_by_first(self._group, self._find(model, interruption))
        metrics = None
        if self._group.is_first and all(share is not None for share in shares):
            tracks = {video_id: found for share in shares if share is not None for video_id, found in share.items()}
            metrics = self._measure(tracks, with_pictures=with_pictures)
        return decided_by_first(self._group, lambda: metrics)

    def _find(self, model: nn.Module, interruption: Interruption) -> Tracks | None:
        """Tracks in this process's videos, by video id; None when Ctrl-C cut it off."""
        before = capture_random()
        try:
            return find_tracks(
                evaluated_predictor(model, self._classes, self._config, self._group.device),
                self._split,
                range(self._group.rank, len(self._split.videos), self._group.world_size),
                on_video=lambda _: interruption.cut_off(),
                left_out=self._left_out,
            )
        except CutOff:
            return None
        finally:
            model.train()
            restore_random(before)

    def _measure(self, tracks: Tracks, *, with_pictures: bool) -> dict[str, float | None]:
        evaluation = measure_tracks(self._split, tracks)
        if with_pictures:
            pictures.validation_batch(self._folder, self._split, evaluation)
            self._found = evaluation.predictions
        return evaluation.overall

    def draw_curves(self) -> None:
        """Curves and confusion matrix of the last validation, in the first process: they take seconds."""
        if self._found is not None:
            truth = of_videos(self._split.truth, self._found.tracks)
            draw_plots(self._folder, measured_curves(truth, self._found))
