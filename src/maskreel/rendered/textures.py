"""Surfaces of the rendered set: value noise, object textures, backgrounds with clutter."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from maskreel.rendered.draws import Draws, direction, smooth_step, wave

TILE = 128
"""Side of an object's texture, in texels."""
TEXTURES = ("stripes", "spots", "checks", "camouflage", "plain")

Colour = Float[np.ndarray, "3"]
Image = Float[np.ndarray, "h w 3"]
Plane = Float[np.ndarray, "h w"]
Texture = Float[np.ndarray, "tile tile 3"]
Points = Float[np.ndarray, " points"]

LEAST_CONTRAST = 0.5
"""Distance of an object's main colours from the background's, summed over the channels (each 0 ... 1)."""
LEAST_DIFFERENCE = 0.45
"""The same between the main colours of two objects that are not meant to look alike."""
CAMOUFLAGE = 0.75
"""Share of the ground in the texture of a camouflaged object."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Palette:
    """Two colours of an object's texture."""

    main: Colour
    second: Colour


def value_noise(draws: Draws, height: int, width: int, cell: float) -> Plane:
    """Smooth noise in [0, 1): random values every `cell` pixels, eased in between."""
    rows, row_fraction = _grid_position(height, cell)
    columns, column_fraction = _grid_position(width, cell)
    grid = draws.block(int(rows[-1]) + 2, int(columns[-1]) + 2)
    lines = grid[rows] * (1 - row_fraction[:, None]) + grid[rows + 1] * row_fraction[:, None]
    return lines[:, columns] * (1 - column_fraction) + lines[:, columns + 1] * column_fraction


def octave_noise(draws: Draws, height: int, width: int, cell: float, octaves: int) -> Plane:
    """Value noise plus finer ones, each at half the cell and half the strength; in [0, 1)."""
    total = np.zeros((height, width))
    strength, sum_of_strengths = 1.0, 0.0
    for _ in range(octaves):
        total += strength * value_noise(draws, height, width, max(cell, 1.0))
        sum_of_strengths += strength
        strength, cell = strength / 2, cell / 2
    return total / sum_of_strengths


def colour(hue: float, saturation: float, value: float) -> Colour:
    """Red, green, blue in [0, 1] of a hue in turns."""
    ramp = np.abs((hue * 6 + np.array([0.0, 4.0, 2.0])) % 6.0 - 3.0) - 1.0
    return value * (1 - saturation * (1 - np.clip(ramp, 0.0, 1.0)))


def object_palette(draws: Draws, background: Colour, others: list[Palette]) -> Palette:
    """Colours that stand out from the background and from other objects, as far as thirty tries allow."""
    best, best_margin = None, -np.inf
    for _ in range(30):
        main = colour(draws.uniform(0.0, 1.0), draws.uniform(0.45, 1.0), draws.uniform(0.45, 1.0))
        second = colour(draws.uniform(0.0, 1.0), draws.uniform(0.0, 0.9), draws.uniform(0.15, 1.0))
        margin = min(
            distance(main, background) - LEAST_CONTRAST,
            distance(second, background) - 0.6 * LEAST_CONTRAST,
            distance(main, second) - LEAST_DIFFERENCE,
            *(distance(main, other.main) - LEAST_DIFFERENCE for other in others),
        )
        if margin > best_margin:
            best, best_margin = Palette(main=main, second=second), margin
        if margin >= 0:
            break
    assert best is not None, "thirty tries yield at least one palette"
    return best


def distance(first: Colour, second: Colour) -> float:
    """Sum of absolute channel differences."""
    gap = np.abs(first - second)
    return float(gap[0] + gap[1] + gap[2])


def object_texture(draws: Draws, palette: Palette) -> Texture:
    """One object's surface over the square of its coordinates, values in [0, 1]."""
    axis = np.arange(TILE) / TILE
    across, down = axis[None, :], axis[:, None]
    cosine, sine = direction(draws.uniform(0.0, 1.0))
    x, y = cosine * across + sine * down, cosine * down - sine * across
    frequency = draws.uniform(5.0, 9.0)
    noise = octave_noise(draws, TILE, TILE, TILE / 8, 3)
    match draws.pick(TEXTURES):
        case "stripes":
            pattern = wave(frequency * x + 0.6 * noise)
        case "spots":
            column = x * frequency
            row = y * frequency + 0.5 * (np.floor(column) % 2)
            dx, dy = column - np.floor(column) - 0.5, row - np.floor(row) - 0.5
            pattern = 8 * (0.1 - dx * dx - dy * dy)
        case "checks":
            pattern = 1.5 * wave(0.6 * frequency * x) * wave(0.6 * frequency * y)
        case "camouflage":
            pattern = 5 * (noise - 0.5)
        case _:
            pattern = noise - 1.0
    blend = np.clip(0.5 + 1.5 * pattern, 0.0, 1.0)[..., None]
    grain = 0.88 + 0.24 * value_noise(draws, TILE, TILE, 3.0)[..., None]
    return np.clip((palette.second * blend + palette.main * (1 - blend)) * grain, 0.0, 1.0)


def camouflaged(texture: Texture, ground: Image, row: float, column: float, side: float) -> Texture:
    """A texture under the piece of ground around (row, column), `side` pixels high and wide."""
    axis = (np.arange(TILE) / TILE - 0.5) * side
    piece = sample_tile(ground, np.repeat(row + axis, TILE), np.tile(column + axis, TILE)).reshape(TILE, TILE, 3)
    return CAMOUFLAGE * piece + (1 - CAMOUFLAGE) * texture


def background(draws: Draws, height: int, width: int, *, unit: float, clutter: float) -> tuple[Image, Colour]:
    """A canvas of muted ground, patches, strokes and specks, and its average colour.

    `unit` is the length in pixels that one hundred rows of frame stand for: it keeps the look at any resolution.
    """
    hue = draws.uniform(0.0, 1.0)
    tones = [
        colour(hue + draws.uniform(-0.12, 0.12), draws.uniform(0.08, 0.42), value)
        for value in _spread(draws.uniform(0.28, 0.62), 0.12)
    ]
    ground = smooth_step(octave_noise(draws, height, width, 48 * unit, 4) * 2 - 0.5)[..., None]
    image = tones[0] * (1 - ground) + tones[1] * ground
    image *= 0.8 + 0.4 * octave_noise(draws, height, width, 9 * unit, 3)[..., None]
    average = (tones[0] + tones[1]) / 2
    if clutter > 0:
        patches = octave_noise(draws, height, width, 22 * unit, 3)
        image = _over(image, tones[2], 0.8 * np.clip((patches - 0.72 + 0.2 * clutter) * 14, 0.0, 1.0))
        for _ in range(round(8 * clutter)):
            image = _stroke(draws, image, unit, average)
        specks = value_noise(draws, height, width, 3.2 * unit)
        image = _over(
            image, average * draws.uniform(0.4, 1.7), np.clip((specks - 0.98 + 0.12 * clutter) * 12, 0.0, 0.7)
        )
    return np.clip(image, 0.0, 1.0), average


def _stroke(draws: Draws, image: Image, unit: float, average: Colour) -> Image:
    """Draw one long wavy line, as a wire or a stalk would look, along either axis."""
    is_upright = draws.chance(0.5)
    height, width = (image.shape[1], image.shape[0]) if is_upright else image.shape[:2]
    along, down = np.arange(width)[None, :] / width, np.arange(height)[:, None]
    start, slope = draws.uniform(0.0, 1.0), draws.uniform(-0.7, 0.7)
    bends = draws.uniform(0.01, 0.06) * wave(draws.uniform(0.5, 2.5) * along + draws.uniform(0.0, 1.0))
    middle = height * (start + slope * (along - 0.5) + bends)
    alpha = np.clip(draws.uniform(0.5, 1.8) * unit + 0.5 - np.abs(down - middle), 0.0, 1.0)
    tone = np.clip(average * draws.uniform(0.45, 1.6), 0.0, 1.0)
    return _over(image, tone, 0.75 * (alpha.T if is_upright else alpha))


def _over(image: Image, tone: Colour, alpha: Plane) -> Image:
    return image * (1 - alpha[..., None]) + tone * alpha[..., None]


def _spread(value: float, step: float) -> tuple[float, float, float]:
    return value - step, value + step, value + (2 * step if value < 0.45 else -2.2 * step)


def _grid_position(length: int, cell: float) -> tuple[np.ndarray, np.ndarray]:
    position = np.arange(length) / cell
    index = np.floor(position)
    return index.astype(np.int64), smooth_step(position - index)


def sample_tile(tile: Image, row: Points, column: Points) -> Float[np.ndarray, "points 3"]:
    """Bilinear look-up at texel positions; positions outside take the border's colour."""
    height, width = tile.shape[:2]
    row, column = np.clip(row, 0.0, height - 1.001), np.clip(column, 0.0, width - 1.001)
    first_row, first_column = row.astype(np.int64), column.astype(np.int64)
    down, right = (row - first_row)[..., None], (column - first_column)[..., None]
    flat, index = tile.reshape(-1, 3), first_row * width + first_column
    upper = flat[index] * (1 - right) + flat[index + 1] * right
    lower = flat[index + width] * (1 - right) + flat[index + width + 1] * right
    return upper * (1 - down) + lower * down


def shift_image(
    image: Image, top: float, left: float, height: int, width: int
) -> Float[np.ndarray, "{height} {width} 3"]:
    """Window of an image whose corner lies between pixels."""
    row, column = int(top), int(left)
    down, right = top - row, left - column
    window = image[row : row + height + 1, column : column + width + 1]
    rows = window[:-1] * (1 - down) + window[1:] * down
    return rows[:, :-1] * (1 - right) + rows[:, 1:] * right
