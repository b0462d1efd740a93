"""A model is three calls: what each frame says, what the frames say together, and the masks of chosen queries."""

from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from maskreel.models.folder import build_criterion
from maskreel.structures import ClipBatch, ClipPrediction, FrameFeatures, VideoModel, select_masks
from tests.builders import clip_batch
from tests.checkpoints.tables import TINY, replaced
from tests.models.test_contract import SIZES, drawn, targets

NAMES = sorted(TINY)
QUERIES = torch.tensor([3, 0])
FRAMES = 4


def model_of(name: str) -> nn.Module:
    config = TINY[name]
    if hasattr(config.queries, "frames"):
        config = replaced(config, "queries.frames", FRAMES)
    return drawn(config, deviation=0.1).eval()


def frame(clip: ClipBatch, t: int) -> ClipBatch:
    return ClipBatch(frames=clip.frames[:, t : t + 1], is_padding=clip.is_padding[:, t : t + 1])


def outputs(model: VideoModel, prediction: ClipPrediction) -> list[Tensor]:
    """Everything that a prediction says, masks of chosen queries of both clips included."""
    layers = [values for layer in prediction.layers for values in (layer.class_logits, layer.boxes)]
    return layers + [model.masks(prediction, clip, QUERIES) for clip in range(len(SIZES))]


@pytest.mark.parametrize("name", NAMES)
def test_forward_is_the_composition_of_the_calls(name: str) -> None:
    model, clip = model_of(name), clip_batch(SIZES, num_frames=FRAMES)
    assert isinstance(model, VideoModel)
    with torch.no_grad():
        whole, composed = model(clip), model.clip(model.frame_features(clip))
        for ours, theirs in zip(outputs(model, composed), outputs(model, whole), strict=True):
            assert torch.equal(ours, theirs)
            assert ours.std() > 0
        assert whole.final.masks is not None
        assert torch.equal(model.masks(whole, 1, QUERIES), whole.final.masks.select(1, QUERIES))


@pytest.mark.parametrize("name", NAMES)
def test_features_of_frames_one_by_one_and_joined_predict_as_the_whole_clip(name: str) -> None:
    model, clip = model_of(name), clip_batch(SIZES, num_frames=FRAMES)
    with torch.no_grad():
        whole = model(clip)
        alone = [model.frame_features(frame(clip, t)) for t in range(FRAMES)]
        joined = model.clip(FrameFeatures.join(alone))
        for ours, theirs in zip(outputs(model, joined), outputs(model, whole), strict=True):
            assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("name", NAMES)
def test_frames_that_two_clips_share_are_computed_once(name: str) -> None:
    """As a live video does it: the last frames of a window are taken over, and only the new one is computed."""
    model, clip = model_of(name), clip_batch(SIZES, num_frames=FRAMES)
    later = ClipBatch(frames=clip.frames[:, 2:], is_padding=clip.is_padding[:, 2:])
    with torch.no_grad():
        kept = model.frame_features(ClipBatch(frames=clip.frames[:, :3], is_padding=clip.is_padding[:, :3]))
        window = FrameFeatures.join([kept.take([2]), model.frame_features(frame(clip, 3))])
        for ours, theirs in zip(outputs(model, model.clip(window)), outputs(model, model(later)), strict=True):
            assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("name", NAMES)
def test_features_of_a_frame_do_not_depend_on_the_other_frames(name: str) -> None:
    model, clip = model_of(name), clip_batch(SIZES, num_frames=FRAMES)
    other = replace(clip, frames=torch.cat((clip.frames[:, :1], clip.frames[:, 1:].flip(1) + 1.0), 1))
    with torch.no_grad():
        ours, theirs = (model.frame_features(each).take(slice(0, 1)) for each in (clip, other))
    for a, b in zip(tensors(ours), tensors(theirs), strict=True):
        assert (a.float() - b.float()).abs().max() <= 1e-5 * b.float().abs().max()


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_frames_matters_to_the_clip_alone(name: str) -> None:
    """Codes of time belong to the clip: features of the same frames in another order are the same features."""
    model, clip = model_of(name), clip_batch(SIZES[:1], num_frames=FRAMES)
    order = [2, 0, 3, 1]
    with torch.no_grad():
        features = model.frame_features(clip)
        shuffled = model.frame_features(ClipBatch(frames=clip.frames[:, order], is_padding=clip.is_padding[:, order]))
    for a, b in zip(tensors(features.take(order)), tensors(shuffled), strict=True):
        assert (a.float() - b.float()).abs().max() <= 1e-5 * b.float().abs().max()


@pytest.mark.parametrize("name", NAMES)
def test_the_calls_leave_nothing_on_the_model(name: str) -> None:
    """What one call knows of another stands in the records: a second clip between two calls changes nothing."""
    model, clip, other = model_of(name), clip_batch(SIZES, num_frames=2), clip_batch(SIZES, num_frames=3, seed=7)
    attributes = {path: set(vars(module)) for path, module in model.named_modules()}
    with torch.no_grad():
        features = model.frame_features(clip)
        model(other)
        prediction = model.clip(features)
        final = model(other)
        masks = model.masks(prediction, 0, QUERIES)
        assert torch.equal(masks, select_masks(model(clip), 0, QUERIES))
        assert final.final.boxes.shape[2] == 3
    assert {path: set(vars(module)) for path, module in model.named_modules()} == attributes


@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_of_the_features_has_its_frames_on_the_second_axis(name: str) -> None:
    model, clip = model_of(name), clip_batch(SIZES, num_frames=FRAMES)
    with torch.no_grad():
        features = model.frame_features(clip)
    assert all(values.shape[:2] == (2, FRAMES) for values in tensors(features))
    assert features.sizes[:, 0].tolist() == [[width, height] for height, width in SIZES]
    assert [level.values.shape[1] for level in features.take([3, 1]).maps] == [2] * len(features.maps)
    assert torch.equal(features.take([3, 1]).maps[0].values, features.maps[0].values[:, [3, 1]])


def test_only_features_of_frames_of_one_size_are_joined() -> None:
    model = model_of("seqformer")
    with torch.no_grad():
        parts = [model.frame_features(clip_batch([size], num_frames=1)) for size in ((64, 96), (64, 160))]
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        FrameFeatures.join(parts)


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_computes_nothing_for_the_losses_alone(name: str) -> None:
    """Tokens for the adversary and embeddings for the contrast are of training; evaluation goes without them."""
    config, model = TINY[name], drawn(TINY[name])
    clip = clip_batch(SIZES)
    build_criterion(config)(model.train()(clip), targets(), clip)
    prediction = model.eval()(clip)
    assert prediction.memory is None
    assert all(layer.embedding is None for layer in prediction.layers)


def test_masks_of_a_model_without_a_mask_head_are_refused() -> None:
    model = model_of("vistr")
    with torch.no_grad():
        prediction = model(clip_batch(SIZES[:1], num_frames=1))
    without = ClipPrediction(layers=prediction.layers[:1], votes=prediction.votes)
    with pytest.raises(ValueError, match="this model predicts no masks"):
        model.masks(without, 0, QUERIES)


def test_a_plain_module_is_no_video_model() -> None:
    assert not isinstance(nn.Linear(1, 1), VideoModel)


def tensors(record: Any) -> list[Tensor]:
    """All tensors of a record and of the records in it."""
    if isinstance(record, Tensor):
        return [record]
    if is_dataclass(record):
        return [values for each in fields(record) for values in tensors(getattr(record, each.name))]
    return [values for each in record for values in tensors(each)] if isinstance(record, tuple) else []


@pytest.mark.parametrize("name", NAMES)
def test_what_an_object_looks_like_is_said_per_query_and_not_in_training(name: str) -> None:
    """It follows the frames, and not their order in the batch of clips."""
    model, clip = model_of(name), clip_batch(SIZES, num_frames=FRAMES)
    with torch.no_grad():
        looks = model(clip).appearance
        swapped = model(ClipBatch(frames=clip.frames.flip(0), is_padding=clip.is_padding.flip(0))).appearance
        assert model.train()(clip).appearance is None
    assert looks is not None
    assert swapped is not None
    assert looks.shape[:2] == (len(SIZES), TINY[name].queries.count)
    assert torch.allclose(swapped.flip(0), looks, atol=1e-5 * float(looks.abs().max()))
    assert not torch.equal(looks[0], looks[1])
