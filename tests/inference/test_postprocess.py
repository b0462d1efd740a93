"""Choosing pairs as published, and masks at the source's size."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from maskreel.errors import DataError
from maskreel.geometry import rle
from maskreel.inference.postprocess import (
    ClipDetections,
    FrameVotes,
    choose_pairs,
    clip_detections,
    encode_masks,
    frame_votes,
)
from maskreel.structures import ClipPrediction, LayerPrediction
from tests.inference.colour_model import ColourMasks


def prediction(class_logits: torch.Tensor, masks: torch.Tensor) -> ClipPrediction:
    boxes = torch.zeros(*masks.shape[:3], 4)
    return ClipPrediction(layers=(LayerPrediction(class_logits=class_logits, boxes=boxes, masks=ColourMasks(masks)),))


def dense(masks: list[list[rle.Rle | None]], size: tuple[int, int]) -> np.ndarray:
    return np.array(
        [[np.zeros(size, bool) if mask is None else rle.decode(mask) for mask in frames] for frames in masks]
    )


def test_the_best_pairs_are_chosen_over_queries_and_classes_together() -> None:
    logits = torch.tensor([[3.0, 2.0, -1.0], [0.0, -2.0, -3.0], [2.5, 1.0, -9.0]])[:, None]
    query, probability, is_chosen = choose_pairs(logits, top_k=4)
    assert query.tolist() == [0, 2]
    assert is_chosen.tolist() == [[True, True, False], [True, True, False]]
    np.testing.assert_allclose(probability, logits[[0, 2], 0].sigmoid())


def test_equal_scores_keep_the_order_of_query_and_class() -> None:
    query, _, is_chosen = choose_pairs(torch.zeros(5, 1, 2), top_k=3)
    assert query.tolist() == [0, 1]
    assert is_chosen.tolist() == [[True, True], [True, False]]


def test_more_pairs_than_there_are_take_all() -> None:
    query, _, is_chosen = choose_pairs(torch.randn(2, 1, 3), top_k=10)
    assert sorted(query.tolist()) == [0, 1]
    assert is_chosen.all()


def test_votes_per_frame_are_refused() -> None:
    with pytest.raises(ValueError, match="5 class votes per query"):
        choose_pairs(torch.zeros(4, 5, 2), top_k=1)


def test_masks_are_decoded_once_and_only_for_chosen_queries() -> None:
    class_logits = torch.full((1, 6, 1, 2), -5.0)
    class_logits[0, 4, 0] = torch.tensor([3.0, 2.0])
    class_logits[0, 1, 0] = torch.tensor([-5.0, 1.0])
    found = prediction(class_logits, torch.ones(1, 6, 2, 3, 4))
    detections = clip_detections(found, top_k=3, source_size=(12, 16), network_size=(12, 16))
    masks = found.final.masks
    assert isinstance(masks, ColourMasks)
    assert masks.asked == [(0, [4, 1])]
    assert detections.is_chosen.tolist() == [[True, True], [False, True]]


def test_objects_without_a_mask_in_any_frame_are_dropped() -> None:
    masks = torch.full((1, 3, 2, 3, 4), -1.0)
    masks[0, 1, 1, 1, 1] = 5.0
    detections = clip_detections(
        prediction(torch.zeros(1, 3, 1, 1), masks), top_k=3, source_size=(12, 16), network_size=(12, 16)
    )
    assert len(detections) == 1
    assert detections.masks[0][0] is None
    assert detections.masks[0][1] is not None


def test_padding_does_not_reach_the_masks() -> None:
    size, network = (30, 50), (45, 75)
    inside = torch.randn(1, 1, 1, 12, 19) * 3
    detections = []
    for padding in (-50.0, 50.0):
        masks = torch.full((1, 1, 1, 16, 24), padding)
        masks[..., :12, :19] = inside
        found = prediction(torch.zeros(1, 1, 1, 1), masks)
        detections.append(clip_detections(found, top_k=1, source_size=size, network_size=network))
    assert detections[0].masks == detections[1].masks
    assert detections[0].coarse.shape == (1, 1, 12, 19)


def test_a_padded_map_lies_where_the_frame_lay() -> None:
    """Enlarging the padded map by its stride, cutting the padding off and resizing gives the same mask."""
    generator = torch.Generator().manual_seed(0)
    smooth = F.interpolate(torch.randn(3, 1, 4, 6, generator=generator), size=(24, 40), mode="bicubic")[:, 0]
    masks = smooth[None, :, None]
    network, size = (90, 154), (180, 308)
    found = prediction(torch.zeros(1, 3, 1, 1), masks)
    ours = dense(clip_detections(found, top_k=3, source_size=size, network_size=network).masks, size)[:, 0]
    enlarged = F.interpolate(masks[0], scale_factor=4, mode="bilinear")[..., :90, :154]
    reference = (F.interpolate(enlarged, size=size, mode="bilinear") > 0)[:, 0].numpy()
    order = [int(np.argmax([(ours[n] == reference[m]).mean() for m in range(3)])) for n in range(3)]
    assert sorted(order) == [0, 1, 2]
    assert (ours != reference[order]).mean() < 0.005


@pytest.mark.parametrize("size", [(54, 96), (25, 45), (17, 31), (360, 640), (1, 1)])
def test_the_straight_stretch_equals_bilinear_interpolation(size: tuple[int, int]) -> None:
    logits = torch.randn(2, 3, 25, 45, generator=torch.Generator().manual_seed(1)) * 4 - 1
    ours = dense(encode_masks(logits, source_size=size), size)
    reference = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    is_decided = reference.abs() > 1e-4
    assert np.array_equal(ours[is_decided.numpy()], (reference > 0).numpy()[is_decided.numpy()])


def test_numbers_that_are_none_are_refused() -> None:
    masks = torch.ones(1, 1, 1, 3, 4)
    with pytest.raises(DataError, match="class scores are not numbers"):
        clip_detections(
            prediction(torch.full((1, 1, 1, 1), torch.nan), masks), top_k=1, source_size=(3, 4), network_size=None
        )
    with pytest.raises(DataError, match="masks are not numbers"):
        clip_detections(
            prediction(torch.zeros(1, 1, 1, 1), masks * torch.inf), top_k=1, source_size=(3, 4), network_size=None
        )


@pytest.mark.parametrize("strange", [torch.nan, torch.inf, -torch.inf])
def test_one_pixel_that_is_no_number_is_refused(strange: float) -> None:
    masks = torch.ones(1, 1, 1, 3, 4)
    masks[0, 0, 0, 2, 1] = strange
    with pytest.raises(DataError, match="masks are not numbers"):
        clip_detections(prediction(torch.zeros(1, 1, 1, 1), masks), top_k=1, source_size=(3, 4), network_size=None)


def frame_prediction(probability: list[list[list[float]]], masks: torch.Tensor | None = None) -> ClipPrediction:
    """A prediction with a vote per frame: (query, frame, class), the last class is "no object"."""
    logits = torch.tensor(probability).log()[None]
    if masks is None:
        masks = torch.ones(1, *logits.shape[1:3], 3, 4)
    return dataclasses.replace(prediction(logits, masks), votes="per_frame")


def votes_of(found: ClipPrediction, num_frames: int | None = None) -> tuple[ClipDetections, FrameVotes]:
    detections = clip_detections(found, top_k=10, source_size=(12, 16), network_size=(12, 16), num_frames=num_frames)
    assert detections.votes is not None
    return detections, detections.votes


def test_objects_of_models_that_vote_per_frame_come_best_first() -> None:
    faint, strong, middling = [[0.2, 0.1, 0.7]] * 2, [[0.1, 0.8, 0.1]] * 2, [[0.5, 0.1, 0.4]] * 2
    detections, votes = votes_of(frame_prediction([faint, strong, middling, strong]))
    np.testing.assert_allclose(votes.score.mean(1), [0.8, 0.8, 0.5, 0.2], rtol=1e-6)
    np.testing.assert_allclose(detections.probability[[0, 2, 3]], [[0.1, 0.8], [0.5, 0.1], [0.2, 0.1]], rtol=1e-6)
    assert votes.label.tolist() == [[1, 1], [1, 1], [0, 0], [0, 0]]
    assert detections.is_chosen.tolist() == [[False, True], [False, True], [True, False], [True, False]]


def test_equal_objects_of_models_that_vote_per_frame_keep_the_order_of_queries() -> None:
    masks = torch.ones(1, 3, 1, 3, 4)
    query, _, _ = frame_votes(frame_prediction([[[0.5, 0.2, 0.3]]] * 3, masks).final.class_logits[0])
    assert query.tolist() == [0, 1, 2]


def test_repeated_frames_have_no_vote_and_no_mask() -> None:
    """Two frames are real; what fills the clip behind them says another class, and more strongly."""
    real, repeated = [0.6, 0.1, 0.3], [0.0001, 0.9, 0.0999]
    detections, votes = votes_of(frame_prediction([[real, real, repeated, repeated, repeated]]), num_frames=2)
    assert votes.label.tolist() == [[0, 0]]
    np.testing.assert_allclose(votes.score, [[0.6, 0.6]], rtol=1e-6)
    np.testing.assert_allclose(detections.probability, [[0.6, 0.1]], rtol=1e-6)
    assert detections.is_chosen.tolist() == [[True, False]]
    assert len(detections.masks[0]) == detections.coarse.shape[1] == 2


def test_the_class_with_most_votes_wins_the_lowest_of_several_and_never_no_object() -> None:
    votes = FrameVotes(label=np.array([[2, 1, 1, 2, 0], [0, 2, 2, 1, 2]]), score=np.ones((2, 5)))
    assert votes.majority(3).tolist() == [1, 2]
    _, absent = votes_of(frame_prediction([[[0.02, 0.08, 0.9]] * 3]))
    assert absent.label.tolist() == [[1, 1, 1]]
    np.testing.assert_allclose(absent.score, [[0.08] * 3], rtol=1e-6)


def test_an_object_is_absent_from_a_frame_that_gives_it_next_to_nothing() -> None:
    seen, unseen = [0.0011, 0.0, 0.9989], [0.0009, 0.0, 0.9991]
    detections, _ = votes_of(frame_prediction([[seen, unseen, seen]]))
    assert [mask is not None for mask in detections.masks[0]] == [True, False, True]
    assert detections.coarse[0].flatten(1).any(1).tolist() == [True, False, True]


def test_masks_are_asked_of_whoever_is_named() -> None:
    asked = []

    def select(found: ClipPrediction, clip: int, queries: torch.Tensor) -> torch.Tensor:
        asked.append((clip, queries.tolist()))
        return torch.ones(len(queries), 2, 3, 4)

    found = prediction(torch.tensor([[[[2.0]], [[3.0]]], [[[1.0]], [[0.0]]]]), torch.zeros(2, 2, 2, 3, 4))
    detections = clip_detections(found, clip=1, top_k=2, source_size=(3, 4), network_size=None, select=select)
    assert asked == [(1, [0, 1])]
    assert len(detections) == 2
