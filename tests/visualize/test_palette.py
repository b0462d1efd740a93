"""Colours that everybody can tell apart, and text that everybody can read."""

import itertools
import re
from importlib.resources import files

import numpy as np
import pytest

from maskreel.visualize.palette import COLOURS, Colour, contrast, text_colour, track_colour

VISIONS = {
    "all cones": np.eye(3),
    "no long cones": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "no middle cones": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "no short cones": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
"""Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB."""
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])


def cielab(colour: Colour, vision: str) -> np.ndarray:
    share = np.array(colour) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(VISIONS[vision] @ linear, 0, 1) / WHITE
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISIONS)
def test_twelve_objects_can_be_told_apart_with_any_eyes(vision: str) -> None:
    seen = [cielab(track_colour(track_id), vision) for track_id in range(1, len(COLOURS) + 1)]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 19


def test_colours_stand_out_from_black_and_from_white() -> None:
    assert all(35 < cielab(colour, "all cones")[0] < 93 for colour in COLOURS)


@pytest.mark.parametrize("background", [*map(track_colour, range(1, 40)), (128, 128, 128), (117, 117, 117)])
def test_text_can_be_read_on_every_plate(background: Colour) -> None:
    assert contrast(background, text_colour(background)) >= 4.5


def test_contrast_is_that_of_wcag() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.478, abs=1e-3)
    assert contrast((10, 20, 30), (10, 20, 30)) == 1


def hex_colour(text: str) -> Colour:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def test_the_words_of_reports_can_be_read() -> None:
    style = files("maskreel.visualize.report").joinpath("report.css").read_text()
    named = {name: hex_colour(value) for name, value in re.findall(r"--(\w+): (#[0-9a-f]{6})", style)}
    for ink in ("ink", "soft", "mark"):
        for ground in ("paper", "band"):
            assert contrast(named[ink], named[ground]) >= 4.5, (ink, ground)
    assert contrast(named["line"], named["paper"]) >= 3  # borders of controls
