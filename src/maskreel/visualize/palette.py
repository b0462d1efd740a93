"""Colours of tracks: the same id has the same colour in every frame, picture and run."""

import colorsys

Colour = tuple[int, int, int]

GOLDEN_ANGLE = 0.618034
"""Step around the colour wheel, in turns, that keeps consecutive ids far apart however many there are."""

_TONES = ((0.75, 1.0), (0.95, 0.85), (0.5, 1.0))
"""(saturation, value), one after the other: ids whose hues come close again differ in tone."""


def track_colour(track_id: int) -> Colour:
    """RGB colour of a track, bright enough for thin lines on dark pictures."""
    hue = (0.02 + track_id * GOLDEN_ANGLE) % 1
    saturation, value = _TONES[(track_id // 7) % len(_TONES)]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def text_colour(background: Colour) -> Colour:
    """Black or white, whichever is easier to read on a background (luma of ITU-R BT.601)."""
    red, green, blue = background
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)
