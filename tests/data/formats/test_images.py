"""Which image belongs to which annotated frame, and what the pixel values of a PNG mean."""

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskreel.data.formats.annotations import numbers_of
from maskreel.data.formats.images import images_by_number, images_by_stem, numbers_in, paired_images, read_indices
from maskreel.errors import DataError

VALUES = np.array([[0, 1, 2], [2, 1, 0]], dtype=np.uint8)
MODES = ("P", "PA", "L", "LA", "1", "RGB", "RGBA")


def folder_of(root: Path, *names: str) -> Path:
    root.mkdir(exist_ok=True)
    for name in names:
        Image.new("L", (3, 2)).save(root / name)
    return root


def test_images_come_by_number_and_not_by_letter(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", *(f"{n}.png" for n in (10, 2, 9, 100)), "._2.png")
    assert list(images_by_stem(folder)) == ["2", "9", "10", "100"]
    assert list(images_by_number(folder)) == [2, 9, 10, 100]
    assert images_by_stem(tmp_path / "absent") == {}


def test_of_two_images_that_differ_in_the_ending_one_is_taken_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = images_by_stem(folder_of(tmp_path, "1.png", "1.jpg", "2.jpg"))
    assert [path.name for path in found.values()] == ["1.jpg", "2.jpg"]
    assert "1.jpg and 1.png are one frame by their names" in caplog.text


@pytest.mark.parametrize(
    ("names", "message"), [(("1.png", "01.png"), "01.png and 1.png are both frame 1"), (("a.png",), "frame numbers")]
)
def test_images_whose_numbers_are_not_one_for_each_are_refused(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        images_by_number(folder_of(tmp_path / "a", *names))


@pytest.mark.parametrize(
    ("frames", "images", "expected"),
    [
        (("0", "1"), ("1", "0"), ("0", "1")),
        (("0", "1"), ("1",), (None, "1")),
        (("1", "10"), ("frame_010", "frame_001"), ("frame_001", "frame_010")),
        (("1", "2"), ("a_1_640x480", "a_3_640x480"), ("a_1_640x480", None)),
        (("1", "2"), ("a", "b"), (None, None)),
        (("1", "01"), ("x1", "x2"), (None, None)),
        (("1",), (), (None,)),
    ],
)
def test_frames_are_paired_by_name_else_by_number_and_never_by_place(
    frames: tuple[str, ...], images: tuple[str, ...], expected: tuple[str | None, ...]
) -> None:
    files = {name: Path(f"{name}.png") for name in images}
    assert [path and path.stem for path in paired_images(frames, files, Path("here"))] == list(expected)


def test_a_pairing_by_number_is_said(caplog: pytest.LogCaptureFixture) -> None:
    paired_images(("1",), {"frame1": Path("frame1.png")}, Path("here"))
    assert "paired by number, such as 1 with frame1.png" in caplog.text
    caplog.clear()
    paired_images(("1",), {"1": Path("1.png")}, Path("here"))
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (("a/3.png", "a/10.png"), (3, 10)),
        (("f_3_v2.png", "f_10_v2.png"), (3, 10)),
        (("10.png", "3.png"), (0, 1)),
        (("f_10_v2.png", "f_3_v2.png"), (0, 1)),
        (("f_3_v2.png", "f_3_v2.png"), (0, 1)),
        (("a.png", "b.png"), (0, 1)),
        (("9" * 5000,), (int("9" * 1000),)),
        ((), ()),
    ],
)
def test_numbers_of_a_list_count_where_they_rise(names: tuple[str, ...], numbers: tuple[int, ...]) -> None:
    assert numbers_of(names) == numbers


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "palette as RGB", "I;16"])
def test_object_numbers_are_the_same_however_an_editor_has_saved_them(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(VALUES)
    if "alette" in mode or mode == "P":
        image = Image.frombytes("P", (3, 2), VALUES.tobytes())
        image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
        image = image.convert("RGB") if mode != "P" else image
    elif mode == "I;16":
        image = Image.fromarray(VALUES.astype(np.uint16))
    else:
        image = image.convert(mode)
    image.save(tmp_path / "a.png")
    found = read_indices(tmp_path / "a.png", (*MODES, "I;16"), "numbers")
    np.testing.assert_array_equal(found, VALUES)


def test_black_and_white_is_one_object(tmp_path: Path) -> None:
    Image.fromarray(VALUES > 0).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_indices(tmp_path / "a.png", MODES, "numbers"), VALUES > 0)


def test_colours_of_no_palette_and_strange_modes_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2), (1, 2, 3)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: colours that are not of the DAVIS palette; expected numbers"):
        read_indices(tmp_path / "a.png", MODES, "numbers")
    with pytest.raises(DataError, match="an image of mode RGB; expected grey"):
        read_indices(tmp_path / "a.png", ("I;16",), "grey")


def test_a_mask_that_lies_on_its_side_is_turned_as_its_image_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(VALUES).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_indices(tmp_path / "a.png", MODES, "numbers"), np.rot90(VALUES, -1))


def test_a_photograph_is_no_image_of_object_numbers() -> None:
    assert numbers_in(np.array([[7, 0], [3, 7]]), Path("a.png")) == [3, 7]
    with pytest.raises(DataError, match=r"a\.png: 1200 different values"):
        numbers_in(np.arange(1200).reshape(400, 3), Path("a.png"))
