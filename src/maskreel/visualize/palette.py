"""Colours of tracks: the same id has the same colour in every frame, picture and run, whoever looks at it."""

Colour = tuple[int, int, int]

COLOURS: tuple[Colour, ...] = (
    *((229, 121, 0), (121, 255, 102), (38, 173, 255), (95, 0, 255), (255, 210, 165), (204, 0, 0)),
    *((146, 153, 99), (153, 22, 136), (191, 255, 0), (255, 38, 200), (204, 132, 159), (114, 89, 74)),
)
"""As far from each other as can be, for the usual eye and for those that lack one of the three kinds of cones: at least
19 apart in CIELAB (Machado et al. 2009), all between 35 and 93 in lightness."""

_TONES = ((0, 0.0), (255, 0.3), (0, 0.4))
"""(grey, its share): further ids have the same colours, tinted or shaded."""


def track_colour(track_id: int) -> Colour:
    """RGB colour of a track; ids from 1 on, twelve of them before a colour comes back in another tone."""
    turn, place = divmod(track_id - 1, len(COLOURS))
    grey, share = _TONES[turn % len(_TONES)]
    red, green, blue = COLOURS[place]
    return _mixed(red, grey, share), _mixed(green, grey, share), _mixed(blue, grey, share)


def text_colour(background: Colour) -> Colour:
    """Black or white, whichever contrasts more with a background: at least 4.5 : 1 (WCAG 2.1) with any."""
    return (0, 0, 0) if contrast(background, (0, 0, 0)) >= contrast(background, (255, 255, 255)) else (255, 255, 255)


def contrast(a: Colour, b: Colour) -> float:
    """Contrast ratio of WCAG 2.1, from 1 to 21."""
    darker, lighter = sorted((_luminance(a), _luminance(b)))
    return (lighter + 0.05) / (darker + 0.05)


def _mixed(value: int, grey: int, share: float) -> int:
    return round(value + share * (grey - value))


def _luminance(colour: Colour) -> float:
    red, green, blue = (_linear(value / 255) for value in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
