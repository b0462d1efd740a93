"""Masks drawn from runs against masks decoded, changed and searched pixel by pixel."""

import numpy as np
import pytest
import torch

from maskreel.geometry import rle
from maskreel.geometry.drawn_runs import draw
from maskreel.geometry.masks import PixelPlaces, boxes_from_edges, boxes_from_masks
from maskreel.geometry.runs import pack_tracks

HEIGHT, WIDTH, FRAMES = 23, 31, 3
WHOLE = PixelPlaces.whole(HEIGHT, WIDTH)
CHANGES = {
    "as they are": WHOLE,
    "mirrored": WHOLE.mirrored(),
    "smaller": WHOLE.resized((7, 12)),
    "larger": WHOLE.resized((40, 70)),
    "mirrored, higher and narrower": WHOLE.mirrored().resized((50, 9)),
    "a window": WHOLE.window(top=3, left=5, size=(9, 8)),
    "all": WHOLE.mirrored().resized((40, 50)).window(top=4, left=11, size=(30, 29)).resized((13, 17)),
    "one column": WHOLE.window(top=0, left=15, size=(HEIGHT, 1)),
    "one pixel": WHOLE.mirrored().resized((1, 1)),
}


def masks() -> np.ndarray:
    """Noise, a full and an empty mask, whole columns, a run over columns, single pixels in corners, a disc."""
    generator = np.random.default_rng(0)
    made = np.zeros((10, FRAMES, HEIGHT, WIDTH), dtype=bool)
    made[0] = generator.random((FRAMES, HEIGHT, WIDTH)) < 0.5
    made[1] = generator.random((FRAMES, HEIGHT, WIDTH)) < 0.02
    made[2, 0], made[2, 2] = True, True
    made[3, :, :, 4:9] = True
    made[4, 1, 10:, 6], made[4, 1, :, 7], made[4, 1, :4, 8] = True, True, True
    made[5, 0, 0, 0], made[5, 1, -1, -1], made[5, 2, 0, -1] = True, True, True
    made[6, 0, -1, 0] = True
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    made[7] = (rows - 11) ** 2 + (columns - 16) ** 2 < 70
    made[8, :, 12] = True
    return made


@pytest.mark.parametrize("change", CHANGES)
def test_drawn_masks_and_their_edges_equal_those_of_decoded_masks(change: str) -> None:
    whole, places = masks(), CHANGES[change]
    tracks = [[rle.encode(mask) for mask in track] for track in whole]
    packed = pack_tracks(tracks, height=HEIGHT, width=WIDTH, place=lambda track, frame: "")
    frames = np.array([2, 0, 0, 1])
    drawn, edges = draw(packed, frames, places, height=HEIGHT)
    expected = whole[:, frames][..., places.rows[:, None], places.columns]
    assert np.array_equal(drawn, expected)
    boxes = boxes_from_edges(torch.from_numpy(edges), places.size)
    assert torch.equal(boxes, boxes_from_masks(torch.from_numpy(expected)))


def test_absent_masks_and_no_tracks_at_all_are_drawn() -> None:
    packed = pack_tracks([[None, None]], height=4, width=5, place=lambda track, frame: "")
    drawn, edges = draw(packed, np.array([1, 0, 1]), PixelPlaces.whole(4, 5), height=4)
    assert drawn.shape == (1, 3, 4, 5)
    assert not drawn.any()
    assert not edges.any()
    none = pack_tracks([], height=4, width=5, place=lambda track, frame: "")
    drawn, edges = draw(none, np.array([], dtype=np.int64), PixelPlaces.whole(4, 5).resized((2, 3)), height=4)
    assert (drawn.shape, edges.shape) == ((0, 0, 2, 3), (0, 0, 4))
