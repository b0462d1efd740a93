"""What VisTR and its relatives promise on top of the contract: padding in space and time, short clips, long videos."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from maskreel.inference.predictor import PredictorOptions, VideoPredictor
from maskreel.models.catalog import ModelConfig
from maskreel.models.deformable_vistr import DeformableVisTR
from maskreel.models.folder import build_model
from maskreel.runtimes.protocol import Runtime
from maskreel.structures import ClipBatch, ClipPrediction, FrameFeatures
from maskreel.video.files import Frame
from tests.builders import clip_batch
from tests.checkpoints.frame_query_tables import TINY
from tests.checkpoints.tables import replaced
from tests.models.test_contract import drawn

NAMES = ("vistr", "deformable_vistr", "deformable_vistr_levels", "deformable_vistr_space_time", "tt_spn")
CONFIGS = {
    **TINY,
    "deformable_vistr_levels": replace(TINY["deformable_vistr"], encoder_attention="frames_as_levels"),
    "deformable_vistr_space_time": replace(TINY["deformable_vistr"], decoder_attention="space_time"),
}


def config_of(name: str, *, frames: int = 3, dropout: float = 0.0) -> ModelConfig:
    config = replaced(CONFIGS[name], "queries.frames", frames)
    for option in ("dropout", "attention_dropout"):
        config = replaced(config, f"transformer.{option}", dropout)
    return config


def model_of(name: str, **changes: Any) -> nn.Module:
    return drawn(config_of(name, **changes), deviation=0.1).eval()


def run(model: nn.Module, clip: ClipBatch) -> ClipPrediction:
    with torch.no_grad():
        return model(clip)


def masks(prediction: ClipPrediction, clip: int) -> Tensor:
    assert prediction.final.masks is not None
    with torch.no_grad():
        return prediction.final.masks.select(clip, torch.arange(5))


def assert_same(
    a: ClipPrediction, b: ClipPrediction, clips: tuple[int, int], *, frames: int, cells: tuple[int, int]
) -> None:
    """Two predictions agree about all frames and un-padded mask cells of a clip, masks included."""
    i, j = clips
    for x, y in zip(a.layers, b.layers, strict=True):
        torch.testing.assert_close(x.class_logits[i, :, :frames], y.class_logits[j, :, :frames], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(x.boxes[i, :, :frames], y.boxes[j, :, :frames], rtol=1e-3, atol=1e-4)
    inside = (slice(None), slice(frames), slice(cells[0]), slice(cells[1]))
    torch.testing.assert_close(masks(a, i)[inside], masks(b, j)[inside], rtol=1e-3, atol=1e-3)
    assert masks(a, i)[inside].std() > 0


def with_padded_frames(clip: ClipBatch, total: int) -> ClipBatch:
    """The clip with frames behind it that are padding and hold arbitrary pixels."""
    b, t, _, height, width = clip.frames.shape
    more = torch.full((b, total - t, 3, height, width), 3.0)
    padding = torch.ones(b, total - t, height, width, dtype=torch.bool)
    return ClipBatch(frames=torch.cat((clip.frames, more), 1), is_padding=torch.cat((clip.is_padding, padding), 1))


@pytest.mark.parametrize("name", NAMES)
def test_padding_in_space_changes_nothing_from_pixels_to_masks(name: str) -> None:
    model = model_of(name)
    own = run(model, clip_batch([(50, 70)], padded=(50, 70)))
    for padded in ((64, 96), (96, 160)):
        assert_same(own, run(model, clip_batch([(50, 70)], padded=padded)), (0, 0), frames=3, cells=(13, 18))


@pytest.mark.parametrize("name", NAMES)
def test_padding_in_time_changes_nothing(name: str) -> None:
    model, clip = model_of(name, frames=6), clip_batch([(64, 96)], num_frames=3)
    own = run(model, clip)
    for total in (4, 6):
        long = run(model, with_padded_frames(clip, total))
        assert all(layer.boxes.isfinite().all() and layer.class_logits.isfinite().all() for layer in long.layers)
        assert_same(own, long, (0, 0), frames=3, cells=(16, 24))


@pytest.mark.parametrize("name", NAMES)
def test_clips_of_other_sizes_and_lengths_in_the_batch_change_nothing(name: str) -> None:
    model = model_of(name)
    together = clip_batch([(64, 96), (50, 70)])
    short = with_padded_frames(clip_batch([(64, 96)], num_frames=2), 3)
    batch = ClipBatch(
        frames=torch.cat((together.frames, short.frames)), is_padding=torch.cat((together.is_padding, short.is_padding))
    )
    both = run(model, batch)
    for clip, (size, frames) in enumerate((((64, 96), 3), ((50, 70), 3), ((64, 96), 2))):
        alone = run(model, clip_batch([size], num_frames=frames, padded=size))
        assert_same(alone, both, (0, clip), frames=frames, cells=(-(-size[0] // 4), -(-size[1] // 4)))


@pytest.mark.parametrize("name", NAMES)
def test_a_shorter_clip_uses_the_queries_of_its_first_frames(name: str) -> None:
    model, clip = model_of(name), clip_batch([(64, 96)], num_frames=2)
    before = run(model, clip).final.class_logits
    assert before.shape == (1, 5, 2, 4)
    with torch.no_grad():
        model.decoder.queries.weight[10:] += 3.0
    torch.testing.assert_close(run(model, clip).final.class_logits, before, rtol=0, atol=0)


def test_the_deformable_encoder_knows_no_longest_clip() -> None:
    """Tables are bound to a clip's length in the query table alone."""
    short, long = (drawn(config_of("deformable_vistr", frames=n)) for n in (3, 9))
    assert isinstance(short, DeformableVisTR)
    shapes = [
        {k: v.shape for k, v in model.state_dict().items() if k != "decoder.queries.weight"} for model in (short, long)
    ]
    assert shapes[0] == shapes[1]


@dataclass
class GivenFrames:
    """A video of random pixels."""

    num_frames: int
    name: str = "given"
    size: tuple[int, int] = (24, 40)
    skipped: tuple[Any, ...] = ()
    frame_rate: Fraction = Fraction(10)

    @property
    def declared(self) -> int:
        return self.num_frames

    def __iter__(self) -> Iterator[Frame]:
        generator = np.random.default_rng(0)
        for index in range(self.num_frames):
            yield Frame(
                index=index, time=index / 10, pixels=generator.integers(0, 256, (*self.size, 3), dtype=np.uint8)
            )


@pytest.mark.parametrize("length", [7, 36, 37, 84, 400])
def test_a_video_of_any_length_comes_back_with_all_its_frames(length: int) -> None:
    predictor = predictor_of("vistr")
    result = predictor.predict(GivenFrames(length))
    found = result.pairs()
    assert len(result.timestamps) == length
    assert len(found) == 5, "every window's objects are linked to those of the window before"
    for masklet in found.masklets:
        assert len(masklet.segmentations) == length
        assert all(mask is not None for mask in masklet.segmentations)


def predictor_of(name: str, **options: Any) -> VideoPredictor:
    """Of a model that sees five objects everywhere."""
    model = drawn(config_of(name, frames=36), deviation=0.3)
    with torch.no_grad():
        model.mask_head.volume[-1].bias += 100.0
    classes = [(1, "a"), (2, "b"), (3, "c")]
    return VideoPredictor(model, classes, PredictorOptions(short_side=32, **options))


class RememberingRuntime:
    """A runtime that notes the number of frames of every clip."""

    def __init__(self, runtime: Runtime, shown: list[int]) -> None:
        self.device, self.clip, self.masks = runtime.device, runtime.clip, runtime.masks
        self._runtime, self._shown = runtime, shown

    def frame_features(self, frames: ClipBatch) -> FrameFeatures:
        self._shown.append(frames.frames.shape[1])
        return self._runtime.frame_features(frames)


def test_a_short_video_is_padded_and_not_repeated_unless_asked() -> None:
    shown: list[int] = []

    lengths, scores = {}, {}
    for choice in ("pad", "repeat"):
        predictor = predictor_of("vistr", short_clips=choice)
        runtime = RememberingRuntime(predictor.runtime, shown)
        predictor = VideoPredictor(runtime, predictor.classes, predictor.options)
        result = predictor.predict(GivenFrames(7))
        lengths[choice] = [len(masklet.segmentations) for masklet in result.pairs().masklets]
        scores[choice] = [masklet.score for masklet in result.pairs().masklets]
    assert shown == [7, 36]
    assert set(lengths["pad"]) == set(lengths["repeat"]) == {7}
    assert scores["pad"] != scores["repeat"]


def test_prediction_switches_dropout_off() -> None:
    model = build_model(config_of("tt_spn", frames=36, dropout=0.5)).train()
    predictor = VideoPredictor(model, [(1, "a"), (2, "b"), (3, "c")], PredictorOptions(short_side=32))
    first, second = (predictor.predict(GivenFrames(5)).pairs() for _ in range(2))
    assert not model.training
    assert len(first) > 0
    assert [m.score for m in first.masklets] == [m.score for m in second.masklets]
