"""The documentation: what it types can be typed, what it shows runs, figures and tables are those of the code."""

import importlib.util
import re
import shlex
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml

from maskreel.cli.main import COMMANDS, _find_command, main, options_of
from maskreel.recipes.catalog import RECIPES
from maskreel.rendered.rendering import render_video
from maskreel.rendered.synthetic import SyntheticDials
from maskreel.training.loggers import LOGGERS
from maskreel.visualize.takeaways.kinds import TAKEAWAYS
from maskreel.visualize.video import TimedImage, write_video

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
RUN_PAGES = [page for page in PAGES if re.search("^```", (DOCS / page).read_text(), flags=re.MULTILINE)]


class Block(NamedTuple):
    language: str
    text: str


def blocks(page: str) -> list[Block]:
    text = (DOCS / page).read_text()
    return [Block(*found) for found in re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)]


def commands(page: str) -> list[list[str]]:
    lines = "".join(block.text for block in blocks(page) if block.language == "sh").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("maskreel")]


@pytest.mark.parametrize("page", RUN_PAGES)
def test_every_block_is_a_command_or_python(page: str) -> None:
    assert all(block.language in ("sh", "python") for block in blocks(page))
    for block in blocks(page):
        if block.language == "sh":
            assert all(line.startswith("maskreel ") for line in block.text.splitlines() if line)
        else:
            compile(block.text, page, "exec")


@pytest.mark.parametrize("page", [page for page in RUN_PAGES if commands(page)])
def test_every_command_can_be_typed(page: str) -> None:
    for words in commands(page):
        name, rest = _find_command(words)
        assert name in COMMANDS
        if "--help" not in rest and "--resume" not in rest and name != "train":
            options_of(COMMANDS[name], name, rest)


@pytest.mark.parametrize("page", PAGES)
def test_commands_that_stand_in_a_sentence_exist(page: str) -> None:
    for typed in re.findall(r"`maskreel ([a-z][^`]*)`", (DOCS / page).read_text()):
        name, rest = _find_command(shlex.split(typed))
        assert name in COMMANDS or not rest, typed


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the reader's own videos in it."""
    (tmp_path / "videos").mkdir()
    video = render_video(11_000, 0, SyntheticDials(frames=6))
    for name in ("video.mp4", "videos/one.mp4", "videos/two.mp4"):
        times = [index / 6 for index in range(6)]
        write_video(tmp_path / name, map(TimedImage, times, video.frames), frame_rate=Fraction(6))
    np.save(tmp_path / "frames.npy", np.stack(list(video.frames)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.nightly
@pytest.mark.parametrize("page", [page for page in RUN_PAGES if blocks(page)])
def test_what_a_page_shows_runs_from_top_to_bottom(page: str, folder: Path) -> None:
    names: dict[str, Any] = {}
    for block in blocks(page):
        if block.language == "python":
            exec(compile(block.text, page, "exec"), names)
            continue
        for line in block.text.splitlines():
            assert _run(shlex.split(line, comments=True)[1:]) == 0, line


def _run(words: list[str]) -> int:
    if words[0] != "export":
        return main(words)
    # Checks of types at run time, which are on here, cannot be traced.
    return subprocess.run([sys.executable, "-m", "maskreel.cli.main", *words]).returncode


def test_every_page_is_in_the_navigation_once() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())

    def listed(entry: Any) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        return [page for one in (entry if isinstance(entry, list) else entry.values()) for page in listed(one)]

    named = listed(config["nav"])
    assert len(named) == len(set(named))
    assert set(named) <= set(PAGES)
    assert {page for page in PAGES if "/" in page} <= set(named)


def test_nothing_is_fetched_when_a_page_is_read() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    assert config["theme"]["font"] is False
    assert "extra_javascript" not in config
    for page in PAGES:
        assert not re.search(r"!\[[^]]*\]\(https?:", (DOCS / page).read_text()), page


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / "hooks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_figures_are_those_that_are_drawn() -> None:
    for name, content in loaded("draw_systems").drawings().items():
        assert (DOCS / "systems" / name).read_text() == content, name


def test_every_system_has_a_page_with_figure_and_recipes() -> None:
    tables = loaded("recipe_tables")
    kinds = {recipe().model.kind for recipe in RECIPES.values()}
    assert {path.stem for path in (DOCS / "systems").glob("*.md")} == {*kinds, "index"}
    for kind in kinds:
        text = (DOCS / f"systems/{kind}.md").read_text()
        assert f"({kind}.svg)" in text
        page = tables.on_page_markdown(text)
        assert "{{" not in page
        for name, recipe in RECIPES.items():
            assert (f"`{name}`" in page) == (recipe().model.kind == kind), name


def test_the_guides_name_every_takeaway_and_logger() -> None:
    own_video, own_data = ((DOCS / "guides" / name).read_text() for name in ("own-video.md", "own-data.md"))
    for kind, takeaway in TAKEAWAYS.items():
        if kind != "report":
            assert f"| `{kind}` | `video{takeaway.ending}" in own_video
    assert all(f"--log {word}" in own_data for word in LOGGERS)
