"""Every recorded case about videos, pictures and typing: what its sentences want, as assertions.

`expected.json` of a case gives values by names that mean the same in all cases; what only one case wants stands here.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from maskreel.video.files import Frame, VideoFile
from maskreel.video.sources import open_video
from tests.field.recorded import SUPERSEDED, Attempt, Case, attempt, cases, output_folder, said, write_commands

pytestmark = pytest.mark.nightly

Want = Callable[[Any, dict[str, Any], Attempt], None]
"""Raises AssertionError unless the value under one of the names of `expected.json` came out."""


def read_back(tried: Attempt) -> list[Frame]:
    """The frames of the source that was predicted, as they are read."""
    return list(open_video(tried.words[3]))


def times_of(path: Path) -> list[float]:
    return [frame.time for frame in VideoFile(path)]


def seconds_of(path: Path) -> float:
    """How long a player shows a file."""
    with av.open(str(path)) as container:
        assert container.duration is not None
        return container.duration / av.time_base


def decoded(value: int, expected: dict[str, Any], tried: Attempt) -> None:
    for path in tried.masklet_files():
        assert json.loads(path.read_text())["frames"]["decoded"] == value
    assert tried.masklet_files()


def timestamps(value: list[float], expected: dict[str, Any], tried: Attempt) -> None:
    tolerance = expected.get("tolerance_seconds", 0.001)
    assert tried.masklets()["timestamps"] == pytest.approx(value, abs=tolerance)
    assert times_of(tried.overlay()) == pytest.approx(value, abs=tolerance)


def strictly_increasing(value: bool, expected: dict[str, Any], tried: Attempt) -> None:
    assert (np.diff(tried.masklets()["timestamps"]) > 0).all()


def skipped(value: int, expected: dict[str, Any], tried: Attempt) -> None:
    assert len(tried.masklets()["frames"]["skipped"]) == value
    assert not re.search(r"\blost\b", tried.text)


def levels(value: list[int], expected: dict[str, Any], tried: Attempt) -> None:
    found = [float(np.median(frame.pixels)) for frame in read_back(tried)]
    assert found == pytest.approx(value, abs=expected.get("tolerance", 1))


def overlay_frames(value: int, expected: dict[str, Any], tried: Attempt) -> None:
    assert len(times_of(tried.overlay())) == value


def overlay_seconds(value: float, expected: dict[str, Any], tried: Attempt) -> None:
    assert seconds_of(tried.overlay()) == pytest.approx(value, abs=expected["tolerance_seconds"])


def overlay_seconds_at_least(value: float, expected: dict[str, Any], tried: Attempt) -> None:
    assert value <= seconds_of(tried.overlay()) <= value + 0.2


def overlay_times(value: list[float], expected: dict[str, Any], tried: Attempt) -> None:
    assert times_of(tried.overlay()) == pytest.approx(value, abs=0.001)
    assert tried.masklets()["timestamps"] == pytest.approx(value, abs=0.001)


def overlay_marked(value: bool, expected: dict[str, Any], tried: Attempt) -> None:
    with av.open(str(tried.overlay())) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range) == (1, 1)


def overlay_display_ratio(value: float, expected: dict[str, Any], tried: Attempt) -> None:
    with av.open(str(tried.overlay())) as container:
        stream = container.streams.video[0]
        aspect = float(stream.sample_aspect_ratio or 1)
        assert stream.width * aspect / stream.height == pytest.approx(value, rel=expected["tolerance"])
    found = tried.masklets()
    assert found["width"] / found["height"] == pytest.approx(value, rel=expected["tolerance"])


def colours(value: list[list[int]], expected: dict[str, Any], tried: Attempt) -> None:
    """Of the source as it is read, and of the overlay at places without objects."""
    wanted = [[grey] * 3 for grey in expected["grey"]] if "grey" in expected else expected["rgb"]
    for word in (word for word in tried.words if Path(word).exists() and word != str(tried.out) and "/" in word):
        pixels = next(iter(open_video(word))).pixels.astype(int)
        for (row, column), colour in zip(value, wanted, strict=True):
            assert np.abs(pixels[row, column] - colour).max() <= expected["tolerance"], (word, row, column)
    if "overlay_marked" in expected:
        pixels = next(iter(VideoFile(tried.overlay()))).pixels.astype(int)
        for (row, column), colour in zip(value, wanted, strict=True):
            assert np.abs(pixels[row - 5 : row + 5, column - 5 : column + 5].mean((0, 1)) - colour).max() <= 5


def flat(value: list[list[int]], expected: dict[str, Any], tried: Attempt) -> None:
    (frame,) = read_back(tried)
    assert {tuple(frame.pixels[row, column].tolist()) for row, column in value} == {(255, 255, 255)}


def exit_code(value: int, expected: dict[str, Any], tried: Attempt) -> None:
    if "; cmp " in tried.words[-1]:
        # The shell's code is that of the comparison behind the command.
        assert "maskreel: error: " in tried.text
    else:
        assert tried.code == value, tried.text
    assert not said(tried.text, "traceback")
    assert not said(tried.text, "unexpected")


def words(value: list[str], expected: dict[str, Any], tried: Attempt) -> None:
    assert [word for word in value if not said(tried.text, word)] == []


def not_words(value: list[str], expected: dict[str, Any], tried: Attempt) -> None:
    assert [word for word in value if said(tried.text, word)] == []


def size(value: list[int], expected: dict[str, Any], tried: Attempt) -> None:
    found = tried.masklets()
    assert [found["width"], found["height"]] == value


def first_level(value: int, expected: dict[str, Any], tried: Attempt) -> None:
    found = [float(np.median(frame.pixels)) for frame in read_back(tried)]
    assert found == pytest.approx(np.linspace(value, expected["last_level"], len(found)), abs=3)


def decoded_or_words(value: list[Any], expected: dict[str, Any], tried: Attempt) -> None:
    counts = [json.loads(path.read_text())["frames"]["decoded"] for path in tried.masklet_files()]
    assert counts == value[0] or (tried.code == 2 and said(tried.text, value[1]))


def results_or_exit(value: list[Any], expected: dict[str, Any], tried: Attempt) -> None:
    assert [path.name for path in tried.masklet_files()] == value[0] or tried.code == value[1]
    assert said(tried.text, "poster.jpg")


def results(value: int, expected: dict[str, Any], tried: Attempt) -> None:
    assert len(tried.masklet_files()) == value
    assert len(list(tried.out.rglob("*.mp4"))) == value + 1, "the copied video and its overlay"


def unchanged(value: str, expected: dict[str, Any], tried: Attempt) -> None:
    assert "KEPT" in tried.text
    assert (tried.out / value).is_file()


def must_not_exist(value: str, expected: dict[str, Any], tried: Attempt) -> None:
    assert not (tried.out / value).exists()


def hidden_files_left(value: int, expected: dict[str, Any], tried: Attempt) -> None:
    assert tried.code == 0, tried.text
    assert "exit 143" in tried.text
    assert len([path for path in tried.out.rglob(".*") if path.is_file()]) == value


def json_files(value: int, expected: dict[str, Any], tried: Attempt) -> None:
    assert len([path for path in tried.out.rglob("*.json") if path.name != "written.json"]) == value
    assert len(tried.masklet_files()) == value - 1


def files(value: list[str], expected: dict[str, Any], tried: Attempt) -> None:
    assert sorted(path.name for path in (tried.out / "videos").iterdir() if path.name != "written.json") == value


def stderr_or_conversion(value: str, expected: dict[str, Any], tried: Attempt) -> None:
    assert said(tried.text, value)
    assert said(tried.text, "hlg.mp4")


def video(value: str, expected: dict[str, Any], tried: Attempt) -> None:
    path = tried.out / value
    assert len(times_of(path)) == expected["frames"]
    assert times_of(path) == pytest.approx([0.04 * n for n in range(expected["frames"])], abs=0.001)
    assert seconds_of(path) == pytest.approx(expected["seconds"], abs=expected["tolerance_seconds"])


WANTS: dict[str, Want] = {
    "decoded": decoded,
    "timestamps": timestamps,
    "strictly_increasing": strictly_increasing,
    "skipped": skipped,
    "levels": levels,
    "overlay_frames": overlay_frames,
    "overlay_seconds": overlay_seconds,
    "overlay_seconds_at_least": overlay_seconds_at_least,
    "overlay_times": overlay_times,
    "overlay_marked": overlay_marked,
    "overlay_display_ratio": overlay_display_ratio,
    "pixel_yx": colours,
    "flat_yx": flat,
    "exit_code": exit_code,
    "words": words,
    "not_words": not_words,
    "size": size,
    "first_level": first_level,
    "decoded_or_words": decoded_or_words,
    "results_or_exit": results_or_exit,
    "results": results,
    "unchanged": unchanged,
    "must_not_exist": must_not_exist,
    "hidden_files_left": hidden_files_left,
    "json_files": json_files,
    "files": files,
    "stderr_or_conversion": stderr_or_conversion,
    "video": video,
}
BESIDE = {"tolerance", "tolerance_seconds", "rgb", "grey", "last_level", "frames", "seconds"}
"""Values that another one reads."""
REFUSED = {"exit_code", "words", "not_words", "decoded_or_words", "results_or_exit", "unchanged"}
"""Cases with one of these need not end well."""


@pytest.fixture(scope="module")
def maskreel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_commands(tmp_path_factory.mktemp("commands"))


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in cases("video")])
def test_a_recorded_case_comes_out_as_wanted(case: Case, maskreel: Path, tmp_path: Path) -> None:
    with output_folder(tmp_path / "out") as out:
        tried = attempt(case, out, maskreel)
        if today := SUPERSEDED.get(case.name):
            assert tried.code in today["exit"], tried.text
            assert [word for word in today.get("says", []) if not said(tried.text, word)] == []
            assert [word for word in today.get("not_says", []) if said(tried.text, word)] == []
            return
        if not REFUSED & case.expected.keys():
            assert tried.code == 0, tried.text
        assert case.expected.keys() - BESIDE <= WANTS.keys()
        for name in case.expected.keys() - BESIDE:
            WANTS[name](case.expected[name], case.expected, tried)


def test_what_a_later_capability_has_overtaken_is_a_recorded_case() -> None:
    known = {case.name for area in ("data", "video") for case in cases(area)}
    assert not known or set(SUPERSEDED) <= known
