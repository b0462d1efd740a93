"""Overlays and contact sheets: the right pixels in the right colours, everything else untouched."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskreel.geometry import rle
from maskreel.geometry.masklets import Masklet, Masklets
from maskreel.visualize.draw import (
    DrawnObject,
    contact_sheet,
    draw,
    draw_objects,
    evenly_spaced,
    save_picture,
)
from maskreel.visualize.palette import text_colour, track_colour

GREY = np.full((60, 80, 3), 90, dtype=np.uint8)


def disc(row: int = 40, column: int = 40, radius: int = 12) -> np.ndarray:
    rows, columns = np.mgrid[:60, :80]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def test_the_mask_is_filled_outlined_and_boxed_and_nothing_else_changes() -> None:
    mask = disc()
    picture = draw_objects(GREY, [DrawnObject(mask=mask, track_id=3)])
    assert (GREY == 90).all()
    colour = np.array(track_colour(3))
    np.testing.assert_allclose(picture[40, 40], 0.55 * 90 + 0.45 * colour, atol=2)
    np.testing.assert_array_equal(picture[40, 28], colour)
    np.testing.assert_array_equal(picture[28, 28], colour)
    inside_box = np.zeros_like(mask)
    inside_box[28:53, 28:53] = True
    assert (picture[~inside_box] == 90).all()
    corner = inside_box & ~mask
    corner[28], corner[52], corner[:, 28], corner[:, 52] = False, False, False, False
    assert (picture[corner] == 90).all()


def test_an_outline_keeps_the_shape_of_the_mask_at_the_border_of_the_picture() -> None:
    mask = np.zeros((60, 80), dtype=bool)
    mask[:, :30] = True
    picture = draw_objects(GREY, [DrawnObject(mask=mask, track_id=1)])
    colour = track_colour(1)
    assert tuple(picture[30, 0]) == tuple(picture[30, 29]) == tuple(picture[0, 10]) == colour
    assert tuple(picture[30, 10]) != colour


@pytest.mark.parametrize(("row", "column"), [(3, 3), (3, 76), (56, 3), (30, 76)])
def test_a_caption_stays_inside_the_picture(row: int, column: int) -> None:
    captioned = draw_objects(GREY, [DrawnObject(mask=disc(row, column, 3), track_id=1, caption="person 0.93")])
    plain = draw_objects(GREY, [DrawnObject(mask=disc(row, column, 3), track_id=1)])
    plate = (captioned != plain).any(axis=2)
    background = (captioned == track_colour(1)).all(axis=2)
    assert plate.sum() > 300
    assert background.sum() > 250


def test_captions_of_neighbours_do_not_cover_each_other() -> None:
    objects = [
        DrawnObject(mask=disc(30, 40, 4), track_id=1, caption="cat 0.90"),
        DrawnObject(mask=disc(31, 41, 4), track_id=2, caption="dog 0.80"),
    ]
    picture = draw_objects(GREY, objects)
    for drawn in objects:
        alone = draw_objects(GREY, [drawn])
        size = (alone == track_colour(drawn.track_id)).all(axis=2).sum()
        assert (picture == track_colour(drawn.track_id)).all(axis=2).sum() > 0.8 * size


def test_an_empty_mask_draws_nothing_and_a_wrong_size_is_refused() -> None:
    empty = DrawnObject(mask=np.zeros((60, 80), dtype=bool), track_id=1, caption="cat")
    np.testing.assert_array_equal(draw_objects(GREY, [empty]), GREY)
    with pytest.raises(ValueError, match="a mask of 6x8 pixels does not fit a frame of 60x80"):
        draw_objects(GREY, [DrawnObject(mask=np.ones((6, 8), dtype=bool), track_id=1)])


def test_masklets_are_drawn_in_the_frames_that_show_them() -> None:
    masklet = Masklet(track_id=5, label=0, category_id=1, score=0.9, segmentations=(rle.encode(disc()), None))
    found = Masklets(
        source="a",
        width=80,
        height=60,
        classes=((1, "disc"),),
        declared=2,
        timestamps=(0.0, 1.0),
        masklets=(masklet,),
    )
    expected = draw_objects(GREY, [DrawnObject(mask=disc(), track_id=5, caption="disc 0.90")])
    np.testing.assert_array_equal(draw(GREY, found, 0), expected)
    np.testing.assert_array_equal(draw(GREY, found, 1), GREY)


def test_a_contact_sheet_has_a_row_per_clip_and_shrinks_wide_frames() -> None:
    red, blue = np.full((100, 400, 3), (255, 0, 0), dtype=np.uint8), np.full((30, 40, 3), (0, 0, 255), dtype=np.uint8)
    sheet = contact_sheet([[red, red, red], [blue]], cell_width=200, gap=4)
    assert sheet.shape == (4 + 50 + 4 + 30 + 4, 3 * 204 + 4, 3)
    assert (sheet[4:54, 4:204] == (255, 0, 0)).all()
    assert (sheet[58:88, 4:44] == (0, 0, 255)).all()
    assert (sheet[58:88, 48:] == 0).all()
    captioned = contact_sheet([[red], [blue]], row_captions=("first",), cell_width=200)
    assert captioned.shape[0] == sheet.shape[0] + 2 * 18
    assert captioned[4:22, 4:60].max() > 200


@pytest.mark.parametrize("rows", [[], [[]]])
def test_an_empty_contact_sheet_is_refused(rows: list[list[np.ndarray]]) -> None:
    with pytest.raises(ValueError, match="at least one frame in each row"):
        contact_sheet(rows)


@pytest.mark.parametrize(("length", "expected"), [(1, [0]), (3, [0, 1, 2]), (9, [0, 3, 5, 8])])
def test_evenly_spaced_frames_hold_both_ends(length: int, expected: list[int]) -> None:
    assert len(evenly_spaced(length, 4)) == min(length, 4)
    assert evenly_spaced(length, 4)[0] == 0
    assert evenly_spaced(length, 4)[-1] == length - 1
    assert np.abs(np.array(evenly_spaced(length, 4)) - expected).max() <= 1


def test_pictures_are_written_whole(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.png", GREY)
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), GREY)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_neighbouring_ids_have_clearly_different_colours() -> None:
    colours = np.array([track_colour(track_id) for track_id in range(1, 31)], dtype=int)
    for distance in (1, 2, 3):
        assert np.abs(colours[distance:] - colours[:-distance]).sum(axis=1).min() > 100
    assert len({tuple(colour) for colour in colours.tolist()}) == 30
    assert track_colour(4) == track_colour(4)


def test_text_contrasts_with_its_plate() -> None:
    assert text_colour((255, 255, 0)) == (0, 0, 0)
    assert text_colour((40, 0, 160)) == (255, 255, 255)
