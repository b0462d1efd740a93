"""Boxes, boxes around masks, and padding, as the published SeqFormer has them."""

import pytest
import torch

from maskreel.geometry.boxes import cxcywh_to_xyxy, pairwise_giou, pairwise_iou, xyxy_to_cxcywh
from maskreel.geometry.masks import boxes_from_masks, mask_extents
from maskreel.video.prepare import pad_frames
from tests.builders import assert_golden, golden

pytestmark = pytest.mark.golden


@pytest.fixture(scope="module")
def recorded():
    return golden("units/seqformer.safetensors")


def test_box_notations_agree(recorded):
    assert_golden(cxcywh_to_xyxy(recorded["box.a"]), recorded["box.a_xyxy"])
    assert_golden(xyxy_to_cxcywh(recorded["box.a_xyxy"]), recorded["box.back"])


def test_overlaps_of_all_pairs_agree(recorded):
    a, b = cxcywh_to_xyxy(recorded["box.a"]), cxcywh_to_xyxy(recorded["box.b"])
    assert_golden(pairwise_iou(a, b), recorded["box.iou"])
    assert_golden(pairwise_giou(a, b), recorded["box.giou"])


def test_extents_of_masks_agree(recorded):
    assert torch.equal(mask_extents(recorded["m2b.masks"]).float(), recorded["m2b.boxes"])


def test_our_boxes_end_one_pixel_behind_the_recorded_inclusive_indices(recorded):
    height, width = recorded["m2b.masks"].shape[-2:]
    scale = torch.tensor([width, height, width, height])
    recorded_edges = recorded["m2b.boxes"] + torch.tensor([0, 0, 1, 1])
    assert_golden(cxcywh_to_xyxy(boxes_from_masks(recorded["m2b.masks"])) * scale, recorded_edges)


def test_padding_agrees(recorded):
    clips = [recorded[name].unflatten(0, (2, 3)) for name in ("nested.in0", "nested.in1")]
    batch = pad_frames(clips, multiple=32)
    assert torch.equal(batch.frames.flatten(0, 1), recorded["nested.tensors"])
    assert torch.equal(batch.is_padding.flatten(0, 1), recorded["nested.mask"])
