"""Every command and every piece of Python in the README runs, on less data."""

import re
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from maskreel.cli.main import main
from maskreel.rendered.rendering import render_video
from maskreel.rendered.synthetic import SyntheticDials
from maskreel.visualize.video import TimedImage, write_video

README = (Path(__file__).parents[2] / "README.md").read_text()
SMALLER = {
    "--videos 200": "--videos 2 --workers 1",
    "--videos 40": "--videos 2 --workers 1",
    "train seqformer-tiny": "train seqformer-tiny --training.steps 2 --data.workers 0 --data.batch-size 1",
    "predict RUN": "predict bundled",
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the reader's own video in it."""
    video = render_video(11_000, 0, SyntheticDials(frames=4))
    times = [index / 6 for index in range(4)]
    write_video(tmp_path / "video.mp4", map(TimedImage, times, video.frames), frame_rate=Fraction(6))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_one_screen_stands_before_the_first_table_which_leads_to_the_site() -> None:
    before, _, table = README.partition("\n|")
    assert before.count("\n") < 40
    assert "make docs" in table.splitlines()[0]
    for link in re.findall(r"\]\(([^)]+)\)", table.partition("\n\n")[0]):
        assert (Path(__file__).parents[2] / link).exists(), link


@pytest.mark.slow
def test_every_maskreel_command_runs(folder: Path) -> None:
    commands = [
        line.split("#")[0].strip()
        for block in blocks("sh")
        for line in block.splitlines()
        if line.startswith("maskreel")
    ]
    assert len(commands) >= 7
    for command in commands:
        if command.startswith("maskreel score"):
            results = next(folder.glob("runs/evaluate/*/results.json"))
            shutil.copy(results, folder / "results.json")
        for long, short in SMALLER.items():
            command = command.replace(long, short)
        assert main(command.split()[1:]) == 0, command
    assert (folder / "out" / "video.json").exists()


@pytest.mark.slow
def test_the_python_examples_run_one_after_the_other(folder: Path) -> None:
    examples = blocks("python")
    assert len(examples) == 4
    names: dict[str, Any] = {}
    for example in examples:
        exec(compile(example, "README.md", "exec"), names)
    assert names["masklets"].decoded == 4
    assert (folder / "objects.json").exists()
    assert set(names["figures"]) == {"ap", "hota"}


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    named = set(re.findall(r"^make (\w+)", "\n".join(blocks("sh")), flags=re.MULTILINE))
    assert named == {"demo", "test"}
    for target in named:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


def test_the_picture_exists() -> None:
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert pictures
    for picture in pictures:
        assert (Path(__file__).parents[2] / picture).exists()
