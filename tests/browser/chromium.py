"""A headless Chromium for tests: the one that the system has, without a network of its own."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"),
]
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@contextmanager
def browser() -> Iterator:
    """A Chromium; the test is skipped where there is none, or no Playwright."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield chromium
        finally:
            chromium.close()


def screenshot(page, folder: Path | None, name: str) -> None:
    """Keep a picture of a page, for eyes, where a folder is given."""
    if folder is not None:
        page.screenshot(path=folder / f"{name}.png", full_page=True)


def until(page, expression: str, *, seconds: float = 120) -> None:
    """Wait for something to be true; asked from outside, for the page's own rules forbid what Playwright would do."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"not within {seconds} seconds: {expression}"
        page.wait_for_timeout(50)


FAINT = """() => {
  const numbers = colour => (colour.match(/[\\d.]+/g) || []).map(Number);
  const linear = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const over = ([r, g, b, a = 1], below) => [r, g, b].map((v, i) => a * v + (1 - a) * below[i]);
  const behind = element => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(numbers(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((below, layer) => layer.length < 3 ? below : over(layer, below), [255, 255, 255]);
  };
  const faint = [];
  for (const element of document.querySelectorAll('body *')) {
    const words = [...element.childNodes].filter(n => n.nodeType === 3).map(n => n.textContent.trim()).join(' ').trim();
    const style = getComputedStyle(element);
    if (!words || !element.checkVisibility({checkOpacity: true, checkVisibilityCSS: true})) continue;
    if (element.closest('script, style, option, [disabled], [aria-disabled=true]')) continue;
    const back = behind(element), text = over(numbers(style.color), back);
    const [dark, light] = [luminance(back), luminance(text)].sort((a, b) => a - b);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < 4.5) faint.push(`${ratio.toFixed(2)} ${style.color} on ${back.map(Math.round)}: ${words.slice(0, 40)}`);
  }
  return faint;
}"""
"""Texts whose contrast with what lies behind them is below 4.5 : 1 (WCAG 2.1), whatever their size."""
