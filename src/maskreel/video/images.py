"""Single images: which files are some, and how their pixels become 8-bit RGB; the one place where images are read.

- Only the formats below are opened. Pillow hands others to further programs (PostScript to Ghostscript).
- Images are turned upright as EXIF says.
- More than 8 bits are scaled, never cut: 65535 becomes 255. Floats count from 0 to 1, or to 255 or 65535 where they are
  greater.
- Under alpha, colours are laid on white.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import simplejpeg
from jaxtyping import Float, Shaped, UInt8
from PIL import Image, ImageFile, ImageOps

from maskreel.errors import VideoReadError
from maskreel.files import content_words

IMAGE_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".avif", ".jp2"),
        *(".ppm", ".pgm", ".pbm", ".pnm"),
    }
)
"""Endings of the files that are taken for images where a folder is searched."""

FORMATS = ("JPEG", "PNG", "BMP", "DIB", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "GIF")
"""Pillow's names of the formats that are opened, whatever a file is called."""

MAX_PIXELS = 2**26
"""Largest image or frame that is decoded (8192 x 8192): a small file can declare a size that fills the memory."""

UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow raises on damaged images, by format."""

_DEFLATE_RATIO = 1032
"""Bytes that a byte of a PNG can stand for at most."""

_LZW_RATIO = 2731
"""Pixels that a byte of a GIF can stand for at most: a code of 12 bits for 4096 of them."""
_LARGE, _STRIP = 2**22, 2**20
"""Pixels from which on an image is large, and of a part of it that is looked at."""

_LEAST_SIDE = 8
"""Pixels of a side from which on no two of the scales at which a JPEG can be decoded give the same length."""

_DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")


def is_image(path: Path) -> bool:
    """Whether a file is an image by its name; hidden files are not."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


@contextmanager
def open_image(path: Path, content: bytes | None = None) -> Iterator[Image.Image]:
    """An image whose pixels are not read yet; `content` is the file where it is part of the one at `path`.

    Raises VideoReadError for a file of none of `FORMATS`, and for one that declares more than `MAX_PIXELS` or more than
    its bytes can hold: memory is taken for what is declared.
    """
    try:
        opened = Image.open(path if content is None else io.BytesIO(content), formats=FORMATS)
    except Image.UnidentifiedImageError as error:
        words = content_words(path) if content is None else "another kind of file"
        if words.endswith(" image"):
            raise VideoReadError(path, f"cannot be read: it begins as {words} and is damaged behind that") from error
        raise VideoReadError(path, f"cannot be read as an image: it is {words}") from error
    except Image.DecompressionBombError as error:
        raise VideoReadError(path, f"declares more pixels than the limit of {MAX_PIXELS} ({error})") from error
    with opened as image:
        if image.width * image.height > MAX_PIXELS:
            raise VideoReadError(path, f"{image.width}x{image.height} pixels exceed the limit of {MAX_PIXELS} pixels")
        bits = 8 * len(image.getbands()) if len(image.getbands()) > 1 else 1
        size = path.stat().st_size if content is None else len(content)
        if image.format == "PNG" and image.width * image.height * bits > 8 * _DEFLATE_RATIO * size:
            raise VideoReadError(path, f"declares {image.width}x{image.height} pixels, far more than it can hold")
        if image.format == "GIF":
            check_gif(image.width, image.height, size, path)
        yield image


def check_gif(width: int, height: int, size: int, name: object) -> None:
    """VideoReadError for a large GIF of so many bytes that cannot hold what it declares."""
    if width * height > max(_LARGE, _LZW_RATIO * size):
        raise VideoReadError(name, f"declares {width}x{height} pixels, far more than it can hold")


def read_image(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """RGB of an image, upright, by the rules of this module; raises VideoReadError or one of `UNREADABLE`."""
    with open_image(path) as image:
        return upright(image)


def draft(image: Image.Image, at_least: tuple[int, int]) -> None:
    """Let a JPEG that is open but not read be decoded at the least of its sizes (1, 1/2, 1/4, 1/8) that holds
    `at_least` (height, width) when it is upright; images of other formats stay as they are."""
    if image.format == "JPEG":
        is_lying = upright_size(image) != image.size
        height, width = at_least
        image.draft(image.mode, (height, width) if is_lying else (width, height))


def upright(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    """RGB of an open image, upright, by the rules of this module."""
    plain = _plain_jpeg(image)
    return rgb(turned(image)) if plain is None else plain


def _plain_jpeg(image: Image.Image) -> UInt8[np.ndarray, "h w 3"] | None:
    """Pixels of a JPEG of three channels that is not read yet, lies upright and has no fault, decoded straight into an
    array in half the time; None for any other image, which is for Pillow to read or to refuse."""
    width, height = image.size
    if not isinstance(image, ImageFile.ImageFile) or image.fp is None or max(width, height) < _LEAST_SIDE:
        return None
    if image.format != "JPEG" or image.mode != "RGB" or image.getexif().get(_ORIENTATION, 1) != 1:
        return None
    image.fp.seek(0)
    pixels = np.empty((height, width, 3), np.uint8)
    try:
        decoded = simplejpeg.decode_jpeg(image.fp.read(), min_height=height, min_width=width, buffer=pixels)
    except ValueError:
        return None
    return pixels if decoded.shape == pixels.shape else None


def turned(image: Image.Image) -> Image.Image:
    """The image as EXIF says that it is to be shown; itself where that is how it lies."""
    return image if image.getexif().get(_ORIENTATION, 1) == 1 else ImageOps.exif_transpose(image)


def rgb(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    """Pixels of an image in any of Pillow's modes, by the rules of this module."""
    if image.mode in _DEEP_MODES:
        return _grey(_from_16_bits(np.asarray(image)))
    if image.mode == "F":
        return _grey(_from_floats(np.asarray(image)))
    if image.width * image.height <= _LARGE:
        return _on_white(image)
    # Pillow's copies of a large image take several times its memory.
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        pixels[top:bottom] = _on_white(image.crop((0, top, image.width, bottom)))
    return pixels


def _on_white(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        shown = image.convert("RGBA")
        white = Image.new("RGBA", shown.size, "white")
        return np.array(Image.alpha_composite(white, shown).convert("RGB"))
    # Pillow converts RGB to RGB by a copy.
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) of an image as it is shown, its pixels unread; raises as `read_image` does."""
    with open_image(path) as image:
        return upright_size(image)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) of an image as it is shown."""
    is_lying = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    return (image.height, image.width) if is_lying else image.size


def size_words(shown: tuple[int, int], stored: tuple[int, int]) -> str:
    """A size in an error message: as the image is shown, and what is stored where that lies on its side."""
    lying = "" if shown == stored else f" upright, stored as {stored[0]}x{stored[1]} with a mark to turn it (EXIF)"
    return f"{shown[0]}x{shown[1]} pixels{lying}"


def check_pixels(image: Image.Image) -> None:
    """Raise one of `UNREADABLE` where `read_image` would; a JPEG is read to its end, but decoded at an eighth."""
    if image.format == "JPEG":
        image.draft("L", (image.width // 8 + 1, image.height // 8 + 1))
        image.load()
    elif image.mode in (*_DEEP_MODES, "F"):
        rgb(image)
    else:
        image.load()


_ORIENTATION = 0x0112
"""EXIF tag."""


def _grey(values: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    return np.repeat(values[..., None], 3, axis=-1)


def _from_16_bits(values: Shaped[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Whole numbers up to 65535 rounded to 8 bits."""
    wide = values.astype(np.int64)
    if wide.size and not 0 <= wide.min() <= wide.max() <= 65535:
        raise ValueError(f"values from {wide.min()} to {wide.max()}; save the image with 8 or 16 bits a channel")
    return ((wide * 255 + 32767) // 65535).astype(np.uint8)


def _from_floats(values: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Floats scaled by the least of 1, 255 and 65535 that holds them all."""
    if not np.isfinite(values).all():
        raise ValueError("values that are not finite; save the image with 8 or 16 bits a channel")
    top = next((top for top in (1.0, 255.0, 65535.0) if not values.size or values.max() <= top), None)
    if top is None or (values.size and values.min() < 0):
        raise ValueError(
            f"values from {values.min():g} to {values.max():g}; save the image with 8 or 16 bits a channel"
        )
    return np.rint(values.astype(np.float64) * (255 / top)).astype(np.uint8)
