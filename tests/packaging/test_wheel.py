"""The wheel, installed where nothing else is."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, timeout=600)
    (path,) = folder.glob("maskreel-*.whl")
    return path


@pytest.mark.nightly
def test_the_wheel_holds_every_module_and_the_weights_and_nothing_else(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("maskreel/")}
    source = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src/maskreel").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == source


@pytest.mark.nightly
def test_the_wheel_runs_the_demo_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "env"], cwd=tmp_path, check=True)
    python = tmp_path / "env/bin/python"
    install = [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel]
    subprocess.run(install, cwd=tmp_path, check=True, timeout=1800)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MASKREEL"))}
    done = subprocess.run(
        [tmp_path / "env/bin/maskreel", "demo"], cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/demo/demo/demo.mp4").stat().st_size > 10_000
    assert "against the truth: AP 55." in done.stdout
    listed = subprocess.run([python, "-m", "pip", "list"], capture_output=True, text=True, check=True).stdout
    assert not {"pytest", "torchvision", "gradio"} & {line.split()[0] for line in listed.splitlines()}
