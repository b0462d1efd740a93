"""Single pictures: which files are some, and how one is read."""

import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from maskreel.errors import VideoReadError
from maskreel.video.files import MAX_PIXELS

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm"})

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
"""What Pillow raises on damaged pictures, by format."""


def is_image(path: Path) -> bool:
    """Whether a file is a picture by its name; hidden files are not."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def read_picture(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """RGB, upright as the camera noted it."""
    with Image.open(path) as image:
        if image.width * image.height > MAX_PIXELS:
            raise VideoReadError(path, f"{image.width}x{image.height} pixels exceed the limit of {MAX_PIXELS} pixels")
        return np.array(ImageOps.exif_transpose(image).convert("RGB"))
