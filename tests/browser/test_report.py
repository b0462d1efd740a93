"""The page of a result, opened from the disk with the network off."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from maskreel.visualize.palette import track_colour
from maskreel.visualize.report import tables_page
from maskreel.visualize.takeaways.kinds import TAKEAWAYS
from tests.browser.chromium import FAINT, PHONE, WIDE, browser, screenshot, until
from tests.browser.clips import Blocks

PICTURES = Path(os.environ["MASKREEL_SCREENSHOTS"]) if "MASKREEL_SCREENSHOTS" in os.environ else None


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "blocks.html"
    clip = Blocks(name="<script>alert(1)</script>.mp4")
    TAKEAWAYS["report"].write(path, clip.result(), clip)
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    with browser() as started:
        yield started


@pytest.fixture
def page(chromium, report: Path) -> Iterator:
    context = chromium.new_context(viewport=WIDE, offline=True)
    opened = context.new_page()
    opened.asked, opened.faults = [], []
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.on("console", lambda line: opened.faults.append(line.text) if line.type == "error" else None)
    opened.on("pageerror", lambda error: opened.faults.append(str(error)))
    opened.goto(report.as_uri())
    until(opened, "document.querySelector('video').readyState >= 2")
    until(opened, "document.documentElement.dataset.frame !== undefined")
    yield opened
    assert opened.faults == []
    assert all(url.split(":")[0] in ("file", "blob", "data") for url in opened.asked), opened.asked
    context.close()


def drawn(page) -> str:
    return page.evaluate("document.documentElement.dataset.drawn")


def seek(page, time: float) -> None:
    page.evaluate(f"document.querySelector('video').currentTime = {time}")
    until(page, f"document.documentElement.dataset.frame === '{round(10 * time - 0.4)}'")


def test_masks_lie_over_the_video_and_follow_it(page) -> None:
    seek(page, 0.05)
    assert drawn(page) == "1,2"
    seek(page, 1.25)
    assert drawn(page) == "1"
    seek(page, 2.55)
    assert drawn(page) == "1,2,3"
    colour = page.evaluate(
        """() => { const c = document.querySelector('.stage canvas'), s = c.width / 320;
        return [...c.getContext('2d').getImageData(s * (20 + 75 + 30), s * 45, 1, 1).data] }"""
    )
    np.testing.assert_allclose(colour[:3], track_colour(1), atol=4)
    assert 100 < colour[3] < 130
    screenshot(page, PICTURES, "report_wide")


def test_the_video_plays_to_its_last_frame(page) -> None:
    page.evaluate("document.querySelector('video').playbackRate = 4")
    page.get_by_role("button", name="play").click()
    until(page, "document.querySelector('video').ended")
    until(page, "document.documentElement.dataset.frame === '39'")
    assert page.locator("#play").text_content() == "play"
    assert page.locator("#time").text_content() == "0:04.00 / 0:04.00"


def test_the_place_in_the_video_follows_and_leads(page) -> None:
    seek(page, 1.25)
    assert float(page.locator("#place").input_value()) == pytest.approx(1.25, abs=0.1)
    page.locator("#place").fill("3")
    until(page, "document.documentElement.dataset.frame === '30'")
    page.keyboard.press("ArrowLeft")
    until(page, "document.documentElement.dataset.frame === '29'")
    page.keyboard.press("End")
    until(page, "document.documentElement.dataset.frame === '39'")
    page.locator("video").click()
    page.get_by_role("button", name="pause").click()
    page.get_by_role("button", name="play").wait_for()


def test_hide_solo_and_threshold(page) -> None:
    seek(page, 2.55)
    page.get_by_label("show disc 2").uncheck()
    assert drawn(page) == "1,3"
    page.get_by_role("button", name="solo disc 2").click()
    assert drawn(page) == "2"
    page.get_by_role("button", name="solo disc 2").click()
    assert drawn(page) == "1,3"
    page.get_by_label("score from").fill("0.5")
    assert drawn(page) == "1"
    assert page.locator("tbody tr:visible").count() == 2
    page.get_by_role("button", name="show all").click()
    assert drawn(page) == "1,2"
    page.get_by_role("button", name="hide all").click()
    assert drawn(page) == ""
    page.get_by_role("button", name="show all").click()


def test_solo_of_an_object_below_the_threshold_ends(page) -> None:
    """Its row has gone, so nobody could end it."""
    seek(page, 2.55)
    page.get_by_label("score from").fill("0")
    page.locator("tr[data-object='3'] button.solo").click()
    assert drawn(page) == "3"
    page.get_by_label("score from").fill("0.5")
    assert drawn(page) == "1,2"
    page.get_by_label("score from").fill("0")
    assert drawn(page) == "1,2,3"
    assert page.locator("button[aria-pressed=true]").count() == 0


def test_the_timeline_shows_where_an_object_is_seen_and_jumps_there(page) -> None:
    data = json.loads(page.locator("#data").text_content())
    by_id = {entry["id"]: entry for entry in data["objects"]}
    assert by_id[2]["seen"] == [[0, 1], [2, 4]]
    assert by_id[3]["seen"] == [[1.5, 4]]
    bar = page.locator("tr[data-object='3'] .bar")
    bar.scroll_into_view_if_needed()
    box = bar.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + 5)
    until(page, "Math.abs(document.querySelector('video').currentTime - 2) < 0.05")
    page.locator("tr[data-object='3'] button", has_text="0:01.50").click()
    until(page, "document.documentElement.dataset.frame === '15'")


def test_the_keyboard_alone_reaches_everything(page) -> None:
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("(e => e.ariaLabel || e.getAttribute('aria-label') || e.textContent)(document.activeElement)")
        )
    for wanted in (
        "play",
        "place in the video; the arrow keys go from frame to frame",
        "show all",
        "hide all",
        "show disc 2",
        "solo disc 2",
        "first seen 0:00.00",
    ):
        assert wanted in reached
    bar = page.locator("tr[data-object='2'] .bar")
    bar.focus()
    page.keyboard.press("End")
    until(page, "document.documentElement.dataset.frame === '39'")
    page.keyboard.press("Home")
    until(page, "document.documentElement.dataset.frame === '0'")
    page.keyboard.press("ArrowRight")
    until(page, "document.documentElement.dataset.frame === '1'")
    page.keyboard.press("PageUp")
    until(page, "document.documentElement.dataset.frame === '11'")
    page.locator("tr[data-object='1'] button.solo").focus()
    page.keyboard.press("Space")
    assert drawn(page) == "1"


def test_all_text_stands_out_from_what_lies_behind_it(page) -> None:
    assert page.evaluate(FAINT) == []
    page.get_by_role("button", name="solo disc 2").click()
    assert page.evaluate(FAINT) == []
    page.evaluate("document.querySelector('h1').style.color = '#888'")
    assert len(page.evaluate(FAINT)) == 1


def test_names_from_outside_are_text(page) -> None:
    assert page.title() == "<script>alert(1)</script>.mp4"
    assert page.locator("h1").text_content() == "<script>alert(1)</script>.mp4"
    assert page.locator("tr[data-object='1'] .name").text_content() == '1<b>box</b> & "co"'
    assert page.locator("tbody b").count() == 0


def test_on_a_phone_nothing_is_wider_than_the_screen(page) -> None:
    page.set_viewport_size(PHONE)
    seek(page, 2.55)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for bar in page.locator(".bar").all():
        assert bar.bounding_box()["width"] > 200
    assert page.locator("#place").bounding_box()["width"] > 300
    screenshot(page, PICTURES, "report_phone")


def test_tables_of_a_data_set_have_their_heads_on_a_phone(chromium, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    section = tables_page.table("By class", "In percent.", ["class", "AP", "AP50"], [["disc", "10.0", "20.0"]])
    path.write_text(tables_page.page("How good", "", [section]))
    context = chromium.new_context(viewport=PHONE, offline=True)
    page = context.new_page()
    page.goto(path.as_uri())
    for head in page.locator("th").all():
        box = head.bounding_box()
        middle = f"{box['x'] + box['width'] / 2}, {box['y'] + box['height'] / 2}"
        assert page.evaluate(f"document.elementFromPoint({middle}).textContent") == head.text_content()
    columns = [[cell.bounding_box()["x"] for cell in page.locator(kind).all()] for kind in ("th", "td")]
    assert columns[0] == columns[1]
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    context.close()
