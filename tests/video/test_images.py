"""Pixels of single images: depth, orientation, transparency, and files that are something else."""

import io
import random
import stat
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

import maskreel
from maskreel.errors import VideoReadError
from maskreel.video.images import UNREADABLE, draft, image_size, is_image, open_image, read_image, turned, upright

RAMP = np.array([[0, 16384, 32768, 49152, 65535]], dtype=np.uint16)


@pytest.mark.parametrize("ending", ["png", "tif", "pgm"])
def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    if ending == "pgm":
        path.write_bytes(b"P5\n5 1\n65535\n" + RAMP.byteswap().tobytes())
    else:
        Image.fromarray(RAMP).save(path)
    pixels = read_image(path)
    assert pixels.shape == (1, 5, 3)
    np.testing.assert_array_equal(pixels[0, :, 0], [0, 64, 128, 191, 255])
    assert (pixels == pixels[..., :1]).all()


@pytest.mark.parametrize(("top", "expected"), [(1.0, [0, 128, 255]), (255.0, [0, 128, 255]), (65535.0, [0, 128, 255])])
def test_floats_are_scaled_by_the_range_that_holds_them(tmp_path: Path, top: float, expected: list[int]) -> None:
    Image.fromarray(np.array([[0, top / 2, top]], dtype=np.float32)).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[0, :, 1], expected)


@pytest.mark.parametrize("values", [[0, np.nan], [-1, 2], [0, 1e6]])
def test_floats_that_mean_no_grey_are_refused(tmp_path: Path, values: list[float]) -> None:
    Image.fromarray(np.array([values], dtype=np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match="save the image with 8 or 16 bits"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_colours_under_transparent_places_become_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (4, 2), (10, 200, 30, 0))
    image.paste((40, 40, 40, 255), (0, 0, 2, 2))
    if mode == "P":
        converted = image.convert("RGB").quantize(4)
        converted.info["transparency"] = converted.getpixel((3, 0))
        converted.save(tmp_path / "a.png", transparency=converted.info["transparency"])
    else:
        image.convert(mode).save(tmp_path / "a.png")
    pixels = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(pixels[:, 2:], 255)
    np.testing.assert_allclose(pixels[:, :2].astype(int), 40, atol=1)


@pytest.mark.parametrize(
    ("orientation", "corner"), [(1, (0, 0)), (2, (0, -1)), (3, (-1, -1)), (6, (0, -1)), (8, (-1, 0))]
)
def test_images_are_turned_upright(tmp_path: Path, orientation: int, corner: tuple[int, int]) -> None:
    pixels = np.zeros((8, 24, 3), np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    upright = read_image(tmp_path / "a.png")
    assert tuple(upright[corner]) == (255, 255, 255)
    assert upright.sum() == 3 * 255
    assert image_size(tmp_path / "a.png") == upright.shape[1::-1]


def test_postscript_behind_the_name_of_an_image_starts_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "was_run"
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch '{mark}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EOF\nshowpage\n")
    with pytest.raises(VideoReadError, match=r"a\.png: cannot be read as an image: it is a PostScript document"):
        read_image(tmp_path / "a.png")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00", "a HEIC image (convert it to JPEG or PNG)"),
        (b"ID3\x04\x00", "a sound file"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "a sound file"),
        (b"hello, world\n", "plain text"),
        ("größer\n".encode("utf-8-sig"), "plain text"),
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\n", "a Git LFS pointer"),
        (b"%PDF-1.7", "a PDF document"),
        (b"PK\x03\x04rest", "a zip archive"),
        (bytes(range(200, 256)), "a file of an unknown kind"),
    ],
)
def test_a_file_that_is_something_else_is_named_as_what_it_is(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(VideoReadError) as caught:
        read_image(tmp_path / "a.png")
    assert words in str(caught.value)


def test_a_declared_size_beyond_the_limit_is_refused_before_decoding(tmp_path: Path) -> None:
    for side, message in ((9000, "9000x9000 pixels exceed the limit"), (30000, "declares more pixels than the limit")):
        Image.new("1", (side, side)).save(tmp_path / "a.png")
        with pytest.raises(VideoReadError, match=message):
            read_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("name", "expected"), [("a.JFIF", True), ("a.avif", True), ("._a.png", False), ("a.eps", False)]
)
def test_endings_tell_what_is_taken_for_an_image(name: str, expected: bool) -> None:
    assert is_image(Path(name)) is expected


def test_a_small_file_that_declares_many_pixels_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    Image.new("RGB", (3, 3)).save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[16:24] = struct.pack(">II", 8000, 8000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(VideoReadError, match="declares 8000x8000 pixels, far more than it can hold"):
        read_image(tmp_path / "a.png")


def test_an_empty_image_of_the_largest_size_is_no_such_file(tmp_path: Path) -> None:
    Image.new("1", (8192, 8192)).save(tmp_path / "a.png", compress_level=9)
    assert image_size(tmp_path / "a.png") == (8192, 8192)


def test_no_other_place_lets_pillow_choose_the_format() -> None:
    """Pillow hands PostScript to Ghostscript, whatever a file is called."""
    package = Path(maskreel.__file__).parent
    calls = [
        f"{path.name}: {line.strip()}"
        for path in package.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if ("Image.open(" in line or "imread(" in line) and "formats=" not in line
    ]
    assert calls == []


def jpeg(rng: random.Random) -> bytes:
    """A picture of any size, saved in one of the ways that JPEG has."""
    height, width = rng.choice([(rng.randint(1, 20), rng.randint(1, 20)), (rng.randint(20, 90), rng.randint(20, 90))])
    y, x = np.mgrid[:height, :width]
    picture = Image.fromarray(np.stack([x * 3 + y, y * 5, (x - y) ** 2 // 7], axis=-1).astype(np.uint8))
    picture = picture.convert(rng.choice(["RGB", "RGB", "RGB", "RGB", "L", "CMYK"]))
    ways = {"quality": rng.choice([5, 75, 95]), "progressive": rng.random() < 0.3, "optimize": rng.random() < 0.3}
    if picture.mode == "RGB":
        ways |= rng.choice([{"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}, {"keep_rgb": True}])
    if rng.random() < 0.2:
        ways["restart_marker_blocks"] = rng.choice([1, 3])
    if rng.random() < 0.3:
        exif = Image.Exif()
        exif[0x0112] = rng.choice([0, 1, 2, 3, 6, 8, 9])
        ways["exif"] = exif
    file = io.BytesIO()
    picture.save(file, format="JPEG", **ways)
    return file.getvalue()


def damaged(content: bytes, rng: random.Random) -> bytes:
    """The same file cut, or with bytes changed, added or missing."""
    place = rng.randrange(len(content))
    cut, longer, missing = content[:place], content + bytes([255, 1, 2]), content[:place] + content[place + 5 :]
    changed = bytearray(content)
    changed[place] = rng.randrange(256)
    return rng.choice([cut, content[: -rng.randint(1, 4)], longer, missing, bytes(changed), bytes(changed)])


def pixels_or_words(
    path: Path, at_least: tuple[int, int] | None, read: Callable[[Image.Image], np.ndarray]
) -> np.ndarray | str:
    """What is read of the file, or the words of the error."""
    try:
        with open_image(path) as image:
            if at_least is not None:
                draft(image, at_least)
            return read(image)
    except (VideoReadError, *UNREADABLE) as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("seed", range(4))
def test_jpeg_files_have_the_pixels_and_the_faults_that_pillow_finds(tmp_path: Path, seed: int) -> None:
    rng, kinds = random.Random(seed), Counter[str]()
    for number in range(100):
        content = jpeg(rng)
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(damaged(content, rng) if rng.random() < 0.5 else content)
        at_least = rng.choice([None, (rng.randint(1, 50), rng.randint(1, 50))])
        expected = pixels_or_words(path, at_least, lambda image: np.array(turned(image).convert("RGB")))
        found = pixels_or_words(path, at_least, upright)
        np.testing.assert_array_equal(found, expected, err_msg=f"seed {seed}, {path.name}, at least {at_least}")
        kinds["words" if isinstance(expected, str) else "pixels"] += 1
    assert min(kinds["words"], kinds["pixels"]) > 10


@pytest.mark.parametrize("side", range(2, 18))
def test_small_jpeg_files_are_decoded_at_the_scale_that_was_asked_for(tmp_path: Path, side: int) -> None:
    rng = np.random.default_rng(side)
    Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(tmp_path / "a.jpg", quality=95)
    for least in range(1, side + 1):
        expected, found = (
            pixels_or_words(tmp_path / "a.jpg", (least, least), read)
            for read in (lambda image: np.array(image.convert("RGB")), upright)
        )
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("at_least", [None, (45, 80)])
def test_a_jpeg_without_a_fault_is_decoded_once_and_not_by_pillow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_least: tuple[int, int] | None
) -> None:
    Image.fromarray(np.arange(90 * 160 * 3, dtype=np.uint16).astype(np.uint8).reshape(90, 160, 3)).save(
        tmp_path / "a.jpg"
    )
    decoded, decode = [], simplejpeg.decode_jpeg
    monkeypatch.setattr(JpegImageFile, "load", lambda image: pytest.fail("decoded by Pillow"))
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *args, **kwargs: decoded.append(1) or decode(*args, **kwargs))
    with open_image(tmp_path / "a.jpg") as image:
        if at_least is not None:
            draft(image, at_least)
        assert upright(image).shape == (*(at_least or (90, 160)), 3)
    assert len(decoded) == 1
