"""`maskreel models`."""

import json
from pathlib import Path

import pytest

from maskreel.checkpoints.published_counts import PUBLISHED_COUNTS
from maskreel.cli.main import main
from maskreel.recipes.catalog import RECIPES
from tests.recipes.test_recipes import COUNTS

COLUMNS = ["model", "part", "convention", "published", "ours", "difference", "source"]


def test_every_recipe_is_listed_with_its_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json", str(tmp_path / "out" / "models.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[0] == "model"
    assert [line.split()[0] for line in lines[1:]] == list(RECIPES)
    tiny = next(line for line in lines if line.startswith("seqformer-tiny"))
    assert tiny.split()[1:] == [f"{count:,}" for count in vars(COUNTS["seqformer-tiny"]).values()]
    rows = json.loads((tmp_path / "out" / "models.json").read_text())
    assert {row.pop("model"): row for row in rows} == {name: vars(counts) for name, counts in COUNTS.items()}


def test_published_counts_are_met_exactly(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--published", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == len(PUBLISHED_COUNTS)
    assert all(list(row) == COLUMNS for row in rows)
    assert [row["difference"] for row in rows] == [0] * len(rows)
    assert all(row["ours"] == row["published"] for row in rows)
    assert {"model": "seqformer-r50", "convention": "state_dict", "published": 49306085}.items() <= rows[2].items()


def test_an_unknown_option_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--publishd"]) == 2
    assert capsys.readouterr().err == ("maskreel: error: unknown option --publishd; did you mean --published?\n")


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["models", "--json", str(tmp_path / "file" / "models.json")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"maskreel: error: {tmp_path / 'file' / 'models.json'}: cannot be written (")
    assert error.count("\n") == 1
