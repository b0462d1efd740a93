"""What the published inference scripts write for given raw outputs."""

import json

import numpy as np
import pytest
import torch

from maskreel.geometry import rle
from maskreel.inference.postprocess import clip_detections
from maskreel.inference.tracks import VideoTracks
from maskreel.structures import ClipPrediction, LayerPrediction
from tests.builders import golden, golden_bytes
from tests.inference.colour_model import ColourMasks

pytestmark = pytest.mark.golden

FEW_PIXELS = 3
"""Per video: where a logit is within rounding of zero, a pixel may fall on either side."""


@pytest.mark.parametrize("video_id", [1, 2])
def test_seqformer_pairs_scores_and_masks_are_those_of_the_published_script(video_id: int) -> None:
    outputs = golden("inference/seqformer_outputs.safetensors")
    expected = json.loads(golden_bytes("inference/seqformer_results.json"))
    width, height = expected["image_size_wh"]
    logits, masks = outputs[f"video{video_id}.pred_logits"], outputs[f"video{video_id}.pred_masks"]
    prediction = ClipPrediction(
        layers=(
            LayerPrediction(
                class_logits=logits[:, :, None],
                boxes=outputs[f"video{video_id}.pred_boxes"].transpose(1, 2),
                masks=ColourMasks(masks),
            ),
        )
    )
    detections = clip_detections(prediction, top_k=10, source_size=(height, width), network_size=None)
    tracks = VideoTracks(height, width, [(index, str(index)) for index in range(logits.shape[-1])])
    tracks.add(0, list(range(1, len(detections) + 1)), detections)
    ours = tracks.pairs(masks.shape[2])

    theirs = sorted(
        (entry for entry in expected["results"] if entry["video_id"] == video_id), key=lambda entry: -entry["score"]
    )
    assert [pair.category_id for pair in ours] == [entry["category_id"] for entry in theirs]
    np.testing.assert_allclose([pair.score for pair in ours], [entry["score"] for entry in theirs], rtol=0, atol=1e-7)
    differing = 0
    for pair, entry in zip(ours, theirs, strict=True):
        for mine, recorded in zip(pair.segmentations, entry["segmentations"], strict=True):
            reference = rle.parse(recorded, height=height, width=width, where="recorded")
            assert reference is not None
            dense = np.zeros((height, width), dtype=bool) if mine is None else rle.decode(mine)
            differing += int((dense != rle.decode(reference)).sum())
    assert differing <= FEW_PIXELS


def test_only_queries_in_a_pair_are_decoded() -> None:
    outputs = golden("inference/seqformer_outputs.safetensors")
    masks = ColourMasks(outputs["video2.pred_masks"])
    logits = outputs["video2.pred_logits"]
    layer = LayerPrediction(class_logits=logits[:, :, None], boxes=torch.zeros(1, 12, 3, 4), masks=masks)
    clip_detections(ClipPrediction(layers=(layer,)), top_k=10, source_size=(54, 96), network_size=None)
    best = logits[0].flatten().topk(10).indices // logits.shape[-1]
    ((clip, asked),) = masks.asked
    assert clip == 0
    assert sorted(asked) == sorted(set(best.tolist()))
