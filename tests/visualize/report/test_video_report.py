"""What a page of results leaves out so that it stays small, and that it says so."""

import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest

from maskreel.geometry import rle
from maskreel.visualize.report import video_report
from maskreel.visualize.report.video_report import report
from tests.browser.clips import Blocks


def written(folder: Path, clip: Blocks) -> tuple[str, dict[str, Any]]:
    """The page and the data in it."""
    path = folder / "page.html"
    report(path, clip.result(), clip, video_id=1)
    page = path.read_text()
    found = re.search(r'id="data">(.*?)</script>', page)
    assert found is not None
    return page, json.loads(found[1])


def num_frames(page: str) -> int:
    video = re.search(r'id="video">([^<]*)<', page)
    assert video is not None
    with av.open(io.BytesIO(base64.b64decode(video[1]))) as container:
        return sum(1 for _ in container.decode(video=0))


def test_a_short_video_is_there_whole(tmp_path: Path) -> None:
    clip = Blocks(12)
    page, data = written(tmp_path, clip)
    assert num_frames(page) == len(data["times"]) == len(data["objects"][0]["masks"]) == 12
    assert (data["every"], data["end"]) == (1, 1.2)
    mask = rle.decode(rle.Rle(*data["size"], data["objects"][0]["masks"][3].encode()))
    truth = clip.mask(1, 3)
    assert truth is not None
    assert (mask == truth).mean() > 0.99
    assert "masks with 320. So the page stays" in page


def test_frames_beyond_the_most_are_left_out_evenly_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_report, "MAX_FRAMES", 10)
    page, data = written(tmp_path, Blocks(40))
    assert data["times"] == pytest.approx([0.4 * n for n in range(10)])
    assert num_frames(page) == len(data["objects"][0]["masks"]) == 10
    assert "of 40 frames every 4th is here" in page


def test_masks_that_take_too_much_stay_on_for_several_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, whole = written(tmp_path, Blocks(40))
    total = sum(4 + len(code or "") for one in whole["objects"] for code in one["masks"])
    monkeypatch.setattr(video_report, "MASK_BYTES", total // 3)
    page, data = written(tmp_path, Blocks(40))
    every = data["every"]
    assert every in (3, 4)
    for full, thin in zip(whole["objects"], data["objects"], strict=True):
        assert thin["masks"] == full["masks"][::every]
    assert f"a mask stays on for {every} frames" in page


def test_masks_of_flickering_objects_fit_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every second frame is empty, so that of every second, fourth ... frame on average half as much is left out."""
    seen = [mask if frame % 2 == 0 else None for frame, mask in enumerate(Blocks(40).result()[0].segmentations)]
    flickering = replace(Blocks(40).result()[0], segmentations=tuple(seen))
    whole = len(json.dumps(video_report._thinned_masks([flickering], range(40), (180, 320))[1]))
    for part in (2, 4, 7):
        monkeypatch.setattr(video_report, "MASK_BYTES", whole // part)
        every, masks = video_report._thinned_masks([flickering], range(40), (180, 320))
        assert len(json.dumps(masks, separators=(",", ":"))) <= whole // part + 4
        assert masks[0] == [
            None if mask is None else mask.counts.decode() for mask in flickering.segmentations[::every]
        ]


def test_of_many_objects_the_best_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_report, "MAX_OBJECTS", 2)
    page, data = written(tmp_path, Blocks(20))
    assert [one["id"] for one in data["objects"]] == [1, 2]
    assert "of 3 objects the 2 with the highest scores are here" in page


def test_the_bit_rate_falls_with_the_length() -> None:
    result = Blocks(3).result()
    ten_minutes = replace(result, timestamps=(0.0, 300.0, 600.0))
    rate = video_report._rate(ten_minutes)
    assert rate * 600 <= video_report.VIDEO_BITS
    assert video_report._rate(result) == video_report.MAX_RATE


def test_all_parts_at_their_most_stay_below_the_limit() -> None:
    video = video_report.VIDEO_BITS / 8 * 4 / 3
    thumbnails = video_report.MAX_OBJECTS * video_report.THUMBNAIL_BYTES * 4 / 3
    times = 12 * video_report.MAX_FRAMES
    seen = video_report.MAX_OBJECTS * video_report.BAR / 2 * 24
    assert video + video_report.MASK_BYTES + thumbnails + times + seen < video_report.LIMIT


def test_a_bar_has_no_more_stretches_than_pixels() -> None:
    """Two hundred objects that flicker for ten minutes would take 36 MB."""
    times = [frame / 30 for frame in range(18_000)]
    assert video_report._stretches(range(0, 18_000, 2), times) == [(0.0, pytest.approx(600, abs=0.05))]
    rare = video_report._stretches([n for n in range(18_000) if n % 60 < 30], times)
    assert len(rare) == 300
    assert rare[1] == (2.0, 3.0)
    short = [frame / 30 for frame in range(10)]
    assert video_report._stretches([0, 1, 3, 9], short) == [(0.0, 0.0667), (0.1, 0.1333), (0.3, 0.3333)]
