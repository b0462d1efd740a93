"""Running a model over a split and scoring it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from maskreel.data.annotation_file import read_ground_truth
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.errors import DataError
from maskreel.evaluation.average_precision import average_precision
from maskreel.evaluation.evaluate import SHOWN, evaluate
from maskreel.evaluation.options import EVERY_SCORE, EvaluationConfig, recorded_evaluation
from maskreel.evaluation.results import read_predictions
from maskreel.structures import ClipBatch, ClipPrediction, FeatureMap, FrameFeatures, LayerPrediction, select_masks
from tests.builders import write_youtube_vis

CLASSES = ((3, "line"), (7, "block"))


class RedIsABlock(nn.Module):
    """Query 0 is a block wherever a frame is red, query 1 a line nowhere."""

    masks = staticmethod(select_masks)

    def frame_features(self, frames: ClipBatch) -> FrameFeatures:
        pixels = FeatureMap(values=frames.frames, is_padding=frames.is_padding, stride=1)
        return FrameFeatures(maps=(pixels,), sizes=torch.zeros(*frames.frames.shape[:2], 2))

    def clip(self, features: FrameFeatures) -> ClipPrediction:
        (frames,) = features.maps
        b, t = frames.values.shape[:2]
        red = frames.values[:, :, 0] - frames.values[:, :, 1] > 2
        logits = torch.where(red & ~frames.is_padding, 5.0, -5.0)[..., ::4, ::4]
        scores = torch.tensor([[-9.0, 3.0], [-8.0, -9.0]])[None, :, None].expand(b, 2, 1, 2)
        layer = LayerPrediction(
            class_logits=scores,
            boxes=torch.full((b, 2, t, 4), 0.5),
            masks=Masks(torch.stack((logits, -logits.abs()), 1)),
        )
        return ClipPrediction(layers=(layer,))


class Masks:
    def __init__(self, logits: Tensor) -> None:
        self.logits = logits

    def select(self, clip: int, queries: Tensor) -> Tensor:
        return self.logits[clip, queries]


@pytest.fixture
def dataset(tmp_path: Path) -> YouTubeVIS:
    """Two videos whose red block fills much of the frame; the second one shows a dial."""
    document = write_youtube_vis(tmp_path, size=(64, 96))
    document["videos"][1]["dials"] = ["crossing"]
    (tmp_path / "train.json").write_text(json.dumps(document))
    return YouTubeVIS.load(tmp_path, "train")


def test_metrics_are_those_of_the_results_file(dataset: YouTubeVIS, tmp_path: Path) -> None:
    evaluation = evaluate(
        RedIsABlock(), CLASSES, dataset, EvaluationConfig(predictor=replace(EVERY_SCORE, short_side=64, top_k=2))
    )
    path = tmp_path / "results.json"
    evaluation.save_results(path)
    ground_truth = read_ground_truth(dataset.annotation_path)
    expected = average_precision(ground_truth, read_predictions(path, ground_truth))
    assert evaluation.metrics == expected
    assert evaluation.to_json()["ap"].items() >= expected.to_json().items()
    assert evaluation.per_class["block"]["AP50"] == 1
    assert evaluation.per_class["line"]["AP50"] == 0


def test_sizes_and_dials_have_their_own_metrics(dataset: YouTubeVIS) -> None:
    done: list[int] = []
    config = EvaluationConfig(predictor=replace(EVERY_SCORE, short_side=64, top_k=2))
    evaluation = evaluate(RedIsABlock(), CLASSES, dataset, config, on_video=done.append)
    assert done == [1, 2]
    assert evaluation.per_size["small"] == evaluation.overall
    assert evaluation.per_size["large"] == dict.fromkeys(SHOWN)
    assert list(evaluation.per_dial) == ["crossing"]
    assert evaluation.per_dial["crossing"] == pytest.approx(evaluation.overall)
    assert [track.category_id for track in evaluation.tracks(12)] == [7]


def test_results_entries_have_one_mask_or_null_per_frame(dataset: YouTubeVIS, tmp_path: Path) -> None:
    evaluation = evaluate(
        RedIsABlock(), CLASSES, dataset, EvaluationConfig(predictor=replace(EVERY_SCORE, short_side=64, top_k=2))
    )
    evaluation.save_results(tmp_path / "results.json")
    entries = json.loads((tmp_path / "results.json").read_text())
    assert {entry["category_id"] for entry in entries} == {7}
    assert all(len(entry["segmentations"]) == 6 for entry in entries)


def test_a_split_without_findings_scores_zero(dataset: YouTubeVIS) -> None:
    evaluation = evaluate(
        RedIsABlock(),
        CLASSES,
        dataset,
        EvaluationConfig(predictor=replace(EVERY_SCORE, short_side=64, min_score=0.999)),
    )
    assert not any(evaluation.predictions.tracks.values())
    assert evaluation.overall["AP"] == 0


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (((3, "line"),), "the model has 1 classes, .* has 2"),
        (((3, "line"), (8, "block")), "class 7 of .* is 'block', of the model None"),
        (((3, "line"), (7, "bear")), "class 7 of .* is 'block', of the model 'bear'"),
    ],
)
def test_a_model_of_other_classes_is_refused(
    classes: tuple[tuple[int, str], ...], message: str, dataset: YouTubeVIS
) -> None:
    with pytest.raises(DataError, match=message):
        evaluate(RedIsABlock(), classes, dataset, EvaluationConfig())


def test_a_split_whose_truth_is_held_back_is_refused(dataset: YouTubeVIS) -> None:
    document = json.loads(dataset.annotation_path.read_text())
    dataset.annotation_path.write_text(json.dumps({**document, "annotations": None}))
    held_back = YouTubeVIS.read_file(dataset.annotation_path)
    with pytest.raises(DataError, match="there is no ground truth in it"):
        evaluate(RedIsABlock(), CLASSES, held_back, EvaluationConfig())


def test_recorded_options_are_taken_up_and_can_be_changed() -> None:
    recorded = {"short_side": 96, "clip_frames": 12, "min_score": 0.0, "unknown": 1}
    config = recorded_evaluation(recorded, clip_frames=8, top_k=None)
    assert config == EvaluationConfig(predictor=replace(EVERY_SCORE, short_side=96, clip_frames=8))
