"""The field cases of the shared data: small inputs as people have them, what is run, and what must come out."""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from maskreel.geometry.masklets import is_masklet_file
from tests.builders import SHARED

FIELD = SHARED / "field"
LIMIT = 400
"""Seconds that a case may take, on a machine that is busy with others."""
SUPERSEDED: dict[str, dict[str, Any]] = tomllib.loads((Path(__file__).parent / "superseded.toml").read_text())
"""By case: what is wanted today, and why it is no longer what the case says."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One case of an area (`data`, `video`)."""

    folder: Path
    content: dict[str, Any]

    @property
    def name(self) -> str:
        return self.folder.name

    @cached_property
    def expected(self) -> dict[str, Any]:
        path = self.folder / "expected.json"
        return json.loads(path.read_text()) if path.is_file() else {}


def cases(area: str) -> list[Case]:
    """The cases of an area that is recorded; none where the shared data is absent."""
    return [
        Case(folder=path.parent, content=json.loads(path.read_text()))
        for path in sorted((FIELD / area).glob("*/case.json"))
    ]


def judge() -> ModuleType:
    """The module beside the cases that runs and judges those of the area `data`."""
    spec = importlib.util.spec_from_file_location("field_check", FIELD / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_commands(folder: Path) -> Path:
    """The `maskreel`, `python` and `python3` of this interpreter as commands in a folder; returns the first."""
    for name, words in (("maskreel", "-m maskreel.cli.main"), ("python", ""), ("python3", "")):
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        path.chmod(0o755)
    return folder / "maskreel"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What came of a case."""

    code: int
    text: str
    """Both streams, without the folders of case and output, which may hold any word."""
    out: Path
    words: list[str] = field(default_factory=list)

    def masklet_files(self) -> list[Path]:
        return [path for path in sorted(self.out.rglob("*.json")) if is_masklet_file(path)]

    def masklets(self) -> dict[str, Any]:
        """The one file of masklets that was written."""
        (path,) = self.masklet_files()
        return json.loads(path.read_text())

    def overlay(self) -> Path:
        (path,) = self.out.rglob("*_overlay.mp4")
        return path


def attempt(case: Case, out: Path, maskreel: Path) -> Attempt:
    """Run a case in the folder `out`, with the commands beside `maskreel` in front of all others."""
    words = [word.replace("{case}", str(case.folder)).replace("{out}", str(out)) for word in case.content["run"]]
    environment = {**os.environ, "PATH": f"{maskreel.parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=out, env=environment, capture_output=True, timeout=LIMIT)
    text = (done.stdout + b"\n" + done.stderr).decode(errors="replace")
    return Attempt(
        code=done.returncode, text=text.replace(str(case.folder), "").replace(str(out), ""), out=out, words=words
    )


@contextlib.contextmanager
def output_folder(folder: Path) -> Iterator[Path]:
    """An empty folder that goes with what stands in it."""
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def said(text: str, word: str) -> bool:
    return re.search(re.escape(word), text, re.IGNORECASE) is not None
