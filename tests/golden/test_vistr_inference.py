"""What the published inference scripts of VisTR and Deformable VisTR write for given raw outputs."""

import json

import numpy as np
import pytest
from einops import rearrange

from maskreel.geometry import rle
from maskreel.inference.postprocess import clip_detections
from maskreel.inference.tracks import VideoTracks
from maskreel.structures import ClipPrediction, LayerPrediction
from tests.builders import golden, golden_bytes
from tests.inference.colour_model import ColourMasks

pytestmark = pytest.mark.golden

ROWS = {"vistr": "1 (t q) ... -> 1 q t ...", "defvis": "1 (q t) ... -> 1 q t ..."}
"""VisTR counts its rows frame after frame, Deformable VisTR's script instance after instance."""
FEW_PIXELS = 3
"""Per video: where a logit is within rounding of zero, a pixel may fall on either side."""


@pytest.mark.parametrize("video_id", [1, 2, 3])
@pytest.mark.parametrize("system", ["vistr", "defvis"])
def test_classes_scores_and_masks_are_those_of_the_published_script(system: str, video_id: int) -> None:
    outputs = golden(f"inference/{system}_outputs.safetensors")
    expected = json.loads(golden_bytes(f"inference/{system}_results.json"))
    width, height = expected["image_size_wh"]
    (length,) = (video["length"] for video in expected["videos"] if video["id"] == video_id)
    logits, boxes, masks = (
        rearrange(outputs[f"video{video_id}.{name}"], ROWS[system], t=expected["clip_frames"])
        for name in ("pred_logits", "pred_boxes", "pred_masks")
    )
    layer = LayerPrediction(class_logits=logits, boxes=boxes, masks=ColourMasks(masks))
    prediction = ClipPrediction(layers=(layer,), votes="per_frame")
    detections = clip_detections(
        prediction, top_k=10, source_size=(height, width), network_size=None, num_frames=length
    )
    tracks = VideoTracks(height, width, [(index, str(index)) for index in range(41)])
    tracks.add(0, list(range(1, len(detections) + 1)), detections)
    ours = tracks.pairs(length)

    theirs = sorted(
        (entry for entry in expected["results"] if entry["video_id"] == video_id), key=lambda entry: -entry["score"]
    )
    assert len(theirs) > 1
    assert [pair.category_id for pair in ours] == [entry["category_id"] for entry in theirs]
    np.testing.assert_allclose([pair.score for pair in ours], [entry["score"] for entry in theirs], rtol=0, atol=1e-6)
    differing = 0
    for pair, entry in zip(ours, theirs, strict=True):
        assert len(pair.segmentations) == len(entry["segmentations"]) == length
        for mine, recorded in zip(pair.segmentations, entry["segmentations"], strict=True):
            reference = None if recorded is None else rle.parse(recorded, height=height, width=width, where="recorded")
            empty = np.zeros((height, width), dtype=bool)
            differing += int(
                (
                    (empty if mine is None else rle.decode(mine))
                    != (empty if reference is None else rle.decode(reference))
                ).sum()
            )
    assert differing <= FEW_PIXELS
