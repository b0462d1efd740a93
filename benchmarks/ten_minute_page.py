"""Ten minutes of video on the page of `maskreel serve`, in a browser: does it answer, is memory flat, how large is it?

python benchmarks/ten_minute_page.py             # in an environment with the extra web, playwright and Chromium
"""

import argparse
import json
import subprocess
import tempfile
import time
import urllib.request
from fractions import Fraction
from pathlib import Path

from maskreel.visualize.video import TimedImage, write_video
from tests.browser.chromium import WIDE, browser, until
from tests.browser.clips import Blocks
from tests.serve.test_crowd import Process

SECONDS, HEIGHT, WIDTH = 600, 180, 320


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=10, help="frames per second of the video")
    rate = parser.parse_args().rate
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "ten-minutes.mp4"
        images = (TimedImage(frame.index / rate, frame.pixels) for frame in Blocks(SECONDS * rate, HEIGHT, WIDTH))
        write_video(source, images, frame_rate=Fraction(rate))
        served = Process(folder, "--megabytes", "100")
        try:
            print(json.dumps(_watched(served, source, rate), indent=1))
        finally:
            served.process.kill()


def _watched(served: Process, source: Path, rate: int) -> dict[str, object]:
    with browser() as chromium:
        page = chromium.new_page(viewport=WIDE)
        page.goto(served.address)
        page.get_by_role("button", name="find the objects").wait_for()
        page.locator("input[type=file]").first.set_input_files(source)
        page.locator("video").first.wait_for(state="attached")
        start, answers, memory = time.monotonic(), [], []
        page.get_by_role("button", name="find the objects").click()
        while not page.locator("#shown iframe").count():
            asked = time.monotonic()
            urllib.request.urlopen(served.address, timeout=120).read()
            answers.append(time.monotonic() - asked)
            memory.append((time.monotonic() - start, _resident(served.process), page.locator("#said").inner_text()))
            assert "cannot" not in memory[-1][2], memory[-1][2]
            page.wait_for_timeout(2000)
        found = time.monotonic() - start
        address = served.address + str(page.locator("#shown iframe").get_attribute("src"))
        content = urllib.request.urlopen(address).read()
        inside = page.frames[-1]
        until(inside, "document.querySelector('video')?.readyState >= 2")
        shown = time.monotonic() - start - found
        seeks = []
        for second in (300.05, 10.05, 599.05, 450.05):
            asked = time.monotonic()
            inside.evaluate(f"document.querySelector('video').currentTime = {second}")
            until(inside, f"document.documentElement.dataset.frame === '{int(second * rate)}'")
            seeks.append(time.monotonic() - asked)
        inside.evaluate("(v => { v.currentTime = 598; v.play() })(document.querySelector('video'))")
        until(inside, "document.querySelector('video').ended")
    answers.sort()
    looking = [entry for entry in memory if "Looked" in entry[2]]
    return {
        "said": _facts(content),
        "seconds": round(found, 1),
        "answers": {
            "number": len(answers),
            "median": round(answers[len(answers) // 2], 3),
            "worst": round(answers[-1], 3),
        },
        "resident_mb": [
            (round(when), round(size / 1e6), said) for when, size, said in looking[:: max(1, len(looking) // 8)]
        ],
        "peak_mb": round(max(size for _, size, _ in memory) / 1e6),
        "page_mb": round(len(content) / 1e6, 2),
        "opened_seconds": round(shown, 2),
        "seek_seconds": [round(one, 2) for one in seeks],
    }


def _facts(content: bytes) -> str:
    """The line below the title of a result's page."""
    return content.split(b'<p class="soft">', 1)[1].split(b"<", 1)[0].decode()


def _resident(process: subprocess.Popen[bytes]) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return 1024 * int(status.split("VmRSS:")[1].split()[0])


if __name__ == "__main__":
    main()
